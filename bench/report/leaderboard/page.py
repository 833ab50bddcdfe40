"""The leaderboard as one page that needs nothing but itself; links lead to the records beside it. Pure.

Rows are in the page as they are in the Markdown, so that it can be read without its script. The script sorts,
filters, hides columns, and compares two rows user by user; see `templates/leaderboard.js`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bench.report.html.view import badges, part, policy, rendered
from bench.report.leaderboard.entries import UNIT, BoardScores, Entry, packed
from bench.report.leaderboard.forms import (
    INTRODUCTION,
    MEBIBYTE,
    TITLE,
    Section,
    best_marks,
    caption,
    notes,
    shown_gap,
    shown_gap_p,
)
from bench.report.leaderboard.rows import Board
from bench.report.paper import Paper
from bench.report.table import Cell, Mark
from bench.report.wording import DASH, metric_title

FAMILIES = {"cf": "collaborative", "gcn": "graph", "multimodal": "multimodal", "control": "control", "": "other"}


@dataclass(frozen=True)
class Head:
    """A column: its name in the page, its title, whether it is shown at first, its alignment, and its choice.

    `choice` is the title where columns are chosen for all tables, if that is another.
    """

    key: str
    title: str
    is_shown: bool = True
    align: str = "right"
    choice: str = ""


@dataclass(frozen=True)
class Shown:
    """A cell: text with its value and mark, and what is said in small letters; or links; or what is folded."""

    text: str
    value: float | None = None
    mark: Mark = ""
    links: Sequence[tuple[str, str]] = ()
    folded: str = ""
    small: str = ""


def heads(board: Board) -> list[Head]:
    """All columns of a table, in order."""
    ranked = metric_title(board.ranked_by)
    return [
        *(Head("rank", "#"), Head("model", "Model", align="left"), Head("family", "Family", False, "left")),
        Head("seeds", "Seeds", align="left"),
        *(Head(metric, metric_title(metric), metric != "precision@20") for metric in board.shown),
        *(Head("gap", f"Difference in {ranked}", choice="Difference"), Head("p", "p")),
        Head("valid", f"Validation {ranked}", False, choice="Validation"),
        *(Head("parameters", "Parameters"), Head("seconds", "Training (s)"), Head("epochs", "Epochs", False)),
        *(Head("memory", "Peak memory (MiB)", False), Head("machine", "Machine", False, "left")),
        *(Head("trials", "Trials", False), Head("origin", "Parameters from", False, "left")),
        *(Head("commit", "Commit", False, "left"), Head("code", "Code", False, "left")),
        *(Head("runs", "Runs", align="left"), Head("command", "Command", False, "left")),
    ]


def to_html(
    sections: Sequence[Section],
    scores: Sequence[BoardScores],
    held: Sequence[Sequence[str]],
    left_out: Sequence[str],
    paper: Paper,
) -> str:
    """The page.

    Args:
        sections: tables with their rows.
        scores: users' scores of each.
        held: ids of the rows whose users can be compared, by table.
        left_out: sentences on what is in no table.
        paper: for names.
    """
    scripts = [part("page.js"), part("leaderboard.js")]
    facts = [section.board.facts for section in sections]
    families = sorted({FAMILIES.get(each.family, each.family) for section in sections for each in section.entries})
    users = {
        section.board.id: _users(section, own, rows)
        for section, own, rows in zip(sections, scores, held, strict=True)
        if len(rows) > 1
    }
    return rendered(
        "leaderboard.html.j2",
        title=TITLE,
        introduction=INTRODUCTION.replace("`", ""),
        policy=policy(*scripts),
        style=part("style.css") + part("leaderboard.css"),
        scripts=scripts,
        columns=list({head.key: head for section in sections for head in heads(section.board)}.values()),
        badges=badges(list({each.data_hash + each.label: each for each in facts}.values())),
        is_drawn=any(each.source == "surrogate" for each in facts),
        sections=[_table(section, paper) for section in sections],
        datasets=sorted({each.name for each in facts}),
        sources=sorted({each.source for each in facts}),
        families=families,
        users=json.dumps(users, separators=(",", ":")).replace("<", "\\u003c"),
        comparable=bool(users),
        unheld=[_unheld(*each) for each in zip(sections, scores, held, strict=True) if _unheld(*each)],
        left_out=left_out,
    )


def _users(section: Section, scores: BoardScores, rows: Sequence[str]) -> dict[str, Any]:
    titles = {each.row.id: each.title for each in section.entries}
    return {
        "heading": section.heading,
        "seeds": section.board.n_asked,
        "users": scores.n_users,
        "unit": UNIT,
        "metrics": [[metric, metric_title(metric)] for metric in section.board.shown],
        "ranked": section.board.ranked_by,
        "rows": [[name, titles[name]] for name in rows],
        "scores": packed(scores, rows),
    }


def _unheld(section: Section, scores: BoardScores, rows: Sequence[str]) -> str:
    """Which rows cannot be compared user by user for want of room; empty if none."""
    n = len(scores.by_row) - len(rows)
    if not n:
        return ""
    return (
        f"{section.heading}: the page holds the users of {len(rows)} of {len(scores.by_row)} rows, the best ones, "
        f"to stay small. The others' are in the files under topk/."
    )


def _table(section: Section, paper: Paper) -> dict[str, Any]:
    facts, found = section.board.facts, best_marks(section)
    rows = [
        {
            "search": f"{each.title} {each.row.label} {FAMILIES.get(each.family, each.family)}".lower(),
            "family": FAMILIES.get(each.family, each.family),
            "id": each.row.id,
            "is_complete": each.row.is_complete,
            "cells": list(_cells(each, {metric: found[metric][place] for metric in section.board.shown})),
        }
        for place, each in enumerate(section.entries)
    ]
    return {
        "id": section.board.id,
        "heads": heads(section.board),
        "heading": section.heading,
        "dataset": facts.name,
        "source": facts.source,
        "badges": badges([facts]),
        "caption": caption(section),
        "notes": notes(section, paper),
        "rows": rows,
    }


def _cells(each: Entry, marked: dict[str, Mark]) -> Iterator[Shown]:
    """In the order of `heads`."""
    yield Shown(str(each.rank or DASH), each.rank)
    yield Shown(each.name + each.stops.signs, small=each.row.told)
    yield Shown(FAMILIES.get(each.family, each.family))
    n, whole = len(each.row.records), each.row.is_complete
    failed = f"{each.row.n_failed} failed, " if each.row.n_failed else ""
    yield Shown(f"{n}" if whole else f"{n} of {each.row.n_asked}", n, small="" if whole else f"{failed}incomplete")
    for metric in marked:
        yield _number(each.scores[metric].mean, each.scores[metric].sd, mark=marked[metric])
    yield Shown(shown_gap(each.gap), None if each.gap is None else each.gap.difference)
    yield Shown(shown_gap_p(each.gap), None if each.gap is None else each.gap.p_holm)
    yield _number(each.valid.mean, each.valid.sd)
    memory = each.cost["peak_memory_bytes"]
    yield _number(each.cost["n_parameters"], form=",.0f")
    yield _number(each.cost["train_seconds"], form=",.1f")
    yield _number(each.cost["epochs"], form=",.1f")
    yield _number(memory and memory / MEBIBYTE, form=",.0f")
    yield Shown("; ".join(each.machines) or DASH)
    yield Shown(str(each.origin.n_trials), each.origin.n_trials)
    yield Shown(each.origin.words, folded=each.origin.note)
    yield Shown(", ".join(each.commits) or DASH)
    yield Shown("", links=[(each.code, each.link)]) if each.link else Shown(each.code or DASH)
    numbers = [record.spec.repetition + 1 for record in each.row.records]
    yield Shown("", links=[(f"seed {n}", quote(file)) for n, file in zip(numbers, each.files, strict=True)])
    yield Shown("show", folded="\n".join(each.commands)) if each.commands else Shown(DASH)


def _number(value: float | None, sd: float | None = None, form: str = ".4f", mark: Mark = "") -> Shown:
    return Shown(DASH) if value is None else Shown(Cell(value, sd, form).text, value, mark)
