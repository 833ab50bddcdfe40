"""Layer 8. The options of the regression check, as typed values. Imports nothing heavy, touches nothing."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from bench.assignments import overrides
from bench.errors import UsageError, unknown_name
from bench.regression.baseline import BASELINE_SEEDS, PROFILE, CheckRequest

BOTH = {"models", "profile", "workers", "results_dir", "check", "update_baseline", "reason", "max_slowdown"}
GOES_WITH = {"check": BOTH | {"base_seed", "set", "junit", "all_rows"}, "update_baseline": BOTH | {"seeds"}}


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare them."""
    group.add_argument(
        "--check", type=Path, metavar="FILE",
        help="repeat a small fixed suite of all models; exit code 1 if a metric or a speed left its band",
    )  # fmt: skip
    group.add_argument(
        "--update-baseline", type=Path, metavar="FILE", help="measure the suite anew; needs a --reason"
    )
    group.add_argument("--reason", metavar="TEXT", help="why the baseline is made or changed; kept in it")
    group.add_argument("--junit", type=Path, metavar="FILE", help="also write the comparisons as JUnit XML")
    group.add_argument(
        "--max-slowdown", type=_slowdown, metavar="X",
        help="times as long that a training epoch may take (default: the baseline's, at first 1.5)",
    )  # fmt: skip
    group.add_argument("--all-rows", action="store_true", help="also show the comparisons that hold")


def asked(a: argparse.Namespace, parser: argparse.ArgumentParser) -> CheckRequest | None:
    """What the arguments ask for; None where it is no check.

    Raises:
        UsageError: options that do not go together, or a new baseline without a reason.
    """
    given = {name for name, value in vars(a).items() if value != parser.get_default(name)}
    if not given & set(GOES_WITH):
        stray = sorted(given & {"reason", "junit", "max_slowdown", "all_rows"})
        if stray:
            raise UsageError(
                f"{_option(stray[0])} belongs to --check FILE or --update-baseline FILE. Give one or leave it out."
            )
        return None
    if a.check and a.update_baseline:
        raise UsageError("--check compares with a baseline and --update-baseline replaces it: give one.")
    mode = "check" if a.check else "update_baseline"
    unfit = sorted(given - GOES_WITH[mode])
    if unfit:
        fit = ", ".join(sorted(_option(name) for name in GOES_WITH[mode] - set(GOES_WITH)))
        raise UsageError(
            f"{_option(unfit[0])} does not go with {_option(mode)}: the suite is fixed, or its numbers could "
            f"not be compared. Only {fit} do."
        )
    if a.profile not in (None, PROFILE):
        raise unknown_name(f"profile for {_option(mode)}", a.profile, [PROFILE])
    if mode == "check" and a.reason is not None:
        raise UsageError("--reason belongs to --update-baseline; a check changes nothing.")
    if mode == "update_baseline" and not (a.reason or "").strip():
        raise UsageError(
            "--update-baseline needs a --reason 'TEXT': it is kept in the baseline with date and commit, so that "
            "whoever finds the numbers changed can read why."
        )
    return CheckRequest(
        baseline=a.check or a.update_baseline,
        reason=a.reason,
        n_seeds=_seeds(a.seeds),
        max_slowdown=a.max_slowdown,
        junit=a.junit,
        all_rows=a.all_rows,
        keep_in=a.results_dir if "results_dir" in given else None,
        models=tuple(dict.fromkeys(a.models or ())),
        base_seed=a.base_seed,
        overrides=overrides(a.set),
        n_workers=a.workers,
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _seeds(given: int | None) -> int:
    if given is not None and given < 2:
        raise UsageError(f"--seeds {given}: the bands are made of the spread over seeds, which takes at least 2.")
    return given or BASELINE_SEEDS


def _slowdown(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 1):
        raise argparse.ArgumentTypeError(f"expected a number above 1, such as 1.5, not '{text}'")
    return value
