"""Training: Adam on BPR triples, with early stopping on validation scores only. Writes nothing.

All models share one loop: one shuffled epoch of triples, then one validation pass. It stops after `patience`
epochs without a strictly better validation score; an equal score is not an improvement. A loss that is not finite
ends the run. A trial of a search also stops if its score is below its bounds.

After every epoch the loop emits a state: parameters, buffers, Adam's moments, random generators and the result so
far. Training that is restored from it continues with the same bits. Anything else that a model keeps must be a
buffer, or be rebuilt by the first batch of an epoch and for scores. The contract suite interrupts and resumes
every model, and loads the state of one training into another.

On CUDA the steps of an epoch can be recorded once as a CUDA graph and replayed, see `Stepper`.
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
KEPT_BYTES = 2**31 - 1  # of freed memory
LARGEST_MMAP_THRESHOLD = 2**25  # glibc refuses more
WORTH_RECORDING = 4  # batches; recording takes about as long as two steps
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks of up to 32 MiB; return False with another C library."""
    # A training step frees and allocates the same few large tables. By default glibc returns such blocks to the
    # system at once, and their pages are faulted in and zeroed again: a fifth of the time of a small model.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


Triples = tuple[Tensor, Tensor, Tensor]


class Stepper:
    """A maker of training steps, one after the other on a CPU, as replays of a recorded graph on CUDA.

    On a small graph, starting a step's kernels from Python takes longer than running them. If all steps of an
    epoch but the first run the same kernels on other ids (`Recommender.static_step`), the second step is recorded
    as a CUDA graph and the others replay it. The device looks up the ids and stores the loss. A replay runs the
    same kernels as the recorded step, so the numbers are the same to the last bit.

    Args:
        model: on its device.
        optimizer: over its parameters; on CUDA one that can be recorded, such as `adam`.
    """

    def __init__(self, model: Recommender, optimizer: torch.optim.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1."""
        # a recorded step has the learning rate built in, so every epoch records again
        for group in self._optimizer.param_groups:
            group["lr"] = self._model.learning_rate(epoch)

    def epoch(self, triples: Triples, batch_size: int) -> Tensor:
        """Make a step for each batch of the triples, in our ids, `[n]` each; the last batch may be short.

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
        """Make the first step and a short last step directly, and those between as replays of one graph."""
        n_whole, remainder = divmod(len(triples[0]), batch_size)
        if self._stream is None:
            self._stream = torch.cuda.Stream(triples[0].device)
        self._stream.wait_stream(torch.cuda.current_stream(triples[0].device))
        with torch.cuda.stream(self._stream):
            losses = triples[0].new_empty(n_whole + (remainder > 0), dtype=torch.get_default_dtype())
            parts = list(batches(triples, batch_size))
            n_first = 2 if self._graph is None else 1  # kernels must be initialised before a recording
            for number in range(n_first):
                losses[number] = self._step(parts[number])
            self._replay(triples, batch_size, losses[n_first:n_whole])
            if remainder:
                losses[-1] = self._step(parts[-1])
        torch.cuda.current_stream(triples[0].device).wait_stream(self._stream)
        return losses

    def _replay(self, triples: Triples, batch_size: int, losses: Tensor) -> None:
        """Record a step and replay it for the last whole batches, one for each entry of `losses`."""
        first = (len(triples[0]) // batch_size - len(losses)) * batch_size
        (whole,) = batches(triples, len(triples[0]))
        table = torch.stack(list(whole.values()))
        columns = torch.arange(first, first + batch_size, device=table.device)
        row = torch.zeros(1, dtype=torch.long, device=table.device)
        seen, graph = self._model.pairs_seen, torch.cuda.CUDAGraph()
        self._optimizer.zero_grad()
        graph.capture_begin(None if self._graph is None else self._graph.pool())
        loss = self._step(dict(zip(whole, table.index_select(1, columns), strict=True)))
        losses.index_copy_(0, row, loss.unsqueeze(0))
        columns.add_(batch_size)
        row.add_(1)
        graph.capture_end()
        for _ in range(len(losses)):
            graph.replay()
        # the recording counted one batch in Python, and the replays none
        self._model.pairs_seen = seen + len(losses) * batch_size
        self._graph = graph  # kept until the next graph has taken over its memory pool


def adam(model: Recommender) -> torch.optim.Adam:
    """Build the optimiser of all models; its steps can be recorded on CUDA."""
    on_cuda = next(model.parameters()).device.type == "cuda"
    return torch.optim.Adam(model.parameters(), lr=model.params.learning_rate, fused=True, capturable=on_cuda)


class StateMismatchError(TrainingError):
    """A state does not belong to this training. Nothing was restored from it."""


@dataclass
class TrainResult:
    """The outcome of a training: the best epoch's parameters, the learning curve and the steps per epoch."""

    best_epoch: int = 0
    best_score: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    curve: list[EpochFacts] = field(default_factory=list)
    steps_per_epoch: int = 0


@dataclass(frozen=True, eq=False)
class TrainingState:
    """The state of a training between two epochs: everything that the rest of it depends on.

    Attributes:
        result: the best epoch, its parameters, and the curve so far.
        tensors: parameters, Adam's moments and the random generators under names such as
            `model/user_embedding.weight`. They are references, which the next training step changes.
    """

    result: TrainResult
    tensors: dict[str, Tensor]


class Training:
    """A model with its optimiser, random generator and result so far.

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
        """Return the state of the training, by reference."""
        own = self._model.state_dict()
        tensors = _with_prefix("model", own)
        for name, buffer in self._model.named_buffers():
            # a buffer that is not in state_dict() is built with the model; store it only if an epoch replaced it
            if name not in own and buffer is not self._first_buffers.get(name):
                tensors[f"replaced/{name}"] = buffer
        for name, parameter in self._model.named_parameters():
            tensors |= _with_prefix(f"adam/{name}", self.optimizer.state.get(parameter, {}))
        tensors |= {"random/triples": self.generator.get_state(), "random/cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self._device)
        return TrainingState(self.result, tensors)

    def restore(self, state: TrainingState) -> None:
        """Restore a state, which is copied. Sets torch's global generators.

        Raises:
            StateMismatchError: the state is of another training.
        """
        self._check(state)
        given = state.tensors
        for name, buffer in _without_prefix("replaced", given).items():
            owner, _, leaf = name.rpartition(".")
            setattr(self._model.get_submodule(owner), leaf, self._copy(buffer))
        self._model.load_state_dict(_without_prefix("model", given))
        for name, parameter in self._model.named_parameters():
            moments = _without_prefix(f"adam/{name}", given)
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
        """Refuse a state whose names, shapes or types differ from those of this training."""
        own, model = self.state().tensors, self._model.state_dict()
        weights = dict(self._model.named_parameters())
        buffers = _with_prefix("replaced", dict(self._model.named_buffers()))
        best = _with_prefix("best", model) if state.result.best_epoch else {}
        adam = {f"adam/{name}/{key}": weight for name, weight in weights.items() for key in MOMENTS[1:]}
        adam |= {f"adam/{name}/step": torch.zeros(()) for name in weights}
        given = state.tensors | _with_prefix("best", state.result.best_state)
        known = own | best | adam
        wrong = [
            name
            for name, tensor in given.items()
            if (name not in buffers if name.startswith("replaced/") else not _same_form(tensor, known.get(name)))
        ]
        missing = [name for name in own | best if name not in given]
        if wrong or missing:
            raise StateMismatchError(_first_problem("unexpected", wrong) or _first_problem("missing", missing))


def _same_form(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and one.dtype == other.dtype


def _first_problem(problem: str, names: Iterable[str]) -> str:
    first = next(iter(names), None)
    return "" if first is None else f"{first} is {problem}, or of another shape or type"


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


class NotFiniteError(TrainingError):
    """The training loss became NaN or infinite.

    Attributes:
        epoch, step: position of the loss, both counted from 1.
    """

    def __init__(self, epoch: int, step: int, value: float) -> None:
        self.epoch, self.step = epoch, step
        super().__init__(
            f"The training loss became {value} at epoch {epoch}, step {step}. Lower learning_rate, raise "
            f"reg_weight, or check the scale of the features (feat_norm)."
        )


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training besides model and data.

    Attributes:
        max_epochs: upper bound on epochs.
        patience: epochs without a better validation score after which training stops.
        triples_seed: seed of order and negatives.
        model_seed: seed of the model's random draws during training (dropout).
        selection_metric: validation metric that chooses the epoch.
        bounds: scores that a trial of a search must reach by given numbers of steps, or it is pruned.
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
    """Train until early stopping and return the best epoch.

    Args:
        model: on its device; afterwards its parameters are those of the last epoch.
        sampler: training triples on the same device.
        validate: computes validation metrics of the current model.
        settings: bounds and seeds.
        on_epoch: called after every epoch.
        resume: state to continue from, emitted by a training with the same arguments.
        keep: called with the state after every epoch; it must write or copy the state before it returns.

    Raises:
        NotFiniteError: the loss became NaN or infinite.
        StateMismatchError: `resume` is of another training; the model is unchanged.
    """
    if isinstance(model, Control):
        return _evaluate_control(model, validate, settings.selection_metric, on_epoch)
    device = sampler.users.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.model_seed)
        training = Training(model, device, settings.triples_seed)
        if resume is not None:
            training.restore(resume)
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


def _evaluate_control(
    model: Control,
    validate: Callable[[], dict[str, float]],
    selection_metric: str,
    on_epoch: Callable[[EpochFacts], None],
) -> TrainResult:
    """Return the result of a control: one epoch without steps or a loss, as it was fitted when it was built."""
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
    """Make one pass over all training pairs and return the mean loss of its steps."""
    model.train()
    stepper.begin(epoch)
    stacked = stepper.epoch(sampler.epoch(generator), model.params.train_batch_size).double()
    # reading the losses synchronises with the device, so it is done once per epoch
    broken = (~torch.isfinite(stacked)).nonzero()
    if len(broken):
        step = int(broken[0])
        raise NotFiniteError(epoch, step + 1, float(stacked[step]))
    return float(stacked.mean())
