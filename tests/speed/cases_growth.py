"""How time and memory grow with the data, and what each of the nine models takes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.core.types import BenchmarkData
from bench.engine import registry
from speed import memory
from speed.context import Bench, data_name, sizes, trained_models
from speed.measure import estimate, exponent
from speed.result import Row, Target
from speed.training import Ours, per_step

SCALES = (0.1, 0.3, 1.0, 3.0)
MEMORY_SCALES = (0.3, 1.0)
FIXED_STEPS = 117  # of an epoch where the batch grows with the data: those of the smallest surrogate at 1,024
MEMORY_STEPS = 3
EPOCH_STEPS = 5
LINEAR = Target("at most", 1.1)
QUADRATIC_NOTE = (
    "With exact propagation over the whole graph, as the papers define it, every step costs the graph, and with "
    "a fixed batch the number of steps grows with the data, so that the epoch is quadratic by nature; the same "
    "holds for the dense Adam step of MF. With a batch in proportion to the data the number of steps stays, and "
    "the epoch grows as the step does."
)


@dataclass(frozen=True)
class Point:
    """Median seconds at one size."""

    n_train: int
    step: float
    epoch: float
    growing_batch_epoch: float


def growth(bench: Bench) -> list[Row]:
    """Exponents of a step and of an epoch over the number of training pairs, for LightGCN and MF."""
    scales = SCALES[:-1] if bench.quick else SCALES
    points: dict[str, list[Point]] = {"lightgcn": [], "mf": []}
    for scale in scales:
        data = bench.surrogate(scale)
        for name in points:
            points[name].append(_point(bench, name, data))
        if scale > 1:
            bench.drop(scale)
    names = f"surrogate {scales[0]:g} to {scales[-1]:g}"
    return [row for name, found in points.items() for row in _exponents(name, found, names)]


def _point(bench: Bench, name: str, data: BenchmarkData) -> Point:
    n_train, n_steps = sizes(data)
    model = bench.model(name, data)
    step = statistics.median(bench.samples(per_step(Ours(model, data).steps, bench.n_steps(10)), 4))
    large_batch = -(-n_train // FIXED_STEPS)
    grown = Ours(model, data, large_batch)
    large = statistics.median(bench.samples(per_step(grown.steps, bench.n_steps(5)), 4))
    return Point(n_train, step, n_steps * step, FIXED_STEPS * large)


def _exponents(name: str, points: list[Point], scales: str) -> list[Row]:
    title = registry.load(name).card.title
    n_train = [point.n_train for point in points]
    kinds = {
        "step, B = 1,024": [point.step for point in points],
        "epoch, B = 1,024 (steps x step time)": [point.epoch for point in points],
        f"epoch, B in proportion ({FIXED_STEPS} steps)": [point.growing_batch_epoch for point in points],
    }
    rows = []
    for kind, seconds in kinds.items():
        value, details = exponent(n_train, seconds), {"training_pairs": n_train, "seconds": seconds}
        what = f"{title}, growth of the {kind}"
        row = Row(what, "training pairs", scales, "exponent", value, (), (), LINEAR, QUADRATIC_NOTE, details)
        rows.append(row)
    return rows


def models(bench: Bench) -> list[Row]:
    """Seconds of a training epoch of every trained model on the public TikTok."""
    return _epochs(bench, bench.public(), None)


def movielens(bench: Bench) -> list[Row]:
    """Seconds of a training epoch of every trained model on MovieLens-1M, and of all of them together.

    The targets hold for MovieLens-1M, and not for the smaller data that is measured where its files are missing.
    """
    data = bench.movielens()
    has_targets = data.source == "real"
    rows = _epochs(bench, data, Target("at most", 40) if has_targets else None)
    total = estimate([sum(row.value.value for row in rows)])
    what, limit = "all models, an epoch each", Target("at most", 140) if has_targets else None
    return [*rows, Row(what, "", data_name(data), "s", total, target=limit, note=rows[0].note)]


def _epochs(bench: Bench, data: BenchmarkData, target: Target | None) -> list[Row]:
    """Seconds of an epoch of every trained model, from steps: a whole epoch of some takes minutes."""
    n_train, n_steps = sizes(data)
    note = f"An epoch of {n_train:,} pairs as {n_steps} times a step, from {EPOCH_STEPS} steps a sample."
    rows = []
    for name in trained_models():
        ours = Ours(bench.model(name, data), data)
        ours.steps(1)
        steps = bench.samples(per_step(ours.steps, bench.n_steps(EPOCH_STEPS)), 4, least=2)
        seconds, title = [n_steps * step for step in steps], registry.load(name).card.title
        what, value = f"{title}, training epoch", estimate(seconds)
        rows.append(Row(what, "", data_name(data), "s", value, tuple(seconds), (), target, note))
    return rows


def peaks(bench: Bench) -> list[Row]:
    """Peak memory of every trained model at the paper's size, and its growth with the items for LATTICE."""
    note = (
        "Rise of the resident memory over that of a process with the data loaded: building the model with its "
        f"k-NN lists, {MEMORY_STEPS} training steps, and a full-ranking test pass; in a process of its own. What "
        "the C library keeps for reuse counts, and differs from one process to the next."
    )
    folder, rows, growing = bench.folder(), [], []
    for scale in MEMORY_SCALES:
        data = bench.surrogate(scale)
        file = folder / f"{scale:g}.npz"
        memory.save(data, file)
        for name in trained_models() if scale == 1 else ["lattice"]:
            figures = memory.of_model(name, file, MEMORY_STEPS, bench.device)
            gigabytes = figures["evaluated_bytes"] / 1e9
            if name == "lattice":
                growing.append((data.n_items, gigabytes))
            what, value = f"{registry.load(name).card.title}, peak memory", estimate([gigabytes])
            rows.append(Row(what, "", data_name(data), "GB", value, note=note, details=dict(figures)))
    value = exponent([n_items for n_items, _ in growing], [peak for _, peak in growing])
    scales = f"surrogate {MEMORY_SCALES[0]:g} to {MEMORY_SCALES[-1]:g}"
    return [*rows, Row("LATTICE, growth of peak memory", "items", scales, "exponent", value, target=LINEAR)]
