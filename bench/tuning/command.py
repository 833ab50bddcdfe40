"""Layer 10. `--tune` as a step of the command line: searches under the live display, keeps what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from rich.console import Console

from bench import registry
from bench.assignment import RunOptions
from bench.console import RunDisplay
from bench.errors import unknown_name
from bench.plan import Tuned
from bench.store import ResultsStore
from bench.tuned import tuned_path
from bench.tuning.keep import dropped_words, export_trials, may_be_kept, write_chosen
from bench.tuning.results import StudyResult
from bench.tuning.search import TuningSettings, n_due, searches, tune
from bench.tuning.study import SAMPLERS, Sampler
from bench.types import BenchmarkData


def check_sampler(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SAMPLERS:
        raise unknown_name("--tune-sampler", name, SAMPLERS)
    return cast(Sampler, name)


def run_tuning(
    labels: Sequence[str],
    data: Mapping[str, BenchmarkData],
    settings: TuningSettings,
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> list[StudyResult]:
    """Search for every label on every data set, and write chosen values beside the models' files.

    Raises:
        BenchError: the user can mend it; finished trials are kept.
    """
    found = searches(labels, data, settings.overrides)
    for search in found:
        size = search.space.size
        if settings.budget.n_trials is not None and size < settings.budget.n_trials:
            console.print(f"{search.label}: its search space has {size} settings; all are tried.")
    with RunDisplay(console, n_due(found, settings), options.protocol) as display:
        results = tune(found, settings, store, options, display)
    for result in results:
        _keep(result, settings, options, console)
    for name in dict.fromkeys(result.facts.name for result in results):
        own = [result for result in results if result.facts.name == name]
        source, spec = own[0].facts.source, own[0].default.spec
        folder = store.record_path("", options.protocol, name, source, spec).parent.parent
        path = export_trials(own, folder, options.protocol)
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return results


def tuned_values(results: Sequence[StudyResult]) -> Tuned:
    """All parameters of the chosen trials by data set and label; those without a finished trial are left out."""
    return {
        (result.facts.name, result.label): dict(result.chosen.spec.params)
        for result in results
        if result.chosen is not None
    }


def _keep(result: StudyResult, settings: TuningSettings, options: RunOptions, console: Console) -> None:
    """Write chosen values beside the model's file where they belong there, and say why where they do not."""
    entry = registry.load(result.label.partition("@")[0])
    about, path = f"{result.label} on {result.facts.label}", tuned_path(entry)
    if dropped := dropped_words(result):
        console.print(f"{about}: {dropped}.", style="yellow", markup=False, soft_wrap=True)
    if result.chosen is None:
        message = f"{about}: all {len(result.records)} trials failed; nothing is chosen."
    elif not result.space.candidates:
        message = f"{about}: there is nothing to tune."
    elif settings.overrides.get(entry.name):
        message = f"{about}: chosen under --set, so {path} stays as it is: {result.chosen_values}."
    elif not may_be_kept(result):
        message = f"{about}: chosen for data drawn at random, so {path} stays as it is."
    elif not entry.takes_values:
        message = f"{about}: {entry.path} is not ours to write; the chosen values hold for this call: "
        message += f"{result.chosen_values}."
    elif not settings.may_write:
        message = (
            f"{about}: the trials had {settings.max_epochs} epochs at most, fewer than without --epochs, so "
            f"{path} stays as it is and the chosen values hold for this call: {result.chosen_values}. Add "
            f"--save-tuned to write them."
        )
    else:
        write_chosen(result, entry, options.protocol)
        message = f"{about}: chosen values written to {path}."
    console.print(message, markup=False, soft_wrap=True)
