"""Layer 2. What a run is before (`RunSpec`) and after (`RunRecord`) it was made. Pure; no file is touched.

The JSON form of `RunRecord` is the schema of `results/runs/**.json`, described in results/README.md.
Raise `SCHEMA` when a field changes meaning.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bench.digest import hash_value
from bench.private_paths import shortened
from bench.types import BenchmarkData, Source
from bench.validation import Frozen

SCHEMA = 1

Features = Literal["given", "shuffled", "noise", "constant"]
Stage = Literal["final", "tuning"]
ParamValue = str | int | float | bool | None | list[str] | list[int] | list[float]


class RunSpec(Frozen):
    """One run, completely: nothing that could change its numbers is left out.

    Attributes:
        dataset: name of the data card.
        model: name of the model file.
        variant: name of a variant in the model's YAML, "" for the model's own row.
        repetition: 0-based number of the repetition; seeds derive from it.
        base_seed: root of all seeds.
        max_epochs: upper bound on training epochs.
        params: every parameter of the model, resolved.
        features: what the model gets to see of the items' content; see `bench.feature_controls`.
        stage: whether its test scores are reported, or it is a trial of the tuning, with seeds of its own.
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
    """Provenance and counts of the data of a run; see `bench.types.BenchmarkData` for the fields."""

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
            origin=data.origin,
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
                    name=m.name, dim=m.dim, coverage=m.coverage, origin=m.origin, fingerprint=m.fingerprint
                )
                for m in data.modalities
            ],
            missing=dict(data.missing),
            notes=list(data.notes),
            advice=data.advice,
        ).without_paths()

    def without_paths(self) -> DataFacts:
        """Shorten the paths of this machine in all sentences; see `bench.private_paths`."""
        modalities = [each.model_copy(update={"origin": shortened(each.origin)}) for each in self.modalities]
        texts = {"origin": shortened(self.origin), "advice": shortened(self.advice), "modalities": modalities}
        missing = {name: shortened(why) for name, why in self.missing.items()}
        return self.model_copy(
            update={**texts, "missing": missing, "notes": [shortened(note) for note in self.notes]}
        )

    @property
    def label(self) -> str:
        """Name that can never be mistaken for another source, for example `tiktok [surrogate x0.1]`."""
        scale = "" if self.scale is None else f" x{self.scale:g}"
        return f"{self.name} [{self.source}{scale}]"


class ProtocolFacts(Frozen):
    """The evaluation choices of a run; see `bench.protocol`."""

    version: str
    hide_at_test: str
    patience: int
    cutoffs: list[int]
    selection_metric: str
    topk_depth: int


class Metrics(Frozen):
    """Means over users at full precision, keyed like `recall@10`."""

    values: dict[str, float]
    n_users: int
    n_skipped: int


class MetricsByPart(Frozen):
    """Validation and test metrics at the best epoch."""

    valid: Metrics
    test: Metrics


class EpochFacts(Frozen):
    """One epoch: mean training loss, seconds, validation means. A control has one epoch, its fit, and no loss."""

    epoch: int
    loss: float | None
    train_seconds: float
    valid_seconds: float
    valid: dict[str, float]


class Cost(Frozen):
    """What a run took.

    Attributes:
        train_seconds: all training epochs together.
        valid_seconds: all validation passes together.
        test_seconds: the one test pass.
        total_seconds: the whole run, including building the model.
        epochs: epochs trained.
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


class Failure(Frozen):
    """Why a run failed."""

    kind: str
    message: str
    epoch: int | None = None
    step: int | None = None


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
