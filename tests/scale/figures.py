"""Figures of cases as text, and the powers of their growth. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def phase_lines(case: dict[str, Any]) -> list[str]:
    """Seconds and peak of each phase, in the order in which they were first entered."""
    seconds, peaks = case["seconds"], case["peak_bytes"]
    lines = [f"  {name:12s} {seconds[name]:9.2f} s   peak {peaks[name] / 1e9:6.2f} GB" for name in seconds]
    return [*lines, f"  {'one step':12s} {case['step_seconds']:9.3f} s   (median of those after the first)"]


def quantities(case: dict[str, Any]) -> dict[str, float]:
    """What is followed over the sizes: seconds, and the peak of the memory above the bare libraries."""
    return {
        "k-NN s": sum(value for name, value in case["seconds"].items() if name.startswith("k-NN")),
        "first step s": case["seconds"]["first step"],
        "step s": case["step_seconds"],
        "evaluation s": case["seconds"]["evaluation"],
        "own GB": (max(case["peak_bytes"].values()) - case["libraries_bytes"]) / 1e9,
    }


def exponents(cases: list[dict[str, Any]]) -> dict[str, float | None]:
    """The power p of each quantity ~ n_items^p by least squares over the logarithms, and over the last pair.

    None where a case failed, so that no power rests on fewer sizes than it seems to.
    """
    if len(cases) < 2 or any("failed" in case for case in cases):
        return {}
    sizes = [math.log(case["size"]["n_items"]) for case in cases]
    found: dict[str, float | None] = {}
    for name in quantities(cases[0]):
        values = [math.log(quantities(case)[name]) for case in cases]
        found[name] = float(np.polyfit(sizes, values, 1)[0])
        found[f"{name}, last doubling"] = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
    return found


def growth_lines(cases: list[dict[str, Any]], fitted: dict[str, dict[str, float | None]]) -> list[str]:
    """One table a model: the quantities at each size, and their powers below."""
    lines: list[str] = []
    for model, powers in fitted.items():
        own = [case for case in cases if case["model"] == model and "failed" not in case]
        if not own or not powers:
            lines.append(f"{model}: no powers, a size has failed")
            continue
        names = list(quantities(own[0]))
        lines.append(f"{model:8s} n_items " + " ".join(f"{name:>14s}" for name in names))
        for case in own:
            values = quantities(case)
            cells = [f"{values[name]:14.4g}" for name in names]
            lines.append(f"{'':8s} {case['size']['n_items']:7,d} " + " ".join(cells))
        for title, suffix in (("power", ""), ("last x2", ", last doubling")):
            lines.append(f"{'':8s} {title:7s} " + " ".join(f"{powers[name + suffix]:14.2f}" for name in names))
    return lines
