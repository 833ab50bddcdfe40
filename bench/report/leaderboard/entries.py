"""The content of a leaderboard row: scores, significance, cost, origin of the parameters, and how to rerun it.

Reads the stored lists of runs and the models' files; writes nothing.
"""

from __future__ import annotations

import base64
import statistics
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Structural

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import ROOT
from bench.core.hashing import derive_seed, hash_value
from bench.core.text import shorten_paths
from bench.engine import registry
from bench.engine.tuned import TunedFile, tuned_path
from bench.report.leaderboard.rows import Board, BoardRow
from bench.report.paper import Paper
from bench.report.statistics import FloatArray, Gap, gaps
from bench.report.stops import Stops, stops_of
from bench.report.table import Mark, marks
from bench.report.wording import model_display
from bench.runs.list_files import StoredLists
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord
from bench.runs.store import Contradicted
from bench.runs.tuning.results import Confirmed, valid_score

# On the page a user's mean score is a whole number of billionths in four bytes, and scores that differ by less
# than two units are tied. Different values of Precision and Recall are much further apart, so their wins and
# losses are exact. Those of NDCG are exact except where different sums of discounts nearly coincide.
UNIT = 1e-9
MAX_VALUES = 1_000_000  # users x rows of a page: 24 MB in the browser, a tenth of that in the file
COMMIT_DIGITS = 10
COSTS = ("n_parameters", "train_seconds", "epochs", "peak_memory_bytes")  # fields of `Cost`


@dataclass(frozen=True)
class Origin:
    """The origin of a row's parameters.

    Attributes:
        n_trials: trials of this model, code, data, split and protocol in the results directory.
        words: description of where the values come from.
        note: remark on the values in the model's tuned file; often empty.
    """

    n_trials: int
    words: str
    note: str = ""


def origin_of(row: BoardRow, board: Board, trials: Sequence[RunRecord]) -> Origin:
    """Determine where the parameters of a row come from.

    Args:
        row: the row.
        board: its table.
        trials: all trials of the results directory.
    """
    ours = [trial for trial in trials if _belongs(trial, row, board)]
    own = [trial for trial in ours if trial.spec.stage == "tuning"]
    scores = [valid_score(trial) for trial in own if trial.metrics is not None]
    params = row.first.spec.params
    if words := _confirmed(ours, params, board.ranked_by):
        return Origin(len(own), f"{words}, among {len(own)} trials")
    best = [trial for trial in own if trial.metrics is not None and valid_score(trial) == max(scores)]
    if any(trial.spec.params == params for trial in best):
        return Origin(len(own), f"best of {len(own)} trials, validation {board.ranked_by} {max(scores):.4f}")
    by_file, note = _by_file(row, f"{board.facts.card}@{board.facts.split}")
    return Origin(len(own), f"{by_file}; the {len(own)} trials chose other values" if scores else by_file, note)


def _confirmed(ours: Sequence[RunRecord], params: Mapping[str, Any], metric: str) -> str:
    """Describe the confirmation that chose the parameters; "" if none did."""
    settings: dict[str, list[RunRecord]] = {}
    for record in ours:
        if record.spec.stage == "confirm":
            settings.setdefault(record.spec.params_hash, []).append(record)
    groups = [Confirmed(number, records) for number, records in enumerate(settings.values())]
    means = {each.records[0].spec.params_hash: each.mean for each in groups if each.mean is not None}
    mean = means.get(hash_value(params))
    if mean is None or mean < max(means.values()):
        return ""
    n_seeds = len(settings[hash_value(params)])
    over = f"the mean over {n_seeds} fresh seeds, validation {metric} {mean:.4f}"
    return f"best of {len(groups)} settings by {over}"


def _belongs(trial: RunRecord, row: BoardRow, board: Board) -> bool:
    return (
        trial.spec.label == row.label
        and trial.code_hash == row.first.code_hash
        and (trial.data.data_hash, trial.data.split_hash) == (board.facts.data_hash, board.facts.split_hash)
        and trial.protocol.protocol == board.protocol
    )


def _by_file(row: BoardRow, dataset: str) -> tuple[str, str]:
    """Compare the parameters with the model's files; return a description and the remark in the tuned file."""
    if row.model not in registry.names():
        return "this model has no file here", ""
    entry, variant = registry.load(row.model), row.label.partition("@")[2]
    name, params, base = entry.path.name, row.first.spec.params, dataset.partition("@")[0]
    try:
        current = entry.params(dataset, variant).model_dump()
        default = entry.params("", variant).model_dump()
        untuned = entry.params(dataset, variant, with_tuned=False).model_dump()
    except BenchError:
        return f"{name} has no such variant", ""
    if current == params:
        tuned = TunedFile.of(entry)
        values = (tuned.find(dataset, variant) if variant else None) or tuned.find(dataset)
        if values is not None and current != untuned:
            return f"{tuned_path(entry).name}, values for {dataset}", values.words
        key = next((key for key in (f"{base}@{variant}", base) if key in entry.file.datasets), None)
        if key is None or current == default:
            return f"{name}, {f'variant {variant}' if variant else 'defaults'}", ""
        return f"{name}, values for {key}", ""
    if default == params:
        return f"{name}, defaults", ""
    changed = [f"{key}={value}" for key, value in params.items() if current.get(key) != value]
    return f"differs from {name}: {', '.join(changed) or 'fewer parameters'}", ""


def _code_path(model: str) -> str:
    """Return the path of the model's code, relative to the repository if it is inside; "" without a file."""
    if model not in registry.names():
        return ""
    path = registry.load(model).path.with_suffix(".py")
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else shorten_paths(str(path))


@dataclass(frozen=True, eq=False)
class BoardScores:
    """Per-user scores of the complete rows of a table.

    Attributes:
        by_row: by row id, scores in the metrics of `Board.shown`, averaged over repetitions,
            `[n_metrics, n_users]`.
        ranking: by row id, scores in the ranking metric, `[n_seeds, n_users]`.
        problems: by id of a complete row, why its scores cannot be used.
        contradicted: lists whose means differ from those in their record, so that the record was changed.
    """

    by_row: dict[str, FloatArray]
    ranking: dict[str, FloatArray]
    problems: dict[str, str]
    contradicted: tuple[Contradicted, ...] = ()

    @property
    def rows_are_equal(self) -> bool:
        """Return whether every user has the same scores in all rows, so that the metric cannot rank them."""
        first, *others = self.ranking.values() or [np.zeros(0)]
        return bool(others) and all(np.array_equal(first, each) for each in others)

    @property
    def n_users(self) -> int:
        """Return the number of users that all rows were evaluated on; 0 without rows."""
        return next((scores.shape[-1] for scores in self.by_row.values()), 0)


class ListReader(Structural):
    """A reader of the lists of runs."""

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read the lists of a finished run, or return why they cannot be used."""
        ...


def read_scores(board: Board, store: ListReader) -> BoardScores:
    """Read the lists of the complete rows; unusable lists are reported and do not stop the others."""
    by_row: dict[str, FloatArray] = {}
    ranking: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    contradicted: list[Contradicted] = []
    users: NDArray[np.int64] | None = None
    for row in board.complete:
        lists = [store.read_lists(record) for record in row.records]
        contradicted += [each for each in lists if isinstance(each, Contradicted)]
        problem = _problem(board, row, lists, users)
        if problem:
            problems[row.id] = problem
            continue
        stored = [each for each in lists if isinstance(each, StoredLists)]
        users = stored[0].users
        by_row[row.id] = np.array(
            [np.mean([each.per_user[metric] for each in stored], axis=0) for metric in board.shown]
        )
        ranking[row.id] = np.array([each.per_user[board.ranked_by] for each in stored])
    return BoardScores(by_row, ranking, problems, tuple(contradicted))


def _problem(
    board: Board, row: BoardRow, lists: Sequence[StoredLists | Damaged], users: NDArray[np.int64] | None
) -> str:
    """Return why the lists of a row cannot be compared; "" if they can."""
    for record, stored in zip(row.records, lists, strict=True):
        if isinstance(stored, Damaged):
            return f"the lists of {record.key}: {stored.problem}"
        if not set(board.shown) <= set(stored.per_user):
            return f"the lists of {record.key} lack a metric"
        users = stored.users if users is None else users
        if not np.array_equal(users, stored.users):
            return f"the lists of {record.key} cover other users"
    return ""


def _behind_best(board: Board, scores: BoardScores) -> dict[str, Gap]:
    """Test every comparable row against the best one in the ranking metric, as one family; by row id."""
    ranked = [row.id for row in board.complete if row.id in scores.by_row]
    if not ranked or ranked[0] != board.complete[0].id:
        return {}
    best, others = scores.ranking[ranked[0]], [scores.ranking[name] for name in ranked[1:]]
    seed = derive_seed(0, "significance", board.facts.data_hash, board.facts.split_hash)
    return dict(zip(ranked[1:], gaps(np.array(others), best, seed), strict=True))


def chosen_for_page(tables: Sequence[tuple[Board, BoardScores]], max_values: int = MAX_VALUES) -> list[list[str]]:
    """Choose the rows, by id and table, whose per-user scores a page holds: the best of every table first.

    Args:
        tables: tables with their scores.
        max_values: limit on users x rows over all tables.
    """
    chosen: list[list[str]] = [[] for _ in tables]
    room = max_values
    for place in range(max((len(board.complete) for board, _ in tables), default=0)):
        for (board, scores), rows in zip(tables, chosen, strict=True):
            name = board.complete[place].id if place < len(board.complete) else ""
            if name in scores.by_row and scores.n_users <= room:
                room -= scores.n_users
                rows.append(name)
    return chosen


def packed(scores: BoardScores, rows: Sequence[str]) -> str:
    """Encode per-user scores for the page: `[n_metrics, n_rows, n_users]`, little-endian, zlib, base64."""
    averaged = np.array([scores.by_row[name] for name in rows]).transpose(1, 0, 2)
    units = np.rint(averaged / UNIT).astype("<u4")
    return base64.b64encode(zlib.compress(units.tobytes(), 9)).decode("ascii")  # most scores are zero


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
        rank: from 1, equal for equal scores; None for an incomplete row.
        name: displayed name of the model.
        family: family on the model's card; "" for a model without a file.
        scores: test metrics of `Board.shown`.
        marks: whether each of them is the best or second best of the table.
        valid: the selection metric of the same runs on validation.
        cost: means over runs of the costs in `COSTS`; None if incomplete.
        stops: how the trainings ended.
        gap: difference from the best row; None for that row and for rows that could not be compared.
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
    rank: int | None
    name: str
    family: str
    scores: Mapping[str, Spread]
    marks: Mapping[str, Mark]
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
    files: Sequence[str]

    @property
    def title(self) -> str:
        """Return the name, with the parameters that distinguish the row from others of that name."""
        return f"{self.name} [{self.row.distinction}]" if self.row.distinction else self.name

    @property
    def seeds(self) -> str:
        """Return the number of repetitions, with the missing and failed ones."""
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
    means = [row.mean(board.ranked_by) for row in board.rows]
    gaps_to_best = _behind_best(board, scores)
    best = {metric: marks([row.mean(metric) for row in board.rows]) for metric in board.shown}
    return [
        Entry(
            board=board,
            row=row,
            rank=None if mean is None else 1 + sum(other is not None and other > mean for other in means),
            name=model_display(row.label, paper),
            family=_family(row.model),
            scores={metric: _spread(row, metric, "test") for metric in board.shown},
            marks={metric: by_row[place] for metric, by_row in best.items()},
            valid=_spread(row, board.ranked_by, "valid"),
            cost={name: _cost(row, name) for name in COSTS},
            stops=stops_of(row.records),
            gap=gaps_to_best.get(row.id),
            uncompared=scores.problems.get(row.id, ""),
            machines=_distinct(machine(record.environment) for record in row.records),
            origin=origin_of(row, board, trials),
            commits=_distinct(_commit(record) for record in row.records),
            code=_code_path(row.model),
            link=_link(row.first, _code_path(row.model)),
            commands=_distinct(shorten_paths(record.command) for record in row.records),
            files=[files[record.key].as_posix() for record in row.records],
        )
        for place, (row, mean) in enumerate(zip(board.rows, means, strict=True))
    ]


def _spread(row: BoardRow, metric: str, part: str) -> Spread:
    values, mean = tuple(row.values(metric, part)), row.mean(metric, part)
    return Spread(mean, statistics.stdev(values) if mean is not None and len(values) > 1 else None, values)


def _cost(row: BoardRow, name: str) -> float | None:
    costs = [getattr(record.cost, name) for record in row.records if record.cost is not None]
    costs = [cost for cost in costs if cost is not None]  # records of earlier versions lack some
    return statistics.fmean(costs) if row.is_complete and len(costs) == row.n_asked else None


def _family(model: str) -> str:
    return str(registry.load(model).card.family) if model in registry.names() else ""


def machine(environment: Mapping[str, Any]) -> str:
    """Describe the machine: processor, device if it is not the CPU, and threads."""
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
    """Return the web address of the model's file at its commit, in the form that most code hosts use."""
    git = record.environment.get("git") or {}
    homepage, commit = git.get("homepage"), git.get("commit")
    is_page = str(homepage).startswith("https://")  # submitted records could hold a `javascript:` address
    is_linked = is_page and commit and code and not Path(code).is_absolute()
    return f"{homepage}/blob/{commit}/{code}" if is_linked else ""


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word))
