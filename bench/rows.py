"""Layer 4. A row of results: a model, one of its variants, or a variation that an artifact asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.types import Features


@dataclass(frozen=True)
class Row:
    """One row, and what its runs differ in from the model's own.

    Attributes:
        model: name of the model file.
        variant: name of a variant in the model's YAML, or "".
        name: of a variation that the YAML does not have, or "".
        values: its parameters, over those of model and variant.
        features: what the model gets to see of the items' content.
    """

    model: str
    variant: str = ""
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    features: Features = "given"

    @classmethod
    def of(cls, label: str) -> Row:
        """The row of a model or `model@variant`."""
        model, _, variant = label.partition("@")
        return cls(model, variant)

    @property
    def base(self) -> str:
        """The label whose values hold unless the row has its own."""
        return f"{self.model}@{self.variant}" if self.variant else self.model

    @property
    def shown(self) -> str:
        """What records call the variant."""
        return self.name or self.variant

    @property
    def label(self) -> str:
        """What tables find its runs by, for example `ludp@knn_k=20`."""
        return f"{self.model}@{self.shown}" if self.shown else self.model
