"""The columns of the leaderboard in all its forms: Markdown, page, CSV and JSON. Pure.

`COLUMNS` is the only list of them, and every form follows its order. A new column is one entry.
A cost, a mean over runs, also needs its name in `COSTS` of `entries.py`. CSV and JSON keep the record's unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from bench.core.protocol import short_metric
from bench.report.comparisons import MIN_SEEDS, STAR, shown_p
from bench.report.leaderboard.entries import FOREIGN_FAMILY, Entry, Spread
from bench.report.leaderboard.ranks import BoardRank
from bench.report.leaderboard.rows import SHOWN, Board
from bench.report.ranking import KINDS
from bench.report.statistics import Contrast
from bench.report.table import Cell, Mark
from bench.report.wording import DASH, DATA_FIELDS, OTHER_PROGRAM, data_values

MEBIBYTE = 2**20
FAMILIES = {**KINDS, FOREIGN_FAMILY: OTHER_PROGRAM, "": "other"}
Fields = Mapping[str, Callable[[Entry], Any]]
Align = Literal["", "left", "right"]


@dataclass(frozen=True)
class Shown:
    """A cell: a text with value and mark, and small print on the page."""

    text: str
    value: float | None = None
    mark: Mark = ""
    small: str = ""


@dataclass(frozen=True)
class BoardColumn:
    """A column.

    Attributes:
        key: its name in the page.
        title: its head; `{ranked}` stands for the ranking metric of the table.
        show: makes the cell of a row for Markdown and the page.
        scores: alignment in the Markdown table of scores; "" leaves the column out.
        origin: the same for the Markdown table of cost and origin.
        page: the same for the page.
        is_shown: whether the page shows it at first.
        choice: its title in the page's list of columns, if that differs because the list is for all tables.
        data: names and values in CSV and JSON; the CSV joins a list with semicolons.
        csv: further ones in the CSV alone.
        json: further ones in the JSON alone.
    """

    key: str
    title: str = ""
    show: Callable[[Entry], Shown] = lambda _: Shown(DASH)
    scores: Align = ""
    origin: Align = ""
    page: Align = ""
    is_shown: bool = True
    choice: str = ""
    data: Fields = field(default_factory=dict)
    csv: Fields = field(default_factory=dict)
    json: Fields = field(default_factory=dict)


def columns_of(board: Board, form: Literal["scores", "origin", "page"]) -> list[BoardColumn]:
    """Return the columns of a table for people; `METRICS` gives one for every displayed metric.

    On the page the ranking metric comes first, so that a narrow screen shows it.
    """
    ranked, shown = short_metric(board.ranked_by), list(board.shown)
    if form == "page":
        shown.sort(key=lambda metric: metric != board.ranked_by)
    columns: list[BoardColumn] = []
    for each in COLUMNS:
        columns += map(_metric_column, shown) if each is METRICS else [each]
    return [replace(each, title=each.title.replace("{ranked}", ranked)) for each in columns if getattr(each, form)]


def fields_of(form: Literal["csv", "json"]) -> Fields:
    """Return names and values of a row for programs."""
    return {name: get for each in COLUMNS for name, get in {**each.data, **getattr(each, form)}.items()}


def family_title(each: Entry) -> str:
    """Return the displayed family of a model."""
    return FAMILIES.get(each.family, each.family)


def _number(value: float | None, form: str = ".4f", sd: float | None = None, mark: Mark = "") -> Shown:
    return Shown(DASH) if value is None else Shown(Cell(value, sd, form).text, value, mark)


def _metric_column(metric: str) -> BoardColumn:
    def show(each: Entry) -> Shown:
        return _number(each.scores[metric].mean, sd=each.scores[metric].sd, mark=each.marks[metric])

    is_shown = not metric.startswith("precision")
    return BoardColumn(metric, short_metric(metric), show, scores="right", page="right", is_shown=is_shown)


def _cost_column(key: str, title: str, name: str, form: str, unit: int = 1, is_shown: bool = True) -> BoardColumn:
    def show(each: Entry) -> Shown:
        value = each.cost[name]
        return _number(value and value / unit, form)

    csv: Fields = {name: lambda each: each.cost[name]}
    return BoardColumn(key, title, show, origin="right", page="right", is_shown=is_shown, csv=csv)


def _model(each: Entry) -> Shown:
    return Shown(each.title + each.stops.signs, small="" if each.row.is_complete else f"seeds: {each.seeds}")


def _seeds(each: Entry) -> Shown:
    return Shown(each.seeds, len(each.row.records))


def ranking_cells(each: Entry, metric: str) -> dict[str, Shown]:
    """Return the cells that depend on the metric by which a table is ranked, by column."""
    rank = each.ranks[metric]
    return {"rank": _rank(rank), "gap": _gap(rank.gap), "p": _p(rank.gap, each.board.n_asked)}


def _rank(rank: BoardRank) -> Shown:
    if rank.rank is None:
        return Shown(DASH)
    shared = rank.first != rank.last
    return Shown(f"{rank.first}{DASH}{rank.last}" if shared else str(rank.rank), rank.rank)


def _gap(gap: Contrast | None) -> Shown:
    if gap is None:
        return Shown(DASH)
    return Shown(f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]", gap.difference)


def _tested(entry: Entry) -> float | None:
    """Return the p-value of a row's difference; None where there are too few seeds for a test."""
    return entry.gap.p_corrected if entry.gap and entry.board.n_asked >= MIN_SEEDS else None


def _against_best(entry: Entry) -> dict[str, float | None] | None:
    """Return the difference from the best row as the JSON has it; None for that row."""
    gap, (low, high) = entry.gap, _over_seeds(entry)
    if gap is None:
        return None
    return {
        **{"difference": gap.difference, "low": gap.low, "high": gap.high},
        **{"low_over_seeds": low, "high_over_seeds": high, "p_corrected": _tested(entry)},
    }


def _over_seeds(entry: Entry) -> tuple[float | None, float | None]:
    """Return the interval of the difference over users and seeds; None each without one."""
    wide = entry.gap and entry.gap.over_seeds
    return (wide.low, wide.high) if wide else (None, None)


def _p(gap: Contrast | None, n_seeds: int) -> Shown:
    if gap is None or n_seeds < MIN_SEEDS:
        return Shown(DASH)
    return Shown(shown_p(gap.p_corrected) + (f" {STAR}" if gap.sign else ""), gap.p_corrected)


def _ranked(column: str) -> Callable[[Entry], Shown]:
    return lambda each: ranking_cells(each, each.board.ranked_by)[column]


def _code(each: Entry) -> Shown:
    return Shown(each.link or each.code or DASH)


def _command(each: Entry) -> Shown:
    return Shown("; ".join(each.commands) or DASH)


def _data_value(place: int) -> Callable[[Entry], Any]:
    return lambda each: data_values(each.board.facts)[place]


def _spread(name: str, get: Callable[[Entry], Spread]) -> dict[str, Callable[[Entry], float | None]]:
    return {name: lambda each: get(each).mean, f"{name}_sd": lambda each: get(each).sd}


def _test(metric: str) -> Callable[[Entry], Spread]:
    return lambda each: each.scores[metric]


METRICS = BoardColumn(
    "metrics",
    csv=dict(pair for metric in SHOWN for pair in _spread(metric, _test(metric)).items()),
    json={
        "test": lambda each: {metric: asdict(spread) for metric, spread in each.scores.items()},
        "valid": lambda each: {each.board.ranked_by: asdict(each.valid)},
    },
)
# Entries without a title are for programs alone; some exist because JSON or CSV has another order than the page.
COLUMNS = (
    BoardColumn(
        "table",
        csv={name: _data_value(place) for place, name in enumerate(DATA_FIELDS)} | {
            "protocol": lambda each: each.board.protocol.tag,
            "hide_at_test": lambda each: each.board.protocol.hide_at_test,
            "ranked_by": lambda each: each.board.ranked_by,
        },
        json={"id": lambda each: each.row.id},
    ),
    BoardColumn(
        "rank", "#", _ranked("rank"), scores="right", origin="right", page="right",
        data={
            "rank": lambda each: each.rank,
            "rank_first": lambda each: each.board_rank.first,
            "rank_last": lambda each: each.board_rank.last,
        },
    ),
    BoardColumn(
        "model", "Model", _model, scores="left", page="left",
        data={
            "model": lambda each: each.row.label,
            "tag": lambda each: each.tag,
            "told": lambda each: each.row.distinction,
            "title": lambda each: each.title,
        },
    ),
    BoardColumn("name", "Model", lambda each: Shown(each.title), origin="left"),
    BoardColumn(
        "family", "Kind", lambda each: Shown(family_title(each)), page="left", is_shown=False,
        data={"family": lambda each: each.family},
    ),
    BoardColumn(
        "seeds", "Seeds", _seeds, scores="right", page="right", is_shown=False,
        data={
            "n_runs": lambda each: len(each.row.records),
            "n_failed": lambda each: each.row.n_failed,
            "n_asked": lambda each: each.row.n_asked,
        },
        csv={
            "n_stopped_by_cap": lambda each: each.stops.n_cap,
            "n_best_at_start": lambda each: each.stops.n_start,
        },
        json={
            "is_complete": lambda each: each.row.is_complete,
            "stops": lambda each: {**asdict(each.stops), "signs": each.stops.signs.strip()},
        },
    ),
    METRICS,
    BoardColumn(
        "gap", "Difference in {ranked}", _ranked("gap"), scores="right", page="right", choice="Difference",
        csv={
            "difference": lambda each: each.gap and each.gap.difference,
            "ci_low": lambda each: each.gap and each.gap.low,
            "ci_high": lambda each: each.gap and each.gap.high,
            "ci_low_over_seeds": lambda each: _over_seeds(each)[0],
            "ci_high_over_seeds": lambda each: _over_seeds(each)[1],
        },
        json={"against_best": _against_best},
    ),
    BoardColumn(
        "p", "p", _ranked("p"), scores="right", page="right",
        csv={"p_corrected": lambda each: _tested(each)},
    ),
    BoardColumn(
        "ranking",
        data={"not_compared": lambda each: each.uncompared},
        csv=_spread("test", lambda each: each.scores[each.board.ranked_by]),
    ),
    BoardColumn(
        "valid", "Validation {ranked}", lambda each: _number(each.valid.mean, sd=each.valid.sd),
        scores="right", page="right", is_shown=False, choice="Validation",
        csv=_spread("valid", lambda each: each.valid),
    ),
    BoardColumn("cost", json={"cost": lambda each: dict(each.cost)}),
    _cost_column("parameters", "Parameters", "n_parameters", ",.0f", is_shown=False),
    _cost_column("seconds", "Training (s)", "train_seconds", ",.1f"),
    _cost_column("epochs", "Epochs", "epochs", ",.1f", is_shown=False),
    _cost_column("memory", "Peak memory (MiB)", "peak_memory_bytes", ",.0f", MEBIBYTE, is_shown=False),
    BoardColumn(
        "machine", "Machine", lambda each: Shown("; ".join(each.machines) or DASH),
        origin="left", page="left", is_shown=False,
        data={"machines": lambda each: each.machines},
    ),
    BoardColumn(
        "trials", "Trials", lambda each: Shown(str(each.origin.n_trials), each.origin.n_trials),
        origin="left", page="right", is_shown=False,
        csv={"n_trials": lambda each: each.origin.n_trials},
        json={"tuning": lambda each: asdict(each.origin)},
    ),
    BoardColumn(
        "origin", "Parameters from", lambda each: Shown(each.origin.words, small=each.origin.note),
        origin="left", page="left", is_shown=False,
        csv={"parameters_from": lambda each: each.origin.words},
        json={"params": lambda each: each.row.first.spec.params},
    ),
    BoardColumn(
        "settings",
        data={
            "max_epochs": lambda each: each.row.first.spec.max_epochs,
            "patience": lambda each: each.row.first.protocol.patience,
            "base_seed": lambda each: each.row.first.spec.base_seed,
        },
        csv={"params_hash": lambda each: each.row.first.spec.params_hash},
    ),
    BoardColumn(
        "commit", "Commit", lambda each: Shown(", ".join(each.commits) or DASH), origin="left",
        data={"code_hash": lambda each: each.row.first.code_hash, "commits": lambda each: each.commits},
    ),
    BoardColumn(
        "code", "Code", _code, origin="left",
        data={"code": lambda each: each.code, "link": lambda each: each.link},
    ),
    BoardColumn(
        "command", "Command", _command, origin="left",
        data={"commands": lambda each: each.commands},
    ),
    BoardColumn("records", data={"records": lambda each: each.files}),
)  # fmt: skip
