"""What a run is before (`RunSpec`) and after (`RunRecord`) it was made. Pure; no file is touched.

The JSON form of `RunRecord` is the schema of `results/runs/**.json`, described in results/README.md.
Raise `SCHEMA` when a field changes meaning.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bench.core.config import Frozen
from bench.core.hashing import hash_value
from bench.core.names import base_name, readable
from bench.core.protocol import CUTOFFS, FIRST, TOPK_DEPTH, HideAtTest, Protocol, ProtocolName
from bench.core.text import shortened
from bench.core.types import BenchmarkData, EpochFacts, Features, MetricsByPart, Source

SCHEMA = 1

Stage = Literal["final", "tuning", "confirm"]
StopReason = Literal["patience", "cap", "pruned"]
N_FIRST_EPOCHS = 3  # a best epoch among these tells of a training that went nowhere
ParamValue = str | int | float | bool | None | list[str] | list[int] | list[float]


def _tuples(value: Any) -> Any:
    """Lists of lists, as JSON has them, as the tuples that they were; whatever else stays as it is."""
    if not isinstance(value, list):
        return value
    return tuple(tuple(rung) if isinstance(rung, list) else rung for rung in value)


Bounds = Annotated[tuple[tuple[int, float], ...], BeforeValidator(_tuples)]


class RunSpec(Frozen):
    """One run, completely: nothing that could change its numbers is left out.

    Attributes:
        dataset: canonical name of the data set with its split; see `bench.core.names`.
        model: name of the model file.
        variant: name of a variant in the model's YAML, "" for the model's own row.
        repetition: 0-based number of the repetition; seeds derive from it.
        base_seed: root of all seeds.
        max_epochs: upper bound on training epochs: the protocol's, or a lower one of the profile.
        params: every parameter of the model, resolved.
        features: what the model gets to see of the items' content; see `bench.data.ablation`.
        stage: whether its test scores are reported ("final"), or it is a trial of a search, or confirms the
            setting of one over fresh seeds. Each stage has seeds of its own.
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
    bounds: Bounds = ()

    @property
    def label(self) -> str:
        """Model name with its variant, for example `ludp@literal`."""
        return f"{self.model}@{self.variant}" if self.variant else self.model

    @property
    def params_hash(self) -> str:
        """Hash of the parameters, to tell trials of one model apart."""
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
        """The facts of a loaded data set."""
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
        modalities = [each.model_copy(update={"origin": shortened(each.origin)}) for each in self.modalities]
        texts = {"origin": shortened(self.origin), "advice": shortened(self.advice), "modalities": modalities}
        missing = {name: shortened(why) for name, why in self.missing.items()}
        return self.model_copy(
            update={**texts, "missing": missing, "notes": [shortened(note) for note in self.notes]}
        )

    @property
    def card(self) -> str:
        """Name of the data card, which the paper's values and claims are known by, whatever the split."""
        return base_name(self.name)

    @property
    def label(self) -> str:
        """Name the data with source and split, for example `tiktok [surrogate x0.1, random split]`."""
        scale = "" if self.scale is None else f" x{self.scale:g}"
        return f"{self.card} [{self.source}{scale}, {self.split} split]"


class ProtocolFacts(Frozen):
    """Evaluation choices of a run, see `core.protocol`; records of version 1 lack `name` and `max_epochs`."""

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
        if isinstance(values, dict) and values.get("version") == FIRST.version:
            return {"name": FIRST.name, "max_epochs": FIRST.max_epochs, **values}
        return values

    @classmethod
    def of(cls, protocol: Protocol) -> Self:
        """The choices of a protocol, with those that are the same in all protocols."""
        return cls(**asdict(protocol), cutoffs=list(CUTOFFS), topk_depth=TOPK_DEPTH)

    @property
    def protocol(self) -> Protocol:
        """The protocol as a value."""
        return Protocol(**{each.name: getattr(self, each.name) for each in fields(Protocol)})

    @property
    def tag(self) -> str:
        """Short name of the protocol with its changed choices; see `Protocol.tag`."""
        return self.protocol.tag


class Cost(Frozen):
    """What a run took.

    Attributes:
        train_seconds: all training epochs together.
        valid_seconds: all validation passes together.
        test_seconds: the one test pass.
        total_seconds: the whole run, including building the model.
        cpu_seconds: CPU time of the process during the run, all threads together; interrupted parts count, as far
            as their epochs are kept. None in records of earlier versions.
        epochs: epochs trained.
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
    """Why a run failed, where, and after how much CPU time as far as that is known."""

    kind: str
    message: str
    epoch: int | None = None
    step: int | None = None
    cpu_seconds: float | None = None


class RunRecord(Frozen):
    """A run that was made, finished or failed."""

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

    @property
    def cpu_seconds(self) -> float | None:
        """CPU time of the run, finished or failed; None where it is not known."""
        about = self.cost or self.error
        return None if about is None else about.cpu_seconds

    @property
    def is_trained(self) -> bool:
        """Whether it has epochs of gradient training; a control is fitted in one go and has no loss."""
        return any(epoch.loss is not None for epoch in self.curve)

    @property
    def stop_reason(self) -> StopReason | None:
        """What ended the training; None for a failed run and for a control.

        "patience" where the protocol's patience ran out, also in the last epoch allowed; "cap" where the limit of
        epochs came first, so that a better epoch may have followed; "pruned" where neither did.
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
        """Whether a trained run kept one of its first epochs, although it made later ones."""
        if not self.is_trained or self.best_epoch is None:
            return False
        return self.best_epoch <= N_FIRST_EPOCHS and self.best_epoch < len(self.curve)
