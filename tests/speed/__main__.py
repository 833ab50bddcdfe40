"""`python -m speed`: measure, print one table, write one JSON file. `make bench` is the way to call it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import BenchError, unknown_name
from bench.core.places import ROOT
from bench.engine.trainer import keep_freed_memory
from bench.runs.machine import describe, pick_device
from speed import cases_content, cases_growth, cases_ranking, cases_training, cases_work
from speed.context import Bench
from speed.result import Failed, Outcome, Row, render, save

CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "lightgcn": cases_training.lightgcn,
    "ngcf": cases_training.ngcf,
    "mf": cases_training.mf,
    "lattice": cases_content.lattice,
    "mmgcn": cases_content.mmgcn,
    "grcn": cases_content.grcn,
    "acf": cases_content.acf,
    "models": cases_growth.models,
    "work": cases_work.work,
    "movielens": cases_growth.movielens,
    "ludp": cases_training.ludp,
    "validation": cases_training.validation,
    "lightgcn-large": cases_training.lightgcn_large,
    "ranking": cases_ranking.ranking,
    "ranking-floor": cases_ranking.floor,
    "knn": cases_ranking.knn,
    "sampling": cases_ranking.sampling,
    "start": cases_ranking.start,
    "growth": cases_growth.growth,
    "memory": cases_growth.peaks,
}
BUSY = 0.5  # load a core at the start from which on the figures are doubtful


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark: 0, or 1 where a case could not be measured, or 2 after a wrong argument."""
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"recbole\.")
    try:
        return _run(options)
    except BenchError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m speed", description=__doc__)
    parser.add_argument("--cases", nargs="+", metavar="NAME", help=f"what to measure; all of {', '.join(CASES)}")
    parser.add_argument("--data-dir", action="append", type=Path, metavar="DIR", help="holds tiktok/trnMat.pkl")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or auto")
    parser.add_argument("--threads", type=int, help="threads of torch; all cores by default")
    parser.add_argument("--out", type=Path, help="JSON file; results/bench/<time>.json by default")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, nothing beyond the paper's size")
    return parser


def _run(options: argparse.Namespace) -> int:
    chosen = options.cases or list(CASES)
    for name in chosen:
        if name not in CASES:
            raise unknown_name("case", name, CASES)
    keep_freed_memory()
    torch.set_num_threads(options.threads or _cores())
    device = pick_device(options.device)
    began = datetime.now(UTC)
    out = options.out or ROOT / "results" / "bench" / f"{began:%Y-%m-%dT%H%M%SZ}.json"
    facts: dict[str, Any] = {
        "started": began.isoformat(timespec="seconds"),
        "quick": options.quick,
        "load_at_start": os.getloadavg()[0],
        "environment": describe(device),
    }
    _announce(facts)
    outcome: Outcome = {}
    with tempfile.TemporaryDirectory(prefix="ludp-bench-") as folder:
        bench = Bench(_data_dirs(options.data_dir), device, Path(folder), options.quick)
        for name in chosen:
            start = time.perf_counter()
            outcome[name] = _measured(CASES[name], bench)
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
            save(out, outcome, {**facts, "data": bench.descriptions})
    print("", render(outcome), "", *bench.say(), f"written: {out}", sep="\n")
    return int(any(isinstance(rows, Failed) for rows in outcome.values()))


def _measured(case: Callable[[Bench], list[Row]], bench: Bench) -> list[Row] | Failed:
    """A case's rows; a defect of one case must not lose the others."""
    try:
        return case(bench)
    except BenchError:
        raise
    except Exception as problem:
        traceback.print_exc()
        return Failed(f"{type(problem).__name__}: {problem}")


def _announce(facts: dict[str, Any]) -> None:
    place = facts["environment"]
    print(f"{place['processor']}, {place['cores']} cores, {place['threads']} threads, device {place['device']}")
    if facts["load_at_start"] > BUSY * _cores():
        print(f"note: the machine is busy (load {facts['load_at_start']:.1f}); the figures will be doubtful")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _data_dirs(given: list[Path] | None) -> tuple[Path, ...]:
    """Directories from the command line, else from the environment variable LUDP_BENCH_DATA."""
    if given:
        return tuple(given)
    return tuple(Path(part) for part in os.environ.get("LUDP_BENCH_DATA", "").split(os.pathsep) if part)


if __name__ == "__main__":
    sys.exit(main())
