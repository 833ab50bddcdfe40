"""The C library's memory allocator, told to keep what is freed. Touches this process only.

A training step frees and takes again the same few tables of megabytes. glibc gives blocks of that size back to the
system at once and asks for them anew, and each of their pages is then faulted in and zeroed again: thousands of
faults a step, a fifth of the time of a small model.

The training steps of an epoch: one after the other on a CPU, replayed as one recorded graph on CUDA.

On a small graph a step's kernels take less time than starting them from Python. A model that says that all its
steps but an epoch's first are the same kernels on other ids (`Recommender.static_step`) therefore has its second
step recorded, as a CUDA graph, and the others are replays of it: the ids of a step are looked up, and its loss is
put down, on the device. A replay runs what the recorded step ran, so the numbers are the same to the last bit.

What a training remembers from epoch to epoch, as a value that it can be taken up from. Pure.

Between two epochs that is a model's parameters and buffers, Adam's moments, the random generators, and the result
so far. Whatever else a model keeps must be made anew by the first batch of an epoch, or be a buffer; the contract
suite stops and resumes every model.

Training: Adam on BPR triples, early stop on validation only. Writes nothing.

The same loop for every model: one shuffled epoch of triples, one validation pass, stop after `patience` epochs
without a strictly better validation score; an equal one is no improvement. A loss that is not finite ends the run.
A trial of a search also stops where it is below its bounds. After every epoch the state is handed out; a training
that takes it up goes on with the same bits as if it had never stopped.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.core.errors import TrainingError
from bench.core.protocol import Bounds, Protocol, bound_at
from bench.core.types import EpochFacts
from bench.engine.recbole import batches
from bench.engine.sampling import TripleSampler
from models.base import Recommender
from models.control import Control

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 2**25  # glibc refuses more


def keep_freed_memory() -> bool:
    """Let the process keep freed blocks of up to 32 MiB; False where the library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


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


MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class ForeignStateError(TrainingError):
    """A state is not one of this training. Nothing was taken from it."""


@dataclass
class TrainResult:
    """The outcome: the best epoch's parameters, the whole curve, and the training steps of each epoch."""

    best_epoch: int = 0
    best_score: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    curve: list[EpochFacts] = field(default_factory=list)
    steps_per_epoch: int = 0


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two epochs: all that the rest of it depends on.

    Attributes:
        result: the best epoch, its parameters, and the curve so far.
        tensors: parameters, Adam's moments and the random generators under names such as
            `model/user_embedding.weight`. A training hands out the living ones, which its next step changes.
    """

    result: TrainResult
    tensors: dict[str, Tensor]


class Training:
    """A model with what its training remembers.

    Args:
        model: on its device.
        device: where the triples are drawn.
        triples_seed: seed of order and negatives.
    """

    def __init__(self, model: Recommender, device: torch.device, triples_seed: int) -> None:
        self._model, self._device = model, device
        self._first_buffers = dict(model.named_buffers())
        self.optimizer = adam(model)
        self.generator = torch.Generator(device).manual_seed(triples_seed)
        self.result = TrainResult()

    def state(self) -> TrainingState:
        """All of it, by reference."""
        own = self._model.state_dict()
        tensors = _under("model", own)
        for name, buffer in self._model.named_buffers():
            # a buffer outside the model's state is made with the model; here only if an epoch replaced it
            if name not in own and buffer is not self._first_buffers.get(name):
                tensors[f"replaced/{name}"] = buffer
        for name, parameter in self._model.named_parameters():
            tensors |= _under(f"adam/{name}", self.optimizer.state.get(parameter, {}))
        tensors |= {"random/triples": self.generator.get_state(), "random/cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self._device)
        return TrainingState(self.result, tensors)

    def take_up(self, state: TrainingState) -> None:
        """Go on from a state, which is copied. Sets torch's global generators.

        Raises:
            ForeignStateError: it is of another training.
        """
        self._check(state)
        given = state.tensors
        for name, buffer in _below("replaced", given).items():
            owner, _, leaf = name.rpartition(".")
            setattr(self._model.get_submodule(owner), leaf, self._copy(buffer))
        self._model.load_state_dict(_below("model", given))
        for name, parameter in self._model.named_parameters():
            moments = _below(f"adam/{name}", given)
            if moments:
                self.optimizer.state[parameter] = {key: self._copy(tensor) for key, tensor in moments.items()}
        self.generator.set_state(given["random/triples"])
        torch.set_rng_state(given["random/cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(given["random/cuda"], self._device)
        best = {name: self._copy(tensor) for name, tensor in state.result.best_state.items()}
        self.result = replace(state.result, best_state=best, curve=list(state.result.curve))

    def _copy(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, copy=True)

    def _check(self, state: TrainingState) -> None:
        """Refuse names, shapes or types that are not those of this training."""
        own, model = self.state().tensors, self._model.state_dict()
        weights = dict(self._model.named_parameters())
        buffers = _under("replaced", dict(self._model.named_buffers()))
        best = _under("best", model) if state.result.best_epoch else {}
        adam = {f"adam/{name}/{key}": weight for name, weight in weights.items() for key in MOMENTS[1:]}
        adam |= {f"adam/{name}/step": torch.zeros(()) for name in weights}
        given = state.tensors | _under("best", state.result.best_state)
        fixed = own | best | adam
        wrong = [
            name
            for name, tensor in given.items()
            if (name not in buffers if name.startswith("replaced/") else not _alike(tensor, fixed.get(name)))
        ]
        missing = [name for name in own | best if name not in given]
        if wrong or missing:
            raise ForeignStateError(_listed("unexpected", wrong) or _listed("missing", missing))


def _alike(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and one.dtype == other.dtype


def _listed(what: str, names: Iterable[str]) -> str:
    first = next(iter(names), None)
    return "" if first is None else f"{first} is {what}, or of another shape or type"


def _under(room: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{room}/{name}": tensor for name, tensor in tensors.items()}


def _below(room: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{room}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


class NotFiniteError(TrainingError):
    """The training loss became NaN or infinite.

    Attributes:
        epoch, step: where, both counted from 1.
    """

    def __init__(self, epoch: int, step: int, value: float) -> None:
        self.epoch, self.step = epoch, step
        super().__init__(
            f"The training loss became {value} at epoch {epoch}, step {step}. Lower learning_rate, raise "
            f"reg_weight, or look at the features' scale (feat_norm)."
        )


@dataclass(frozen=True)
class TrainSettings:
    """What a training needs besides model and data.

    Attributes:
        max_epochs: upper bound on epochs.
        patience: epochs without a better validation score after which training stops.
        triples_seed: seed of order and negatives.
        model_seed: seed of what the model draws while training (dropout).
        selection_metric: validation metric that chooses the epoch.
        bounds: what a trial of a search must have reached after so many steps, or it is pruned.
    """

    max_epochs: int
    patience: int
    triples_seed: int
    model_seed: int
    selection_metric: str = Protocol().selection_metric
    bounds: Bounds = ()


def train(
    model: Recommender,
    sampler: TripleSampler,
    validate: Callable[[], dict[str, float]],
    settings: TrainSettings,
    on_epoch: Callable[[EpochFacts], None] = lambda facts: None,
    resume: TrainingState | None = None,
    keep: Callable[[TrainingState], None] = lambda state: None,
) -> TrainResult:
    """Train to the early stop and return the best epoch.

    Args:
        model: on its device; its parameters are left at the last epoch.
        sampler: training triples on the same device.
        validate: validation metrics of the model as it is.
        settings: bounds and seeds.
        on_epoch: told of every finished epoch.
        resume: the state to go on from, handed out by a training with the same arguments.
        keep: given the state after every epoch, to be written or copied before it returns.

    Raises:
        NotFiniteError: the loss became NaN or infinite.
        ForeignStateError: `resume` is of another training; the model is as it was.
    """
    if isinstance(model, Control):
        return _fitted(model, validate, settings.selection_metric, on_epoch)
    device = sampler.users.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.model_seed)
        training = Training(model, device, settings.triples_seed)
        if resume is not None:
            training.take_up(resume)
        result, stepper = training.result, Stepper(model, training.optimizer)
        result.steps_per_epoch = -(-sampler.epoch_size // model.params.train_batch_size)
        while not _is_over(result, settings):
            epoch, start = len(result.curve) + 1, time.perf_counter()
            loss = _train_epoch(model, sampler, stepper, training.generator, epoch)
            trained = time.perf_counter()
            model.eval()
            scores = validate()
            facts = EpochFacts(
                epoch=epoch,
                loss=loss,
                train_seconds=trained - start,
                valid_seconds=time.perf_counter() - trained,
                valid=scores,
            )
            result.curve.append(facts)
            score = scores[settings.selection_metric]
            if score > result.best_score:
                result.best_epoch, result.best_score = epoch, score
                result.best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            keep(training.state())
            on_epoch(facts)
    return result


def _fitted(
    model: Control,
    validate: Callable[[], dict[str, float]],
    selection_metric: str,
    on_epoch: Callable[[EpochFacts], None],
) -> TrainResult:
    """The result of a control, which was fitted when it was built: one epoch without a step or a loss."""
    start = time.perf_counter()
    model.eval()
    scores = validate()
    seconds = time.perf_counter() - start
    facts = EpochFacts(epoch=1, loss=None, train_seconds=model.fit_seconds, valid_seconds=seconds, valid=scores)
    on_epoch(facts)
    best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return TrainResult(best_epoch=1, best_score=scores[selection_metric], best_state=best_state, curve=[facts])


def _is_over(result: TrainResult, settings: TrainSettings) -> bool:
    n_epochs = len(result.curve)
    if n_epochs >= settings.max_epochs or n_epochs - result.best_epoch >= settings.patience:
        return True
    bound = bound_at(settings.bounds, n_epochs, n_epochs * result.steps_per_epoch)
    return bound is not None and result.best_score < bound


def _train_epoch(
    model: Recommender,
    sampler: TripleSampler,
    stepper: Stepper,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """One pass over all training pairs; the mean loss of its steps. The losses are read once, at the end."""
    model.train()
    stepper.begin(epoch)
    stacked = stepper.epoch(sampler.epoch(generator), model.params.train_batch_size).double()
    broken = (~torch.isfinite(stacked)).nonzero()
    if len(broken):
        step = int(broken[0])
        raise NotFiniteError(epoch, step + 1, float(stacked[step]))
    return float(stacked.mean())
