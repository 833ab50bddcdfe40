"""LATTICE's format: train.json, val.json and test.json, each an object from user to a list of items.

Reads files; writes nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.core.errors import DataError
from bench.core.types import IntArray, Interactions
from bench.data.columns import load_json
from bench.data.feature_files import is_of_users
from bench.data.features import ItemKeys, read_single_matrix
from bench.data.formats.place import Content, Place, describe_missing_parts, part_files, required_parts
from bench.data.raw import RawData, refuse_implausible_counts

NAME = "lattice"
NEEDS = "train.json, val.json and test.json, each an object from user to a list of items, numbered from 0"
TAKES_COLUMNS = False
PATTERN = r"PART[a-z]*\.json"
ID = re.compile(r"0|[1-9][0-9]{0,17}")  # fits 64 bits; without leading zeros, so that no user has two names


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    files = part_files(place.files, PATTERN)
    if files is None:
        return None
    return f"{files[0].name}, {files[1].name} and {files[2].name} list the items of each user"


def explain(place: Place) -> list[str]:
    """Return which parts are missing if files of others exist."""
    return describe_missing_parts(place.files, PATTERN)


def read(place: Place) -> Content:
    """Read the interactions. Users are the keys; items run to the last row of their .npy files, if any.

    Raises:
        DataError: a file is missing or malformed.
    """
    files = required_parts(place, PATTERN, NAME, NEEDS)
    lists = [_part(path) for path in files]
    users = np.unique(np.concatenate([keys for keys, _, _ in lists]))
    items = np.unique(np.concatenate([items for _, _, items in lists]))
    n_pairs = sum(len(items) for _, _, items in lists)
    if not n_pairs:
        raise DataError(f"{files[0]}: no user has an item. Replace the three files.")
    _refuse_gaps(files[0], "user", users)
    n_items = int(items[-1]) + 1
    refuse_implausible_counts(files[0], len(users), n_items, n_pairs)
    rows = _feature_rows(place)
    if n_items <= rows:
        n_items = rows
    else:
        _refuse_gaps(files[0], "item", items)
    parts = tuple(Interactions.from_pairs(owners, taken, len(users), n_items) for _, owners, taken in lists)
    n_repeated = n_pairs - sum(map(len, parts))
    raw = RawData(f"interactions, read from {place.path}", parts, (), n_repeated=n_repeated)
    return Content(raw, ItemKeys.by_index(n_items), files)


def _part(path: Path) -> tuple[IntArray, IntArray, IntArray]:
    """Read one file: the users that are keys, `[m]`, and user and item of each interaction, `[n]` each."""
    content = load_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold one object from user to a list of items. Write it so.")
    for user, items in content.items():
        if not ID.fullmatch(user):
            raise DataError(f"{path}: the user '{user[:40]}' is not a whole number from 0. Number users from 0.")
        if not isinstance(items, list) or not all(type(item) is int and 0 <= item < 10**18 for item in items):
            raise DataError(
                f"{path}: the items of user {user} are {str(items)[:60]}, expected a list of whole numbers from "
                "0. Correct them."
            )
    users = np.array([int(user) for user in content], dtype=np.int64)
    if len(np.unique(users)) < len(users):
        raise DataError(f"{path} names a user twice. Merge the two lists.")
    lengths = [len(items) for items in content.values()]
    items = np.fromiter((item for each in content.values() for item in each), dtype=np.int64, count=sum(lengths))
    return users, np.repeat(users, lengths), items


def _refuse_gaps(path: Path, kind: str, ids: IntArray) -> None:
    """Raise a DataError unless the sorted ids are 0, 1, 2 and so on."""
    gaps = np.flatnonzero(ids != np.arange(len(ids)))
    if len(gaps):
        raise DataError(
            f"{path} and the files of the other parts name the {kind} {ids[gaps[0]]}, but no {kind} {gaps[0]}. "
            f"Number {kind}s from 0 without gaps"
            + (", or put a feature file there with a row for every item." if kind == "item" else ".")
        )


def _feature_rows(place: Place) -> int:
    """Return the number of rows of the .npy files of items if it is the same in all, else 0."""
    try:
        rows = {len(read_single_matrix(path).rows) for path in place.ending(".npy") if not is_of_users(path)}
    except (DataError, TypeError):  # reported when the features themselves are read
        return 0
    return rows.pop() if len(rows) == 1 else 0
