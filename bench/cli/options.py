"""The options of run_all.py, each declared once, and their values.

Other commands take the options that they share with it from here. Only this module reads the environment variables
that stand for options. Looks up plugins; imports nothing heavy.
"""

# ruff: noqa: RUF009 - `option` returns a dataclasses.field

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from bench import __version__
from bench.checks.regression.request import PROFILE, CheckRequest
from bench.cli.check_options import CheckOptions, check_mode, check_request
from bench.cli.declare import (
    above,
    add_options,
    count,
    count_or_auto,
    count_or_zero,
    distinct,
    option,
    options_of,
    path_given,
    read_options,
    switch,
    whole,
)
from bench.cli.parser import Parser
from bench.core.errors import UsageError, one_line
from bench.core.names import SPLITS
from bench.core.places import WORK
from bench.core.protocol import CUTOFFS, PROTOCOLS, SELECTABLE, HideAtTest, Protocol, ProtocolName, get_protocol
from bench.core.yaml_files import parse_yaml
from bench.engine.plugins import resolve_location
from bench.report.artifacts import ON_REPLACED_CONTENT
from bench.runs.plan import profile
from bench.runs.tuning.pruning import N_SEEDS, N_SETTINGS, Budget

if TYPE_CHECKING:
    from bench.core.types import DataRequest, Source

MISSING = ("mask", "zero", "mean", "neighbour-mean")
CACHE = WORK / "datasets" / "cache"
RESULTS = WORK / "results"
DATA_VARIABLE = "LUDP_BENCH_DATA"
OFFLINE_VARIABLE = "LUDP_BENCH_OFFLINE"
FIELD, PAPER = PROTOCOLS["field"], PROTOCOLS["paper"]
SCRIPT, COMMAND = "run_all.py", "ludp-bench run"  # the two ways to call what this module describes
SHOWN = ("--dry-run", "--status", "--list", "--verbose", "--quiet")
DESCRIPTION = """\
Train and compare multimodal recommenders under one protocol, and write tables,
a report and a leaderboard.

examples:
  {command} --datasets movielens --models mf lightgcn ease
      three models on one data set
  {command} --datasets movielens tiktok --seeds 5 --dry-run
      show the runs of a call, and how long they would take
  {command} --plugin mymodel.py --models mymodel ease --tune 20
      compare a model of your own, after 20 trials for each model"""


def overrides(assignments: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Parse `model.key=value` assignments, grouped by model; values are read as YAML.

    Raises:
        UsageError: an assignment does not have that form.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for assignment in assignments or ():
        target, equals, text = assignment.partition("=")
        model, dot, key = target.partition(".")
        if not (equals and dot and model and key):
            raise UsageError(f"--set takes MODEL.KEY=VALUE, for example ludp.knn_k=20, not '{assignment}'.")
        try:
            parsed.setdefault(model, {})[key] = parse_yaml(text)
        except yaml.YAMLError as problem:
            raise UsageError(
                f"--set {assignment[:200]}: the value is not valid YAML ({one_line(problem)}). Give a number, "
                "true, false, a word or a list such as [1, 2]."
            ) from problem
    return parsed


def _plugins(locations: Sequence[str] | None) -> tuple[str, ...]:
    return distinct([resolve_location(location) for location in locations or ()])


def tuple_of(given: Sequence[Path] | None) -> tuple[Path, ...]:
    """Return the values of a repeatable option."""
    return tuple(given or ())


def _data_dirs(given: Sequence[Path] | None) -> tuple[Path, ...]:
    """Return the data directories of the command line, then those of the environment."""
    from_environment = [Path(part) for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part]
    return (*(given or ()), *from_environment)


def _is_offline(given: bool) -> bool:
    """Return whether the command line or the environment forbids downloads."""
    return given or os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


@dataclass(frozen=True)
class WhatOptions:
    """The options on what to run."""

    datasets: tuple[str, ...] = option(
        "--datasets", default=("tiktok", "movielens"), nargs="+", metavar="NAME",
        help="NAME or NAME@SPLIT (default: tiktok movielens)",
        read=distinct,
    )  # fmt: skip
    models: tuple[str, ...] = option(
        "--models", nargs="+", metavar="NAME", help="model, model@variant or recbole:NAME (default: all of ours)",
        read=distinct,
    )  # fmt: skip
    plugins: tuple[str, ...] = option(
        "--plugin", action="append", metavar="PATH_OR_MODULE", read=_plugins,
        help="models of your own: NAME.py with NAME.yaml beside it, a folder of these, or a module; repeatable",
    )  # fmt: skip
    artifacts: tuple[str, ...] = option(
        "--artifacts", nargs="+", metavar="NAME", read=distinct,
        help="tables and figures, or groups of them: comparison (default), ablations, paper, all; see --list",
    )  # fmt: skip
    reference: str | None = option(
        "--reference", metavar="MODEL",
        help="row that stars, %%Improv. and tests compare the others with (default: a model of your own, "
        "else ludp, else the first named)",
    )  # fmt: skip
    profile: str | None = option(
        "--profile", metavar="NAME", help="quick (default), demo, smoke or full; see 'run --list'"
    )
    n_seeds: int | None = option("--seeds", type=count, metavar="N", help="repetitions (default: the profile's)")
    base_seed: int = option(
        "--base-seed", type=whole, default=2023, metavar="N", help="root of all seeds (default 2023)"
    )
    overrides: dict[str, dict[str, Any]] = option(
        "--set",
        action="append",
        metavar="MODEL.KEY=VALUE",
        help="a hyperparameter; repeatable",
        read=overrides,
    )
    missing: str | None = option(
        "--missing", allowed=MISSING, kind="--missing policy",
        help="how all models treat items without a modality (default: the models' own, mask)",
    )  # fmt: skip

    @property
    def everywhere(self) -> dict[str, Any]:
        """Return parameter values for all models that have these parameters."""
        return {} if self.missing is None else {"missing": self.missing}


@dataclass(frozen=True)
class ProtocolOptions:
    """The options on the evaluation protocol: its name, and choices that are replaced."""

    name: ProtocolName = option(
        "--protocol", default="field", metavar="NAME", allowed=PROTOCOLS, kind="protocol",
        help=f"field (default: validation {FIELD.selection_metric}, patience {FIELD.patience}, at most "
        f"{FIELD.max_epochs:,} epochs) or paper ({PAPER.selection_metric}, {PAPER.patience}, {PAPER.max_epochs})",
    )  # fmt: skip
    patience: int | None = option(
        "--patience", type=count, metavar="N",
        help="epochs without a better validation score after which training stops (default: the protocol's)",
    )  # fmt: skip
    max_epochs: int | None = option(
        "--epochs", type=count, metavar="N",
        help="upper bound on epochs, instead of the protocol's and the profile's",
    )  # fmt: skip
    selection_metric: str | None = option(
        "--select", metavar="METRIC@K", allowed=SELECTABLE, kind="--select metric",
        help="validation metric that chooses epochs and hyperparameters: precision, recall or ndcg, at "
        f"{', '.join(map(str, CUTOFFS))} (default: the protocol's)",
    )  # fmt: skip
    hide_at_test: HideAtTest = option(
        "--hide-at-test", default="train+valid", allowed=("train+valid", "train"), kind="--hide-at-test policy",
        help="parts whose items are not recommended at test (default: train+valid)",
    )  # fmt: skip

    def protocol(self) -> Protocol:
        """Return the named protocol with the replaced choices."""
        given = {name: getattr(self, name) for name in ("patience", "max_epochs", "selection_metric")}
        changes = {name: value for name, value in given.items() if value is not None}
        return get_protocol(self.name, hide_at_test=self.hide_at_test, **changes)


@dataclass(frozen=True)
class SearchOptions:
    """The options on the search for hyperparameters."""

    n_trials: int | None = option(
        "--tune", type=count, metavar="N",
        help="first run N trials of every model on the validation part of each data set, and use the best",
    )  # fmt: skip
    minutes: float | None = option(
        "--tune-minutes", type=above(0, "CPU minutes above 0, such as 90"), metavar="M",
        help="give every search M CPU minutes of trials; together with --tune, the budget used up first ends it",
    )  # fmt: skip
    sampler: str = option(
        "--tune-sampler", default="tpe", metavar="{tpe,grid}", help="how trials are chosen (default: tpe)"
    )
    is_pruned: bool = option(
        "--no-pruning", default=True, action="store_false",
        help="run every trial to its end; by default a trial below the median of earlier ones is stopped",
    )  # fmt: skip
    n_settings: int = option(
        "--confirm-settings", type=count_or_zero, default=N_SETTINGS, metavar="N",
        help=f"best settings that are trained again with fresh seeds (default {N_SETTINGS}); 0 or 1: none",
    )  # fmt: skip
    n_seeds: int = option(
        "--confirm-seeds", type=count_or_zero, default=N_SEEDS, metavar="N",
        help=f"fresh seeds of each; their mean chooses (default {N_SEEDS}); 0 or 1: the search's one seed chooses",
    )  # fmt: skip
    is_saved: bool = switch(
        "--save-tuned",
        "write chosen values beside the models' files even if the cap on epochs is not the protocol's",
    )

    @property
    def budget(self) -> Budget | None:
        """Return the budget for each model on each data set; None if no search is requested."""
        budget = Budget(self.n_trials, self.minutes)
        return None if budget == Budget() else budget


@dataclass(frozen=True)
class DataOptions:
    """The options on data."""

    source: Source | Literal["auto"] = option(
        "--source", default="auto", allowed=("auto", "real", "embedded", "surrogate"),
        help="kind of data; auto (default) takes real data if it is there; surrogate is synthetic data",
    )  # fmt: skip
    data_dirs: tuple[Path, ...] = option(
        "--data-dir", type=path_given, action="append", metavar="DIR", read=_data_dirs,
        help=f"directory with data; repeatable (also the environment variable {DATA_VARIABLE})",
    )  # fmt: skip
    cache_dir: Path = option(
        "--cache-dir", type=path_given, default=CACHE, metavar="DIR",
        help="downloads and derived arrays are kept here (default: datasets/cache)",
    )  # fmt: skip
    card_dirs: tuple[Path, ...] = option(
        "--card-dir", type=path_given, action="append", metavar="DIR", read=tuple_of,
        help="further directory with data cards, such as that of 'import --card-dir'; repeatable",
    )  # fmt: skip
    offline: bool = option(
        "--offline", default=False, action="store_true", read=_is_offline,
        help=f"fetch nothing (also the environment variable {OFFLINE_VARIABLE}=1)",
    )  # fmt: skip
    scale: float | None = option(
        "--scale", type=float, metavar="X", help="surrogate size relative to the paper's data"
    )
    split: str | None = option(
        "--split",
        allowed=SPLITS,
        help="split rule for data sets that are named without @SPLIT (default: that of the data card)",
    )

    def request(self, **more: Any) -> DataRequest:
        """Return the request for a data set.

        Args:
            more: fields of `DataRequest` that these options do not set, such as the split of this data set.
        """
        from bench.core.types import DataRequest  # heavy

        return DataRequest(self.source, self.data_dirs, self.cache_dir, self.scale, **more)


@dataclass(frozen=True)
class HowOptions:
    """The options on how the runs are made, and on what is shown instead."""

    results_dir: Path = option(
        "--results-dir", type=path_given, default=RESULTS, metavar="DIR",
        help="records, tables, report and leaderboard go here (default: results)",
    )  # fmt: skip
    device: str = option(
        "--device", default="auto", metavar="{auto,cpu,cuda}", help="where models are trained (default: auto)"
    )
    n_workers: int | None = option(
        "--workers", type=count_or_auto, metavar="N",
        help="parallel worker processes (default: auto, one per core; 1 on CUDA)",
    )  # fmt: skip
    n_threads: int | None = option(
        "--threads", type=count, metavar="N",
        help="threads of each run (default: cores / workers, at most OMP_NUM_THREADS)",
    )  # fmt: skip
    executor: str = option(
        "--executor", default="local", allowed=("local", "dask"),
        help="processes on this machine (default: local), or a Dask cluster",
    )  # fmt: skip
    scheduler: str | None = option(
        "--scheduler", metavar="ADDRESS", help="the Dask scheduler, such as tcp://HOST:8786"
    )
    tensorboard: bool = switch("--tensorboard", "write TensorBoard curves to RESULTS/tensorboard")
    on_existing: str = option(
        "--on-existing", default="skip", metavar="{skip,rerun,only-missing}",
        help="runs with a record: skip finished ones (default), rerun all, or make only runs without a record",
    )  # fmt: skip
    dry_run: bool = switch("--dry-run", "show each run once with its state and expected time; write nothing")
    status: bool = switch("--status", "count the runs that are done, failed or missing, and say why runs failed")
    list_names: bool = switch("--list", "list data sets, models, artifacts and profiles")
    is_verbose: bool = switch("--verbose", "also print all tables and notes, and one line for every variation")
    is_quiet: bool = switch("--quiet", "print only the last three lines", short="-q")


@dataclass(frozen=True)
class Options:
    """The command line of run_all.py, checked as far as no other package is needed.

    Attributes:
        what, evaluation, search, data, how: the options by group.
        check: the requested regression check, or None.
    """

    what: WhatOptions
    evaluation: ProtocolOptions
    search: SearchOptions
    data: DataOptions
    how: HowOptions
    check: CheckRequest | None

    @property
    def profile(self) -> str:
        """Return the name of the profile."""
        return self.what.profile or ("quick" if self.check is None else PROFILE)

    @property
    def content_models(self) -> tuple[str, ...] | None:
        """Return the models that the content ablation varies; None for all multimodal ones.

        Whoever asks for it by name gets all of them. A group such as `all` takes those of the profile.

        Raises:
            UsageError: there is no such profile.
        """
        is_named = any(name in ON_REPLACED_CONTENT for name in self.what.artifacts)
        return None if is_named else profile(self.profile).content_models

    @property
    def protocol(self) -> Protocol:
        """Return the evaluation protocol."""
        return self.evaluation.protocol()

    @property
    def n_seeds(self) -> int:
        """Return the number of repetitions: `--seeds`, else the profile's.

        Raises:
            UsageError: there is no such profile.
        """
        usual = profile(self.profile).n_seeds
        return usual if self.what.n_seeds is None else self.what.n_seeds

    @property
    def epochs_at_most(self) -> int:
        """Return the upper bound on epochs: `--epochs`, else the smaller one of profile and protocol.

        Raises:
            UsageError: there is no such profile.
        """
        cap, own = profile(self.profile).max_epochs, self.protocol.max_epochs
        return own if self.evaluation.max_epochs or not cap else min(cap, own)


def parser(program: str = SCRIPT) -> Parser:
    """Build the parser of run_all.py, for a user who called `program`."""
    other = COMMAND if program == SCRIPT else f"python {SCRIPT}"
    p = Parser(
        prog=program,
        usage=f"%(prog)s [OPTIONS]   or: {other} [OPTIONS]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.description = DESCRIPTION.format(command=p.command)
    p.add_argument("--version", action="version", version=f"ludp-bench {__version__}", help="print the version")
    add_options(p.add_argument_group("what to run"), WhatOptions)
    add_options(p.add_argument_group("protocol"), ProtocolOptions)
    add_options(p.add_argument_group("search for hyperparameters"), SearchOptions)
    add_options(p.add_argument_group("data"), DataOptions)
    flags = [each.flag for each in options_of(HowOptions).values()]
    add_options(p.add_argument_group("how"), HowOptions, *(flag for flag in flags if flag not in SHOWN))
    add_options(p.add_argument_group("what to show"), HowOptions, *SHOWN)
    add_options(p.add_argument_group("regression check"), CheckOptions)
    return p


def parse(arguments: Sequence[str], program: str = SCRIPT) -> Options:
    """Parse the command line of run_all.py; messages name `program`, as the user called it.

    Raises:
        UsageError: an option does not exist, a value is not allowed, or options cannot be combined.
    """
    p = parser(program)
    a = p.parse_strictly(arguments)
    given = p.flags_given(a)
    mode = check_mode(given)
    options = Options(
        what=read_options(WhatOptions, a),
        evaluation=read_options(ProtocolOptions, a),
        search=read_options(SearchOptions, a),
        data=read_options(DataOptions, a),
        how=read_options(HowOptions, a),
        check=None,
    )
    check_combinations(options)
    _check_search(options.search, given)
    if mode is None:
        return options
    return replace(options, check=check_request(mode, options, read_options(CheckOptions, a), given))


def _check_search(search: SearchOptions, given: set[str]) -> None:
    """Refuse options on a search in a call without one.

    Raises:
        UsageError: one is given.
    """
    misplaced = sorted(given & {each.flag for each in options_of(SearchOptions).values()})
    if search.budget is None and misplaced:
        raise UsageError(
            f"{misplaced[0]} has no effect without --tune. Add --tune N or --tune-minutes M, or leave it out."
        )


def check_combinations(options: Options) -> None:
    """Check that options of one call go together.

    Raises:
        UsageError: both of `--quiet` and `--verbose` are given, or only one of `--executor dask`
            and `--scheduler`.
    """
    how = options.how
    if how.is_quiet and how.is_verbose:
        raise UsageError("--quiet prints three lines and --verbose prints everything: give one of them.")
    if (how.executor == "dask") != (how.scheduler is not None):
        raise UsageError(
            "--executor dask and --scheduler ADDRESS belong together: give both to run on a Dask cluster, or "
            "neither to run here."
        )
