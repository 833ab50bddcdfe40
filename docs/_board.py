"""Build the published leaderboard, docs/leaderboard/, from the committed results.

Every folder of results/reference/ with users' scores takes part. Trials are committed as one archive, so the page
is built from a copy in which they are unpacked. The overview of all tables stands beside it, as SVG and CSV.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

from bench.cli.main import main
from bench.report.leaderboard.overview import NAME

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "leaderboard"
TO_DOCS = ".."  # from the page to the built documentation
NOT_PUBLISHED = ("pdf", "png", "md")  # forms of the overview: a page needs its SVG, a reader its CSV


def folders() -> list[Path]:
    """Return the folders of committed results that take part, by name."""
    return sorted(path.parent for path in (ROOT / "results" / "reference").glob("*/scores"))


def gather(target: Path) -> Path:
    """Copy the committed records, scores and trials of all folders into one results directory, and return it."""
    for folder in folders():
        for part in ("runs", "scores"):
            shutil.copytree(folder / part, target / part, dirs_exist_ok=True)
        if (trials := folder / "trials.tar.xz").exists():
            with tarfile.open(trials) as archive:
                archive.extractall(target, filter="data")
    return target


def build(source: Path, output: Path) -> int:
    """Build the page, its data files and the overview; return the exit code of `ludp-bench leaderboard`.

    Args:
        source: where the committed results are gathered; an earlier copy is replaced.
        output: where the page is written.
    """
    shutil.rmtree(source, ignore_errors=True)
    options = ["--output", str(output), "--docs", TO_DOCS, "--overview"]
    code = main(["leaderboard", "--results-dir", str(gather(source)), *options])
    for form in NOT_PUBLISHED:
        (output / f"{NAME}.{form}").unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(build(ROOT / ".venv" / "board", PAGE))
