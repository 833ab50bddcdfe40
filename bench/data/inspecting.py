"""What a user learns of data beforehand: what it is, what it holds, what is wrong with it. Reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed
from bench.core.types import IntArray, Interactions
from bench.data.detect import (
    NAMED,
    Loaded,
    content_of_a_card,
    import_command,
    load_place,
    matches,
    refusals,
    run_command,
    suggested_name,
)
from bench.data.raw import RawData
from bench.data.roles import RATED, Columns
from bench.data.split import shipped_split
from bench.data.split_audit import audit, audit_lines, warnings

EARLIEST_DATE = 100_000_000  # the year 1973; smaller numbers hardly are dates
LATEST_SECOND = 10_000_000_000  # the year 2286; larger numbers are milliseconds or finer


@dataclass(frozen=True)
class Inspection:
    """The answer.

    Attributes:
        lines: label and text, in the order in which they are told.
        problems: what keeps the data from being imported as it is, each with a fix.
    """

    lines: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """The answer as aligned lines; a text of several lines is indented below its label."""
        rows = [*self.lines, *(("PROBLEM", each) for each in self.problems)]
        return "\n".join(f"  {label:<11} {text}".replace("\n", "\n" + " " * 14) for label, text in rows)


def inspect(path: Path, cards_dir: Path, layout: str | None = None, columns: Columns | None = None) -> Inspection:
    """What is at a path.

    Args:
        path: a directory, or one table of interactions.
        cards_dir: where the data cards lie.
        layout: its name; None finds it out.
        columns: what the user says of column names.

    Raises:
        UsageError: there is nothing at the path, or no such layout.
        DataError: there are no interactions that can be read.
    """
    try:
        loaded = load_place(path, layout, columns)
    except DataError:
        remark = content_of_a_card(path, cards_dir)
        if remark is None or layout is not None:
            raise
        return Inspection((("holds", remark[0]), ("next", remark[1])), ())
    raw = loaded.raw
    problems = refusals(loaded)
    split_lines = [] if problems else _split(raw)
    lines = [
        ("layout", f"{loaded.layout}: {loaded.reason}"),
        *_counts(raw),
        ("ids", _ids_line(raw)),
        ("time", _time_line(raw)),
        ("repeated", _repeated_line(raw)),
        *_features(raw),
        *_sparse_lines(raw),
        *split_lines,
        *(("note", note) for note in raw.notes),
        *_positives_line(raw),
        *((("not read", listed(loaded.unread)),) if loaded.unread else ()),
        *_known(loaded, cards_dir, bool(problems)),
    ]
    return Inspection(tuple(lines), tuple(problems))


def _counts(raw: RawData) -> list[tuple[str, str]]:
    n_users, n_items, n = raw.parts[0].n_users, raw.parts[0].n_items, sum(map(len, raw.parts))
    density = n / (n_users * n_items)
    counts = f"{n_users:,} users, {n_items:,} items, {n:,} interactions (density {density:.4%})"
    parts = "none; they are made by a split (NAME@random, NAME@user or NAME@global_time)"
    if raw.has_parts:
        parts = "{:,} training, {:,} validation, {:,} test".format(*map(len, raw.parts))
    return [("counts", counts), ("parts", parts)]


def _ids_line(raw: RawData) -> str:
    def of(kind: str, ids: NDArray[Any] | None) -> str:
        if ids is None:
            return f"{kind}s numbered from 0"
        order = "by value" if ids.dtype.kind == "i" else "as text"
        return f"{kind}s '{ids[0]}' to '{ids[-1]}', indexed in sorted order {order}"

    return f"{of('user', raw.user_ids)}; {of('item', raw.item_ids)}"


def _time_line(raw: RawData) -> str:
    times = [part.timestamps for part in raw.parts if part.timestamps is not None and len(part)]
    if not times:
        return "none"
    first, last = min(float(each.min()) for each in times), max(float(each.max()) for each in times)
    if not 0 <= first <= last < LATEST_SECOND:
        return (
            f"{first:g} to {last:g}, which are no seconds since 1970; only their order counts in a split by time"
        )
    if last < EARLIEST_DATE:
        return f"{first:g} to {last:g}, which may be seconds or mere positions; a split by time takes their order"
    days = (datetime.fromtimestamp(second, UTC).date() for second in (first, last))
    return " to ".join(day.isoformat() for day in days)


def _repeated_line(raw: RawData) -> str:
    if not raw.n_repeated:
        return "no interaction"
    return f"{raw.n_repeated:,} rows repeat an interaction of the same part; they count once"


def _positives_line(raw: RawData) -> list[tuple[str, str]]:
    """How to take some rows only, where there are ratings or labels and none was chosen by."""
    if not any(note.startswith(RATED) for note in raw.notes):
        return []
    return [("positives", "to take some rows only: --min-rating X or --positive LABEL, here and for import")]


def _features(raw: RawData) -> list[tuple[str, str]]:
    lines = [
        ("modality", f"{one.name}: {one.dim} columns, {one.coverage:.1%} of the items "
         f"({int(one.present.sum()):,}); {one.origin}")
        for one in raw.modalities
    ]  # fmt: skip
    lacking = "none; models that use item content (VBPR, MMGCN, LATTICE, LUDP and others) are left out of runs"
    return lines or [("modality", lacking)]


def _sparse_lines(raw: RawData) -> list[tuple[str, str]]:
    """Users and items that training never sees, or that have no interaction at all."""
    train = raw.parts[0]
    where = "in training" if raw.has_parts else "at all"
    lines = []
    for kind, ids in (("users", train.users), ("items", train.items)):
        count = train.n_users if kind == "users" else train.n_items
        unseen = np.bincount(ids, minlength=count) == 0
        if unseen.any():
            held_out = _held_out(raw, kind, unseen)
            lines.append(("unseen", f"{int(unseen.sum()):,} {kind} have no interaction {where}{held_out}"))
    return lines


def _held_out(raw: RawData, kind: str, unseen: NDArray[np.bool_]) -> str:
    if not raw.has_parts:
        return ""

    def touched(part: Interactions) -> int:
        ids: IntArray = getattr(part, kind)
        return int(unseen[ids].sum())

    return f"; {touched(raw.parts[1]):,} validation and {touched(raw.parts[2]):,} test interactions are theirs"


def _split(raw: RawData) -> list[tuple[str, str]]:
    """Compare the shipped parts with random ones; the lines of a table."""
    if not raw.has_parts:
        return []
    found = audit(shipped_split(*raw.parts))
    n = sum(map(len, raw.parts))
    anew = (
        f"'random' would draw anew {n - 2 * (n // 10):,} training, {n // 10:,} validation and {n // 10:,} test "
        "interactions; the parts above are 'shipped'"
    )
    lines = [("audit", line) for line in audit_lines(found)]
    return [*lines, *(("WARNING", each) for each in warnings(found)), ("split", anew)]


def _known(loaded: Loaded, cards_dir: Path, broken: bool) -> list[tuple[str, str]]:
    """Cards that this data is, or is another version of, and what to do next."""
    path, raw = loaded.place.path, loaded.raw
    found = matches(path, loaded.place.files, raw, loaded.layout, cards_dir)
    lines = [("card", match.text) for match in found] or [("card", "none of the data cards is of this data")]
    fitting = next((match for match in found if match.fits), None)
    if broken:
        return [*lines, ("next", "mend the problems below, and inspect again")]
    advice = None if fitting is None else fitting.advice(path.resolve())
    if advice is not None:
        return [*lines, ("next", advice)]
    name = suggested_name(found[0].card if found else path.resolve().stem, raw, cards_dir)
    layout = loaded.layout if loaded.reason == NAMED else None
    return [*lines, ("next", f"{import_command(loaded.place, name, layout=layout)} && {run_command(name)}")]
