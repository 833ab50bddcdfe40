"""`ludp-bench evaluate`: lists and scores of another program under our evaluator, their records and mistakes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boards
import numpy as np
import pandas as pd
import pytest
import torch
from toy import build_model, random_data

import bench
from bench.cli.api import words_of
from bench.cli.main import main
from bench.cli.options import overrides
from bench.core.errors import BenchError, DataError, ResultsError, UsageError
from bench.core.protocol import CUTOFFS, Protocol
from bench.core.types import BenchmarkData, TopK
from bench.data.raw import RawData
from bench.data.topk_files import frame_of_frame, frame_of_lists, read_recommendations
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import without_padding
from bench.report.leaderboard.build import refresh
from bench.report.scores import Scores
from bench.runs.foreign import check_lists, check_scores, evaluate_test, evaluate_valid, read_scores
from bench.runs.list_files import StoredLists
from bench.runs.record_checks import contradiction
from bench.runs.record_files import Damaged, RecordFile, read_record, to_text
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore

SMALL = ["--source", "surrogate", "--scale", "0.01"]
PROTOCOL = Protocol()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results directory with one trained model and one control, two seeds of each."""
    home = tmp_path_factory.mktemp("evaluate")
    command = ["run", "--datasets", "tiktok", *SMALL, "--epochs", "1", "--seeds", "2", "--workers", "1"]
    places = ["--results-dir", str(home / "results"), "--cache-dir", str(home / "cache")]
    assert main([*command, "--models", "mf", "popularity", "--artifacts", "table3", *places]) == 0
    assert main(["export", "tiktok", "--format", "csv", "--to", str(home), *SMALL]) == 0
    return home


def own_run(home: Path, model: str) -> tuple[RunRecord, StoredLists]:
    """The record and the stored lists of a model's first seed."""
    store = ResultsStore(home / "results")
    (record,) = [
        each for each in boards.records_in(store.root) if (each.spec.model, each.spec.repetition) == (model, 0)
    ]
    lists = store.read_lists(record)
    assert isinstance(lists, StoredLists)
    return record, lists


def rows_of(home: Path, lists: StoredLists) -> pd.DataFrame:
    """Stored lists as a table with the data set's own ids, as another program would write them."""
    users = pd.read_csv(home / "tiktok" / "users.csv", dtype=str)["user"].to_numpy()
    items = pd.read_csv(home / "tiktok" / "items.csv", dtype=str)["item"].to_numpy()
    rows = [
        (users[user], items[item], rank)
        for user, own in zip(lists.users, lists.items, strict=True)
        for rank, item in enumerate(own, start=1)
        if item >= 0
    ]
    return pd.DataFrame(rows, columns=["user", "item", "rank"]).sample(frac=1, random_state=1)


def evaluate(home: Path, results: Path, *words: str) -> int:
    places = ["--results-dir", str(results), "--cache-dir", str(home / "cache")]
    return main(["evaluate", "--datasets", "tiktok", *SMALL, "--epochs", "1", *places, *words])


def records(results: Path) -> list[RunRecord]:
    return boards.records_in(results)


def test_validation_lists_that_all_miss_say_why(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists for validation that leave out the validation items, as those for test do."""
    parts = {part: pd.read_csv(home / "tiktok" / f"{part}.csv", dtype=str) for part in ("train", "valid")}
    items = pd.read_csv(home / "tiktok" / "items.csv", dtype=str)["item"]
    both = pd.concat(parts.values()).groupby("user")["item"].agg(set)
    hint = "leave out the items of training alone"
    for left_out, is_said in ((both, True), (parts["train"].groupby("user")["item"].agg(set), False)):
        rows = [
            (user, item, rank)
            for user in parts["valid"]["user"].unique()
            for rank, item in enumerate([each for each in items if each not in left_out.get(user, ())], start=1)
        ]
        pd.DataFrame(rows, columns=["user", "item", "rank"]).to_csv(tmp_path / "lists.csv", index=False)
        assert evaluate(home, tmp_path, "--topk", str(tmp_path / "lists.csv"), "--part", "valid") == 0
        assert (hint in " ".join(capsys.readouterr().out.split())) == is_said


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl", "lines.jsonl"])
@pytest.mark.parametrize("model", ["mf", "popularity"])
def test_the_saved_lists_of_a_model_have_exactly_its_metrics(
    home: Path, tmp_path: Path, ending: str, model: str
) -> None:
    run, lists = own_run(home, model)
    rows, path = rows_of(home, lists), tmp_path / f"theirs.{ending}"
    if ending == "parquet":
        rows.to_parquet(path, index=False)
    elif ending == "jsonl":
        rows.to_json(path, orient="records", lines=True)
    elif ending == "lines.jsonl":
        own = rows.sort_values("rank").groupby("user")["item"]
        path.write_text("".join(json.dumps({"user": user, "items": list(each)}) + "\n" for user, each in own))
    else:
        rows.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    assert evaluate(home, tmp_path / "results", "--topk", str(path), "--name", "theirs") == 0
    (record,) = records(tmp_path / "results")
    assert run.metrics is not None
    assert record.metrics is not None
    assert record.metrics.test == run.metrics.test
    assert (record.lists_hash, record.data) == (run.lists_hash, run.data)


def test_scores_give_the_metrics_of_the_model_that_made_them() -> None:
    data = random_data()
    model = build_model("mf", data).eval()
    with torch.no_grad():
        matrix = without_padding(model.score_users(torch.arange(1, data.n_users + 1))).numpy()
    given = check_scores(matrix, data, raw_of(data))
    theirs, own = Evaluator(data, PROTOCOL, CPU).test(given.model), Evaluator(data, PROTOCOL, CPU).test(model)
    assert theirs.metrics == own.metrics
    assert np.array_equal(theirs.topk.items, own.topk.items)
    assert evaluate_valid(given, data, PROTOCOL).metrics == Evaluator(data, PROTOCOL, CPU).valid(model).metrics


def test_the_order_of_scores_in_a_table_counts_and_ties_go_to_the_lower_item(home: Path, tmp_path: Path) -> None:
    _, lists = own_run(home, "mf")
    rows = rows_of(home, lists)
    rows["score"] = -rows.pop("rank") // 4  # groups of four are tied
    rows.to_csv(tmp_path / "tied.csv", index=False)
    assert evaluate(home, tmp_path / "results", "--topk", str(tmp_path / "tied.csv")) == 0
    (record,) = records(tmp_path / "results")
    stored = ResultsStore(tmp_path / "results").read_lists(record)
    assert isinstance(stored, StoredLists)
    assert set(stored.items[0]) == set(lists.items[0])
    for start in range(0, 48, 4):
        assert list(stored.items[0][start : start + 4]) == sorted(lists.items[0][start : start + 4])
    assert record.foreign is not None
    assert "equal ranks or scores" in " ".join(record.foreign.notes)


def test_the_test_part_is_evaluated_once_for_each_name(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, path = tmp_path / "results", tmp_path / "mine.csv"
    _, lists = own_run(home, "mf")
    rows_of(home, lists).to_csv(path, index=False)
    assert (
        evaluate(home, results, "--topk", str(path), "--part", "valid") == 2
    )  # of the test part, so it fits badly
    assert not results.exists()
    assert evaluate(home, results, "--topk", str(path)) == 0
    stamp = next((results / "runs").rglob("*.json")).stat().st_mtime_ns
    capsys.readouterr()
    assert evaluate(home, results, "--topk", str(path)) == 0
    assert "evaluated before" in capsys.readouterr().out
    assert [each.stat().st_mtime_ns for each in (results / "runs").rglob("*.json")] == [stamp]

    _, others = own_run(home, "popularity")
    rows_of(home, others).to_csv(path, index=False)
    assert evaluate(home, results, "--topk", str(path)) == 2
    message = capsys.readouterr().err
    assert "choose settings with --part valid" in message
    assert len(records(results)) == 1
    assert evaluate(home, results, "--topk", str(path), "--name", "other") == 0
    assert len(records(results)) == 2


def test_an_earlier_result_is_found_without_ranking_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, store = random_data(), ResultsStore(tmp_path)
    matrix = np.random.default_rng(1).random((data.n_users, data.n_items))
    scores, lists = check_scores(matrix, data, raw_of(data)), check(good_lists(data), data)
    made = {name: evaluate_test(given, name, data, PROTOCOL, store)[0]
            for name, given in (("scores", scores), ("lists", lists))}  # fmt: skip
    monkeypatch.setattr(Evaluator, "test", None)
    for name, given, other in (("scores", scores, lists), ("lists", lists, scores)):
        assert evaluate_test(given, name, data, PROTOCOL, store) == (made[name], False)
        with pytest.raises(ResultsError, match="evaluated on the test part"):
            evaluate_test(other, name, data, PROTOCOL, store)


def test_the_test_part_is_for_one_result_under_all_protocols(tmp_path: Path) -> None:
    data, store = random_data(), ResultsStore(tmp_path)
    lists, others = check(good_lists(data), data), check(good_lists(data, 5), data)
    other = replace(PROTOCOL, patience=7)
    first, _ = evaluate_test(lists, "one", data, PROTOCOL, store)
    with pytest.raises(ResultsError, match=rf"evaluated on the test part.*{first.key}\.json"):
        evaluate_test(others, "one", data, other, store)
    again, is_new = evaluate_test(lists, "one", data, other, store)  # the same lists may stand beside other runs
    assert is_new
    assert again.metrics == first.metrics
    assert evaluate_test(lists, "one", data, other, store)[1] is False


def test_two_evaluations_of_one_name_at_once_are_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, rank = random_data(), Evaluator.test
    ranked = []

    def slowly(evaluator: Evaluator, model: Any) -> Any:
        ranked.append(model)
        time.sleep(0.5)  # in which the other would rank, too
        return rank(evaluator, model)

    monkeypatch.setattr(Evaluator, "test", slowly)
    given = [check(good_lists(data, depth), data) for depth in (50, 50, 5)]
    with ThreadPoolExecutor() as pool:  # a lock holds between threads as between processes
        calls = [pool.submit(evaluate_test, each, "one", data, PROTOCOL, ResultsStore(tmp_path)) for each in given]
    failed = [call for call in calls if isinstance(call.exception(), ResultsError)]
    assert len(ranked) == 1
    assert [call.result()[1] for call in calls if call not in failed].count(True) == 1
    assert len(failed) in (1, 2)  # those whose lists differ from the first one's
    assert len(records(tmp_path)) == 1
    assert list((tmp_path / "claims").iterdir()) == []


def test_another_program_stands_on_the_leaderboard_and_is_submitted(home: Path, tmp_path: Path) -> None:
    results, path = tmp_path / "results", tmp_path / "mine.csv"
    shutil.copytree(home / "results", results)
    run, lists = own_run(home, "mf")
    rows_of(home, lists).to_csv(path, index=False)
    assert evaluate(home, results, "--topk", str(path)) == 0
    (table,) = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))["tables"]
    rows = {row["model"]: row for row in table["rows"]}
    assert set(rows) == {"mf", "popularity", "lists:mine"}
    assert table["n_asked"] == 2  # the one result of another program does not shorten the rows of models
    mine = rows["lists:mine"]
    assert mine["is_complete"]
    assert mine["test"]["recall@10"]["mean"] == run.metrics.test.values["recall@10"]  # type: ignore[union-attr]
    assert set(mine["cost"].values()) == {None}
    assert mine["tuning"]["words"].startswith("lists of another program, mine.csv")
    assert "mine (another program)" in (results / "leaderboard.md").read_text(encoding="utf-8")
    assert main(["submit", str(results), "--to", str(tmp_path / "to")]) == 0
    assert {each.spec.model for each in records(tmp_path / "to")} == set(rows)


def test_a_result_that_can_be_compared_with_no_run_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, path = tmp_path / "results", tmp_path / "mine.csv"
    shutil.copytree(home / "results", results)
    _, lists = own_run(home, "mf")
    rows_of(home, lists).to_csv(path, index=False)
    assert evaluate(home, results, "--topk", str(path)) == 0
    assert "alone" not in capsys.readouterr().out
    assert evaluate(home, results, "--topk", str(path), "--protocol", "paper") == 0
    told = capsys.readouterr().out
    assert "alone in its table (tiktok [surrogate" in told
    assert told.count("random split], protocol p2-field-epochs1") == 1
    assert "--epochs, --patience" in told
    assert "protocol p2-paper-epochs1): results are compared on the same data, split and protocol only" in told
    assert "random split], protocol p2-field-epochs1. --datasets NAME@SPLIT, --protocol" in told
    alone = tmp_path / "fresh"
    assert evaluate(home, alone, "--topk", str(path)) == 0
    assert "alone" not in capsys.readouterr().out  # there is nothing that it could stand beside


def test_status_and_a_repeated_run_do_not_mistake_lists_for_a_model(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, path = tmp_path / "results", tmp_path / "mf.csv"  # named like a model
    _, lists = own_run(home, "popularity")
    rows_of(home, lists).to_csv(path, index=False)
    assert evaluate(home, results, "--topk", str(path)) == 0
    command = ["run", "--datasets", "tiktok", *SMALL, "--epochs", "1", "--models", "mf", "--workers", "1"]
    places = ["--results-dir", str(results), "--cache-dir", str(home / "cache")]
    capsys.readouterr()
    assert main([*command, "--artifacts", "table3", *places, "--status"]) == 0
    assert "missing" in capsys.readouterr().out
    assert main([*command, "--artifacts", "table3", *places]) == 0
    frame = bench.load_results(results).set_index("origin")
    assert list(frame.index) == ["lists of another program", "trained here"]
    assert list(frame["model"]) == ["mf", "mf"]
    assert frame["recall@10"].nunique() == 2
    assert pd.isna(frame["seed"].iloc[0])
    (trained,) = [each for each in records(results) if each.foreign is None]
    assert trained.command.startswith("ludp-bench run --datasets tiktok")  # as it was called
    assert pd.isna(frame["train_seconds"].iloc[0])


def raw_of(data: BenchmarkData) -> RawData:
    """Original ids that differ from the internal numbers."""
    users = np.array([f"u{n}" for n in range(data.n_users)], dtype=object)
    items = np.array([f"i{n}" for n in range(data.n_items)], dtype=object)
    return RawData("made here.", (data.split.train, data.split.valid, data.split.test), (), user_ids=users,
                   item_ids=items)  # fmt: skip


def good_lists(data: BenchmarkData, depth: int = 50) -> dict[str, list[str]]:
    """Lists that no rule is against: for every test user the first items that may be recommended."""
    hidden = Evaluator(data, PROTOCOL, CPU).hidden("test")
    return {
        f"u{user}": [
            f"i{item}" for item in range(data.n_items) if user * data.n_items + item not in set(hidden.keys)
        ][:depth]
        for user in np.unique(data.split.test.users)
    }


def check(lists: dict[str, list[str]], data: BenchmarkData, **options: Any) -> Any:
    return check_lists(frame_of_lists(lists), data, raw_of(data), PROTOCOL, **options)


def test_ranks_below_zero_are_refused() -> None:
    with pytest.raises(DataError, match=r"smallest rank is -2, .* name the column 'score'"):
        frame_of_frame(pd.DataFrame({"user": ["a"] * 3, "item": ["x", "y", "z"], "rank": [-2, -1, 0]}))


def drop(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    lists.pop(next(iter(lists)))


def repeat(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    lists[next(iter(lists))][1] = lists[next(iter(lists))][0]


def train_item(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    train = data.split.train
    user = next(user for user in lists if int(user[1:]) in set(train.users))
    lists[user][0] = f"i{train.items[train.users == int(user[1:])][0]}"


def valid_item(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    valid = data.split.valid
    user = next(user for user in lists if int(user[1:]) in set(valid.users))
    lists[user][0] = f"i{valid.items[valid.users == int(user[1:])][0]}"


def unknown_user(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    lists["stranger"] = ["i0"]


def unknown_item(lists: dict[str, list[str]], data: BenchmarkData) -> None:
    lists[next(iter(lists))][0] = "i-none"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop, ["have no list, for example 'u", "--empty-if-missing"]),
        (repeat, ["1 item stands twice in a list, for example 'i", "leave one of each out"]),
        (
            train_item,
            ["in the training part of their user, for example 'i", "for another split than toy [", "NAME@SPLIT"],
        ),
        (valid_item, ["in the validation part of their user, for example 'i"]),
        (unknown_user, ["1 of", "for example 'stranger'", "--ids internal"]),
        (unknown_item, ["1 of", "for example 'i-none'"]),
    ],
)
def test_every_mistake_is_told_with_an_example(
    spoil: Callable[[dict[str, list[str]], BenchmarkData], None], words: list[str]
) -> None:
    data = random_data()
    lists = good_lists(data)
    check(lists, data)
    spoil(lists, data)
    with pytest.raises(DataError) as problem:
        check(lists, data)
    for each in words:
        assert each in str(problem.value)


def test_all_mistakes_are_told_together() -> None:
    data = random_data()
    lists = good_lists(data)
    drop(lists, data)
    repeat(lists, data)
    with pytest.raises(DataError, match=r"stands twice.*have no list"):
        check(lists, data)


def test_short_lists_and_further_users_are_counted_as_they_are_and_told() -> None:
    whole = random_data()
    test = whole.split.test
    data = replace(whole, split=replace(whole.split, test=test.take(test.users != test.users[0])))
    lists, extra = good_lists(data, depth=7), test.users[0]
    lists[f"u{extra}"] = [f"i{test.items[0]}"]
    given = check(lists, data)
    notes = " ".join(given.notes)
    assert f"1 users have no test items and are not counted, for example 'u{extra}'" in notes
    for cutoff in CUTOFFS[1:]:
        assert f"fewer than {cutoff} items" in notes
    assert "fewer than 5 items" not in notes
    evaluated = Evaluator(data, PROTOCOL, CPU).test(given.model)
    at_7 = evaluated.per_user["recall@10"]
    assert np.array_equal(at_7, evaluated.per_user["recall@50"])
    assert np.allclose(evaluated.per_user["precision@10"] * 10, evaluated.per_user["precision@50"] * 50)


@pytest.mark.filterwarnings("error")
def test_infinite_scores_are_ties() -> None:
    data = random_data()
    lists = good_lists(data)
    rows = frame_of_lists(lists).assign(place=-np.inf)
    given = check_lists(rows, data, raw_of(data), PROTOCOL)
    assert "neighbours in the lists have equal ranks or scores" in " ".join(given.notes)


def test_users_without_a_list_count_as_zero_only_on_request(tmp_path: Path) -> None:
    data = random_data()
    lists = good_lists(data)
    first = next(iter(lists))
    lists.pop(first)
    given = check(lists, data, empty_if_missing=True)
    record, is_new = evaluate_test(given, "half", data, PROTOCOL, ResultsStore(tmp_path))
    assert is_new
    assert record.foreign is not None
    assert record.foreign.n_empty == 1
    stored = ResultsStore(tmp_path).read_lists(record)
    assert isinstance(stored, StoredLists)
    assert stored.per_user["recall@10"][stored.users == int(first[1:])] == 0
    assert record.metrics is not None
    assert record.metrics.test.n_users == len(lists) + 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda matrix: matrix.T, "It looks transposed"),
        (lambda matrix: np.pad(matrix, ((1, 0), (1, 0))), "RecBole's padding"),
        (lambda matrix: matrix[:, :-1], "needs"),
        (lambda matrix: matrix.astype(str), "scores are numbers"),
        (lambda matrix: np.where(matrix == matrix[2, 3], np.nan, matrix), "user 'u2' and item 'i3'"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(spoil: Callable[[Any], Any], words: str) -> None:
    data = random_data()
    matrix = np.arange(data.n_users * data.n_items, dtype=np.float32).reshape(data.n_users, data.n_items)
    with pytest.raises(DataError) as problem:
        check_scores(spoil(matrix), data, raw_of(data))
    assert words in str(problem.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "user,item\n1,2\n", "expected the columns user, item, and rank"),
        ("a.csv", "user,item,score\n1,2,nan\n", "no number, for example 'nan' of item '2' for user '1'"),
        ("a.csv", "user,item,rank\n1,2,first\n", "no number"),
        ("a.jsonl", '{"user": "1", "items": ["2"]}\n[1]\n', "line 2"),
        ("a.jsonl", '{"user": "1", "items": ["2"]}\n{"user": "1", "item": "2", "score": 1}\n', "Use one of them"),
        ("a.jsonl", f'{{"user": "1", "item": "2", "score": {"1" * 400}}}\n', "a score is too large"),
        ("a.jsonl", '{"user": "1", "user": "2", "items": ["2"]}\n', "line 1 holds 'user' twice in one object"),
        ("a.xlsx", "", "ends with '.xlsx'"),
    ],
)
def test_a_file_that_holds_no_lists_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BenchError) as problem:
        read_recommendations(tmp_path / name)
    assert words in str(problem.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\x0f\x00{'descr': '<f4" + bytes(64),  # numpy parses the header as Python
        b"\x93NUMPY\x01\x00\x03\x00(((" + bytes(64),
        b"\x93NUMPY\x01\x00\x04\x00\n  (" + bytes(64),
        b"PK\x03\x04" + bytes(64),
    ],
)
def test_a_file_that_holds_no_matrix_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scores.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"scores\.npy cannot be read as a matrix"):
        read_scores(tmp_path / "scores.npy")


def test_ids_of_a_table_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"user": ["1"], "item": [["2", "3"]], "score": [1.0]})
    rows.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the column 'item' is of type list"):
        read_recommendations(tmp_path / "a.parquet")


def test_a_column_that_is_there_twice_is_refused() -> None:
    frame = pd.DataFrame([["1", "2", "3", 1]], columns=["user", "item", "item", "rank"])
    with pytest.raises(DataError, match="2 columns are named 'item'"):
        frame_of_frame(frame)


def test_several_folders_of_cards_are_given_from_python() -> None:
    assert words_of("card_dir", ["a", "b"]) == ["--card-dir", "a", "--card-dir", "b"]


def test_options_from_python_arrive_as_what_they_are() -> None:
    assert words_of("seeds", np.int64(3)) == ["--seeds", "3"]
    given = {
        "m.a": None,
        "m.b": "1",
        "m.c": "true",
        "m.d": True,
        "m.e": 1e-5,
        "m.f": [1, 2],
        "m.g": np.float32(0.5),
    }
    (read,) = overrides(words_of("set", given)[1::2]).values()
    assert read == {"a": None, "b": "1", "c": "true", "d": True, "e": 1e-5, "f": [1, 2], "g": 0.5}
    with pytest.raises(UsageError, match="A parameter cannot be a object"):
        words_of("set", {"m.a": object()})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "ludp-bench export tiktok --format csv"),
        (["--topk", "x.csv", "--scores", "x.npy"], "either --topk FILE or --scores"),
        (["--topk", "x.csv"], "cannot be read"),
        (["--topk", "x.csv", "--part", "train"], "Available: test, valid"),
        (["--topk", "x.csv", "--ids", "mine"], "Available: own, internal"),
        (["--topk", "x.csv", "--name", "a/b"], "--name 'a/b' becomes the name of a folder"),
        (["--topk", "my list (1).csv"], "Without --name, the name of the file, 'my list (1)', becomes the name"),
    ],
)
def test_wrong_options_end_with_two_and_a_sentence(
    home: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(home, tmp_path / "results", *words) == 2
    assert told in capsys.readouterr().err


def test_a_file_whose_name_is_not_utf_8_is_evaluated_from_python_too(home: Path, tmp_path: Path) -> None:
    _, lists = own_run(home, "mf")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/l\xff.csv"))
    rows_of(home, lists).to_csv(path, index=False)
    options: dict[str, Any] = {"source": "surrogate", "scale": 0.01, "epochs": 1, "cache_dir": home / "cache"}
    bench.evaluate(path, "tiktok", name="mine", results_dir=tmp_path / "results", **options)
    (record,) = records(tmp_path / "results")
    assert record.foreign is not None
    assert record.foreign.file == "l\\udcff.csv"


def a_record(root: Path) -> tuple[RunRecord, Path]:
    data, store = random_data(), ResultsStore(root)
    record, _ = evaluate_test(check(good_lists(data), data), "theirs", data, PROTOCOL, store)
    path = store.record_path(record.key, PROTOCOL, data.name, data.source, record.spec)
    return record, path


def test_a_record_of_lists_is_read_and_says_what_it_is(tmp_path: Path) -> None:
    record, path = a_record(tmp_path)
    found = read_record(path)
    assert isinstance(found, RecordFile)
    assert found.record == record
    assert (record.seeds, record.cost, record.curve, record.best_epoch) == ({}, None, [], None)
    assert record.stop_reason is None
    assert Scores([record], 5).get(record.data, record.spec.label, "recall@10").mean is not None


@pytest.mark.parametrize(
    "change",
    [
        {"foreign": None},
        {"best_epoch": 1},
        {"seeds": {"init": 1}},
        {"code_hash": "0123456789abcdef"},
        {"status": "failed"},
    ],
)
def test_a_record_that_mixes_lists_and_training_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    record, path = a_record(tmp_path)
    path.write_text(to_text(record.model_copy(update=change)), encoding="utf-8")
    assert isinstance(read_record(path), Damaged)


def test_a_training_cannot_claim_lists(tmp_path: Path) -> None:
    lists, _ = a_record(tmp_path)
    run = boards.add_run(tmp_path, "mf")
    assert contradiction(run) == ""
    assert "has lists of another program" in contradiction(run.model_copy(update={"foreign": lists.foreign}))


def test_lists_that_were_changed_later_are_left_out(tmp_path: Path) -> None:
    record, _ = a_record(tmp_path)
    store = ResultsStore(tmp_path)
    lists = store.read_lists(record)
    assert isinstance(lists, StoredLists)
    better = {name: np.ones_like(values) for name, values in lists.per_user.items()}
    store.write_topk(record.key, TopK(lists.users, lists.items, 0), better)
    paths, _ = refresh(tmp_path)
    assert paths
    rows = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))["tables"][0]["rows"]
    assert "changed after the run" in rows[0]["not_compared"]


def test_python_does_what_the_command_does(home: Path, tmp_path: Path) -> None:
    run, lists = own_run(home, "mf")
    rows = rows_of(home, lists)
    options: dict[str, Any] = {"source": "surrogate", "scale": 0.01, "epochs": 1, "cache_dir": home / "cache"}
    frame = bench.evaluate(rows, "tiktok", name="mine", results_dir=tmp_path, **options)
    assert run.metrics is not None
    assert frame["recall@10"].item() == run.metrics.test.values["recall@10"]
    assert bench.load_results(tmp_path)["origin"].item() == "lists of another program"
    with pytest.raises(ResultsError, match="evaluated on the test part"):
        bench.evaluate(rows[rows["rank"] <= 20], "tiktok", name="mine", results_dir=tmp_path, **options)
    with pytest.raises(BenchError, match="Unknown argument '--epoch'"):
        bench.evaluate(rows, "tiktok", name="mine", epoch=1)
    made = bench.run(
        "tiktok", ["mf", "popularity"], results_dir=home / "results", seeds=2, artifacts="table3", **options
    )
    assert len(made) == 4
    assert made.loc[(made["model"] == "mf") & (made["seed"] == 1), "key"].item() == run.key
    again = json.loads((home / "results" / "leaderboard.json").read_text(encoding="utf-8"))
    assert again["n_runs"] == 4
    with pytest.raises(BenchError, match="trains models"):
        bench.run("tiktok", "mf", list=True)


@pytest.mark.parametrize("more", [[], ["--profile", "smoke"]])
def test_without_a_scale_a_run_an_export_and_an_evaluation_take_the_same_data(
    tmp_path: Path, more: list[str]
) -> None:
    synthetic = ["--source", "surrogate", "--cache-dir", str(tmp_path / "cache"), *more]
    results = ["--results-dir", str(tmp_path / "results")]
    assert main(["export", "tiktok", "--format", "csv", "--to", str(tmp_path), *synthetic]) == 0
    run = ["--models", "popularity", "--artifacts", "table3", "--workers", "1"]
    assert main(["run", "--datasets", "tiktok", *run, *synthetic, *results]) == 0
    (ran,) = records(tmp_path / "results")
    users, items = (pd.read_csv(tmp_path / "tiktok" / f"{kind}.csv", dtype=str) for kind in ("users", "items"))
    assert (ran.data.n_users, ran.data.n_items) == (len(users), len(items))
    lists = ResultsStore(tmp_path / "results").read_lists(ran)
    assert isinstance(lists, StoredLists)
    rows_of(tmp_path, lists).to_csv(tmp_path / "same.csv", index=False)
    given = ["--datasets", "tiktok", "--topk", str(tmp_path / "same.csv"), *synthetic, *results]
    assert main(["evaluate", *given]) == 0
    assert len({each.data.data_hash for each in records(tmp_path / "results")}) == 1


def test_the_exported_parts_are_those_that_models_train_on(home: Path) -> None:
    data = bench.load_data("tiktok", source="surrogate", scale=0.01, cache_dir=home / "cache")
    ids = {
        kind: {each: n for n, each in enumerate(pd.read_csv(home / "tiktok" / f"{kind}s.csv", dtype=str)[kind])}
        for kind in ("user", "item")
    }
    assert (len(ids["user"]), len(ids["item"])) == (data.n_users, data.n_items)
    for part in ("train", "valid", "test"):
        rows = pd.read_csv(home / "tiktok" / f"{part}.csv", dtype=str)
        keys = rows["user"].map(ids["user"]) * data.n_items + rows["item"].map(ids["item"])
        assert np.array_equal(np.sort(keys), data.split.part(part).keys)  # type: ignore[arg-type]
    for modality in data.modalities:
        assert np.array_equal(np.load(home / "tiktok" / f"{modality.name}.npy"), modality.matrix)
