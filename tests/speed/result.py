"""A measured row with its target, and the rows as a table and as a JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.core.files import write_text
from speed.measure import Estimate, Pairs, ratio

SCHEMA_VERSION = 1
Unit = Literal["x", "s", "GB", "GFLOP", "exponent"]
FORMATS: dict[Unit, str] = {
    "x": "{:.3g}x",
    "s": "{:.3g} s",
    "GB": "{:.2f} GB",
    "GFLOP": "{:.2f} GFLOP",
    "exponent": "{:.2f}",
}
CAPTION = (
    "Ratio, time or exponent: median, in brackets smallest and largest (of the pairs; of an exponent, between "
    "neighbouring sizes). 'x' is their time by ours, or ours by theirs where the target is 'at most'."
)


@dataclass(frozen=True)
class Target:
    """What a value should reach."""

    sense: Literal["at least", "at most"]
    value: float

    def met(self, value: float) -> bool:
        """Whether the value reaches it."""
        return value >= self.value if self.sense == "at least" else value <= self.value


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: what of ours was measured.
        against: what it was measured against; empty where there is no rival.
        data: key of the data set.
        unit: of `value`; "x" is a ratio.
        value: the number that the target is about.
        ours, theirs: all samples, in seconds.
        target: what the value should reach, if anything.
        note: what a reader must know.
        details: further numbers, for the file.
    """

    what: str
    against: str
    data: str
    unit: Unit
    value: Estimate
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    target: Target | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the median reaches the target, in words."""
        if self.target is None:
            return "-"
        return "met" if self.target.met(self.value.value) else "falls short"


def compared(
    what: str, against: str, data: str, pairs: Pairs, target: Target | None, note: str = "", **details: Any
) -> Row:
    """The row of a comparison: how many times faster ours is, or how many times slower where that is limited."""
    value = ratio(pairs, "theirs/ours" if target is None or target.sense == "at least" else "ours/theirs")
    return Row(what, against, data, "x", value, pairs.ours, pairs.theirs, target, note, details)


@dataclass(frozen=True)
class Failed:
    """A case that could not be measured, and why."""

    problem: str


Outcome = dict[str, list[Row] | Failed]


def render(outcome: Outcome) -> str:
    """All rows as one table, with numbered notes and what failed below it."""
    from tabulate import tabulate

    lines, notes = [], []
    for case, rows in outcome.items():
        if isinstance(rows, Failed):
            notes.append(f"FAILED {case}: {rows.problem}")
            continue
        for row in rows:
            if row.note and row.note not in notes:
                notes.append(row.note)
            mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
            lines.append(_cells(case, row, mark))
    headers = ("case", "what", "against", "data", "ours", "theirs", "ratio or value", "target", "verdict")
    table = tabulate(lines, headers, disable_numparse=True)
    return "\n".join([table, CAPTION, *(f"[{number}] {note}" for number, note in enumerate(notes, 1))])


def _cells(case: str, row: Row, mark: str) -> list[str]:
    form = FORMATS[row.unit]
    value = form.format(row.value.value)
    if row.value.low != row.value.high:
        value += f" ({form.format(row.value.low)} to {form.format(row.value.high)})"
    target = "-" if row.target is None else f"{row.target.sense} {form.format(row.target.value)}"
    seconds = [_seconds(samples) for samples in (row.ours, row.theirs)]
    return [case, row.what + mark, row.against or "-", row.data, *seconds, value, target, row.verdict]


def _seconds(samples: tuple[float, ...]) -> str:
    """The median of the samples, in a readable unit."""
    if not samples:
        return "-"
    middle = sorted(samples)[len(samples) // 2]
    return f"{middle:.3g} s" if middle >= 0.1 else f"{1000 * middle:.3g} ms"


def to_json(outcome: Outcome, facts: dict[str, Any]) -> str:
    """Everything measured, unrounded."""
    cases: dict[str, Any] = {}
    for case, rows in outcome.items():
        if isinstance(rows, Failed):
            cases[case] = {"failed": rows.problem}
        else:
            cases[case] = {"rows": [{**dataclasses.asdict(row), "verdict": row.verdict} for row in rows]}
    return json.dumps({"schema_version": SCHEMA_VERSION, **facts, "cases": cases}, indent=2) + "\n"


def save(path: Path, outcome: Outcome, facts: dict[str, Any]) -> None:
    """Write the JSON file, whole or not at all."""
    write_text(path, to_json(outcome, facts))
