"""`ludp-bench submit`: what is refused and why, and that what is taken is what the runs left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import add_run, environment, facts_of, record_file

from bench.cli.main import main
from bench.core.errors import ResultsError
from bench.core.hashing import hash_bytes, hash_in_full
from bench.core.protocol import Protocol
from bench.runs.record_files import to_text

Submit = Callable[..., str]


@pytest.fixture
def submit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Submit:
    """Submit directories below `tmp_path`; the output, or the one paragraph that says why not."""

    def call(*arguments: str, code: int = 0) -> str:
        given = [part if part.startswith("-") or part.isdigit() else str(tmp_path / part) for part in arguments]
        assert main(["submit", *given, "--to", str(tmp_path / "to")]) == code, capsys.readouterr()
        out, err = capsys.readouterr()
        if code:
            assert err.startswith("error: ")
            assert len(err.strip().splitlines()) == 1
        return err if code else out

    return call


def files(root: Path) -> dict[str, bytes]:
    """All files but the leaderboard's."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.stem != "leaderboard")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def rewrite(path: Path, change: Callable[[dict[str, Any]], None], with_hash: bool = True) -> None:
    """Change a record and, as one who knows how, its hash."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("content_hash", None)
    change(values)
    path.write_text(json.dumps(values | ({"content_hash": hash_in_full(values)} if with_hash else {})), "utf-8")


def test_results_of_two_machines_become_one_directory(tmp_path: Path, submit: Submit) -> None:
    for n in (0, 1):
        add_run(tmp_path / "a", "mf", n)
    other = environment(processor="Another CPU")
    for n in (1, 2):  # seed 2 was made by both
        add_run(tmp_path / "b", "mf", n, environment=other, started="later")
    add_run(tmp_path / "b", "mf", stage="tuning")
    (tmp_path / "b" / "checkpoints").mkdir()
    covered = {"checkpoint_hash": hash_bytes(b"parameters")}
    key = record_file(tmp_path / "b", add_run(tmp_path / "b", "mf", 2, **covered)).stem
    (tmp_path / "b" / "checkpoints" / f"{key}.safetensors").write_bytes(b"parameters")
    (tmp_path / "b" / "checkpoints" / "other.safetensors").write_bytes(b"of nobody")
    out = submit("a", "b")
    assert "3 runs and 1 trials submitted" in out
    expected = files(tmp_path / "b") | files(tmp_path / "a")  # the first directory's record of seed 2
    del expected["checkpoints/other.safetensors"]
    assert files(tmp_path / "to") == expected
    (table,) = json.loads((tmp_path / "to" / "leaderboard.json").read_text(encoding="utf-8"))["tables"]
    assert [(row["n_runs"], row["is_complete"]) for row in table["rows"]] == [(3, True)]
    assert table["rows"][0]["tuning"]["n_trials"] == 1
    assert "0 runs and 0 trials submitted" in submit("a")
    assert files(tmp_path / "to") == expected


def test_seeds_may_come_one_machine_at_a_time(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf", 0)
    add_run(tmp_path / "b", "mf", 1)
    assert "no finished run for seed 1 of 2" in submit("b", code=2)
    submit("a")
    submit("b")
    assert len(files(tmp_path / "to")) == 4


def test_other_numbers_of_the_same_run_are_refused_with_both_machines(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf", 0)
    assert record.metrics is not None
    ours = record.metrics.test.values["precision@5"]
    add_run(tmp_path / "b", "mf", 0, skill=0.9, environment=environment(processor="Another CPU"))
    error = submit("a", "b", code=2)
    for part in (
        record.key,
        "test precision@5",
        repr(ours),
        "Some CPU, 2 threads",
        "Another CPU, 2 threads",
        "seed 1",
    ):
        assert part in error
    assert not (tmp_path / "to").exists()
    submit("a")
    before = files(tmp_path / "to")
    assert "test precision@5" in submit("b", code=2)
    assert files(tmp_path / "to") == before


def test_a_difference_in_the_last_digit_of_a_loss_is_one(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf", 0)
    path = record_file(tmp_path / "b", add_run(tmp_path / "b", "mf", 0))
    rewrite(path, lambda values: values["curve"][0].update(loss=0.5000000000000001))
    assert "loss of epoch 1" in submit("a", "b", code=2)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_row_without_all_its_seeds_is_refused(tmp_path: Path, submit: Submit, missing: int) -> None:
    for n in range(3):
        add_run(tmp_path / "a", "mf", n)
        if n != missing:
            add_run(tmp_path / "a", "lightgcn", n)
    error = submit("a", code=2)
    assert f"lightgcn on tiktok [real, random split]: no finished run for seed {missing + 1} of 3" in error
    assert "mf on" not in error
    if missing:
        submit("a", "--seeds", "1")


def test_more_seeds_can_be_asked_for(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf", 0)
    assert "no finished runs for seed 2, 3 of 3" in submit("a", "--seeds", "3", code=2)
    assert "a whole number from 1" in submit("a", "--seeds", "0", code=2)


def test_a_failed_run_is_refused_and_gives_way_to_a_finished_one(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf", 0, status="failed")
    assert "(1 failed)" in submit("a", code=2)
    finished = add_run(tmp_path / "b", "mf", 0)
    submit("a", "b")
    kept = record_file(tmp_path / "to", finished)
    assert json.loads(kept.read_text(encoding="utf-8"))["status"] == "finished"
    submit("a")


def test_an_edited_record_is_refused_by_name(tmp_path: Path, submit: Submit) -> None:
    path = record_file(tmp_path / "a", add_run(tmp_path / "a", "mf"))
    path.write_text(path.read_text(encoding="utf-8").replace('"epochs": 4', '"epochs": 3'), encoding="utf-8")
    error = submit("a", code=2)
    assert str(path) in error
    assert "content hash" in error
    assert not (tmp_path / "to").exists()


def test_means_that_are_not_those_of_the_users_are_refused(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf")
    assert record.metrics is not None

    def better(values: dict[str, Any]) -> None:
        values["metrics"]["test"]["values"]["recall@10"] += 0.001

    rewrite(record_file(tmp_path / "a", record), better)
    error = submit("a", code=2)
    assert (
        f"{record.key}.npz: the mean recall@10 of its users is {record.metrics.test.values['recall@10']!r}"
        in error
    )


def test_lists_that_are_missing_changed_or_cut_are_refused(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf")
    path = tmp_path / "a" / "topk" / f"{record.key}.npz"
    whole, arrays = path.read_bytes(), dict(np.load(path))
    path.write_bytes(whole[:100])
    assert "it is damaged" in submit("a", code=2)
    path.unlink()
    assert "it is missing" in submit("a", code=2)
    np.savez(path, **(arrays | {"items": arrays["items"][:, ::-1]}))
    assert "changed after the run" in submit("a", code=2)
    rewrite(record_file(tmp_path / "a", record), lambda values: values.update(lists_hash=None))
    np.savez(path, **{name: array[:-1] for name, array in arrays.items()})
    assert "its users have the shape (59,), but the record says (60,)" in submit("a", code=2)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "metric:ndcg@20"})
    assert "ndcg@20 of every user is missing" in submit("a", code=2)
    np.savez(path, **arrays)  # compressed otherwise, the same arrays
    submit("a")


def test_a_record_of_an_earlier_version_needs_a_word(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf")

    def earlier(values: dict[str, Any]) -> None:
        del values["lists_hash"]

    rewrite(record_file(tmp_path / "a", record), earlier, with_hash=False)
    assert "no content hash" in submit("a", code=2)
    submit("a", "--unsigned")
    add_run(tmp_path / "b", "mf")  # the same run by the present version
    submit("b")


def test_a_spec_that_is_not_what_the_key_says_is_refused(tmp_path: Path, submit: Submit) -> None:
    path = record_file(tmp_path / "a", add_run(tmp_path / "a", "mf"))
    rewrite(path, lambda values: values["spec"]["params"].update(reg_weight=0.7), with_hash=False)
    assert "its key is not the key of" in submit("a", "--unsigned", code=2)


def test_a_record_under_another_folder_is_refused_with_its_own_place(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf", facts=facts_of("movielens"))
    path = record_file(tmp_path / "a", record)
    path.rename(tmp_path / "a" / "runs" / path.name)
    assert f"{Protocol().tag}/movielens-real/mf/{record.key}.json" in submit("a", code=2)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("name", ["../../outside", "ABSOLUTE", "a/b"])
def test_a_record_cannot_be_written_outside_of_the_target(tmp_path: Path, submit: Submit, name: str) -> None:
    add_run(tmp_path / "a", "mf", facts=facts_of())
    path = next((tmp_path / "a" / "runs").rglob("*.json"))
    name = name.replace("ABSOLUTE", str(tmp_path / "outside"))
    rewrite(path, lambda values: values["data"].update(name=name))  # the key does not hold the card's name
    assert "cannot be the name of a folder" in submit("a", code=2)


def test_damage_in_the_target_is_not_written_over(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf")
    path = record_file(tmp_path / "to", add_run(tmp_path / "to", "mf"))
    path.write_text("{", encoding="utf-8")
    assert str(path) in submit("a", code=2)
    assert path.read_text(encoding="utf-8") == "{"


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf")
    (tmp_path / "to").write_text("a file", encoding="utf-8")
    assert "cannot be written" in submit("a", code=2)


def test_many_problems_are_told_shortly(tmp_path: Path, submit: Submit) -> None:
    for n in range(7):
        record = add_run(tmp_path / "a", "mf", n)
        (tmp_path / "a" / "topk" / f"{record.key}.npz").unlink()
    assert "and 2 more. Make what is missing" in submit("a", code=2)


def test_directories_that_are_none_or_the_same(tmp_path: Path, submit: Submit) -> None:
    assert "There is no directory" in submit("a", code=2)
    (tmp_path / "a").mkdir()
    assert "no result record in" in submit("a", code=2)
    add_run(tmp_path / "a", "mf")
    assert "given twice" in submit("a", "a", code=2)
    (tmp_path / "to").mkdir()
    assert "given twice" in submit("a", "to", code=2)


@pytest.mark.parametrize("name", ["checkpoints/KEY.json", "checkpoints/KEY.safetensors", "topk/KEY.npz", "RECORD"])
def test_a_link_to_a_file_elsewhere_is_not_followed(tmp_path: Path, submit: Submit, name: str) -> None:
    record = add_run(tmp_path / "a", "mf")
    path = record_file(tmp_path / "a", record)
    secret = tmp_path / "id_rsa"
    place = path if name == "RECORD" else tmp_path / "a" / name.replace("KEY", record.key)
    secret.write_bytes(place.read_bytes() if place.exists() else b"private")
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(secret)
    error = submit("a", code=2)
    assert str(secret) in error
    assert "outside of the directory" in error
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("name", ["checkpoints/KEY.json", "topk/KEY.npz", "RECORD"])
def test_a_link_that_leads_back_to_itself_is_told(tmp_path: Path, submit: Submit, name: str) -> None:
    record = add_run(tmp_path / "a", "mf")
    path = record_file(tmp_path / "a", record)
    place = path if name == "RECORD" else tmp_path / "a" / name.replace("KEY", record.key)
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(place.name)
    error = submit("a", code=2)
    assert str(place) in error
    assert "leads back to itself" in error


def test_a_folder_that_is_a_link_to_elsewhere_is_not_followed(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf")
    (tmp_path / "a" / "topk").rename(tmp_path / "elsewhere")
    (tmp_path / "a" / "topk").symlink_to(tmp_path / "elsewhere")
    assert "outside of the directory" in submit("a", code=2)


def test_parameters_must_be_those_of_the_record(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf", checkpoint_hash=hash_bytes(b"parameters"))
    path = tmp_path / "a" / "checkpoints" / f"{record.key}.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"others")
    assert "its hash is not the one" in submit("a", code=2)
    path.write_bytes(b"parameters")
    path.with_suffix(".json").write_text('{"key": "other"}', encoding="utf-8")
    assert "does not name the run" in submit("a", code=2)
    path.with_suffix(".json").write_text(
        json.dumps({"key": record.key, "spec": record.spec.model_dump()}), encoding="utf-8"
    )
    submit("a")
    assert (tmp_path / "to" / "checkpoints" / path.name).read_bytes() == b"parameters"


def test_parameters_that_no_hash_covers_stay_behind(tmp_path: Path, submit: Submit) -> None:
    record = add_run(tmp_path / "a", "mf")
    path = tmp_path / "a" / "checkpoints" / f"{record.key}.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"anything")
    assert "1 parameter files were not copied" in submit("a")
    assert not (tmp_path / "to" / "checkpoints").exists()


@pytest.mark.parametrize("with_seeds", [False, True])
def test_one_run_as_ten_repetitions_is_refused(tmp_path: Path, submit: Submit, with_seeds: bool) -> None:
    first, *others = (add_run(tmp_path / "a", "mf", n) for n in range(10))
    own = ("metrics", "lists_hash", "curve", "cost", *(() if with_seeds else ("seeds",)))
    for record in others:
        copied = record.model_copy(update={name: getattr(first, name) for name in own})
        record_file(tmp_path / "a", record).write_text(to_text(copied), encoding="utf-8")
        lists = tmp_path / "a" / "topk"
        (lists / f"{record.key}.npz").write_bytes((lists / f"{first.key}.npz").read_bytes())
    error = submit("a", code=2)
    assert ("one run is given as two" if with_seeds else "its seeds are not those of seed") in error
    assert not (tmp_path / "to").exists()


def test_controls_give_the_same_whatever_the_seed(tmp_path: Path, submit: Submit) -> None:
    for n in range(2):
        record = add_run(tmp_path / "a", "popularity", n)
        if n == 0:
            first = record
        curve = [each.model_copy(update={"loss": None}) for each in first.curve]
        update = {"metrics": first.metrics, "lists_hash": first.lists_hash, "curve": curve, "cost": first.cost}
        path = record_file(tmp_path / "a", record)
        path.write_text(to_text(record.model_copy(update=update)), encoding="utf-8")
        lists = tmp_path / "a" / "topk"
        (lists / f"{record.key}.npz").write_bytes((lists / f"{first.key}.npz").read_bytes())
    submit("a")


def test_a_repetition_in_the_millions_is_refused_at_once(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf", 20_000_000)
    assert "no finished runs for seed 1, 2, 3, 4, 5 and more of 20000001" in submit("a", code=2)


def test_nothing_is_copied_unless_the_leaderboard_can_be_built(
    tmp_path: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ResultsError("It cannot be built.")

    add_run(tmp_path / "a", "mf")
    monkeypatch.setattr("bench.report.leaderboard.submit.build", broken)
    assert "It cannot be built." in submit("a", code=2)
    assert not (tmp_path / "to").exists()


def test_an_odd_entry_in_the_target_is_said(tmp_path: Path, submit: Submit) -> None:
    add_run(tmp_path / "a", "mf")
    (tmp_path / "to" / "runs").mkdir(parents=True)
    os.mkfifo(tmp_path / "to" / "runs" / "pipe.json")
    assert "pipe.json: it is a named pipe, and a file is expected there" in submit("a", code=2)
