"""Reader of GroupLens ratings: a table of user, item, stars and time, without a header or item features.

Reads one file; writes nothing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.files import os_errors
from bench.core.types import Interactions
from bench.data.cards import RatingsSource
from bench.data.formats.place import SourceOptions
from bench.data.numerals import to_numbers
from bench.data.pins import Checksums, check_counts, checked_path
from bench.data.raw import RawData
from bench.data.tables import count_lines

NAME = "ratings"
COLUMNS = ("user", "item", "rating", "time")
MOST_BYTES = 2 << 30


def read_source(source: RatingsSource, directory: Path, options: SourceOptions) -> RawData:
    """Read every rating as an interaction; users and items are indexed in the order of their ids.

    Raises:
        DataError: the table is missing, too large, malformed or fails its checksum; the message names the row.
    """
    path = checked_path(directory, source.file, Checksums())
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise DataError(f"{path} has {size:,} bytes, at most {MOST_BYTES:,} are read. Fetch the right file.")
    users, items, _, times = _numbers(path, source.separator)
    user_ids, users = np.unique(users, return_inverse=True)
    item_ids, items = np.unique(items, return_inverse=True)
    interactions = Interactions.from_pairs(users, items, len(user_ids), len(item_ids), times)
    raw = RawData(
        f"{source.title}, read from {path}",
        (interactions,),
        (),
        {},
        ("Every rating is a positive, whatever its number of stars.",),
        user_ids,
        item_ids,
        len(times) - len(interactions),
    )
    check_counts(directory, source.expected, raw)
    return raw


def _numbers(path: Path, separator: str) -> tuple[NDArray[Any], ...]:
    """Read the four columns, `[n]` each: ids as int64, stars and times as float64."""
    import pandas as pd

    with os_errors(f"{path} is not a table of ratings", "Fetch it again.", DataError, ValueError):
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(
            io.StringIO(text.replace(separator, "\t")),  # pandas' fast parser takes one character only
            sep="\t",
            header=None,
            dtype=str,
            quoting=3,
            na_filter=False,
        )
    n_lines = count_lines(path)
    if len(table) != n_lines:
        raise DataError(f"{path} has {n_lines:,} lines, but {len(table):,} ratings were read. Fetch it again.")
    if table.shape[1] != len(COLUMNS):
        raise DataError(
            f"{path} has {table.shape[1]} columns divided by '{separator}', expected {len(COLUMNS)}: user, item, "
            "rating and time. Fetch it again, or correct 'separator' in the data card."
        )
    columns = []
    for name, (_, texts) in zip(COLUMNS, table.items(), strict=True):
        values = to_numbers(texts)
        valid = np.isfinite(values) & (values >= 0) & (values < 2.0**53)  # float64 holds such ids exactly
        if name in ("user", "item"):
            valid &= values == np.floor(values)
        if not valid.all():
            row = int(np.argmin(valid))
            raise DataError(
                f"{path}, row {row + 1}: the {name} is '{texts.iloc[row]}', expected a number from 0. Fetch it "
                "again."
            )
        columns.append(values.astype(np.int64) if name in ("user", "item") else values)
    return tuple(columns)
