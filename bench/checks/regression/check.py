"""The comparisons as JUnit XML, which every CI shows. Writes the one file that it is told to.

The outcome of a check on the console. Prints only.

`--check`: the suite as it is now against a baseline. Writes nothing but what it was asked to.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.checks.regression import baseline as files
from bench.checks.regression.baseline import Baseline
from bench.checks.regression.compare import (
    SPEED_SCALE,
    Row,
    compare_numbers,
    compare_speed,
    compare_suite,
    suite_data,
    unmeasured_speed,
)
from bench.checks.regression.speed import epoch_ratio
from bench.checks.regression.suite import (
    SPEED_BATCH,
    Overrides,
    Request,
    facts_of,
    is_control,
    measure,
    plan,
    settings_of,
)
from bench.core.errors import ResultsError, UsageError, listed, nearest_hint
from bench.core.files import write_bytes
from bench.core.protocol import Protocol
from bench.engine import registry
from bench.runs.display import RunDisplay
from bench.runs.machine import describe

if TYPE_CHECKING:
    from bench.checks.regression.baseline import CheckRequest

SUITE = "ludp-bench"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, rows: Sequence[Row], seconds: float, properties: Mapping[str, str]) -> None:
    """One test case a comparison.

    Args:
        path: written whole or not at all.
        rows: the comparisons.
        seconds: the whole check took.
        properties: facts for the reader, such as versions.

    Raises:
        ResultsError: it cannot be written.
    """
    failed = sum(not row.holds for row in rows)
    counts = {"tests": str(len(rows)), "failures": str(failed), "errors": "0", "time": f"{seconds:.1f}"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, "skipped": "0", **counts})
    listed = ElementTree.SubElement(suite, "properties")
    for name, value in properties.items():
        ElementTree.SubElement(listed, "property", {"name": name, "value": _allowed(value)})
    for row in rows:
        names = {"classname": f"{SUITE}.{row.model or 'suite'}", "name": f"{row.number} ({row.against})"}
        case = ElementTree.SubElement(suite, "testcase", {**names, "time": "0"})
        if not row.holds:
            message = f"expected {row.expected}, got {row.got}{row.tolerance and f', tolerance {row.tolerance}'}"
            failure = ElementTree.SubElement(case, "failure", {"type": row.against, "message": _allowed(message)})
            failure.text = _allowed(f"{row.model} {row.number}: {message}".strip())
    ElementTree.indent(root)
    content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        write_bytes(path, content + b"\n")
    except OSError as problem:
        raise ResultsError(
            f"The JUnit file {path} cannot be written ({problem.strerror or problem}). Make its folder writable, "
            f"or name another file."
        ) from problem


def _allowed(text: str) -> str:
    """Text without the characters that XML has no way to write, such as colours of a traceback."""
    return NOT_IN_XML.sub("�", text)


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

    from bench.runs.machine import describe

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


MORE_ROUNDS = 4  # for a model that seems slow: load can only add, so the fastest round counts


def check(asked: CheckRequest, command: str, console: Console) -> int:
    """Compare and show; the exit code, 1 if anything left its band.

    Raises:
        BenchError: no such baseline or model, or a file cannot be written.
    """
    import torch

    begun = time.perf_counter()
    baseline = files.read(asked.baseline)
    names = chosen(asked.models, baseline)
    request = Request(
        names,
        base_seed=asked.base_seed,
        overrides=asked.overrides,
        command=command,
        n_workers=asked.n_workers,
        folder=asked.keep_in,
    )
    specs = plan(request)  # for its errors, before anything is compared
    rows = compare_suite(baseline.suite, facts_of(suite_data()))
    if all(row.holds for row in rows):
        with RunDisplay(console, len(specs), Protocol()) as display:
            measured = measure(request, display)
        for name in names:
            rows += compare_numbers(baseline, name, measured[name][0], asked.base_seed)
        slowdown = asked.max_slowdown or baseline.max_slowdown
        finished = [name for name in names if not measured[name][0].failure]
        rows += speed_rows(finished, baseline, request.overrides, slowdown)
    seconds = time.perf_counter() - begun
    show(rows, baseline, names, seconds, asked.all_rows, console)
    if asked.junit is not None:
        about = describe(torch.device("cpu"))
        versions = {f"version of {name}": str(version) for name, version in about["packages"].items()}
        facts = {"baseline": str(asked.baseline), "data hash": baseline.suite.data_hash, "command": command}
        write_junit(asked.junit, rows, seconds, {**facts, "processor": about["processor"], **versions})
        console.print(f"wrote {asked.junit}", markup=False, soft_wrap=True)
    return 0 if all(row.holds for row in rows) else 1


def chosen(asked: Sequence[str], baseline: Baseline) -> list[str]:
    """The models to check: those asked for, or all of the baseline.

    Raises:
        UsageError: one is not in the baseline, or no longer in the project.
    """
    for name in asked:
        if name not in baseline.models:
            raise UsageError(
                f"The model '{name}' is not in the baseline.{nearest_hint(name, baseline.models)} It has "
                f"{listed(baseline.models)}. Add it: --update-baseline FILE --models {name} --reason TEXT."
            )
    names = list(asked or baseline.models)
    gone = [name for name in names if name not in registry.names()]
    if gone:
        raise UsageError(
            f"The baseline has the model '{gone[0]}', and there is no models/{gone[0]}.py any more. Check the "
            f"others with --models, or make the baseline anew."
        )
    return names


def speed_rows(names: Sequence[str], baseline: Baseline, overrides: Overrides, max_slowdown: float) -> list[Row]:
    """The speed of every model that has epochs; what seems slow is measured again before it is said.

    The further rounds come after all models, so that a short load of the machine does not meet them all.

    Raises:
        TrainingError: a model that could be trained on the suite's data cannot on the larger.
    """
    data = suite_data(SPEED_SCALE)

    def measured(name: str) -> Row:
        settings = {**settings_of(name, overrides.get(name)), "train_batch_size": SPEED_BATCH}
        fastest[name] = min(fastest.get(name, math.inf), epoch_ratio(name, settings, data))
        return compare_speed(name, baseline.models[name], fastest[name], max_slowdown)

    fastest: dict[str, float] = {}
    rows = {name: measured(name) for name in names if baseline.models[name].speed}
    for _ in range(MORE_ROUNDS):
        rows |= {name: measured(name) for name, row in rows.items() if not row.holds}
    unknown = [name for name in names if not baseline.models[name].speed and not is_control(name)]
    return [*rows.values(), *map(unmeasured_speed, unknown)]
