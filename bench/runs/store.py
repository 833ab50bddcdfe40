"""Reads and writes a results directory, except for runs in progress.

Layout, described in results/README.md:
    runs/<protocol>/<data>-<source>/<model>/<key>.json    one record per run
    trials/<protocol>/...                                 the same for trials of searches and their confirmation
    topk/<key>.npz                                        lists and scores of the users of the test part
    scores/<key>.npz                                      in a compact copy, the scores in place of the lists
    checkpoints/<key>.safetensors, .json                  parameters of the best epoch
    unfinished/                                           runs in progress: `bench.runs.checkpoint`
    claims/                                               locks of runs: `bench.core.files`
Every write is a temporary file and a rename. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bench.core.files import free_name, os_errors, read_regular, write_bytes, write_text
from bench.core.hashing import hash_bytes
from bench.core.protocol import Protocol
from bench.core.text import for_line
from bench.core.types import TopK
from bench.runs import list_files, score_files
from bench.runs.list_files import ContradictedError, StoredLists, StoredScores, UnfitListsError
from bench.runs.record_files import Damaged, RecordFile, place_of, read_record, to_text
from bench.runs.records import RunRecord, RunSpec

LISTS, SCORES = "topk", "scores"  # folders: lists with scores, and scores alone
T = TypeVar("T")


class Contradicted(Damaged):
    """Unchanged lists of a run whose means differ from those in its record."""


class ResultsStore:
    """The records, lists and checkpoints below one directory.

    Args:
        root: the directory; created when first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / "unfinished"

    def check_writable(self) -> None:
        """Check, before hours of training, that results can be written.

        Raises:
            ResultsError: the directory cannot be created or written.
        """
        with os_errors(
            f"The results directory {self.root} cannot be written",
            "Make it writable, or choose another with --results-dir.",
        ):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass

    def record_path(self, key: str, protocol: Protocol, data: str, source: str, spec: RunSpec) -> Path:
        """Return the path of a run's record; trials lie in another folder than reported runs."""
        return self.root / place_of(key, protocol, data, source, spec)

    def claim_path(self, key: str) -> Path:
        """Return the file that a process locks while it makes the run."""
        return self.root / "claims" / f"{key}.lock"

    def read(self, path: Path) -> RunRecord | Damaged | None:
        """Read the record at a path; return None if there is no file.

        Raises:
            ResultsError: the file exists and cannot be read.
        """
        file = read_record(path)
        return file.record if isinstance(file, RecordFile) else file

    def write_record(self, path: Path, record: RunRecord) -> None:
        """Write a record; a damaged file in its place is renamed to `.damaged`, or `.damaged.2` and so on.

        Raises:
            ResultsError: the record cannot be written.
        """
        if isinstance(self.read(path), Damaged):
            self._guarded(path, lambda: path.replace(free_name(path.with_suffix(".damaged"))))
        self._guarded(path, lambda: write_text(path, to_text(record)))

    def write_topk(self, key: str, topk: TopK, per_user: Mapping[str, NDArray[np.float64]]) -> str:
        """Write the lists and the users' scores of a test evaluation; return the hash of their content.

        Raises:
            ResultsError: they cannot be written.
        """
        path, content = lists_path(self.root, key), list_files.to_bytes(topk, per_user)
        self._guarded(path, lambda: write_bytes(path, content))
        return StoredLists(topk.users, topk.items, dict(per_user)).content_hash

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read the lists of a finished run, or return why they cannot be used."""
        path = lists_path(self.root, record.key)
        if not path.exists() and scores_path(self.root, record.key).exists():
            return Damaged(path, "it is missing, because this is a compact copy of the results")
        return _unpacked(path, record, list_files.from_bytes)

    def read_scores(self, record: RunRecord) -> StoredScores | Damaged:
        """Read the users' scores of a finished run, or return why they cannot be used.

        They lie with the lists, or in a file of their own if there are no lists of this run.
        """
        lists = self.read_lists(record)
        if isinstance(lists, StoredLists):
            return lists.scores
        path = scores_path(self.root, record.key)
        return _unpacked(path, record, score_files.from_bytes) if path.exists() else lists

    def read_checkpoint(self, record: RunRecord) -> dict[str, Tensor] | None:
        """Read the parameters of a run; return None if they are missing, damaged or changed."""
        try:
            content = read_regular(self.root / "checkpoints" / f"{record.key}.safetensors")
            is_own = record.checkpoint_hash in (None, hash_bytes(content))
            return load(content) if is_own else None
        except (OSError, SafetensorError, ValueError):
            return None

    def write_checkpoint(self, key: str, state: Mapping[str, Tensor], spec: Mapping[str, object]) -> str:
        """Write the parameters of the best epoch, with the run's spec beside; return the hash of the parameters.

        Raises:
            ResultsError: they cannot be written.
        """
        path = self.root / "checkpoints" / f"{key}.safetensors"
        # clones: safetensors refuses tensors that share memory, as a shared parameter does
        content = save({name: tensor.detach().cpu().clone() for name, tensor in state.items()})
        self._guarded(path, lambda: write_bytes(path, content))  # safetensors.save_file hides the system's error
        note = path.with_suffix(".json")
        self._guarded(note, lambda: write_text(note, json.dumps({"key": key, "spec": spec}, indent=1) + "\n"))
        return hash_bytes(content)

    @staticmethod
    def _guarded(path: Path, write: Callable[[], object]) -> None:
        with os_errors(
            f"{path} cannot be written",
            "Its earlier content is kept: free some space or make the directory writable, and run "
            "the same command again to resume.",
        ):
            write()


def lists_path(root: Path, key: str) -> Path:
    """Return the path of a run's lists in a results directory."""
    return root / LISTS / f"{key}.npz"


def scores_path(root: Path, key: str) -> Path:
    """Return the path of a run's scores in a compact results directory."""
    return root / SCORES / f"{key}.npz"


def _unpacked(path: Path, record: RunRecord, from_bytes: Callable[[bytes, RunRecord], T]) -> T | Damaged:
    """Read a file of a run, or return why it cannot be used."""
    try:
        return from_bytes(read_regular(path), record)
    except FileNotFoundError:
        return Damaged(path, "it is missing")
    except OSError as problem:
        return Damaged(path, for_line(str(problem.strerror or problem)))
    except ContradictedError as problem:
        return Contradicted(path, for_line(str(problem)))
    except UnfitListsError as problem:
        return Damaged(path, for_line(str(problem)))
