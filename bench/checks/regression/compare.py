"""The numbers that the regression check compares: the data that they come from, their bands, and the comparison.

Reads the card of the suite's data; writes nothing.

A number is compared in two ways:

- **seeds**: is it where another seed of the same code would put it? The band is the two-sided prediction interval for
  one more draw from the normal distribution that n seeds were drawn from, mean +- t(n - 1) s sqrt(1 + 1/n). The rate
  of false alarms is that of the whole check: it is divided by the number of intervals (Bonferroni, which holds
  whatever the dependence between them).
- **same seed**: is it what the baseline's own first seed gave? Compared only if the seeds are equal. On the same
  machine and versions the two are equal to the last bit; the tolerance is three steps. Another processor rounds
  otherwise, so there a miss is only a warning. Baselines of earlier versions hold a drift: the largest difference
  that older vector instructions made. Where it is known, the tolerance is a multiple of it, and a miss counts.

The first does not see changes that are smaller than those between seeds. The second sees them, but also harmless
changes, such as another order of random draws. Numbers that do not depend on seeds must be equal.

Each number is included because some fault shows in it first:

| number | what moves it |
|---|---|
| valid, test precision, recall, ndcg @10, @20 | anything that changes the ranking; two cut-offs and three metrics, so that a fault in one formula, in the ideal DCG or in what is hidden at one of the two evaluations stands out |
| loss, first and last epoch | step size, initialisation, negatives, regularisation, batches; spreads least over seeds |
| coverage@10 | scores that collapse onto popular items, padding taken for an item |
| cold@10 | content that does not reach items without interactions, or reaches the wrong one |
| best epoch | selection and early stopping |
| epochs, parameters, users valid, users test | what is trained, on what, and who is evaluated: equal for all seeds |
| seen@50, empty@50 | lists with items that must be hidden, or with empty places |
| selection gap | the chosen epoch is not the best by validation |
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

DRIFT_FACTOR = 4.0  # on the largest of a few differences; another machine may show a larger one
LEAST_STEPS = 3.0  # no band is narrower than three steps of the number, such as three hits
ROUNDING = 1e-9  # relative; means of the same values, added in another order
NAME = "smoke"
SEED = 2023
SPEED_SCALE = 3.0
COLD_EVERY = 15  # every so many-th item loses its training interactions; the generator makes almost no cold item
ABSENT_EVERY = 8  # every so many-th item loses the last modality
CUTOFFS = (10, 20)
LOSS_RESOLUTION = 1e-6  # relative; a loss is a sum of thousands of 32-bit values
MISSING = "nothing"
FEW_SEEDS = 5  # the interval of a baseline with fewer seeds may well hold every value
SPEED = "epoch / reference"
STEPS_APART = 10  # a larger ratio of two steps is a fault: a step is a share of a number, and seeds differ by less


class Band(NamedTuple):
    """An expected value and the interval of allowed values."""

    expected: float
    low: float
    high: float

    @classmethod
    def around(cls, expected: float, half: float) -> Band:
        """Return the symmetric band."""
        return cls(expected, expected - half, expected + half)

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the band; NaN does not."""
        return self.low <= value <= self.high


def seeds_band(values: Sequence[float], step: float, n_intervals: int, rate: float) -> Band:
    """Return the prediction interval for one more seed.

    Args:
        values: values of the baseline's seeds, at least two.
        step: step of the number, see `Value`.
        n_intervals: number of intervals that share the rate.
        rate: probability that a check of unchanged code fails anywhere.
    """
    n = len(values)
    half = _quantile(1 - rate / (2 * n_intervals), n - 1) * statistics.stdev(values) * math.sqrt(1 + 1 / n)
    return Band.around(statistics.fmean(values), max(half, LEAST_STEPS * step))


@cache
def _quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))


def same_seed_band(value: float, drift: float | None, step: float) -> Band:
    """Return the band for the same seed; `drift` is the largest difference between machines, if measured."""
    return Band.around(value, max(DRIFT_FACTOR * (drift or 0.0), LEAST_STEPS * step, ROUNDING * abs(value)))


def speed_band(ratios: Sequence[float], max_slowdown: float) -> Band:
    """Return the band up to `max_slowdown` times the median of the baseline's ratios; faster is allowed."""
    expected = statistics.median(ratios)
    return Band(expected, 0.0, max_slowdown * expected)


def suite_data(scale: float = 1.0) -> BenchmarkData:
    """Generate the data set of the metrics, or at another scale that of the speed."""
    # without any option of the call, so that its hash can be part of a baseline
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
    """Return which items have no training interaction, `[n_items]`."""
    cold: BoolArray = np.bincount(data.split.train.items, minlength=data.n_items) == 0
    return cold


def _thinned(modality: Modality) -> Modality:
    """Remove a modality from some items."""
    present = modality.present & (np.arange(len(modality.present)) % ABSENT_EVERY != 0)
    fingerprint = hash_value([modality.fingerprint, ABSENT_EVERY])
    return replace(modality, matrix=modality.matrix * present[:, None], present=present, fingerprint=fingerprint)


class Value(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        step: the smallest possible difference, such as one hit of one user; 0 if it does not depend on the seed.
    """

    value: float
    step: float


def numbers_of(record: RunRecord, lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    """Return all numbers of a finished run by name.

    Args:
        record: the run's record.
        lists: its test lists.
        data: the data set of the run.

    Raises:
        ValueError: the run is not finished.
    """
    if record.metrics is None or record.cost is None or record.best_epoch is None:
        raise ValueError(f"the run {record.key} is not finished")
    valid, test = record.metrics.valid, record.metrics.test
    metric = record.protocol.selection_metric
    best = max(epoch.valid[metric] for epoch in record.curve)
    exact = {
        "epochs": record.cost.epochs,
        "parameters": record.cost.n_parameters,
        "users valid": valid.n_users,
        "users test": test.n_users,
        "selection gap": best - valid.values[metric],
        **_list_places(lists, data),
    }
    losses = [epoch.loss for epoch in (record.curve[0], record.curve[-1])]
    numbers = {**_metrics("valid", valid), **_metrics("test", test)}
    for name, loss in zip(("loss, first epoch", "loss, last epoch"), losses, strict=True):
        if loss is not None:  # a control has none
            numbers[name] = Value(loss, LOSS_RESOLUTION * abs(loss))
    numbers |= {"best epoch": Value(record.best_epoch, 1.0), **_list_shares(lists, data)}
    return numbers | {name: Value(float(value), 0.0) for name, value in exact.items()}


def _metrics(part: str, metrics: Metrics) -> dict[str, Value]:
    """Return the metrics of one part as numbers."""
    numbers = {}
    for cutoff in CUTOFFS:
        # one hit of one user changes precision by exactly so much, recall and NDCG by at most so much
        for metric, hit in (("precision", 1 / cutoff), ("recall", 1.0), ("ndcg", 1.0)):
            key = metric_key(metric, cutoff)
            numbers[f"{part} {key}"] = Value(metrics.values[key], hit / metrics.n_users)
    return numbers


def _list_shares(lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    top = lists.items[:, : CUTOFFS[0]]
    shown = np.unique(top[top >= 0])
    cold = cold_items(data)[top] & (top >= 0)
    return {
        f"coverage@{CUTOFFS[0]}": Value(len(shown) / data.n_items, 1 / data.n_items),
        f"cold@{CUTOFFS[0]}": Value(float(cold.mean()), 1 / len(top)),  # most models show none
    }


def _list_places(lists: StoredLists, data: BenchmarkData) -> dict[str, float]:
    """Return the shares of list places with an item of the user's training or validation, and without an item."""
    keys = lists.users[:, None] * data.n_items + lists.items
    seen = np.concatenate([data.split.train.keys, data.split.valid.keys])
    hidden = np.isin(keys, seen) & (lists.items >= 0)
    return {
        f"seen@{TOPK_DEPTH}": float(hidden.mean()),
        f"empty@{TOPK_DEPTH}": float((lists.items < 0).mean()),
    }


Against = Literal["suite", "run", "constant", "same seed", "seeds", "speed"]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a number with the baseline.

    Attributes:
        model: name of the model, "" for the suite itself.
        number: name of the number.
        against: the kind of comparison; see the head of this module.
        expected, got: both values as text.
        tolerance: the tolerance as text; "" if the two must be equal.
        holds: whether the value is in its band.
        equal: whether the two are equal to the last bit.
        is_required: whether the check fails if this does not hold; else it is a warning.
    """

    model: str
    number: str
    against: Against
    expected: str
    got: str
    tolerance: str
    holds: bool
    equal: bool = False
    is_required: bool = True

    @property
    def failed(self) -> bool:
        """Return whether the check fails for this comparison."""
        return self.is_required and not self.holds


@dataclass(frozen=True)
class Measured:
    """The numbers of a run, or why there are none."""

    numbers: Mapping[str, Value]
    failure: str = ""


def compare_suite(expected: SuiteFacts, got: SuiteFacts) -> list[Comparison]:
    """Compare the data, the split and the rules; if one differs, no number can be compared."""
    pairs = {name: (str(value), str(getattr(got, name))) for name, value in expected.model_dump().items()}
    return [
        Comparison("", name.replace("_", " "), "suite", one, other, "", one == other, one == other)
        for name, (one, other) in pairs.items()
    ]


def compare_numbers(
    baseline: Baseline, name: str, measured: Measured, base_seed: int, is_same_machine: bool = True
) -> list[Comparison]:
    """Compare all numbers of one model's run with the baseline.

    Args:
        baseline: a baseline with the model.
        name: name of the model.
        measured: the numbers of its run; a failed run gives one comparison that does not hold.
        base_seed: root of the run's seeds; with the baseline's own, the run repeats the first one of the baseline.
        is_same_machine: whether the baseline's numbers of the model come from such a machine.
    """
    if measured.failure:
        return [Comparison(name, "run", "run", "finished", measured.failure, "", False)]
    expected = baseline.models[name].numbers
    same_seed = base_seed == baseline.base_seed
    rows = []
    for number in dict.fromkeys([*expected, *measured.numbers]):
        known, got = expected.get(number), measured.numbers.get(number)
        if known is None or got is None:
            one, other = (MISSING if each is None else "a number" for each in (known, got))
            rows.append(Comparison(name, number, "run", one, other, "", False))
            continue
        if known.step > STEPS_APART * got.step:
            steps = f"a step of {known.step:.3g}", f"a step of {got.step:.3g}"
            rows.append(Comparison(name, number, "run", *steps, "", False))
        for against, band in _bands(known, baseline, same_seed):
            is_required = against != "same seed" or is_same_machine or known.drift is not None
            rows.append(replace(_row(name, number, against, band, got.value), is_required=is_required))
            few = against == "seeds" and len(known.values) < FEW_SEEDS  # such a band is wide for lack of seeds
            if known.is_random and not few and _allows_all(number, band):
                rows.append(Comparison(name, number, against, "a band", "one that allows every value", "", False))
    return rows


def _allows_all(number: str, band: Band) -> bool:
    """Return whether a band is so wide that no fault could leave it: metrics from 0 to 1, or losses from 0."""
    if number.startswith("loss"):
        return band.low <= 0
    return number.startswith(("valid ", "test ")) and band.low <= 0 and band.high >= 1


def _bands(known: NumberRecord, baseline: Baseline, same_seed: bool) -> list[tuple[Against, Band]]:
    exact = same_seed_band(known.values[0], known.drift, known.step)
    if not known.is_random:
        return [("constant", exact)]
    over_seeds = seeds_band(known.values, known.step, baseline.n_intervals, baseline.false_alarm_rate)
    return [("same seed", exact), ("seeds", over_seeds)] if same_seed else [("seeds", over_seeds)]


def unmeasured_speed(name: str) -> Comparison:
    """Return the failed comparison of a model with epochs whose speed is not in the baseline."""
    return Comparison(name, SPEED, "speed", MISSING, "a number", "", False)


def compare_speed(
    name: str, known: ModelRecord, ratio: float, max_slowdown: float, is_required: bool = True
) -> Comparison:
    """Compare the time of an epoch, in units of the reference computation, with the baseline's.

    Args:
        name: name of the model.
        known: its record in the baseline.
        ratio: the measured time.
        max_slowdown: largest allowed ratio to the baseline's.
        is_required: whether a slower epoch is a failure, else a warning.
    """
    return replace(
        _row(name, SPEED, "speed", speed_band(known.speed, max_slowdown), ratio), is_required=is_required
    )


def _row(model: str, number: str, against: Against, band: Band, got: float) -> Comparison:
    half = band.high - band.expected
    tolerance = f"at most {band.high:.4g}" if against == "speed" else f"± {half:.2g}"
    expected, actual = f"{band.expected:.6g}", f"{got:.6g}"
    if expected == actual and band.expected != got:
        expected, actual = repr(band.expected), repr(got)
    return Comparison(model, number, against, expected, actual, tolerance, band.holds(got), band.expected == got)
