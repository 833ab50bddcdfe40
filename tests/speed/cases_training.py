"""Training against RecBole, LUDP against our own LightGCN, and validation against the epoch before it."""

from __future__ import annotations

from bench.core.protocol import Protocol
from bench.engine.evaluate import Evaluator
from models.base import Recommender
from speed.context import PAPER, Bench, data_name, sizes
from speed.measure import timed
from speed.result import Row, Target, compared
from speed.training import Ours, Peer, peer, per_step

STEPS = 3
STEP_NOTE = (
    "A step is forward, backward and Adam on batches drawn beforehand; sampling is left out on both sides. "
    "B = 1,024 everywhere unless it is said."
)


def lightgcn(bench: Bench) -> list[Row]:
    """An epoch of LightGCN with two layers."""
    model = bench.model("lightgcn", bench.public())
    rival = peer(bench, "LightGCN", bench.public(), {**model.params.model_dump(), "require_pow": True})
    return [_epoch(bench, model, rival, "LightGCN L=2", "RecBole LightGCN", 20, 30)]


def lightgcn_large(bench: Bench) -> list[Row]:
    """Steps of LightGCN with two layers at the paper's size."""
    data = bench.surrogate(1.0)
    ours, theirs = Ours(bench.model("lightgcn", data), data), paper_peer(bench).stepper()
    n_steps = bench.n_steps(STEPS)
    pairs = bench.pairs(per_step(ours.steps, n_steps), per_step(theirs, n_steps), 25)
    what, target = "LightGCN L=2, training step", Target("at least", 15)
    return [compared(what, "RecBole LightGCN", PAPER, pairs, target, STEP_NOTE, steps_an_epoch=sizes(data)[1])]


def paper_peer(bench: Bench) -> Peer:
    """RecBole's LightGCN on the large surrogate; it is slow to make, and several cases use its session."""
    data = bench.surrogate(1.0)
    params = bench.model("lightgcn", data).params.model_dump()
    made: Peer = bench.once("paper", lambda: peer(bench, "LightGCN", data, {**params, "require_pow": True}))
    return made


def ngcf(bench: Bench) -> list[Row]:
    """An epoch of NGCF with three layers, dropout included."""
    model = bench.model("ngcf", bench.public())
    params = {**model.params.model_dump(), "hidden_size_list": model.params.hidden_sizes}
    rival = peer(bench, "NGCF", bench.public(), params)
    return [_epoch(bench, model, rival, "NGCF L=3", "RecBole NGCF", 5, 40)]


def mf(bench: Bench) -> list[Row]:
    """An epoch of MF; RecBole's BPR has no L2 term, so ours has weight 0, which does not spare its computation."""
    model = bench.model("mf", bench.public(), reg_weight=0.0)
    rival = peer(bench, "BPR", bench.public(), model.params.model_dump())
    return [_epoch(bench, model, rival, "MF", "RecBole BPR", 3, 10)]


def _epoch(
    bench: Bench, model: Recommender, rival: Peer, what: str, against: str, target: float, budget: float
) -> Row:
    ours = Ours(model, bench.public())
    pairs = bench.pairs(timed(ours.epoch), timed(rival.epoch), budget)
    return compared(
        f"{what}, training epoch", against, data_name(bench.public()), pairs, Target("at least", target)
    )


def validation(bench: Bench) -> list[Row]:
    """The validation pass after an epoch beside the epoch that precedes it, of LightGCN and MF."""
    data, rows = bench.public(), []
    for name, title in (("lightgcn", "LightGCN L=2"), ("mf", "MF")):
        trained, evaluator = Ours(bench.model(name, data), data), Evaluator(data, Protocol(), bench.device)

        def ranked(trained: Ours = trained, evaluator: Evaluator = evaluator) -> None:
            trained.model.eval().forget()
            evaluator.valid(trained.model)

        pairs = bench.pairs(timed(ranked), timed(trained.epoch), 12, least=7)
        what, limit = f"{title}, validation pass", Target("at most", 0.25)
        rows.append(compared(what, "its training epoch", data_name(data), pairs, limit))
    return rows


def ludp(bench: Bench) -> list[Row]:
    """LUDP beside our own LightGCN: an epoch, and a step at the paper's size."""
    limit, rows = Target("at most", 1.5), []
    data = bench.public()
    mine, base = (Ours(bench.model(name, data), data) for name in ("ludp", "lightgcn"))
    pairs = bench.pairs(timed(mine.epoch), timed(base.epoch), 15)
    rows.append(compared("LUDP, training epoch", "our LightGCN", data_name(data), pairs, limit))
    large = bench.surrogate(1.0)
    mine, base = (Ours(bench.model(name, large), large) for name in ("ludp", "lightgcn"))
    n_steps = bench.n_steps(STEPS)
    pairs = bench.pairs(per_step(mine.steps, n_steps), per_step(base.steps, n_steps), 15)
    rows.append(compared("LUDP, training step", "our LightGCN", PAPER, pairs, limit, STEP_NOTE))
    return rows
