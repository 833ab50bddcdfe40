"""How far a number may be from its baseline. Pure.

There are two questions, and a number answers both:

- **seeds**: is it where another seed of the same code would put it? The two-sided prediction interval for one more
  draw from the normal distribution that n seeds were drawn from, mean +- t(n - 1) s sqrt(1 + 1/n). The rate of
  false alarms is that of the whole check: it is divided by the number of intervals (Bonferroni, which holds
  whatever the dependence between them).
- **same seed**: is it what the baseline's own first seed gave? On the same machine and versions that is equal to
  the last bit, so the tolerance covers other machines only: a multiple of the largest difference that other vector
  instructions made when the baseline was measured. Asked only if the seeds are equal.

The first is blind to what moves less than seeds do; the second sees that too, and also changes that mean nothing,
such as another order of random draws. Numbers that no seed has a say in must be equal.

The data of the suite: generated, with items that training never sees and items without content.

It depends on nothing that a call can choose, so that its hash is part of a baseline. Reads its card only.

The numbers that the check compares, from a run's record and lists. Pure.

A number is there because some fault shows in it first:

| number | what moves it |
|---|---|
| valid, test precision, recall, ndcg @10, @20 | anything that changes the ranking; two cut-offs and three metrics, so that a fault in one formula, in the ideal DCG or in what is hidden at one of the two evaluations stands out |
| loss, first and last epoch | step size, initialisation, negatives, regularisation, batches; spreads least over seeds |
| coverage@10 | scores that collapse onto popular items, padding taken for an item |
| cold@10 | content that reaches no item without interactions, or the wrong one |
| best epoch | selection and early stopping |
| epochs, parameters, users valid, users test | what is trained, on what, and who is evaluated: equal for all seeds |
| seen@50, empty@50 | lists with items that must be hidden, or with places left empty |
| selection gap | the chosen epoch is not the best by validation |

Measured numbers against a baseline: a row for each comparison. Pure.
"""  # noqa: E501

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bench.checks.regression.baseline import Baseline, ModelRecord, NumberRecord, SuiteFacts
from bench.core.hashing import hash_array, hash_value
from bench.core.protocol import TOPK_DEPTH, metric_key
from bench.core.types import BenchmarkData, BoolArray, DataRequest, Metrics, Modality
from bench.data import cards
from bench.data.load import load_from_card
from bench.runs.list_files import StoredLists
from bench.runs.records import RunRecord

DRIFT_FACTOR = 4.0  # on the largest of a few differences; a further machine may show a larger one
LEAST_STEPS = 3.0  # no band is narrower than three hits, or three of whatever the number's step is
ROUNDING = 1e-9  # relative; means of the same values, added in another order


class Band(NamedTuple):
    """The values that are allowed, and the one that is expected."""

    expected: float
    low: float
    high: float

    @classmethod
    def around(cls, expected: float, half: float) -> Band:
        """The symmetric band."""
        return cls(expected, expected - half, expected + half)

    def holds(self, value: float) -> bool:
        """Whether a value lies in it; NaN does not."""
        return self.low <= value <= self.high


def seeds_band(values: Sequence[float], step: float, n_intervals: int, rate: float) -> Band:
    """The prediction interval for one more seed.

    Args:
        values: of the baseline's seeds, at least two.
        step: of the number, see `bench.checks.regression.compare.Value`.
        n_intervals: intervals among which the rate is divided.
        rate: chance that a check of unchanged code is red anywhere.
    """
    n = len(values)
    half = _quantile(1 - rate / (2 * n_intervals), n - 1) * statistics.stdev(values) * math.sqrt(1 + 1 / n)
    return Band.around(statistics.fmean(values), max(half, LEAST_STEPS * step))


@cache
def _quantile(probability: float, degrees: int) -> float:
    """Of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))


def same_seed_band(value: float, drift: float, step: float) -> Band:
    """What the same seed may give on another machine; `drift` is the largest difference that was measured."""
    return Band.around(value, max(DRIFT_FACTOR * drift, LEAST_STEPS * step, ROUNDING * abs(value)))


def speed_band(ratios: Sequence[float], max_slowdown: float) -> Band:
    """At most so many times the median of the baseline's ratios; faster is never wrong."""
    expected = statistics.median(ratios)
    return Band(expected, 0.0, max_slowdown * expected)


NAME = "smoke"
SEED = 2023
SPEED_SCALE = 3.0
COLD_EVERY = 15  # items without training interactions; the generator leaves next to none
ABSENT_EVERY = 8  # items without the last modality


def suite_data(scale: float = 1.0) -> BenchmarkData:
    """The data set of the metrics, or at another scale that of the speed."""
    card = cards.load(NAME, Path(__file__).parent)
    data = load_from_card(card, DataRequest(source="surrogate", scale=scale, base_seed=SEED))
    train = data.split.train
    split = replace(data.split, train=train.take(train.items % COLD_EVERY != 0))
    *others, last = data.modalities
    parts = (split.train, split.valid, split.test)
    return replace(
        data,
        split=split,
        modalities=(*others, _thinned(last)),
        data_hash=hash_value([data.data_hash, COLD_EVERY, ABSENT_EVERY]),
        split_hash=hash_value([split.name, *(hash_array(part.keys) for part in parts)]),
    )


def cold_items(data: BenchmarkData) -> BoolArray:
    """Which items no training interaction has, `[n_items]`."""
    cold: BoolArray = np.bincount(data.split.train.items, minlength=data.n_items) == 0
    return cold


def _thinned(modality: Modality) -> Modality:
    """A modality that some items lack."""
    present = modality.present & (np.arange(len(modality.present)) % ABSENT_EVERY != 0)
    fingerprint = hash_value([modality.fingerprint, ABSENT_EVERY])
    return replace(modality, matrix=modality.matrix * present[:, None], present=present, fingerprint=fingerprint)


CUTOFFS = (10, 20)
LOSS_RESOLUTION = 1e-6  # of a loss itself: sums of thousands of 32-bit values


class Value(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        step: the least by which it can differ, such as one hit of one user; 0 where the seed has no say in it.
    """

    value: float
    step: float


def numbers_of(record: RunRecord, lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    """All numbers of a finished run by name.

    Args:
        record: the run's.
        lists: its test lists.
        data: what it was made on.

    Raises:
        ValueError: the run is not finished.
    """
    if record.metrics is None or record.cost is None or record.best_epoch is None:
        raise ValueError(f"the run {record.key} is not finished")
    valid, test = record.metrics.valid, record.metrics.test
    chooses = record.protocol.selection_metric
    best = max(epoch.valid[chooses] for epoch in record.curve)
    counts = {
        "epochs": record.cost.epochs,
        "parameters": record.cost.n_parameters,
        "users valid": valid.n_users,
        "users test": test.n_users,
        "selection gap": best - valid.values[chooses],
        **_list_counts(lists, data),
    }
    losses = [epoch.loss for epoch in (record.curve[0], record.curve[-1])]
    found = {**_metrics("valid", valid), **_metrics("test", test)}
    for name, loss in zip(("loss, first epoch", "loss, last epoch"), losses, strict=True):
        if loss is not None:  # a control has none
            found[name] = Value(loss, LOSS_RESOLUTION * abs(loss))
    found |= {"best epoch": Value(record.best_epoch, 1.0), **_list_shares(lists, data)}
    return found | {name: Value(float(value), 0.0) for name, value in counts.items()}


def _metrics(part: str, metrics: Metrics) -> dict[str, Value]:
    """One hit of one user is the step of recall and NDCG at most, and of precision exactly."""
    found = {}
    for cutoff in CUTOFFS:
        for metric, hit in (("precision", 1 / cutoff), ("recall", 1.0), ("ndcg", 1.0)):
            key = metric_key(metric, cutoff)
            found[f"{part} {key}"] = Value(metrics.values[key], hit / metrics.n_users)
    return found


def _list_shares(lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    top = lists.items[:, : CUTOFFS[0]]
    shown = np.unique(top[top >= 0])
    cold = cold_items(data)[top] & (top >= 0)
    return {
        f"coverage@{CUTOFFS[0]}": Value(len(shown) / data.n_items, 1 / data.n_items),
        f"cold@{CUTOFFS[0]}": Value(float(cold.mean()), 1 / len(top)),  # most models show none: a rare event
    }


def _list_counts(lists: StoredLists, data: BenchmarkData) -> dict[str, float]:
    """Shares of the places: those whose item the user has in training or validation, and those without item."""
    keys = lists.users[:, None] * data.n_items + lists.items
    seen = np.concatenate([data.split.train.keys, data.split.valid.keys])
    hidden = np.isin(keys, seen) & (lists.items >= 0)
    return {
        f"seen@{TOPK_DEPTH}": float(hidden.mean()),
        f"empty@{TOPK_DEPTH}": float((lists.items < 0).mean()),
    }


Against = Literal["suite", "run", "constant", "same seed", "seeds", "speed"]
MISSING = "nothing"
FEW_SEEDS = 5  # of a baseline; the interval of fewer may well hold every value
SPEED = "epoch / reference"
STEPS_APART = 10  # a step is a share of a number, and seeds' numbers differ less than so many times


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        model: name, "" for the suite itself.
        number: what is compared.
        against: the question that is asked; see `bench.checks.regression.compare`.
        expected, got: as they are shown.
        tolerance: in words; "" where the two must be equal.
        holds: the answer.
        equal: whether the two are equal to the last bit.
    """

    model: str
    number: str
    against: Against
    expected: str
    got: str
    tolerance: str
    holds: bool
    equal: bool = False


@dataclass(frozen=True)
class Measured:
    """What a run of a model gave: its numbers, or why there are none."""

    numbers: Mapping[str, Value]
    failure: str = ""


def compare_suite(expected: SuiteFacts, got: SuiteFacts) -> list[Row]:
    """The data, the split and the rules; where one differs, no number can be compared."""
    pairs = {name: (str(value), str(getattr(got, name))) for name, value in expected.model_dump().items()}
    return [
        Row("", name.replace("_", " "), "suite", one, other, "", one == other, one == other)
        for name, (one, other) in pairs.items()
    ]


def compare_numbers(baseline: Baseline, name: str, measured: Measured, base_seed: int) -> list[Row]:
    """All comparisons of one model's run, or the one that says why there are none.

    Args:
        baseline: knows the model.
        name: of the model.
        measured: its run.
        base_seed: root of the run's seeds; equal to the baseline's where the run repeats its first one.
    """
    if measured.failure:
        return [Row(name, "run", "run", "finished", measured.failure, "", False)]
    expected = baseline.models[name].numbers
    same_seed = base_seed == baseline.base_seed
    rows = []
    for number in dict.fromkeys([*expected, *measured.numbers]):
        known, got = expected.get(number), measured.numbers.get(number)
        if known is None or got is None:
            one, other = (MISSING if each is None else "a number" for each in (known, got))
            rows.append(Row(name, number, "run", one, other, "", False))
            continue
        if known.step > STEPS_APART * got.step:
            steps = f"a step of {known.step:.3g}", f"a step of {got.step:.3g}"
            rows.append(Row(name, number, "run", *steps, "", False))
        for against, band in _bands(known, baseline, same_seed):
            rows.append(_row(name, number, against, band, got.value))
            few = against == "seeds" and len(known.values) < FEW_SEEDS  # wide for want of seeds, as it should be
            if known.is_random and not few and _allows_all(number, band):
                rows.append(Row(name, number, against, "a band", "one that allows every value", "", False))
    return rows


def _allows_all(number: str, band: Band) -> bool:
    """Whether a band is so wide that no fault could leave it: all metrics from 0 to 1, or all losses."""
    if number.startswith("loss"):
        return band.low <= 0
    return number.startswith(("valid ", "test ")) and band.low <= 0 and band.high >= 1


def _bands(known: NumberRecord, baseline: Baseline, same_seed: bool) -> list[tuple[Against, Band]]:
    exact = same_seed_band(known.values[0], known.drift, known.step)
    if not known.is_random:
        return [("constant", exact)]
    over_seeds = seeds_band(known.values, known.step, baseline.n_intervals, baseline.false_alarm_rate)
    return [("same seed", exact), ("seeds", over_seeds)] if same_seed else [("seeds", over_seeds)]


def unmeasured_speed(name: str) -> Row:
    """Make the row of a model with epochs whose speed the baseline does not hold."""
    return Row(name, SPEED, "speed", MISSING, "a number", "", False)


def compare_speed(name: str, known: ModelRecord, ratio: float, max_slowdown: float) -> Row:
    """An epoch's share of the reference computation against the baseline's."""
    return _row(name, SPEED, "speed", speed_band(known.speed, max_slowdown), ratio)


def _row(model: str, number: str, against: Against, band: Band, got: float) -> Row:
    half = band.high - band.expected
    tolerance = f"at most {band.high:.4g}" if against == "speed" else f"± {half:.2g}"
    expected, found = f"{band.expected:.6g}", f"{got:.6g}"
    if expected == found and band.expected != got:
        expected, found = repr(band.expected), repr(got)
    return Row(model, number, against, expected, found, tolerance, band.holds(got), band.expected == got)
