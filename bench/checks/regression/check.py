"""`--check`: measures the suite, compares it with a baseline, and shows the outcome on the console.

Writes a JUnit XML file if one is requested.
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

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.checks.regression import baseline as files
from bench.checks.regression.baseline import Baseline
from bench.checks.regression.compare import (
    SPEED_SCALE,
    Comparison,
    compare_numbers,
    compare_speed,
    compare_suite,
    suite_data,
    unmeasured_speed,
)
from bench.checks.regression.speed import epoch_ratio
from bench.checks.regression.suite import (
    SPEED_BATCH,
    MeasureRequest,
    Overrides,
    facts_of,
    measure,
    plan,
    settings_of,
)
from bench.core.errors import UsageError, listed
from bench.core.files import os_errors, write_bytes
from bench.core.protocol import Protocol
from bench.engine import registry
from bench.engine.plugins import plugin_names
from bench.runs.controls import is_control
from bench.runs.display import RunDisplay
from bench.runs.machine import describe

if TYPE_CHECKING:
    from bench.checks.regression.request import CheckRequest

SUITE = "ludp-bench"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TITLES = {
    "suite": "the suite itself",
    "run": "whether it ran",
    "constant": "equal for all seeds",
    "same seed": "the baseline's own seed",
    "seeds": "the spread over seeds",
    "speed": "epoch over reference",
}
SHOWN_NUMBERS = 3  # names of numbers in the last line, of each model
MORE_ROUNDS = 4  # for a model that seems slow; load only adds time, so the fastest round counts


def write_junit(path: Path, rows: Sequence[Comparison], seconds: float, properties: Mapping[str, str]) -> None:
    """Write the comparisons as JUnit XML, with one test case each.

    Args:
        path: path of the file, which is written atomically.
        rows: the comparisons.
        seconds: duration of the whole check.
        properties: facts for the reader, such as versions.

    Raises:
        ResultsError: the file cannot be written.
    """
    failed = sum(row.failed for row in rows)
    counts = {"tests": str(len(rows)), "failures": str(failed), "errors": "0", "time": f"{seconds:.1f}"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, "skipped": "0", **counts})
    parent = ElementTree.SubElement(suite, "properties")
    for name, value in properties.items():
        ElementTree.SubElement(parent, "property", {"name": name, "value": _allowed(value)})
    for row in rows:
        names = {"classname": f"{SUITE}.{row.model or 'suite'}", "name": f"{row.number} ({row.against})"}
        case = ElementTree.SubElement(suite, "testcase", {**names, "time": "0"})
        if not row.holds:
            message = f"expected {row.expected}, got {row.got}{row.tolerance and f', tolerance {row.tolerance}'}"
        if row.failed:
            failure = ElementTree.SubElement(case, "failure", {"type": row.against, "message": _allowed(message)})
            failure.text = _allowed(f"{row.model} {row.number}: {message}".strip())
        elif not row.holds:
            ElementTree.SubElement(case, "system-out").text = _allowed(f"warning: {message}")
    ElementTree.indent(root)
    content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    with os_errors(
        f"The JUnit file {path} cannot be written", "Make its folder writable, or choose another file."
    ):
        write_bytes(path, content + b"\n")


def _allowed(text: str) -> str:
    """Replace the characters that XML cannot represent, such as the colour codes of a traceback."""
    return NOT_IN_XML.sub("�", text)


def show(
    rows: Sequence[Comparison],
    baseline: Baseline,
    names: Sequence[str],
    seconds: float,
    options: CheckRequest,
    console: Console,
) -> None:
    """Print the comparisons that do not hold, or all of them, and how many hold by kind."""
    failed = [row for row in rows if row.failed]
    shown = rows if options.all_rows else [row for row in rows if not row.holds]
    if shown:
        table = Table("model", "metric", "against", "expected", "got", "tolerance", title="regression check")
        for row in shown:
            # Text instead of str, because rich would read brackets as markup
            got = Text(row.got, style="" if row.holds else "red" if row.failed else "yellow")
            against = row.against if row.is_required or row.holds else f"{row.against} (warning)"
            table.add_row(*map(Text, (row.model, row.number, against, row.expected)), got, Text(row.tolerance))
        console.print(table)
    counts, holding = Counter(row.against for row in rows), Counter(row.against for row in rows if row.holds)
    parts = [f"{holding[against]} of {n} against {TITLES[against]}" for against, n in counts.items()]
    equal = sum(row.equal for row in rows if row.against in ("same seed", "constant"))
    console.print(f"Hold: {'; '.join(parts)}. Equal to the last bit: {equal}. {seconds:.0f} s.", soft_wrap=True)
    for remark in remarks(failed, baseline, names, options):
        console.print(remark, markup=False, soft_wrap=True)


def remarks(
    failed: Sequence[Comparison], baseline: Baseline, names: Sequence[str], options: CheckRequest
) -> list[str]:
    """Write the remarks that help to read the table."""
    lines = []
    if {row.against for row in failed} == {"same seed"}:
        lines.append(
            "Numbers moved, but none further than another seed would move it. Another order of random draws or of "
            "sums does that, and so does a small fault."
        )
    known = plugin_names() if options.plugins else registry.names()  # who checks own models knows of the others
    new = [name for name in known if name not in baseline.models]
    if new:
        lines.append(f"Not in the baseline: {', '.join(new)}. Add them: {options.update_command(new)}")
    return lines + _machine_remarks(baseline, names)


def _machine_remarks(baseline: Baseline, names: Sequence[str]) -> list[str]:
    """Describe how this machine differs from that of the baseline."""
    environment = next(filter(None, map(baseline.environment_of, names)), {})
    before, now = _versions(environment), _versions(describe(torch.device("cpu")))
    changed = [
        f"{name} {now.get(name)} (baseline: {value})" for name, value in before.items() if now.get(name) != value
    ]
    return [f"This machine differs from that of the baseline: {'; '.join(changed)}."] if changed else []


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {**environment.get("packages", {}), "processor": environment.get("processor")}


def verdict(rows: Sequence[Comparison], options: CheckRequest) -> str:
    """Return the last paragraph: whether metrics moved, which ones, and what to do next."""
    failed = [row for row in rows if row.failed]
    slow = [row.model for row in rows if row.against == "speed" and not row.holds]
    if any(row.against == "suite" for row in failed):
        return (
            "No number was compared: the suite differs from that of the baseline. Next: check with the version of "
            f"ludp-bench that made the baseline, or measure all its models again: {options.update_command([])}"
        )
    moved = _moved([row for row in failed if row.against != "speed"])
    if moved:
        return (
            f"Metrics moved: {'; '.join(f'{model} ({words})' for model, words in moved.items())}. Next: undo the "
            f"change, or, if the new numbers are meant, write them down: {options.update_command([*moved])}"
        )
    if any(row.against == "speed" for row in failed):
        return (
            f"Metrics unchanged, but slower than the baseline allows: {', '.join(slow)}. Next: repeat on an idle "
            "machine; if the code is meant to be slower, allow it with --max-slowdown X, or measure again: "
            f"{options.update_command(slow)}"
        )
    apart = dict.fromkeys(row.model for row in rows if row.against == "same seed" and not row.holds)
    warnings = (("Slower than in the baseline", slow), ("Other numbers at the baseline's own seed", apart))
    texts = [f" {what}, on another processor: {', '.join(models)}." for what, models in warnings if models]
    return f"Metrics unchanged.{''.join(texts)}"


def _moved(failed: Sequence[Comparison]) -> dict[str, str]:
    """Return by model which of its numbers failed, the first ones by name."""
    numbers: dict[str, list[str]] = {}
    for row in failed:
        if row.number not in numbers.setdefault(row.model, []):
            numbers[row.model].append(row.number)
    more = {model: len(names) - SHOWN_NUMBERS for model, names in numbers.items()}
    return {
        model: ", ".join(names[:SHOWN_NUMBERS]) + (f" and {more[model]} more" if more[model] > 0 else "")
        for model, names in numbers.items()
    }


def check(options: CheckRequest, command: str, console: Console) -> int:
    """Measure, compare and show; return the exit code, 1 if any number left its band.

    Raises:
        BenchError: no such baseline or model, or a file cannot be written.
    """
    start = time.perf_counter()
    baseline = files.read(options.baseline, options.update_command(options.models or plugin_names()))
    names = models_to_check(options, baseline)
    request = MeasureRequest(
        names,
        base_seed=options.base_seed,
        overrides=options.overrides,
        command=command,
        n_workers=options.n_workers,
        folder=options.runs_dir,
        plugins=options.plugins,
    )
    specs = plan(request)  # for its errors, before anything is compared
    rows = compare_suite(baseline.suite, facts_of(suite_data()))
    here = _machine(describe(torch.device("cpu")))
    if all(row.holds for row in rows):
        with RunDisplay(console, len(specs), Protocol()) as display:
            measured = measure(request, display)
        for name in names:
            is_here = _machine(baseline.environment_of(name)) == here
            rows += compare_numbers(baseline, name, measured[name][0], options.base_seed, is_here)
        finished = [name for name in names if not measured[name][0].failure]
        rows += speed_rows(finished, baseline, request.overrides, options.max_slowdown)
    seconds = time.perf_counter() - start
    show(rows, baseline, names, seconds, options, console)
    if options.junit is not None:
        write_junit(options.junit, rows, seconds, _properties(options, baseline, command))
        console.print(f"wrote {options.junit}", markup=False, soft_wrap=True)
    failed = any(row.failed for row in rows)
    console.print(verdict(rows, options), style="red" if failed else "green", markup=False, soft_wrap=True)
    return 1 if failed else 0


def _properties(options: CheckRequest, baseline: Baseline, command: str) -> dict[str, str]:
    """Return facts of the check for the readers of its JUnit file."""
    environment = describe(torch.device("cpu"))
    versions = {f"version of {name}": str(version) for name, version in environment["packages"].items()}
    facts = {"baseline": str(options.baseline), "data hash": baseline.suite.data_hash, "command": command}
    return {**facts, "processor": environment["processor"], **versions}


def models_to_check(options: CheckRequest, baseline: Baseline) -> list[str]:
    """Return the models to check: the requested ones, or all of the baseline.

    Raises:
        UsageError: a model is not in the baseline, or not found.
    """
    for name in options.models:
        registry.check(name)  # a misspelt name is not added to the baseline
        if name not in baseline.models:
            raise UsageError(
                f"The model '{name}' is not in the baseline {options.baseline}, which has "
                f"{listed(baseline.models)}. Add it: {options.update_command([name])}"
            )
    names = list(options.models or baseline.models)
    gone = [name for name in names if name not in registry.names()]
    if gone:
        others = " ".join(name for name in names if name not in gone)
        raise UsageError(
            f"The baseline {options.baseline} has the model '{gone[0]}', which is not found. If it is your own, "
            "give its folder: --plugin DIR." + (f" Without it: --models {others}" if others else "")
        )
    return names


def speed_rows(
    names: Sequence[str], baseline: Baseline, overrides: Overrides, max_slowdown: float | None
) -> list[Comparison]:
    """Compare the speed of every model that has epochs; a model that seems slow is measured again.

    A slower epoch is a failure if the baseline's speed was measured on such a processor, or if the user gives the
    largest slowdown; else it is a warning, because processors differ in what they do faster.

    Args:
        names: models that can be trained.
        baseline: a baseline with these models.
        overrides: parameter values by model.
        max_slowdown: largest allowed ratio to the baseline's time; None takes the baseline's.

    Raises:
        TrainingError: a model cannot be trained on the larger data, although it can on the suite's.
    """
    data = suite_data(SPEED_SCALE)
    here = _machine(describe(torch.device("cpu")))

    def measured(name: str) -> Comparison:
        settings = {**settings_of(name, overrides.get(name)), "train_batch_size": SPEED_BATCH}
        fastest[name] = min(fastest.get(name, math.inf), epoch_ratio(name, settings, data))
        counts = max_slowdown is not None or _machine(baseline.environment_of(name)) == here
        allowed = max_slowdown or baseline.max_slowdown
        return compare_speed(name, baseline.models[name], fastest[name], allowed, counts)

    fastest: dict[str, float] = {}
    rows = {name: measured(name) for name in names if baseline.models[name].speed}
    for _ in range(MORE_ROUNDS):  # after all models, so that a short load of the machine does not meet every round
        rows |= {name: measured(name) for name, row in rows.items() if not row.holds}
    unknown = [name for name in names if not baseline.models[name].speed and not is_control(name)]
    return [*rows.values(), *map(unmeasured_speed, unknown)]


def _machine(environment: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return processor and number of cores; machines of the same pair are taken to be alike."""
    return environment.get("processor"), environment.get("cores")
