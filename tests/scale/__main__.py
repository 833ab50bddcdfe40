"""`python -m scale`: measure, print, write one JSON file. `make scale` is the way to call it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.core.files import write_text
from bench.core.places import ROOT
from bench.runs.machine import describe
from scale.case import Case
from scale.data import Size
from scale.figures import exponents, growth_lines, phase_lines

ELECTRONICS = Size(192_403, 63_001, 1_689_188, (384, 4096), 2000)
MODELS = ("lattice", "ludp")
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
GROWTH_DIMS = (384,)
N_STEPS = 5
LIMIT_BYTES = 16 * 1000**3
SCHEMA_VERSION = 1


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 where a case failed or went beyond the memory that is allowed."""
    parser = argparse.ArgumentParser(prog="python -m scale", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "bench" / "scale.json", metavar="FILE")
    parser.add_argument("--share", type=float, default=1.0, metavar="X", help="all sizes times X, to try it out")
    options = parser.parse_args(arguments)
    if not 0 < options.share <= 1:
        parser.error(f"--share must be above 0 and at most 1, not {options.share}")
    share = options.share
    growth = [
        _measured(Case(model, ELECTRONICS.times(share * part, GROWTH_DIMS), N_STEPS))
        for model in MODELS
        for part in SHARES
    ]
    large = [_measured(Case(model, ELECTRONICS.times(share, ELECTRONICS.dims), N_STEPS)) for model in MODELS]
    fitted = {model: exponents([found for found in growth if found["model"] == model]) for model in MODELS}
    print("\n".join(["", *growth_lines(growth, fitted)]))
    report = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe(torch.device("cpu")),
        "share": share,
        "limit_bytes": LIMIT_BYTES,
        "large": large,
        "growth": growth,
        "exponents": fitted,
    }
    write_text(options.out, json.dumps(report, indent=2) + "\n")
    print(f"\nwritten to {options.out}")
    return _verdict([*growth, *large])


def _measured(case: Case) -> dict[str, Any]:
    """The figures of a case from a process of its own, printed; or how it failed."""
    size = case.size
    print(
        f"\n{case.model}: {size.n_users:,} users, {size.n_items:,} items, {size.n_interactions:,} interactions, "
        f"features of {' and '.join(map(str, size.dims))} dimensions",
        flush=True,
    )
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    command = [sys.executable, "-m", "scale.case", json.dumps(asdict(case))]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    if done.returncode:
        killed = " (killed; most likely it ran out of memory)" if done.returncode == -9 else ""
        print(f"  FAILED with exit code {done.returncode}{killed}", flush=True)
        return {**asdict(case), "failed": done.returncode}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print("\n".join(phase_lines(found)), flush=True)
    return found


def _verdict(cases: list[dict[str, Any]]) -> int:
    """Say whether every case stayed within the memory."""
    failed = [case for case in cases if "failed" in case]
    peaks = [max(case["peak_bytes"].values()) for case in cases if "failed" not in case]
    limit = f"{LIMIT_BYTES / 1e9:.0f} GB"
    for case in failed:
        print(f"FAILED: {case['model']} at {case['size']['n_items']:,} items has no figures")
    if peaks and max(peaks) > LIMIT_BYTES:
        print(f"EXCEEDED: the highest peak is {max(peaks) / 1e9:.2f} GB, allowed are {limit}")
        return 1
    if peaks:
        print(f"the highest peak is {max(peaks) / 1e9:.2f} GB of {limit}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
