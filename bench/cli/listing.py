"""Print what `--list` shows: data sets, models, artifacts and profiles. Imports nothing heavy; prints only."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.parser import fit_console
from bench.core.errors import listed
from bench.core.names import SPLITS
from bench.data.card_files import Heading, headings
from bench.engine import registry
from bench.engine.plugins import problems
from bench.engine.recbole_catalogue import PREFIX, usable
from bench.report.artifacts import ARTIFACTS, groups
from bench.runs.plan import PROFILES


def show_names(console: Console) -> None:
    """Print data sets, models, artifacts and profiles; no model is imported."""
    fit_console(console)
    title = f"data sets, as NAME or NAME@SPLIT ({listed(SPLITS)})"
    _section(console, title, ((name, f"{each.title} ({_sources(each)})") for name, each in headings().items()))
    _section(console, "models", registry.labelled_models())
    recbole = listed(name.removeprefix(PREFIX) for name in usable())
    _section(console, "models of RecBole", [(f"{PREFIX}NAME", recbole)])
    _section(console, "plugins that cannot be used", (("", problem) for problem in problems()))
    _section(console, "artifacts", ((name, artifact.title) for name, artifact in ARTIFACTS.items()))
    _section(console, "groups of artifacts", ((name, title) for name, (title, _) in groups().items()))
    _section(console, "profiles", ((name, chosen.purpose) for name, chosen in PROFILES.items()))


def _sources(heading: Heading) -> str:
    return f"{', '.join(heading.kinds)}; split {heading.split}"


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print a heading with its rows; print nothing if there are no rows."""
    rows = list(rows)
    if not rows:
        return
    console.print(title, style="bold")
    grid = Table.grid(padding=(0, 2))
    for name, text in rows:
        grid.add_row(Text(f"  {name}"), Text(text))
    console.print(grid)
