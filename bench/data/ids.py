"""Ids of users and items: where they stand, which are one in two spellings, which are missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed
from bench.core.text import counted
from bench.data.roles import USUAL, plain_name

if TYPE_CHECKING:
    import pyarrow as pa

# pandas, with which RecBole and MMRec read tables, takes these for missing values
READ_AS_MISSING = (
    "", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "n/a", "<NA>", "-nan", "-NaN", "#NA",
    "#N/A N/A", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN",
)  # fmt: skip
WRITTEN_FOR_MISSING = (*READ_AS_MISSING, "\\N", "NAN", "none", "NONE", "Null", "nil", "NaT")
# Names of columns of items in other tables than those of interactions, the most telling ones first.
ITEM_IDS = (*USUAL["item"], "itemids", "items", "ids", "id")
WITH_POINT = r"^(-?[0-9]+)\.0+$"


def refuse_ambiguous_ids(path: Path, kind: str, ids: NDArray[Any]) -> tuple[str, ...]:
    """Refuse ids that are one id written in two ways, and note others that are easily confused.

    Args:
        path: of the table.
        kind: "user" or "item".
        ids: distinct, `[n]`.

    Returns:
        Notes on ids with ".0", as pandas writes whole numbers of a column with gaps, and on ids with blanks
        around them.

    Raises:
        DataError: ids such as '5' and '5.0', or '5' and '5 ', both occur; other tools mean the same id by them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if ids.dtype != object:
        return ()
    texts = pa.array(ids, pa.large_string())
    trimmed = pc.utf8_trim_whitespace(texts)
    twins = _twins(texts, pc.replace_substring_regex(trimmed, WITH_POINT, r"\1"))
    if len(twins):
        one, other = twins[0]
        how = "blanks around them" if one.strip() == other.strip() else "'.0'"
        raise DataError(
            f"{path}: '{one}' and '{other}' are both {kind} ids ({len(twins):,} such pairs), which would be two "
            f"{kind}s. Write {'ids' if how[0] == 'b' else 'whole numbers'} without {how} in every file."
        )
    notes = []
    with_point = texts.filter(pc.match_substring_regex(texts, WITH_POINT))
    if len(with_point):
        notes.append(
            f"{len(with_point):,} {kind} ids are whole numbers with '.0', such as '{with_point[0]}', as pandas "
            "writes a column with gaps; they are kept unchanged."
        )
    with_blanks = texts.filter(pc.not_equal(trimmed, texts))
    if len(with_blanks):
        notes.append(
            f"{len(with_blanks):,} {kind} ids have blanks around them, such as '{with_blanks[0]}'; they are kept."
        )
    return tuple(notes)


def _twins(texts: pa.Array, plain: pa.Array) -> list[tuple[str, str]]:
    """Return pairs of distinct texts whose plain forms are equal, the longer one first."""
    import pyarrow.compute as pc

    n_plain = pc.count_distinct(plain).as_py()
    if n_plain == len(texts):
        return []
    first_of: dict[str, str] = {}
    twins = []
    for text, form in zip(texts.to_pylist(), plain.to_pylist(), strict=True):
        other = first_of.setdefault(form, text)
        if other != text:
            longer, shorter = sorted((other, text), key=len, reverse=True)
            twins.append((longer, shorter))
    return twins


def notes_on_missing(kind: str, columns: Sequence[pa.ChunkedArray]) -> list[str]:
    """Return a note on ids that other programs write for a missing value, with the number of their rows.

    Args:
        kind: "user" or "item".
        columns: ids of the rows of all tables.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    for column in columns:
        if pa.types.is_integer(column.type):
            continue
        missing = pa.array(WRITTEN_FOR_MISSING, column.type)
        found = column.filter(pc.is_in(pc.utf8_trim_whitespace(column), value_set=missing))
        for each in pc.value_counts(found).to_pylist():
            counts[each["values"]] = counts.get(each["values"], 0) + each["counts"]
    if not counts:
        return []
    return [
        f"{sum(counts.values()):,} rows have the {kind} id {listed(repr(each) for each in sorted(counts))}, which "
        f"other programs write where a value is missing; it is kept as a {kind}. If it is none, leave these rows "
        "out of the files."
    ]


def refuse_other_spellings(path: Path, unknown: NDArray[np.object_], known: NDArray[np.object_]) -> None:
    """Refuse unknown ids that differ from an item's id only in blanks, a trailing '.0' or leading zeros.

    Args:
        path: of the file with these ids.
        unknown: its ids that are those of no item, `[n]`.
        known: id of each item, `[n_items]`.

    Raises:
        DataError: there is such an id; the message has both spellings.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(unknown):
        return
    given, existing = (_plain(pa.array(ids, pa.large_string())) for ids in (unknown, known))
    places = pc.index_in(given, value_set=existing)
    first = pc.index(pc.is_valid(places), True).as_py()
    if first >= 0:
        n = len(places) - places.null_count
        raise DataError(
            f"{path} has the item '{unknown[first]}' where the interactions have '{known[places[first].as_py()]}' "
            f"({counted(n, 'such id')}), and ids are compared as texts. Write them in the "
            "same form in both files."
        )


def _plain(texts: pa.Array) -> pa.Array:
    """Return ids without blanks around them, and whole numbers without '+', leading zeros and a trailing '.0'."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"^\+?(-?)0*([0-9]+)(\.0*)?$", r"\1\2")


def item_id_names(names: Sequence[str], named: str | None) -> list[str]:
    """Return the columns or arrays that may hold the ids of items, the most telling name first.

    Args:
        names: of all columns.
        named: the user's column of items; where it is there, it is the only one.
    """
    if named is not None and named in names:
        return [named]
    found = [name for name in names if plain_name(name) in ITEM_IDS]
    return sorted(found, key=lambda name: ITEM_IDS.index(plain_name(name)))


def one_of_item_ids(path: Path, columns: Mapping[str, NDArray[np.object_]]) -> NDArray[np.object_]:
    """Return the ids of the first column; the others must be the same.

    Args:
        path: of their file.
        columns: ids as texts, `[n]`, of the columns of `item_id_names`.

    Raises:
        DataError: two columns differ, so that one of them may be a row number.
    """
    (name, ids), *others = columns.items()
    for other, values in others:
        if not np.array_equal(ids, values):
            row = next((n for n, pair in enumerate(zip(ids, values, strict=False)) if pair[0] != pair[1]), 0)
            examples = " and ".join(f"'{each[row]}'" for each in (ids, values) if len(each) > row)
            raise DataError(
                f"{path}: '{name}' and '{other}' may both hold the ids of the items, and they differ, as in "
                f"{examples} of one row. Name the right one with --item-column, or give the other one a name that "
                "is not one of items, such as 'row'."
            )
    return ids
