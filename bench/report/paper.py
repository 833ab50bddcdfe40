"""The published values, typed and checked. Reads results/reference/paper.yaml; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field, model_validator

from bench.core.config import Frozen, validated
from bench.core.errors import listed, unknown_name
from bench.core.places import shipped
from bench.core.yaml_files import read_yaml

PAPER_FILE = shipped("results/reference") / "paper.yaml"
MODALITY_ROWS = ("visual", "acoustic", "textual", "all")
LAYER_ROWS = (1, 2, 3)

Key = TypeVar("Key", str, int)
Value = TypeVar("Value")
ScoresByMetric = dict[str, float]


class Citation(Frozen):
    """The publication that the values are from."""

    citation: str
    doi: str


class PaperData(Frozen):
    """One row of Table 2; `dims` maps modality to feature columns."""

    n_interactions: int = Field(gt=0)
    n_items: int = Field(gt=0)
    n_users: int = Field(gt=0)
    sparsity_percent: float = Field(gt=0, lt=100)
    dims: dict[str, int]


class Paper(Frozen):
    """All published values. Look-ups raise for a name that the paper does not have; check `has_*` first.

    Attributes:
        source: the publication.
        proposed: the model that the paper proposes.
        models: model name to printed name, in the order of the rows.
        datasets: data set name to printed name.
        metrics: metric keys with published values.
        table2: statistics by data set.
        table3: scores by data set, model and metric.
        table3_improvement_percent: the printed row %Improv. by data set and metric.
        table4: scores by data set, modality (or "all") and metric.
        table5: scores by data set, number of item-graph layers and metric.
    """

    source: Citation
    proposed: str
    models: dict[str, str]
    datasets: dict[str, str]
    metrics: list[str]
    table2: dict[str, PaperData]
    table3: dict[str, dict[str, ScoresByMetric]]
    table3_improvement_percent: dict[str, ScoresByMetric]
    table4: dict[str, dict[str, ScoresByMetric]]
    table5: dict[str, dict[int, ScoresByMetric]]

    @model_validator(mode="after")
    def _complete(self) -> Paper:
        _check_names("proposed", [self.proposed] if self.proposed in self.models else [], [self.proposed])
        for name in ("table2", "table3", "table3_improvement_percent", "table4", "table5"):
            _check_names(name, getattr(self, name), self.datasets)
        for dataset in self.datasets:
            _check_rows(f"table3.{dataset}", self.table3[dataset], self.models, self.metrics)
            _check_rows(f"table4.{dataset}", self.table4[dataset], MODALITY_ROWS, self.metrics)
            _check_rows(f"table5.{dataset}", self.table5[dataset], LAYER_ROWS, self.metrics)
            printed = self.table3_improvement_percent[dataset]
            _check_names(f"table3_improvement_percent.{dataset}", printed, self.metrics)
        return self

    def has_dataset(self, dataset: str) -> bool:
        """Return whether the paper reports this data set."""
        return dataset in self.datasets

    def has_model(self, model: str) -> bool:
        """Return whether the paper reports this model."""
        return model in self.models

    def display(self, model: str) -> str:
        """Return the printed name of a model. Raises `UsageError` for an unknown one."""
        return _look_up("model of the paper", self.models, model)

    def dataset_display(self, dataset: str) -> str:
        """Return the printed name of a data set. Raises `UsageError` for an unknown one."""
        return _look_up("data set of the paper", self.datasets, dataset)

    def statistics(self, dataset: str) -> PaperData:
        """Return a row of Table 2. Raises `UsageError` for an unknown data set."""
        return _look_up("data set of the paper", self.table2, dataset)

    def score(self, dataset: str, model: str, metric: str) -> float:
        """Return a cell of Table 3. Raises `UsageError` for an unknown data set, model or metric."""
        rows = _look_up("data set of the paper", self.table3, dataset)
        return _look_up("metric of the paper", _look_up("model of the paper", rows, model), metric)

    def improvement(self, dataset: str, metric: str) -> float:
        """Return a cell of the printed row %Improv. of Table 3, in percent. Raises `UsageError` like `score`."""
        rows = _look_up("data set of the paper", self.table3_improvement_percent, dataset)
        return _look_up("metric of the paper", rows, metric)

    def modality_score(self, dataset: str, modality: str, metric: str) -> float:
        """Return a cell of Table 4; `modality` may be "all". Raises `UsageError` like `score`."""
        rows = _look_up("data set of the paper", self.table4, dataset)
        return _look_up("metric of the paper", _look_up("modality of the paper", rows, modality), metric)

    def layer_score(self, dataset: str, n_layers: int, metric: str) -> float:
        """Return a cell of Table 5. Raises `UsageError` like `score`."""
        rows = _look_up("data set of the paper", self.table5, dataset)
        return _look_up("metric of the paper", _look_up("number of layers of the paper", rows, n_layers), metric)


def load_paper(path: Path = PAPER_FILE) -> Paper:
    """Read and check the published values.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has a missing or unexpected row or value.
    """
    return validated(Paper, read_yaml(path), path, "Restore the file.")


def _look_up(kind: str, values: Mapping[Key, Value], name: Key) -> Value:
    if name not in values:
        raise unknown_name(kind, str(name), map(str, values))
    return values[name]


def _check_names(where: str, given: Iterable[Key], wanted: Iterable[Key]) -> None:
    has, needs = set(given), set(wanted)
    if has != needs:
        missing, extra = sorted(map(str, needs - has)), sorted(map(str, has - needs))
        raise ValueError(f"'{where}' lacks {listed(missing)} and has unexpected {listed(extra)}")


def _check_rows(
    where: str, rows: Mapping[Key, ScoresByMetric], names: Iterable[Key], metrics: Iterable[str]
) -> None:
    _check_names(where, rows, names)
    for name, scores in rows.items():
        _check_names(f"{where}.{name}", scores, metrics)
        for metric, value in scores.items():
            if not 0 < value < 1:
                raise ValueError(f"'{where}.{name}.{metric}' is {value}; allowed are values between 0 and 1")
