"""Tests over users: exact where they can be counted out, right about planted truth, honest about gaps."""

from __future__ import annotations

import csv
import io
import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.core.errors import ResultsError
from bench.core.protocol import TOPK_DEPTH
from bench.core.types import TopK
from bench.report.artifacts import with_rows
from bench.report.comparisons import (
    COMPARED,
    compare_all,
    compare_with_reference,
    read_user_scores,
    shown_difference,
    shown_p,
)
from bench.report.experiments import CONTENT_ABLATIONS, CONTENT_MODELS
from bench.report.figure import write_figure
from bench.report.material import Material
from bench.report.render import to_csv, to_latex, to_markdown
from bench.report.statistics import MOST_FLIPS, Resamples, detectable, holm, pair
from bench.report.tables.ablation import ablation_pairs
from bench.report.tables.ablation import build as ablation_table
from bench.report.tables.critical import Ranking, has_enough_data
from bench.report.tables.critical import build as critical_figure
from bench.report.tables.models import build as table3_of
from bench.report.tables.significance import build as significance_table
from bench.runs.store import ResultsStore

R10 = "recall@10"


def sparse(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Scores like users' Recall@10: nine of ten are 0, the others thirds."""
    return (rng.random(shape) < 0.1) * rng.integers(1, 4, shape) / 3


def contrast(first: Any, second: Any, seed: int = 1) -> Any:
    """Of two rows of scores, `[n_seeds, n_users]`."""
    return Resamples(["a", "b"], {R10: np.stack([first, second])}, seed).family(R10, [pair("a", "b")])[0]


def test_p_is_that_of_all_sign_flips() -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        first, second = rng.integers(0, 4, (2, 1, 10)) / 3
        exact = stats.permutation_test(
            (first[0], second[0]),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        assert contrast(first, second).p == pytest.approx(exact.pvalue, abs=0.015)


def test_seeds_are_combined_under_one_flip_a_user() -> None:
    """Counted out over all 2^8 sign patterns: the sum of the seeds' standardised statistics."""
    rng = np.random.default_rng(5)
    first, second = rng.random((2, 3, 8)) * [[0.1], [1.0], [3.0]]
    differences = first - second
    standardised = differences / np.sqrt((differences**2).sum(axis=1, keepdims=True))
    patterns = np.array(list(itertools.product((-1, 1), repeat=8)))
    sums = np.abs((patterns @ standardised.T).sum(axis=1))
    exact = (sums >= abs(standardised.sum()) - 1e-12).mean()
    found = contrast(first, second)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert len(found.p_by_seed) == 3
    assert contrast(first[:1], second[:1]).p == found.p_by_seed[0]


def test_a_planted_difference_is_found_in_the_right_direction() -> None:
    rng = np.random.default_rng(7)
    base = sparse(rng, 3, 2000)
    better = np.clip(base + (rng.random((3, 2000)) < 0.1) / 3, 0, 1)  # more than other seeds could give
    found = contrast(better, base)
    assert found.sign == 1
    assert found.p < 0.001
    assert found.difference == pytest.approx((better - base).mean())
    assert 0 < found.low < found.difference < found.high
    assert found.relative == pytest.approx(better.mean() / base.mean() - 1)
    assert found.relative_low < found.relative < found.relative_high
    averaged = (better - base).mean(axis=0)
    assert found.effect == pytest.approx(averaged.mean() / averaged.std(ddof=1))
    assert (found.n_users, found.n_agreeing) == (2000, 3)
    back = contrast(base, better)
    assert (back.sign, back.p, back.low) == (-1, found.p, pytest.approx(-found.high))


@pytest.mark.parametrize("n_seeds", [1, 5])
def test_nulls_are_found_significant_as_often_as_promised(n_seeds: int) -> None:
    """200 pairs without a difference; repetitions share users, whose taste for one of the two they all repeat."""
    rng = np.random.default_rng(11)
    n, n_users = 200, 400
    taste = rng.choice([0.0, 1.0], (2, n, 1, n_users), p=[0.9, 0.1])
    scores = taste + 0.2 * sparse(rng, 2, n, n_seeds, n_users)
    labels = [f"{side}{number}" for side in "ab" for number in range(n)]
    resamples = Resamples(labels, {R10: scores.reshape(2 * n, n_seeds, n_users)}, seed=2)
    found = [resamples.family(R10, [pair(f"a{number}", f"b{number}")])[0] for number in range(n)]
    low, high = stats.binom.ppf([0.005, 0.995], n, 0.05)
    assert low <= sum(each.p < 0.05 for each in found) <= high
    misses = sum(not each.low <= 0 <= each.high for each in found)
    assert low <= misses <= high
    if n_seeds > 1:  # what multiplying the p-values of the same users would do
        fisher = [stats.combine_pvalues(each.p_by_seed).pvalue for each in found]
        assert sum(p < 0.05 for p in fisher) > high


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize("luck", [0.0, 0.02])
def test_the_interval_over_users_and_seeds_covers_what_other_seeds_give(n_seeds: int, luck: float) -> None:
    """300 pairs of models with the same scores but for the luck of their seeds; Recall is 0.07 on average."""
    rng = np.random.default_rng(29)
    n, n_users = 300, 400
    scores = sparse(rng, 2 * n, n_seeds, n_users) + luck * rng.standard_normal((2 * n, n_seeds, 1))
    labels = [f"{side}{number}" for side in "ab" for number in range(n)]
    resamples = Resamples(labels, {R10: scores}, seed=2)
    with np.errstate(over="raise", invalid="raise"):  # the far tails of two seeds are no infinite ratios
        found = [resamples.family(R10, [pair(f"a{number}", f"b{number}")])[0] for number in range(n)]
    low, _ = stats.binom.ppf([0.005, 0.995], n, 0.95)
    for first, last in (("low", "high"), ("relative_low", "relative_high")):
        wide = [each.over_seeds for each in found if getattr(each.over_seeds, first) is not None]
        covered = sum(getattr(each, first) <= 0 <= getattr(each, last) for each in wide)
        assert covered >= low - n + len(wide)  # it may be too wide, not too narrow
    covered_by_users = sum(each.low <= 0 <= each.high for each in found)
    assert covered_by_users < 0.75 * n if luck else covered_by_users >= low
    widths = [(each.over_seeds.high - each.over_seeds.low) / (each.high - each.low) for each in found]
    assert n_seeds == 2 or luck or np.median(widths) < 1.5  # without luck it is not much wider


def test_rows_without_seeds_have_the_interval_over_users_alone() -> None:
    rng = np.random.default_rng(31)
    first, second = sparse(rng, 2, 1, 300)
    found = contrast(np.repeat(first, 3, axis=0), np.repeat(second, 3, axis=0))
    wide = found.over_seeds
    assert (wide.low, wide.high) == pytest.approx((found.low, found.high))
    assert (wide.relative_low, wide.relative_high) == pytest.approx((found.relative_low, found.relative_high))
    assert contrast(first, second).over_seeds is None


@pytest.mark.parametrize("n_tests", [1, 12])
def test_the_detectable_difference_is_found_four_times_of_five(n_tests: int) -> None:
    rng = np.random.default_rng(37)
    n, n_users = 300, 600
    base = sparse(rng, 2, n, 1, n_users)
    spread = (base[0] - base[1]).std()
    planted = detectable(spread / np.sqrt(n_users), n_tests)
    scores = np.concatenate([base[0] + planted, base[1]])
    labels = [f"{side}{number}" for side in "ab" for number in range(n)]
    resamples = Resamples(labels, {R10: scores}, seed=2)
    found = [resamples.family(R10, [pair(f"a{number}", f"b{number}")])[0] for number in range(n)]
    low, high = stats.binom.ppf([0.005, 0.995], n, 0.8)
    assert low <= sum(each.p < 0.05 / n_tests for each in found) <= high
    assert np.mean([each.detectable for each in found]) == pytest.approx(
        detectable(spread / np.sqrt(n_users)), rel=0.02
    )
    family = resamples.family(R10, [pair(f"a{number}", f"b{number}") for number in range(12)])
    assert family[0].detectable == pytest.approx(found[0].detectable * detectable(1, 12) / detectable(1))


@pytest.mark.parametrize(("n_seeds", "of_seeds", "least"), [(3, 0.0, 0.74), (3, 0.01, 0.55), (5, 0.01, 0.65)])
def test_the_detectable_difference_counts_the_interval_over_seeds(
    n_seeds: int, of_seeds: float, least: float
) -> None:
    rng = np.random.default_rng(41)
    n, n_users = 200, 500
    labels = [f"{side}{number}" for side in "ab" for number in range(n)]

    def found(planted: float) -> list[Any]:
        luck = rng.normal(0, of_seeds, (2, n, n_seeds, 1))
        scores = rng.random((2, n, n_seeds, n_users)) * 0.4 + luck
        resamples = Resamples(labels, {R10: np.concatenate([scores[0] + planted, scores[1]])}, 2)
        return [resamples.family(R10, [pair(f"a{number}", f"b{number}")])[0] for number in range(n)]

    planted = float(np.mean([each.detectable for each in found(0.0)]))
    share = float(np.mean([each.sign == 1 for each in found(planted)]))
    assert least <= share <= 0.88
    alone = [each.sign == 1 for each in found(detectable(0.4 / np.sqrt(12) * np.sqrt(2 / n_seeds / n_users)))]
    assert np.mean(alone) < 0.7  # what the test over users alone would find four times of five


def test_repetitions_that_contradict_each_other_are_no_evidence() -> None:
    rng = np.random.default_rng(13)
    base = rng.random((2, 500))
    lead = np.array([[0.1], [-0.1]])
    found = contrast(base + lead + 0.05 * rng.random((2, 500)), base + 0.05 * rng.random((2, 500)))
    assert max(found.p_by_seed) < 0.001
    assert found.sign == 0
    assert found.n_agreeing == 1


def test_a_test_that_finds_the_opposite_of_the_mean_decides_nothing() -> None:
    """One seed has a large lead of few users, two have a small lag of all: mean and standardised sum disagree."""
    lead, lag = np.zeros(400), np.full(400, -0.02)
    lead[:40] = 1.0
    first = np.stack([lead, lag, lag])
    found = contrast(first, np.zeros_like(first))
    assert found.difference > 0 > found.direction
    assert found.p < 0.001
    assert (found.sign, found.is_within_seeds) == (0, False)


def test_rows_of_the_same_runs_do_not_differ_over_seeds() -> None:
    rng = np.random.default_rng(41)
    scores = sparse(rng, 3, 300) + 0.1 * rng.standard_normal((3, 1))
    wide = contrast(scores, scores.copy()).over_seeds
    assert (wide.low, wide.high) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_rows_without_any_difference_have_p_one() -> None:
    same = np.full((2, 30), 0.5)
    found = contrast(same, same)
    assert (found.p, found.difference, found.low, found.high, found.effect) == (1.0, 0.0, 0.0, 0.0, None)
    nothing = contrast(np.ones((1, 30)), np.zeros((1, 30)))
    assert (nothing.relative, nothing.relative_low) == (None, None)
    assert shown_difference(nothing) == "+1.0000 [+1.0000, +1.0000]"


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_a_family_is_corrected_and_others_change_nothing() -> None:
    rng = np.random.default_rng(17)
    scores = sparse(rng, 6, 2, 300)
    labels = list("abcdef")
    whole = Resamples(labels, {R10: scores}, 1)
    pairs = [pair(*each) for each in itertools.combinations(labels, 2)]
    found = whole.family(R10, pairs)
    assert [each.p_corrected for each in found] == pytest.approx(holm([each.p for each in found]))
    alone = Resamples(["b", "d"], {R10: scores[[1, 3]]}, 1).family(R10, [pair("b", "d")])[0]
    again = whole.family(R10, [pair("b", "d")])[0]
    assert (alone.p, alone.low, alone.high) == pytest.approx((again.p, again.low, again.high))
    assert alone.p_corrected == alone.p


def test_the_smallest_p_survives_the_correction_of_many_tests() -> None:
    scores = np.concatenate([np.zeros((1, 1, 40)), np.ones((1, 1, 40))])
    found = Resamples(["a", "b"], {R10: scores}, 1, n_tests=1000).family(R10, [pair("b", "a")] * 1000)
    assert found[0].sign == 1


def test_corrected_p_values_at_the_border_do_not_depend_on_the_draw() -> None:
    """A difference whose Holm-corrected p-value over 91 tests is about 0.05, under several seeds of the flips."""
    rng = np.random.default_rng(47)
    scores = rng.normal(0, 1, (1, 1, 400))
    scores += 3.45 * scores.std() / np.sqrt(400) - scores.mean()  # p about 0.05 / 91
    both = np.concatenate([scores, np.zeros((1, 1, 400))])
    found = [
        Resamples(["a", "b"], {R10: both}, seed, n_tests=91).family(R10, [pair("a", "b")])[0].p
        for seed in range(4)
    ]
    corrected = 91 * np.array(found)
    assert 0.02 < corrected.mean() < 0.1
    assert corrected.std() / corrected.mean() < 0.2


def test_p_values_as_readers_expect_them() -> None:
    assert [shown_p(p) for p in (0.0004, 0.001, 0.0126, 1.0)] == ["<0.001", "0.001", "0.013", "1.000"]


@pytest.fixture
def material(tmp_path: Any, paper: Any, make_facts: Any, make_record: Any) -> Any:
    """A call whose runs have these scores of 60 users by label and repetition."""
    store = ResultsStore(tmp_path / "results")

    def make(scores: dict[str, Any], n_seeds: int, names: Any = ("tiktok",), n_users: int = 60) -> Material:
        facts, records = [make_facts(name) for name in names], []
        for each in facts:
            for label, rows in scores.items():
                for repetition, values in enumerate(rows):
                    key = f"{each.name}-{label}-{repetition}"
                    means = {metric: float(np.mean(values)) for metric in (*COMPARED, "recall@20")}
                    records.append(make_record(label, repetition, means, each, key=key, n_users=len(values)))
                    users = np.arange(len(values))
                    lists = TopK(users, np.zeros((len(users), TOPK_DEPTH), dtype=np.int64), 0)
                    store.write_topk(key, lists, dict.fromkeys((*COMPARED, "recall@20"), np.asarray(values)))
        return Material({}, list(scores), records, n_seeds, paper, store, recorded=facts)

    return make


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    """LUDP far above MF, LightGCN like LUDP, GRCN above all, but with one repetition of three."""
    rng = np.random.default_rng(19)
    base = rng.random((3, 60)) / 4
    return {
        "ludp": base + 0.3,
        "mf": base + 0.1 * rng.random((3, 60)),
        "lightgcn": base + 0.3 + 0.1 * (rng.random((3, 60)) - 0.5),
        "grcn": base[:1] + 0.7,
    }


def rows_of(table: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_table3_stars_what_differs_and_gives_the_interval(material: Any, scores: Any) -> None:
    table = table3_of(material(scores, 3))
    cells = {row.cells[0].text: row.cells[2].text for row in table.blocks[0].rows}
    assert cells["MF"].endswith(" *")
    assert cells["GRCN"].endswith("(1 of 3 seeds)")
    assert not any(cells[name].endswith("*") for name in ("LUDP", "LightGCN", "GRCN", "%Improv."))
    assert "* marks a score that differs from LUDP's" in table.caption
    by_model = {row["model"]: row for row in rows_of(table) if row["metric"] == R10}
    lead = (scores["ludp"] - scores["mf"]).mean()
    assert float(by_model["mf"]["ci_low"]) < lead < float(by_model["mf"]["ci_high"])
    assert float(by_model["mf"]["p_holm"]) < 0.05 < float(by_model["lightgcn"]["p_holm"])
    assert {by_model[name][column] for name in ("grcn", "ludp") for column in ("p_holm", "ci_low")} == {""}


def test_every_table_has_the_same_p_value_of_a_pair(material: Any) -> None:
    """20 rows have 190 pairs, which need more flips than 19 rows against one."""
    names = ["mf", *(f"ludp@{number}" for number in range(19))]
    rng = np.random.default_rng(43)
    scores = {name: 0.3 * sparse(rng, 3, 60) for name in names}
    call = material(scores | {"mf": np.ones((3, 60))}, 3)
    (facts,) = call.facts
    alone, (ours, _) = compare_with_reference(call, facts), compare_all(call, facts)
    assert {key: each.p for key, each in alone.contrasts.items()} == {
        key: each.p for key, each in ours.contrasts.items()
    }
    assert (
        min(each.p for each in alone.contrasts.values()) == 1 / MOST_FLIPS
    )  # 2,000 for each of 190 pairs would be more


def test_without_the_papers_model_the_first_row_is_the_reference(material: Any, scores: Any) -> None:
    scores["lattice"] = scores.pop("ludp")
    call = material({name: scores[name] for name in ("lightgcn", "mf", "lattice")}, 3)
    assert call.reference == "lightgcn"
    table = table3_of(call)
    cells = {row.cells[0].text: row.cells[2].text for row in table.blocks[0].rows}
    assert [name for name, text in cells.items() if text.endswith(" *")] == ["MF"]
    assert "* marks a score that differs from LightGCN's" in table.caption
    assert not {"LUDP", "paper"} & set(re.findall(r"\w+", f"{table.name} {table.caption}"))
    shown = significance_table(call)
    assert [[cell.text for cell in row.cells[:2]] for row in shown.blocks[0].rows] == [
        ["LightGCN", "MF"], ["LightGCN", "LATTICE"],
    ]  # fmt: skip
    assert "LightGCN against every other row" in shown.caption


def test_any_row_can_be_the_reference(material: Any, scores: Any) -> None:
    call = replace(material(scores, 3), asked_reference="mf")
    call.__dict__["facts"] = material(scores, 3).facts
    table = table3_of(call)
    cells = {row.cells[0].text: row.cells[2].text for row in table.blocks[0].rows}
    assert [name for name, text in cells.items() if text.endswith(" *")] == ["LightGCN", "LUDP"]
    assert cells["%Improv."].startswith("-")
    assert "%Improv. is MF against the best other model." in table.caption
    assert {row.cells[0].text for row in significance_table(call).blocks[0].rows} == {"MF"}


@pytest.mark.parametrize(("n_seeds", "words"), [(1, "one seed"), (2, "2 seeds")])
def test_below_three_seeds_nothing_is_tested(material: Any, scores: Any, n_seeds: int, words: str) -> None:
    scores["ludp@features=noise"] = scores["mf"]
    call = material({name: rows[:n_seeds] for name, rows in scores.items()}, n_seeds)
    said = f"Differences of {words} are not tested; --seeds 3 or more make it possible."
    for table in (table3_of(call), significance_table(call), ablation_table(call)):
        assert said in table.caption
        assert "*" not in to_markdown(table).replace("**", "")
        assert "p < 0.05" not in table.caption
    assert rows_of(significance_table(call)) == []
    assert {row["p_holm"] for row in rows_of(table3_of(call))} == {""}
    assert to_latex(significance_table(call)).count("tabular") == 0


def test_a_partial_result_shows_as_partial_and_is_not_compared(material: Any, scores: Any) -> None:
    call = material(scores, 3)
    table = significance_table(call)
    shown = {row.cells[1].text: [cell.text for cell in row.cells[2:]] for row in table.blocks[0].rows}
    assert len(table.blocks) == len(COMPARED)
    assert shown["GRCN"] == ["– (GRCN: 1 of 3 seeds)", *["–"] * 4]
    assert shown["MF"][2] == "<0.001 *"
    assert not shown["LightGCN"][2].endswith("*")
    partial = [row for row in rows_of(table) if "grcn" in (row["first"], row["second"])]
    assert len(partial) == 3 * (1 + 3)
    assert {(row["p_holm"], row["difference"], row["not_compared"]) for row in partial} == {
        ("", "", "GRCN: 1 of 3 seeds")
    }
    (family, everything) = compare_all(call, call.facts[0])
    assert (family.size, everything.size) == (2, 3)
    assert {row["family_size"] for row in rows_of(table) if row["family"] == "all pairs"} == {"3"}


def test_ablations_are_tested_against_the_content_as_given(material: Any, scores: Any) -> None:
    """LUDP loses without its content, and says so; a constant row is like it, and noise lacks a repetition."""
    own, chance = scores["ludp"], scores["lightgcn"]
    table = ablation_table(
        material(
            {
                "vbpr": own[:1],
                "vbpr@features=shuffled": own[:1],
                "ludp": own,
                "ludp@features=shuffled": own - 0.1,
                "ludp@features=noise": own[:1],
                "ludp@features=constant": chance,
            },
            3,
        )
    )
    shown = [cell.text for cell in table.blocks[0].rows[0].cells[5:]]
    assert shown[0].startswith(f"{-0.1 / own.mean():+.1%} [")
    assert [each.endswith(" *") for each in shown] == [True, False, False]
    assert shown[1] == ""
    by_label = {row["model"]: row for row in rows_of(table) if row["metric"] == R10}
    lost, same = by_label["ludp@features=shuffled"], by_label["ludp@features=constant"]
    assert float(lost["difference"]) == pytest.approx(-0.1)
    assert float(lost["p_holm"]) == pytest.approx(2 * float(lost["p"]))
    assert float(lost["p_holm"]) < 0.05 < float(same["p_holm"])
    assert float(same["difference"]) == pytest.approx((chance - own).mean())
    assert {by_label[name]["p"] for name in ("ludp", "ludp@features=noise", "vbpr")} == {""}
    assert "corrected by Holm's method" in table.caption


def test_every_kind_of_content_is_tested_for_every_model() -> None:
    pairs = [(f"{model}@features={kind}", model) for model in CONTENT_MODELS for kind in CONTENT_ABLATIONS]
    assert ablation_pairs() == pairs


def test_every_pair_is_in_the_csv_under_its_family(material: Any, scores: Any) -> None:
    call = material(scores, 3)
    rows = rows_of(significance_table(call))
    assert len(rows) == 3 * (3 + 6)
    tested = compare_with_reference(call, call.facts[0])
    for row in rows:
        if row["family"] == tested.family and not row["not_compared"]:
            expected = tested.contrasts[row["metric"], (row["first"], row["second"])]
            assert float(row["p_holm"]) == expected.p_corrected  # Table 3 and this one say the same
            assert [float(p) for p in row["p_by_seed"].split(";")] == list(expected.p_by_seed)
    two = [float(r["p_holm"]) for r in rows if (r["metric"], r["first"], r["second"]) == (R10, "ludp", "mf")]
    assert two[0] <= two[1]  # the larger family is corrected more
    for text in (to_markdown(significance_table(call)), to_latex(significance_table(call))):
        assert "tiktok [real, random split]" in text.replace("\\[", "[")


def test_rows_without_runs_say_so(material: Any, scores: Any) -> None:
    nothing = significance_table(material({"mf": scores["mf"][:0], "ludp": scores["mf"][:0]}, 3))
    assert nothing.blocks[0].rows[0].cells[2].text == "– (LUDP: no finished run, MF: no finished run)"


def test_other_users_or_lost_lists_are_refused(material: Any, scores: Any) -> None:
    scores["mf"] = scores["mf"][:, :50]
    call = material(scores, 3)
    with pytest.raises(ResultsError, match=r"tiktok-lightgcn-0 .* cover other users .*--on-existing rerun"):
        significance_table(call)
    (call.store.root / "topk" / "tiktok-ludp-1.npz").unlink()
    with pytest.raises(ResultsError, match=r"tiktok-ludp-1 .* it is missing"):
        read_user_scores(call, call.facts[0], ["ludp"])


def test_ranks_friedman_and_the_critical_difference() -> None:
    means = pd.DataFrame([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [5.0, 5.0, 1.0]], columns=list("abc"))
    ranking = Ranking(means, ())
    assert ranking.ranks.mean().tolist() == pytest.approx([1.5 - 1 / 3, 2.5 - 1 / 3, 8 / 3])
    assert ranking.friedman() == pytest.approx(tuple(stats.friedmanchisquare(*means.to_numpy().T)))
    assert ranking.critical_difference() == pytest.approx(
        2.343 * np.sqrt(3 * 4 / (6 * 3)), rel=1e-3
    )  # Demsar's table


def test_nemenyi_and_the_critical_difference_agree() -> None:
    rng = np.random.default_rng(23)
    ranking = Ranking(pd.DataFrame(rng.random((20, 5)) + np.linspace(0, 0.9, 5), columns=list("abcde")), ())
    average, p = ranking.ranks.mean(), ranking.nemenyi()
    differ = [
        abs(average[a] - average[b]) > ranking.critical_difference() for a, b in itertools.combinations("abcde", 2)
    ]
    assert differ == [p.loc[a, b] < 0.05 for a, b in itertools.combinations("abcde", 2)]
    assert {True, False} == set(differ)


FIVE_SETS = ("tiktok", "movielens", "baby", "sports", "clothing")


@pytest.mark.parametrize(("names", "is_made"), [(FIVE_SETS, True), (FIVE_SETS[:4], False)])
def test_the_diagram_needs_five_data_sets(make_facts: Any, names: tuple[str, ...], is_made: bool) -> None:
    facts = [make_facts(name, data_hash=name[:1] * 16) for name in names]
    assert has_enough_data(facts) is is_made
    assert (with_rows(["cd"], facts, ["mf"], ()) == ["cd"]) is is_made
    again = [each.model_copy(update={"split": "user", "split_hash": "9" * 16}) for each in facts]
    assert has_enough_data([*facts, *again]) is is_made


def test_the_diagram_leaves_out_what_is_partial(material: Any, scores: Any, tmp_path: Any) -> None:
    figure = critical_figure(material(scores, 3, FIVE_SETS))
    assert figure.caption.startswith("Average ranks of the models by test Recall@20 over 5 data sets; 1 is the")
    assert "critical difference" in figure.caption
    assert "Left out, because runs are missing on some data set: GRCN." in figure.notes
    averages = {row[8]: row[11] for row in figure.csv_rows}
    assert set(averages) == {"ludp", "mf", "lightgcn"}
    assert averages["mf"] == 3.0
    assert all(path.stat().st_size for path in write_figure(figure, tmp_path, "cd"))


def test_two_splits_of_the_same_data_are_one_data_set(material: Any, scores: Any) -> None:
    call = material(scores, 3, ("tiktok", "tiktok@shipped", "movielens"))
    facts = [
        each.model_copy(update={"split": "shipped"}) if each.name == "tiktok@shipped" else each
        for each in call.facts
    ]
    records = [
        record.model_copy(update={"data": next(each for each in facts if each.name == record.data.name)})
        for record in call.records
    ]
    both = Material({}, call.labels, records, 3, call.paper, call.store, recorded=facts)
    figure = critical_figure(both)
    assert "over 2 data sets" in figure.caption
    assert {row[0] for row in figure.csv_rows} == {"tiktok", "movielens"}
    assert any("tiktok [real, shipped split]: not counted" in note for note in figure.notes)


def test_the_diagram_says_when_there_is_nothing_to_test(material: Any, scores: Any, tmp_path: Any) -> None:
    few = critical_figure(material({name: scores[name] for name in ("ludp", "mf")}, 3))
    assert "Nothing is tested: 2 complete models, at least 3 are needed." in few.caption
    write_figure(few, tmp_path, "cd")
    assert "<text" in (tmp_path / "cd.svg").read_text(encoding="utf-8")
    one = Ranking(pd.DataFrame([[1.0, 2.0, 3.0]], columns=list("abc")), ())
    assert one.untestable == "1 independent data set, at least 5 are needed"
    tied = Ranking(pd.DataFrame(np.ones((5, 3)), columns=list("abc")), ())
    assert tied.untestable == "all models are tied everywhere"
