"""The columns of the leaderboard in all its forms: Markdown, page, CSV and JSON. Pure.

`COLUMNS` is the only list of them, and every form follows its order. A new column is one entry.
A cost, a mean over runs, also needs its name in `COSTS` of `entries.py`. CSV and JSON keep the record's unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote

from bench.report.comparisons import STAR, shown_p
from bench.report.leaderboard.entries import Entry, Spread
from bench.report.leaderboard.rows import SHOWN, Board
from bench.report.table import Cell, Mark
from bench.report.wording import DASH, DATA_FIELDS, data_values, metric_title

MEBIBYTE = 2**20
FAMILIES = {"cf": "collaborative", "gcn": "graph", "multimodal": "multimodal", "control": "control", "": "other"}
Fields = Mapping[str, Callable[[Entry], Any]]
Align = Literal["", "left", "right"]


@dataclass(frozen=True)
class Shown:
    """A cell: a text with value, mark and small print, or links, or a text folded behind a button.

    `markdown` replaces the text in Markdown, which has no small print, named links and buttons.
    """

    text: str
    value: float | None = None
    mark: Mark = ""
    links: Sequence[tuple[str, str]] = ()
    folded: str = ""
    small: str = ""
    markdown: str = ""


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
    """Return the columns of a table for people; `METRICS` gives one for every displayed metric."""
    ranked = metric_title(board.ranked_by)
    columns: list[BoardColumn] = []
    for each in COLUMNS:
        columns += map(_metric_column, board.shown) if each is METRICS else [each]
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

    is_shown = metric != "precision@20"
    return BoardColumn(metric, metric_title(metric), show, scores="right", page="right", is_shown=is_shown)


def _cost_column(key: str, title: str, name: str, form: str, unit: int = 1, is_shown: bool = True) -> BoardColumn:
    def show(each: Entry) -> Shown:
        value = each.cost[name]
        return _number(value and value / unit, form)

    csv: Fields = {name: lambda each: each.cost[name]}
    return BoardColumn(key, title, show, origin="right", page="right", is_shown=is_shown, csv=csv)


def _model(each: Entry) -> Shown:
    signs, distinction = each.stops.signs, each.row.distinction
    return Shown(each.name + signs, small=distinction, markdown=each.title + signs)


def _seeds(each: Entry) -> Shown:
    n = len(each.row.records)
    if each.row.is_complete:
        return Shown(str(n), n)
    failed = f"{each.row.n_failed} failed, " if each.row.n_failed else ""
    return Shown(f"{n} of {each.row.n_asked}", n, small=f"{failed}incomplete", markdown=each.seeds)


def _gap(each: Entry) -> Shown:
    gap = each.gap
    if gap is None:
        return Shown(DASH)
    return Shown(f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]", gap.difference)


def _p(each: Entry) -> Shown:
    if each.gap is None:
        return Shown(DASH)
    return Shown(shown_p(each.gap.p_holm) + (f" {STAR}" if each.gap.differs else ""), each.gap.p_holm)


def _code(each: Entry) -> Shown:
    return Shown(each.code or DASH, links=[(each.code, each.link)] if each.link else (), markdown=each.link)


def _runs(each: Entry) -> Shown:
    seeds = [record.spec.repetition + 1 for record in each.row.records]
    return Shown("", links=[(f"seed {n}", quote(file)) for n, file in zip(seeds, each.files, strict=True)])


def _command(each: Entry) -> Shown:
    commands = each.commands
    return Shown("show", folded="\n".join(commands), markdown="; ".join(commands)) if commands else Shown(DASH)


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
        "rank", "#", lambda each: Shown(str(each.rank or DASH), each.rank),
        scores="right", origin="right", page="right",
        data={"rank": lambda each: each.rank},
    ),
    BoardColumn(
        "model", "Model", _model, scores="left", page="left",
        data={
            "model": lambda each: each.row.label,
            "told": lambda each: each.row.distinction,
            "title": lambda each: each.title,
        },
    ),
    BoardColumn("name", "Model", lambda each: Shown(each.title), origin="left"),
    BoardColumn(
        "family", "Family", lambda each: Shown(family_title(each)), page="left", is_shown=False,
        data={"family": lambda each: each.family},
    ),
    BoardColumn(
        "seeds", "Seeds", _seeds, scores="right", page="left",
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
        "gap", "Difference in {ranked}", _gap, scores="right", page="right", choice="Difference",
        csv={
            "difference": lambda each: each.gap and each.gap.difference,
            "ci_low": lambda each: each.gap and each.gap.low,
            "ci_high": lambda each: each.gap and each.gap.high,
        },
        json={"against_best": lambda each: each.gap and asdict(each.gap)},
    ),
    BoardColumn(
        "p", "p", _p, scores="right", page="right",
        csv={"p_holm": lambda each: each.gap and each.gap.p_holm},
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
    _cost_column("parameters", "Parameters", "n_parameters", ",.0f"),
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
        "origin", "Parameters from", lambda each: Shown(each.origin.words, folded=each.origin.note),
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
        "commit", "Commit", lambda each: Shown(", ".join(each.commits) or DASH),
        origin="left", page="left", is_shown=False,
        data={"code_hash": lambda each: each.row.first.code_hash, "commits": lambda each: each.commits},
    ),
    BoardColumn(
        "code", "Code", _code, origin="left", page="left", is_shown=False,
        data={"code": lambda each: each.code, "link": lambda each: each.link},
    ),
    BoardColumn("runs", "Runs", _runs, page="left"),
    BoardColumn(
        "command", "Command", _command, origin="left", page="left", is_shown=False,
        data={"commands": lambda each: each.commands},
    ),
    BoardColumn("records", data={"records": lambda each: each.files}),
)  # fmt: skip
