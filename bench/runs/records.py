"""The specification of a run (`RunSpec`) and its record (`RunRecord`). Pure; no file is touched.

The JSON form of `RunRecord` is the schema of `results/runs/**.json`, described in results/README.md.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bench.core.config import Frozen
from bench.core.hashing import hash_value
from bench.core.names import base_name, join_label, readable
from bench.core.protocol import CUTOFFS, PROTOCOL_1, TOPK_DEPTH, Bounds, HideAtTest, Protocol, ProtocolName
from bench.core.text import shorten_paths
from bench.core.types import BenchmarkData, EpochFacts, Features, MetricsByPart, Source

SCHEMA = 1  # raise it when a field changes its meaning

Stage = Literal["final", "tuning", "confirm"]
StopReason = Literal["patience", "cap", "pruned"]
N_FIRST_EPOCHS = 3  # a best epoch among these suggests that the training did not improve the model
ParamValue = str | int | float | bool | None | list[str] | list[int] | list[float]


def _tuples(value: Any) -> Any:
    """Convert the lists of lists of JSON to tuples of tuples; return anything else unchanged."""
    if not isinstance(value, list):
        return value
    return tuple(tuple(rung) if isinstance(rung, list) else rung for rung in value)


StoredBounds = Annotated[Bounds, BeforeValidator(_tuples)]


class RunSpec(Frozen):
    """The complete specification of a run: everything that could change its numbers.

    Attributes:
        dataset: canonical name of the data set with its split; see `bench.core.names`.
        model: name of the model file.
        variant: name of a variant in the model's YAML, "" for the model's own row.
        repetition: 0-based number of the repetition; seeds derive from it.
        base_seed: root of all seeds.
        max_epochs: upper bound on training epochs: the protocol's, or a lower one of the profile.
        params: values of all parameters of the model.
        features: the item content that the model sees; see `bench.data.ablation`.
        stage: "final" if its test scores are reported, "tuning" for a trial of a search, "confirm" for a run that
            repeats a trial's setting with a fresh seed. Each stage has seeds of its own.
        bounds: rungs `(steps, score)` of a trial that may be pruned; see `bench.runs.tuning.pruning`.
    """

    dataset: str
    model: str
    variant: str = ""
    features: Features = "given"
    stage: Stage = "final"
    repetition: int
    base_seed: int
    max_epochs: int
    params: dict[str, ParamValue]
    bounds: StoredBounds = ()

    @property
    def label(self) -> str:
        """Return the model name with its variant, for example `ludp@literal`."""
        return join_label(self.model, self.variant)

    @property
    def params_hash(self) -> str:
        """Return the hash of the parameters, which distinguishes the trials of one model."""
        return hash_value(self.params)


class ModalityFacts(Frozen):
    """One modality as a run saw it."""

    name: str
    dim: int
    coverage: float
    origin: str
    fingerprint: str


class DataFacts(Frozen):
    """Provenance and counts of the data of a run; see `bench.core.types.BenchmarkData` for the fields."""

    name: str
    source: Source
    origin: str
    scale: float | None
    split: str
    data_hash: str
    split_hash: str
    n_users: int
    n_items: int
    n_interactions: int
    n_train: int
    n_valid: int
    n_test: int
    modalities: list[ModalityFacts]
    missing: dict[str, str]
    notes: list[str]
    advice: str

    @classmethod
    def of(cls, data: BenchmarkData) -> DataFacts:
        """Return the facts of a loaded data set."""
        split = data.split
        return cls(
            name=data.name,
            source=data.source,
            origin=readable(data.origin),
            scale=data.scale,
            split=split.name,
            data_hash=data.data_hash,
            split_hash=data.split_hash,
            n_users=data.n_users,
            n_items=data.n_items,
            n_interactions=data.n_interactions,
            n_train=len(split.train),
            n_valid=len(split.valid),
            n_test=len(split.test),
            modalities=[
                ModalityFacts(
                    name=m.name,
                    dim=m.dim,
                    coverage=m.coverage,
                    origin=readable(m.origin),
                    fingerprint=m.fingerprint,
                )
                for m in data.modalities
            ],
            missing={name: readable(reason) for name, reason in data.missing.items()},
            notes=[readable(note) for note in data.notes],
            advice=data.advice,
        ).without_paths()

    def without_paths(self) -> DataFacts:
        """Shorten the paths of this machine in all sentences; see `bench.core.text`."""
        modalities = [each.model_copy(update={"origin": shorten_paths(each.origin)}) for each in self.modalities]
        texts = {
            "origin": shorten_paths(self.origin),
            "advice": shorten_paths(self.advice),
            "modalities": modalities,
        }
        missing = {name: shorten_paths(why) for name, why in self.missing.items()}
        return self.model_copy(
            update={**texts, "missing": missing, "notes": [shorten_paths(note) for note in self.notes]}
        )

    @property
    def card(self) -> str:
        """Return the name of the data card, without the split; the paper's values are keyed by it."""
        return base_name(self.name)

    @property
    def label(self) -> str:
        """Return the name with source and split, for example `tiktok [surrogate x0.1, random split]`."""
        scale = "" if self.scale is None else f" x{self.scale:g}"
        return f"{self.card} [{self.source}{scale}, {self.split} split]"

    @property
    def full_name(self) -> str:
        """Return `NAME@SPLIT`."""
        return f"{self.card}@{self.split}"


class ProtocolFacts(Frozen):
    """The evaluation choices of a run, see `core.protocol`; records of version 1 lack `name` and `max_epochs`."""

    name: ProtocolName
    version: str
    hide_at_test: HideAtTest
    patience: int
    cutoffs: list[int]
    selection_metric: str
    max_epochs: int
    topk_depth: int

    @model_validator(mode="before")
    @classmethod
    def _complete_version_1(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("version") == PROTOCOL_1.version:
            return {"name": PROTOCOL_1.name, "max_epochs": PROTOCOL_1.max_epochs, **values}
        return values

    @classmethod
    def of(cls, protocol: Protocol) -> Self:
        """Return the choices of a protocol, with those that all protocols share."""
        return cls(**asdict(protocol), cutoffs=list(CUTOFFS), topk_depth=TOPK_DEPTH)

    @property
    def protocol(self) -> Protocol:
        """Return the protocol object."""
        return Protocol(**{each.name: getattr(self, each.name) for each in fields(Protocol)})

    @property
    def tag(self) -> str:
        """Return the short name of the protocol with its changed choices; see `Protocol.tag`."""
        return self.protocol.tag


class Cost(Frozen):
    """The time and memory that a run took.

    Attributes:
        train_seconds: all training epochs together.
        valid_seconds: all validation passes together.
        test_seconds: the one test pass.
        total_seconds: the whole run, including building the model.
        cpu_seconds: CPU time of the process during the run, all threads together. Interrupted parts count up to
            the epoch that the run resumed from. None in records of earlier versions.
        epochs: number of trained epochs.
        steps: training steps; 0 for a control, None in records of earlier versions.
        peak_memory_bytes: highest resident memory of the process during the run, or memory of its CUDA device.
        peak_memory_scope: "device" on CUDA; "run" where the peak could be reset at the start, else "process".
        n_parameters: trainable parameters, padding rows included.
    """

    train_seconds: float
    valid_seconds: float
    test_seconds: float
    total_seconds: float
    epochs: int
    peak_memory_bytes: int
    peak_memory_scope: Literal["run", "process", "device"]
    n_parameters: int
    cpu_seconds: float | None = None
    steps: int | None = None


class Failure(Frozen):
    """Why a run failed, where, and after how much CPU time, if known."""

    kind: str
    message: str
    epoch: int | None = None
    step: int | None = None
    cpu_seconds: float | None = None


class ForeignLists(Frozen):
    """Lists that another program made, in the place of a training.

    Attributes:
        file: name of the file that held them; "" if they came from Python.
        form: "lists" of items, or "scores" of all items.
        longest: items of the longest evaluated list, at most the protocol's depth.
        n_empty: evaluated users without any item, each of which counts as zero.
        notes: what was remarked about them, as sentences.
        given_hash: hash of the lists or scores as they were given; the same are not evaluated again.
    """

    file: str
    form: Literal["lists", "scores"]
    longest: int
    n_empty: int
    notes: list[str]
    given_hash: str = ""


class RunRecord(Frozen):
    """The record of a run, finished or failed, or of the lists of another program if it has `foreign`.

    A record with `foreign` has test metrics alone: no seeds, no curve, no cost and no validation metrics. Its code
    hash is that of the lists, and its model's name begins with `bench.core.names.FOREIGN`.
    """

    schema_version: int = Field(default=SCHEMA)
    key: str
    status: Literal["finished", "failed"]
    spec: RunSpec
    data: DataFacts
    protocol: ProtocolFacts
    code_hash: str
    seeds: dict[str, int]
    command: str
    started: str
    environment: dict[str, Any]
    metrics: MetricsByPart | None = None
    curve: list[EpochFacts] = Field(default_factory=list)
    best_epoch: int | None = None
    cost: Cost | None = None
    lists_hash: str | None = None
    checkpoint_hash: str | None = None
    error: Failure | None = None
    foreign: ForeignLists | None = None

    @property
    def cpu_seconds(self) -> float | None:
        """Return the CPU time of the run, finished or failed; None if it is not known."""
        holder = self.cost or self.error
        return None if holder is None else holder.cpu_seconds

    @property
    def is_trained(self) -> bool:
        """Return whether the run has epochs of gradient training; a control is fitted in one step without loss."""
        return any(epoch.loss is not None for epoch in self.curve)

    @property
    def stop_reason(self) -> StopReason | None:
        """Return why the training ended; None for a failed run and for a control.

        "patience": the protocol's patience ran out, also if in the last epoch allowed. "cap": the limit of epochs
        came first, so that a better epoch could have followed. "pruned": neither.
        """
        if self.status == "failed" or not self.is_trained:
            return None
        scores = [epoch.valid[self.protocol.selection_metric] for epoch in self.curve]
        best = scores.index(max(scores)) + 1  # the first of equal ones: a tie is no improvement
        if len(scores) - best >= self.protocol.patience:
            return "patience"
        return "cap" if len(scores) >= self.spec.max_epochs else "pruned"

    @property
    def is_best_at_start(self) -> bool:
        """Return whether a trained run has its best epoch among the first ones, although it made later ones."""
        if not self.is_trained or self.best_epoch is None:
            return False
        return self.best_epoch <= N_FIRST_EPOCHS and self.best_epoch < len(self.curve)
