"""The leaderboard: what shares a table and a row, what is ranked, and what every form of it says."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import COMMIT, N_USERS, add_run, environment, facts_of, record_file

from bench.cli.main import main
from bench.core.errors import ResultsError
from bench.core.files import locked
from bench.core.hashing import derive_seed, hash_in_full
from bench.core.protocol import PROTOCOL_1, TOPK_DEPTH, get_protocol
from bench.core.types import Metrics, TopK
from bench.engine import registry
from bench.engine.evaluate import means
from bench.report.comparisons import MIN_SEEDS
from bench.report.leaderboard import columns
from bench.report.leaderboard.build import Leaderboard, build, refresh
from bench.report.leaderboard.curve import MOST_POINTS, curve_of
from bench.report.leaderboard.entries import Entry
from bench.report.leaderboard.forms import caption, notes
from bench.report.leaderboard.origin import origin_of
from bench.report.leaderboard.rows import boards, read_results
from bench.report.leaderboard.user_scores import UNIT, chosen_for_page, packed, read_scores
from bench.report.paper import PAPER_FILE, Paper
from bench.report.statistics import Resamples, pair
from bench.runs.store import ResultsStore


def board_of(root: Path, paper: Paper, n_asked: int | None = None) -> Leaderboard:
    return build(read_results(root), n_asked, paper)


def rows(root: Path, paper: Paper, n_asked: int | None = None) -> list[Entry]:
    """Return those of the only table."""
    (section,) = board_of(root, paper, n_asked).sections
    return list(section.entries)


def test_rows_are_ranked_by_the_mean_over_all_seeds(tmp_path: Path, paper: Paper) -> None:
    skills = {"mf": 0.1, "lightgcn": 0.9, "vbpr": 0.5}
    made = {label: [add_run(tmp_path, label, n, skill) for n in range(3)] for label, skill in skills.items()}
    found = rows(tmp_path, paper)
    assert [(each.rank, each.row.label, each.seeds) for each in found] == [
        (1, "lightgcn", "3"), (2, "vbpr", "3"), (3, "mf", "3"),
    ]  # fmt: skip
    for each in found:
        for metric, spread in each.scores.items():
            values = [r.metrics.test.values[metric] for r in made[each.row.label] if r.metrics]
            assert spread.values == tuple(values)
            assert spread.mean == pytest.approx(statistics.fmean(values), abs=1e-15)
            assert spread.sd == pytest.approx(statistics.stdev(values), abs=1e-15)
        assert each.cost["train_seconds"] == 2.5
        assert each.cost["n_parameters"] == 1234
        assert each.machines == ["Some CPU, 2 threads"]
        assert each.commits == [COMMIT[:10]]
        assert each.link == f"https://example.org/someone/bench/blob/{COMMIT}/models/{each.row.label}.py"
    assert [found[n].family for n in range(3)] == ["gcn", "multimodal", "cf"]


@pytest.mark.parametrize(
    "other",
    [
        {"facts": facts_of(data_hash="ffff")},
        {"facts": facts_of(split_hash="ffff")},
        {"facts": facts_of(source="surrogate", scale=0.1, data_hash="ffff")},
        {"facts": facts_of(split="shipped")},
        {"hide_at_test": "train"},
    ],
)
def test_other_data_split_or_protocol_is_another_table(
    tmp_path: Path, paper: Paper, other: dict[str, Any]
) -> None:
    add_run(tmp_path, "mf")
    add_run(tmp_path, "lightgcn", **other)
    sections = board_of(tmp_path, paper).sections
    assert [[each.rank for each in section.entries] for section in sections] == [[1], [1]]
    assert sections[0].heading != sections[1].heading


@pytest.mark.parametrize("change", [{"code_hash": "d" * 16}, {"max_epochs": 9}, {"base_seed": 1}])
def test_runs_of_another_configuration_are_another_row_and_say_so(
    tmp_path: Path, paper: Paper, change: dict[str, Any]
) -> None:
    for n in range(2):
        add_run(tmp_path, "mf", n)
        add_run(tmp_path, "mf", n, skill=0.9, **change)
    add_run(tmp_path, "lightgcn", 0)
    found = rows(tmp_path, paper)
    assert [(each.name, each.rank) for each in found] == [("MF", 1), ("MF", 2), ("LightGCN", None)]
    assert len({each.title for each in found}) == 3
    assert "(" not in found[2].title
    section = board_of(tmp_path, paper).sections[0]
    (said,) = (note for note in notes(section, paper) if "the only score that may choose" in note)
    assert said.startswith("MF has 2 rows.")
    assert f"{found[0].title} is the best (0.9000)" in said


def test_a_row_without_all_repetitions_has_no_mean_and_no_rank(tmp_path: Path, paper: Paper) -> None:
    for n in range(3):
        add_run(tmp_path, "mf", n)
    for n, status in enumerate(("finished", "failed", "finished")):
        add_run(tmp_path, "lightgcn", n, 0.9, status=status)
    add_run(tmp_path, "vbpr", 0, 0.9)
    mf, lightgcn, vbpr = rows(tmp_path, paper)
    assert (mf.rank, lightgcn.rank, vbpr.rank) == (1, None, None)
    assert (lightgcn.seeds, vbpr.seeds) == ("2 of 3, 1 failed (incomplete)", "1 of 3 (incomplete)")
    assert lightgcn.scores["recall@10"].mean is None
    assert len(lightgcn.scores["recall@10"].values) == 2
    assert set(lightgcn.cost.values()) == {None}
    assert lightgcn.gap is None
    first = rows(tmp_path, paper, n_asked=1)
    assert [each.rank for each in first] == [1, 2, 3]
    assert all(len(each.row.records) == 1 for each in first)


def test_variations_and_replaced_content_are_no_candidates(tmp_path: Path, paper: Paper) -> None:
    add_run(tmp_path, "ludp")
    add_run(tmp_path, "ludp@knn_k=7", values={"knn_k": 7})
    add_run(tmp_path, "vbpr@noise", features="noise")
    add_run(tmp_path, "lightgcn@own values under a name", 0)
    add_run(tmp_path, "acf@code")
    add_run(tmp_path, "mf", status="failed")
    add_run(tmp_path, "mf", 0, stage="tuning")
    found = board_of(tmp_path, paper)
    assert {each.row.label for each in found.sections[0].entries} == {"ludp", "lightgcn", "acf@code"}
    assert len(found.left_out) == 3
    assert all(line.startswith("1 run: ") for line in found.left_out)


def test_differences_to_the_best_are_those_of_the_significance_tests(tmp_path: Path, paper: Paper) -> None:
    for n in range(2):
        for label, skill in {"mf": 0.1, "lightgcn": 0.9, "vbpr": 0.8}.items():
            add_run(tmp_path, label, n, skill)
    ((board,), _) = boards([file.record for file in read_results(tmp_path).runs], None)
    scores = read_scores(board, ResultsStore(tmp_path))
    by_label = {row.label: scores.by_seed[row.id][scores.ranked] for row in board.rows}
    seed = derive_seed(0, "significance", board.facts.data_hash, board.facts.split_hash)
    table = Resamples(list(by_label), {"recall@20": np.array(list(by_label.values()))}, seed)
    best, *others = by_label
    expected = table.family("recall@20", [pair(label, best) for label in others])
    shown = rows(tmp_path, paper)
    assert [each.gap is None for each in shown] == [True, False, False]
    for entry, theirs in zip(shown[1:], expected, strict=True):
        ours = entry.gap
        assert ours is not None
        assert ours.difference == pytest.approx(theirs.difference, abs=1e-15)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert ours.p == theirs.p
        assert ours.p <= ours.p_corrected <= min(1.0, 3 * ours.p)  # three pairs of three rows
    assert shown[2].gap is not None
    assert shown[2].gap.sign == -1


def test_every_metric_has_ranks_and_differences_of_its_own(tmp_path: Path, paper: Paper) -> None:
    for n in range(2):
        for label, skill in {"mf": 0.1, "lightgcn": 0.9, "vbpr": 0.8}.items():
            add_run(tmp_path, label, n, skill)
    ((board,), _) = boards([file.record for file in read_results(tmp_path).runs], None)
    by_seed = read_scores(board, ResultsStore(tmp_path)).by_seed
    found = {each.row.id: each.ranks for each in rows(tmp_path, paper)}
    seed = derive_seed(0, "significance", board.facts.data_hash, board.facts.split_hash)
    for place, metric in enumerate(board.shown):
        means = {name: each[place].mean() for name, each in by_seed.items()}
        best, *others = sorted(means, key=lambda name: -means[name])
        assert (found[best][metric].rank, found[best][metric].gap) == (1, None)
        own_scores = {metric: np.array([each[place] for each in by_seed.values()])}
        resamples = Resamples(list(by_seed), own_scores, seed)
        alone = {next(iter(each.weights)): each for each in resamples.against_best(metric, best)}
        families = {row.id for row in board.rows if row.id != best}
        for name in others:
            own, expected = found[name][metric].gap, alone[name]
            assert own is not None
            assert own.p_corrected == expected.p_corrected
            assert (own.difference, own.low) == pytest.approx((expected.difference, expected.low), abs=1e-12)
        assert set(others) == families


def test_rows_that_do_not_differ_from_the_best_share_its_rank(
    tmp_path: Path, paper: Paper, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(MIN_SEEDS):
        for label, skill in {"lightgcn": 0.9, "vbpr": 0.88, "mf": 0.2, "popularity": 0.1}.items():
            add_run(tmp_path, label, n, skill)
    best, second, third, fourth = (each.board_rank for each in rows(tmp_path, paper))
    assert second.gap is not None
    assert second.gap.sign == 0
    assert [(each.rank, each.first, each.last) for each in (best, second)] == [(1, 1, 2), (2, 1, 2)]
    assert [(each.rank, each.first, each.last) for each in (third, fourth)] == [(3, 3, 3), (4, 4, 4)]
    assert "share its rank" in caption(board_of(tmp_path, paper).sections[0])
    assert "| 1–2 |" in re.sub(" +", " ", update_text(tmp_path, "md"))
    lines = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text(encoding="utf-8"))))
    assert [(line["rank"], line["rank_first"], line["rank_last"]) for line in lines[1:3]] == [
        ("2", "1", "2"), ("3", "3", "3"),
    ]  # fmt: skip
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 0
    assert "1-2" in capsys.readouterr().out
    few = board_of(tmp_path, paper, n_asked=MIN_SEEDS - 1).sections[0]
    assert [(each.board_rank.first, each.board_rank.last) for each in few.entries] == [
        (n, n) for n in (1, 2, 3, 4)
    ]
    assert "no p-values and no shared ranks" in caption(few)
    assert {columns.ranking_cells(each, "recall@20")["p"].text for each in few.entries} == {"–"}


def test_rows_of_one_model_have_short_names(tmp_path: Path, paper: Paper) -> None:
    own = {"reg_weight": 0.5, "learning_rate": 0.01}
    for values in ({}, own, {**own, "init_std": 0.2}):
        add_run(tmp_path, "mf", values=values)
    for code in ("c" * 16, "d" * 16):
        add_run(tmp_path, "ludp@literal", code_hash=code)
    for weight in (0.25, 0.75):
        add_run(tmp_path, "vbpr", values={"reg_weight": weight})
    assert {each.title for each in rows(tmp_path, paper)} == {
        "MF (defaults)", "MF (own values 1)", "MF (own values 2)", "LUDP (literal, code=cccccccc)",
        "LUDP (literal, code=dddddddd)", "VBPR (reg_weight=0.25)", "VBPR (reg_weight=0.75)",
    }  # fmt: skip
    section = board_of(tmp_path, paper).sections[0]
    assert any(
        "learning_rate=0.01" in note and note.startswith("MF (own values") for note in notes(section, paper)
    )


def test_a_curve_has_a_line_a_seed_and_ends_where_the_training_did(tmp_path: Path, paper: Paper) -> None:
    scores = [0.1 + 0.001 * n for n in range(101)]
    for n in range(2):
        add_run(tmp_path, "mf", n, scores=[*scores, 0.0], max_epochs=200)
        add_run(tmp_path, "popularity", n, scores=[0.1], loss=None, max_epochs=200)
    by_label = {each.row.label: each.row for each in rows(tmp_path, paper)}
    assert curve_of(by_label["popularity"], "recall@20") is None
    curve = curve_of(by_label["mf"], "recall@20")
    assert curve is not None
    assert (curve.n_epochs, curve.low, curve.high) == (102, 0.0, 0.2)
    first, second = ([tuple(map(float, point.split(","))) for point in line.split()] for line in curve.lines)
    assert first == second
    assert len(first) <= MOST_POINTS + 2
    assert first[0] == (5, 48)
    assert first[-1] == (255, 91)
    assert curve.bests == [(252.5, 5)] * 2


def test_edited_records_and_lists_are_left_out_and_said(tmp_path: Path, paper: Paper) -> None:
    made = {label: add_run(tmp_path, label) for label in ("mf", "lightgcn", "vbpr")}
    path = record_file(tmp_path, made["mf"])
    path.write_text(path.read_text(encoding="utf-8").replace('"recall@10": 0', '"recall@10": 1'), encoding="utf-8")
    lists = tmp_path / "topk" / f"{made['lightgcn'].key}.npz"
    arrays = dict(np.load(lists))
    arrays["metric:recall@10"] = arrays["metric:recall@10"] + 0.1
    np.savez_compressed(lists, **arrays)
    found = board_of(tmp_path, paper)
    assert {each.row.label for each in found.sections[0].entries} == {"lightgcn", "vbpr"}
    assert "content hash" in found.left_out[0]
    assert path.name in found.left_out[0]
    (problem,) = (each.uncompared for each in found.sections[0].entries if each.uncompared)
    assert problem.startswith(f"the scores of {made['lightgcn'].key}: its hash is not the one")
    assert problem in update_text(tmp_path, "md")


def update_text(root: Path, form: str) -> str:
    refresh(root)
    return (root / f"leaderboard.{form}").read_text(encoding="utf-8")


def test_a_record_at_another_place_is_left_out(tmp_path: Path, paper: Paper) -> None:
    path = record_file(tmp_path, add_run(tmp_path, "mf"))
    path.with_name("other.json").write_bytes(path.read_bytes())
    (tmp_path / "runs" / "p2-field" / "zzz").mkdir()
    (tmp_path / "runs" / "p2-field" / "zzz" / path.name).write_bytes(path.read_bytes())
    found = board_of(tmp_path, paper)
    assert [len(section.entries) for section in found.sections] == [1]
    assert len(found.left_out) == 2


def test_where_parameters_come_from(tmp_path: Path, paper: Paper) -> None:
    facts = facts_of("tiktok@shipped", split="shipped", split_hash="cb2bb5e247efd1d3")
    add_run(tmp_path, "lightgcn", facts=facts)
    add_run(tmp_path, "popularity", facts=facts)
    add_run(tmp_path, "mf", values={"reg_weight": 0.5}, facts=facts)
    add_run(tmp_path, "ngcf", values={"reg_weight": 0.5}, facts=facts)
    for weight, skill in ((0.5, 0.4), (0.25, 0.3), (0.125, 0.2)):
        trial = {"stage": "tuning", "values": {"reg_weight": weight}, "facts": facts}
        add_run(tmp_path, "ngcf", skill=skill, **trial)
        add_run(tmp_path, "ngcf", skill=0.9, code_hash="e" * 16, **trial)
    found = read_results(tmp_path)
    ((board,), _) = boards([file.record for file in found.runs], None)
    origins = {row.label: origin_of(row, board, found.trial_records) for row in board.rows}
    assert origins["ngcf"].words == "best of 3 trials, validation recall@20 0.4000"
    assert origins["ngcf"].n_trials == 3
    assert origins["lightgcn"].words == "lightgcn.tuned.yaml, values for tiktok@shipped"
    assert "12 trials" in origins["lightgcn"].note
    assert origins["mf"].words == "differs from mf.yaml: reg_weight=0.5"
    assert origins["popularity"].words == "popularity.yaml, defaults"


def test_trials_of_other_searches_do_not_choose_a_row(tmp_path: Path) -> None:
    facts = facts_of("tiktok@shipped", split="shipped")
    add_run(tmp_path, "ngcf", values={"reg_weight": 0.5}, facts=facts)
    others: list[dict[str, Any]] = [
        {"max_epochs": 9}, {"base_seed": 1}, {"values": {"reg_weight": 0.5, "embedding_size": 8}},
    ]  # fmt: skip
    for number, other in enumerate([{}, *others]):
        trial = {"values": {"reg_weight": 0.5}, "facts": facts, "stage": "tuning"} | other
        add_run(tmp_path, "ngcf", skill=0.1 + 0.1 * number, **trial)
    found = read_results(tmp_path)
    ((board,), _) = boards([file.record for file in found.runs], None)
    (row,) = board.rows
    assert origin_of(row, board, found.trial_records).words == "best of 1 trials, validation recall@20 0.1000"


def test_two_calls_write_a_leaderboard_one_after_the_other(tmp_path: Path) -> None:
    add_run(tmp_path, "mf")
    with ThreadPoolExecutor(1) as pool, locked(tmp_path / ".leaderboard.lock"):
        other = pool.submit(refresh, tmp_path)
        with pytest.raises(TimeoutError):
            other.result(timeout=0.3)
        record = add_run(tmp_path, "lightgcn")
        (tmp_path / ".leaderboard.lock").unlink()  # as the first call does at its end
    assert record.key in other.result(timeout=60)[0][-1].read_text(encoding="utf-8")
    assert not (tmp_path / ".leaderboard.lock").exists()


def test_the_names_in_the_papers_file_are_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(tmp_path, "mf")
    assert refresh(tmp_path)[1]
    assert not refresh(tmp_path)[1]
    changed = tmp_path / "paper.yaml"
    changed.write_bytes(PAPER_FILE.read_bytes() + b"\n")
    monkeypatch.setattr("bench.report.leaderboard.build.PAPER_FILE", changed)
    assert refresh(tmp_path)[1]


def test_a_model_that_is_not_here_has_a_row(tmp_path: Path, paper: Paper) -> None:
    add_run(tmp_path, "elsewhere@its own", environment=environment(git={}))
    (only,) = rows(tmp_path, paper)
    assert (only.row.label, only.family, only.code, only.link) == ("elsewhere@its own", "", "", "")
    assert only.origin.words == "the model's file is not here: give it with --plugin"


def test_a_model_of_recbole_has_its_family(tmp_path: Path, paper: Paper) -> None:
    add_run(tmp_path, "recbole:EASE")
    (only,) = rows(tmp_path, paper)
    assert (only.name, only.family, only.code) == ("EASE (RecBole)", "recbole", "")
    assert columns.family_title(only) == "RecBole"
    assert only.origin.words == "EASE.yaml, defaults"


def test_a_link_of_a_record_can_only_be_a_page(tmp_path: Path, paper: Paper) -> None:
    git = {"commit": COMMIT, "modified": True, "homepage": "javascript:alert(1)//"}
    add_run(tmp_path, "mf", environment=environment(git=git))
    (only,) = rows(tmp_path, paper)
    assert only.link == ""
    assert only.commits == [f"{COMMIT[:10]}+"]


def test_a_papers_address_can_only_be_a_page(
    tmp_path: Path, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(tmp_path, "mf")
    for url, shown in (("javascript:alert(1)", ""), ("https://example.org/mf", "https://example.org/mf")):
        entry = registry.load("mf")
        changed = replace(
            entry, model_class=type("MF", (entry.model_class,), {"CARD": replace(entry.card, url=url)})
        )
        monkeypatch.setattr(registry, "load", lambda name, changed=changed: changed)
        assert [each.paper for each in rows(tmp_path, paper)] == [shown]


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_no_form_has_a_p_value_below_three_seeds(tmp_path: Path, n_seeds: int) -> None:
    for n in range(n_seeds):
        add_run(tmp_path, "mf", n, 0.2)
        add_run(tmp_path, "lightgcn", n, 0.8)
    refresh(tmp_path)
    lines = csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text(encoding="utf-8")))
    value = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    other = value["tables"][0]["rows"][1]["against_best"]
    assert [bool(line["p_corrected"]) for line in lines] == [False, n_seeds == 3]
    assert (other["p_corrected"] is not None) == (n_seeds == 3)
    assert other["low"] < 0  # the interval stays


def test_all_forms_say_the_same(tmp_path: Path, paper: Paper) -> None:
    for n in range(3):
        add_run(tmp_path, "mf", n, 0.2)
        add_run(tmp_path, "lightgcn", n, 0.8)
    assert [path.name for path in refresh(tmp_path)[0]] == [
        f"leaderboard.{form}" for form in ("md", "csv", "html", "json")
    ]
    best, other = rows(tmp_path, paper)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text(encoding="utf-8"))))
    assert [line["model"] for line in lines] == ["lightgcn", "mf"]
    assert float(lines[0]["recall@10"]) == best.scores["recall@10"].mean
    assert other.gap is not None
    assert float(lines[1]["p_corrected"]) == other.gap.p_corrected
    value = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    row = value["tables"][0]["rows"][0]
    assert row["test"]["recall@10"]["values"] == list(best.scores["recall@10"].values)
    assert all((tmp_path / name).is_file() for name in row["records"])
    assert row["commands"] == ["python run_all.py --models lightgcn 'a <b>'"]
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    spread = best.scores["ndcg@20"]
    assert f"**{spread.mean:.4f} ± {spread.sd:.4f}**" in text
    assert "tiktok \\[real, random split]" in text
    assert "another data set" in text  # than the paper's
    assert "a &lt;b&gt;" in text


def test_one_entry_adds_a_column_to_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = columns.BoardColumn(
        "users", "Users of {ranked}", lambda each: columns.Shown(f"{each.row.label} has many"),
        origin="left", page="left", data={"n_users": lambda each: each.board.facts.n_users},
    )  # fmt: skip
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, added))
    add_run(tmp_path, "mf")
    texts = {form: update_text(tmp_path, form) for form in ("md", "csv", "html", "json")}
    for form in ("md", "html"):
        assert "Users of R@20" in texts[form]
        assert texts[form].count("mf has many") == 1
    assert next(csv.DictReader(io.StringIO(texts["csv"])))["n_users"] == str(N_USERS)
    assert json.loads(texts["json"])["tables"][0]["rows"][0]["n_users"] == N_USERS


def test_a_published_page_has_links_to_documentation_and_none_to_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = tmp_path / "results", tmp_path / "docs" / "assets"
    add_run(root, "mf")
    command = ["leaderboard", "--results-dir", str(root), "--output", str(output), "--docs", "../.."]
    assert main(command) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        f"leaderboard.{form}" for form in ("csv", "html", "json")
    ]
    assert [path.name for path in root.iterdir() if path.is_file()] == []
    page = (output / "leaderboard.html").read_text(encoding="utf-8")
    assert 'href="../../index.html"' in page
    assert 'href="../../models/mf.html"' in page
    assert 'href="runs/' not in page
    capsys.readouterr()
    assert main(command) == 0
    assert "up to date" in capsys.readouterr().out
    assert main([*command[:-1], "https://example.org/docs/"]) == 0
    assert 'href="https://example.org/docs/models/mf.html"' in (output / "leaderboard.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--docs", ".."], "Add --output DIR"),
        (["--output", "elsewhere", "--docs", "javascript:alert(1)"], "a relative address"),
        (["--output", "results"], "Leave --output out"),
    ],
)
def test_options_of_a_published_page_that_do_not_fit_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    add_run(tmp_path / "results", "mf")
    assert main(["leaderboard", "--results-dir", "results", *options]) == 2
    assert words in capsys.readouterr().err


def test_nothing_is_built_twice_of_the_same(tmp_path: Path) -> None:
    assert refresh(tmp_path)[0] == []
    record = add_run(tmp_path, "mf")
    paths, _ = refresh(tmp_path)

    def stamp() -> int:
        assert refresh(tmp_path)[0] == paths
        return paths[0].stat().st_mtime_ns

    changes = [
        lambda: add_run(tmp_path, "mf", 1),
        (tmp_path / "topk" / f"{record.key}.npz").unlink,
        paths[2].unlink,
        lambda: paths[3].write_text("{}", encoding="utf-8"),
        lambda: (tmp_path / "report.html").write_text("", encoding="utf-8"),
    ]
    for change in changes:
        before = stamp()
        assert stamp() == before
        change()
        assert stamp() > before


def test_an_error_of_reading_is_none_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(tmp_path, "mf")

    def broken(*_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory", "leaderboard.html.j2")

    monkeypatch.setattr("bench.report.leaderboard.build.to_html", broken)
    with pytest.raises(ResultsError, match=r"cannot be built \(leaderboard\.html\.j2: No such file"):
        refresh(tmp_path)
    assert not (tmp_path / ".leaderboard.lock").exists()


def test_a_page_holds_the_best_rows_of_every_table_first(tmp_path: Path) -> None:
    for label, skill in {"mf": 0.1, "lightgcn": 0.9, "vbpr": 0.5}.items():
        add_run(tmp_path, label, 0, skill)
        add_run(tmp_path, label, 0, skill, facts_of(data_hash="ffff"))
    found, _ = boards([file.record for file in read_results(tmp_path).runs], None)
    held = [(board, read_scores(board, ResultsStore(tmp_path))) for board in found]
    n_users = held[0][1].n_users
    names = [[row.id for row in board.rows] for board in found]
    assert chosen_for_page(held) == names
    assert chosen_for_page(held, 3 * n_users) == [names[0][:2], names[1][:1]]
    assert chosen_for_page(held, n_users - 1) == [[], []]
    assert len(packed(held[0][1], names[0])) > 100
    values = held[0][1].by_seed[names[0][0]].mean(axis=1)
    assert float(np.abs(np.rint(values / UNIT) * UNIT - values).max()) <= UNIT / 2 + 1e-16


@pytest.mark.slow
def test_a_thousand_records_take_seconds(tmp_path: Path) -> None:
    labels = [("mf", {"reg_weight": 0.001 * n}) for n in range(40)]
    for place in range(5):
        for label, values in labels:
            for n in range(5):
                add_run(tmp_path, label, n, values["reg_weight"], facts_of(data_hash=f"{place}"), values=values)
    start = time.process_time()
    refresh(tmp_path)
    assert time.process_time() - start < 20


def test_the_command_says_what_it_wrote_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 2
    assert "no result record" in capsys.readouterr().err
    add_run(tmp_path, "mf")
    assert main(["leaderboard", "--results-dir", str(tmp_path), "--seeds", "0"]) == 2
    assert "a whole number from 1" in capsys.readouterr().err
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "leaderboard.html" in out
    assert "tiktok [real, random split]" in out
    assert "MF" in out


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_run(tmp_path, "mf")
    (tmp_path / "leaderboard.md").mkdir()
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 2
    assert "leaderboard cannot be written" in capsys.readouterr().err


def test_a_table_is_ranked_by_its_protocols_metric(tmp_path: Path, paper: Paper) -> None:
    used = [
        *(
            get_protocol("paper"),
            PROTOCOL_1,
            get_protocol("field", patience=40),
            get_protocol("field", selection_metric="ndcg@5"),
        ),
        get_protocol("field"),
    ]
    for protocol in used:
        for label, skill in (("mf", 0.2), ("lightgcn", 0.9)):
            add_run(tmp_path, label, 0, skill, protocol=protocol)
    sections = board_of(tmp_path, paper).sections
    found = {section.board.protocol.tag: section for section in sections}
    assert list(found) == ["p2-field", "p2-field-patience40", "p2-field-select-ndcg@5", "p2-paper", "p1"]
    assert [section.board.ranked_by for section in sections] == [
        *("recall@20", "recall@20", "ndcg@5", "recall@10", "recall@10"),
    ]
    assert len({section.heading for section in sections}) == len({section.board.id for section in sections}) == 5
    for section in sections:
        metric = section.board.ranked_by
        best, other = section.entries
        assert (best.rank, other.rank) == (1, 2)
        assert best.scores[metric].mean > other.scores[metric].mean
        assert best.valid.mean == 0.9
        assert other.gap is not None
        assert caption(section).startswith(f"Protocol {section.board.protocol.tag}")
    assert "Protocol p1 (paper, version 1): validation Recall@10 selects, patience 10" in caption(sections[-1])
    refresh(tmp_path)
    tables = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))["tables"]
    assert [table["ranked_by"] for table in tables] == [section.board.ranked_by for section in sections]
    assert {table["protocol"]["name"] for table in tables[:3]} == {"field"}
    assert (tables[4]["protocol"]["name"], tables[4]["protocol"]["version"]) == ("paper", "1")
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count('<button type="button">NDCG@5</button>') == 1


def test_rows_that_ended_at_the_cap_or_found_nothing_are_marked(
    tmp_path: Path, paper: Paper, capsys: pytest.CaptureFixture[str]
) -> None:
    rising, early = [n / 99 for n in range(30)], [0.5, *[0.1] * 20]
    for n in range(2):
        add_run(tmp_path, "mf", n, 0.2, scores=rising if n else early)
        add_run(tmp_path, "lightgcn", n, 0.9, scores=early)
        add_run(tmp_path, "popularity", n, 0.1, scores=[0.1], loss=None)
    (section,) = board_of(tmp_path, paper).sections
    signs = {each.row.label: each.stops.signs for each in section.entries}
    assert signs == {"mf": " †‡", "lightgcn": " ‡", "popularity": ""}
    assert "Stopped by the cap of 30 epochs: 1 of 4 runs." in caption(section)
    assert "† ended by the cap: 1 of 4 runs; ‡ best at the start: 3 of 4 runs;" in caption(section)
    said = [note for note in notes(section, paper) if "†" in note or "‡" in note]
    assert [note.rpartition(": ")[2] for note in said] == [
        "MF (1 of 2 runs).", "LightGCN (2 of 2 runs), MF (1 of 2 runs).",
    ]  # fmt: skip
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("MF †‡", "LightGCN ‡", *said))
    for form in ("md", "html"):
        text = (tmp_path / f"leaderboard.{form}").read_text(encoding="utf-8")
        assert "MF †‡" in text
        assert "Popularity †" not in text
    lines = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text(encoding="utf-8"))))
    ends = {line["model"]: (line["n_stopped_by_cap"], line["n_best_at_start"]) for line in lines}
    assert ends == {"mf": ("1", "1"), "lightgcn": ("0", "2"), "popularity": ("0", "0")}
    stops = {
        row["model"]: row["stops"]
        for row in json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))["tables"][0]["rows"]
    }
    assert stops["mf"] == {"n_runs": 2, "n_cap": 1, "n_start": 1, "signs": "†‡"}


def test_one_row_with_more_repetitions_takes_no_rank_from_the_others(tmp_path: Path, paper: Paper) -> None:
    for n in range(2):
        add_run(tmp_path, "mf", n, 0.2)
        add_run(tmp_path, "vbpr", n, 0.5)
    for n in range(5):
        add_run(tmp_path, "lightgcn", n, 0.9)
    found = board_of(tmp_path, paper)
    assert [(each.rank, each.row.label) for each in found.sections[0].entries] == [
        (1, "lightgcn"), (2, "vbpr"), (3, "mf"),
    ]  # fmt: skip
    assert all(each.scores["recall@10"].mean is not None for each in found.sections[0].entries)
    assert any(line.startswith("3 runs: a repetition beyond") for line in found.left_out)
    alone = board_of(tmp_path, paper, n_asked=5).sections[0].entries
    assert [each.rank for each in alone] == [1, None, None]


def test_an_edited_leaderboard_is_built_anew_and_only_then_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(tmp_path, "mf")
    command = ["leaderboard", "--results-dir", str(tmp_path)]
    assert main(command) == 0
    assert "wrote" in capsys.readouterr().out
    whole = {form: (tmp_path / f"leaderboard.{form}").read_bytes() for form in ("md", "csv", "html", "json")}
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "up to date" in out
    assert "wrote" not in out
    for form, content in whole.items():
        path = tmp_path / f"leaderboard.{form}"
        path.write_bytes(content.replace(b"0.", b"9."))
        assert main(command) == 0
        assert "wrote" in capsys.readouterr().out, form
        assert path.read_bytes() == content, form
    (tmp_path / "leaderboard.csv").unlink()
    os.mkfifo(tmp_path / "leaderboard.csv")
    assert main(command) == 0
    assert (tmp_path / "leaderboard.csv").read_bytes() == whole["csv"]


def test_odd_entries_below_runs_are_left_out_and_hang_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = add_run(tmp_path, "mf")
    folder = record_file(tmp_path, record).parent
    os.mkfifo(folder / "pipe.json")
    os.mkfifo(tmp_path / "topk" / "pipe.npz")
    (folder / "link.json").symlink_to("/dev/zero")
    (folder / "gone.json").symlink_to(tmp_path / "nothing")
    (folder / "folder.json").mkdir()
    (folder / "<img src=x>\n# x [a](javascript:1).json").write_text("{", encoding="utf-8")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.json")).write_text("{", encoding="utf-8")
    (folder / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for name in ("pipe.json", "link.json", "gone.json", "folder.json", "deep.json", "<img src=x>", r"\udcff"):
        assert name in out, name
    value = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    assert len(value["left_out"]) == 7
    assert len(value["tables"][0]["rows"]) == 1
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "\n# x" not in text
    assert "[a](javascript" not in text.replace("\\[", "")


def test_runs_that_all_failed_are_said_and_are_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(tmp_path, "mf", status="failed")
    assert main(["leaderboard", "--results-dir", str(tmp_path)]) == 1
    assert "1 of 1 runs failed; run the same command to try again." in capsys.readouterr().out
    assert "There is no finished run yet." in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")


def test_a_record_whose_mean_is_not_its_users_takes_no_rank(tmp_path: Path, paper: Paper) -> None:
    made = {label: add_run(tmp_path, label) for label in ("mf", "lightgcn")}
    path = record_file(tmp_path, made["mf"])
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["content_hash"]
    values["metrics"]["test"]["values"]["recall@10"] = 0.99
    path.write_text(json.dumps({**values, "content_hash": hash_in_full(values)}), encoding="utf-8")
    found = board_of(tmp_path, paper)
    assert [each.row.label for each in found.sections[0].entries] == ["lightgcn"]
    assert any("the record says 0.99" in line and path.name in line for line in found.left_out)


def test_data_of_other_counts_under_the_same_hashes_is_left_out(tmp_path: Path, paper: Paper) -> None:
    for label in ("mf", "lightgcn"):
        add_run(tmp_path, label)
    odd = record_file(tmp_path, add_run(tmp_path, "vbpr", facts=facts_of(n_train=201)))
    found = board_of(tmp_path, paper)
    assert {each.row.label for each in found.sections[0].entries} == {"mf", "lightgcn"}
    assert any(odd.name in line and "same hashes" in line for line in found.left_out)


def test_one_run_given_as_two_seeds_is_left_out(tmp_path: Path, paper: Paper) -> None:
    first, second = (add_run(tmp_path, "mf", n) for n in range(2))
    copied = second.model_copy(
        update={name: getattr(first, name) for name in ("metrics", "lists_hash", "curve", "cost")}
    )
    ResultsStore(tmp_path).write_record(record_file(tmp_path, second), copied)
    shutil.copy(tmp_path / "topk" / f"{first.key}.npz", tmp_path / "topk" / f"{second.key}.npz")
    found = board_of(tmp_path, paper)
    assert [each.seeds for each in found.sections[0].entries] == ["1"]
    assert any("one run is given as two" in line for line in found.left_out)


def test_a_metric_that_tells_no_rows_apart_is_said(tmp_path: Path, paper: Paper) -> None:
    made = [add_run(tmp_path, label) for label in ("mf", "lightgcn")]
    for record in made:
        users = dict.fromkeys(record.metrics.test.values if record.metrics else (), np.ones(N_USERS))
        topk = TopK(np.arange(N_USERS), np.zeros((N_USERS, TOPK_DEPTH), dtype=np.int64), 0)
        kept = ResultsStore(tmp_path).write_topk(record.key, topk, users)
        part = Metrics(values=means(users), n_users=N_USERS, n_skipped=0)
        metrics = record.metrics and record.metrics.model_copy(update={"test": part})
        changed = record.model_copy(update={"metrics": metrics, "lists_hash": kept})
        ResultsStore(tmp_path).write_record(record_file(tmp_path, record), changed)
    section = board_of(tmp_path, paper).sections[0]
    assert [each.rank for each in section.entries] == [1, 1]
    assert any("cannot tell these models apart" in note for note in notes(section, paper))


def test_paths_of_a_machine_are_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    facts = facts_of(source="embedded", origin="read from /home/alice/sets/tiktok.")
    command = "python run_all.py --results-dir /scratch/bob/r --data-dir /home/alice/sets"
    add_run(tmp_path, "mf", facts=facts, command=command)
    for form in ("md", "csv", "html", "json"):
        text = update_text(tmp_path, form)
        assert "alice" not in text, form
        assert "bob" not in text, form
        assert "~/sets" in text.replace("\\~", "~"), form
