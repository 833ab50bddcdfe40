"""`python -m regression mutations [FAULT ...]` and `python -m regression clean [--models M ...] [--times N]`."""

from __future__ import annotations

import argparse
import resource
import sys
import textwrap

from faults import smoke
from tabulate import tabulate

from regression.proofs import Outcome, mutate, with_other_seeds


def main(arguments: list[str] | None = None) -> int:
    """Run a proof and print its table: 0 if it holds."""
    parser = argparse.ArgumentParser(prog="python -m regression", description=__doc__)
    proofs = parser.add_subparsers(dest="proof", required=True)
    planted = proofs.add_parser("mutations", help="every planted fault turns the check red")
    planted.add_argument("faults", nargs="*", metavar="FAULT", help="names; all by default")
    clean = proofs.add_parser("clean", help="other seeds leave it green")
    clean.add_argument("--models", nargs="*", default=[], help="all by default")
    clean.add_argument("--times", type=int, default=20)
    asked = parser.parse_args(arguments)
    holds = mutations(asked.faults) if asked.proof == "mutations" else repetitions(asked.models, asked.times)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{sum(each.ru_utime + each.ru_stime for each in used):.0f} seconds of processor time")
    return 0 if holds else 1


def mutations(names: list[str]) -> bool:
    """The mutation table."""
    faults = [fault for fault in smoke.FAULTS if not names or fault.name in names]
    outcomes = mutate(faults)
    rows = []
    for fault in faults:
        outcome = outcomes[fault.name]
        first = outcome.red[0] if outcome.red else None
        said = f"{first.model} {first.number} ({first.against}): {first.message}" if first else "NOTHING"
        rows.append([fault.name, outcome.code, *_counts(outcome), textwrap.fill(said, 70)])
    heads = ["fault", "exit code", "constant", "seeds", "same seed", "speed", "first number that went red"]
    print(tabulate(rows, heads, tablefmt="github"))
    for each in outcomes[""].red:
        print(f"without a fault: {each.model} {each.number} ({each.against}): {each.message}")
    red = sum(outcomes[fault.name].code == 1 for fault in faults)
    green = outcomes[""].code == 0
    print(
        f"\n{red} of {len(faults)} faults turned the check red; without one it is {'green' if green else 'RED'}."
    )
    return red == len(faults) and green


def _counts(outcome: Outcome) -> list[int]:
    return [outcome.counts[against] for against in ("constant", "seeds", "same seed", "speed")]


def repetitions(models: list[str], times: int) -> bool:
    """How many of the clean checks are green."""
    outcomes = with_other_seeds(models, times)
    green = sum(outcome.code == 0 for outcome in outcomes)
    for number, outcome in enumerate(outcomes, start=1):
        for red in outcome.red:
            print(f"repetition {number}: {red.model} {red.number} ({red.against}): {red.message}")
    print(f"\n{green} of {times} checks with other seeds are green.")
    return green == times


if __name__ == "__main__":
    sys.exit(main())
