"""The command `run_all.py` (`ludp-bench run`): from the command line to runs and tables.

Reads data sets, writes the results directory and prints. Heavy imports are inside functions, so that `--list`,
`--help` and wrong arguments answer at once.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from bench.cli.options import SCRIPT, Options, parse
from bench.cli.parser import called, exit_code_of, fit_console
from bench.core.errors import UsageError, unknown_name
from bench.core.names import model_of, readable
from bench.core.text import shorten_below, shorten_paths
from bench.data.card_files import also_in
from bench.engine import registry
from bench.engine.plugins import use_plugins
from bench.report.artifacts import ARTIFACTS, needs_other_models, rows_of, with_rows, write
from bench.report.artifacts import check_names as check_artifacts
from bench.runs.plan import profile

if TYPE_CHECKING:
    from bench.cli.opening import Plan
    from bench.core.errors import DataError
    from bench.core.types import BenchmarkData
    from bench.data.cards import DatasetChoice
    from bench.report.figure import Figure
    from bench.report.material import Material
    from bench.report.table import Table
    from bench.runs.plan import Tuned, Variant
    from bench.runs.records import RunRecord, RunSpec
    from bench.runs.store import ResultsStore
    from bench.runs.task import RunOptions
    from bench.runs.tuning.results import StudyResult
    from bench.runs.tuning.search import TuningSettings

    OnRecords = Callable[[Sequence[RunRecord]], object]


def main(arguments: Sequence[str] | None = None, program: str = SCRIPT) -> int:
    """Run the command line and return the exit code: 0 success, 1 failed runs or checks, 2 a user's error.

    Args:
        arguments: the words after the program's name; None takes this process's.
        program: how the user called it, for help, messages and records.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = readable(shlex.join([*called(program).split(), *given]))
    kept = "Interrupted. Finished runs are kept, and unfinished ones up to their last finished epoch."
    interrupted = f"{kept} The same command resumes from there: {command}"
    # the message is needed before the arguments are parsed, so it looks at the words
    if any(word.startswith(("--check", "--update-baseline")) for word in given):
        interrupted = "Interrupted. The baseline is unchanged."
    return exit_code_of(lambda console: dispatch(parse(given, program), command, console), interrupted)


def dispatch(options: Options, command: str, console: Console) -> int:
    """Do the regression check if it is requested, else the runs; return the exit code."""
    if options.check is None:
        return run(options, command, console)
    from bench.checks.regression.check import check
    from bench.checks.regression.update import update

    with use_plugins(options.check.plugins):
        registry.check_plugins()
        return (update if options.check.reason else check)(options.check, command, console)


def run(
    options: Options,
    command: str,
    console: Console,
    on_records: OnRecords = lambda records: None,
) -> int:
    """List names or make the runs, with the plugins of the command line; return the exit code.

    Args:
        options: the command line; `command` is its text, for records.
        console: to print on.
        on_records: called with the records of all runs of the call, before tables are written.

    Raises:
        BenchError: it failed for a reason that the user can fix.
    """
    data = options.data
    with use_plugins(options.what.plugins), also_in(data.card_dirs), shorten_below(data.data_dirs):
        registry.check_plugins()
        if options.how.list_names:
            from bench.cli.listing import show_names

            show_names(console)
            return 0
        fit_console(console, options.how.is_quiet, options.how.is_verbose)
        return _compare(options, command, console, on_records)


def _compare(options: Options, command: str, console: Console, on_records: OnRecords) -> int:
    datasets, labels = check_names(options)
    models, what, how = [model_of(label) for label in labels], options.what, options.how
    is_tuned = options.search.budget is not None
    artifacts = check_artifacts(what.artifacts, models, is_tuned, options.content_models)
    check_reference(what.reference, labels)
    from bench.cli.opening import Plan, TrialPlan, show_opening, show_profile
    from bench.cli.requests import run_options_of, tuning_settings_of
    from bench.cli.status import show_plan, show_status
    from bench.report.material import Material
    from bench.report.paper import load_paper
    from bench.runs.store import ResultsStore

    started = time.monotonic()
    requested = plan_runs(options, [*datasets], labels)  # before data is read, for its errors
    run_options = run_options_of(options, shorten_paths(command))
    tuning = tuning_settings_of(options, labels, options.epochs_at_most)
    store = ResultsStore(how.results_dir)
    if not (how.dry_run or how.status):
        store.check_writable()
    show_profile(options, console)
    data = load_data(datasets, options, console)
    plan = partial(plan_artifacts, options, labels, artifacts, data)
    left_out, artifacts = leave_out(requested, plan(), data, artifacts, options)
    trials = TrialPlan.of(labels, data, tuning, store, run_options.protocol)
    planned = Plan.of(plan(trials.tuned), data, labels, store, run_options)
    sources = [(each, datasets[name].card) for name, each in data.items()]
    not_named = needs_other_models(what.artifacts, models, is_tuned, options.content_models)
    show_opening(planned, trials, sources, [*left_out, not_named], console, how.is_verbose)
    if how.dry_run or how.status:
        (show_status if how.status else show_plan)(planned, trials, console, how.is_verbose)
        return 0
    studies, tuned = tune_models(labels, data, tuning, store, run_options, console)
    planned = Plan.of(plan(tuned), data, labels, store, run_options)
    records = make_runs(planned, data, store, run_options, console, how.is_verbose)
    on_records(records)
    shown = (studies, left_out, what.reference, options.protocol)
    material = Material(data, labels, records, options.n_seeds, load_paper(), store, *shown)
    return report(artifacts, material, options, command, console, started)


def plan_runs(
    options: Options,
    datasets: Sequence[str],
    labels: Sequence[str],
    tuned: Tuned | None = None,
    more: Mapping[str, Sequence[Variant]] | None = None,
    named: Sequence[str] = (),
    splits: Mapping[str, str] | None = None,
) -> list[RunSpec]:
    """Plan the runs of the labels and of further variants under the options of the call; see `make_plan`."""
    from bench.runs.plan import make_plan

    what = options.what
    everywhere = what.everywhere if named else None
    return make_plan(
        datasets,
        labels,
        n_seeds=options.n_seeds,
        max_epochs=options.epochs_at_most,
        base_seed=what.base_seed,
        overrides=what.overrides,
        tuned=tuned,
        more=more,
        everywhere=everywhere,
        named=named,
        splits=splits,
    )


def plan_artifacts(
    options: Options,
    labels: Sequence[str],
    artifacts: Sequence[str],
    data: Mapping[str, BenchmarkData],
    tuned: Tuned | None = None,
) -> list[RunSpec]:
    """Plan the runs that the artifacts show, including those whose content a data set lacks.

    Args:
        options: the command line.
        labels: models of the call.
        artifacts: their names.
        data: the data sets by name.
        tuned: chosen values by data set and label.
    """
    from bench.runs.records import DataFacts  # heavy

    models = [model_of(label) for label in labels]
    own = {label for name in artifacts for label in ARTIFACTS[name].own}
    shows_all = any(ARTIFACTS[name].needs == "models" for name in artifacts)
    shown = [label for label in labels if shows_all or label in own]
    facts = {name: DataFacts.of(each) for name, each in data.items()}
    rows = {name: rows_of(artifacts, each, models, options.content_models) for name, each in facts.items()}
    splits = {name: each.split_hash for name, each in data.items()}
    return plan_runs(options, [*data], shown, tuned, rows, labels, splits)


def leave_out(
    requested: Sequence[RunSpec],
    plan: Sequence[RunSpec],
    data: dict[str, BenchmarkData],
    artifacts: Sequence[str],
    options: Options,
) -> tuple[tuple[str, ...], list[str]]:
    """Find the runs whose data lacks the content that they need.

    Args:
        requested: runs of the models of the call.
        plan: runs that the artifacts need.
        data: the data sets by name.
        artifacts: their names; an artifact that the user did not name is dropped if all its own rows are left out.
        options: the command line.

    Returns:
        Sentences on the runs left out, and the artifacts that remain.

    Raises:
        UsageError: no run is left.
        ConfigError: a modality is named that no data set of the call has.
    """
    from bench.runs.plan import check_runs_remain, left_out_sentences, split_by_content
    from bench.runs.records import DataFacts

    content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
    (kept, named), (others, more) = split_by_content(requested, content), split_by_content(plan, content)
    left_out = {**named, **more}
    sentences = tuple(left_out_sentences(left_out))
    if all(ARTIFACTS[name].needs == "nothing" for name in artifacts):
        return sentences, [*artifacts]
    check_runs_remain([*kept, *(others if options.what.artifacts else ())], named or more)
    models = {spec.model for spec in requested}
    facts = [DataFacts.of(each) for each in data.values()]
    shown = with_rows(artifacts, facts, models, left_out, options.content_models)
    return sentences, [name for name in artifacts if name in shown or name in options.what.artifacts]


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
    from bench.data import cards  # heavy

    choices = (cards.choose(name, options.data.split) for name in options.what.datasets)
    datasets = {choice.name: choice for choice in choices}
    for label in options.what.models:
        model, has_variant, variant = label.partition("@")
        registry.check(model)
        if has_variant and not variant:
            raise UsageError(f"'{label}' has no variant after the @. Write {model}; --list shows its variants.")
    return datasets, list(options.what.models) or registry.names()


def check_reference(reference: str | None, labels: Sequence[str]) -> None:
    """Check that the row that all others are compared with is one of the call.

    Raises:
        UsageError: it is not.
    """
    if reference is not None and reference not in labels:
        raise unknown_name("--reference model among those of the call", reference, labels)


def load_data(
    datasets: Mapping[str, DatasetChoice], options: Options, console: Console
) -> dict[str, BenchmarkData]:
    """Load all data sets by canonical name; shared files are fetched once."""
    from bench.data.fetch.transfer import SHORT_TIMEOUTS, Watch
    from bench.data.load import fallback_warning, fetch_missing, load_from_card, source_to_fetch

    request = options.data.request(default_scale=profile(options.profile).scale, base_seed=options.what.base_seed)
    loaded: dict[str, BenchmarkData] = {}
    problems: dict[str, DataError | None] = {}
    for name, chosen in datasets.items():
        card = chosen.card
        if options.how.dry_run or options.how.status:
            source = None if options.data.offline else source_to_fetch(card, request)
            if source is not None:
                console.print(f"{name}: a run would first fetch {source.title}", markup=False)
        elif not options.data.offline and card.name not in problems:
            with Watch(console) as watch:
                problems[card.name] = fetch_missing(card, request, SHORT_TIMEOUTS, watch)
        loaded[name] = load_from_card(card, replace(request, split=chosen.split))
        if problem := problems.get(card.name):
            console.print(fallback_warning(problem, loaded[name]), style="bold yellow", markup=False)
    return loaded


def make_runs(
    planned: Plan,
    data: dict[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
    is_verbose: bool,
) -> list[RunRecord]:
    """Make the runs under the live display and return a record for every label."""
    from bench.report.paper import load_paper
    from bench.report.wording import model_display
    from bench.runs.display import Layout, RunDisplay
    from bench.runs.pool import execute

    if not planned.specs:
        return []
    names = partial(model_display, paper=load_paper())
    each_once = [run.spec for run in planned.runs]
    layout = Layout(each_once, None if is_verbose else planned.named, names, is_verbose)
    with RunDisplay(console, len(each_once), options.protocol, layout) as display:
        return execute(planned.specs, data, store, options, display)


def report(
    names: Sequence[str],
    material: Material,
    options: Options,
    command: str,
    console: Console,
    started: float,
) -> int:
    """Write the artifacts, the report and the leaderboard, and print the end; return 1 if a run failed.

    Args:
        names: names of the artifacts.
        material: what they show.
        options: the command line.
        command: its text, for the report.
        console: to print on.
        started: when the call started, by `time.monotonic`.
    """
    from bench.cli.ending import show_ending
    from bench.report.html.page import write_report
    from bench.report.html.summary import About
    from bench.report.leaderboard.build import outcome, refresh

    results_dir = options.how.results_dir
    written = write(names, material, results_dir)
    if options.how.is_verbose:
        show_tables([each for each, _ in written.values()], console)
    budget = options.search.budget
    words = None if budget is None else budget.words
    about = About(shorten_paths(command), options.profile, options.epochs_at_most, words)
    page = write_report({name: each for name, (each, _) in written.items()}, material, results_dir, about)
    board, is_new = refresh(results_dir)
    if options.how.is_verbose:
        for paths in (*(paths for _, paths in written.values()), page):
            console.print(f"wrote {', '.join(str(path) for path in paths)}", markup=False, soft_wrap=True)
        if board:
            console.print(outcome(board, is_new), markup=False, soft_wrap=True)
    show_ending(material, page, board, time.monotonic() - started, console)
    return int(any(record.status == "failed" for record in material.records))


def show_tables(written: Sequence[Table | Figure], console: Console) -> None:
    """Print the tables among the artifacts, each footnote once."""
    from bench.report.render import console_table
    from bench.report.table import Table

    shown_notes: set[str] = set()
    for table in (each for each in written if isinstance(each, Table)):
        new = tuple(note for note in table.notes if note not in shown_notes)
        console.print(console_table(replace(table, notes=new), has_frames=console.is_terminal))
        shown_notes.update(new)
