"""Layer 10. Builds `leaderboard.md`, `.csv`, `.json` and `.html` of a results directory, and writes them there.

What was built of the same records by the same program stands as it is: its fingerprint is in the JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import ResultsError
from bench.files import write_text
from bench.leaderboard.entries import entries_of
from bench.leaderboard.found import RUNS, TRIALS, Found, find
from bench.leaderboard.page import to_html
from bench.leaderboard.rows import boards
from bench.leaderboard.scores import BoardScores, behind_best, chosen_for_page, read_scores
from bench.leaderboard.texts import Section, headings, markdown
from bench.leaderboard.tidy import csv_text, json_text
from bench.report.paper import Paper, load_paper
from bench.store import ResultsStore

NAME = "leaderboard"
FORMS = ("md", "csv", "html", "json")  # the JSON last: it says what the others are made of
PROGRAM = ("bench/leaderboard/*.py", "bench/report/**/*.*", "models/*.py", "models/*.yaml")


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All tables of a directory.

    Attributes:
        sections: tables with their rows.
        scores: users' scores of each.
        left_out: what is in no table and why, in sentences.
    """

    sections: Sequence[Section]
    scores: Sequence[BoardScores]
    left_out: Sequence[str]


def update(root: Path, n_asked: int | None = None) -> list[Path]:
    """Build and write the four files, unless what is there is made of the same.

    Args:
        root: the results directory.
        n_asked: repetitions of a complete row; None takes the largest number of each table.

    Returns:
        Their paths; none where there is no record of a run.

    Raises:
        ResultsError: a file cannot be read or written.
    """
    try:
        return _update(root, n_asked)
    except OSError as problem:
        raise ResultsError(
            f"The leaderboard cannot be written to {root} ({problem.strerror or problem}). The records are kept: "
            f"free some space or make the directory writable, and run 'ludp-bench leaderboard'."
        ) from problem


def _update(root: Path, n_asked: int | None) -> list[Path]:
    paths = {form: root / f"{NAME}.{form}" for form in FORMS}
    if not any((root / RUNS).glob("**/*.json")):
        return []
    fingerprint = _fingerprint(root, n_asked)
    if _built_of(paths["json"]) == fingerprint and all(path.is_file() for path in paths.values()):
        return list(paths.values())
    paper = load_paper()
    found = build(find(root), n_asked, paper)
    texts = {
        "md": markdown(found.sections, found.left_out, paper),
        "csv": csv_text(found.sections),
        "html": page(found, paper),
        "json": json_text(found.sections, found.left_out, fingerprint),
    }
    for form, path in paths.items():
        write_text(path, texts[form])
    return list(paths.values())


def build(found: Found, n_asked: int | None, paper: Paper) -> Leaderboard:
    """The tables of what lies in a results directory; nothing is written."""
    store = ResultsStore(found.root)
    tables, others = boards([file.record for file in found.runs], n_asked)
    files = {file.record.key: file.path.relative_to(found.root) for file in found.runs}
    scores = [read_scores(board, store) for board in tables]
    sections = [
        Section(board, heading, entries_of(board, own, behind_best(board, own), found.trial_records, files, paper))
        for board, heading, own in zip(tables, headings(tables), scores, strict=True)
    ]
    left_out = [f"{each.path.relative_to(found.root)}: {each.problem}." for each in found.damaged]
    left_out += [f"{n} run{'' if n == 1 else 's'}: {why}." for why, n in sorted(others.items())]
    return Leaderboard(sections, scores, left_out)


def page(found: Leaderboard, paper: Paper) -> str:
    """The HTML form."""
    held = [(section.board, own) for section, own in zip(found.sections, found.scores, strict=True)]
    return to_html(found.sections, found.scores, chosen_for_page(held), found.left_out, paper)


def _built_of(path: Path) -> str | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value.get("fingerprint") if isinstance(value, dict) else None


def _fingerprint(root: Path, n_asked: int | None) -> str:
    """Hash of all that enters: records by content, lists by size and time, the program by content."""
    digest = hashlib.sha256(repr(n_asked).encode())
    for path in _inputs(root):
        digest.update(b"\n" + os.fsencode(path) + b"\n")
        digest.update(path.read_bytes())
    for path in sorted((root / "topk").glob("*.npz")):
        about = path.stat()
        digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for folder in (RUNS, TRIALS):
        yield from sorted((root / folder).glob("**/*.json"))
    source = Path(__file__).resolve().parents[2]
    for pattern in PROGRAM:
        yield from sorted(
            path for path in source.glob(pattern) if path.suffix not in (".pyc", "") and path.is_file()
        )
