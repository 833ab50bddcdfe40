"""Means that mix nothing, and gaps that stay gaps."""

import random

import pandas as pd
import pytest

from bench.core.errors import ResultsError, UsageError
from bench.core.protocol import CUTOFFS, METRICS, PROTOCOLS
from bench.report.scores import COLUMNS, distinct_data, tidy


def cell(frame, label="ludp", metric="recall@10", part="test"):
    found = frame[(frame.label == label) & (frame.metric == metric) & (frame.part == part)]
    assert len(found) == 1
    return found.iloc[0]


def test_mean_and_sample_deviation_by_hand(make_record):
    frame = tidy([make_record(repetition=i, scores=value) for i, value in enumerate((0.1, 0.2, 0.6))], 3)
    row = cell(frame)
    assert row["mean"] == pytest.approx(0.3, abs=1e-15)
    assert row.sd == pytest.approx(0.07**0.5, abs=1e-15)  # ((.2)^2 + (.1)^2 + (.3)^2) / 2
    assert (row.n_runs, row.n_failed, row.n_asked) == (3, 0, 3)
    assert row["values"] == [0.1, 0.2, 0.6]
    assert row.repetitions == [0, 1, 2]
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 2 * len(METRICS) * len(CUTOFFS)


def test_one_run_has_no_deviation(make_record):
    row = cell(tidy([make_record(scores=0.123456789012345)], 1))
    assert row["mean"] == 0.123456789012345
    assert pd.isna(row.sd)


def test_a_failed_run_is_counted_and_not_averaged(make_record, make_failed):
    row = cell(
        tidy([make_record(scores=0.2), make_record(repetition=1, scores=0.4), make_failed(repetition=2)], 3)
    )
    assert row["mean"] == pytest.approx(0.3, abs=1e-15)
    assert (row.n_runs, row.n_failed, row.n_asked) == (2, 1, 3)


def test_metrics_in_a_failed_record_are_ignored(make_record):
    broken = make_record(repetition=1, scores=0.9, status="failed")
    row = cell(tidy([make_record(scores=0.2), broken], 2))
    assert (row["mean"], row.n_runs) == (0.2, 1)


def test_only_failures_leave_null_rows_for_every_metric(make_failed):
    frame = tidy([make_failed()], 3)
    assert len(frame) == 2 * len(METRICS) * len(CUTOFFS)
    assert frame["mean"].isna().all()
    assert set(frame.n_runs) == {0}


def test_no_records_give_an_empty_frame_with_all_columns():
    frame = tidy([], 3)
    assert tuple(frame.columns) == COLUMNS
    assert frame.empty


@pytest.mark.parametrize("field", ["data_hash", "split_hash", "split", "source"])
def test_different_data_or_split_is_another_row(make_facts, make_record, field):
    other = make_facts(**{field: "surrogate" if field == "source" else "other"})
    frame = tidy([make_record(scores=0.1), make_record(scores=0.3, facts=other)], 1)
    found = frame[(frame.metric == "recall@10") & (frame.part == "test")]
    assert sorted(found["mean"]) == [0.1, 0.3]
    assert set(found.n_runs) == {1}


@pytest.mark.parametrize(
    "change", [{"version": "1"}, {"hide_at_test": "train"}, {"patience": 40}, {"used": PROTOCOLS["paper"]}]
)
def test_another_protocol_is_another_row(make_record, change):
    frame = tidy([make_record(scores=0.1), make_record(scores=0.3, **change)], 1)
    assert sorted(frame[(frame.metric == "recall@10") & (frame.part == "test")]["mean"]) == [0.1, 0.3]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"params": {"reg_weight": 0.2}}, "params_hash"),
        ({"max_epochs": 6}, "max_epochs"),
        ({"code_hash": "d" * 16}, "code_hash"),
        ({"base_seed": 2}, "base_seed"),
    ],
)
def test_configurations_of_one_label_are_never_mixed(make_record, change, field):
    records = [make_record(), make_record(repetition=1, key="odd-one", **change)]
    with pytest.raises(
        ResultsError, match=rf"'ludp' on tiktok \[real, random split\].*differ in {field}.*odd-one"
    ):
        tidy(records, 2)


def test_a_variant_may_have_its_own_configuration(make_record):
    frame = tidy([make_record(scores=0.1), make_record("ludp@literal", scores=0.3, params={"reg_weight": 0.7})], 1)
    assert cell(frame, "ludp")["mean"] == 0.1
    assert cell(frame, "ludp@literal")["mean"] == 0.3
    assert cell(frame, "ludp@literal").model == "ludp"


def test_a_repetition_counts_once(make_record, make_failed):
    with pytest.raises(ResultsError, match=r"Repetition 0 .* appears 2 times: first, second"):
        tidy([make_record(key="first"), make_record(key="second")], 3)
    with pytest.raises(ResultsError, match="appears 2 times"):
        tidy([make_record(), make_failed()], 3)


def test_a_repetition_nobody_asked_for_is_refused(make_record):
    with pytest.raises(ResultsError, match="is repetition 3, but with 3 asked"):
        tidy([make_record(repetition=3)], 3)
    with pytest.raises(UsageError, match="0 repetitions"):
        tidy([], 0)


def test_unusable_metrics_are_refused(make_record):
    with pytest.raises(ResultsError, match="recall@10 = nan"):
        tidy([make_record(scores={"recall@10": float("nan")})], 1)
    with pytest.raises(ResultsError, match="holds no metrics"):
        tidy([make_record(metrics=None)], 1)
    short = make_record(repetition=1).model_dump()
    del short["metrics"]["test"]["values"]["ndcg@5"]
    with pytest.raises(ResultsError, match=r"test metrics: ndcg@5"):
        tidy([make_record(), type(make_record()).model_validate(short)], 2)


def test_the_order_of_the_records_does_not_matter(make_facts, make_record):
    generator = random.Random(3)
    records = [
        make_record(label, i, generator.random(), make_facts(name))
        for label in ("ludp", "mf")
        for name in ("tiktok", "movielens")
        for i in range(3)
    ]
    expected = tidy(records, 3)
    generator.shuffle(records)
    pd.testing.assert_frame_equal(tidy(records, 3), expected, check_exact=True)


def test_distinct_data_lists_each_data_once(make_facts, make_record):
    other = make_facts(data_hash="other")
    records = [make_record(), make_record("mf"), make_record("mf", facts=other)]
    assert distinct_data(records) == [make_facts(), other]
