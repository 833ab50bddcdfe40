"""Ways to break a file of a user's: bytes, tables, arrays, JSON, and files that are meant to do harm."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Mutation = Callable[[bytes, Random], bytes]
ODD_CELLS = (
    "",
    "-1",
    "nan",
    "inf",
    "1e999",
    "99999999999999999999",
    "9" * 5000,
    "0.5",
    "x",
    '"',
    "user_id",
    "\x00",
    "é",
)


class Payload:
    """Makes a file named `marker` in the current directory when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch marker",)


def flip(content: bytes, rng: Random) -> bytes:
    """A few bytes changed anywhere."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def flip_early(content: bytes, rng: Random) -> bytes:
    """The same near the beginning, where headers are."""
    cut = min(len(content), 160)
    return flip(content[:cut], rng) + content[cut:]


def flip_late(content: bytes, rng: Random) -> bytes:
    """The same near the end, where Parquet and zip have their directories."""
    cut = max(len(content) - 200, 0)
    return content[:cut] + flip(content[cut:], rng)


def lines_of(change: Callable[[list[str], Random], list[str]]) -> Mutation:
    """A change of the lines of a text."""

    def changed(content: bytes, rng: Random) -> bytes:
        lines = content.decode("latin-1").split("\n")
        return "\n".join(change(lines, rng)).encode("utf-8", "surrogatepass")

    return changed


def cells(
    lines: list[str], rng: Random, change: Callable[[list[str], int], None], row: int | None = None
) -> list[str]:
    """A change of the cells of one row."""
    row = rng.randrange(len(lines)) if row is None else row
    delimiter = "\t" if "\t" in lines[row] else ","
    fields = lines[row].split(delimiter)
    change(fields, rng.randrange(len(fields)))
    return [*lines[:row], delimiter.join(fields), *lines[row + 1 :]]


def odd_cell(lines: list[str], rng: Random) -> list[str]:
    return cells(lines, rng, lambda fields, k: fields.__setitem__(k, rng.choice(ODD_CELLS)))


def renamed_column(lines: list[str], rng: Random) -> list[str]:
    return cells(lines, rng, lambda fields, k: fields.__setitem__(k, rng.choice((*ODD_CELLS, fields[0]))), 0)


def lost_cell(lines: list[str], rng: Random) -> list[str]:
    return cells(lines, rng, lambda fields, k: fields.pop(k))


def doubled_row(lines: list[str], rng: Random) -> list[str]:
    row = rng.randrange(len(lines))
    return [*lines[: row + 1], *lines[row:]]


def lost_row(lines: list[str], rng: Random) -> list[str]:
    row = rng.randrange(len(lines))
    return [*lines[:row], *lines[row + 1 :]]


def swapped_cells(lines: list[str], rng: Random) -> list[str]:
    def swap(fields: list[str], k: int) -> None:
        other = rng.randrange(len(fields))
        fields[k], fields[other] = fields[other], fields[k]

    return cells(lines, rng, swap)


def of_columns(change: Callable[[list[str], Random, int], None]) -> Callable[[list[str], Random], list[str]]:
    """A change of one column in all rows below the header."""

    def changed(lines: list[str], rng: Random) -> list[str]:
        width = max(len(line.split("\t" if "\t" in line else ",")) for line in lines)
        column = rng.randrange(width)
        for row in range(1, len(lines)):
            delimiter = "\t" if "\t" in lines[row] else ","
            fields = lines[row].split(delimiter)
            if column < len(fields) and lines[row]:
                change(fields, rng, column)
            lines[row] = delimiter.join(fields)
        return lines

    return changed


def as_floats(fields: list[str], rng: Random, column: int) -> None:
    if fields[column].isdigit() and rng.random() < 0.9:
        fields[column] += ".0"


def with_blanks(fields: list[str], rng: Random, column: int) -> None:
    fields[column] = f" {fields[column]}"


def exchanged(fields: list[str], rng: Random, column: int) -> None:
    fields[column], fields[0] = fields[0], fields[column]


def lone_quotes(lines: list[str], rng: Random) -> list[str]:
    for _ in range(rng.randrange(1, 4)):
        lines = cells(
            lines, rng, lambda fields, k: fields.__setitem__(k, rng.choice(('"', '""', '"x')) + fields[k])
        )
    return lines


def cut_piece(content: bytes, rng: Random) -> bytes:
    """A piece taken out."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randrange(1, 200) :]


def repeated_piece(content: bytes, rng: Random) -> bytes:
    """A piece that is there several times."""
    start = rng.randrange(len(content) + 1)
    end = start + rng.randrange(1, 200)
    return content[:start] + content[start:end] * rng.randrange(2, 9) + content[end:]


def parquet_table(change: Callable[[Any, Random, int], Any]) -> Mutation:
    """A change of a column of a Parquet table; of other files the rows of a text."""

    def changed(content: bytes, rng: Random) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            table = parquet.read_table(pa.BufferReader(content))
            stream = io.BytesIO()
            parquet.write_table(change(table, rng, rng.randrange(table.num_columns)), stream)
        except Exception:
            return flip(content, rng)
        return stream.getvalue()

    return changed


def retyped(table: Any, rng: Random, k: int) -> Any:
    import pyarrow as pa

    kind = rng.choice((pa.string(), pa.float64(), pa.int8(), pa.timestamp("us"), pa.binary()))
    return table.set_column(k, table.column_names[k], table.column(k).cast(kind))


def renamed(table: Any, rng: Random, k: int) -> Any:
    names = list(table.column_names)
    names[k] = rng.choice(("user", "item", "x", "", "part", "rating"))
    return table.rename_columns(names)


def emptied(table: Any, rng: Random, k: int) -> Any:
    import pyarrow as pa

    return table.set_column(k, table.column_names[k], pa.nulls(table.num_rows, table.column(k).type))


def array(change: Callable[[Any, Random], Any]) -> Mutation:
    """A change of an .npy file's array; other files, and arrays that cannot change so, get bytes flipped."""

    def changed(content: bytes, rng: Random) -> bytes:
        try:
            values = np.load(io.BytesIO(content), allow_pickle=False)
            values = change(values, rng) if isinstance(values, np.ndarray) else np.zeros(3)
        except Exception:  # no array, or one that an earlier change left without room for this one
            return flip(content, rng)
        stream = io.BytesIO()
        np.save(stream, values, allow_pickle=True)
        return stream.getvalue()

    return changed


def with_value(value: float) -> Callable[[Any, Random], Any]:
    def changed(values: Any, rng: Random) -> Any:
        if values.size:
            values.flat[rng.randrange(values.size)] = value
        return values

    return changed


def json_value(content: bytes, rng: Random) -> bytes:
    """A value in an object replaced; other files get an odd cell."""
    try:
        values = json.loads(content)
        key = rng.choice(list(values))
        odd = (
            [1, None],
            "x",
            {"a": 1},
            [[1]],
            [-1],
            [1.5],
            [True],
            [10**30],
            [10**15],
            [],
            None,
            1e308,
            [1e308] * 3,
        )
        values[key if rng.random() < 0.7 else rng.choice(("x", "-1", "1e3", str(10**12)))] = rng.choice(odd)
    except Exception:
        return lines_of(odd_cell)(content, rng)
    return json.dumps(values).encode()


def huge_npy(content: bytes, rng: Random) -> bytes:
    """A header that claims ten billion rows."""
    shape = rng.choice(("(10000000000, 4)", "(4, 10000000000)", "(-4, 4)", "(99999999999999999999, 4)"))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 64


def huge_npz(content: bytes, rng: Random) -> bytes:
    """The same in an archive, or an archive of zeros that unpacks to a gigabyte."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        body = huge_npy(b"", rng)
        archive.writestr("features.npy", body if rng.random() < 0.7 else body + b"\0" * (80 << 20))
    return stream.getvalue()


def objects(content: bytes, rng: Random) -> bytes:
    """An .npy file of objects, which is a pickle."""
    stream = io.BytesIO()
    np.save(stream, np.array([[Payload()]], dtype=object), allow_pickle=True)
    return stream.getvalue()


MUTATIONS: dict[str, Mutation] = {
    "nothing": lambda content, rng: content,
    "flip": flip,
    "flip early": flip_early,
    "flip late": flip_late,
    "truncate": lambda content, rng: content[: rng.randrange(len(content) + 1)],
    "lose the beginning": lambda content, rng: content[rng.randrange(len(content) + 1) :],
    "empty": lambda content, rng: b"",
    "twice": lambda content, rng: content + content,
    "garbage": lambda content, rng: rng.randbytes(rng.randrange(300)),
    "UTF-16": lambda content, rng: content.decode("latin-1").encode("utf-16"),
    "no UTF-8": lambda content, rng: content.replace(b"e", b"\xe9", rng.randrange(1, 9)),
    "BOM": lambda content, rng: b"\xef\xbb\xbf" + content,
    "Windows": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "old Macintosh": lambda content, rng: content.replace(b"\n", b"\r"),
    "other delimiter": lambda content, rng: content.replace(b"\t", b";").replace(b",", b"\t"),
    "odd cell": lines_of(odd_cell),
    "renamed column": lines_of(renamed_column),
    "lost cell": lines_of(lost_cell),
    "doubled row": lines_of(doubled_row),
    "lost row": lines_of(lost_row),
    "swapped cells": lines_of(swapped_cells),
    "exchanged columns": lines_of(of_columns(exchanged)),
    "numbers with a point": lines_of(of_columns(as_floats)),
    "blanks before cells": lines_of(of_columns(with_blanks)),
    "lone quotes": lines_of(lone_quotes),
    "cut piece": cut_piece,
    "repeated piece": repeated_piece,
    "retyped column": parquet_table(retyped),
    "renamed Parquet column": parquet_table(renamed),
    "empty column": parquet_table(emptied),
    "no rows of Parquet": parquet_table(lambda table, rng, k: table.slice(0, 0)),
    "JSON value": json_value,
    "deep JSON": lambda content, rng: b"[" * 100_000,
    "NaN": array(with_value(float("nan"))),
    "infinity": array(with_value(float("inf"))),
    "fewer rows": array(lambda values, rng: values[:-1]),
    "more rows": array(lambda values, rng: np.concatenate([values, values[:1]])),
    "whole numbers": array(lambda values, rng: values.astype(np.int64)),
    "a vector": array(lambda values, rng: values.ravel()),
    "zeros": array(lambda values, rng: values * 0),
    "no columns": array(lambda values, rng: values[..., :0]),
    "huge .npy": huge_npy,
    "huge .npz": huge_npz,
    "objects": objects,
    "payload": lambda content, rng: pickle.dumps(Payload(), rng.randrange(5)),
}
