"""Report on a user's data before an import: its format, its content and its problems.

Reads files; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed
from bench.core.files import resolved
from bench.core.types import IntArray, Interactions
from bench.data.adjusting import Adjustments
from bench.data.detect import (
    NAMED,
    Loaded,
    describe_card_files,
    find_matches,
    import_command,
    import_problems,
    load_place,
    run_command,
    suggested_name,
)
from bench.data.raw import RawData
from bench.data.roles import ALL_POSITIVE, Columns
from bench.data.split import shipped_split
from bench.data.split_audit import audit, audit_lines, warnings

EARLIEST_DATE = 100_000_000  # the year 1973; smaller numbers are hardly dates
LATEST_SECOND = 10_000_000_000  # the year 2286; larger numbers are milliseconds or finer


@dataclass(frozen=True)
class Inspection:
    """Result of an inspection.

    Attributes:
        lines: label and text of each line, in order.
        problems: what prevents an import of the data, each with a fix.
    """

    lines: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the result as aligned lines; a text of several lines is indented below its label."""
        rows = [*self.lines, *(("PROBLEM", each) for each in self.problems)]
        return "\n".join(f"  {label:<11} {text}".replace("\n", "\n" + " " * 14) for label, text in rows)


def inspect(
    path: Path,
    cards_dir: Path,
    format: str | None = None,
    columns: Columns | None = None,
    adjustments: Adjustments | None = None,
) -> Inspection:
    """Inspect the data at a path.

    Args:
        path: a directory, or one table of interactions.
        cards_dir: directory of the data cards.
        format: name of the format; None detects it.
        columns: column options of the user.
        adjustments: options of the user for data in any format.

    Raises:
        UsageError: the path does not exist, the format is unknown, or an option has no effect.
        DataError: no interactions can be read.
    """
    try:
        loaded = load_place(path, format, columns, adjustments)
    except DataError:
        content = describe_card_files(path, cards_dir)
        if content is None or format is not None:
            raise
        return Inspection((("holds", content[0]), ("next", content[1])), ())
    raw = loaded.raw
    problems = import_problems(loaded)
    split_lines = [] if problems else _split_lines(raw)
    lines = [
        ("format", f"{loaded.format}: {loaded.reason}"),
        *_count_lines(raw),
        ("ids", _ids_line(raw)),
        ("time", _time_line(raw)),
        ("repeated", _repeated_line(raw)),
        *_modality_lines(raw),
        *_unseen_lines(raw),
        *split_lines,
        *(("note", note) for note in raw.notes),
        *_positives_line(raw),
        *((("not read", listed(loaded.unread)),) if loaded.unread else ()),
        *_card_lines(loaded, cards_dir, bool(problems)),
    ]
    return Inspection(tuple(lines), tuple(problems))


def _count_lines(raw: RawData) -> list[tuple[str, str]]:
    """Return the lines with the counts and the parts."""
    n_users, n_items, n = raw.parts[0].n_users, raw.parts[0].n_items, sum(map(len, raw.parts))
    density = n / (n_users * n_items)
    counts = f"{n_users:,} users, {n_items:,} items, {n:,} interactions (density {density:.4%})"
    parts = "none; a split makes them (NAME@random, NAME@user or NAME@global_time)"
    if raw.has_parts:
        parts = "{:,} training, {:,} validation, {:,} test".format(*map(len, raw.parts))
    return [("counts", counts), ("parts", parts)]


def _ids_line(raw: RawData) -> str:
    """Return the range and order of the ids."""

    def describe(kind: str, ids: NDArray[Any] | None) -> str:
        if ids is None:
            return f"{kind}s numbered from 0"
        order = "by value" if ids.dtype.kind == "i" else "as text"
        return f"{kind}s '{ids[0]}' to '{ids[-1]}', indexed in sorted order {order}"

    return f"{describe('user', raw.user_ids)}; {describe('item', raw.item_ids)}"


def _time_line(raw: RawData) -> str:
    """Return the range of the times, as dates if they look like seconds since 1970."""
    times = [part.timestamps for part in raw.parts if part.timestamps is not None and len(part)]
    if not times:
        return "none"
    first, last = min(float(each.min()) for each in times), max(float(each.max()) for each in times)
    if not 0 <= first <= last < LATEST_SECOND:
        return f"{first:g} to {last:g}, which are not seconds since 1970; a split by time uses their order only"
    if last < EARLIEST_DATE:
        return f"{first:g} to {last:g}, which may be seconds or mere positions; a split by time uses their order"
    days = (datetime.fromtimestamp(second, UTC).date() for second in (first, last))
    return " to ".join(day.isoformat() for day in days)


def _repeated_line(raw: RawData) -> str:
    """Return the number of rows that repeat an interaction."""
    if not raw.n_repeated:
        return "no interaction"
    return f"{raw.n_repeated:,} rows repeat an interaction of the same part; they count once"


def _positives_line(raw: RawData) -> list[tuple[str, str]]:
    """Return the line on options for ratings or labels, if the data has some and they were not used."""
    if not any(note.startswith(ALL_POSITIVE) for note in raw.notes):
        return []
    return [("positives", "to use only some rows: --min-rating X or --positive LABEL, here and for import")]


def _modality_lines(raw: RawData) -> list[tuple[str, str]]:
    """Return one line per modality, or one on the consequence of having none."""
    lines = [
        ("modality", f"{each.name}: {each.dim} columns, {each.coverage:.1%} of the items "
         f"({int(each.present.sum()):,}); {each.origin}")
        for each in raw.modalities
    ]  # fmt: skip
    none = "none; models that use item content (VBPR, MMGCN, LATTICE, LUDP and others) are left out of runs"
    return lines or [("modality", none)]


def _unseen_lines(raw: RawData) -> list[tuple[str, str]]:
    """Return lines on users and items without an interaction in training, or at all."""
    train = raw.parts[0]
    where = "in training" if raw.has_parts else "at all"
    lines = []
    for kind, ids in (("users", train.users), ("items", train.items)):
        count = train.n_users if kind == "users" else train.n_items
        unseen = np.bincount(ids, minlength=count) == 0
        if unseen.any():
            held_out = _held_out_remark(raw, kind, unseen)
            lines.append(("unseen", f"{int(unseen.sum()):,} {kind} have no interaction {where}{held_out}"))
    return lines


def _held_out_remark(raw: RawData, kind: str, unseen: NDArray[np.bool_]) -> str:
    """Return a remark on the held-out interactions of unseen users or items."""
    if not raw.has_parts:
        return ""

    def count(part: Interactions) -> int:
        ids: IntArray = getattr(part, kind)
        return int(unseen[ids].sum())

    return f"; {count(raw.parts[1]):,} validation and {count(raw.parts[2]):,} test interactions are theirs"


def _split_lines(raw: RawData) -> list[tuple[str, str]]:
    """Compare the shipped parts with random ones and return the lines of the audit."""
    if not raw.has_parts:
        return []
    result = audit(shipped_split(*raw.parts))
    n = sum(map(len, raw.parts))
    redrawn = (
        f"'random' would draw {n - 2 * (n // 10):,} training, {n // 10:,} validation and {n // 10:,} test "
        "interactions anew; the parts above are 'shipped'"
    )
    lines = [("audit", line) for line in audit_lines(result)]
    return [*lines, *(("WARNING", each) for each in warnings(result)), ("split", redrawn)]


def _card_lines(loaded: Loaded, cards_dir: Path, has_problems: bool) -> list[tuple[str, str]]:
    """Return lines on the cards that describe this data or another version of it, and on what to do next."""
    path, raw = loaded.place.path, loaded.raw
    matches, malformed = find_matches(path, loaded.place.files, raw, loaded.format, cards_dir)
    texts = [match.text for match in matches] or ["none of the data cards describes this data"]
    lines = [("card", text) for text in (*texts, *malformed)]
    fitting = next((match for match in matches if match.fits), None)
    if has_problems:
        return [*lines, ("next", "fix the problems below, and inspect again")]
    advice = None if fitting is None else fitting.advice(resolved(path))
    if advice is not None:
        return [*lines, ("next", advice)]
    name = suggested_name(matches[0].card if matches else resolved(path).stem, raw, cards_dir)
    format = loaded.format if loaded.reason == NAMED else None
    return [*lines, ("next", f"{import_command(loaded.place, name, format=format)} && {run_command(name)}")]
