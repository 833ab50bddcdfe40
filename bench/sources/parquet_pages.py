"""Layer 3. What the pages of a Parquet file claim to hold, before memory is taken for it. Reads page headers only.

The directory at a file's end is not believed: a row can be a list of a billion numbers that one page writes in a
few bytes, and the library does not compare its counts with those of the pages. So the headers of the pages are
read, which a reader goes by. They are written in Thrift's compact form (parquet.thrift, `PageHeader`).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FREE_VALUES, VALUES_PER_BYTE = 1 << 22, 64
FREE_BYTES, UNPACKED = 1 << 30, 100  # unpacked pages: this, and so many times the size of the file
MOST_PAGES = 1_000_000
SIZE, PACKED, HEADERS = 2, 3, (5, 7, 8)  # fields of a PageHeader: data page, dictionary, data page of version 2
N_VALUES = 1  # in each of those
TRUE, FALSE, BYTE, DOUBLE, BINARY, STRUCT = 1, 2, 3, 7, 8, 12  # kinds of fields; 4 to 6 are whole numbers


def check_pages(path: Path, metadata: Any, columns: Sequence[str]) -> None:
    """Refuse columns that unpack to far more than a file of that size can mean.

    Args:
        path: of the file.
        metadata: its directory, pyarrow's `FileMetaData`.
        columns: names of top-level columns that are about to be read.

    Raises:
        ValueError: a column claims too many values or bytes, or a page header is malformed.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for index in range(metadata.num_columns):
            name = metadata.schema.column(index).path
            if not any(name == column or name.startswith(f"{column}.") for column in columns):
                continue
            n_values, n_bytes = _claims(content, metadata, index)
            most_values = FREE_VALUES + VALUES_PER_BYTE * len(content)
            most_bytes = FREE_BYTES + UNPACKED * len(content)
            if n_values > most_values or n_bytes > most_bytes:
                raise ValueError(
                    f"the column '{name[:60]}' claims {n_values:,} values and {n_bytes:,} bytes unpacked in a "
                    f"file of {len(content):,} bytes, which is not believed"
                )


def _claims(content: mmap.mmap, metadata: Any, index: int) -> tuple[int, int]:
    """Values and unpacked bytes of all pages of a column."""
    n_values = n_bytes = n_pages = 0
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(index)
        place = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset:
            place = min(place, chunk.dictionary_page_offset)
        end = place + chunk.total_compressed_size
        while place < end:
            header = _Thrift(content, place)
            page = header.struct()
            counts = [page[field][N_VALUES] for field in HEADERS if isinstance(page.get(field), dict)]
            packed, size = page.get(PACKED), page.get(SIZE)
            if not isinstance(packed, int) or not isinstance(size, int) or packed < 0 or size < 0 or not counts:
                raise ValueError("a page has no sound header")
            n_values, n_bytes, n_pages = n_values + max(counts), n_bytes + size, n_pages + 1
            if n_pages > MOST_PAGES:
                raise ValueError(f"a column has more than {MOST_PAGES:,} pages")
            place = header.place + packed
    return n_values, n_bytes


class _Thrift:
    """Reads one structure in Thrift's compact form; only integers and inner structures are kept."""

    def __init__(self, content: mmap.mmap, place: int) -> None:
        self._content, self.place = content, place

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a structure by number."""
        if depth > 8:
            raise ValueError("a page header is nested too deeply")
        found: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            field = field + step if step else self._zigzag()
            found[field] = self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (TRUE, FALSE):
            return None
        if kind == BYTE:
            return self._byte()
        if BYTE < kind < DOUBLE:
            return self._zigzag()
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind == DOUBLE:
            self._skip(8)
        elif kind == BINARY:
            self._skip(self._varint())
        else:
            raise ValueError("a page header has a field that no page header has")
        return None

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._content):
            raise ValueError("a page header ends after the file")

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
                raise ValueError("a page header holds a number beyond 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
