"""Columns of a user's tables: CSV, TSV, RecBole's atomic files and Parquet. Reads, never writes.

Columns of text files are returned as texts, so that ids stay as they are written; those of Parquet keep their
types. Claimed sizes are compared with the size of the file before memory is allocated. Every line of a text file
is accounted for: it is a row, or blank, or it continues a quoted field, which a note reports.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import DataError, listed, one_line
from bench.core.files import check_plain, os_errors
from bench.core.names import is_readable
from bench.data.parquet_pages import FREE_BYTES, UNPACKED, check_pages

if TYPE_CHECKING:
    import pyarrow as pa

BOM, LF, CR = b"\xef\xbb\xbf", 10, 13
BLOCK = 16 << 20  # bytes of text parsed together; no row may be longer
MAX_HEADER, MAX_COLUMNS = 4 << 20, 20_000
MAX_ROWS = (1 << 31) - 1
FREE_ROWS, ROWS_PER_BYTE = 1_000_000, 64  # plausible rows; run lengths compress sorted ids, but not beyond this


def read_header(path: Path, delimiter: str) -> list[str]:
    """Read the column names in the first line of a text file.

    Raises:
        DataError: the file cannot be read, or its first line is not UTF-8 text or names a column twice.
    """
    advice = "Save the table as UTF-8 text with the column names in its first row."
    failure = f"{path}, row 1: the column names cannot be read"
    with os_errors(failure, advice, DataError, UnicodeDecodeError, csv.Error):
        check_plain(path)
        with path.open("rb") as stream:
            line = stream.readline(MAX_HEADER)
        names = next(csv.reader(io.StringIO(line.decode("utf-8-sig")), delimiter=delimiter), [])
    names = [name.strip() for name in names]
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{path}, row 1 names {len(names):,} columns; at most {MAX_COLUMNS:,} are read. Leave some out."
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{path}, row 1: the column '{repeated[0][:60]}' is named twice. Name every column once.")
    return names


@dataclass(frozen=True, eq=False)
class TextTable:
    """Columns of a text file.

    Attributes:
        columns: as texts.
        n_joined: lines below the header that only continue a quoted field.
        notes: how quotes were interpreted, where that is ambiguous.
    """

    columns: pa.Table
    n_joined: int = 0
    notes: tuple[str, ...] = ()


def read_text(path: Path, delimiter: str, wanted: Sequence[str], quoted: bool = True) -> TextTable:
    """Read columns of a text file, as texts.

    A quote that opens a field and is never closed would swallow the rows up to the next one. So the number of rows
    is compared with that of the lines. If they differ, quotes are taken as letters if every line then has all
    columns; otherwise the file must be valid CSV.

    Args:
        path: UTF-8, column names in the first row.
        delimiter: one character.
        wanted: names of columns; all exist.
        quoted: whether a field may stand in double quotes.

    Raises:
        DataError: the file is not such a table, or has no row below its header.
    """
    n_lines = count_lines(path) - 1  # without the header
    if n_lines < 1:
        raise DataError(f"{path} has no rows below its header. Add rows, or replace or remove the file.")
    try:
        table = _parse(path, delimiter, wanted, quoted)
    except DataError:
        if not quoted:
            raise
        letters = _without_quotes(path, delimiter, wanted, n_lines)
        if letters is None:
            _count_csv_rows(path, delimiter, n_lines)
            raise
        return letters
    if table.num_rows == n_lines:
        return TextTable(table)
    if not quoted:
        raise DataError(
            f"{path} has {n_lines:,} lines below its header, and {table.num_rows:,} rows were read. Save it "
            "again, one row per line."
        )
    letters = _without_quotes(path, delimiter, wanted, n_lines)
    return _with_long_fields(path, delimiter, wanted, n_lines) if letters is None else letters


def count_lines(path: Path) -> int:
    """Count the lines of a text file that are not blank; CR, LF and both together end a line.

    Raises:
        DataError: the file cannot be read.
    """
    count, before_ends = 0, True
    with (
        os_errors(f"{path} cannot be read", "Correct its permissions.", DataError),
        path.open("rb") as stream,
    ):
        if stream.read(len(BOM)) != BOM:
            stream.seek(0)
        while block := stream.read(BLOCK):
            characters = np.frombuffer(block, dtype=np.uint8)
            ends = (characters == LF) | (characters == CR)
            starts = ~ends[1:] & ends[:-1]  # blank lines and the LF of CR LF start no line
            count += int(starts.sum()) + int(before_ends and not ends[0])
            before_ends = bool(ends[-1])
    return count


def _parse(path: Path, delimiter: str, wanted: Sequence[str], quoted: bool, long_fields: bool = False) -> pa.Table:
    """Parse the columns with Arrow; with `long_fields` a quoted field may have several lines."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = read_header(path, delimiter)
    try:
        with _arrow_input(path) as source:
            return arrow_csv.read_csv(
                source,
                arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names, skip_rows=1),
                arrow_csv.ParseOptions(
                    delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=long_fields
                ),
                arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in wanted}, include_columns=list(wanted)
                ),
            )
    except Exception as problem:  # arrow documents no closed list of what malformed files raise
        raise DataError(
            f"{path}{_first_bad_bytes(path)} is not a table of {len(names)} columns in UTF-8 "
            f"({one_line(problem)}). Correct that row, or save the table again."
        ) from problem


@contextlib.contextmanager
def _arrow_input(path: Path) -> Iterator[Any]:
    """Give a path as Arrow accepts it: as a file, open for the body, if its name is not valid UTF-8."""
    if is_readable(path):
        yield path
    else:
        with path.open("rb") as file:
            yield file


def _without_quotes(path: Path, delimiter: str, wanted: Sequence[str], n_lines: int) -> TextTable | None:
    """Read the table with quotes as letters.

    None if lines then lack columns, or if a wanted field begins with a quote.
    """
    import pyarrow.compute as pc

    try:
        table = _parse(path, delimiter, wanted, quoted=False)
    except DataError:
        return None
    if table.num_rows != n_lines or any(pc.any(pc.starts_with(column, '"')).as_py() for column in table.columns):
        return None
    note = (
        f"Quotes in {path.name} are letters: some are never closed, and taken as quotes they would swallow rows. "
        f"All {n_lines:,} rows were read."
    )
    return TextTable(table, notes=(note,))


def _with_long_fields(path: Path, delimiter: str, wanted: Sequence[str], n_lines: int) -> TextTable:
    """Read a table whose quoted fields may have several lines, after checking that it is valid CSV."""
    n_rows = _count_csv_rows(path, delimiter, n_lines)
    table = _parse(path, delimiter, wanted, quoted=True, long_fields=True)
    if table.num_rows != n_rows:
        raise DataError(
            f"{path} holds {n_rows:,} rows by the rules of CSV, and {table.num_rows:,} were read. Save the table "
            "again, one row per line."
        )
    n_joined = n_lines - n_rows
    note = (
        f"{n_joined:,} of {n_lines:,} lines of {path.name} continue a quoted field of the line above; "
        f"{n_rows:,} rows were read."
    )
    return TextTable(table, n_joined, (note,))


def _count_csv_rows(path: Path, delimiter: str, n_lines: int) -> int:
    """Count the rows by the strict rules of CSV, and refuse a file that breaks them.

    Raises:
        DataError: a quote is never closed, or closed in the middle of a field, or a row lacks columns.
    """
    old_limit = csv.field_size_limit(BLOCK)
    start, n_rows = 1, -1
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter, strict=True)
            width = 0
            for row in rows:
                start = rows.line_num + 1
                n_rows += bool(row)
                width = width or len(row)
                if row and len(row) != width:
                    raise DataError(
                        f"{path}, row {rows.line_num}: it has {len(row):,} fields, row 1 has {width:,}. "
                        "Correct it."
                    )
    except UnicodeDecodeError:
        return n_rows  # the caller's own error names the bytes
    except csv.Error as problem:
        raise DataError(
            f"{path}, row {start}: a field opens a double quote that is not closed properly ({problem}), so that "
            f"quotes would swallow some of the {n_lines:,} rows. Remove the quote, or double it and put the whole "
            "field in quotes."
        ) from problem
    finally:
        csv.field_size_limit(old_limit)
    return n_rows


def _first_bad_bytes(path: Path) -> str:
    """Say where the first bytes of a text file are that are not UTF-8; "" if all are."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as problem:
                return f", row {number} (its byte {problem.start} is not UTF-8)"
    return ""


def parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        DataError: it is not a Parquet file, or claims implausibly many rows.
    """
    return list(parquet_schema(path).names)


def parquet_schema(path: Path) -> pa.Schema:
    """Return names and types of the columns; errors are those of `parquet_names`."""
    with _open_parquet(path) as file:
        return file.schema_arrow


@contextlib.contextmanager
def _open_parquet(path: Path, texts: Sequence[str] = ()) -> Iterator[Any]:
    """Open a Parquet file for the body, after comparing its claims with its size.

    Columns `texts` are read as dictionaries.
    """
    from pyarrow import parquet

    with contextlib.ExitStack() as stack:
        try:
            check_plain(path)
            source = stack.enter_context(_arrow_input(path))
            opened = parquet.ParquetFile(
                source, memory_map=True, page_checksum_verification=True, read_dictionary=list(texts)
            )
            file = stack.enter_context(opened)
            n_rows, n_bytes = file.metadata.num_rows, path.stat().st_size
        except DataError:
            raise
        except Exception as problem:  # Arrow raises many types
            raise DataError(
                f"{path} is not a Parquet file ({one_line(problem)}). Write it again, or convert the table to CSV."
            ) from problem
        if not 0 <= n_rows <= min(MAX_ROWS, FREE_ROWS + ROWS_PER_BYTE * n_bytes):
            raise DataError(
                f"{path} claims {n_rows:,} rows in {n_bytes:,} bytes, which is not plausible. Write it again."
            )
        yield file


def read_parquet(path: Path, wanted: Sequence[str]) -> pa.Table:
    """Read columns of a Parquet file, dictionaries resolved.

    Raises:
        DataError: the file is damaged, or names a column twice.
    """
    import pyarrow as pa

    with _open_parquet(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    for name in wanted:
        if schema.names.count(name) != 1:
            raise DataError(f"{path} has the columns {listed(schema.names)}; expected one '{name}'. Rename them.")
    kinds = dict(zip(schema.names, schema.types, strict=True))
    # Read texts as dictionaries: the size that they take in full can then be checked before they take it.
    texts = [name for name in wanted if pa.types.is_string(kinds[name]) or pa.types.is_large_string(kinds[name])]
    try:
        if metadata.num_rows:  # an empty table has no page with values
            check_pages(path, metadata, wanted)
        with _open_parquet(path, texts) as file:
            table = file.read(columns=list(wanted), use_threads=False)
        for index, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                _check_resolved_size(path, table.column(index))
                table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
        table.validate(full=True)  # Arrow does not check offsets and UTF-8 when it reads
    except Exception as problem:  # Arrow raises many types
        raise DataError(f"{path} is damaged ({one_line(problem)}). Fetch or write it again.") from problem
    for index, name in enumerate(table.column_names):
        if name in texts and table.schema.types[index] != kinds[name]:
            table = table.set_column(index, name, table.column(index).cast(kinds[name]))
    if table.num_rows != metadata.num_rows:
        raise DataError(f"{path} claims {metadata.num_rows:,} rows and holds {table.num_rows:,}. Write it again.")
    return table


def _check_resolved_size(path: Path, column: pa.ChunkedArray) -> None:
    """Refuse a dictionary whose long texts, repeated in many rows, would take too much memory once resolved."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(column.type.value_type) or pa.types.is_large_string(column.type.value_type)):
        return
    size = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
        size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    if size > FREE_BYTES + UNPACKED * path.stat().st_size:
        raise ValueError(f"its texts take {size:,} bytes once its dictionary is resolved, which is not plausible")


def row_number(path: Path, index: int) -> str:
    """Name a row: counted with the header in a text file, from 0 in Parquet."""
    return f"row {index}" if path.suffix.lower() == ".parquet" else f"row {index + 2}"
