"""The options of the regression check, and what else may be given with it. Touches nothing."""

# ruff: noqa: RUF009 - `option` returns a dataclasses.field

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.checks.regression.request import BASELINE_SEEDS, PROFILE, CheckRequest
from bench.cli.declare import above, option, options_of, path_given, switch
from bench.core.errors import UsageError, unknown_name
from bench.core.places import shipped

if TYPE_CHECKING:
    from bench.cli.options import Options

BASELINE = shipped("results/reference") / "smoke-baseline.json"
# options that may be given with each kind of regression check
BOTH = {"--models", "--plugin", "--profile", "--workers", "--results-dir", "--max-slowdown", "--reason"}
ALLOWED_WITH = {
    "--check": BOTH | {"--check", "--base-seed", "--set", "--junit", "--all-rows"},
    "--update-baseline": BOTH | {"--update-baseline", "--seeds"},
}


@dataclass(frozen=True)
class CheckOptions:
    """The options on the regression check."""

    check: Path | None = option(
        "--check", type=path_given, metavar="FILE", nargs="?", const=BASELINE,
        help="repeat a small fixed suite of all models and compare it with a baseline, by default the project's; "
        "exit code 1 if a metric or a speed is outside its band",
    )  # fmt: skip
    update_baseline: Path | None = option(
        "--update-baseline", type=path_given, metavar="FILE", help="measure the suite again; needs a --reason"
    )
    reason: str | None = option(
        "--reason", metavar="TEXT", help="why the baseline is made or changed; written into it"
    )
    junit: Path | None = option(
        "--junit", type=path_given, metavar="FILE", help="also write the comparisons as JUnit XML"
    )
    max_slowdown: float | None = option(
        "--max-slowdown", type=above(1, "a number above 1, such as 1.5"), metavar="X",
        help="how many times as long a training epoch may take (default: the baseline's, initially 1.5)",
    )  # fmt: skip
    all_rows: bool = switch("--all-rows", "also show the comparisons that passed")


def check_mode(given: set[str]) -> str | None:
    """Return which of `--check` and `--update-baseline` is given, or None.

    Args:
        given: flags of all given options.

    Raises:
        UsageError: both are given, or with options that do not go together.
    """
    modes = given & set(ALLOWED_WITH)
    if not modes:
        misplaced = sorted(given & {each.flag for each in options_of(CheckOptions).values()})
        if misplaced:
            raise UsageError(
                f"{misplaced[0]} belongs to --check FILE or --update-baseline FILE. Give one of them, or leave it "
                "out."
            )
        return None
    if len(modes) > 1:
        raise UsageError("--check compares with a baseline and --update-baseline replaces it: give one.")
    (mode,) = modes
    refused = sorted(given - ALLOWED_WITH[mode])
    if refused:
        allowed = ", ".join(sorted(ALLOWED_WITH[mode] - modes))
        raise UsageError(
            f"{refused[0]} does not go with {mode}: the suite is fixed, so that its numbers can be compared. "
            f"Allowed: {allowed}."
        )
    return mode


def check_request(mode: str, options: Options, check: CheckOptions, given: set[str]) -> CheckRequest:
    """Build the request for a regression check.

    Args:
        mode: `--check` or `--update-baseline`.
        options: the other options.
        check: the options of the check.
        given: flags of all given options.

    Raises:
        UsageError: a value does not go with a regression check, or a new baseline has no reason.
    """
    what = options.what
    if what.profile not in (None, PROFILE):
        raise unknown_name(f"profile for {mode}", what.profile, [PROFILE])
    _check_reason(mode, check.reason)
    if what.n_seeds is not None and what.n_seeds < 2:
        raise UsageError(
            f"--seeds {what.n_seeds}: the bands are computed from the spread over seeds; give at least 2."
        )
    baseline = check.check or check.update_baseline
    assert baseline is not None
    return CheckRequest(
        baseline=baseline,
        reason=check.reason,
        n_seeds=what.n_seeds or BASELINE_SEEDS,
        max_slowdown=check.max_slowdown,
        junit=check.junit,
        all_rows=check.all_rows,
        runs_dir=options.how.results_dir if "--results-dir" in given else None,
        models=what.models,
        base_seed=what.base_seed,
        overrides=what.overrides,
        n_workers=options.how.n_workers,
        plugins=what.plugins,
    )


def _check_reason(mode: str, reason: str | None) -> None:
    """Check that a new baseline has a reason, and a comparison has none.

    Raises:
        UsageError: it is otherwise.
    """
    if mode == "--check" and reason is not None:
        raise UsageError("--reason belongs to --update-baseline; a check changes nothing.")
    if mode == "--update-baseline" and not (reason or "").strip():
        raise UsageError(
            "--update-baseline needs a --reason 'TEXT': it is written into the baseline with date and commit, "
            "and explains later why the numbers changed."
        )
