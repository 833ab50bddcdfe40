"""What other devices than the CPU do, on the CPU: sums by sorting, and the CUDA kernel in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import dense
import pytest
import torch
import toy

from models.layers import graph, graph_rows
from models.layers.graph import distinct_padded, scattered

ROOT = Path(__file__).resolve().parents[2]
DATA = toy.random_data(absent=True)
CHECK = """
import torch
from models.layers.segments import bag
from models.layers.segments_cuda import sums
torch.manual_seed(1)
lengths = torch.tensor([0, 1, 300, 0, 7, 65, 0])
offsets = torch.cat([torch.zeros(1), lengths.cumsum(0)]).to(torch.int32)
columns = torch.randint(0, 50, (int(lengths.sum()),), dtype=torch.int32)
for size in (1, 3, 64, 200):
    for dtype in (torch.float32, torch.float64):
        wide, weights = torch.randn(50, 2 * size, dtype=dtype), torch.rand(len(columns), dtype=dtype)
        for values in (None, weights):
            given = offsets, columns, values, wide[:, size:]
            tolerance = 1e-4 if dtype == torch.float32 else 1e-12
            torch.testing.assert_close(sums(*given), bag(*given), rtol=0, atol=tolerance)
print("equal")
"""


def by_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing rely on the order in which `index_add_` adds."""
    modules: tuple[ModuleType, ...] = (graph, graph_rows)
    for module in modules:
        monkeypatch.setattr(module, "adds_in_order", lambda _tensor: False)


@pytest.mark.parametrize("n", [0, 1, 40])
def test_sums_by_sorting_are_those_of_index_add(n: int, monkeypatch: pytest.MonkeyPatch, float64: None) -> None:
    torch.manual_seed(n)
    index, rows = torch.randint(0, 12, (n,)), torch.randn(n, 3)
    expected = scattered(index, rows, 12)
    by_sorting(monkeypatch)
    torch.testing.assert_close(scattered(index, rows, 12), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", toy.trained())
def test_gradients_by_sorting_are_those_of_the_cpu(
    name: str, monkeypatch: pytest.MonkeyPatch, float64: None
) -> None:
    found = []
    for sorting in (False, True):
        model = dense.build(name, DATA, **({"message_dropout": 0.0} if name == "ngcf" else {})).train()
        if sorting:
            by_sorting(monkeypatch)
        found.append(dense.gradients(dense.loss_of(model, toy.triples(DATA)), model))
    torch.testing.assert_close(found[1], found[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n", [0, 1, 30])
def test_padded_distinct_ids_are_the_distinct_ones_and_zeros(n: int) -> None:
    ids = torch.randint(1, 9, (n,), generator=torch.Generator().manual_seed(n))
    found, position = distinct_padded(ids)
    expected, inverse = torch.unique(ids, return_inverse=True)
    assert len(found) == n + 1
    assert torch.equal(found[: len(expected)], expected)
    assert not found[len(expected) :].any()
    assert torch.equal(position, inverse)


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="no Triton: it comes with CUDA builds of torch"
)
def test_the_cuda_kernel_sums_as_the_cpu_does() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.stdout == "equal\n", done.stderr
