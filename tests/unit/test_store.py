"""Files are there whole or not at all, and what is read is what was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.array_cache import ArrayCache
from bench.errors import ResultsError
from bench.files import write_atomically, write_text
from bench.protocol import Protocol
from bench.record_files import Damaged, RecordFile, read_record
from bench.records import RunRecord, RunSpec
from bench.store import ResultsStore
from bench.types import TopK


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_text(path, "old")

    def half(temporary: Path) -> None:
        temporary.write_text("new", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        write_atomically(path, half)
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def record_values() -> dict[str, Any]:
    spec = {
        "dataset": "toy", "model": "mf", "variant": "", "repetition": 0, "base_seed": 1, "max_epochs": 2,
        "params": {"reg_weight": 1 / 3, "names": ["a"], "flag": True},
    }  # fmt: skip
    data = {
        "name": "toy", "source": "surrogate", "origin": "test", "scale": 0.1, "split": "random",
        "data_hash": "d", "split_hash": "s", "n_users": 1, "n_items": 2, "n_interactions": 3, "n_train": 1,
        "n_valid": 1, "n_test": 1, "modalities": [], "missing": {}, "notes": [], "advice": "",
    }  # fmt: skip
    protocol = {
        "version": "1", "hide_at_test": "train+valid", "patience": 10, "cutoffs": [10],
        "selection_metric": "recall@10", "topk_depth": 50,
    }  # fmt: skip
    return {
        "key": "abc", "status": "failed", "spec": spec, "data": data, "protocol": protocol, "code_hash": "c",
        "seeds": {"init": 2**62 + 1}, "command": "x", "started": "now", "environment": {"cores": 2},
    }  # fmt: skip


def test_record_survives_a_round_trip_exactly(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    record = RunRecord.model_validate(record_values())
    path = store.record_path("abc", Protocol(), "toy", "surrogate", record.spec)
    store.write_record(path, record)
    assert store.read(path) == record
    assert list(store.records()) == [record]
    assert path.relative_to(tmp_path).as_posix() == "runs/p2-field/toy-surrogate/mf/abc.json"
    assert json.loads(path.read_text(encoding="utf-8"))["spec"]["params"]["reg_weight"] == 1 / 3


def test_trials_lie_apart_from_reported_runs(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    record = RunRecord.model_validate(record_values())
    trial = record.spec.model_copy(update={"stage": "tuning"})
    path = store.record_path("abc", Protocol(), "toy", "surrogate", trial)
    store.write_record(path, record)
    assert path.relative_to(tmp_path).as_posix() == "trials/p2-field/toy-surrogate/mf/abc.json"
    assert list(store.records()) == []


def test_a_record_that_was_changed_by_hand_is_damaged(tmp_path: Path) -> None:
    store, path = ResultsStore(tmp_path), tmp_path / "runs" / "abc.json"
    store.write_record(path, RunRecord.model_validate(record_values()))
    text = path.read_text(encoding="utf-8")
    for before, after in (
        ('"cores": 2', '"cores": 4'),
        ('"n_items": 2', '"n_items": 3'),
        ("0.333333", "0.333334"),
    ):
        assert text.count(before) == 1
        path.write_text(text.replace(before, after), encoding="utf-8")
        found = store.read(path)
        assert isinstance(found, Damaged), before
        assert "content hash" in found.problem
    path.write_text(json.dumps(json.loads(text)), encoding="utf-8")  # other blanks, the same content
    assert isinstance(store.read(path), RunRecord)


def test_a_record_of_an_earlier_version_has_no_hash_and_is_read(tmp_path: Path) -> None:
    store, path = ResultsStore(tmp_path), tmp_path / "runs" / "abc.json"
    record = RunRecord.model_validate(record_values())
    store.write_record(path, record)
    hashed = read_record(path)
    assert isinstance(hashed, RecordFile)
    assert hashed.is_hashed
    values = json.loads(path.read_text(encoding="utf-8"))
    assert list(values)[-1] == "content_hash"
    del values["content_hash"], values["lists_hash"]
    path.write_text(json.dumps(values), encoding="utf-8")
    earlier = read_record(path)
    assert isinstance(earlier, RecordFile)
    assert (earlier.record, earlier.is_hashed) == (record, False)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": NaN}', b'{"key": "abc"}', b"\xff\xfe"])
def test_a_damaged_record_is_recognised_and_kept_beside_the_new_one(tmp_path: Path, content: bytes) -> None:
    store = ResultsStore(tmp_path)
    path = store.record_path("abc", Protocol(), "toy", "surrogate", RunSpec(**record_values()["spec"]))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = store.read(path)
    assert isinstance(found, Damaged)
    assert found.problem
    store.write_record(path, RunRecord.model_validate(record_values()))
    assert isinstance(store.read(path), RunRecord)
    assert path.with_suffix(".damaged").read_bytes() == content


def test_unwritable_directory_is_found_before_anything_runs(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("", encoding="utf-8")
    with pytest.raises(ResultsError, match="--results-dir"):
        ResultsStore(blocker / "results").check_writable()


def test_lists_and_checkpoint_are_readable_without_pickle(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    topk = TopK(np.array([1, 2]), np.array([[3, 4], [5, -1]]), 7)
    written = store.write_topk("k", topk, {"recall@10": np.array([0.1, 1 / 3])})
    read = store.read_topk("k")
    assert read is not None
    assert read.content_hash == written
    read.per_user["recall@10"][0] += 1e-15
    assert read.content_hash != written
    with np.load(tmp_path / "topk" / "k.npz", allow_pickle=False) as arrays:
        assert arrays["items"].tolist() == [[3, 4], [5, -1]]
        assert arrays["metric:recall@10"].tolist() == [0.1, 1 / 3]
    shared = torch.arange(6.0)
    store.write_checkpoint("k", {"a": shared, "b": shared}, {"model": "mf"})
    assert torch.equal(load_file(tmp_path / "checkpoints" / "k.safetensors")["b"], shared)


def test_array_cache_computes_once_and_repairs_a_damaged_file(tmp_path: Path) -> None:
    cache, calls = ArrayCache(tmp_path / "graphs"), []

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        assert cache("key/with:odd letters", compute)["x"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    (file,) = (tmp_path / "graphs").iterdir()
    file.write_bytes(file.read_bytes()[:10])
    assert cache("key/with:odd letters", compute)["x"].tolist() == [0, 1, 2]
    assert len(calls) == 2
