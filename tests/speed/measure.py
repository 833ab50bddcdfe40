"""Measuring two things against each other. Pure: clocks are passed in, nothing is printed or written.

The two are run in turn in one process, the order changing from pair to pair, so that a machine that slows
down or speeds up meanwhile does so for both. The ratio is the median over the pairs; its interval is the
smallest and the largest pair.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Clock = Callable[[], float]
Task = Callable[[], float]
"""Does something once and tells its own seconds; what it does before and after may be left out of them."""


@dataclass(frozen=True)
class Pairs:
    """Seconds of both tasks, one entry a pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]


@dataclass(frozen=True)
class Estimate:
    """A number with the smallest and the largest of its samples."""

    value: float
    low: float
    high: float


def estimate(samples: Sequence[float]) -> Estimate:
    """Median, smallest and largest of at least one sample."""
    return Estimate(statistics.median(samples), min(samples), max(samples))


def timed(action: Callable[[], object], clock: Clock = time.perf_counter, times: int = 1) -> Task:
    """A task from an action, with the seconds of one of `times` calls in a row."""

    def task() -> float:
        start = clock()
        for _ in range(times):
            action()
        return (clock() - start) / times

    return task


def interleaved(
    ours: Task,
    theirs: Task,
    budget: float,
    *,
    least: int = 3,
    most: int = 15,
    warm_up: bool = True,
    clock: Clock = time.perf_counter,
) -> Pairs:
    """Run both in turn: one warm-up each that is not kept, then pairs in alternating order.

    Args:
        ours, theirs: what is measured.
        budget: seconds in all, warm-up included; no pair is begun that would not fit, going by the last one.
        least: pairs that are measured whatever they take.
        most: pairs after which it stops.
        warm_up: False where both are warm already and a further run would take minutes.
        clock: of the budget.
    """
    start = clock()
    if warm_up:
        ours()
        theirs()
    kept: tuple[list[float], list[float]] = ([], [])
    tasks = (ours, theirs)
    last = 0.0
    while len(kept[0]) < least or (len(kept[0]) < most and clock() - start + last <= budget):
        began = clock()
        for side in (0, 1) if len(kept[0]) % 2 == 0 else (1, 0):
            kept[side].append(tasks[side]())
        last = clock() - began
    return Pairs(tuple(kept[0]), tuple(kept[1]))


def repeated(
    task: Task, budget: float, *, least: int = 3, most: int = 15, clock: Clock = time.perf_counter
) -> list[float]:
    """Seconds of a task without a rival: one warm-up, then as often as fits the budget."""
    start = clock()
    task()
    kept: list[float] = []
    last = 0.0
    while len(kept) < least or (len(kept) < most and clock() - start + last <= budget):
        began = clock()
        kept.append(task())
        last = clock() - began
    return kept


def ratio(pairs: Pairs, of: Literal["theirs/ours", "ours/theirs"]) -> Estimate:
    """Median, smallest and largest quotient over the pairs."""
    sides = (pairs.theirs, pairs.ours) if of == "theirs/ours" else (pairs.ours, pairs.theirs)
    return estimate([top / bottom for top, bottom in zip(*sides, strict=True)])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> Estimate:
    """The power p of values ~ sizes^p: least squares over the logarithms, with the neighbours' extremes.

    Raises:
        ValueError: fewer than two different sizes, or a number that is not positive.
    """
    if len(sizes) != len(values) or len(set(sizes)) < 2 or min(*sizes, *values) <= 0:
        raise ValueError("an exponent needs positive values at two different sizes at least")
    points = sorted((math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True))
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points) if b[0] > a[0]]
    return Estimate(slope, min(steps), max(steps))
