"""Layer 10. What is shown of a row, in every form: scores, cost, and how to find and make it again. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.leaderboard.origin import Origin, code_path, origin_of
from bench.leaderboard.rows import Board, BoardRow
from bench.leaderboard.scores import BoardScores
from bench.private_paths import shortened
from bench.records import Cost, RunRecord
from bench.report.gaps import Gap
from bench.report.paper import Paper
from bench.report.stops import Stops, stops_of
from bench.report.wording import model_display

COMMIT_DIGITS = 10


@dataclass(frozen=True)
class Spread:
    """A number over the repetitions; `mean` is None for an incomplete row, `sd` also for a single one."""

    mean: float | None
    sd: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """A row as it is shown.

    Attributes:
        row: the row.
        rank: from 1, equal for equal scores; None for an incomplete one.
        name: shown name of the model.
        family: of the model's card; "" for a model that is not here.
        scores: test metrics of `Board.shown`.
        valid: the metric that selects, on validation, of the same runs.
        cost: means of a run: `train_seconds`, `epochs`, `peak_memory_bytes`, `n_parameters`; None if incomplete.
        stops: how its trainings ended.
        gap: to the best row; None for that one, and where nothing could be compared.
        uncompared: why there is no gap, where a complete row has none.
        machines: processors with threads.
        origin: of the parameters.
        commits: of the code, with "+" for uncommitted changes.
        code: the model's file.
        link: where a browser finds that file; "" where no repository is known.
        commands: that made the runs.
        files: record of every run, from the results directory.
    """

    row: BoardRow
    rank: int | None
    name: str
    family: str
    scores: Mapping[str, Spread]
    valid: Spread
    cost: Mapping[str, float | None]
    stops: Stops
    gap: Gap | None
    uncompared: str
    machines: Sequence[str]
    origin: Origin
    commits: Sequence[str]
    code: str
    link: str
    commands: Sequence[str]
    files: Sequence[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The name, with what sets the row apart from others of that name."""
        return f"{self.name} [{self.row.told}]" if self.row.told else self.name

    @property
    def seeds(self) -> str:
        """Repetitions, and what is missing."""
        n = len(self.row.records)
        failed = f", {self.row.n_failed} failed" if self.row.n_failed else ""
        return str(n) if self.row.is_complete else f"{n} of {self.row.n_asked}{failed} (incomplete)"


COSTS: dict[str, Callable[[Cost], float]] = {
    "n_parameters": lambda cost: cost.n_parameters,
    "train_seconds": lambda cost: cost.train_seconds,
    "epochs": lambda cost: cost.epochs,
    "peak_memory_bytes": lambda cost: cost.peak_memory_bytes,
}


def entries_of(
    board: Board,
    scores: BoardScores,
    found: Mapping[str, Gap],
    trials: Sequence[RunRecord],
    files: Mapping[str, Path],
    paper: Paper,
) -> list[Entry]:
    """The rows of a table as they are shown.

    Args:
        board: the table.
        scores: what its rows' users have.
        found: gaps by a row's id.
        trials: all trials of the directory.
        files: record files by key, from the results directory.
        paper: for names.
    """
    means = [row.mean(board.ranked_by) for row in board.rows]
    return [
        Entry(
            row=row,
            rank=None if mean is None else 1 + sum(other is not None and other > mean for other in means),
            name=model_display(row.label, paper),
            family=_family(row.model),
            scores={metric: _spread(row, metric, "test") for metric in board.shown},
            valid=_spread(row, board.ranked_by, "valid"),
            cost={name: _cost(row, get) for name, get in COSTS.items()},
            stops=stops_of(row.records),
            gap=found.get(row.id),
            uncompared=scores.problems.get(row.id, ""),
            machines=_distinct(machine(record.environment) for record in row.records),
            origin=origin_of(row, board, trials),
            commits=_distinct(_commit(record) for record in row.records),
            code=code_path(row.model),
            link=_link(row.records[0], code_path(row.model)),
            commands=_distinct(shortened(record.command) for record in row.records),
            files=[files[record.key].as_posix() for record in row.records],
        )
        for row, mean in zip(board.rows, means, strict=True)
    ]


def _spread(row: BoardRow, metric: str, part: str) -> Spread:
    values, mean = tuple(row.values(metric, part)), row.mean(metric, part)
    return Spread(mean, statistics.stdev(values) if mean is not None and len(values) > 1 else None, values)


def _cost(row: BoardRow, get: Callable[[Cost], float]) -> float | None:
    found = [get(record.cost) for record in row.records if record.cost is not None]
    return statistics.fmean(found) if row.is_complete and len(found) == row.n_asked else None


def _family(model: str) -> str:
    from bench import registry

    return str(registry.load(model).card.family) if model in registry.names() else ""


def machine(environment: Mapping[str, Any]) -> str:
    """Processor, or device where it is another, and threads."""
    processor = environment.get("processor", "unknown processor")
    device = environment.get("device", "cpu")
    n_threads = environment.get("threads", "?")
    where = processor if device == "cpu" else f"{device}, {processor}"
    return f"{where}, {n_threads} thread{'' if n_threads == 1 else 's'}"


def _commit(record: RunRecord) -> str:
    git = record.environment.get("git") or {}
    commit = git.get("commit")
    return "" if commit is None else f"{commit[:COMMIT_DIGITS]}{'+' if git.get('modified') else ''}"


def _link(record: RunRecord, code: str) -> str:
    """The address of the model's file at its commit, as most hosts of repositories have it."""
    git = record.environment.get("git") or {}
    homepage, commit = git.get("homepage"), git.get("commit")
    is_page = str(homepage).startswith("https://")  # records may come from elsewhere
    known = is_page and commit and code and not Path(code).is_absolute()
    return f"{homepage}/blob/{commit}/{code}" if known else ""


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word))
