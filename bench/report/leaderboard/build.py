"""Builds `leaderboard.md`, `.csv`, `.json` and `.html` of a results directory, and writes them there.

What was built of the same records by the same program stands as it is: its fingerprint is in the JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.errors import ResultsError
from bench.core.files import ROOT, read_regular, write_text
from bench.core.hashing import hash_bytes
from bench.core.text import for_line
from bench.report.leaderboard.entries import (
    BoardScores,
    Lists,
    behind_best,
    chosen_for_page,
    entries_of,
    read_scores,
)
from bench.report.leaderboard.forms import Section, csv_text, headings, is_unchanged, json_text, markdown
from bench.report.leaderboard.page import to_html
from bench.report.leaderboard.rows import RUNS, TRIALS, Found, boards, find
from bench.report.paper import Paper, load_paper
from bench.runs.record_files import Damaged
from bench.runs.store import ResultsStore

NAME = "leaderboard"
FORMS = ("md", "csv", "html", "json")  # the JSON last: it says what the others are made of
PROGRAM = ("bench/report/**/*.*", "models/*.py", "models/*.yaml")


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All tables of a directory.

    Attributes:
        sections: tables with their rows.
        scores: users' scores of each.
        left_out: what is in no table and why, in sentences.
        n_failed: runs that failed.
        n_runs: of all runs.
    """

    sections: Sequence[Section]
    scores: Sequence[BoardScores]
    left_out: Sequence[str]
    n_failed: int = 0
    n_runs: int = 0


def update(root: Path, n_asked: int | None = None) -> list[Path]:
    """Build and write the four files; see `refresh`."""
    return refresh(root, n_asked)[0]


def refresh(root: Path, n_asked: int | None = None) -> tuple[list[Path], bool]:
    """Build and write the four files, unless what is there is made of the same and is as it was written.

    Args:
        root: the results directory.
        n_asked: repetitions of a complete row; None takes the largest number that most rows of a table have.

    Returns:
        Their paths, none where there is no record of a run; and whether they were written.

    Raises:
        ResultsError: a file cannot be written.
    """
    try:
        return _refresh(root, n_asked)
    except OSError as problem:
        raise ResultsError(
            f"The leaderboard cannot be written to {root} ({problem.strerror or problem}). The records are kept: "
            f"free some space or make the directory writable, and run 'ludp-bench leaderboard'."
        ) from problem


def outcome(paths: Sequence[Path], is_new: bool) -> str:
    """Say what became of the files."""
    return f"{'wrote' if is_new else 'up to date:'} {', '.join(map(str, paths))}"


def _refresh(root: Path, n_asked: int | None) -> tuple[list[Path], bool]:
    paths = {form: root / f"{NAME}.{form}" for form in FORMS}
    if not any((root / RUNS).glob("**/*.json")):
        return [], False
    fingerprint = _fingerprint(root, n_asked)
    if _stands(paths, fingerprint):
        return list(paths.values()), False
    paper = load_paper()
    found = build(find(root), n_asked, paper)
    texts = {
        "md": markdown(found.sections, found.left_out, paper),
        "csv": csv_text(found.sections),
        "html": page(found, paper),
    }
    files = {form: hash_bytes(text.encode()) for form, text in texts.items()}
    counts = {"n_runs": found.n_runs, "n_failed": found.n_failed}
    texts["json"] = json_text(found.sections, found.left_out, fingerprint, files, counts)
    for form, path in paths.items():
        write_text(path, texts[form])
    return list(paths.values()), True


def build(found: Found, n_asked: int | None, paper: Paper, lists: Lists | None = None) -> Leaderboard:
    """Build the tables of what lies in a results directory; nothing is written.

    Args:
        found: its records.
        n_asked: see `refresh`.
        paper: for names.
        lists: where the lists of the runs are; None takes them from the same directory.
    """
    store = lists or ResultsStore(found.root)
    tables, others = boards([file.record for file in found.runs], n_asked)
    scores = [read_scores(board, store) for board in tables]
    contradicted = [each for own in scores for each in own.contradicted]
    if contradicted:  # a mean that its own users contradict must not take a rank
        keys = {each.path.stem for each in contradicted}
        places = {file.record.key: file.path for file in found.runs}
        runs = tuple(file for file in found.runs if file.record.key not in keys)
        damaged = [Damaged(places[each.path.stem], f"by its lists {each.problem}") for each in contradicted]
        return build(replace(found, runs=runs, damaged=(*found.damaged, *damaged)), n_asked, paper, lists)
    files = {file.record.key: file.path.relative_to(found.root) for file in found.runs}
    sections = [
        Section(
            board,
            heading,
            entries_of(board, own, behind_best(board, own), found.trial_records, files, paper),
            own.is_blind,
        )
        for board, heading, own in zip(tables, headings(tables), scores, strict=True)
    ]
    left_out = [for_line(f"{_below(each.path, found.root)}: {each.problem}.") for each in found.damaged]
    left_out += [f"{n} run{'' if n == 1 else 's'}: {why}." for why, n in sorted(others.items())]
    failed = sum(file.record.status == "failed" for file in found.runs)
    return Leaderboard(sections, scores, left_out, failed, len(found.runs))


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def page(found: Leaderboard, paper: Paper) -> str:
    """The HTML form."""
    held = [(section.board, own) for section, own in zip(found.sections, found.scores, strict=True)]
    return to_html(found.sections, found.scores, chosen_for_page(held), found.left_out, paper)


def _stands(paths: Mapping[str, Path], fingerprint: str) -> bool:
    """Whether the files are made of this and nobody changed them since."""
    try:
        value = json.loads(read_regular(paths["json"]))
        is_own = is_unchanged(value) and value["fingerprint"] == fingerprint
        return is_own and all(
            value["files"][form] == hash_bytes(read_regular(paths[form])) for form in paths if form != "json"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _fingerprint(root: Path, n_asked: int | None) -> str:
    """Hash of all that enters: records by content, lists by size and time, the program by content."""
    digest = hashlib.sha256(repr(n_asked).encode())
    for path in _inputs(root):
        digest.update(b"\n" + os.fsencode(path) + b"\n")
        try:
            digest.update(read_regular(path))
        except OSError as problem:  # `find` says so among what is left out
            digest.update(str(problem.strerror).encode())
    for path in sorted((root / "topk").glob("*.npz")):
        with contextlib.suppress(OSError):
            about = path.stat()
            digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for folder in (RUNS, TRIALS):
        yield from sorted((root / folder).glob("**/*.json"))
    for pattern in PROGRAM:
        yield from sorted(
            path for path in ROOT.glob(pattern) if path.suffix not in (".pyc", "") and path.is_file()
        )
