"""What inspect says to do next works when it is typed as printed; what is lacking is said layout by layout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import examples
import pytest

from bench.cli.main import main
from bench.core.errors import BenchError, DataError
from bench.data import card_files, cards
from bench.data.detect import load_place
from bench.data.importing import import_data
from bench.data.inspecting import inspect
from bench.data.roles import Columns

ROOT = Path(__file__).resolve().parents[2]
# what the shell made of the words, and no process of Python for each command
WRAPPER = '#!/bin/sh\nprintf "%s\\0" "$#" "$@" >> "{calls}"\n'


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """Give a command as printed to a shell, where cards, cache and results are the test's own."""
    places = {name: str(tmp_path / name) for name in ("cards", "cache", "results", "bin")}
    for place in places.values():
        Path(place).mkdir()
    script = Path(places["bin"]) / "ludp-bench"
    calls = tmp_path / "calls"
    script.write_text(WRAPPER.format(calls=calls))
    script.chmod(0o755)
    for module in (cards, card_files):
        monkeypatch.setattr(module, "DATASETS", Path(places["cards"]))
    for function in (cards.names, cards.load):
        monkeypatch.setattr(function, "__defaults__", (Path(places["cards"]),))
    monkeypatch.setenv("PATH", f"{places['bin']}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    of_run = ["--models", "popularity", "--artifacts", "table3", "--workers", "1"]
    of_run += ["--results-dir", places["results"]]

    def run(command: str) -> str:
        calls.write_text("")
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        words, out = calls.read_text().split("\0")[:-1], ""
        assert words
        while words:
            count, words = int(words[0]), words[1:]
            given, words = words[:count], words[count:]
            code = main([*given, "--cache-dir", places["cache"], *(of_run if given[0] == "run" else [])])
            said = capsys.readouterr()
            assert code == 0, f"{given}\n{said}"
            out += said.out
        return out

    return run


def next_of(path: Path, **options: Any) -> str:
    found = inspect(path, cards.DATASETS, **options)
    assert found.problems == ()
    return dict(found.lines)["next"]


TAKEN = [(user, item) for user in range(20) for item in range(12) if (user + item) % 4]
ODD = "user-id;ISBN;stars;when\n" + "".join(
    f"u{user};{item:03d};{(3 * user + item) % 5 + 1};{1_700_000_000 + k}\n" for k, (user, item) in enumerate(TAKEN)
)
RATED = sum((3 * user + item) % 5 + 1 > 2 for user, item in TAKEN)


def test_the_next_step_keeps_every_option(typed: Callable[[str], str], tmp_path: Path) -> None:
    folder = tmp_path / "my $(data) 'a'"
    folder.mkdir()
    (folder / "ratings (1).csv").write_text(ODD)
    columns = Columns(item="ISBN", time="when", rating="stars", min_rating=2.5)
    out = typed(next_of(folder, columns=columns))
    assert "\nReport: results/report.html\n" in out
    card = cards.load("my-data-a", tmp_path / "cards")
    assert card.sources[0].expected.n_interactions == RATED  # type: ignore[union-attr]
    again = card.sources[0].how_to_get.partition(": ")[2]  # what the card says works as well
    typed(again)


def test_the_next_step_names_the_layout_where_it_was_named(tmp_path: Path) -> None:
    folder = examples.make("csv", tmp_path / "mine")
    assert " --format table &&" in next_of(folder, format="table")
    assert "--format" not in next_of(folder)


def test_a_count_that_is_known_in_another_layout_is_imported(typed: Callable[[str], str], tmp_path: Path) -> None:
    """The card of those counts reads other files, so that its folder would be found incomplete."""
    shutil.copy(ROOT / "datasets" / "ml-100k.yaml", tmp_path / "cards")
    path = tmp_path / "cards" / "ml-100k.yaml"
    text = path.read_text()
    for name, count in (("n_users", "943"), ("n_items", "1682"), ("n_interactions", "100000")):
        text = text.replace(
            f"{name}: {count}", f"{name}: {({'n_users': 20, 'n_items': 12, 'n_interactions': len(TAKEN)})[name]}"
        )
    path.write_text(text)
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "ratings.csv").write_text(ODD)
    found = inspect(folder, tmp_path / "cards", columns=Columns(item="ISBN"))
    assert "ml-100k (real): all counts of its card fit" in found.text
    assert "--name ml-100k-20" in dict(found.lines)["next"]
    typed(dict(found.lines)["next"])


def test_files_of_a_card_under_another_name_get_a_link(typed: Callable[[str], str], tmp_path: Path) -> None:
    """Nothing of the user's is moved or renamed."""
    folder = examples.make("csv", tmp_path / "given")
    import_data(folder, "mine", tmp_path / "cards", tmp_path / "cache")
    card = (tmp_path / "cards" / "mine.yaml").read_text()
    (tmp_path / "cards" / "mine.yaml").write_text(card.replace("directory: imported/mine", "directory: mine"))
    copy = (tmp_path / "cache" / "imported" / "mine").rename(tmp_path / "else where")
    command = next_of(copy)
    assert command.startswith("ln -s ")
    assert "\nReport: results/report.html\n" in typed(command)
    assert (copy / "users.parquet").is_file()
    assert "ludp-bench import" in next_of(copy)  # the link's name is taken now


def test_recbole_s_own_copy_is_the_embedded_data() -> None:
    import recbole

    folder = Path(str(recbole.__file__)).parent / "dataset_example" / "ml-100k"
    assert next_of(folder) == "ludp-bench run --datasets movielens"


def test_the_next_step_of_an_import_names_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(card_files, "DATASETS", tmp_path)
    folder = examples.make("csv", tmp_path / "given")
    assert main(["import", str(folder), "--name", "mine", "--cache-dir", str(tmp_path / "my cache")]) == 0
    assert f"Next: ludp-bench run --datasets mine --cache-dir '{tmp_path / 'my cache'}'" in capsys.readouterr().out


# --- what inspect passes, import takes


def small(n: int) -> str:
    return "user,item\n" + "".join(f"u{k},i{k % 3}\n" for k in range(n))


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 30])
def test_inspect_and_import_agree(n: int, tmp_path: Path, home: Any) -> None:
    (tmp_path / "t.csv").write_text(small(n))
    found = inspect(tmp_path / "t.csv", home.cards_dir)
    if found.problems:
        with pytest.raises(DataError) as caught:
            home.take(tmp_path / "t.csv", "t")
        assert str(caught.value) == found.problems[0]
        assert dict(found.lines)["next"] == "fix the problems below, and inspect again"
    else:
        home.take(tmp_path / "t.csv", "t")
    assert bool(found.problems) == (n < 10)


# --- what each layout lacks


# ruff: noqa: E501
LACKING: dict[str, tuple[str, str, dict[str, str], str]] = {
    "column": ("a.csv", "user_id,ISBN\nu,i\n", {}, "a.csv has the columns user_id, ISBN; say --item-column ISBN."),
    "misspelt": ("a.csv", "user_id,item_id\nu,i\n", {"user": "nope"}, "a.csv has the columns user_id, item_id and lacks 'nope'"),
    "both": ("a.tsv", "who\twhat\nu\ti\n", {}, "lacks one of users and one of items"),
    "pipe": ("a.csv", "user_id|item_id\nu|i\n", {}, "row 1 seems to be separated by '|', not by commas or tabs"),
    "colons": ("a.dat", "user_id::item_id\nu::i\n", {}, "a.dat ends with .dat: save it as .csv or .tsv"),
    "text": ("a.txt", "user_id,item_id\nu,i\n", {}, "a.txt ends with .txt: save it as .csv or .tsv"),
    "packed": ("a.csv.gz", "x", {}, "a.csv.gz is compressed: unpack it first"),
    "no header": ("a.csv", "U019,B00048X,1,1500157960\nU020,B00048X,1,1500157961\n", {}, "row 1 looks like data. Write the names of the columns above it"),
    "part": ("train.json", '{"0": [1]}', {}, "train.json may belong to a split data set, but its validation and test parts are missing"),
    "pickled": ("trnMat.pkl", "x", {}, "trnMat.pkl may belong to a split data set"),
}  # fmt: skip


@pytest.mark.parametrize("case", LACKING)
def test_what_is_lacking_is_said(case: str, tmp_path: Path) -> None:
    name, text, given, words = LACKING[case]
    (tmp_path / name).write_text(text)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(BenchError) as caught:
            load_place(path, columns=Columns(**given))
        assert words in str(caught.value)
        assert str(caught.value).endswith("See datasets/README.md, or name the format with --format.")
        assert len(str(caught.value)) < 400 + len(str(path))  # not the needs of every layout


@pytest.mark.parametrize("case", ["text", "packed", "colons", "column"])
def test_the_same_where_the_layout_is_named(case: str, tmp_path: Path) -> None:
    name, text, given, words = LACKING[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load_place(tmp_path / name, "table", Columns(**given))
    assert (words if case != "column" else "a column of item ids") in str(caught.value)


def test_the_first_row_of_a_table_without_header_is_not_lost(tmp_path: Path) -> None:
    name, text, _, _ = LACKING["no header"]
    (tmp_path / name).write_text(text)
    for columns in (Columns("U019", "B00048X"), Columns("U019", "B00048X", "1500157960")):
        with pytest.raises(DataError, match=r"row 1 looks like data.*the first interaction would be lost"):
            load_place(tmp_path, columns=columns)
