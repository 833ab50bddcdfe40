"""Tell controls, which are simple reference models without training, from trained models. Reads models' files."""

from __future__ import annotations

from bench.core.names import model_of
from bench.engine import registry

CONTROL = "control"  # family on their cards


def is_control(label: str) -> bool:
    """Return whether this is the label of a control, such as `ease`; False for a model that is not here."""
    card = registry.card_of(model_of(label))
    return card is not None and card.family == CONTROL
