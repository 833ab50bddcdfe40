"""On a CUDA device: the numbers of the CPU, and no waiting for the device inside an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import toy

from bench.engine.evaluate import rank
from bench.engine.recbole import batches
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import Stepper, adam
from models.layers.segments import bag

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DATA = toy.random_data(3, n_users=60, n_items=80, dims=(9, 7), per_user=12, absent=True)


def losses(model: Any, given: list[dict[str, torch.Tensor]], quiet: bool) -> torch.Tensor:
    """Losses of some training steps; with `quiet` a step after the first that waits for the device is an error."""
    optimizer = adam(model)
    device, found = model.user_embedding.weight.device, []
    try:
        for step, batch in enumerate(given):
            if quiet and step == 1:
                torch.cuda.set_sync_debug_mode("error")
            optimizer.zero_grad()
            bpr, regularisation = model.calculate_loss({k: ids.to(device) for k, ids in batch.items()})
            (bpr + regularisation).backward()
            optimizer.step()
            found.append((bpr + regularisation).detach())
    finally:
        if quiet:
            torch.cuda.set_sync_debug_mode("default")
    return torch.stack(found).cpu()


def drawn(device: torch.device) -> Iterator[dict[str, torch.Tensor]]:
    sampler = TripleSampler(DATA.split.train, device)
    return batches(sampler.epoch(torch.Generator(device).manual_seed(5)), 100)


@pytest.mark.parametrize("name", toy.trained())
def test_losses_and_lists_equal_those_of_the_cpu(name: str) -> None:
    given, cuda = list(drawn(torch.device("cpu"))), torch.device("cuda")
    switches = {"message_dropout": 0.0} if name == "ngcf" else {}
    here, there = (toy.build_model(name, DATA, embedding_size=16, **switches).train() for _ in range(2))
    there = there.to(cuda)
    torch.testing.assert_close(
        losses(there, given, quiet=False), losses(here, given, quiet=False), rtol=1e-4, atol=0
    )
    lists = [
        rank(model.eval(), DATA.split.test, DATA.split.train, device)
        for model, device in ((here, torch.device("cpu")), (there, cuda))
    ]
    same = (torch.from_numpy(lists[0].items) == torch.from_numpy(lists[1].items)).double().mean()
    assert float(same) > 0.99


@pytest.mark.parametrize("name", toy.controls())
def test_lists_of_controls_equal_those_of_the_cpu(name: str) -> None:
    here, there = toy.build_model(name, DATA), toy.build_model(name, DATA).to("cuda")
    users = torch.arange(1, DATA.n_users + 1)
    expected, scores = here.score_users(users), there.score_users(users.to("cuda"))
    assert scores.is_cuda
    torch.testing.assert_close(scores.cpu(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", toy.trained())
def test_same_bits_twice(name: str) -> None:
    given = list(drawn(torch.device("cuda")))
    first, second = (
        losses(toy.build_model(name, DATA, embedding_size=16).train().to("cuda"), given, quiet=False)
        for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", toy.trained())
def test_no_step_waits_for_the_device(name: str) -> None:
    given = list(drawn(torch.device("cuda")))
    losses(toy.build_model(name, DATA, embedding_size=16).train().to("cuda"), given, quiet=True)


@pytest.mark.parametrize(
    ("name", "overrides"), [*((name, {}) for name in toy.trained()), ("lattice", {"lr_decay": 0.5})], ids=str
)
def test_recorded_epochs_have_the_bits_of_the_others(name: str, overrides: dict[str, Any]) -> None:
    sampler, states = TripleSampler(DATA.split.train, torch.device("cuda")), []
    for recorded in (True, False):
        model = toy.build_model(name, DATA, embedding_size=16, **overrides).to("cuda")
        assert model.static_step
        model.static_step = recorded
        stepper, generator = Stepper(model, adam(model)), torch.Generator("cuda").manual_seed(5)
        torch.manual_seed(7)
        found = []
        for epoch in (1, 2, 3):
            model.train()
            stepper.begin(1 + 50 * epoch)
            found.append(stepper.epoch(sampler.epoch(generator), 64))
            model.eval()
            model.score_users(torch.arange(1, 9, device="cuda"))
        states.append({**model.state_dict(), "losses": torch.cat(found), "pairs": torch.tensor(model.pairs_seen)})
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key


@pytest.mark.parametrize("size", [1, 3, 64, 200])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_of_segments_equal_those_of_the_cpu(size: int, weighted: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([0, 1, 5000, 0, 7, 300, 0])
    offsets = torch.cat([torch.zeros(1), lengths.cumsum(0)]).to(torch.int32)
    columns = torch.randint(0, 50, (int(lengths.sum()),), generator=generator, dtype=torch.int32)
    values = torch.rand(len(columns), generator=generator, dtype=dtype) if weighted else None
    wide = torch.randn(50, 2 * size, generator=generator, dtype=dtype)
    given = [None if one is None else one.to("cuda") for one in (offsets, columns, values, wide)]
    first, second = (bag(*given[:3], given[3][:, size:]) for _ in range(2))
    exact = bag(offsets, columns, None if values is None else values.double(), wide[:, size:].double())
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(first.cpu().double(), exact, rtol=0, atol=tolerance)
    assert torch.equal(first, second)
