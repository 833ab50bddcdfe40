"""Imports: what is written and pinned, names that are taken, versions that are refused, and nothing half-done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
import yaml

from bench.core.errors import ConfigError, DataError, ResultsError, UsageError
from bench.data import cards, importing
from bench.data.detect import load_place, suggested_name
from bench.data.inspecting import inspect
from bench.data.load import describe_source
from bench.data.pins import git_blob

TIKTOK = cards.DATASETS / "tiktok.yaml"


def test_the_card_pins_what_was_written(tmp_path: Path, home: Any) -> None:
    data, _ = home.take(examples.make("recbole", tmp_path / "given"), "mine")
    card = cards.load("mine", home.cards_dir)
    (source,) = card.sources
    copy = home.cache_dir / "imported" / "mine"
    assert {file.path: file.git_blob for file in source.files} == {
        name: git_blob(copy / name) for name in ("interactions.parquet", "users.parquet", "items.parquet")
    }
    assert {name: (f.dim, f.git_blob) for name, f in source.features.items()} == {
        name: (dim, git_blob(copy / f"{name}.npy")) for name, dim in (("visual", 4), ("textual", 3))
    }
    assert source.expected.model_dump(exclude_none=True) == {
        "n_users": 6, "n_items": 9, "n_interactions": len(examples.PAIRS),
        "n_train": examples.PART.count(0), "n_valid": examples.PART.count(1), "n_test": examples.PART.count(2),
    }  # fmt: skip
    assert (card.modalities, card.split, data.source) == (["visual", "textual"], "shipped", "real")
    assert "mine: REAL DATA" in describe_source(data)
    assert data.notes[0] == "Every row is a positive, whatever its 'rating' (always 4)."


@pytest.mark.parametrize("file", ["interactions.parquet", "users.parquet", "visual.npy"])
def test_a_copy_that_was_changed_is_refused(file: str, tmp_path: Path, home: Any) -> None:
    home.take(examples.make("csv", tmp_path / "given"), "mine")
    copy = home.cache_dir / "imported" / "mine"
    other = home.take(examples.make("tsv", tmp_path / "other"), "other")
    assert other
    shutil.copy(home.cache_dir / "imported" / "other" / file, copy / file)
    if file == "visual.npy":
        np.save(copy / file, examples.TEXTUAL)
    with pytest.raises(DataError) as caught:
        home.load("mine")
    assert f"{file}, checksum (git blob id)" in str(caught.value)
    assert git_blob(copy / file) in str(caught.value)
    assert file != "visual.npy" or "visual.npy, columns" in str(caught.value)


def test_every_difference_is_in_the_table(tmp_path: Path, home: Any) -> None:
    home.take(examples.make("mmrec", tmp_path / "given"), "mine")
    path = home.cards_dir / "mine.yaml"
    content = yaml.safe_load(path.read_text())
    content["sources"][0]["expected"].update(n_users=7, n_items=9, n_train=1)
    content["sources"][0]["features"]["textual"]["dim"] = 4
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError) as caught:
        home.load("mine")
    rows = [line.split() for line in str(caught.value).splitlines()[3:]]
    n_train = str(examples.PART.count(0))
    assert rows == [["textual.npy,", "columns", "4", "3"], ["n_users", "7", "6"], ["n_train", "1", n_train]]


def test_exchanged_parts_are_said(tmp_path: Path, home: Any) -> None:
    folder = examples.make("lattice", tmp_path / "given")
    (folder / "val.json").write_text('{"0": [7]}')
    home.take(folder, "mine")
    (folder / "val.json").rename(folder / "tmp")
    (folder / "test.json").rename(folder / "val.json")
    (folder / "tmp").rename(folder / "test.json")
    told = inspect(folder, home.cards_dir).text
    assert "mine (real): another version of it. The validation and test parts are exchanged" in told
    shutil.rmtree(home.cache_dir / "imported" / "mine")
    home.take(folder, "swapped")
    (home.cache_dir / "imported" / "swapped").rename(home.cache_dir / "imported" / "mine")
    with pytest.raises(DataError, match="The validation and test parts are exchanged: the card has 1 and 6 "):
        home.load("mine")


def test_taken_names(tmp_path: Path, home: Any) -> None:
    folder = examples.make("csv", tmp_path / "given")
    shutil.copy(TIKTOK, home.cards_dir)
    for force in (False, True):  # a card that no import made is never replaced
        with pytest.raises(UsageError, match=r"'tiktok' belongs to.*--name tiktok-6"):
            home.take(folder, "tiktok", force=force)
    assert (home.cards_dir / "tiktok.yaml").read_text() == TIKTOK.read_text()
    home.take(folder, "tiktok-6")
    with pytest.raises(UsageError, match=r"'tiktok-6' exists already.*--name tiktok-6-9.*--force"):
        home.take(folder, "tiktok-6")
    before = home.files()
    home.take(folder, "tiktok-6", force=True)
    assert home.files() == before
    (home.cards_dir / "tiktok-6.yaml").unlink()
    with pytest.raises(UsageError, match="exists already, without a card"):
        home.take(folder, "tiktok-6")
    assert suggested_name("TikTok Videos", load_place(folder).raw, home.cards_dir) == "tiktok-6"
    assert suggested_name("Clothing", load_place(folder).raw, home.cards_dir) == "clothing"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Upper", ".hidden", "x" * 99])
def test_names_that_are_none(name: str, tmp_path: Path, home: Any) -> None:
    with pytest.raises(UsageError, match="is not a valid data set name"):
        home.take(examples.make("csv", tmp_path / "given"), name)
    assert home.files() == set()


def test_overlapping_parts_and_too_little_data(tmp_path: Path, home: Any) -> None:
    folder = examples.make("lattice", tmp_path / "given")
    shutil.copy(folder / "val.json", folder / "test.json")
    assert any(
        "both in the validation and in the test part" in one for one in inspect(folder, home.cards_dir).problems
    )
    with pytest.raises(DataError, match=f"{folder}: .*both in the validation and in the test part"):
        home.take(folder, "mine")
    (tmp_path / "t.csv").write_text("user,item\na,x\nb,y\n")
    with pytest.raises(DataError, match=r"t\.csv: The validation part of the split 'random' is empty"):
        home.take(tmp_path / "t.csv", "mine")
    assert home.files() == set()


def test_a_failure_leaves_nothing(tmp_path: Path, home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = examples.make("csv", tmp_path / "given")
    home.take(folder, "mine")
    before = {path: git_blob(Path(path)) for path in home.files() if Path(path).is_file()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for module, function in ((importing.normalised, "write"), (importing, "card_text"), (importing, "write_text")):
        monkeypatch.setattr(module, function, full)
        for name in ("mine", "another"):
            with pytest.raises(ResultsError, match="No space left on device"):
                home.take(folder, name, force=True)
        assert {path: git_blob(Path(path)) for path in home.files() if Path(path).is_file()} == before
        assert not (home.cache_dir / "imported" / "another").exists()
        monkeypatch.undo()
    left = home.cache_dir / "imported" / ".mine.0123.part"
    left.mkdir()
    home.take(folder, "mine", force=True)  # what a killed import left is swept away
    assert not left.exists()


def test_paths_of_a_card_cannot_leave(tmp_path: Path, home: Any) -> None:
    home.take(examples.make("csv", tmp_path / "given"), "mine")
    path = home.cards_dir / "mine.yaml"
    for old in ("directory: imported/mine", "path: users.parquet", "path: visual.npy"):
        key = old.partition(":")[0]
        text = path.read_text()
        path.write_text(text.replace(old, f"{key}: ../../etc/passwd"))
        with pytest.raises(ConfigError, match="stays inside the data directory"):
            home.load("mine")
        path.write_text(text)


def test_the_public_tiktok(real_data_dir: Path, tmp_path: Path, home: Any) -> None:
    shutil.copy(TIKTOK, home.cards_dir)
    found = inspect(real_data_dir / "tiktok", home.cards_dir)
    assert found.problems == ()
    assert "tiktok (real): all counts of its card fit, and the checksums of 5 files" in found.text
    assert f"ludp-bench run --datasets tiktok --data-dir {real_data_dir.resolve()}" in found.text
    data, _ = home.take(real_data_dir / "tiktok", "tiktok-9308")
    assert (data.n_users, data.n_items, data.n_interactions) == (9308, 6710, 68722)


def test_another_tiktok(tmp_path: Path, home: Any) -> None:
    """It is told what differs from the card of that name, and offered a name of its own."""
    shutil.copy(TIKTOK, home.cards_dir)
    told = inspect(examples.make("pickled-coo", tmp_path / "TikTok"), home.cards_dir).text
    assert "tiktok (real): another version of it." in told
    assert ["n_users", "9,308", "6"] in [line.split() for line in told.splitlines()]
    assert "--name tiktok-6 && ludp-bench run --datasets tiktok-6" in told
    assert (
        "none of the data cards describes this"
        in inspect(examples.make("lattice", tmp_path / "other"), home.cards_dir).text
    )


def test_content_without_interactions(real_data_dir: Path) -> None:
    found = inspect(real_data_dir / "ml-100k", cards.DATASETS)
    assert "no interactions, but content that the data set movielens (embedded) uses: " in found.text
    assert "image_feat.npy, audio_feat.npy, text_feat.npy" in found.text
    assert "--datasets movielens --source embedded --data-dir" in found.text


def test_a_malformed_card_prevents_no_inspection_of_other_data(tmp_path: Path, home: Any) -> None:
    """Nor of a folder that a sound card describes, with or without interactions."""
    folder = examples.make("lattice", tmp_path / "given")
    home.take(folder, "mine")
    before = inspect(folder, home.cards_dir)
    bad = {"aaa": "name: aaa\n\tbad", "odd": "name: odd\nsources: 3\n", "zzz": "name: mine\n"}
    for name, text in bad.items():
        (home.cards_dir / f"{name}.yaml").write_text(text)
    (home.cards_dir / "link.yaml").symlink_to("gone.yaml")
    found = inspect(folder, home.cards_dir)
    added = [text for label, text in found.lines if (label, text) not in before.lines]
    assert (found.problems, [line for line in before.lines if line not in found.lines]) == ((), [])
    for text, name in zip(added, sorted([*bad, "link"]), strict=True):
        assert text.startswith("left out, since it is malformed: ")
        assert str(home.cards_dir / f"{name}.yaml") in text
        assert "\n" not in text
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no interactions in a known format"):
        inspect(tmp_path / "empty", home.cards_dir)
