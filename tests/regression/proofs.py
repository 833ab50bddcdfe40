"""The proofs: the check on faults planted one at a time, and on code without a fault with other seeds."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from faults import Fault
from faults.planting import ROOT, copy_project, edit_of, run_jobs

BASELINE = "results/reference/smoke-baseline.json"
ORDER = ("suite", "run", "constant", "seeds", "same seed", "speed")
FIRST_OTHER_SEED = 1


class Red(NamedTuple):
    """A comparison that failed."""

    model: str
    number: str
    against: str
    message: str


class Outcome(NamedTuple):
    """What the check said."""

    code: int
    red: list[Red]

    @property
    def counts(self) -> Counter[str]:
        """Failed comparisons by question."""
        return Counter(each.against for each in self.red)


def red_in(junit: Path) -> list[Red]:
    """The failed comparisons of a JUnit file, those of the widest bands first; none where there is no file."""
    if not junit.exists():
        return []
    found = []
    for case in ElementTree.parse(junit).iter("testcase"):
        failure = case.find("failure")
        if failure is not None:
            number = case.attrib["name"].rpartition(" (")[0]
            model = case.attrib["classname"].rpartition(".")[2]
            found.append(Red(model, number, failure.attrib["type"], failure.attrib["message"]))
    return sorted(found, key=lambda each: ORDER.index(each.against))


def mutate(faults: Iterable[Fault]) -> dict[str, Outcome]:
    """The check with each fault planted, by the fault's name, on the models that the fault names.

    A first outcome, under "", is that of the same models without a fault.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        copy_project(folder)
        jobs = {}
        files = {"": Path(scratch) / "none.xml"}
        faults = list(faults)
        for number, fault in enumerate(faults):
            files[fault.name] = Path(scratch) / f"{number}.xml"
            command = checking(fault.tests.split(), files[fault.name])
            jobs[fault.name] = {"edits": [edit_of(fault, folder)], "command": command}
        models = sorted({model for fault in faults for model in fault.tests.split()})
        jobs[""] = {"edits": [], "command": checking(models, files[""])}
        codes = run_jobs(jobs, folder)
        return {name: Outcome(codes[name], red_in(file)) for name, file in files.items()}


def checking(models: Sequence[str], junit: Path, *more: str) -> list[str]:
    """The arguments of a check in this process."""
    chosen = ["--models", *models] if models else []
    # the limit is given, so that slower code fails on any processor
    slow = ["--max-slowdown", "1.5"]
    return ["--check", BASELINE, *chosen, "--workers", "1", *slow, "--junit", str(junit), *more]


def with_other_seeds(models: Sequence[str], n: int) -> list[Outcome]:
    """The check without a fault, with n other seeds."""
    from bench.cli.run import main

    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(FIRST_OTHER_SEED, FIRST_OTHER_SEED + n):
            junit = Path(scratch) / f"{seed}.xml"
            arguments = checking(models, junit, "--base-seed", str(seed))
            arguments[1] = str(ROOT / BASELINE)
            outcomes.append(Outcome(main(arguments), red_in(junit)))
    return outcomes
