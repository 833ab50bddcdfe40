"""Means that mix nothing, and gaps that stay gaps."""

import random

import pytest

from bench.core.errors import ResultsError, UsageError
from bench.core.protocol import CUTOFFS, METRICS, PROTOCOLS, metric_key
from bench.report.scores import Score, Scores


@pytest.fixture
def score(make_facts):
    def look_up(scores, label="ludp", facts=None):
        return scores.get(facts or make_facts(), label, "recall@10")

    return look_up


def test_mean_and_sample_deviation_by_hand(make_record, score):
    values = (0.1, 0.2, 0.6)
    found = score(Scores([make_record(repetition=i, scores=value) for i, value in enumerate(values)], 3))
    assert found.mean == pytest.approx(0.3, abs=1e-15)
    assert found.sd == pytest.approx(0.07**0.5, abs=1e-15)  # ((.2)^2 + (.1)^2 + (.3)^2) / 2
    assert (found.n_runs, found.n_failed, found.n_asked) == (3, 0, 3)


def test_every_metric_of_the_runs_is_found(make_facts, make_record):
    metrics = [metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS]
    values = {metric: place / 100 for place, metric in enumerate(metrics)}
    scores = Scores([make_record(scores=values)], 1)
    assert {metric: scores.get(make_facts(), "ludp", metric).mean for metric in metrics} == values
    scores.require(metrics)


def test_one_run_has_no_deviation(make_record, score):
    found = score(Scores([make_record(scores=0.123456789012345)], 1))
    assert found.mean == 0.123456789012345
    assert found.sd is None


def test_a_failed_run_is_counted_and_not_averaged(make_record, make_failed, score):
    records = [make_record(scores=0.2), make_record(repetition=1, scores=0.4), make_failed(repetition=2)]
    found = score(Scores(records, 3))
    assert (found.mean, found.sd) == (None, None)  # two of three could be the lucky ones
    assert (found.n_runs, found.n_failed, found.n_asked, found.progress) == (2, 1, 3, "2 of 3")
    whole = score(Scores(records[:2], 2))
    assert (whole.mean, whole.n_failed) == (pytest.approx(0.3, abs=1e-15), 0)


def test_metrics_in_a_failed_record_are_ignored(make_record, score):
    broken = make_record(repetition=1, scores=0.9, status="failed")
    found = score(Scores([make_record(scores=0.2), broken], 2))
    assert (found.mean, found.n_runs, found.n_failed) == (None, 1, 1)


def test_only_failures_leave_empty_scores_for_every_metric(make_facts, make_failed):
    scores = Scores([make_failed()], 3)
    for metric in (metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS):
        assert scores.get(make_facts(), "ludp", metric) == Score(n_runs=0, n_failed=1, n_asked=3)
        scores.require([metric])


def test_no_records_give_empty_scores_and_no_protocol(score):
    scores = Scores([], 3)
    assert score(scores) == Score()
    assert (scores.protocol, scores.hide_at_test, scores.n_asked) == (None, None, None)
    assert scores.selection_metric == PROTOCOLS["field"].selection_metric
    scores.require(["no metric is missed"])


@pytest.mark.parametrize("field", ["data_hash", "split_hash", "split", "source"])
def test_different_data_or_split_is_another_row(make_facts, make_record, score, field):
    other = make_facts(**{field: "surrogate" if field == "source" else "other"})
    scores = Scores([make_record(scores=0.1), make_record(scores=0.3, facts=other)], 1)
    found = [score(scores), score(scores, facts=other)]
    assert [each.mean for each in found] == [0.1, 0.3]
    assert {each.n_runs for each in found} == {1}


@pytest.mark.parametrize(
    "change", [{"version": "1"}, {"hide_at_test": "train"}, {"patience": 40}, {"used": PROTOCOLS["paper"]}]
)
def test_another_protocol_is_never_mixed_in(make_record, score, change):
    records = [make_record(scores=0.1), make_record(scores=0.3, **change)]
    with pytest.raises(ResultsError, match="differ in protocol: p"):
        Scores(records, 1)
    assert [score(Scores([record], 1)).mean for record in records] == [0.1, 0.3]


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
        Scores(records, 2)


def test_a_variant_may_have_its_own_configuration(make_record, score):
    literal = make_record("ludp@literal", scores=0.3, params={"reg_weight": 0.7})
    scores = Scores([make_record(scores=0.1), literal], 1)
    assert score(scores, "ludp").mean == 0.1
    assert score(scores, "ludp@literal").mean == 0.3


def test_a_repetition_counts_once(make_record, make_failed):
    with pytest.raises(ResultsError, match=r"Repetition 0 .* appears 2 times: first, second"):
        Scores([make_record(key="first"), make_record(key="second")], 3)
    with pytest.raises(ResultsError, match="appears 2 times"):
        Scores([make_record(), make_failed()], 3)


def test_a_repetition_nobody_asked_for_is_refused(make_record):
    with pytest.raises(ResultsError, match="is repetition 3, but with 3 requested"):
        Scores([make_record(repetition=3)], 3)
    with pytest.raises(UsageError, match="0 repetitions"):
        Scores([], 0)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_unusable_metrics_are_refused(make_record, part):
    unusable = make_record().model_dump()
    unusable["metrics"][part]["values"]["recall@10"] = float("nan")
    with pytest.raises(ResultsError, match=f"{part} recall@10 = nan"):
        Scores([type(make_record()).model_validate(unusable)], 1)
    with pytest.raises(ResultsError, match="has no metrics"):
        Scores([make_record(metrics=None)], 1)
    short = make_record(repetition=1).model_dump()
    del short["metrics"][part]["values"]["ndcg@5"]
    with pytest.raises(ResultsError, match=rf"{part} metrics: ndcg@5"):
        Scores([make_record(), type(make_record()).model_validate(short)], 2)


def test_the_order_of_the_records_does_not_matter(make_facts, make_record):
    generator = random.Random(3)
    records = [
        make_record(label, i, generator.random(), make_facts(name))
        for label in ("ludp", "mf")
        for name in ("tiktok", "movielens")
        for i in range(3)
    ]
    expected = vars(Scores(records, 3))
    generator.shuffle(records)
    assert vars(Scores(records, 3)) == expected
