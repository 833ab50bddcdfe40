"""The checks themselves are checked: each planted fault must turn its test red.

A copy of the project gets one fault at a time, by exact text, and the named tests run on it in a process of
their own. A fault whose text is gone fails here, so that the list follows the code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Fault(NamedTuple):
    """One planted fault: in `file`, `right` becomes `wrong`, and `tests` must notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


RANKING, METRICS = "tests/unit/test_ranking.py", "tests/unit/test_metrics.py"
FAULTS = [
    Fault("mask 1e-5", "bench/ranking.py", "= -torch.inf", "= 1e-5", RANKING),
    Fault("no mask of validation items", "bench/evaluate.py", "[split.train, split.valid] if", "[split.train] if", RANKING),
    Fault("test items hidden at validation", "bench/evaluate.py", "_union([split.train])", "_union([split.train, split.test])", RANKING),
    Fault("ties as the library likes", "bench/ranking.py", "values[tied], indices[tied] =", "_ =", RANKING),
    Fault("padding column kept", "bench/recbole_bridge.py", "return scores[:, 1:]", "return scores[:, :-1]", RANKING),
    Fault("test evaluated twice", "bench/evaluate.py", "self._test_done = True", "self._test_done = False", RANKING),
    Fault("ideal DCG over all positives", "bench/metrics.py", "ideal[np.minimum(n_held_out, k)]", "ideal[np.minimum(hits[:, :k].sum(axis=1).clip(1), k)]", METRICS),
    Fault("DCG off by one", "bench/metrics.py", "np.arange(2, k + 2)", "np.arange(3, k + 3)", METRICS),
    Fault("recall over min(held-out, K)", "bench/metrics.py", "/ n_held_out", "/ np.minimum(n_held_out, k)", METRICS),
    Fault("short lists hit", "bench/metrics.py", " & (topk.items >= 0)", "", METRICS),
    Fault("negatives from training items", "bench/sampling.py", "return r + taken_below", "return r", "tests/unit/test_sampling.py"),
    Fault("negatives not shuffled along", "bench/sampling.py", "self.negatives(generator)[order]", "self.negatives(generator)", "tests/unit/test_sampling.py"),
    Fault("last epoch instead of the best", "bench/train.py", "scores[SELECTION_METRIC] > result.best_score", "True", "tests/unit/test_train.py"),
    Fault("a tie counts as better", "bench/train.py", "scores[SELECTION_METRIC] > result.best_score", "scores[SELECTION_METRIC] >= result.best_score", "tests/unit/test_train.py"),
    Fault("patience off by one", "bench/train.py", ">= settings.patience", "> settings.patience", "tests/unit/test_train.py"),
    Fault("NaN goes on", "bench/train.py", "broken = (~torch.isfinite(stacked)).nonzero()", "broken = stacked[:0]", "tests/unit/test_train.py"),
    Fault("un-normalised graph", "models/_graph.py", "values = scale[rows] * scale[columns]", "values = torch.ones_like(scale[rows])", "tests/numeric/test_golden.py"),
    Fault("one-sided normalisation", "models/_graph.py", "values = scale[rows] * scale[columns]", "values = scale[rows].square()", "tests/contract/test_recbole_parity.py -k lightgcn_equals"),
    Fault("gradient with the wrong matrix", "models/_graph.py", "_bag(matrix.t_offsets, matrix.t_columns, matrix.t_values, grads", "_bag(matrix.offsets, matrix.columns, matrix.values, grads", "tests/numeric/test_kernels.py -k product"),
    Fault("item missing from its own list", "models/_knn.py", "    if include_self:", "    if False:", "tests/numeric/test_kernels.py -k neighbours"),
    Fault("Eq. 5 with another norm", "models/_item_graph.py", "return ones * out_degree.rsqrt()[rows]", "return ones / out_degree[rows]", "tests/numeric/test_golden.py"),
    Fault("user content without the embedding", "models/_preference.py", "return projected + base", "return projected", "tests/numeric/test_golden.py"),
    Fault("stale tables after loading", "models/base.py", "self.restore_user_e, self.restore_item_e = None, None\n\n    def final", "pass\n\n    def final", "tests/contract/test_model_contract.py -k saved_and_loaded"),
    Fault("L2 not halved", "models/_losses.py", "/ (2 * n_rows)", "/ n_rows", "tests/contract/test_recbole_parity.py -k half_sq"),
    Fault("BPR with a swapped sign", "models/_losses.py", "F.softplus(negative - positive)", "F.softplus(positive - negative)", "tests/contract/test_recbole_parity.py -k bpr"),
    Fault("features one row off", "bench/recbole_bridge.py", "np.concatenate([np.zeros((1, modality.dim), dtype=np.float32), modality.matrix])", "np.concatenate([modality.matrix, np.zeros((1, modality.dim), dtype=np.float32)])", "tests/numeric/test_golden.py"),
    Fault("seed without the repetition", "bench/recording.py", "(spec.dataset, spec.model, spec.repetition)", "(spec.dataset, spec.model, 0)", "tests/pipeline/test_run_all.py -k nothing_to_tables"),
    Fault("key without the data", "bench/plan.py", "[data.data_hash, data.split_hash]", "[]", "tests/unit/test_plan.py -k key_changes"),
]  # fmt: skip


GREEN = "no fault"

# One process imports the heavy libraries, then a fork of it runs the tests of each fault on fresh project modules.
DRIVER = """
import json, os, sys
import torch, scipy.sparse, pandas, pytest, rich.console, pydantic, recbole.trainer, recbole.data
jobs = json.load(sys.stdin)
codes = {}
sys.stdout.flush()
for name, arguments in jobs.items():
    with open(os.path.join("faults", name + ".json")) as stream:
        edits = json.load(stream)
    for edit in edits:
        with open(edit["file"], "w", encoding="utf-8") as stream:
            stream.write(edit["wrong"])
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os._exit(int(pytest.main(arguments)))
    codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for edit in edits:
        with open(edit["file"], "w", encoding="utf-8") as stream:
            stream.write(edit["right"])
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def exit_codes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """pytest's exit code for the tests of each fault, and for the same tests without a fault."""
    folder = tmp_path_factory.mktemp("mutant") / "project"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "cache", "runs", "topk", "checkpoints")
    shutil.copytree(ROOT, folder, ignore=skipped)
    (folder / "faults").mkdir()
    jobs = {}
    for tests in sorted({fault.tests for fault in FAULTS}):
        name = f"{GREEN} {len(jobs)}"
        (folder / "faults" / f"{name}.json").write_text("[]", encoding="utf-8")
        jobs[name] = arguments(tests)
    for number, fault in enumerate(FAULTS):
        source = (folder / fault.file).read_text(encoding="utf-8")
        edit = {"file": fault.file, "right": source, "wrong": source.replace(fault.right, fault.wrong)}
        (folder / "faults" / f"{number}.json").write_text(json.dumps([edit]), encoding="utf-8")
        jobs[str(number)] = arguments(fault.tests)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(jobs),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    codes: dict[str, int] = json.loads(done.stdout)
    return codes


def arguments(tests: str) -> list[str]:
    files, _, selection = tests.partition(" -k ")
    return ["-x", "-p", "no:cacheprovider", *files.split(), *(["-k", selection] if selection else [])]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_still_planted_in_the_code(fault: Fault) -> None:
    assert fault.right in (ROOT / fault.file).read_text(encoding="utf-8"), f"{fault.file} no longer says it"


@pytest.mark.timeout(900)
def test_without_a_fault_the_tests_are_green(exit_codes: dict[str, int]) -> None:
    assert {code for name, code in exit_codes.items() if name.startswith(GREEN)} == {int(pytest.ExitCode.OK)}


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: FAULTS[number].name)
def test_a_planted_fault_turns_its_test_red(exit_codes: dict[str, int], number: int) -> None:
    assert exit_codes[str(number)] == pytest.ExitCode.TESTS_FAILED
