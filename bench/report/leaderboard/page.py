"""The leaderboard as one self-contained HTML page, with links to the files beside it. Pure.

The tables can be read without JavaScript. `leaderboard.js` keeps what the reader chose in the address of the page,
sorts, filters and ranks; `leaderboard-details.js`, `-plot.js` and `-compare.js` add what their names say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any
from urllib.parse import quote

from bench import __version__
from bench.core.protocol import short_metric
from bench.core.text import counted
from bench.report.comparisons import untested
from bench.report.html.view import badges, content_security_policy, read_template, render_template
from bench.report.leaderboard.columns import columns_of, family_title, ranking_cells
from bench.report.leaderboard.curve import curve_of
from bench.report.leaderboard.entries import Entry, web_address
from bench.report.leaderboard.forms import COMPARABLE, INTRODUCTION, TITLE, BoardSection, caption, notes
from bench.report.leaderboard.user_scores import UNIT, chosen_for_page, packed
from bench.report.paper import Paper

SCRIPTS = ("page.js", "leaderboard.js", "leaderboard-details.js", "leaderboard-plot.js", "leaderboard-compare.js")
DOCS_INDEX = "docs/index.md"  # in the repository, for pages that are given no address of the documentation
COST_AXES = {"seconds": "training time", "parameters": "parameters", "memory": "peak memory", "epochs": "epochs"}


@dataclass(frozen=True)
class Surroundings:
    """What lies beside the page and can be linked.

    Attributes:
        report: address of the report; "" without one.
        has_records: whether the records of the runs lie at their paths.
        docs: address of the folder of the built documentation; "" links its source at the code's host.
    """

    report: str = ""
    has_records: bool = True
    docs: str = ""


def to_html(sections: Sequence[BoardSection], left_out: Sequence[str], paper: Paper, beside: Surroundings) -> str:
    """Return the page.

    Args:
        sections: tables with their rows.
        left_out: sentences on what is in no table.
        paper: gives the names.
        beside: what the page links.
    """
    scripts = [read_template(name) for name in SCRIPTS]
    facts = [section.board.facts for section in sections]
    entries = [each for section in sections for each in section.entries]
    columns = list({each.key: each for section in sections for each in columns_of(section.board, "page")}.values())
    held = chosen_for_page([(section.board, section.scores) for section in sections])
    by_section = list(zip(sections, held, strict=True))
    users = {section.board.id: _users(section, rows) for section, rows in by_section if len(rows) > 1}
    metrics = list(dict.fromkeys(metric for section in sections for metric in section.board.shown))
    return render_template(
        "leaderboard.html.j2",
        title=TITLE,
        comparable=COMPARABLE,
        introduction=INTRODUCTION.replace("`", ""),
        policy=content_security_policy(*scripts),
        style=read_template("style.css") + read_template("leaderboard.css"),
        scripts=scripts,
        head=_head(entries, beside),
        columns=[(each, each.choice or each.title) for each in columns],
        metrics=[(metric, short_metric(metric)) for metric in metrics],
        costs=[*COST_AXES.items()],
        badges=badges(list({each.data_hash + each.label: each for each in facts}.values())),
        is_drawn=any(each.source == "surrogate" for each in facts),
        sections=[_table(section, paper, beside) for section in sections],
        filters=_filters(sections),
        kinds=list(dict.fromkeys((each.family, family_title(each)) for each in sorted(entries, key=family_title))),
        rankings=_json({section.board.id: _rankings(section) for section in sections}),
        users=_json(users),
        has_users=bool(users),
        omitted_users=list(filter(None, (_omitted_users(*each) for each in by_section))),
        left_out=left_out,
    )


def _json(value: Any) -> str:
    """Return JSON for a <script> element: with escaped "<", no text in it can end the element."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _head(entries: Sequence[Entry], beside: Surroundings) -> dict[str, Any]:
    """Return date, version and links of the head of the page. The date is that of the newest run, not of today."""
    records = [record for each in entries for record in each.row.records]
    newest = max(records, key=lambda record: record.started, default=None)
    source = "" if newest is None else web_address(newest, DOCS_INDEX)
    return {
        "date": "" if newest is None else newest.started[:10],
        "version": __version__,
        "report": beside.report,
        "docs": f"{beside.docs}/index.html" if beside.docs else source,
    }


def _filters(sections: Sequence[BoardSection]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return the selects that choose tables: name, label and values; those with one value are left out."""
    facts = [section.board.facts for section in sections]
    values = (
        ("data", "Data set", sorted({each.card for each in facts})),
        ("split", "Split", sorted({each.split for each in facts})),
        ("source", "Source", sorted({each.source for each in facts})),
        ("protocol", "Protocol", sorted({section.board.protocol.tag for section in sections})),
    )
    return [(name, label, [(each, each) for each in own]) for name, label, own in values if len(own) > 1]


def _rankings(section: BoardSection) -> dict[str, Any]:
    """Return the cells that change with the metric of the ranking, by metric and row: text and value."""
    return {
        metric: {
            "title": short_metric(metric),
            "tested": any(each.ranks[metric].gap for each in section.entries),
            "rows": {
                each.row.id: {name: [cell.text, cell.value] for name, cell in ranking_cells(each, metric).items()}
                for each in section.entries
            },
        }
        for metric in section.board.shown
    }


def _users(section: BoardSection, rows: Sequence[str]) -> dict[str, Any]:
    titles = {each.row.id: each.title for each in section.entries}
    return {
        "heading": section.heading,
        "users": section.scores.n_users,
        "pairs": comb(len(section.scores.by_seed), 2),
        "few": untested(section.board.n_asked),
        "unit": UNIT,
        "metrics": [[metric, short_metric(metric)] for metric in section.board.shown],
        "ranked": section.board.ranked_by,
        "rows": [[name, titles[name]] for name in rows],
        "scores": packed(section.scores, rows),
    }


def _omitted_users(section: BoardSection, rows: Sequence[str]) -> str:
    """Return a note on the rows whose users do not fit on the page; "" if all fit."""
    n = len(section.scores.by_seed)
    if n == len(rows):
        return ""
    return (
        f"{section.heading}: to stay small, the page holds the users of the {len(rows)} best of "
        f"{n} rows. Those of the other rows are in the files under topk/ or scores/."
    )


def _table(section: BoardSection, paper: Paper, beside: Surroundings) -> dict[str, Any]:
    board = section.board
    return {
        "id": board.id,
        "heads": columns_of(board, "page"),
        "heading": section.heading,
        "data": board.facts.card,
        "split": board.facts.split,
        "source": board.facts.source,
        "protocol": board.protocol.tag,
        "ranked": board.ranked_by,
        "seeds": counted(board.n_asked, "seed"),
        "badges": badges([board.facts]),
        "caption": caption(section),
        "notes": notes(section, paper),
        "rows": [_row(each, section, beside) for each in section.entries],
    }


def _row(each: Entry, section: BoardSection, beside: Surroundings) -> dict[str, Any]:
    columns = columns_of(section.board, "page")
    has_page = beside.docs and each.code.startswith("models/")  # plugins lie elsewhere and have none
    page = f"{beside.docs}/models/{each.row.model}.html" if has_page else ""
    return {
        "entry": each,
        "id": each.row.id,
        "search": f"{each.title} {each.row.label} {family_title(each)}".lower(),
        "kind": family_title(each),
        "family": each.family,
        "address": page or each.paper,
        "docs": page,
        "cells": [(column, column.show(each)) for column in columns],
        "params": each.row.first.spec.params,
        "curve": curve_of(each.row, section.board.ranked_by),
        "metric": short_metric(section.board.ranked_by),
        "runs": _runs(each) if beside.has_records else [],
    }


def _runs(each: Entry) -> list[tuple[str, str]]:
    seeds = [record.spec.repetition + 1 for record in each.row.records]
    return [(f"seed {n}", quote(file)) for n, file in zip(seeds, each.files, strict=True)]
