"""The leaderboard as Markdown, and what its page says in the same words. Pure.

The leaderboard for programs: CSV and JSON, unrounded. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.core.hashing import hash_in_full
from bench.core.text import for_markdown
from bench.report.comparisons import STAR, shown_p
from bench.report.leaderboard.entries import COSTS, Entry
from bench.report.leaderboard.rows import SHOWN, Board
from bench.report.paper import Paper
from bench.report.render import to_csv, to_markdown
from bench.report.statistics import Gap
from bench.report.stops import sign_notes, sign_sentence, stopped_by_cap
from bench.report.table import Block, Cell, Column, CsvValue, Mark, Row, Table, marks
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    data_headings,
    data_notes,
    data_values,
    metric_name,
    metric_title,
    protocol_sentence,
)
from bench.runs.record_files import HASH_FIELD

MEBIBYTE = 2**20
TITLE = "Leaderboard"
INTRODUCTION = (
    "All result records of this directory. Rows of one table share data, split and protocol; numbers of two "
    "tables do not compare. `ludp-bench leaderboard` builds it, as does every `run_all.py`. Paths are shortened "
    "to what lies below the checkout, a directory of data or home (~); of others the last part is left (…)."
)


@dataclass(frozen=True, eq=False)
class Section:
    """A table with its rows as they are shown, its heading, and whether its metric tells no rows apart."""

    board: Board
    heading: str
    entries: Sequence[Entry]
    is_blind: bool = False


def headings(boards: Sequence[Board]) -> list[str]:
    """One a table: the data with its source, and what else sets it apart where two would read the same."""
    facts = {board.facts.label + board.facts.split + board.facts.data_hash + board.facts.split_hash: board.facts
             for board in boards}  # fmt: skip
    if not facts:  # all runs failed
        return []
    named = {id(each): name for each, name in zip(facts.values(), data_headings([*facts.values()]), strict=True)}
    by_key = {key: named[id(each)] for key, each in facts.items()}
    found = [
        by_key[board.facts.label + board.facts.split + board.facts.data_hash + board.facts.split_hash]
        for board in boards
    ]
    return [
        name if found.count(name) == 1 else f"{name}, protocol {board.protocol.tag}"
        for name, board in zip(found, boards, strict=True)
    ]


def caption(section: Section) -> str:
    """How to read a table."""
    board = section.board
    seeds = "One seed" if board.n_asked == 1 else f"Mean ± sample standard deviation over {board.n_asked} seeds"
    capped = stopped_by_cap(record for row in board.rows for record in row.records)
    signs = sign_sentence(each.stops for each in section.entries)
    return " ".join(filter(None, (protocol_sentence(board.protocol), capped, _reading(board, seeds), signs)))


def _reading(board: Board, seeds: str) -> str:
    return (
        f"{seeds}; ranked by test {metric_name(board.ranked_by)}. "
        f"Difference: to the first row, with its 95% bootstrap interval over users; p: paired permutation test "
        f"over users, all seeds together, Holm's correction over the rows of the table; {STAR} marks p < 0.05. "
        f"Incomplete rows have no mean and no rank."
    )


def notes(section: Section, paper: Paper) -> list[str]:
    """What else to know of a table."""
    ranked_by = metric_title(section.board.ranked_by)
    said = data_notes(section.board.facts, section.heading, paper)
    said += sign_notes(section.heading, {each.title: each.stops for each in section.entries})
    said += [f"{each.title} is not compared: {each.uncompared}." for each in section.entries if each.uncompared]
    if section.is_blind:
        said.append(
            f"{ranked_by} is the same for every user by every row: it cannot tell these models "
            f"apart, and equal ranks say nothing of them."
        )
    several: dict[str, list[Entry]] = {}
    for each in section.entries:
        if each.valid.mean is not None:
            several.setdefault(each.name, []).append(each)
    return said + [_by_validation(name, same, ranked_by) for name, same in several.items() if len(same) > 1]


def _by_validation(name: str, same: Sequence[Entry], ranked_by: str) -> str:
    """Which of several rows of a model counts: the ranks are by test scores, which must not choose."""
    best = max(same, key=lambda each: each.valid.mean or 0.0)
    return (
        f"{name} has {len(same)} rows. By validation {ranked_by}, which alone may choose among "
        f"them, {best.row.told} is the best ({best.valid.mean:.4f})."
    )


def markdown(sections: Sequence[Section], left_out: Sequence[str], paper: Paper) -> str:
    """Two pipe tables a section: scores, then cost and origin."""
    parts = [f"# {TITLE}", INTRODUCTION, *([] if sections else ["There is no finished run yet."])]
    for section in sections:
        blocks = (_score_block(section), _origin_block(section))
        table = Table(section.heading, caption(section), blocks, tuple(notes(section, paper)), (), ())
        parts += [f"## {for_markdown(section.heading)}", to_markdown(table)]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {for_markdown(each, begins_line=True)}" for each in left_out)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def shown_gap(gap: Gap | None) -> str:
    """The difference to the best with its interval."""
    return DASH if gap is None else f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"


def shown_gap_p(gap: Gap | None) -> str:
    """Its p-value, with a star below 5%."""
    return DASH if gap is None else shown_p(gap.p_holm) + (f" {STAR}" if gap.differs else "")


def best_marks(section: Section) -> dict[str, list[Mark]]:
    """Best and second best of every metric, by row."""
    return {
        metric: marks([each.scores[metric].mean for each in section.entries]) for metric in section.board.shown
    }


def _score_block(section: Section) -> Block:
    board = section.board
    columns = [Column("#"), Column("Model", align="left"), Column("Seeds")]
    columns += [Column(metric_title(metric)) for metric in board.shown]
    columns += [Column(f"Difference in {metric_title(board.ranked_by)}"), Column("p")]
    columns += [Column(f"Validation {metric_title(board.ranked_by)}")]
    found, rows = best_marks(section), []
    for place, each in enumerate(section.entries):
        cells = [
            Cell(words=str(each.rank or DASH)),
            Cell(words=each.title + each.stops.signs),
            Cell(words=each.seeds),
        ]
        cells += [_number(each.scores[m].mean, each.scores[m].sd, mark=found[m][place]) for m in board.shown]
        cells += [Cell(words=shown_gap(each.gap)), Cell(words=shown_gap_p(each.gap))]
        rows.append(Row((*cells, _number(each.valid.mean, each.valid.sd))))
    return Block(tuple(columns), tuple(rows))


def _origin_block(section: Section) -> Block:
    titles = ("Parameters", "Training (s)", "Epochs", "Peak memory (MiB)")
    words = ("Machine", "Trials", "Parameters from", "Commit", "Code", "Command")
    columns = [Column("#"), Column("Model", align="left"), *map(Column, titles)]
    columns += [Column(title, align="left") for title in words]
    rows = []
    for each in section.entries:
        cost = each.cost
        memory = cost["peak_memory_bytes"]
        cells = [Cell(words=str(each.rank or DASH)), Cell(words=each.title)]
        cells += [_number(cost["n_parameters"], form=",.0f"), _number(cost["train_seconds"], form=",.1f")]
        cells += [_number(cost["epochs"], form=",.1f"), _number(memory and memory / MEBIBYTE, form=",.0f")]
        told = ["; ".join(each.machines), str(each.origin.n_trials), each.origin.words, ", ".join(each.commits)]
        told += [each.link or each.code, "; ".join(each.commands)]
        rows.append(Row((*cells, *(Cell(words=word or DASH) for word in told))))
    return Block(tuple(columns), tuple(rows))


def _number(value: float | None, sd: float | None = None, form: str = ".4f", mark: Mark = "") -> Cell:
    return Cell(words=DASH) if value is None else Cell(value, sd, form, mark=mark)


SCHEMA = 1


def csv_text(sections: Sequence[Section]) -> str:
    """A line a row, unrounded; empty where there is nothing."""
    shown = [f"{metric}{suffix}" for metric in SHOWN for suffix in ("", "_sd")]
    header = (
        *(*DATA_FIELDS, "protocol", "hide_at_test", "ranked_by", "rank", "model", "told", "title", "family"),
        *(
            "n_runs",
            "n_failed",
            "n_asked",
            "n_stopped_by_cap",
            "n_best_at_start",
            *shown,
            "difference",
            "ci_low",
            "ci_high",
            "p_holm",
            "not_compared",
        ),
        *("test", "test_sd", "valid", "valid_sd", *COSTS, "machines", "n_trials", "parameters_from"),
        *(
            "max_epochs",
            "patience",
            "base_seed",
            "params_hash",
            "code_hash",
            "commits",
            "code",
            "link",
            "commands",
        ),
        "records",
    )
    rows = tuple(tuple(_csv_row(section.board, each)) for section in sections for each in section.entries)
    return to_csv(Table(TITLE, "", (), (), header, rows))


def _csv_row(board: Board, each: Entry) -> Iterator[CsvValue]:
    row, first, gap = each.row, each.row.records[0], each.gap
    yield from (*data_values(board.facts), board.protocol.tag, board.protocol.hide_at_test, board.ranked_by)
    yield from (
        each.rank,
        row.label,
        row.told,
        each.title,
        each.family,
        len(row.records),
        row.n_failed,
        row.n_asked,
        each.stops.n_cap,
        each.stops.n_start,
    )
    for metric in SHOWN:
        yield from (each.scores[metric].mean, each.scores[metric].sd)
    yield from (None,) * 4 if gap is None else (gap.difference, gap.low, gap.high, gap.p_holm)
    ranking = each.scores[board.ranked_by]
    yield from (each.uncompared, ranking.mean, ranking.sd, each.valid.mean, each.valid.sd, *each.cost.values())
    yield from ("; ".join(each.machines), each.origin.n_trials, each.origin.words)
    yield from (first.spec.max_epochs, first.protocol.patience, first.spec.base_seed, first.spec.params_hash)
    yield from (first.code_hash, "; ".join(each.commits), each.code, each.link, "; ".join(each.commands))
    yield "; ".join(each.files)


def json_text(
    sections: Sequence[Section],
    left_out: Sequence[str],
    fingerprint: str,
    files: Mapping[str, str],
    counts: Mapping[str, int],
) -> str:
    """Everything that is shown, with the single results of every repetition.

    Args:
        sections: tables with their rows.
        left_out: sentences on what is in no table.
        fingerprint: hash of what all of it is made of.
        files: hashes of the other forms, by which a change of them is found.
        counts: of runs, by name.
    """
    tables = [_json_table(section) for section in sections]
    value: dict[str, Any] = {
        "schema_version": SCHEMA,
        "fingerprint": fingerprint,
        "files": dict(files),
        "tables": tables,
    }
    value |= {"left_out": list(left_out), **counts}
    return json.dumps({**value, HASH_FIELD: hash_in_full(value)}, indent=1, allow_nan=False) + "\n"


def is_unchanged(value: dict[str, Any]) -> bool:
    """Whether the JSON form is of this version, and as it was written."""
    content = {name: each for name, each in value.items() if name != HASH_FIELD}
    return bool(value["schema_version"] == SCHEMA and value[HASH_FIELD] == hash_in_full(content))


def _json_table(section: Section) -> Mapping[str, Any]:
    board = section.board
    return {
        "id": board.id,
        "heading": section.heading,
        "data": board.facts.model_dump(mode="json"),
        "protocol": {"tag": board.protocol.tag, **asdict(board.protocol)},
        "n_asked": board.n_asked,
        "ranked_by": board.ranked_by,
        "signs": sign_notes(section.heading, {each.title: each.stops for each in section.entries}),
        "rows": [_json_row(each, board) for each in section.entries],
    }


def _json_row(each: Entry, board: Board) -> Mapping[str, Any]:
    row, spec = each.row, each.row.records[0].spec
    return {
        **{"id": row.id, "rank": each.rank, "model": row.label, "told": row.told, "title": each.title},
        **{"family": each.family, "n_runs": len(row.records), "n_failed": row.n_failed, "n_asked": row.n_asked},
        "is_complete": row.is_complete,
        "stops": {**asdict(each.stops), "signs": each.stops.signs.strip()},
        "test": {metric: asdict(spread) for metric, spread in each.scores.items()},
        "valid": {board.ranked_by: asdict(each.valid)},
        "against_best": None if each.gap is None else asdict(each.gap),
        "not_compared": each.uncompared,
        "cost": dict(each.cost),
        "machines": list(each.machines),
        "tuning": asdict(each.origin),
        "params": spec.params,
        **{
            "max_epochs": spec.max_epochs,
            "patience": row.records[0].protocol.patience,
            "base_seed": spec.base_seed,
        },
        **{
            "code_hash": row.records[0].code_hash,
            "commits": list(each.commits),
            "code": each.code,
            "link": each.link,
        },
        "commands": list(each.commands),
        "records": list(each.files),
    }
