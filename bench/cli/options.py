"""The command line of run_all.py as typed values. Imports nothing heavy, touches nothing."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.checks.regression.baseline import BASELINE_SEEDS, PROFILE, CheckRequest
from bench.cli.parser import Parser
from bench.core.config import parse_yaml
from bench.core.errors import UsageError, unknown_name
from bench.core.files import ROOT
from bench.core.names import SPLITS
from bench.core.protocol import PROTOCOLS, SELECTABLE, Protocol, named
from bench.engine.plugins import resolved
from bench.runs.plan import profile
from bench.runs.tuning.pruning import N_SEEDS, N_SETTINGS, Budget


def overrides(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`model.key=value` assignments by model; values are read as YAML.

    Raises:
        UsageError: an assignment does not have that form.
    """
    found: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        model, dot, key = target.partition(".")
        if not (equals and dot and model and key):
            raise UsageError(f"--set takes MODEL.KEY=VALUE, for example ludp.knn_k=20, not '{assignment}'.")
        try:
            found.setdefault(model, {})[key] = parse_yaml(text)
        except yaml.YAMLError as problem:
            reason = " ".join(str(problem).split())[:300]
            raise UsageError(
                f"--set {assignment[:200]}: the value is no YAML ({reason}). Give a number, true, false, a "
                "word or a list such as [1, 2]."
            ) from problem
    return found


BOTH = {"models", "profile", "workers", "results_dir", "check", "update_baseline", "reason", "max_slowdown"}
GOES_WITH = {"check": BOTH | {"base_seed", "set", "junit", "all_rows"}, "update_baseline": BOTH | {"seeds"}}


def add_check_options(group: argparse._ArgumentGroup) -> None:
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
        "--max-slowdown", type=_above(1, "a number above 1, such as 1.5"), metavar="X",
        help="times as long that a training epoch may take (default: the baseline's, at first 1.5)",
    )  # fmt: skip
    group.add_argument("--all-rows", action="store_true", help="also show the comparisons that hold")


def check_request(a: argparse.Namespace, parser: argparse.ArgumentParser) -> CheckRequest | None:
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


SOURCES = ("auto", "real", "embedded", "surrogate")
HIDE_AT_TEST = ("train+valid", "train")
EXECUTORS = ("local", "dask")
MISSING = ("mask", "zero", "mean", "neighbour-mean")
CACHE = ROOT / "datasets" / "cache"
DATA_VARIABLE = "LUDP_BENCH_DATA"
OFFLINE_VARIABLE = "LUDP_BENCH_OFFLINE"


@dataclass(frozen=True)
class SearchRequest:
    """What `--tune` or `--tune-minutes` asks for.

    Attributes:
        budget: of every model on every data set.
        sampler: who proposes trials.
        is_pruned: whether trials below the median are stopped.
        n_settings, n_seeds: of the confirmation.
        is_saved: whether values of a search with few epochs are written, too.
    """

    budget: Budget
    sampler: str
    is_pruned: bool
    n_settings: int
    n_seeds: int
    is_saved: bool


@dataclass(frozen=True)
class Options:
    """Everything that was asked for, checked as far as no other room is needed."""

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    artifacts: tuple[str, ...]
    profile: str
    n_seeds: int | None
    max_epochs: int | None
    base_seed: int
    source: str
    data_dirs: tuple[Path, ...]
    cache_dir: Path
    offline: bool
    scale: float | None
    split: str | None
    results_dir: Path
    device: str
    n_workers: int | None
    n_threads: int | None
    on_existing: str
    protocol: Protocol
    overrides: dict[str, dict[str, Any]]
    missing: str | None
    search: SearchRequest | None
    plugins: tuple[str, ...]
    executor: str
    scheduler: str | None
    tensorboard: bool
    status: bool
    dry_run: bool
    list_names: bool
    check: CheckRequest | None

    @property
    def epochs_at_most(self) -> int:
        """Upper bound on the epochs of a run: `--epochs`, else the smaller one of profile and protocol.

        Raises:
            UsageError: there is no such profile.
        """
        cap = profile(self.profile).max_epochs
        return self.protocol.max_epochs if self.max_epochs or not cap else min(cap, self.protocol.max_epochs)

    @property
    def usual_epochs(self) -> int:
        """The same bound without `--epochs`.

        Raises:
            UsageError: there is no such profile.
        """
        own = PROTOCOLS[self.protocol.name].max_epochs
        return min(profile(self.profile).max_epochs or own, own)

    @property
    def everywhere(self) -> dict[str, Any]:
        """Values for all models that have such parameters."""
        return {} if self.missing is None else {"missing": self.missing}


def parser() -> Parser:
    """The command line of run_all.py."""
    p = Parser(
        prog="run_all.py",
        description="Train and compare multimodal recommenders under one protocol; write the paper's tables.",
        allow_abbrev=False,
    )
    _add_what(p.add_argument_group("what to run"))
    _add_protocol(p.add_argument_group("protocol"))
    _add_search(p.add_argument_group("search for hyperparameters"))
    _add_data(p.add_argument_group("data"))
    _add_how(p.add_argument_group("how"))
    add_check_options(p.add_argument_group("regression check"))
    return p


def _add_what(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--datasets", nargs="+", default=["tiktok", "movielens"], metavar="NAME", help="NAME or NAME@SPLIT"
    )
    what.add_argument(
        "--models", nargs="+", metavar="NAME", help="model, model@variant or recbole:NAME (default: all of ours)"
    )
    add_plugin(what)
    what.add_argument("--artifacts", nargs="+", metavar="NAME", help="tables to write (default: all)")
    what.add_argument("--profile", metavar="NAME", help="quick (default), smoke or full; see --list")
    what.add_argument("--seeds", type=int, metavar="N", help="repetitions (default: the profile's)")
    what.add_argument("--base-seed", type=int, default=2023, metavar="N", help="root of all seeds (default 2023)")
    what.add_argument(
        "--set", action="append", default=[], metavar="MODEL.KEY=VALUE", help="a model parameter; repeatable"
    )
    what.add_argument(
        "--missing", metavar="POLICY",
        help=f"what items without a modality do, in all models: {', '.join(MISSING)} (default: the models' mask)",
    )  # fmt: skip


def _add_search(search: argparse._ArgumentGroup) -> None:
    search.add_argument(
        "--tune", type=_count, metavar="N",
        help="first give every model N trials on the validation part of each data set, and use the best",
    )  # fmt: skip
    search.add_argument(
        "--tune-minutes", type=_above(0, "CPU minutes above 0, such as 90"), metavar="M",
        help="the same with M CPU minutes of trials for every model and data set in place of a number",
    )  # fmt: skip
    search.add_argument("--tune-sampler", default="tpe", metavar="NAME", help="tpe (default) or grid")
    search.add_argument(
        "--no-pruning", action="store_true",
        help="let every trial run to its end; else one below the median of earlier trials is stopped",
    )  # fmt: skip
    search.add_argument(
        "--confirm-settings", type=_count_or_none, default=N_SETTINGS, metavar="N",
        help=f"best settings that are trained again with fresh seeds (default {N_SETTINGS}); 0 or 1: none",
    )  # fmt: skip
    search.add_argument(
        "--confirm-seeds", type=_count_or_none, default=N_SEEDS, metavar="N",
        help=f"fresh seeds of each, whose mean chooses (default {N_SEEDS}); 0 or 1: the search's one seed chooses",
    )  # fmt: skip
    search.add_argument(
        "--save-tuned", action="store_true",
        help="write chosen values beside the models' files even with fewer --epochs than the profile's",
    )  # fmt: skip


def _add_protocol(protocol: argparse._ArgumentGroup) -> None:
    field, paper = PROTOCOLS["field"], PROTOCOLS["paper"]
    protocol.add_argument(
        "--protocol", default="field", metavar="NAME",
        help=f"field (default: validation {field.selection_metric}, patience {field.patience}, at most "
        f"{field.max_epochs:,} epochs) or paper ({paper.selection_metric}, {paper.patience}, {paper.max_epochs})",
    )  # fmt: skip
    protocol.add_argument(
        "--patience", type=_count, metavar="N",
        help="epochs without a better validation score after which training stops (default: the protocol's)",
    )  # fmt: skip
    protocol.add_argument(
        "--epochs", type=int, metavar="N",
        help="upper bound on epochs, in place of the protocol's and of the profile's",
    )  # fmt: skip
    protocol.add_argument(
        "--select", metavar="METRIC@K",
        help="validation metric that chooses epochs and hyperparameters (default: the protocol's)",
    )  # fmt: skip
    protocol.add_argument(
        "--hide-at-test", default="train+valid", help="whose items are hidden: train+valid (default) or train"
    )


def add_plugin(parser: argparse._ActionsContainer) -> None:
    """The option for models that lie elsewhere; its values are for `bench.engine.plugins.resolved`."""
    told = "models of your own: NAME.py with NAME.yaml beside it, a folder of such, or a module; repeatable"
    parser.add_argument("--plugin", action="append", default=[], metavar="PATH_OR_MODULE", help=told)


def _add_data(data: argparse._ArgumentGroup) -> None:
    data.add_argument("--source", default="auto", help="auto (default), real, embedded or surrogate")
    data.add_argument(
        "--data-dir", action="append", default=[], metavar="DIR",
        help=f"where data lies; repeatable (also the environment variable {DATA_VARIABLE})",
    )  # fmt: skip
    data.add_argument("--cache-dir", type=Path, default=CACHE, metavar="DIR")
    data.add_argument(
        "--offline",
        action="store_true",
        help=f"fetch nothing (also the environment variable {OFFLINE_VARIABLE}=1)",
    )
    data.add_argument("--scale", type=float, metavar="X", help="surrogate size relative to the paper's data")
    data.add_argument(
        "--split", help=f"rule for data sets that name none, as NAME@SPLIT does: {', '.join(SPLITS)}"
    )


def _add_how(how: argparse._ArgumentGroup) -> None:
    how.add_argument("--results-dir", type=Path, default=ROOT / "results", metavar="DIR")
    how.add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    how.add_argument(
        "--workers", type=_workers, metavar="N",
        help="processes that make runs side by side (default: auto, one a core; 1 on CUDA)",
    )  # fmt: skip
    how.add_argument(
        "--threads", type=_count, metavar="N",
        help="threads of each run (default: cores / workers, at most OMP_NUM_THREADS)",
    )  # fmt: skip
    how.add_argument("--executor", default="local", help="local (default: processes here) or dask (a cluster)")
    how.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask scheduler, such as tcp://HOST:8786")
    how.add_argument("--tensorboard", action="store_true", help="keep its curves in RESULTS/tensorboard")
    how.add_argument("--on-existing", default="skip", help="skip (default), rerun or only-missing")
    how.add_argument("--dry-run", action="store_true", help="show the plan and what is done of it; write nothing")
    how.add_argument(
        "--status", action="store_true", help="say what of this command is done, running, failed and missing"
    )
    how.add_argument("--list", action="store_true", help="list data sets, models, artifacts and profiles")


def parse(arguments: Sequence[str]) -> Options:
    """Arguments as options; data directories of the environment come after those of the command line.

    Raises:
        UsageError: an option does not exist, or a value is not allowed.
    """
    p = parser()
    a = p.parse_strictly(arguments)
    check = check_request(a, p)
    _check(a)
    from_environment = [part for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part]
    return Options(
        datasets=_distinct(a.datasets),
        models=_distinct(a.models or ()),
        artifacts=_distinct(a.artifacts or ()),
        profile=a.profile or ("quick" if check is None else PROFILE),
        n_seeds=a.seeds,
        max_epochs=a.epochs,
        base_seed=a.base_seed,
        source=a.source,
        data_dirs=tuple(Path(part) for part in (*a.data_dir, *from_environment)),
        cache_dir=a.cache_dir,
        offline=a.offline or is_offline(),
        scale=a.scale,
        split=a.split,
        results_dir=a.results_dir,
        device=a.device,
        n_workers=a.workers,
        n_threads=a.threads,
        on_existing=a.on_existing,
        protocol=_protocol(a),
        overrides=overrides(a.set),
        missing=a.missing,
        search=_search(a),
        plugins=_distinct([resolved(location) for location in a.plugin]),
        executor=a.executor,
        scheduler=a.scheduler,
        tensorboard=a.tensorboard,
        status=a.status,
        dry_run=a.dry_run,
        list_names=a.list,
        check=check,
    )


def _search(a: argparse.Namespace) -> SearchRequest | None:
    """The search that is asked for; None without one.

    Raises:
        UsageError: two budgets are given.
    """
    if a.tune is not None and a.tune_minutes is not None:
        raise UsageError(
            f"--tune {a.tune} and --tune-minutes {a.tune_minutes:g} are two budgets: give the number of trials or "
            f"the CPU minutes, the same for every model."
        )
    if a.tune is None and a.tune_minutes is None:
        return None
    return SearchRequest(
        budget=Budget(a.tune, a.tune_minutes),
        sampler=a.tune_sampler,
        is_pruned=not a.no_pruning,
        n_settings=a.confirm_settings,
        n_seeds=a.confirm_seeds,
        is_saved=a.save_tuned,
    )


def is_offline() -> bool:
    """Whether the environment forbids to fetch."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def _check(a: argparse.Namespace) -> None:
    """Refuse values that are not allowed, and options that do not go together."""
    for kind, given, allowed in (
        ("--source", a.source, SOURCES),
        ("--hide-at-test policy", a.hide_at_test, HIDE_AT_TEST),
        ("protocol", a.protocol, PROTOCOLS),
        ("--executor", a.executor, EXECUTORS),
    ):
        if given not in allowed:
            raise unknown_name(kind, given, allowed)
    if a.select is not None and a.select not in SELECTABLE:
        raise unknown_name("--select metric", a.select, SELECTABLE)
    if a.split is not None and a.split not in SPLITS:
        raise unknown_name("--split", a.split, SPLITS)
    if a.missing is not None and a.missing not in MISSING:
        raise unknown_name("--missing policy", a.missing, MISSING)
    if (a.executor == "dask") != (a.scheduler is not None):
        raise UsageError(
            "--executor dask and --scheduler ADDRESS belong together: give both to run on a Dask cluster, or "
            "neither to run here."
        )


def _protocol(a: argparse.Namespace) -> Protocol:
    """The protocol that was named, with the choices that were changed; the values are checked."""
    given = {"patience": a.patience, "max_epochs": a.epochs, "selection_metric": a.select}
    changes = {choice: value for choice, value in given.items() if value is not None}
    return named(a.protocol, hide_at_test=a.hide_at_test, **changes)


def _count(text: str, expected: str = "a whole number from 1") -> int:
    """A positive whole number, for argparse."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected {expected}, not '{text}'")
    return int(text)


def _count_or_none(text: str) -> int:
    """A whole number, for argparse."""
    return 0 if text == "0" else _count(text, "a whole number from 0")


def _above(least: float, what: str) -> Callable[[str], float]:
    """Make argparse's reader of a finite number above a bound.

    Args:
        least: the bound, which is not allowed itself.
        what: the kind of number with an example, for the message.
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > least):
            raise argparse.ArgumentTypeError(f"expected {what}, not '{text}'")
        return value

    return read


def _workers(text: str) -> int | None:
    """The same, or None for "auto"."""
    return None if text == "auto" else _count(text, "auto or a whole number from 1")


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
