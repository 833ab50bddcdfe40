"""Layer 2. What `--set MODEL.KEY=VALUE` says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from bench.errors import UsageError
from bench.validation import parse_yaml


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
            found.setdefault(model, {})[key] = parse_yaml(text)
        except yaml.YAMLError as problem:
            reason = " ".join(str(problem).split())[:300]
            raise UsageError(
                f"--set {assignment[:200]}: the value is no YAML ({reason}). Give a number, true, false, a "
                "word or a list such as [1, 2]."
            ) from problem
    return found
