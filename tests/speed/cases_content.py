"""LATTICE, MMGCN, GRCN and ACF against their plain formulations in `tests/plain`."""

from __future__ import annotations

from time import perf_counter

from plain import acf as plain_acf
from plain import grcn as plain_grcn
from plain import lattice as plain_lattice
from plain import mmgcn as plain_mmgcn
from plain.common import Tables
from torch import Tensor

from speed.context import Bench, data_name, sizes
from speed.measure import Task, estimate, timed
from speed.memory import increase
from speed.result import Row, Target, compared
from speed.training import Ours, Plain, per_step

STEPS = 5
DENSE_NOTE = (
    "A plain LATTICE epoch is its first step, which builds the n x n item graph with gradient, plus the other "
    f"steps, extrapolated from {STEPS}; ours is timed whole. 'As released' writes the normalisation as two "
    "products with diagonal n x n matrices, as the public code is described; 'rows scaled' scales rows, columns."
)
SCATTER_NOTE = (
    f"{STEPS} steps a sample on both sides, on batches drawn beforehand; an epoch is as many times longer as it "
    "has steps. The plain side makes a message for every edge and direction, by index_select and index_add, over "
    "all nodes; features and edges are prepared once."
)


def lattice(bench: Bench) -> list[Row]:
    """An epoch of LATTICE against dense n x n matrices, in both ways to normalise them."""
    data = bench.public()
    given = plain_lattice.constants(bench.model("lattice", data))
    ours = Ours(bench.model("lattice", data), data)
    scaled, released = (_dense_epoch(bench, given, written_out) for written_out in (False, True))
    gigabytes = [increase(task, bench.device) / 1e9 for task in (timed(ours.epoch), scaled)]
    # the products of n x n matrices take most of a minute, so these pairs come second and need no warm-up
    quick_pairs = bench.pairs(timed(ours.epoch), scaled, 25)
    slow_pairs = bench.pairs(timed(ours.epoch), released, 90, least=1, warm_up=False)
    what, dense = "LATTICE, training epoch", "dense n x n,"
    memory = Row(
        "LATTICE, peak memory of an epoch",
        f"{dense} rows scaled: {gigabytes[1]:.2f} GB",
        data_name(data),
        "GB",
        estimate(gigabytes[:1]),
        note="Rise of the memory, of the process or of the device, over that with data and model loaded.",
        details={"gigabytes": gigabytes},
    )
    return [
        compared(what, f"{dense} as released", data_name(data), slow_pairs, Target("at least", 50), DENSE_NOTE),
        compared(what, f"{dense} rows scaled", data_name(data), quick_pairs, None, DENSE_NOTE),
        memory,
    ]


def _dense_epoch(bench: Bench, given: plain_lattice.Constants, released: bool) -> Task:
    """Seconds of an epoch of the dense formulation: the first step in full, the others extrapolated."""
    data = bench.public()
    model = bench.model("lattice", data)
    graphs: list[Tensor] = []

    def over_graph() -> Tables:
        """Over the graph of the epoch, which only its first step trains."""
        if not graphs:
            graph = plain_lattice.item_graph(model, given, released)
            graphs.append(graph.detach())
            return plain_lattice.tables_over(model, given, graph)
        return plain_lattice.tables_over(model, given, graphs[0])

    side = Plain(model, data, over_graph)

    def epoch() -> float:
        graphs.clear()
        start = perf_counter()
        side.steps(1)
        first = perf_counter() - start
        return first + (sizes(data)[1] - 1) * per_step(side.steps, bench.n_steps(STEPS))()

    return epoch


def mmgcn(bench: Bench) -> list[Row]:
    """Steps of MMGCN against messages edge by edge."""
    return [_scattered(bench, "mmgcn", "MMGCN")]


def grcn(bench: Bench) -> list[Row]:
    """Steps of GRCN against messages edge by edge."""
    return [_scattered(bench, "grcn", "GRCN")]


def acf(bench: Bench) -> list[Row]:
    """Steps of ACF against both attentions for every pair of all users."""
    return [_scattered(bench, "acf", "ACF")]


def _scattered(bench: Bench, name: str, title: str) -> Row:
    data = bench.public()
    plain = {"mmgcn": plain_mmgcn, "grcn": plain_grcn, "acf": plain_acf}[name]
    model = bench.model(name, data)
    given = plain.constants(model)
    ours = Ours(bench.model(name, data), data)
    theirs = Plain(model, data, lambda: plain.plain_tables(model, given))
    n_steps = bench.n_steps(STEPS)
    pairs = bench.pairs(per_step(ours.steps, n_steps), per_step(theirs.steps, n_steps), 25)
    what, target = f"{title}, training step", Target("at least", 4)
    rival = "plain gather-scatter"
    return compared(what, rival, data_name(data), pairs, target, SCATTER_NOTE, steps_an_epoch=sizes(data)[1])
