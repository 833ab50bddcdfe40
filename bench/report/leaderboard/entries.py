"""Where the parameters of a row come from: the trials that exist, and the model's files.

Users' own scores behind the rows of a table: differences to the best, and what a page compares with.

For the page a user's score, averaged over the repetitions, is a whole number of billionths in four bytes, and
scores that differ by less than two are tied. Precision and Recall differ by far more or not at all, so that their
wins and losses are those of the full numbers; so are those of NDCG but for sums of discounts that meet by chance.
The bytes are compressed: most scores are zero.

What is shown of a row, in every form: scores, cost, and how to find and make it again. Pure.
"""

from __future__ import annotations

import base64
import statistics
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from typing import Protocol as Structural

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import ROOT
from bench.core.hashing import derive_seed, hash_value
from bench.core.text import shortened
from bench.engine import registry
from bench.engine.tuned import TunedFile, tuned_path
from bench.report.leaderboard.rows import Board, BoardRow
from bench.report.paper import Paper
from bench.report.statistics import FloatArray, Gap, gaps
from bench.report.stops import Stops, stops_of
from bench.report.wording import model_display
from bench.runs.list_files import StoredLists
from bench.runs.record_files import Damaged
from bench.runs.records import Cost, RunRecord
from bench.runs.store import Contradicted
from bench.runs.tuning.results import Confirmed, valid_score


@dataclass(frozen=True)
class Origin:
    """What the parameters of a row cost.

    Attributes:
        n_trials: trials of this model, code, data, split and protocol in the results directory.
        words: where the values come from.
        note: what the model's tuned values say of them; often empty.
    """

    n_trials: int
    words: str
    note: str = ""


def origin_of(row: BoardRow, board: Board, trials: Sequence[RunRecord]) -> Origin:
    """The origin of a row's parameters.

    Args:
        row: the row.
        board: its table.
        trials: all trials of the results directory.
    """
    ours = [trial for trial in trials if _belongs(trial, row, board)]
    own = [trial for trial in ours if trial.spec.stage == "tuning"]
    scores = [valid_score(trial) for trial in own if trial.metrics is not None]
    params = row.records[0].spec.params
    if words := _confirmed(ours, params, board.ranked_by):
        return Origin(len(own), f"{words}, among {len(own)} trials")
    best = [trial for trial in own if trial.metrics is not None and valid_score(trial) == max(scores)]
    if any(trial.spec.params == params for trial in best):
        return Origin(len(own), f"best of {len(own)} trials, validation {board.ranked_by} {max(scores):.4f}")
    said, note = _by_file(row, f"{board.facts.card}@{board.facts.split}")
    return Origin(len(own), f"{said}; the {len(own)} trials chose others" if scores else said, note)


def _confirmed(ours: Sequence[RunRecord], params: Mapping[str, Any], metric: str) -> str:
    """What a confirmation says of the parameters where it chose them; "" where it did not, or there was none."""
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
        and trial.code_hash == row.records[0].code_hash
        and (trial.data.data_hash, trial.data.split_hash) == (board.facts.data_hash, board.facts.split_hash)
        and trial.protocol.protocol == board.protocol
    )


def _by_file(row: BoardRow, dataset: str) -> tuple[str, str]:
    """Whether they are those of the model's file today, and the remark on them there."""
    if row.model not in registry.names():
        return "no file of this model here", ""
    entry, variant = registry.load(row.model), row.label.partition("@")[2]
    name, params, base = entry.path.name, row.records[0].spec.params, dataset.partition("@")[0]
    try:
        here = entry.params(dataset, variant).model_dump()
        default = entry.params("", variant).model_dump()
        untuned = entry.params(dataset, variant, with_tuned=False).model_dump()
    except BenchError:
        return f"{name} has no such variant", ""
    if here == params:
        tuned = TunedFile.of(entry)
        found = (tuned.find(dataset, variant) if variant else None) or tuned.find(dataset)
        if found is not None and here != untuned:
            return f"{tuned_path(entry).name}, values for {dataset}", found.words
        key = next((key for key in (f"{base}@{variant}", base) if key in entry.file.datasets), None)
        if key is None or here == default:
            return f"{name}, {f'variant {variant}' if variant else 'defaults'}", ""
        return f"{name}, values for {key}", ""
    if default == params:
        return f"{name}, defaults", ""
    changed = [f"{key}={value}" for key, value in params.items() if here.get(key) != value]
    return f"not as in {name}: {', '.join(changed) or 'fewer parameters'}", ""


def code_path(model: str) -> str:
    """The model's file, from the root of the repository where it lies in it; "" for one that is not here."""
    if model not in registry.names():
        return ""
    path = registry.load(model).path.with_suffix(".py")
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else shortened(str(path))


UNIT = 1e-9
MAX_VALUES = 1_000_000  # users x rows of a page: 24 MB in the browser, a tenth of it in the file


@dataclass(frozen=True, eq=False)
class BoardScores:
    """What lies behind the complete rows of a table.

    Attributes:
        by_row: by a row's id, scores in the metrics of `Board.shown`, averaged over repetitions,
            `[n_metrics, n_users]`.
        ranking: by a row's id, scores in the metric that ranks, `[n_seeds, n_users]`.
        problems: by the id of a complete row, why it is not among them.
        contradicted: lists whose means are not those of their record, by which the record was changed.
    """

    by_row: dict[str, FloatArray]
    ranking: dict[str, FloatArray]
    problems: dict[str, str]
    contradicted: tuple[Contradicted, ...] = ()

    @property
    def is_blind(self) -> bool:
        """Whether every user has the same scores by all rows, so that the metric that ranks tells none apart."""
        first, *others = self.ranking.values() or [np.zeros(0)]
        return bool(others) and all(np.array_equal(first, each) for each in others)

    @property
    def n_users(self) -> int:
        """Users that all rows were evaluated on; 0 without rows."""
        return next((scores.shape[-1] for scores in self.by_row.values()), 0)


class Lists(Structural):
    """Where lists of runs are read."""

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read the lists of a finished run; or why they cannot be used."""
        ...


def read_scores(board: Board, store: Lists) -> BoardScores:
    """Read the lists of the complete rows; none stops the others."""
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
        whole = [each for each in lists if isinstance(each, StoredLists)]
        users = whole[0].users
        by_row[row.id] = np.array(
            [np.mean([each.per_user[metric] for each in whole], axis=0) for metric in board.shown]
        )
        ranking[row.id] = np.array([each.per_user[board.ranked_by] for each in whole])
    return BoardScores(by_row, ranking, problems, tuple(contradicted))


def _problem(
    board: Board, row: BoardRow, lists: Sequence[StoredLists | Damaged], users: NDArray[np.int64] | None
) -> str:
    """Say why the lists of a row cannot be compared; empty if they can."""
    for record, found in zip(row.records, lists, strict=True):
        if isinstance(found, Damaged):
            return f"the lists of {record.key}: {found.problem}"
        if not set(board.shown) <= set(found.per_user):
            return f"the lists of {record.key} lack a metric"
        users = found.users if users is None else users
        if not np.array_equal(users, found.users):
            return f"the lists of {record.key} are about other users"
    return ""


def behind_best(board: Board, scores: BoardScores) -> dict[str, Gap]:
    """Every compared row against the best one in the metric that ranks, tested together, by id."""
    ranked = [row.id for row in board.complete if row.id in scores.by_row]
    if not ranked or ranked[0] != board.complete[0].id:
        return {}
    best, others = scores.ranking[ranked[0]], [scores.ranking[name] for name in ranked[1:]]
    seed = derive_seed(0, "significance", board.facts.data_hash, board.facts.split_hash)
    return dict(zip(ranked[1:], gaps(np.array(others), best, seed), strict=True))


def chosen_for_page(found: Sequence[tuple[Board, BoardScores]], max_values: int = MAX_VALUES) -> list[list[str]]:
    """Ids of the rows whose users a page holds, by table: the best of each first, as long as there is room.

    Args:
        found: tables with their scores.
        max_values: users x rows.
    """
    chosen: list[list[str]] = [[] for _ in found]
    room = max_values
    for place in range(max((len(board.complete) for board, _ in found), default=0)):
        for (board, scores), rows in zip(found, chosen, strict=True):
            name = board.complete[place].id if place < len(board.complete) else ""
            if name in scores.by_row and scores.n_users <= room:
                room -= scores.n_users
                rows.append(name)
    return chosen


def packed(scores: BoardScores, rows: Sequence[str]) -> str:
    """The users' scores of rows for the page: metrics, rows, users, little-endian, zlib, base64."""
    averaged = np.array([scores.by_row[name] for name in rows]).transpose(1, 0, 2)
    units = np.rint(averaged / UNIT).astype("<u4")
    return base64.b64encode(zlib.compress(units.tobytes(), 9)).decode("ascii")


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
    from bench.engine import registry

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
