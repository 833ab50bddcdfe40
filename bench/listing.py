"""Layer 10. What `--list` and `--dry-run` show. Prints only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import cards, registry
from bench.artifacts import ARTIFACTS
from bench.dataset_names import SPLITS
from bench.errors import listed
from bench.plugins import problems
from bench.profiles import PROFILES
from bench.recbole_models.catalogue import PREFIX, usable

if TYPE_CHECKING:
    from bench.assignment import RunOptions
    from bench.records import RunSpec
    from bench.store import ResultsStore
    from bench.types import BenchmarkData


def show_names(console: Console) -> None:
    """Data sets, models, artifacts and profiles; imports no model."""
    datasets = [(name, cards.load(name)) for name in cards.names()]
    title = f"data sets, as NAME or NAME@SPLIT ({listed(SPLITS)})"
    _section(console, title, ((name, f"{card.title} ({_sources(card)})") for name, card in datasets))
    _section(console, "models", registry.said_places())
    _section(console, "models of RecBole", [(f"{PREFIX}NAME", listed(map(_bare, usable())))])
    _section(console, "plugins that cannot be used", (("", problem) for problem in problems()))
    _section(console, "artifacts", ((name, artifact.title) for name, artifact in ARTIFACTS.items()))
    _section(console, "profiles", ((name, chosen.purpose) for name, chosen in PROFILES.items()))


def _sources(card: cards.DatasetCard) -> str:
    return f"{', '.join(source.kind for source in card.sources)}; split {card.split}"


def _bare(name: str) -> str:
    return name.removeprefix(PREFIX)


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    """A heading with its rows; nothing where there is none."""
    rows = list(rows)
    if not rows:
        return
    console.print(title, style="bold")
    grid = Table.grid(padding=(0, 2))
    for name, text in rows:
        grid.add_row(Text(f"  {name}"), Text(text))
    console.print(grid)


def show_plan(
    specs: Sequence[RunSpec],
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> None:
    """Every run of a plan with its key and what is done of it; writes nothing."""
    from bench.policy import state_of
    from bench.runner import planned_runs

    table = Table(
        "run", "data", "model", "seed", "max epochs", "state", title=f"plan, protocol {options.protocol.tag}"
    )
    for run in planned_runs(specs, data, store, options.protocol):
        spec, state = run.spec, state_of(store.read(run.path), options.on_existing)
        table.add_row(
            run.key, Text(run.facts.label), Text(spec.label), str(spec.repetition + 1), str(spec.max_epochs), state
        )
    console.print(table)
    console.print(f"{len(specs)} runs. Nothing was trained or written.")
