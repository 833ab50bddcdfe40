"""Layer 3. What is said about a data set before anything is computed with it. Pure."""

from __future__ import annotations

from bench.split_audit import audit, audit_lines, warnings
from bench.types import BenchmarkData

LOUD = {
    "real": "REAL DATA",
    "embedded": "EMBEDDED DATA, real but not the data set of the paper",
    "surrogate": "SURROGATE, GENERATED DATA, whose numbers say nothing about real users",
}


def describe_source(data: BenchmarkData) -> str:
    """The paragraph for the console: source, counts, missing modalities, and how to get the real data."""
    warned = warnings(audit(data.split))
    split, scale = data.split, "" if data.scale is None else f", scale {data.scale:g}"
    lines = [
        f"{data.name}: {LOUD[data.source]}{scale}",
        f"  source     {data.origin}",
        f"  counts     {data.n_users:,} users, {data.n_items:,} items, {data.n_interactions:,} interactions",
        f"  split      {split.name}: {len(split.train):,} training, {len(split.valid):,} validation, "
        f"{len(split.test):,} test",
        *(
            f"  modality   {one.name}: {one.dim} columns, {one.coverage:.1%} of the items; {one.origin}"
            for one in data.modalities
        ),
        *(f"  MISSING    {name}: {reason}" for name, reason in data.missing.items()),
        *(f"  {'WARNING' if note in warned else 'note':<10} {note}" for note in data.notes),
    ]
    if data.advice:
        lines.append(f"  real data  {data.advice}")
    return "\n".join(lines)


def describe_split(data: BenchmarkData) -> str:
    """Every measure of the split beside what a random one would give, for the console."""
    return "\n".join(f"  audit      {line}" for line in audit_lines(audit(data.split)))
