"""Layer 1. What `--set MODEL.KEY=VALUE` says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from bench.errors import UsageError


def overrides(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`model.key=value` assignments by model; values are read as YAML.

    Raises:
        UsageError: an assignment does not have that form.
    """
    found: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        model, dot, key = target.partition(".")
        if not (equals and dot and model and key):
            raise UsageError(f"--set takes MODEL.KEY=VALUE, for example ludp.knn_k=20, not '{assignment}'.")
        try:
            found.setdefault(model, {})[key] = yaml.safe_load(text)
        except yaml.YAMLError as problem:
            raise UsageError(f"--set {assignment}: the value is no YAML ({problem}).") from problem
    return found
