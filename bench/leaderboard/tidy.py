"""Layer 10. The leaderboard for programs: CSV and JSON, unrounded. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.digest import hash_in_full
from bench.leaderboard.entries import COSTS, Entry
from bench.leaderboard.rows import SHOWN, Board
from bench.leaderboard.texts import TITLE, Section
from bench.record_files import HASH_FIELD
from bench.report.render import to_csv
from bench.report.stops import sign_notes
from bench.report.table import CsvValue, Table
from bench.report.wording import DATA_FIELDS, data_values

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
