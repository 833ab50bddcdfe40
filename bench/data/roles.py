"""Which column of a table is what: users, items, times, and what says which rows are positives. Pure.

Ratings and labels do not enter a data set: a row is an interaction or it is left out. So every column that looks
like one is told of, and `--min-rating` or `--positive` say which rows count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, UsageError, listed, nearest_hint
from bench.core.types import BoolArray

if TYPE_CHECKING:
    import pyarrow as pa

USUAL = {
    "user": ("userid", "user", "uid", "reviewerid", "customerid", "visitorid", "useridx", "userindex"),
    "item": ("itemid", "item", "iid", "asin", "parentasin", "movieid", "videoid", "productid", "articleid",
             "trackid", "songid", "bookid", "newsid", "itemidx", "itemindex"),
    "time": ("timestamp", "time", "ts", "unixreviewtime", "unixtime", "datetime", "date", "timestamps"),
}  # fmt: skip
RATING_WORDS = frozenset(
    (
        *(
            "rating",
            "ratings",
            "rate",
            "rated",
            "star",
            "stars",
            "score",
            "scores",
            "grade",
            "overall",
            "relevance",
        ),
        *("label", "labels", "positive", "target", "feedback", "preference", "like", "likes", "liked", "dislike"),
        *("click", "clicks", "clicked", "vote", "votes", "purchase", "purchased", "finish"),
    )
)
PART_LABEL = "xlabel"  # MMRec's x_label is a part and no label
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
RATED = "Every row is a positive, whatever its "
SHOWN_LABELS = 5
OPTIONS = {
    "user": "--user-column", "item": "--item-column", "time": "--time-column", "rating": "--rating-column",
    "min_rating": "--min-rating", "positive": "--positive",
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """What the user says of the columns of a table; None: found by their usual names.

    Attributes:
        user: the column of users.
        item: of items.
        time: of times.
        rating: of ratings or labels, where `min_rating` or `positive` is given and two could be meant.
        min_rating: rows below it are left out.
        positive: rows with another value are left out.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    min_rating: float | None = None
    positive: str | None = None

    def __post_init__(self) -> None:
        if self.min_rating is not None and self.positive is not None:
            raise UsageError("--min-rating and --positive are two answers to one question. Give one of them.")
        if self.rating is not None and not self.chooses:
            raise UsageError("--rating-column says nothing alone. Add --min-rating X or --positive LABEL.")

    @property
    def chooses(self) -> bool:
        """Whether only some rows are positives."""
        return self.min_rating is not None or self.positive is not None

    @property
    def given(self) -> list[tuple[str, str]]:
        """The options that say the same, each with its value."""
        said = [(OPTIONS[name], value) for name, value in vars(self).items() if value is not None]
        return [(option, value if isinstance(value, str) else f"{value:g}") for option, value in said]


def plain(name: str) -> str:
    """A column's name without case and signs, so that `user_id`, `userId` and `UserID` are one."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def usual_column(names: Sequence[str], role: str, given: str | None) -> str | None:
    """The column for a role: the one that the user named, else the first usual name; None where there is none."""
    if given is not None:
        return given if given in names else None
    by_plain = {plain(name): name for name in reversed(names)}
    return next((by_plain[name] for name in USUAL[role] if name in by_plain), None)


def needed_column(path: Path, names: Sequence[str], role: str, given: str | None) -> str:
    """The same, where there must be one.

    Raises:
        DataError: there is none.
    """
    found = usual_column(names, role, given)
    if found is None:
        wanted = f"the column '{given}'" if given else f"a column of {role} ids, such as '{role}_id',"
        raise DataError(
            f"{path}, row 1: {wanted} is missing; the columns are {listed(names)}."
            f"{nearest_hint(given or f'{role}_id', names)} Name it with {OPTIONS[role]} NAME."
        )
    return found


def roles(path: Path, names: Sequence[str], columns: Columns) -> dict[str, str]:
    """The column of users, of items and, where there is one, of times and of what chooses the positives.

    Raises:
        DataError: one is missing, or a column would have two roles.
    """
    found = {role: needed_column(path, names, role, getattr(columns, role)) for role in ("user", "item")}
    free = [name for name in names if name not in found.values()]
    time = usual_column(free, "time", None) if columns.time is None else columns.time
    if time is not None:
        found["time"] = needed_column(path, names, "time", time)
    if columns.chooses:
        found["rating"] = rating_column(path, names, columns)
    refuse_two_roles(path, found)
    return found


def refuse_two_roles(path: Path, found: dict[str, str]) -> None:
    """Refuse one column in two roles.

    Raises:
        DataError: there is one; the message says which roles.
    """
    by_column: dict[str, str] = {}
    for role, name in found.items():
        if name in by_column:
            options = [OPTIONS[each] for each in (by_column[name], role) if each in OPTIONS]
            raise DataError(
                f"{path}: the column '{name}' would be that of {by_column[name]}s and of {role}s; a column has "
                f"one role. Name another one with {' or '.join(options)}."
            )
        by_column[name] = role


def like_ratings(names: Sequence[str]) -> list[str]:
    """The columns whose names speak of ratings or labels, such as `is_click`, `overall` and `userRating`."""
    return [
        name
        for name in names
        if plain(name) != PART_LABEL and RATING_WORDS.intersection(word.lower() for word in WORDS.findall(name))
    ]


def rating_column(path: Path, names: Sequence[str], columns: Columns) -> str:
    """The column that `--min-rating` or `--positive` is about.

    Raises:
        DataError: there is none, or more than one and none is named.
    """
    if columns.rating is not None:
        if columns.rating in names:
            return columns.rating
        hint = nearest_hint(columns.rating, names)
        raise DataError(
            f"{path}, row 1: the column '{columns.rating}' is missing; the columns are {listed(names)}.{hint} "
            "Name one of them with --rating-column."
        )
    found = like_ratings(names)
    if len(found) != 1:
        which = f"{listed(found)} look like ratings" if found else "no column looks like a rating or label"
        raise DataError(f"{path}: {which}; the columns are {listed(names)}. Name one with --rating-column NAME.")
    return found[0]


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """A column as numbers, NaN where a row has none, `[n]`; None where it holds something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(texts, ""), pa.scalar(None, kind), texts)
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowInvalid:
        return None
    return numbers


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as trimmed texts in small letters, "" where a row has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(pa.large_string())
    return pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), "")


def extent(column: pa.ChunkedArray) -> str:
    """What a column holds, in words: "1 to 5", "always 1", or some of its labels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = _numbers(column)
    if numbers is not None:
        held = numbers[~np.isnan(numbers)]
        if not len(held):
            return "nothing"
        low, high = held.min(), held.max()
        return f"always {low:g}" if low == high else f"{low:g} to {high:g}"
    try:
        labels = pc.unique(column.cast(pa.large_string())).to_pylist()
    except pa.ArrowException:
        return f"values of type {column.type}"
    shown = [f"'{str(label)[:20]}'" for label in labels[:SHOWN_LABELS]]
    more = f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    return f"{listed(shown)}{more}"


def positives(path: Path, name: str, column: pa.ChunkedArray, columns: Columns) -> BoolArray:
    """Which rows count as interactions, `[n]`.

    Args:
        path: of the table, for errors.
        name: of the column.
        column: ratings or labels.
        columns: with a minimum or a label.

    Raises:
        DataError: the column holds no numbers to be compared, or no row is a positive.
    """
    numbers = _numbers(column)
    kept: BoolArray
    if columns.min_rating is not None:
        if numbers is None:
            raise DataError(
                f"{path}: '{name}' holds {extent(column)}, which are no numbers; --min-rating compares numbers. "
                "Give --positive LABEL, or name another column with --rating-column."
            )
        kept = np.nan_to_num(numbers, nan=-np.inf) >= columns.min_rating
    else:
        kept = _equal(column, numbers, str(columns.positive))
    if not kept.any():
        wanted = listed(" ".join(each) for each in columns.given if each[0] in ("--min-rating", "--positive"))
        raise DataError(
            f"{path}: with {wanted} no row is a positive; '{name}' holds {extent(column)}. Correct it."
        )
    return kept


def _equal(column: pa.ChunkedArray, numbers: NDArray[np.float64] | None, label: str) -> BoolArray:
    """Rows whose value is the label, as a number where both are numbers."""
    import pyarrow.compute as pc

    if numbers is not None:
        wanted = {"true": "1", "false": "0"}.get(label.strip().lower(), label)
        try:
            return np.asarray(numbers == float(wanted))
        except ValueError:
            return np.zeros(len(numbers), dtype=bool)
    return np.asarray(pc.equal(_texts(column), label.strip().lower()).to_numpy())


def rating_notes(held: Mapping[str, str], chosen: str | None, n_rows: int, n_dropped: int) -> list[str]:
    """What a reader must know of ratings and labels.

    Args:
        held: what each such column holds, in words.
        chosen: the one that chose the positives, if one did.
        n_rows: rows of the tables.
        n_dropped: those that are no positives.
    """
    notes = []
    for name, words in held.items():
        if chosen is None:
            notes.append(f"{RATED}'{name}' ({words}).")
        elif name == chosen:
            notes.append(
                f"{n_dropped:,} of {n_rows:,} rows are no positives by their '{name}' ({words}), and were left "
                "out."
            )
        else:
            notes.append(f"The column '{name}' ({words}) is not used.")
    return notes
