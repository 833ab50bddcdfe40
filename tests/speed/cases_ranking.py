"""Full-ranking evaluation, k-NN lists, negative sampling and start-up."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

import torch
from torch import Tensor

from bench.core.places import ROOT
from bench.core.protocol import TOPK_DEPTH, Protocol
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import padded
from bench.engine.sampling import TripleSampler
from models.base import Recommender
from models.layers.neighbours import nearest
from speed.cases_training import paper_peer
from speed.context import PAPER, Bench
from speed.measure import Task, estimate, repeated, timed
from speed.memory import increase
from speed.result import Row, Target, compared
from speed.training import Peer, on_session, settle

USERS_A_BATCH = (512, 1024)


def ranking(bench: Bench) -> list[Row]:
    """A full-ranking test pass against RecBole's, both with plain dot products of 64-wide tables."""
    ours = _our_pass(bench)
    rivals = [_recbole_pass(bench, n_users) for n_users in USERS_A_BATCH]
    seconds = [bench.samples(rival, 10, least=1) for rival in rivals]
    best = min(range(len(rivals)), key=lambda i: min(seconds[i]))
    gigabytes = [increase(task, bench.device) / 1e9 for task in (ours, rivals[best])]
    pairs = bench.pairs(ours, rivals[best], 35)
    note = (
        f"MF beside RecBole's BPR, whose eval_batch_size is {USERS_A_BATCH[best]:,} times the items, the "
        f"better of {USERS_A_BATCH[0]} and {USERS_A_BATCH[1]:,} times. Ours keeps 50 items a user, RecBole 20. "
        f"Peak memory of a pass: ours {gigabytes[0]:.2f} GB, RecBole {gigabytes[1]:.2f} GB."
    )
    what, target = "full-ranking test pass", Target("at least", 4)
    by_batch = dict(zip(map(str, USERS_A_BATCH), seconds, strict=True))
    return [
        compared(
            what, "RecBole's evaluator", PAPER, pairs, target, note, gigabytes=gigabytes, recbole_by_batch=by_batch
        )
    ]


def _mf(bench: Bench) -> Recommender:
    model: Recommender = bench.model("mf", bench.surrogate(1.0)).eval()
    return model


def _our_pass(bench: Bench) -> Task:
    data, model = bench.surrogate(1.0), _mf(bench)

    def task() -> float:
        evaluator = Evaluator(data, Protocol(), bench.device)  # RecBole's loaders are prepared beforehand as well
        start = perf_counter()
        evaluator.test(model)
        return perf_counter() - start

    return task


def _recbole_pass(bench: Bench, users_a_batch: int) -> Task:
    rival: Peer = bench.once("paper bpr", lambda: on_session(bench, paper_peer(bench).session, "BPR"))
    loader = rival.session.test_data
    n_items = bench.surrogate(1.0).n_items + 1
    before = rival.session.config["eval_batch_size"]
    rival.session.config["eval_batch_size"] = users_a_batch * n_items
    own = type(loader)(rival.session.config, loader._dataset, loader._sampler, shuffle=False)
    rival.session.config["eval_batch_size"] = before
    return timed(lambda: rival.trainer.evaluate(own, load_best_model=False))


def floor(bench: Bench) -> list[Row]:
    """A full-ranking test pass against nothing but its products and `torch.topk`."""
    data, model = bench.surrogate(1.0), _mf(bench)
    users = torch.unique(torch.from_numpy(data.split.test.users)).to(bench.device) + 1
    user_table, item_table = model.final_tables()
    items = item_table[1:].contiguous()
    spy = _Spy(model)
    Evaluator(data, Protocol(), bench.device).test(spy)
    block = spy.block

    def bare() -> None:
        for scores in _products(user_table[users], items, block):
            torch.topk(scores, TOPK_DEPTH, dim=1)
        settle(bench.device)

    pairs = bench.pairs(_our_pass(bench), timed(bare), 20)
    note = f"The floor: torch.mm of U I^T in the same blocks of {block:,} users, then torch.topk(k={TOPK_DEPTH})."
    return [compared("full-ranking test pass", "its floor", PAPER, pairs, Target("at most", 1.5), note)]


class _Spy:
    """Passes scores on and keeps the largest number of users that were asked for at once."""

    def __init__(self, model: Recommender) -> None:
        self.model, self.block = model, 0

    def score_users(self, users: Tensor) -> Tensor:
        """As the model's."""
        self.block = max(self.block, len(users))
        return self.model.score_users(users)


def _products(left: Tensor, right: Tensor, block: int) -> Iterator[Tensor]:
    """`left right^T` by blocks of rows, each in the memory of the one before."""
    scratch = left.new_empty(min(block, len(left)), len(right))
    for rows in left.split(block):
        yield torch.mm(rows, right.T, out=scratch[: len(rows)])


def knn(bench: Bench) -> list[Row]:
    """k-NN lists against nothing but the blocked product."""
    features = padded(next(m for m in bench.surrogate(1.0).modalities if m.name == "acoustic"))
    raw, present = features.raw.to(bench.device), features.present.to(bench.device)
    rows: Tensor = torch.nn.functional.normalize(raw[present], dim=1)
    block: int = inspect.signature(nearest).parameters["block"].default

    def build() -> None:
        nearest(raw, present, 10, include_self=True)
        settle(bench.device)

    def bare() -> None:
        for _ in _products(rows, rows, block):
            pass
        settle(bench.device)

    pairs = bench.pairs(timed(build), timed(bare), 35)
    what = f"k-NN lists, {len(rows):,} x {rows.shape[1]}, k = 10"
    note = f"The product: all cosines by torch.mm in float32, in the same blocks of {block:,} rows."
    return [compared(what, "the blocked product", PAPER, pairs, Target("at most", 1.5), note)]


def sampling(bench: Bench) -> list[Row]:
    """Negatives of all training pairs, in the shuffled order of an epoch, and user by user."""
    train = bench.surrogate(1.0).split.train
    sampler = TripleSampler(train, bench.device)
    generator = torch.Generator(bench.device).manual_seed(1)
    rival = paper_peer(bench).session.train_data._sampler
    order = torch.randperm(len(train), generator=generator, device=bench.device)
    users, items = train.users + 1, train.items + 1
    shuffled = [ids[order.cpu().numpy()] for ids in (users, items)]

    def ours() -> None:
        sampler.negatives(generator)[order]
        settle(bench.device)

    def by_batch() -> None:
        for start in range(0, len(train), 1024):
            some = slice(start, start + 1024)
            rival.sample_by_user_ids(shuffled[0][some], shuffled[1][some], 1)

    def at_once() -> None:
        rival.sample_by_user_ids(users, items, 1)

    what = f"negatives of {len(train):,} pairs"
    note = "RecBole's loader asks for 1,024 shuffled pairs at a time; in one call and sorted by user it is faster."
    loader, whole = (bench.pairs(timed(ours), timed(theirs), 12) for theirs in (by_batch, at_once))
    return [
        compared(what, "RecBole's sampler, as its loader asks", PAPER, loader, Target("at least", 10), note),
        compared(what, "RecBole's sampler, sorted, one call", PAPER, whole, None, note),
    ]


def start(bench: Bench) -> list[Row]:
    """Start-up of the command line."""

    def listing() -> None:
        subprocess.run([sys.executable, "run_all.py", "--list"], cwd=ROOT, capture_output=True, check=True)

    seconds = repeated(timed(listing), 0.0)
    note = "In a process of its own, after one that is not counted."
    limit, value = Target("at most", 2), estimate(seconds)
    return [Row("run_all.py --list", "", "-", "s", value, tuple(seconds), target=limit, note=note)]
