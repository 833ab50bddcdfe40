"""One case, in a process of its own: a model is built, trained for some steps and evaluated.

Run as `python -m scale.case CASE`, where CASE is the JSON of `Case`; it prints its phases as one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import torch
from numpy.typing import NDArray

from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import TrainingView, batches, model_config
from bench.engine.sampling import TripleSampler
from bench.runs.machine import PeakMemory
from models.base import Recommender
from scale.data import Size, synthetic

CPU = torch.device("cpu")
FIRST_STEP, STEP = "first step", "step"


@dataclass(frozen=True)
class Case:
    """What is measured: a model of the registry with its defaults, on data of a size."""

    model: str
    size: Size
    n_steps: int

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The case that `json.dumps(asdict(case))` describes."""
        raw = json.loads(text)
        raw["size"]["dims"] = tuple(raw["size"]["dims"])
        return cls(raw["model"], Size(**raw.pop("size")), raw["n_steps"])


@dataclass
class Phases:
    """Seconds and peak of the resident memory of named phases; one may be entered again and then adds up.

    Attributes:
        seconds: of each phase.
        peak_bytes: of each phase, all that the process holds included.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    _open: tuple[str, float, PeakMemory] | None = None

    def enter(self, name: str) -> str:
        """Close the phase that is open and begin another; returns the name of the one before, or ""."""
        before = self.close()
        self._open = (name, time.perf_counter(), PeakMemory(torch.device("cpu")))
        return before

    def close(self) -> str:
        """Close the open phase, if any, and return its name, or "".

        Raises:
            RuntimeError: this system cannot tell the peak of a phase apart from that of the process.
        """
        if self._open is None:
            return ""
        name, start, memory = self._open
        self._open = None
        if memory.scope != "run":
            raise RuntimeError("the peak of a phase needs /proc/self/clear_refs, which only Linux has")
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), memory.bytes())
        return name


def run(case: Case) -> dict[str, Any]:
    """All phases of a case."""
    libraries, phases = PeakMemory(torch.device("cpu")).bytes(), Phases()  # a fresh peak is what is resident now
    phases.enter("data")
    data = synthetic(case.size)
    phases.enter("build")
    model = _built(case.model, data, phases)
    phases.enter("optimiser")
    steps = _trained(model, data, case.n_steps, phases)
    phases.enter("evaluation")
    users = Evaluator(data, Protocol(), CPU).valid(model.eval()).topk.users
    phases.close()
    return {
        **asdict(case),
        "threads": torch.get_num_threads(),
        "n_users_evaluated": len(users),
        "libraries_bytes": libraries,
        "seconds": phases.seconds,
        "step_seconds": statistics.median(steps),
        "peak_bytes": phases.peak_bytes,
    }


def _built(name: str, data: BenchmarkData, phases: Phases) -> Recommender:
    """The model; its k-NN lists are phases of their own."""

    def memo(key: str, compute: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        (dim,) = (modality.dim for modality in data.modalities if f"-{modality.fingerprint}-" in key)
        outer = phases.enter(f"k-NN {dim}")
        result = compute()
        phases.enter(outer)
        return result

    entry = registry.load(name)
    torch.manual_seed(0)
    model: Recommender = entry.model_class(model_config(entry.params("")), TrainingView(data, memo))
    return model


def _trained(model: Recommender, data: BenchmarkData, n_steps: int, phases: Phases) -> list[float]:
    """Seconds of every step after the first; what `bench.engine.trainer` does, for some batches."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=model.params.learning_rate, fused=True)
    triples = TripleSampler(data.split.train, CPU).epoch(torch.Generator().manual_seed(0))
    seconds = []
    for number, batch in enumerate(islice(batches(triples, model.params.train_batch_size), n_steps + 1)):
        phases.enter(STEP if number else FIRST_STEP)
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.stack(model.calculate_loss(batch)).sum().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


if __name__ == "__main__":
    print(json.dumps(run(Case.from_json(sys.argv[1]))))
