"""Files are there whole or not at all, and what is read is what was written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boards import records_in
from safetensors.torch import load_file
from toy import random_data

from bench.core.errors import DataError, ResultsError
from bench.core.files import write_atomically, write_text
from bench.core.protocol import Protocol
from bench.core.types import Metrics, MetricsByPart, TopK
from bench.engine.evaluate import means
from bench.runs import cache
from bench.runs.cache import ArrayCache, open_shared, publish
from bench.runs.list_files import StoredLists
from bench.runs.record_files import Damaged, RecordFile, read_record, run_key, seeds_of
from bench.runs.records import DataFacts, ProtocolFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore


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
        "data_hash": "d", "split_hash": "s", "n_users": 1, "n_items": 5, "n_interactions": 3, "n_train": 1,
        "n_valid": 1, "n_test": 1, "modalities": [], "missing": {}, "notes": [], "advice": "",
    }  # fmt: skip
    protocol = ProtocolFacts.of(Protocol()).model_dump()
    key = run_key(RunSpec(**spec), DataFacts(**data), Protocol(), "c")
    return {
        "key": key, "status": "failed", "spec": spec, "data": data, "protocol": protocol, "code_hash": "c",
        "seeds": seeds_of(RunSpec(**spec)), "command": "x", "started": "now", "environment": {"cores": 2},
        "error": {"kind": "NotFinite", "message": "The loss is nan."},
    }  # fmt: skip


def place(store: ResultsStore) -> Path:
    """Where the record of `record_values` lies."""
    values = record_values()
    return store.record_path(values["key"], Protocol(), "toy", "surrogate", RunSpec(**values["spec"]))


def test_record_survives_a_round_trip_exactly(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    record = RunRecord.model_validate(record_values())
    path = place(store)
    store.write_record(path, record)
    assert store.read(path) == record
    assert records_in(store.root) == [record]
    assert path.relative_to(tmp_path).as_posix() == f"runs/{Protocol().tag}/toy-surrogate/mf/{record.key}.json"
    assert json.loads(path.read_text(encoding="utf-8"))["spec"]["params"]["reg_weight"] == 1 / 3


def test_trials_lie_apart_from_reported_runs(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    record = RunRecord.model_validate(record_values())
    trial = record.spec.model_copy(update={"stage": "tuning"})
    path = store.record_path("abc", Protocol(), "toy", "surrogate", trial)
    write_text(path, "{}")
    assert path.relative_to(tmp_path).as_posix() == f"trials/{Protocol().tag}/toy-surrogate/mf/abc.json"
    assert records_in(store.root) == []


def test_a_record_that_was_changed_by_hand_is_damaged(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    path = place(store)
    store.write_record(path, RunRecord.model_validate(record_values()))
    text = path.read_text(encoding="utf-8")
    for before, after in (
        ('"cores": 2', '"cores": 4'),
        ('"n_items": 5', '"n_items": 6'),
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
    store = ResultsStore(tmp_path)
    path = place(store)
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
    path = place(store)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = store.read(path)
    assert isinstance(found, Damaged)
    assert found.problem
    store.write_record(path, RunRecord.model_validate(record_values()))
    assert isinstance(store.read(path), RunRecord)
    assert path.with_suffix(".damaged").read_bytes() == content


def test_a_second_damaged_record_does_not_replace_the_first(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    path = place(store)
    path.parent.mkdir(parents=True)
    for content in ("first", "second", "third"):
        path.write_text(content, encoding="utf-8")
        store.write_record(path, RunRecord.model_validate(record_values()))
    aside = path.with_suffix(".damaged")
    kept = [aside, *(aside.with_name(f"{aside.name}.{number}") for number in (2, 3))]
    assert [each.read_text(encoding="utf-8") for each in kept] == ["first", "second", "third"]


def test_unwritable_directory_is_found_before_anything_runs(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("", encoding="utf-8")
    with pytest.raises(ResultsError, match="--results-dir"):
        ResultsStore(blocker / "results").check_writable()


def test_lists_and_checkpoint_are_readable_without_pickle(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    topk = TopK(np.array([1, 2]), np.array([[3, 4], [5, -1]]), 7)
    users = {"recall@10": np.array([0.1, 1 / 3])}
    written = store.write_topk("k", topk, users)
    part = Metrics(values=means(users), n_users=2, n_skipped=7)
    values = record_values() | {"key": "k", "metrics": MetricsByPart(valid=part, test=part), "lists_hash": written}
    values["data"] = values["data"] | {"n_users": 9, "n_items": 6}
    values["protocol"] = values["protocol"] | {"topk_depth": 2}
    read = store.read_lists(RunRecord.model_validate(values))
    assert isinstance(read, StoredLists)
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
    cache, calls = ArrayCache(tmp_path / "graphs", "code"), []

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


def test_other_code_or_flipped_bits_compute_the_lists_again(tmp_path: Path) -> None:
    def compute(value: float) -> Any:
        return lambda: {"cosines": np.full(4, value)}

    folder = tmp_path / "graphs"
    assert ArrayCache(folder, "one")("key", compute(1.0))["cosines"][0] == 1.0
    assert ArrayCache(folder, "other")("key", compute(2.0))["cosines"][0] == 2.0
    assert ArrayCache(folder, "one")("key", compute(3.0))["cosines"][0] == 1.0
    (file,) = (path for path in folder.iterdir() if "code-one" in path.name)
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x80  # the sign of the last cosine
    file.write_bytes(content)
    assert ArrayCache(folder, "one")("key", compute(4.0))["cosines"].tolist() == [4.0] * 4
    (other,) = (path for path in folder.iterdir() if "code-other" in path.name)
    file.write_bytes(other.read_bytes())  # whole, and of another key
    assert ArrayCache(folder, "one")("key", compute(5.0))["cosines"][0] == 5.0
    file.unlink()
    os.mkfifo(file)
    assert ArrayCache(folder, "one")("key", compute(6.0))["cosines"][0] == 6.0
    assert not file.is_fifo()


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("models/layers/neighbours.py", "SPARE = 16", "SPARE = 17"),
        ("models/layers/features.py", "return", "return None or"),
        ("bench/core/topk.py", "return values, indices.gather", "return None or values, indices.gather"),
    ],
)
def test_the_hash_of_the_lists_code_follows_what_they_are_made_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, before: str, after: str
) -> None:
    root = Path(cache.__file__).resolve().parents[2]
    for folder in ("bench", "models"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "bench" / "runs" / "cache.py"))
    monkeypatch.setattr(cache, "shared_folder", lambda: tmp_path / "models")
    first = cache.neighbour_code_hash.__wrapped__()
    path = tmp_path / file
    text = path.read_text(encoding="utf-8")
    place = text.rindex(before)
    path.write_text(text[:place] + after + text[place + len(before) :], encoding="utf-8")
    assert cache.neighbour_code_hash.__wrapped__() != first


def test_a_shared_array_that_was_changed_is_refused(tmp_path: Path) -> None:
    data = random_data(n_users=20)
    shared = publish(data, tmp_path)
    file = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    open_shared.cache_clear()
    with pytest.raises(DataError, match="does not match the hash in its name"):
        open_shared(shared)
    publish(data, tmp_path)  # writes it anew
    assert open_shared(shared).n_users == 20
