"""The leaderboard as Markdown, and unrounded as CSV and JSON. Pure.

The HTML page uses the headings, captions and notes of this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench.core.hashing import hash_in_full
from bench.core.protocol import short_metric
from bench.core.text import for_markdown
from bench.report.comparisons import MIN_SEEDS, STAR
from bench.report.leaderboard.columns import columns_of, fields_of
from bench.report.leaderboard.entries import Entry
from bench.report.leaderboard.rows import Board
from bench.report.leaderboard.user_scores import BoardScores
from bench.report.paper import Paper
from bench.report.render import to_csv, to_markdown
from bench.report.scores import data_key
from bench.report.stops import sign_notes, sign_sentence, stopped_by_cap
from bench.report.table import Block, Cell, Column, Row, Table
from bench.report.wording import DASH, data_headings, data_notes, metric_name, protocol_sentence
from bench.runs.record_files import HASH_FIELD

TITLE = "Leaderboard"
COMPARABLE = "Rows of one table share data, split and protocol; numbers of different tables are not comparable."
INTRODUCTION = (
    f"All result records of this directory. {COMPARABLE} `ludp-bench leaderboard` and every `ludp-bench run` "
    "rebuild it. Paths are shown below the checkout, a data directory or home (~); of other paths only the last "
    "part is shown (…)."
)
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class BoardSection:
    """A table with its heading, its rows and their per-user scores."""

    board: Board
    heading: str
    entries: Sequence[Entry]
    scores: BoardScores


def headings(boards: Sequence[Board]) -> list[str]:
    """Return one heading per table: the data with its source, and the protocol if two would be equal."""
    facts = {data_key(board.facts): board.facts for board in boards}
    if not facts:  # all runs failed
        return []
    by_data = dict(zip(facts, data_headings([*facts.values()]), strict=True))
    names = [by_data[data_key(board.facts)] for board in boards]
    return [
        name if names.count(name) == 1 else f"{name}, protocol {board.protocol.tag}"
        for name, board in zip(names, boards, strict=True)
    ]


def caption(section: BoardSection) -> str:
    """Return the caption of a table: protocol, capped runs, and how to read the columns."""
    board = section.board
    seeds = "One seed" if board.n_asked == 1 else f"Mean ± sample standard deviation over {board.n_asked} seeds"
    capped = stopped_by_cap(record for row in board.rows for record in row.records)
    signs = sign_sentence(each.stops for each in section.entries)
    parts = (
        protocol_sentence(board.protocol),
        capped,
        f"{seeds}; ranked by test {metric_name(board.ranked_by)}.",
        "Difference: to the best row, with its 95% bootstrap interval over users.",
        _significance(board),
        "Incomplete rows have no mean and no rank.",
        signs,
    )
    return " ".join(filter(None, parts))


def _significance(board: Board) -> str:
    if board.n_asked < MIN_SEEDS:
        return f"With fewer than {MIN_SEEDS} seeds there are no p-values and no shared ranks."
    return (
        f"p: paired permutation test over users, all seeds together. The best row is known only from these "
        f"scores, so p is corrected over all pairs of rows of the table (Westfall and Young's step-down method); "
        f"{STAR} marks p < 0.05 where the 95% interval over users and seeds leaves out 0, too. Rows without a "
        f"star share its rank, as in 1{DASH}2, since other users or other seeds could place them first."
    )


def notes(section: BoardSection, paper: Paper) -> list[str]:
    """Return the footnotes of a table."""
    ranked_by = short_metric(section.board.ranked_by)
    lines = data_notes(section.board.facts, section.heading, paper)
    lines += sign_notes(section.heading, {each.title: each.stops for each in section.entries})
    lines += [
        f"{each.title}: {each.row.distinction}." for each in section.entries if each.tag != each.row.distinction
    ]
    lines += [f"{each.title} is not compared: {each.uncompared}." for each in section.entries if each.uncompared]
    if section.scores.rows_are_equal:
        lines.append(
            f"{ranked_by} is the same for every user in every row: it cannot tell these models "
            f"apart, and their equal ranks have no meaning."
        )
    by_name: dict[str, list[Entry]] = {}
    for each in section.entries:
        if each.valid.mean is not None:
            by_name.setdefault(each.name, []).append(each)
    return lines + [_by_validation(name, same, ranked_by) for name, same in by_name.items() if len(same) > 1]


def _by_validation(name: str, same: Sequence[Entry], ranked_by: str) -> str:
    """Return a note on which of a model's rows is best on validation; test scores must not choose among them."""
    best = max(same, key=lambda each: each.valid.mean or 0.0)
    return (
        f"{name} has {len(same)} rows. By validation {ranked_by}, the only score that may choose among "
        f"them, {best.title} is the best ({best.valid.mean:.4f})."
    )


def markdown(sections: Sequence[BoardSection], left_out: Sequence[str], paper: Paper) -> str:
    """Return the leaderboard as Markdown, two pipe tables per section: scores, then cost and origin."""
    parts = [f"# {TITLE}", INTRODUCTION, *([] if sections else ["There is no finished run yet."])]
    for section in sections:
        blocks = (_block(section, "scores"), _block(section, "origin"))
        table = Table(section.heading, caption(section), blocks, tuple(notes(section, paper)), (), ())
        parts += [f"## {for_markdown(section.heading)}", to_markdown(table)]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {for_markdown(each, begins_line=True)}" for each in left_out)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _block(section: BoardSection, form: Literal["scores", "origin"]) -> Block:
    columns = columns_of(section.board, form)
    rows = [[column.show(each) for column in columns] for each in section.entries]
    return Block(
        tuple(Column(each.title, align=getattr(each, form)) for each in columns),
        tuple(Row(tuple(Cell(words=each.text, mark=each.mark) for each in row)) for row in rows),
    )


def csv_text(sections: Sequence[BoardSection]) -> str:
    """Return the CSV: one line per row, unrounded, empty for missing values."""
    fields = fields_of("csv")
    rows = [[get(each) for get in fields.values()] for section in sections for each in section.entries]
    joined = tuple(tuple("; ".join(each) if isinstance(each, list) else each for each in row) for row in rows)
    return to_csv(Table(TITLE, "", (), (), tuple(fields), joined))


def json_text(
    sections: Sequence[BoardSection],
    left_out: Sequence[str],
    fingerprint: str,
    files: Mapping[str, str],
    counts: Mapping[str, int],
) -> str:
    """Return the JSON: all that the other forms show, with the single results of every repetition.

    Args:
        sections: tables with their rows.
        left_out: sentences on what is in no table.
        fingerprint: hash of all inputs.
        files: hashes of the other forms, which reveal later changes to them.
        counts: numbers of runs, by name.
    """
    value = {
        "schema_version": SCHEMA,
        "fingerprint": fingerprint,
        "files": dict(files),
        "tables": [_json_table(section) for section in sections],
        "left_out": list(left_out),
        **counts,
    }
    return json.dumps({**value, HASH_FIELD: hash_in_full(value)}, indent=1, allow_nan=False) + "\n"


def is_unchanged(value: dict[str, Any]) -> bool:
    """Return whether the JSON has the current schema version and is unchanged since it was written."""
    content = {name: each for name, each in value.items() if name != HASH_FIELD}
    return bool(value["schema_version"] == SCHEMA and value[HASH_FIELD] == hash_in_full(content))


def _json_table(section: BoardSection) -> Mapping[str, Any]:
    board, fields = section.board, fields_of("json")
    return {
        "id": board.id,
        "heading": section.heading,
        "data": board.facts.model_dump(mode="json"),
        "protocol": {"tag": board.protocol.tag, **asdict(board.protocol)},
        "n_asked": board.n_asked,
        "ranked_by": board.ranked_by,
        "signs": sign_notes(section.heading, {each.title: each.stops for each in section.entries}),
        "rows": [{name: get(each) for name, get in fields.items()} for each in section.entries],
    }
