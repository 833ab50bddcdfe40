"""Layer 3. The training steps of an epoch: one after the other on a CPU, replayed as one recorded graph on CUDA.

On a small graph a step's kernels take less time than starting them from Python. A model that says that all its
steps but an epoch's first are the same kernels on other ids (`Recommender.static_step`) therefore has its second
step recorded, as a CUDA graph, and the others are replays of it: the ids of a step are looked up, and its loss is
put down, on the device. A replay runs what the recorded step ran, so the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.recbole_bridge import batches
from models.base import Recommender

Triples = tuple[Tensor, Tensor, Tensor]
WORTH_RECORDING = 4  # batches; recording takes about as long as two steps


class Stepper:
    """Makes training steps.

    Args:
        model: on its device.
        optimizer: over its parameters; on CUDA one that can be recorded, as of `adam`.
    """

    def __init__(self, model: Recommender, optimizer: torch.optim.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, epoch: int) -> None:
        """Set the step size of an epoch, counted from 1. A recorded step has it built in; epochs record anew."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._model.learning_rate(epoch)

    def epoch(self, triples: Triples, batch_size: int) -> Tensor:
        """A step for each batch of the triples, in our ids, `[n]` each; the last batch may be short.

        Returns:
            The loss of each step, `[n_steps]`, still on the device.
        """
        device, n_whole = triples[0].device, len(triples[0]) // batch_size
        if device.type == "cuda" and self._model.static_step and n_whole >= WORTH_RECORDING:
            return self._recorded(triples, batch_size)
        return torch.stack([self._step(batch) for batch in batches(triples, batch_size)])

    def _step(self, batch: Mapping[str, Tensor]) -> Tensor:
        self._optimizer.zero_grad()
        bpr, regularisation = self._model.calculate_loss(batch)
        loss: Tensor = bpr + regularisation
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _recorded(self, triples: Triples, batch_size: int) -> Tensor:
        """The first step and the last short one as they are, those between as one graph."""
        n_whole, remainder = divmod(len(triples[0]), batch_size)
        if self._stream is None:
            self._stream = torch.cuda.Stream(triples[0].device)
        self._stream.wait_stream(torch.cuda.current_stream(triples[0].device))
        with torch.cuda.stream(self._stream):
            losses = triples[0].new_empty(n_whole + (remainder > 0), dtype=torch.get_default_dtype())
            parts = list(batches(triples, batch_size))
            n_first = 2 if self._graph is None else 1  # kernels are made ready before a recording, not in it
            for number in range(n_first):
                losses[number] = self._step(parts[number])
            self._replay(triples, batch_size, losses[n_first:n_whole])
            if remainder:
                losses[-1] = self._step(parts[-1])
        torch.cuda.current_stream(triples[0].device).wait_stream(self._stream)
        return losses

    def _replay(self, triples: Triples, batch_size: int, losses: Tensor) -> None:
        """Record a step, and make it for the last whole batches, as many as there are losses."""
        first = (len(triples[0]) // batch_size - len(losses)) * batch_size
        (whole,) = batches(triples, len(triples[0]))
        table = torch.stack(list(whole.values()))
        at = torch.arange(first, first + batch_size, device=table.device)
        row = torch.zeros(1, dtype=torch.long, device=table.device)
        seen, graph = self._model.pairs_seen, torch.cuda.CUDAGraph()
        self._optimizer.zero_grad()
        graph.capture_begin(None if self._graph is None else self._graph.pool())
        loss = self._step(dict(zip(whole, table.index_select(1, at), strict=True)))
        losses.index_copy_(0, row, loss.unsqueeze(0))
        at.add_(batch_size)
        row.add_(1)
        graph.capture_end()
        for _ in range(len(losses)):
            graph.replay()
        # recording and replaying are not what the model saw
        self._model.pairs_seen = seen + len(losses) * batch_size
        self._graph = graph  # lives until the next one has taken over its memory


def adam(model: Recommender) -> torch.optim.Adam:
    """The optimiser of every training; its steps can be recorded on CUDA."""
    on_cuda = next(model.parameters()).device.type == "cuda"
    return torch.optim.Adam(model.parameters(), lr=model.params.learning_rate, fused=True, capturable=on_cuda)
