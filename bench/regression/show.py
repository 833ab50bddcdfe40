"""Layer 10. The outcome of a check on the console. Prints only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import registry
from bench.regression.baseline import Baseline
from bench.regression.compare import Row

QUESTIONS = {
    "suite": "the suite itself",
    "run": "whether it ran",
    "constant": "equal for all seeds",
    "same seed": "the baseline's own seed",
    "seeds": "the spread over seeds",
    "speed": "epoch over reference",
}


def show(
    rows: Sequence[Row], baseline: Baseline, names: Sequence[str], seconds: float, all_rows: bool, console: Console
) -> None:
    """The rows that fail, or all, and a count of the rest by question."""
    failed = [row for row in rows if not row.holds]
    shown = rows if all_rows else failed
    if shown:
        table = Table("model", "metric", "against", "expected", "got", "tolerance", title="regression check")
        for row in shown:
            got = Text(row.got, style="" if row.holds else "red")
            table.add_row(*map(Text, (row.model, row.number, row.against, row.expected)), got, Text(row.tolerance))
        console.print(table)
    counts, holding = Counter(row.against for row in rows), Counter(row.against for row in rows if row.holds)
    parts = [f"{holding[against]} of {n} against {QUESTIONS[against]}" for against, n in counts.items()]
    equal = sum(row.equal for row in rows if row.against in ("same seed", "constant"))
    console.print(f"Hold: {'; '.join(parts)}. Equal to the last bit: {equal}. {seconds:.0f} s.", soft_wrap=True)
    for remark in remarks(failed, baseline, names):
        console.print(remark, markup=False, soft_wrap=True)
    verdict = f"{len(failed)} comparisons failed." if failed else "No metric moved."
    console.print(verdict, style="red" if failed else "green")


def remarks(failed: Sequence[Row], baseline: Baseline, names: Sequence[str]) -> list[str]:
    """What a reader of the table should know."""
    said, kinds = [], {row.against for row in failed}
    if "suite" in kinds:
        said.append(
            "The suite is not the one of the baseline, so that no number was compared. Where that is meant: "
            "--update-baseline with a --reason."
        )
    elif kinds == {"same seed"}:
        said.append(
            "Numbers moved, and none further than another seed would move it: another order of random draws or of "
            "sums does that, and so does a small fault. Where it is meant: --update-baseline with a --reason."
        )
    new = [name for name in registry.names() if name not in baseline.models]
    if new:
        said.append(f"Not in the baseline: {', '.join(new)}. Add with --update-baseline --models.")
    return said + _machine(baseline, names)


def _machine(baseline: Baseline, names: Sequence[str]) -> list[str]:
    """In what this machine differs from that of the baseline."""
    import torch

    from bench.environment import describe

    here = describe(torch.device("cpu"))
    there: dict[str, Any] = {}
    for change in baseline.history:
        if set(change.models) & set(names):
            there = change.environment
    pairs = {**_versions(there), "processor": there.get("processor")}
    now = {**_versions(here), "processor": here.get("processor")}
    other = [f"{name} {now.get(name)} (there {value})" for name, value in pairs.items() if now.get(name) != value]
    return [f"Other than where the baseline was made: {'; '.join(other)}."] if other else []


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = environment.get("packages", {})
    return found
