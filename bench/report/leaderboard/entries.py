"""The content of a leaderboard row: scores, rank, cost, origin of the parameters, and how to rerun it.

Reads the models' files; writes nothing.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.names import is_foreign
from bench.core.places import ROOT
from bench.core.text import counted, shorten_paths
from bench.engine import registry
from bench.engine.recbole_catalogue import is_recbole
from bench.report.leaderboard.origin import Origin, origin_of
from bench.report.leaderboard.ranks import BoardRank, board_ranks
from bench.report.leaderboard.rows import Board, BoardRow
from bench.report.leaderboard.user_scores import BoardScores
from bench.report.paper import Paper
from bench.report.statistics import Contrast
from bench.report.stops import Stops, stops_of
from bench.report.table import Mark, marks
from bench.report.wording import DASH, model_display
from bench.runs.records import RunRecord

COMMIT_DIGITS = 10
COSTS = ("n_parameters", "train_seconds", "epochs", "peak_memory_bytes")  # fields of `Cost`
FOREIGN_FAMILY = "lists"
LONGEST_TAG = 24  # characters


def _code_path(model: str) -> str:
    """Return the path of the model's code, relative to the repository if it is inside; "" if it is not here.

    RecBole's files count as not here, as they lie in an installed package.
    """
    entry = registry.find(model)
    if entry is None or is_recbole(model):
        return ""
    path = entry.path.with_suffix(".py")
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else shorten_paths(str(path))


@dataclass(frozen=True)
class Spread:
    """Mean and deviation over repetitions; `mean` is None for an incomplete row, `sd` also for one repetition."""

    mean: float | None
    sd: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """The content of one leaderboard row, shared by all forms.

    Attributes:
        board: its table.
        row: the row.
        name: displayed name of the model.
        tag: a word or two that tell the row from others of that name; "" if it is the only one.
        family: family on the model's card, `FOREIGN_FAMILY` for lists of another program, "" without a file.
        paper: web address of the paper on the model's card; "" without one.
        scores: test metrics of `Board.shown`.
        marks: whether each of them is the best or second best of the table.
        valid: the selection metric of the same runs on validation.
        cost: means over runs of the costs in `COSTS`; None if incomplete.
        stops: how the trainings ended.
        ranks: rank and difference from the best row, by metric of `Board.shown`.
        uncompared: why a complete row has no gap.
        machines: processors with threads.
        origin: origin of the parameters.
        commits: commits of the code, with "+" for uncommitted changes.
        code: path of the model's code.
        link: web address of that file; "" if no repository is known.
        commands: command lines that made the runs.
        files: record file of every run, relative to the results directory.
    """

    board: Board
    row: BoardRow
    name: str
    tag: str
    family: str
    paper: str
    scores: Mapping[str, Spread]
    marks: Mapping[str, Mark]
    valid: Spread
    cost: Mapping[str, float | None]
    stops: Stops
    ranks: Mapping[str, BoardRank]
    uncompared: str
    machines: Sequence[str]
    origin: Origin
    commits: Sequence[str]
    code: str
    link: str
    commands: Sequence[str]
    files: Sequence[str]

    @property
    def title(self) -> str:
        """Return the name with its tag: `Coldmix (tuned)`, `MMGCN (as released, tuned)`."""
        if not self.tag:
            return self.name
        return f"{self.name[:-1]}, {self.tag})" if self.name.endswith(")") else f"{self.name} ({self.tag})"

    @property
    def board_rank(self) -> BoardRank:
        """Return the rank in the ranking metric."""
        return self.ranks[self.board.ranked_by]

    @property
    def rank(self) -> int | None:
        """Return the place by the ranking metric, from 1; None for an incomplete row."""
        return self.board_rank.rank

    @property
    def gap(self) -> Contrast | None:
        """Return the difference from the best row in the ranking metric; see `BoardRank`."""
        return self.board_rank.gap

    @property
    def seeds(self) -> str:
        """Return the number of repetitions, with the missing and failed ones."""
        if self.row.is_foreign:
            return DASH  # the lists of another program have no seeds
        n = len(self.row.records)
        failed = f", {self.row.n_failed} failed" if self.row.n_failed else ""
        return str(n) if self.row.is_complete else f"{n} of {self.row.n_asked}{failed} (incomplete)"


def entries_of(
    board: Board, scores: BoardScores, trials: Sequence[RunRecord], files: Mapping[str, Path], paper: Paper
) -> list[Entry]:
    """Return the entries of all rows of a table.

    Args:
        board: the table; `scores` are the per-user scores of its rows.
        trials: all trials of the directory; `files` its record files by key, relative to it.
        paper: gives the names.
    """
    placed = board_ranks(board, scores.by_seed)
    origins = [origin_of(row, board, trials) for row in board.rows]
    tags = _tags(board.rows, origins)
    best = {metric: marks([row.mean(metric) for row in board.rows]) for metric in board.shown}
    return [
        Entry(
            board=board,
            row=row,
            name=model_display(row.label, paper),
            tag=tags[place],
            family=_family(row.model),
            paper=_paper(row.model),
            scores={metric: _spread(row, metric, "test") for metric in board.shown},
            marks={metric: by_row[place] for metric, by_row in best.items()},
            valid=_spread(row, board.ranked_by, "valid"),
            cost={name: _cost(row, name) for name in COSTS},
            stops=stops_of(row.records),
            ranks={metric: by_row[row.id] for metric, by_row in placed.items()},
            uncompared=scores.problems.get(row.id, ""),
            machines=_distinct(machine(each.environment) for each in row.records if each.foreign is None),
            origin=origins[place],
            commits=_distinct(_commit(record) for record in row.records),
            code=_code_path(row.model),
            link=web_address(row.first, _code_path(row.model)),
            commands=_distinct(shorten_paths(record.command) for record in row.records),
            files=[files[record.key].as_posix() for record in row.records],
        )
        for place, row in enumerate(board.rows)
    ]


def _tags(rows: Sequence[BoardRow], origins: Sequence[Origin]) -> list[str]:
    """Return a short tag for every row that shares its label with others, else "".

    One differing value is its own tag, such as `reg_weight=0.1`. More of them are named by their origin, such as
    `tuned`; equal tags of one label are numbered.
    """
    tags = [_tag(row.distinction, origin) for row, origin in zip(rows, origins, strict=True)]
    keys = list(zip([row.label for row in rows], tags, strict=True))
    total, seen = Counter(keys), Counter[tuple[str, str]]()
    for place, key in enumerate(keys):
        seen[key] += 1
        if tags[place] and total[key] > 1:
            tags[place] = f"{tags[place]} {seen[key]}"
    return tags


def _tag(distinction: str, origin: Origin) -> str:
    is_short = distinction.count("=") == 1 and len(distinction) <= LONGEST_TAG
    return distinction if is_short or not distinction else origin.tag or "setting"


def _spread(row: BoardRow, metric: str, part: str) -> Spread:
    values, mean = tuple(row.values(metric, part)), row.mean(metric, part)
    return Spread(mean, statistics.stdev(values) if mean is not None and len(values) > 1 else None, values)


def _cost(row: BoardRow, name: str) -> float | None:
    costs = [getattr(record.cost, name) for record in row.records if record.cost is not None]
    costs = [cost for cost in costs if cost is not None]  # records of earlier versions lack some
    return statistics.fmean(costs) if row.is_complete and len(costs) == row.n_asked else None


def _family(model: str) -> str:
    if is_foreign(model):
        return FOREIGN_FAMILY
    entry = registry.find(model)
    return "" if entry is None else str(entry.card.family)


def _paper(model: str) -> str:
    """Return the web address of the model's paper; a plugin could give any other address, which is left out."""
    entry = registry.find(model)
    url = "" if entry is None else entry.card.url
    return url if url.startswith("https://") else ""


def machine(environment: Mapping[str, Any]) -> str:
    """Describe the machine: processor, device if it is not the CPU, and threads."""
    processor = environment.get("processor", "an unknown processor")
    device = environment.get("device", "cpu")
    where = processor if device == "cpu" else f"{device}, {processor}"
    return f"{where}, {counted(environment.get('threads', '?'), 'thread')}"


def _commit(record: RunRecord) -> str:
    git = record.environment.get("git") or {}
    commit = git.get("commit")
    return "" if commit is None else f"{commit[:COMMIT_DIGITS]}{'+' if git.get('modified') else ''}"


def web_address(record: RunRecord, path: str) -> str:
    """Return the web address of a file of the repository at its commit, in the form that most code hosts use."""
    git = record.environment.get("git") or {}
    homepage, commit = git.get("homepage"), git.get("commit")
    is_page = str(homepage).startswith("https://")  # submitted records could hold a `javascript:` address
    is_linked = is_page and commit and path and not Path(path).is_absolute()
    return f"{homepage}/blob/{commit}/{path}" if is_linked else ""


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word))
