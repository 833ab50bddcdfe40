"""The command `run_all.py` (`ludp-bench run`): from the command line to runs and tables.

Reads data sets, writes the results directory and prints. Heavy imports are inside functions, so that `--list`,
`--help` and wrong arguments answer at once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from bench.cli.options import Options, parse
from bench.cli.parser import exit_code_of
from bench.core.names import readable
from bench.core.text import shorten_below, shorten_paths
from bench.data import cards
from bench.engine import registry
from bench.engine.plugins import use_plugins
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
    """Run the command line and return the exit code: 0 success, 1 failed runs or checks, 2 a user's error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = readable(shlex.join(["python", "run_all.py", *given]))
    kept = "Interrupted. Finished runs are kept, and unfinished ones up to their last finished epoch."
    interrupted = f"{kept} The same command resumes from there: {command}"
    # the message is needed before the arguments are parsed, so it looks at the words
    if any(word.startswith(("--check", "--update-baseline")) for word in given):
        interrupted = "Interrupted. The baseline is unchanged."
    return exit_code_of(lambda console: dispatch(parse(given), command, console), interrupted)


def dispatch(options: Options, command: str, console: Console) -> int:
    """Do the regression check if it is requested, else the runs; return the exit code."""
    if options.check is None:
        return run(options, command, console)
    from bench.checks.regression.check import check
    from bench.checks.regression.update import update

    return (update if options.check.reason else check)(options.check, command, console)


def run(options: Options, command: str, console: Console) -> int:
    """List names or make the runs, with the plugins of the command line; return the exit code.

    Raises:
        BenchError: it failed for a reason that the user can fix.
    """
    with use_plugins(options.what.plugins), shorten_below(options.data.data_dirs):
        registry.check_plugins()
        if options.how.list_names:
            from bench.cli.listing import show_names

            show_names(console)
            return 0
        return _compare(options, command, console)


def _compare(options: Options, command: str, console: Console) -> int:
    datasets, labels = check_names(options)
    models = [label.partition("@")[0] for label in labels]
    what, how = options.what, options.how
    artifacts = check_artifacts(what.artifacts, models, options.search.budget is not None)
    from bench.cli.requests import run_options_of, tuning_settings_of
    from bench.cli.status import show_plan, show_status, show_trials
    from bench.report.material import Material
    from bench.report.paper import load_paper
    from bench.runs.plan import left_out_sentences, make_plan, split_by_content
    from bench.runs.store import ResultsStore
    from bench.runs.tuning.search import plan_searches

    seeds_and_sets = (options.n_seeds, options.epochs_at_most, what.base_seed, what.overrides)
    requested = make_plan([*datasets], labels, *seeds_and_sets)  # before data is read, for its errors
    run_options = run_options_of(options, shorten_paths(command))
    tuning = tuning_settings_of(options, labels, options.epochs_at_most)
    store = ResultsStore(how.results_dir)
    if not (how.dry_run or how.status):
        store.check_writable()
    data = load_data(datasets, options, console)
    shown = labels if any(ARTIFACTS[name].needs == "models" for name in artifacts) else []
    rows = {name: rows_of(artifacts, DataFacts.of(each)) for name, each in data.items()}
    everywhere = what.everywhere
    plan = partial(make_plan, [*datasets], shown, *seeds_and_sets, more=rows, everywhere=everywhere, named=labels)
    content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
    left_out, artifacts = leave_out(requested, plan(), data, artifacts, options, console)
    if how.dry_run or how.status:
        show = show_status if how.status else show_plan
        show(split_by_content(plan(), content)[0], data, store, run_options, console)
        if tuning is not None:
            show_trials(plan_searches(labels, data, tuning.overrides), tuning, store, run_options, console)
        return 0
    studies, tuned = tune_models(labels, data, tuning, store, run_options, console)
    records = make_runs(split_by_content(plan(tuned=tuned), content)[0], data, store, run_options, console)
    material = Material(
        data, labels, records, options.n_seeds, load_paper(), store, studies, tuple(left_out_sentences(left_out))
    )
    return report(artifacts, material, options, command, console)


def leave_out(
    requested: Sequence[RunSpec],
    plan: Sequence[RunSpec],
    data: dict[str, BenchmarkData],
    artifacts: Sequence[str],
    options: Options,
    console: Console,
) -> tuple[LeftOut, list[str]]:
    """Find the runs whose data lacks the content that they need, and print them.

    Args:
        requested: runs of the models of the call.
        plan: runs that the artifacts need.
        data: the data sets by name.
        artifacts: their names; an artifact that the user did not name is dropped if all its own rows are left out.
        options: the command line.
        console: to print on.

    Returns:
        The runs left out, and the artifacts that remain.

    Raises:
        UsageError: no run is left.
        ConfigError: a modality is named that no data set of the call has.
    """
    from bench.runs.plan import check_runs_remain, left_out_sentences, split_by_content

    content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
    (kept, named), (others, more) = split_by_content(requested, content), split_by_content(plan, content)
    left_out = {**named, **more}
    if all(ARTIFACTS[name].needs == "nothing" for name in artifacts):
        return left_out, [*artifacts]
    check_runs_remain([*kept, *(others if options.what.artifacts else ())], named or more)
    for sentence in left_out_sentences(left_out):
        console.print(sentence, style="bold yellow", markup=False, soft_wrap=True)
    if options.what.artifacts:
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
    """Run the requested searches; return them, and their chosen values by data set and label."""
    if settings is None:
        return [], {}
    from bench.runs.tuning.search import run_tuning, tuned_values

    studies = run_tuning(labels, data, settings, store, options, console)
    return studies, tuned_values(studies)


def check_names(options: Options) -> tuple[dict[str, DatasetChoice], list[str]]:
    """Return the data sets with their splits by canonical name, each once, and the models to run, by default all.

    Raises:
        UsageError: a data set, split or model does not exist.
    """
    choices = (cards.choose(name, options.data.split) for name in options.what.datasets)
    datasets = {choice.name: choice for choice in choices}
    for label in options.what.models:
        registry.check(label.partition("@")[0])
    return datasets, list(options.what.models) or registry.names()


def load_data(
    datasets: Mapping[str, DatasetChoice], options: Options, console: Console
) -> dict[str, BenchmarkData]:
    """Load all data sets by canonical name and announce their sources; shared files are fetched once."""
    from bench.data.fetch.transfer import SHORT_TIMEOUTS, Watch
    from bench.data.load import describe_source, fallback_warning, fetch_missing, load_from_card, source_to_fetch
    from bench.runs.display import announce

    request = options.data.request(default_scale=profile(options.profile).scale, base_seed=options.what.base_seed)
    loaded: dict[str, BenchmarkData] = {}
    problems: dict[str, DataError | None] = {}
    for name, chosen in datasets.items():
        card = chosen.card
        if options.how.dry_run or options.how.status:
            source = None if options.data.offline else source_to_fetch(card, request)
            if source is not None:
                console.print(f"{name}: a run would first fetch {source.title}", markup=False, soft_wrap=True)
        elif not options.data.offline and card.name not in problems:
            with Watch(console) as watch:
                problems[card.name] = fetch_missing(card, request, SHORT_TIMEOUTS, watch)
        loaded[name] = load_from_card(card, replace(request, split=chosen.split))
        if problem := problems.get(card.name):
            console.print(
                fallback_warning(problem, loaded[name]), style="bold yellow", markup=False, soft_wrap=True
            )
        announce(console, name, describe_source(loaded[name]), loaded[name].source)
    return loaded


def make_runs(
    specs: Sequence[RunSpec],
    data: dict[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> list[RunRecord]:
    """Make the runs under the live display and return their records."""
    from bench.runs.display import RunDisplay
    from bench.runs.pool import execute

    if not specs:
        return []
    with RunDisplay(console, len(specs), options.protocol) as display:
        return execute(specs, data, store, options, display)


def report(names: Sequence[str], material: Material, options: Options, command: str, console: Console) -> int:
    """Write and print the artifacts, each footnote once, and write the report page; return 1 if a run failed."""
    from bench.report.html.page import write_report
    from bench.report.html.summary import About
    from bench.report.leaderboard.build import outcome, refresh
    from bench.report.render import console_table
    from bench.report.table import Table

    results_dir = options.how.results_dir
    written = write(names, material, results_dir)
    shown_notes: set[str] = set()
    for table in (each for each, _ in written.values() if isinstance(each, Table)):
        new = tuple(note for note in table.notes if note not in shown_notes)
        console.print(console_table(replace(table, notes=new)))
        shown_notes.update(new)
    budget = options.search.budget
    words = None if budget is None else budget.words
    about = About(shorten_paths(command), options.profile, options.epochs_at_most, words)
    page = write_report({name: each for name, (each, _) in written.items()}, material, results_dir, about)
    board, is_new = refresh(results_dir)
    for paths in (*(paths for _, paths in written.values()), page):
        console.print(f"wrote {', '.join(str(path) for path in paths)}", markup=False, soft_wrap=True)
    if board:
        console.print(outcome(board, is_new), markup=False, soft_wrap=True)
    failed = [record for record in material.records if record.status == "failed"]
    if failed:
        console.print(f"{len(failed)} of {len(material.records)} runs failed; run the same command to try again.")
    return 1 if failed else 0
