"""Layer 6. Measured numbers against a baseline: a row for each comparison. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.regression.bands import Band, same_seed_band, seeds_band, speed_band
from bench.regression.baseline import Baseline, ModelRecord, NumberRecord, SuiteFacts
from bench.regression.numbers import Value

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
        against: the question that is asked; see `bench.regression.bands`.
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
