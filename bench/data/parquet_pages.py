"""Sizes that the pages of a Parquet file claim, compared with the size of the file before memory is allocated.

The directory of the columns and the headers of the pages are parsed here: to ask pyarrow for the entry of a column
in the directory ends the whole process if statistics in that entry are damaged. Reads files; writes nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FREE_VALUES, VALUES_PER_BYTE = 1 << 22, 64  # plausible values of a column: this, and so many per byte of the file
FREE_BYTES, UNPACKED = 1 << 30, 100  # plausible unpacked bytes: this, and so many times the size of the file
MOST_PAGES, MOST_DIRECTORY = 1_000_000, 64 << 20  # pages of a column; bytes of a directory
TAIL = 8  # bytes at the end of a file: the length of the directory in four bytes, and the letters PAR1
# Thrift's types of fields.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
BITS = {I16: 16, I32: 32, I64: 64}
MOST_LEVELS = 12
# Numbers and types of fields (parquet.thrift): from a FileMetaData to the ColumnMetaData of a column, and in that.
ROW_GROUPS, COLUMNS, ENTRY = (4, LIST), (1, LIST), (3, STRUCT)
COMPRESSED, FIRST_DATA, FIRST_DICTIONARY = (7, I64), (9, I64), (11, I64)
# Of a PageHeader: sizes; headers of a data page, a dictionary and a data page v2; and in each of these.
SIZE, PACKED, HEADERS = (2, I32), (3, I32), ((5, STRUCT), (7, STRUCT), (8, STRUCT))
N_VALUES = (1, I32)

Fields = dict[int, tuple[int, Any]]  # type and value of each field of a structure, by number


def check_pages(path: Path, metadata: Any, columns: Sequence[str]) -> None:
    """Refuse columns that unpack to far more than is plausible for a file of that size.

    The directory at the file's end cannot be trusted: one page can write a list of a billion numbers in a few
    bytes, and the library does not compare its counts with those of the pages. So read the headers of the pages,
    which a reader relies on.

    Args:
        path: of the file.
        metadata: its directory, pyarrow's `FileMetaData`, for the names of the columns.
        columns: names of top-level columns that are about to be read.

    Raises:
        ValueError: a column claims too many values or bytes, or the directory or a page header is malformed.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        directory = _directory(content)
        for index in range(metadata.num_columns):
            name = metadata.schema.column(index).path
            if not any(name == column or name.startswith(f"{column}.") for column in columns):
                continue
            n_values, n_bytes = _claimed_sizes(content, directory, index)
            most_values = FREE_VALUES + VALUES_PER_BYTE * len(content)
            most_bytes = FREE_BYTES + UNPACKED * len(content)
            if n_values > most_values or n_bytes > most_bytes:
                raise ValueError(
                    f"the column '{name[:60]}' claims {n_values:,} values and {n_bytes:,} bytes unpacked in a "
                    f"file of {len(content):,} bytes, which is not plausible"
                )


def _directory(content: mmap.mmap) -> Fields:
    """Return the fields of the directory at the end of a file, a FileMetaData."""
    length = int.from_bytes(content[-TAIL:][:4], "little")
    if not 0 < length <= min(len(content) - TAIL, MOST_DIRECTORY):
        raise ValueError(f"its directory claims {length:,} bytes, which is not plausible")
    return _Thrift(content, len(content) - TAIL - length).struct()


def _field(fields: Any, wanted: tuple[int, int], default: Any = None) -> Any:
    """Return the value of the field with the wanted number and type, of what should be a structure."""
    kind, value = fields.get(wanted[0], (wanted[1], default)) if isinstance(fields, dict) else (TRUE, None)
    if kind != wanted[1] or value is None:
        raise ValueError(f"a header lacks the field {wanted[0]}, or has it in another type")
    return value


def _spans(directory: Fields, index: int) -> Iterator[tuple[int, int]]:
    """Yield where the pages of a column begin and end, for each group of rows."""
    for group in _field(directory, ROW_GROUPS):
        columns = _field(group, COLUMNS)
        if index >= len(columns):
            raise ValueError("its directory lacks a column")
        entry = _field(columns[index], ENTRY)
        place, length = _field(entry, FIRST_DATA), _field(entry, COMPRESSED)
        dictionary = _field(entry, FIRST_DICTIONARY, default=0)
        place = min(place, dictionary) if dictionary > 0 else place
        if place < 0 or length < 0:
            raise ValueError("a column begins before the file, or has less than no bytes")
        yield place, place + length


def _claimed_sizes(content: mmap.mmap, directory: Fields, index: int) -> tuple[int, int]:
    """Return the number of values and of unpacked bytes of all pages of a column, as their headers claim."""
    n_values = n_bytes = n_pages = 0
    for place, end in _spans(directory, index):
        while place < end:
            thrift = _Thrift(content, place)
            page = thrift.struct()
            counts = [_field(_field(page, header), N_VALUES) for header in HEADERS if header[0] in page]
            packed_size, size = _field(page, PACKED), _field(page, SIZE)
            if packed_size < 0 or size < 0 or not counts:
                raise ValueError("a page has no valid header")
            n_values, n_bytes, n_pages = n_values + max(counts), n_bytes + size, n_pages + 1
            if n_pages > MOST_PAGES:
                raise ValueError(f"a column has more than {MOST_PAGES:,} pages")
            place = thrift.place + packed_size
    return n_values, n_bytes


class _Thrift:
    """A reader of one structure in Thrift's compact form; it keeps only integers, lists and inner structures.

    What pyarrow would read in another way, such as a number that it cuts to fewer bits, is refused: else a file
    could show its reader other sizes than it shows us.
    """

    def __init__(self, content: mmap.mmap, place: int) -> None:
        self._content, self.place = content, place

    def struct(self, depth: int = 0) -> Fields:
        """Read type and value of all fields of a structure, by number."""
        if depth > MOST_LEVELS:
            raise ValueError("a header is nested too deeply")
        fields: Fields = {}
        field = 0
        while (first := self._byte()) != 0:
            step, kind = first >> 4, first & 15
            field = field + step if step else self._integer(I16)
            if field in fields or not 0 < field < 1 << 15:
                raise ValueError(f"a header has the field {field} twice, or no field of that number exists")
            fields[field] = kind, self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (TRUE, FALSE):
            return None
        if kind == BYTE:
            return self._byte()
        if kind in BITS:
            return self._integer(kind)
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth + 1)
        if kind == DOUBLE:
            self._skip(8)
        elif kind == BINARY:
            self._skip(self._varint())
        else:
            raise ValueError("a header has a field of an unknown type")
        return None

    def _list(self, depth: int) -> list[Any]:
        """Read the elements of a list; each takes at least one byte, so that its claimed length is no danger."""
        if depth > MOST_LEVELS:
            raise ValueError("a header is nested too deeply")
        first = self._byte()
        size, kind = first >> 4, first & 15
        size = self._varint() if size == 15 else size
        kind = BYTE if kind in (TRUE, FALSE) else kind  # a field's type is its value, an element has a byte for it
        return [self._value(kind, depth) for _ in range(size)]

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._content):
            raise ValueError("a header ends after the file")

    def _byte(self) -> int:
        self._skip(1)
        return self._content[self.place - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a header holds a number beyond 64 bits")

    def _integer(self, kind: int) -> int:
        value = self._varint()
        if value >> BITS[kind]:
            raise ValueError(f"a header holds a number beyond {BITS[kind]} bits")
        return (value >> 1) ^ -(value & 1)
