"""What the command line asks for, as values of other rooms. Looks for devices and schedulers only.

run_all.py: from the command line to tables. The only place that ends the process.

Heavy imports stand inside functions, so that `--list`, `--help` and wrong arguments answer at once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from bench.cli.options import Options, parse
from bench.cli.parser import exit_code_of
from bench.core.names import readable
from bench.core.text import below, shortened
from bench.core.types import DataRequest
from bench.data import cards
from bench.engine import registry
from bench.engine.plugins import plugged
from bench.report.artifacts import ARTIFACTS, rows_of, with_rows, write
from bench.report.artifacts import check_names as check_artifacts
from bench.runs.plan import profile
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from bench.core.errors import DataError
    from bench.core.types import BenchmarkData
    from bench.data.cards import DatasetChoice
    from bench.report.material import Material
    from bench.runs.plan import LeftOut, Tuned
    from bench.runs.records import RunRecord, RunSpec
    from bench.runs.store import ResultsStore
    from bench.runs.task import RunOptions
    from bench.runs.tuning.results import StudyResult
    from bench.runs.tuning.search import TuningSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 done, 1 failed runs or moved numbers, 2 a user's error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = readable(shlex.join(["python", "run_all.py", *given]))
    kept = "Interrupted. Finished runs are kept, and begun ones to their last finished epoch."
    interrupted = f"{kept} The same command goes on from there: {command}"
    if any(word.startswith(("--check", "--update-baseline")) for word in given):
        interrupted = "Interrupted. The baseline is as it was."
    return exit_code_of(lambda console: dispatch(parse(given), command, console), interrupted)


def dispatch(options: Options, command: str, console: Console) -> int:
    """The regression check where it is asked for, else the runs; the exit code."""
    if options.check is None:
        return run(options, command, console)
    from bench.checks.regression.check import check
    from bench.checks.regression.update import update

    return (update if options.check.reason else check)(options.check, command, console)


def run(options: Options, command: str, console: Console) -> int:
    """Do what the options ask for, where its plugins are known; the exit code.

    Raises:
        BenchError: the user can mend it.
    """
    with plugged(options.plugins), below(options.data_dirs):
        registry.check_plugins()
        if options.list_names:
            from bench.cli.listing import show_names

            show_names(console)
            return 0
        return _compare(options, command, console)


def _compare(options: Options, command: str, console: Console) -> int:
    datasets, labels = check_names(options)
    models = [label.partition("@")[0] for label in labels]
    artifacts = check_artifacts(options.artifacts, models, options.search is not None)
    from bench.cli.requests import run_options_of, tuning_settings_of
    from bench.cli.status import show_plan, show_status, show_trials
    from bench.report.material import Material
    from bench.report.paper import load_paper
    from bench.runs.plan import make_plan, said, suited
    from bench.runs.store import ResultsStore
    from bench.runs.tuning.search import searches

    chosen = profile(options.profile)
    n_seeds = chosen.n_seeds if options.n_seeds is None else options.n_seeds
    seeds_and_sets = (n_seeds, options.epochs_at_most, options.base_seed, options.overrides)
    asked = make_plan([*datasets], labels, *seeds_and_sets)  # before data is read, for its errors
    run_options = run_options_of(options, shortened(command))
    tuning = tuning_settings_of(options, labels, options.epochs_at_most)
    store = ResultsStore(options.results_dir)
    if not (options.dry_run or options.status):
        store.check_writable()
    data = load_data(datasets, options, chosen.scale, console)
    shown = labels if any(ARTIFACTS[name].needs == "models" for name in artifacts) else []
    rows = {name: rows_of(artifacts, DataFacts.of(each)) for name, each in data.items()}
    everywhere = options.everywhere
    plan = partial(make_plan, [*datasets], shown, *seeds_and_sets, more=rows, everywhere=everywhere, named=labels)
    content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
    left_out, artifacts = leave_out(asked, plan(), data, artifacts, options, console)
    if options.dry_run or options.status:
        show = show_status if options.status else show_plan
        show(suited(plan(), content)[0], data, store, run_options, console)
        if tuning is not None:
            show_trials(searches(labels, data, tuning.overrides), tuning, store, run_options, console)
        return 0
    studies, tuned = tune_models(labels, data, tuning, store, run_options, console)
    records = make_runs(suited(plan(tuned=tuned), content)[0], data, store, run_options, console)
    material = Material(data, labels, records, n_seeds, load_paper(), store, studies, tuple(said(left_out)))
    return report(artifacts, material, options, command, console)


def leave_out(
    asked: Sequence[RunSpec],
    plan: Sequence[RunSpec],
    data: dict[str, BenchmarkData],
    artifacts: Sequence[str],
    options: Options,
    console: Console,
) -> tuple[LeftOut, list[str]]:
    """What is left out since its data lacks the content, told by name, and the artifacts that are left to show.

    Args:
        asked: runs of the models of the call.
        plan: runs that the artifacts need.
        data: the data sets by name.
        artifacts: their names; those that nobody named go where all their own rows are left out.
        options: the command line.
        console: to tell.

    Raises:
        UsageError: nothing is left.
        ConfigError: a modality is named that no data set of the call has.
    """
    from bench.runs.plan import refuse_nothing, said, suited

    content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
    (kept, named), (others, more) = suited(asked, content), suited(plan, content)
    left_out = {**named, **more}
    if all(ARTIFACTS[name].needs == "nothing" for name in artifacts):
        return left_out, [*artifacts]
    refuse_nothing([*kept, *(others if options.artifacts else ())], named or more)
    for sentence in said(left_out):
        console.print(sentence, style="bold yellow", markup=False, soft_wrap=True)
    if options.artifacts:
        return left_out, [*artifacts]
    return left_out, with_rows(artifacts, [DataFacts.of(each) for each in data.values()], left_out)


def tune_models(
    labels: Sequence[str],
    data: dict[str, BenchmarkData],
    settings: TuningSettings | None,
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> tuple[list[StudyResult], Tuned]:
    """The searches that were asked for, and their chosen values by data set and label."""
    if settings is None:
        return [], {}
    from bench.runs.tuning.search import run_tuning, tuned_values

    studies = run_tuning(labels, data, settings, store, options, console)
    return studies, tuned_values(studies)


def check_names(options: Options) -> tuple[dict[str, DatasetChoice], list[str]]:
    """Find the data sets with their splits by canonical name, each once, and the models to run, by default all.

    Raises:
        UsageError: a data set, split or model does not exist.
    """
    choices = (cards.choose(name, options.split) for name in options.datasets)
    datasets = {choice.name: choice for choice in choices}
    for label in options.models:
        registry.check(label.partition("@")[0])
    return datasets, list(options.models) or registry.names()


def load_data(
    datasets: Mapping[str, DatasetChoice], options: Options, default_scale: float, console: Console
) -> dict[str, BenchmarkData]:
    """Load all data sets by canonical name, each announced with its source; what they share is fetched once."""
    from bench.data.fetch.transfer import HASTE, Watch
    from bench.data.load import describe_source, fallback, load_from_card, obtain, to_fetch
    from bench.runs.display import announce

    request = DataRequest(
        source=cast(Any, options.source),
        data_dirs=options.data_dirs,
        cache_dir=options.cache_dir,
        scale=options.scale,
        default_scale=default_scale,
        base_seed=options.base_seed,
    )
    loaded: dict[str, BenchmarkData] = {}
    problems: dict[str, DataError | None] = {}
    for name, chosen in datasets.items():
        card = chosen.card
        if options.dry_run or options.status:
            source = None if options.offline else to_fetch(card, request)
            if source is not None:
                console.print(f"{name}: a run would first fetch {source.title}", markup=False, soft_wrap=True)
        elif not options.offline and card.name not in problems:
            with Watch(console) as watch:
                problems[card.name] = obtain(card, request, HASTE, watch)
        loaded[name] = load_from_card(card, replace(request, split=chosen.split))
        if problem := problems.get(card.name):
            console.print(fallback(problem, loaded[name]), style="bold yellow", markup=False, soft_wrap=True)
        announce(console, name, describe_source(loaded[name]), loaded[name].source)
    return loaded


def make_runs(
    specs: Sequence[RunSpec],
    data: dict[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> list[RunRecord]:
    """Make the runs under the live display."""
    from bench.runs.display import RunDisplay
    from bench.runs.pool import execute

    if not specs:
        return []
    with RunDisplay(console, len(specs), options.protocol) as display:
        return execute(specs, data, store, options, display)


def report(names: Sequence[str], material: Material, options: Options, command: str, console: Console) -> int:
    """Write and show the artifacts, each footnote once, and the page of all; 1 if a run failed."""
    from bench.report.html.page import write_report
    from bench.report.html.summary import About
    from bench.report.leaderboard.build import outcome, refresh
    from bench.report.render import console_table
    from bench.report.table import Table

    written = write(names, material, options.results_dir)
    said: set[str] = set()
    for table in (each for each, _ in written.values() if isinstance(each, Table)):
        new = tuple(note for note in table.notes if note not in said)
        console.print(console_table(replace(table, notes=new)))
        said.update(new)
    budget = None if options.search is None else options.search.budget.words
    about = About(shortened(command), options.profile, options.epochs_at_most, budget)
    page = write_report({name: each for name, (each, _) in written.items()}, material, options.results_dir, about)
    board, is_new = refresh(options.results_dir)
    for paths in (*(paths for _, paths in written.values()), page):
        console.print(f"wrote {', '.join(str(path) for path in paths)}", markup=False, soft_wrap=True)
    if board:
        console.print(outcome(board, is_new), markup=False, soft_wrap=True)
    failed = [record for record in material.records if record.status == "failed"]
    if failed:
        console.print(f"{len(failed)} of {len(material.records)} runs failed; run the same command to try again.")
    return 1 if failed else 0
