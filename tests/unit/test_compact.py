"""Compact copies of results: users' scores in place of lists are checked like lists and give the same tests."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import add_run, facts_of

from bench.cli.main import main
from bench.core.errors import ResultsError
from bench.core.hashing import hash_array
from bench.core.protocol import Protocol, metric_key
from bench.report.comparisons import read_user_scores
from bench.report.material import Material
from bench.report.paper import load_paper
from bench.runs import list_files, score_files
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord
from bench.runs.store import Contradicted, ResultsStore, lists_path, scores_path

ROWS = {"mf": 0.3, "lightgcn": 0.35, "ease": 0.6}


def submit(sources: list[Path], target: Path, *options: str, code: int = 0) -> None:
    assert main(["submit", *map(str, sources), "--to", str(target), *options]) == code


def names(root: Path) -> set[str]:
    return {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}


def tables(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / "leaderboard.json").read_text(encoding="utf-8"))["tables"]
    return found


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Three rows of three seeds with lists, a trial, and the parameters of a run."""
    root = tmp_path / "full"
    records = [add_run(root, label, seed, skill) for label, skill in ROWS.items() for seed in range(3)]
    add_run(root, "mf", stage="tuning")
    ResultsStore(root).write_checkpoint(records[0].key, {}, {})
    (root / "checkpoints" / f"{records[0].key}.json").unlink()
    return root


@pytest.fixture
def compact(tmp_path: Path, full: Path) -> Path:
    target = tmp_path / "compact"
    submit([full], target, "--compact")
    return target


def test_a_compact_copy_has_the_leaderboard_of_the_whole_and_no_lists(
    tmp_path: Path, full: Path, compact: Path
) -> None:
    assert names(compact) == {
        "runs",
        "trials",
        "scores",
        *(f"leaderboard.{form}" for form in ("md", "csv", "html", "json")),
    }
    assert len(list((compact / "scores").iterdir())) == 9
    submit([full], tmp_path / "whole", "--unsigned")
    assert names(tmp_path / "whole") - names(compact) == {"topk", "checkpoints"}
    assert tables(compact) == tables(tmp_path / "whole")
    (table,) = tables(compact)
    assert [row["rank"] for row in table["rows"]] == [1, 2, 3]
    assert all(row["against_best"] for row in table["rows"][1:])


def test_compact_copies_are_submitted_on_and_stay_the_same(tmp_path: Path, compact: Path) -> None:
    for name, options in (("again", ("--compact",)), ("copied", ())):
        target = tmp_path / name
        submit([compact], target, *options)
        assert {path.name: path.read_bytes() for path in (target / "scores").iterdir()} == {
            path.name: path.read_bytes() for path in (compact / "scores").iterdir()
        }
        assert tables(target) == tables(compact)


def test_tests_between_rows_need_scores_alone(full: Path, compact: Path) -> None:
    records = [add_run(full, label, seed, skill) for label, skill in ROWS.items() for seed in range(3)]
    metrics = [metric_key("recall", 20), metric_key("ndcg", 10)]
    found = [
        read_user_scores(
            Material({}, list(ROWS), records, 3, load_paper(), ResultsStore(root)),
            records[0].data,
            list(ROWS),
            metrics,
        )
        for root in (full, compact)
    ]
    for metric in metrics:
        assert np.array_equal(found[0].scores[metric], found[1].scores[metric])
    material = Material({}, list(ROWS), records, 3, load_paper(), ResultsStore(compact))
    with pytest.raises(ResultsError, match=r"lists of the run .* compact copy.*--on-existing rerun"):
        material.lists(records[0])


def test_lists_come_first_and_scores_stand_in_for_unusable_ones(full: Path, compact: Path) -> None:
    record, store = add_run(full, "mf", 0, 0.3), ResultsStore(full)
    path = scores_path(full, record.key)
    path.parent.mkdir()
    path.write_bytes(b"not read")
    assert not isinstance(store.read_scores(record), Damaged)
    path.write_bytes(scores_path(compact, record.key).read_bytes())
    lists_path(full, record.key).write_bytes(b"of an earlier copy")
    assert isinstance(store.read_lists(record), Damaged)
    assert not isinstance(store.read_scores(record), Damaged)


def test_files_that_belong_to_no_finished_run_stay_behind(tmp_path: Path, full: Path) -> None:
    failed = add_run(full, "acf", 2, status="failed")
    for seed in range(2):
        add_run(full, "acf", seed)
    for key in (failed.key, add_run(full, "mf", 0, 0.3).key):
        for path in (lists_path(full, key), scores_path(full, key)):
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                path.write_bytes(b"left by another run")
    submit([full], tmp_path / "to", "--unsigned", "--seeds", "2")
    assert not (tmp_path / "to" / "scores").exists()
    assert not lists_path(tmp_path / "to", failed.key).exists()


def test_lists_are_added_to_a_compact_copy(tmp_path: Path, full: Path, compact: Path) -> None:
    submit([compact, full], tmp_path / "both", "--unsigned")
    submit([full], compact, "--unsigned")
    for root in (tmp_path / "both", compact):
        assert len(list((root / "topk").iterdir())) == 9


def test_nothing_else_is_copied_with_the_scores(tmp_path: Path, compact: Path) -> None:
    path = next((compact / "scores").iterdir())
    before = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("items.npy", bytes(10**6))
    submit([compact], tmp_path / "again", "--compact")
    assert (tmp_path / "again" / "scores" / path.name).read_bytes() == before


def test_the_metric_that_selects_is_kept(tmp_path: Path) -> None:
    protocol = replace(Protocol(), selection_metric="ndcg@50")
    record = add_run(tmp_path, "mf", protocol=protocol)
    assert "ndcg@50" in score_files.kept_metrics(record)
    assert "ndcg@50" not in score_files.kept_metrics(add_run(tmp_path, "mf"))


def member(content: bytes, name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """Change a member of a zip file, or remove it by None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            changed = change(old.read(each)) if each == name else old.read(each)
            if changed is not None:
                new.writestr(each, changed)
    return out.getvalue()


def array(values: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def header(text: str) -> bytes:
    """The beginning of an array file with a header that is not an array's."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def bomb(content: bytes, name: str) -> bytes:
    """Compress a member by a method that zipfile unpacks without a limit."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each), zipfile.ZIP_BZIP2 if each == name else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def with_hashes(**changes: str) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


RECALL = np.linspace(0, 1, 60)
FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "another score": lambda file: member(file, "metric:recall@10.npy", lambda _: array(RECALL)),
    "another score and its hash": lambda file: member(
        member(file, "metric:recall@10.npy", lambda _: array(RECALL)),
        score_files.HASHES,
        with_hashes(**{"recall@10": hash_array(RECALL)}),
    ),
    "other lists": lambda file: member(file, score_files.HASHES, with_hashes(items="0" * 16)),
    "an unknown array": lambda file: member(file, score_files.HASHES, with_hashes(more="0" * 16)),
    "no hashes": lambda file: member(file, score_files.HASHES, lambda _: None),
    "hashes that are none": lambda file: member(file, score_files.HASHES, lambda _: b"[]"),
    "hashes without an end": lambda file: member(file, score_files.HASHES, lambda _: b"[" * 2**17),
    "hashes that are no texts": lambda file: member(file, score_files.HASHES, lambda _: b'{"items": NaN}'),
    "a bomb": lambda file: bomb(file, "users.npy"),
    "a bomb of hashes": lambda file: bomb(file, score_files.HASHES),
    "a header of no type": lambda file: member(file, "users.npy", lambda _: header("{'descr': (), }")),
    "a header without an end": lambda file: member(file, "users.npy", lambda _: header("{'descr': (")),
    "a header of no names": lambda file: member(file, "users.npy", lambda _: header("{1: 2, 'b': 3}")),
    "no users": lambda file: member(file, "users.npy", lambda _: None),
    "nothing": lambda file: b"",
    "half of it": lambda file: file[: len(file) // 2],
}


@pytest.mark.parametrize("name", FORGERIES)
def test_scores_that_are_not_the_runs_are_refused(tmp_path: Path, compact: Path, name: str) -> None:
    record = add_run(tmp_path / "other", "mf", 0, 0.3)
    path, store = scores_path(compact, record.key), ResultsStore(compact)
    assert not isinstance(store.read_scores(record), Damaged)
    path.write_bytes(FORGERIES[name](path.read_bytes()))
    assert isinstance(store.read_scores(record), Damaged)
    submit([compact], tmp_path / "to", code=2)
    assert not (tmp_path / "to").exists()


def test_scores_of_another_run_are_refused(compact: Path, full: Path) -> None:
    first, second = (add_run(full, "mf", seed, 0.3) for seed in (0, 1))
    path = scores_path(compact, first.key)
    path.write_bytes(scores_path(compact, second.key).read_bytes())
    assert isinstance(ResultsStore(compact).read_scores(first), Damaged)


def test_a_missing_score_is_refused_by_submit(
    tmp_path: Path, compact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((compact / "scores").iterdir())
    path.write_bytes(member(path.read_bytes(), "metric:ndcg@10.npy", lambda _: None))
    submit([compact], tmp_path / "to", code=2)
    assert "ndcg@10 of every user is missing" in capsys.readouterr().err


def test_a_mean_that_the_scores_contradict_is_found(compact: Path, full: Path) -> None:
    record = add_run(full, "mf", 0, 0.3)
    assert record.metrics is not None
    test = record.metrics.test
    better = test.model_copy(update={"values": test.values | {"recall@10": test.values["recall@10"] + 0.001}})
    changed = record.model_copy(update={"metrics": record.metrics.model_copy(update={"test": better})})
    assert isinstance(ResultsStore(compact).read_scores(changed), Contradicted)


def test_records_of_earlier_versions_cannot_do_without_lists(
    tmp_path: Path, full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record: RunRecord = add_run(full, "mf", 0, 0.3)
    lists = ResultsStore(full).read_lists(record)
    assert isinstance(lists, list_files.StoredLists)
    content = score_files.to_bytes(lists.scores, lists.array_hashes, record)
    with pytest.raises(list_files.UnfitListsError, match="no hash of its lists"):
        score_files.from_bytes(content, record.model_copy(update={"lists_hash": None}))
    add_run(tmp_path / "old", "mf", 0, 0.3, lists_hash=None)
    submit([tmp_path / "old"], tmp_path / "to", "--compact", code=2)
    assert "leave out --compact" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()
    submit([tmp_path / "old"], tmp_path / "to")


def test_runs_of_other_data_stay_apart(tmp_path: Path) -> None:
    for name in ("tiktok", "movielens"):
        for seed in range(3):
            add_run(tmp_path / name, "mf", seed, facts=facts_of(name))
        submit([tmp_path / name], tmp_path / "board", "--compact")
    assert [table["data"]["name"] for table in tables(tmp_path / "board")] == ["movielens", "tiktok"]
