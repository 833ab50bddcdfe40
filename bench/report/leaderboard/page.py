"""The leaderboard as one self-contained HTML page, with links to the records beside it. Pure.

The tables can be read without JavaScript. The script `leaderboard.js` sorts, filters, hides columns, and compares
two rows user by user.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.report.html.view import badges, content_security_policy, read_template, render_template
from bench.report.leaderboard.columns import columns_of, family_title
from bench.report.leaderboard.entries import UNIT, chosen_for_page, packed
from bench.report.leaderboard.forms import INTRODUCTION, TITLE, Section, caption, notes
from bench.report.paper import Paper
from bench.report.wording import metric_title


def to_html(sections: Sequence[Section], left_out: Sequence[str], paper: Paper) -> str:
    """Return the page.

    Args:
        sections: tables with their rows.
        left_out: sentences on what is in no table.
        paper: gives the names.
    """
    scripts = [read_template("page.js"), read_template("leaderboard.js")]
    facts = [section.board.facts for section in sections]
    families = sorted({family_title(each) for section in sections for each in section.entries})
    columns = [each for section in sections for each in columns_of(section.board, "page")]
    held = chosen_for_page([(section.board, section.scores) for section in sections])
    by_section = list(zip(sections, held, strict=True))
    users = {section.board.id: _users(section, rows) for section, rows in by_section if len(rows) > 1}
    return render_template(
        "leaderboard.html.j2",
        title=TITLE,
        introduction=INTRODUCTION.replace("`", ""),
        policy=content_security_policy(*scripts),
        style=read_template("style.css") + read_template("leaderboard.css"),
        scripts=scripts,
        columns=list({each.key: each for each in columns}.values()),
        badges=badges(list({each.data_hash + each.label: each for each in facts}.values())),
        is_drawn=any(each.source == "surrogate" for each in facts),
        sections=[_table(section, paper) for section in sections],
        datasets=sorted({each.name for each in facts}),
        sources=sorted({each.source for each in facts}),
        families=families,
        # Escaped "<": no text in the JSON can end its <script> element.
        users=json.dumps(users, separators=(",", ":")).replace("<", "\\u003c"),
        comparable=bool(users),
        omitted_users=list(filter(None, (_omitted_users(*each) for each in by_section))),
        left_out=left_out,
    )


def _users(section: Section, rows: Sequence[str]) -> dict[str, Any]:
    titles = {each.row.id: each.title for each in section.entries}
    return {
        "heading": section.heading,
        "seeds": section.board.n_asked,
        "users": section.scores.n_users,
        "unit": UNIT,
        "metrics": [[metric, metric_title(metric)] for metric in section.board.shown],
        "ranked": section.board.ranked_by,
        "rows": [[name, titles[name]] for name in rows],
        "scores": packed(section.scores, rows),
    }


def _omitted_users(section: Section, rows: Sequence[str]) -> str:
    """Return a note on the rows whose users do not fit on the page; "" if all fit."""
    n = len(section.scores.by_row)
    if n == len(rows):
        return ""
    return (
        f"{section.heading}: to stay small, the page holds the users of the {len(rows)} best of "
        f"{n} rows. Those of the other rows are in the files under topk/."
    )


def _table(section: Section, paper: Paper) -> dict[str, Any]:
    facts, columns = section.board.facts, columns_of(section.board, "page")
    rows = [
        {
            "search": f"{each.title} {each.row.label} {family_title(each)}".lower(),
            "family": family_title(each),
            "id": each.row.id,
            "is_complete": each.row.is_complete,
            "cells": [(column, column.show(each)) for column in columns],
        }
        for each in section.entries
    ]
    return {
        "id": section.board.id,
        "heads": columns,
        "heading": section.heading,
        "dataset": facts.name,
        "source": facts.source,
        "badges": badges([facts]),
        "caption": caption(section),
        "notes": notes(section, paper),
        "rows": rows,
    }
