"""Build `leaderboard.md`, `.csv`, `.json` and `.html` of a results directory, and write them there.

The JSON holds a fingerprint of the records and the program. Files with the current fingerprint are not rebuilt.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import __version__
from bench.core.files import exclusively, os_errors, read_regular, write_text
from bench.core.hashing import hash_bytes
from bench.core.places import ROOT
from bench.core.text import counted, for_line
from bench.engine import plugins
from bench.report.leaderboard.entries import entries_of
from bench.report.leaderboard.forms import BoardSection, csv_text, headings, is_unchanged, json_text, markdown
from bench.report.leaderboard.page import Surroundings, to_html
from bench.report.leaderboard.rows import RUNS, TRIALS, Board, ResultRecords, boards, read_results
from bench.report.leaderboard.user_scores import BoardScores, ScoreReader, read_scores
from bench.report.paper import PAPER_FILE, Paper, load_paper
from bench.runs.record_files import Damaged
from bench.runs.store import LISTS, SCORES, ResultsStore

NAME, REPORT = "leaderboard", "report.html"
FORMS = ("md", "csv", "html", "json")  # the JSON last, because it holds the hashes of the other files
# The files whose content decides what a leaderboard looks like.
PROGRAM = ("bench/report/**/*.*", "bench/core/protocol.py", "models/*.py", "models/*.yaml")


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All tables of a directory.

    Attributes:
        sections: tables with their rows.
        left_out: sentences on what is in no table, and why.
        n_failed: number of failed runs.
        n_runs: number of all runs.
    """

    sections: Sequence[BoardSection]
    left_out: Sequence[str]
    n_failed: int = 0
    n_runs: int = 0


@dataclass(frozen=True, eq=False)
class Grouped:
    """The records of a results directory in tables.

    Attributes:
        found: the records that can be used, and the files that cannot.
        tables: the tables.
        others: number of runs in no table, by reason.
        scores: users' scores of each table.
    """

    found: ResultRecords
    tables: Sequence[Board]
    others: Mapping[str, int]
    scores: Sequence[BoardScores]


@dataclass(frozen=True)
class Publication:
    """A copy of the leaderboard for readers who have no results directory.

    Attributes:
        folder: where its page, CSV and JSON are written; created if needed.
        docs: address of the folder of the built documentation, for links; "" without one.
    """

    folder: Path
    docs: str = ""


def refresh(
    root: Path, n_asked: int | None = None, publication: Publication | None = None
) -> tuple[list[Path], bool]:
    """Build and write the files, unless the present ones are up to date and unchanged.

    Args:
        root: the results directory.
        n_asked: repetitions of a complete row; None takes the largest number that most rows of a table have.
        publication: writes a copy for publication elsewhere, and nothing into the results directory.

    Returns:
        Their paths, none without any run record, and whether they were written.

    Raises:
        ResultsError: a file cannot be written, or one of those that the leaderboard is built from cannot be read.
    """
    folder = root if publication is None else publication.folder
    forms = [form for form in FORMS if publication is None or form != "md"]
    paths = {form: folder / f"{NAME}.{form}" for form in forms}
    if not any((root / RUNS).glob("**/*.json")):
        return [], False
    with contextlib.ExitStack() as stack:
        with _write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # held from the reading to the last file, so that of two calls the later one has the runs of both
            stack.enter_context(exclusively(folder / f".{NAME}.lock"))
        return list(paths.values()), _write(root, n_asked, publication, paths)


def _write_errors(folder: Path) -> contextlib.AbstractContextManager[None]:
    return os_errors(
        f"The leaderboard cannot be written to {folder}",
        "The records are kept: free some space or make the directory writable, and run 'ludp-bench leaderboard'.",
    )


def outcome(paths: Sequence[Path], is_new: bool) -> str:
    """Return the console line on the files: written or up to date."""
    return f"{'wrote' if is_new else 'up to date:'} {', '.join(map(str, paths))}"


def _write(root: Path, n_asked: int | None, publication: Publication | None, paths: Mapping[str, Path]) -> bool:
    """Build and write the files; return whether the present ones were out of date."""
    beside = _surroundings(paths["json"].parent, publication)
    with os_errors(
        f"The leaderboard of {root} cannot be built",
        "The records are kept: make the named file readable, and run 'ludp-bench leaderboard'.",
    ):
        fingerprint = _fingerprint(root, n_asked, beside)
        if _is_up_to_date(paths, fingerprint):
            return False
        texts = _texts(root, n_asked, beside, fingerprint, paths)
    with _write_errors(paths["json"].parent):
        for form, path in paths.items():
            write_text(path, texts[form])
    return True


def _texts(
    root: Path, n_asked: int | None, beside: Surroundings, fingerprint: str, forms: Iterable[str]
) -> dict[str, str]:
    """Return the text of each form; the JSON holds the hashes of those in `forms`."""
    paper = load_paper()
    leaderboard = build(read_results(root), n_asked, paper)
    texts = {
        "md": markdown(leaderboard.sections, leaderboard.left_out, paper),
        "csv": csv_text(leaderboard.sections),
        "html": to_html(leaderboard.sections, leaderboard.left_out, paper, beside),
    }
    files = {form: hash_bytes(text.encode()) for form, text in texts.items() if form in forms}
    counts = {"n_runs": leaderboard.n_runs, "n_failed": leaderboard.n_failed}
    texts["json"] = json_text(leaderboard.sections, leaderboard.left_out, fingerprint, files, counts)
    return texts


def _surroundings(folder: Path, publication: Publication | None) -> Surroundings:
    report = REPORT if (folder / REPORT).is_file() else ""
    return Surroundings(report, publication is None, "" if publication is None else publication.docs)


def build(
    found: ResultRecords, n_asked: int | None, paper: Paper, reader: ScoreReader | None = None
) -> Leaderboard:
    """Build the tables of a results directory; writes nothing.

    Args:
        found: the records of the directory.
        n_asked: see `refresh`.
        paper: gives the names.
        reader: reads the runs' scores; None reads them from the same directory.
    """
    grouped = consistent(found, n_asked, reader or ResultsStore(found.root))
    found, tables, scores = grouped.found, grouped.tables, grouped.scores
    files = {file.record.key: file.path.relative_to(found.root) for file in found.runs}
    sections = [
        BoardSection(board, heading, entries_of(board, own, found.trial_records, files, paper), own)
        for board, heading, own in zip(tables, headings(tables), scores, strict=True)
    ]
    left_out = [for_line(f"{_below(each.path, found.root)}: {each.problem}.") for each in found.damaged]
    left_out += [f"{counted(n, 'run')}: {why}." for why, n in sorted(grouped.others.items())]
    failed = sum(file.record.status == "failed" for file in found.runs)
    return Leaderboard(sections, left_out, failed, len(found.runs))


def consistent(found: ResultRecords, n_asked: int | None, reader: ScoreReader) -> Grouped:
    """Group records into tables, without runs whose means contradict the scores of their own users.

    Args:
        found: the records of a results directory.
        n_asked: see `refresh`.
        reader: reads the runs' scores.
    """
    tables, others = boards([file.record for file in found.runs], n_asked)
    scores = [read_scores(board, reader) for board in tables]
    contradicted = [each for own in scores for each in own.contradicted]
    if not contradicted:
        return Grouped(found, tables, others, scores)
    # the rows that are left may have another order and other numbers of runs, so group them again
    keys = {each.path.stem for each in contradicted}
    places = {file.record.key: file.path for file in found.runs}
    runs = tuple(file for file in found.runs if file.record.key not in keys)
    damaged = [Damaged(places[each.path.stem], f"by its scores {each.problem}") for each in contradicted]
    return consistent(replace(found, runs=runs, damaged=(*found.damaged, *damaged)), n_asked, reader)


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _is_up_to_date(paths: Mapping[str, Path], fingerprint: str) -> bool:
    """Return whether the files have this fingerprint and are unchanged since they were written."""
    try:
        value = json.loads(read_regular(paths["json"]))
        is_own = is_unchanged(value) and value["fingerprint"] == fingerprint
        return is_own and all(
            value["files"][form] == hash_bytes(read_regular(paths[form])) for form in paths if form != "json"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _fingerprint(root: Path, n_asked: int | None, beside: Surroundings) -> str:
    """Hash the inputs: records and program by content, lists and scores by size and time of modification."""
    digest = hashlib.sha256(repr((n_asked, beside, __version__)).encode())
    for path in _inputs(root):
        digest.update(b"\n" + os.fsencode(path) + b"\n")
        try:
            digest.update(read_regular(path))
        except OSError as problem:  # `read_results` reports the file as damaged
            digest.update(str(problem.strerror).encode())
    # Lists are large: their size and time of modification stand for their content.
    for path in sorted(path for folder in (LISTS, SCORES) for path in (root / folder).glob("*.npz")):
        with contextlib.suppress(OSError):
            status = path.stat()
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for folder in (RUNS, TRIALS):
        yield from sorted((root / folder).glob("**/*.json"))
    for pattern in PROGRAM:
        yield from sorted(
            path for path in ROOT.glob(pattern) if path.suffix not in (".pyc", "") and path.is_file()
        )
    yield PAPER_FILE  # names and order of the rows
    for place in plugins.model_locations():  # titles of rows and "Parameters from" follow these files
        yield from sorted(place.path.parent.glob(f"{place.path.stem}.*"))
