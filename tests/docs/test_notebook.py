"""The notebook runs from the first cell to the last, in a folder of its own and without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "first-steps.ipynb"
LIMIT = 300  # seconds on a loaded machine; about 20 on a quiet one


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_and_its_own_program_beats_popularity(tmp_path: Path) -> None:
    checks = """
scores = table.set_index("model")["recall@10"]
assert set(scores.index) == {"popularity", "ease", "mf", "PureSVD"}, scores
assert scores["PureSVD"] > scores["popularity"], scores
assert list(table["origin"]).count("lists of another program") == 1
"""
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join([*code_cells(), checks]), encoding="utf-8")
    made = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "results-first-steps" / "leaderboard.html").is_file()
    assert (tmp_path / "results-first-steps" / "report.html").is_file()


def test_the_notebook_is_short_and_holds_no_output() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert len(cells) <= 16
    assert not any(cell.get("outputs") for cell in cells)
