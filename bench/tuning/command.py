"""Layer 10. `--tune N` as a step of the command line: searches under the live display, keeps what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from rich.console import Console

from bench import registry
from bench.assignment import RunOptions
from bench.console import RunDisplay
from bench.errors import unknown_name
from bench.plan import Overrides, Tuned
from bench.store import ResultsStore
from bench.tuning.chosen import may_be_kept, write_chosen
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
    """Search for every label on every data set, and write chosen values into the models' files.

    Raises:
        BenchError: the user can mend it; finished trials are kept.
    """
    found = searches(labels, data, settings.overrides)
    for search in found:
        if search.space.size < settings.n_trials:
            console.print(f"{search.label}: its search space has {search.space.size} settings; all are tried.")
    with RunDisplay(console, n_due(found, settings.n_trials), options.protocol) as display:
        results = tune(found, settings, store, options, display)
    for result in results:
        _keep(result, settings.overrides, console)
    return results


def tuned_values(results: Sequence[StudyResult]) -> Tuned:
    """All parameters of the chosen trials by data set and label; those without a finished trial are left out."""
    return {
        (result.facts.name, result.label): dict(result.chosen.spec.params)
        for result in results
        if result.chosen is not None
    }


def _keep(result: StudyResult, overrides: Overrides, console: Console) -> None:
    """Write chosen values into the model's file where they belong there, and say why where they do not."""
    entry = registry.load(result.label.partition("@")[0])
    about = f"{result.label} on {result.facts.label}"
    if result.chosen is None:
        message = f"{about}: all {len(result.records)} trials failed; nothing is chosen."
    elif not result.space.candidates:
        message = f"{about}: there is nothing to tune."
    elif overrides.get(entry.name):
        message = f"{about}: chosen under --set, so {entry.path} stays as it is: {result.chosen_values}."
    elif not may_be_kept(result):
        message = f"{about}: chosen for data drawn at random, so {entry.path} stays as it is."
    elif not entry.takes_values:
        message = f"{about}: {entry.path} is not ours to write; the chosen values hold for this call: "
        message += f"{result.chosen_values}."
    else:
        write_chosen(result, entry.path)
        message = f"{about}: chosen values written to {entry.path}."
    console.print(message, markup=False, soft_wrap=True)
