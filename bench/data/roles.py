"""The roles of a table's columns: users, items, times, and what selects the rows that are positives. Pure.

Data sets hold no ratings or labels: a row is an interaction, or it is left out. So a note names every column that
looks like a rating, and `--min-rating` or `--positive` say which rows count.
"""

from __future__ import annotations

import re
import shlex
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
# Words that make a column likely enough to be proposed, though not to be taken: the most telling ones first.
SIMILAR = {
    "user": ("user", "customer", "buyer", "client", "member", "visitor", "account", "reviewer", "reader", "viewer",
             "listener", "player", "subscriber", "guest", "shopper", "person", "profile", "author"),
    "item": ("item", "product", "sku", "article", "asin", "isbn", "movie", "film", "video", "song", "track",
             "book", "game", "recipe", "hotel", "restaurant",
             "business", "venue", "course", "app", "news", "good"),
    "time": ("when", "time", "timestamp", "date", "datetime", "day", "epoch", "unix", "at", "created", "moment"),
}  # fmt: skip
RATING_WORDS = frozenset({
    "rating", "ratings", "rate", "rated", "star", "stars", "score", "scores", "grade", "overall", "relevance",
    "label", "labels", "positive", "target", "feedback", "preference", "like", "likes", "liked", "dislike",
    "click", "clicks", "clicked", "vote", "votes", "purchase", "purchased", "finish",
})  # fmt: skip
PART_LABEL = "xlabel"  # MMRec's x_label is the part of a row, not a label
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
ALL_POSITIVE = "Every row is a positive, whatever its "
SHOWN_LABELS = 5
OPTIONS = {
    "user": "--user-column", "item": "--item-column", "time": "--time-column", "rating": "--rating-column",
    "min_rating": "--min-rating", "positive": "--positive",
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The user's options for the columns of a table; None: columns are found by their usual names.

    Attributes:
        user: the column of users.
        item: of items.
        time: of times.
        rating: of ratings or labels; needed with `min_rating` or `positive` if several columns look like ratings.
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
            raise UsageError("--min-rating and --positive both select the positives. Give one of them.")
        if self.rating is not None and not self.chooses:
            raise UsageError("--rating-column has no effect alone. Add --min-rating X or --positive LABEL.")

    @property
    def chooses(self) -> bool:
        """Return whether only some rows are positives."""
        return self.min_rating is not None or self.positive is not None

    @property
    def given(self) -> list[tuple[str, str]]:
        """Return the command-line options that were given, each with its value."""
        options = [(OPTIONS[name], value) for name, value in vars(self).items() if value is not None]
        return [(option, value if isinstance(value, str) else f"{value:g}") for option, value in options]


def plain_name(name: str) -> str:
    """Return a column's name in lower case, without signs: `user_id`, `userId` and `UserID` become equal."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find_column(names: Sequence[str], role: str, given: str | None) -> str | None:
    """Return the column for a role: the one that the user named, else the first usual name; None if absent."""
    if given is not None:
        return given if given in names else None
    by_plain = {plain_name(name): name for name in reversed(names)}
    return next((by_plain[name] for name in USUAL[role] if name in by_plain), None)


def propose_column(names: Sequence[str], role: str) -> str | None:
    """Return the column that is most likely to have a role, by the words in its name, or None."""
    similar, ranked = SIMILAR[role], []
    for name in names:
        words = {each.lower() for each in WORDS.findall(name)}
        ranks = [rank for rank, word in enumerate(similar) if not words.isdisjoint((word, f"{word}s"))]
        ranked += [(rank, "id" not in words, name) for rank in ranks]
    return min(ranked)[2] if ranked else None


def require_column(path: Path, names: Sequence[str], role: str, given: str | None) -> str:
    """Return the column for a role, like `find_column`; it must exist.

    Raises:
        DataError: it is missing.
    """
    found = find_column(names, role, given)
    if found is None:
        wanted = f"the column '{given}'" if given else f"a column of {role} ids, such as '{role}_id',"
        raise DataError(
            f"{path}, row 1: {wanted} is missing; the columns are {listed(names)}."
            f"{nearest_hint(given or f'{role}_id', names)} Name it with {OPTIONS[role]} "
            f"{shlex.quote(propose_column(names, role) or 'NAME') if role in SIMILAR else 'NAME'}."
        )
    return found


def find_roles(path: Path, names: Sequence[str], columns: Columns) -> dict[str, str]:
    """Return the columns of users and items and, if present, those of times and of what selects positives.

    Raises:
        DataError: one is missing, or a column would have two roles.
    """
    by_role = {role: require_column(path, names, role, getattr(columns, role)) for role in ("user", "item")}
    free = [name for name in names if name not in by_role.values()]
    time = find_column(free, "time", None) if columns.time is None else columns.time
    if time is not None:
        by_role["time"] = require_column(path, names, "time", time)
    if columns.chooses:
        by_role["rating"] = rating_column(path, names, columns)
    refuse_two_roles(path, by_role)
    return by_role


def refuse_two_roles(path: Path, by_role: dict[str, str]) -> None:
    """Refuse a column with two roles.

    Raises:
        DataError: there is such a column; the message names its roles.
    """
    by_column: dict[str, str] = {}
    for role, name in by_role.items():
        if name in by_column:
            options = [OPTIONS[each] for each in (by_column[name], role) if each in OPTIONS]
            raise DataError(
                f"{path}: the column '{name}' would be that of {by_column[name]}s and of {role}s; a column has "
                f"one role. Name another one with {' or '.join(options)}."
            )
        by_column[name] = role


def rating_like_columns(names: Sequence[str]) -> list[str]:
    """Return the columns named like ratings or labels, such as `is_click`, `overall` and `userRating`."""
    return [
        name
        for name in names
        if plain_name(name) != PART_LABEL
        and RATING_WORDS.intersection(word.lower() for word in WORDS.findall(name))
    ]


def rating_column(path: Path, names: Sequence[str], columns: Columns) -> str:
    """Return the column that `--min-rating` or `--positive` applies to.

    Raises:
        DataError: no column looks like a rating, or several do and none is named.
    """
    if columns.rating is not None:
        if columns.rating in names:
            return columns.rating
        hint = nearest_hint(columns.rating, names)
        raise DataError(
            f"{path}, row 1: the column '{columns.rating}' is missing; the columns are {listed(names)}.{hint} "
            "Name one of them with --rating-column."
        )
    found = rating_like_columns(names)
    if len(found) != 1:
        which = f"{listed(found)} look like ratings" if found else "no column looks like a rating or label"
        raise DataError(f"{path}: {which}; the columns are {listed(names)}. Name one with --rating-column NAME.")
    return found[0]


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Return a column as numbers, NaN for empty cells, `[n]`; None if it holds anything else."""
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
    """Return a column as trimmed texts in lower case, "" for empty cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(pa.large_string())
    return pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), "")


def describe_values(column: pa.ChunkedArray) -> str:
    """Describe the values of a column: "1 to 5", "always 1", or some of its labels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = _numbers(column)
    if numbers is not None:
        present = numbers[~np.isnan(numbers)]
        if not len(present):
            return "nothing"
        low, high = present.min(), present.max()
        return f"always {low:g}" if low == high else f"{low:g} to {high:g}"
    try:
        labels = pc.unique(column.cast(pa.large_string())).to_pylist()
    except pa.ArrowException:
        return f"values of type {column.type}"
    shown = [f"'{str(label)[:20]}'" for label in labels[:SHOWN_LABELS]]
    more = f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    return f"{listed(shown)}{more}"


def positives(path: Path, name: str, column: pa.ChunkedArray, columns: Columns) -> BoolArray:
    """Return which rows count as interactions, `[n]`.

    Args:
        path: of the table, for error messages.
        name: of the column.
        column: ratings or labels.
        columns: options with a minimum or a label.

    Raises:
        DataError: the column does not hold numbers as `min_rating` needs, or no row is a positive.
    """
    numbers = _numbers(column)
    kept: BoolArray
    if columns.min_rating is not None:
        if numbers is None:
            raise DataError(
                f"{path}: '{name}' holds {describe_values(column)}, which are not numbers; --min-rating compares "
                "numbers. Give --positive LABEL, or name another column with --rating-column."
            )
        kept = np.nan_to_num(numbers, nan=-np.inf) >= columns.min_rating
    else:
        kept = _equals_label(column, numbers, str(columns.positive))
    if not kept.any():
        wanted = listed(" ".join(each) for each in columns.given if each[0] in ("--min-rating", "--positive"))
        raise DataError(
            f"{path}: with {wanted} no row is a positive; '{name}' holds {describe_values(column)}. Give a value "
            "that it holds."
        )
    return kept


def _equals_label(column: pa.ChunkedArray, numbers: NDArray[np.float64] | None, label: str) -> BoolArray:
    """Return the rows whose value equals the label, as numbers if both are numbers."""
    import pyarrow.compute as pc

    if numbers is not None:
        wanted = {"true": "1", "false": "0"}.get(label.strip().lower(), label)
        try:
            return np.asarray(numbers == float(wanted))
        except ValueError:
            return np.zeros(len(numbers), dtype=bool)
    return np.asarray(pc.equal(_texts(column), label.strip().lower()).to_numpy())


def n_unrated(column: pa.ChunkedArray) -> int:
    """Return how many rows of a column of numbers hold none; 0 for a column of texts."""
    numbers = _numbers(column)
    return 0 if numbers is None else int(np.isnan(numbers).sum())


def rating_notes(
    values: Mapping[str, str], chosen: str | None, n_rows: int, n_dropped: int, n_missing: int = 0
) -> list[str]:
    """Return the notes on ratings and labels for the report.

    Args:
        values: description of the values of each such column.
        chosen: the column that selected the positives, if any.
        n_rows: rows of the tables.
        n_dropped: rows that are not positives.
        n_missing: those of them without a rating.
    """
    notes = []
    for name, words in values.items():
        if chosen is None:
            notes.append(f"{ALL_POSITIVE}'{name}' ({words}).")
        elif name == chosen:
            notes.append(
                f"{n_dropped:,} of {n_rows:,} rows are not positives by their '{name}' ({words}), and were left "
                f"out{f'; {n_missing:,} of them have no rating' if n_missing else ''}."
            )
        else:
            notes.append(f"The column '{name}' ({words}) is not used.")
    return notes
