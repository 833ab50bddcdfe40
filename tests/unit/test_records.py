"""A record is what its key, seeds, place and other fields say, wherever it is read."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import add_run, facts_of, record_file

from bench.core.files import FREE_BYTES, UnfitFileError, read_regular
from bench.core.hashing import derive_seed, hash_in_full
from bench.core.protocol import Protocol
from bench.report.leaderboard.rows import read_results
from bench.runs.list_files import StoredLists
from bench.runs.record_files import Damaged, RecordFile, read_record, run_key
from bench.runs.records import RunRecord
from bench.runs.store import Contradicted, ResultsStore

Change = Callable[[dict[str, Any]], Any]


def forged(path: Path, change: Change) -> None:
    """Change a record and compute its key and hash anew, as one who knows how."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("content_hash")
    change(values)
    path.write_text(json.dumps({**values, "content_hash": hash_in_full(values)}), encoding="utf-8")


def at(values: dict[str, Any], *names: str | int) -> Any:
    found: Any = values
    for name in names:
        found = found[name]
    return found


FORGERIES: dict[str, tuple[Change, str]] = {
    "no test metrics": (lambda v: at(v, "metrics", "test", "values").clear(), "lack"),
    "one metric less": (lambda v: at(v, "metrics", "test", "values").pop("ndcg@20"), "lack ndcg@20"),
    "a metric more": (lambda v: at(v, "metrics", "test", "values").update({"recall@99": 0.1}), "should not have"),
    "above 1": (lambda v: at(v, "metrics", "test", "values").update({"recall@10": 1.5}), "recall@10 = 1.5"),
    "valid is not the curve's": (
        lambda v: at(v, "metrics", "valid", "values").update({"recall@10": 0.99}),
        "not those of epoch 4",
    ),
    "another best epoch": (lambda v: v.update(best_epoch=2), "by the curve's recall@20 it is 4"),
    "negative seconds": (lambda v: at(v, "cost").update(train_seconds=-5.0), "train_seconds"),
    "other seconds": (lambda v: at(v, "cost").update(train_seconds=0.1), "add up to"),
    "other epochs": (lambda v: at(v, "cost").update(epochs=3), "3 epochs"),
    "more users than there are": (lambda v: at(v, "metrics", "test").update(n_users=9308), "9308 users"),
    "counts that do not add up": (lambda v: at(v, "data").update(n_train=9999), "parts of"),
    "real data with a scale": (lambda v: at(v, "data").update(scale=0.1), "has a scale"),
    "other cut-offs": (lambda v: at(v, "protocol").update(cutoffs=[5, 10]), "cut-offs"),
    "epochs in another order": (lambda v: at(v, "curve").reverse(), "numbered from 1"),
    "more epochs than allowed": (lambda v: at(v, "spec").update(max_epochs=2), "key"),
    "other seeds": (lambda v: at(v, "seeds").update(init=1), "seeds are not those of seed 1"),
    "another schema": (lambda v: v.update(schema_version=99), "schema_version is 99"),
    "git as a text": (lambda v: at(v, "environment").update(git="abc"), "environment.git"),
    "commit as a number": (lambda v: at(v, "environment", "git").update(commit=7), "environment.git.commit"),
    "finished with an error": (lambda v: v.update(error={"kind": "x", "message": "y"}), "error of a failed run"),
    "failed with results": (lambda v: v.update(status="failed"), "failed without an error"),
    "a number as text": (lambda v: at(v, "data").update(n_users="60"), "data.n_users"),
    "a lone half of a character": (lambda v: v.update(command="\ud800"), "surrogates not allowed"),
    "a key of another run": (lambda v: at(v, "spec").update(base_seed=7), "its key is not the key of"),
    "an unknown field": (lambda v: v.update(more=1), "more"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_record_that_contradicts_itself_is_damaged(tmp_path: Path, name: str) -> None:
    change, word = FORGERIES[name]
    path = record_file(tmp_path, add_run(tmp_path, "mf"))
    forged(path, change)
    found = read_record(path)
    assert isinstance(found, Damaged), name
    assert word in found.problem
    assert found.problem.isprintable()


def test_a_record_as_it_was_written_is_read(tmp_path: Path) -> None:
    record = add_run(tmp_path, "mf", stage="tuning")
    found = read_record(record_file(tmp_path, record))
    assert isinstance(found, RecordFile)
    assert found.record == record


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"1",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"key": NaN}',
            b'{"key": 1e999}',
        ),
        b'{"key": "a", "key": "b"}',
    ],
)
def test_what_is_no_record_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k.json"
    path.write_bytes(content)
    assert isinstance(read_record(path), Damaged)


def test_another_runs_record_is_not_taken_for_the_run_whose_place_it_has(tmp_path: Path) -> None:
    mf = record_file(tmp_path, add_run(tmp_path, "mf"))
    popularity = record_file(tmp_path, add_run(tmp_path, "popularity", skill=0.9))
    whole = mf.read_bytes()
    shutil.copy(popularity, mf)  # its own key inside
    found = ResultsStore(tmp_path).read(mf)
    assert isinstance(found, Damaged)
    assert popularity.stem in found.problem
    forged(mf, lambda values: values.update(key=mf.stem))  # the key of the place
    found = ResultsStore(tmp_path).read(mf)
    assert isinstance(found, Damaged)
    assert "its key is not the key of" in found.problem
    mf.write_bytes(whole)
    elsewhere = {
        "another model": tmp_path / "runs" / mf.parts[-4] / mf.parts[-3] / "lightgcn",
        "another data set": tmp_path / "runs" / mf.parts[-4] / "movielens-real" / "mf",
        "another source": tmp_path / "runs" / mf.parts[-4] / "tiktok-embedded" / "mf",
        "another protocol": tmp_path / "runs" / f"{mf.parts[-4]}-hide-train" / mf.parts[-3] / "mf",
        "another stage": tmp_path / "trials" / mf.parts[-4] / mf.parts[-3] / "mf",
    }
    for what, folder in elsewhere.items():
        folder.mkdir(parents=True, exist_ok=True)
        moved = folder / mf.name
        shutil.copy(mf, moved)
        found = ResultsStore(tmp_path).read(moved)
        assert isinstance(found, Damaged), what
        assert "that belongs at" in found.problem


def test_a_foreign_record_is_kept_beside_the_one_that_is_written(tmp_path: Path) -> None:
    record = add_run(tmp_path, "mf")
    path = record_file(tmp_path, record)
    other = record_file(tmp_path, add_run(tmp_path, "popularity")).read_bytes()
    path.write_bytes(other)
    store = ResultsStore(tmp_path)
    store.write_record(path, record)
    assert path.with_suffix(".damaged").read_bytes() == other
    assert store.read(path) == record


def test_repetitions_need_the_seeds_of_their_repetition(tmp_path: Path) -> None:
    path = record_file(tmp_path, add_run(tmp_path, "mf"))

    def second(values: dict[str, Any]) -> None:
        values["spec"]["repetition"] = 1
        record = RunRecord.model_validate(values)
        values["key"] = run_key(record.spec, record.data, Protocol(), record.code_hash)

    forged(path, second)
    moved = path.with_name(f"{json.loads(path.read_text(encoding='utf-8'))['key']}.json")
    path.rename(moved)
    found = read_record(moved)
    assert isinstance(found, Damaged)
    assert "its seeds are not those of seed 2" in found.problem

    def derived(values: dict[str, Any]) -> None:
        where = (2023, "tiktok", "mf", 1)
        values["seeds"] = {purpose: derive_seed(*where, purpose) for purpose in ("init", "triples", "model")}

    forged(moved, derived)
    assert isinstance(read_record(moved), RecordFile)


@pytest.mark.parametrize(
    "kind", ["pipe", "socket", "folder", "link to nothing", "link to itself", "device", "large"]
)
def test_what_is_not_a_file_is_said_at_once(tmp_path: Path, kind: str) -> None:
    record = add_run(tmp_path, "mf")
    path = record_file(tmp_path, record).with_name("entry.json")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        short = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(short))
        short.rename(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to(tmp_path / "nothing" if kind == "link to nothing" else path)
    with pytest.raises(UnfitFileError):
        read_regular(path, 2**20)
    found = read_results(tmp_path)
    assert [file.record.key for file in found.runs] == [record.key]
    assert [each.path for each in found.damaged] == [path]


def test_a_file_of_holes_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "holes.json"
    with path.open("wb") as file:
        file.write(b"{}")
        file.truncate(2**27)
    with pytest.raises(UnfitFileError, match="holes that were never written"):
        read_regular(path)
    path.write_bytes(b" " * (FREE_BYTES + 1))
    assert len(read_regular(path)) == FREE_BYTES + 1


LISTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "fewer users": lambda a: a.update(users=a["users"][:-1]),
    "users twice": lambda a: a.update(users=np.zeros_like(a["users"])),
    "unknown users": lambda a: a.update(users=a["users"] + 10**6),
    "texts": lambda a: a.update({"metric:recall@10": np.full(60, "x")}),
    "dates": lambda a: a.update({"metric:recall@10": np.zeros(60, dtype="datetime64[s]")}),
    "not a number": lambda a: a.update({"metric:recall@10": np.full(60, math.nan)}),
    "lists of one dimension": lambda a: a.update(items=a["items"].ravel()),
    "unknown items": lambda a: a.update(items=a["items"] + 10**6),
    "no users": lambda a: a.pop("users"),
    "changed": lambda a: a.update(items=a["items"][:, ::-1]),
}


def test_a_metric_that_selects_and_is_none_is_refused(tmp_path: Path) -> None:
    record = add_run(tmp_path, "mf", status="failed", protocol=replace(Protocol(), selection_metric="x"))
    found = read_record(record_file(tmp_path, record))
    assert isinstance(found, Damaged)
    assert "selection metric is 'x'" in found.problem


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_are_not_the_runs_are_refused(tmp_path: Path, name: str) -> None:
    record, store = add_run(tmp_path, "mf"), ResultsStore(tmp_path)
    assert isinstance(store.read_lists(record), StoredLists)
    path = tmp_path / "topk" / f"{record.key}.npz"
    with np.load(path) as file:
        arrays = {each: file[each] for each in file.files}
    LISTS[name](arrays)
    np.savez(path, **arrays)
    assert isinstance(store.read_lists(record), Damaged)
    assert (
        isinstance(store.read_lists(record.model_copy(update={"lists_hash": None})), Damaged) or name == "changed"
    )


@pytest.mark.parametrize("kind", ["empty", "npy", "encrypted", "unknown compression", "claims", "bomb", "pipe"])
def test_archives_that_are_none_or_claim_too_much_are_refused_without_memory(tmp_path: Path, kind: str) -> None:
    record, store = add_run(tmp_path, "mf"), ResultsStore(tmp_path)
    path = tmp_path / "topk" / f"{record.key}.npz"
    whole = path.read_bytes()
    huge = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
    huge += header.ljust(117).encode() + b"\n" + bytes(64)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    elif kind in ("claims", "bomb"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("users.npy", huge + bytes(2**24 if kind == "bomb" else 0))
    else:
        changed = bytearray(whole if kind != "empty" else b"")
        for start in (place for place in range(len(changed)) if changed[place : place + 4] == b"PK\x01\x02"):
            changed[start + 8 : start + 12] = b"\x01\x00\x08\x00" if kind == "encrypted" else b"\x00\x00\x63\x00"
        path.write_bytes(bytes(changed))
    found = store.read_lists(record)
    assert isinstance(found, Damaged)
    assert found.problem


def test_a_mean_that_its_own_users_contradict_is_found(tmp_path: Path) -> None:
    record = add_run(tmp_path, "mf")

    def better(values: dict[str, Any]) -> None:
        values["metrics"]["test"]["values"]["recall@10"] += 0.001

    path = record_file(tmp_path, record)
    forged(path, better)
    changed = read_record(path)
    assert isinstance(changed, RecordFile)
    assert isinstance(ResultsStore(tmp_path).read_lists(changed.record), Contradicted)


def test_real_facts_stay_as_they_are() -> None:
    assert facts_of().without_paths() == facts_of()
