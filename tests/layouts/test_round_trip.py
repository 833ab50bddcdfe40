"""Import, export and import again: the same data, whatever the layout; and RecBole itself loads an export."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest

from bench.core.errors import ResultsError, UsageError
from bench.core.types import BenchmarkData
from bench.data.columns import as_texts
from bench.data.exporting import export
from bench.engine.recbole import shielded


def assert_equal(one: tuple[BenchmarkData, Any], two: tuple[BenchmarkData, Any]) -> None:
    """The same hashes, times, original ids and features."""
    (data, raw), (again, raw_again) = one, two
    assert (again.data_hash, again.split_hash) == (data.data_hash, data.split_hash)
    for part in ("train", "valid", "test"):
        times, times_again = data.split.part(part).timestamps, again.split.part(part).timestamps
        assert (times is None) == (times_again is None)
        assert times is None or np.array_equal(times, times_again)
    for name, count in (("user_ids", data.n_users), ("item_ids", data.n_items)):
        texts = [as_texts(getattr(each, name), count) for each in (raw, raw_again)]
        assert list(texts[0]) == list(texts[1])
    for modality, other in zip(data.modalities, again.modalities, strict=True):
        assert modality.name == other.name
        assert np.array_equal(modality.matrix, other.matrix)
        assert np.array_equal(modality.present, other.present)


@pytest.mark.parametrize("layout", ["recbole", "mmrec"])
@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_import_export_import(name: str, layout: str, tmp_path: Path, home: Any) -> None:
    first = home.take(examples.make(name, tmp_path / "given"), "tiny")
    data, raw = first
    whole = not raw.has_parts
    folder = export(data, raw, layout, tmp_path / "out", whole=whole)
    assert_equal(first, home.take(folder, "tiny", force=True))
    assert_equal(first, home.take(home.cache_dir / "imported" / "tiny", "tiny", force=True))


@pytest.mark.parametrize("name", ["csv", "tsv", "parquet"])
def test_the_split_travels(name: str, tmp_path: Path, home: Any) -> None:
    """Exported with the random split, the parts come back as shipped ones."""
    data, raw = home.take(examples.make(name, tmp_path / "given"), "tiny")
    for layout in ("recbole", "mmrec"):
        again, _ = home.take(export(data, raw, layout, tmp_path / layout), "again", force=True)
        assert again.split.name == "shipped"
        assert again.data_hash == data.data_hash
        for part in ("train", "valid", "test"):
            assert np.array_equal(again.split.part(part).keys, data.split.part(part).keys)


def test_dtypes_are_kept_and_presence_too(tmp_path: Path, home: Any) -> None:
    data, _ = home.take(examples.make("csv", tmp_path / "given"), "tiny")
    copy = home.cache_dir / "imported" / "tiny"
    assert np.load(copy / "visual.npy").dtype == np.float16
    assert np.load(copy / "textual.npy").dtype == np.float32
    assert data.modalities[0].present.sum() == examples.ITEMS - 1


@pytest.mark.parametrize("name", ["pickled-coo", "csv"])
def test_recbole_loads_the_export(name: str, tmp_path: Path, home: Any) -> None:
    from recbole.config import Config
    from recbole.data import data_preparation
    from recbole.data.dataset import Dataset

    data, raw = home.take(examples.make(name, tmp_path / "given"), "tiny")
    folder = export(data, raw, "recbole", tmp_path / "out")
    settings = {"data_path": str(tmp_path / "out"), "checkpoint_dir": str(tmp_path / "saved"), "use_gpu": False,
                "state": "ERROR", "eval_args": {"order": "RO", "mode": "full"}}  # fmt: skip
    with shielded():
        config = Config("BPR", "tiny", config_file_list=[str(folder / "tiny.yaml")], config_dict=settings)
        dataset = Dataset(config)
        train, valid, test = data_preparation(config, dataset)
    assert (dataset.user_num - 1, dataset.item_num - 1) == (data.n_users, data.n_items)
    users, items = as_texts(raw.user_ids, data.n_users), as_texts(raw.item_ids, data.n_items)
    for loader, part in ((train, data.split.train), (valid, data.split.valid), (test, data.split.test)):
        pairs = loader.dataset.inter_feat
        theirs = set(
            zip(
                dataset.id2token("user_id", pairs["user_id"].numpy()),
                dataset.id2token("item_id", pairs["item_id"].numpy()),
                strict=True,
            )
        )
        assert theirs == set(zip(users[part.users], items[part.items], strict=True))
    index = {text: position for position, text in enumerate(items)}
    order = [index[token] for token in dataset.id2token("item_id", np.arange(1, dataset.item_num))]
    for modality in data.modalities:
        features = dataset.item_feat[modality.name].numpy()[1:]
        assert np.array_equal(features, modality.matrix[order])


def test_ids_that_a_table_cannot_hold(tmp_path: Path, home: Any) -> None:
    folder = examples.make("csv", tmp_path / "given")
    text = (folder / "ratings.csv").read_text().replace("user-f", "NA")
    (folder / "ratings.csv").write_text(text)
    data, raw = home.take(folder, "tiny")
    with pytest.raises(UsageError, match="'NA' cannot be written"):
        export(data, raw, "recbole", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_place_that_is_taken(tmp_path: Path, home: Any) -> None:
    data, raw = home.take(examples.make("lattice", tmp_path / "given"), "tiny")
    folder = export(data, raw, "mmrec", tmp_path / "out")
    (folder / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="exists already"):
        export(data, raw, "mmrec", tmp_path / "out")
    assert (folder / "mine.txt").exists()
    export(data, raw, "mmrec", tmp_path / "out", force=True)
    assert not (folder / "mine.txt").exists()
    with pytest.raises(UsageError, match="Did you mean 'mmrec'"):
        export(data, raw, "mmreq", tmp_path / "out")


def test_an_export_that_cannot_be_moved_to_its_place_leaves_the_old_one(
    tmp_path: Path, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, raw = home.take(examples.make("csv", tmp_path / "given"), "tiny")
    folder = export(data, raw, "mmrec", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".part" and ".old" not in self.suffixes:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing)
        with pytest.raises(ResultsError, match=r"tiny cannot be written \(Input/output error\)"):
            export(data, raw, "csv", tmp_path / "out", force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]
    export(data, raw, "csv", tmp_path / "out", force=True)
    assert (folder / "train.csv").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]


def test_a_link_is_not_replaced(tmp_path: Path, home: Any) -> None:
    data, raw = home.take(examples.make("csv", tmp_path / "given"), "tiny")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tiny").symlink_to(tmp_path / "given")
    with pytest.raises(UsageError, match="is a link or a file, and --force replaces only folders"):
        export(data, raw, "csv", tmp_path / "out", force=True)
    assert (tmp_path / "given" / "ratings.csv").exists()
