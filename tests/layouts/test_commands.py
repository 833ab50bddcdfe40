"""The subcommands as a user calls them, and a run on what was imported."""

from __future__ import annotations

from pathlib import Path

import examples
import numpy as np
import pytest

from bench.cli.main import main
from bench.data import cards


@pytest.fixture
def cards_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cards go to a directory of the test's own."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr("bench.data.card_files.DATASETS", folder)
    monkeypatch.setattr(cards.names, "__defaults__", (folder,))
    monkeypatch.setattr(cards.load, "__defaults__", (folder,))
    return folder


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_inspect(name: str, tmp_path: Path, cards_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = examples.make(name, tmp_path / "mine")
    assert main(["inspect", str(folder)]) == 0
    told = capsys.readouterr().out
    assert f"format      {examples.FORMAT_OF[name]}: " in told
    assert f"6 users, 9 items, {len(examples.PAIRS)} interactions" in told
    assert "modality    visual: 4 columns, 88.9% of the items (8)" in told
    assert f"ludp-bench import {folder} --name mine" in told
    assert (f"{examples.PART.count(0)} training" in told) == (name not in ("csv", "tsv", "parquet"))
    assert ("2023-11-14 to " in told) == (name in ("mmrec", "recbole", "csv", "parquet"))


def test_inspect_tells_of_a_split_by_index(
    tmp_path: Path, cards_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 users of 10 items each; the two highest are held out."""
    rng = np.random.default_rng(1)
    rows = [
        f"{user}\t{item}\t{max(place - 7, 0)}"
        for user in range(40)
        for place, item in enumerate(sorted(rng.choice(50, 10, replace=False)))
    ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.inter").write_text("\n".join(["userID\titemID\tx_label", *rows]) + "\n")
    assert main(["inspect", str(tmp_path / "mine"), "--format", "mmrec"]) == 0
    told = capsys.readouterr().out
    assert "320 training, 40 validation, 40 test" in told
    assert (
        "  audit       Pairs with the highest item index of their user: validation 100.0% (random 11.1% ± " in told
    )
    assert (
        "  WARNING     Validation and test items have the highest index of their user in 100.0% and 100.0%" in told
    )
    assert "The split was made by index, not at random." in told
    assert "'random' would draw 320 training, 40 validation and 40 test interactions anew" in told


def test_problems_are_told_together(tmp_path: Path, cards_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = examples.make("lattice", tmp_path / "mine")
    for name in ("image_feat.npy", "text_feat.npy"):
        (folder / name).write_bytes(b"broken")
    (folder / "test.json").write_text((folder / "val.json").read_text())
    assert main(["inspect", str(folder)]) == 2
    told = capsys.readouterr().out
    assert told.count("PROBLEM") == 3
    assert main(["import", str(folder), "--name", "mine", "--cache-dir", str(tmp_path / "cache")]) == 2
    assert "(2 more: see 'ludp-bench inspect')" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_import_run_and_export(tmp_path: Path, cards_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = examples.make("recbole", tmp_path / "given")
    cache = str(tmp_path / "cache")
    assert main(["import", str(folder), "--name", "mine", "--cache-dir", cache]) == 0
    assert "Next: ludp-bench run --datasets mine" in capsys.readouterr().out
    out = str(tmp_path / "out")
    assert main(["export", "mine", "--format", "mmrec", "--to", out, "--cache-dir", cache]) == 0
    assert "mine: REAL DATA" in capsys.readouterr().out
    assert (tmp_path / "out" / "mine" / "mine.inter").read_text().splitlines()[
        0
    ] == "userID\titemID\ttimestamp\tx_label"
    assert main(["export", "mine@user", "--layout", "mmrec", "--to", out, "--cache-dir", cache]) == 0
    assert "mine@user: REAL DATA" in capsys.readouterr().out
    labels = {
        name: [
            row.split("\t")[-1] for row in (tmp_path / "out" / name / f"{name}.inter").read_text().splitlines()[1:]
        ]
        for name in ("mine", "mine@user")
    }
    assert {name: (found.count("1"), found.count("2")) for name, found in labels.items()} == {
        "mine": (examples.PART.count(1), examples.PART.count(2)),  # the publisher's parts
        "mine@user": (6, 6),  # one and one of each of six users
    }
    again = ["--format", "mmrec", "--to", out, "--cache-dir", cache]
    assert main(["export", "mine", "--split", "user", *again]) == 2  # the same data set, so the place is taken
    assert "mine@user exists already" in capsys.readouterr().err
    assert main(["export", "mine@usr", *again]) == 2
    assert "Did you mean 'user'" in capsys.readouterr().err
    assert main(["import", str(folder), "--name", "new@user", "--cache-dir", cache]) == 2
    assert (
        "Import it as 'new', and choose the split where you use it: --datasets new@user" in capsys.readouterr().err
    )
    results = str(tmp_path / "results")
    arguments = ["--datasets", "mine", "--models", "popularity", "--cache-dir", cache, "--results-dir", results]
    assert main(["run", *arguments, "--artifacts", "table3", "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "\nReport: " in told
