"""The reader and writer of a results directory, but for what runs in progress keep there.

Layout, described in results/README.md:
    runs/<protocol>/<data>-<source>/<model>/<key>.json    one record a run
    trials/<protocol>/...                                 the same for trials of searches, and their confirmation
    topk/<key>.npz                                        per-user lists and metrics of the test part
    checkpoints/<key>.safetensors, .json                  parameters of the best epoch
    unfinished/, claims/                                  runs in progress: `bench.runs.checkpoint`,
    `bench.core.files`
Every write is a temporary file and a rename. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bench.core.errors import ResultsError
from bench.core.files import read_regular, write_bytes, write_text
from bench.core.hashing import hash_bytes
from bench.core.protocol import Protocol
from bench.core.text import for_line
from bench.core.types import TopK
from bench.runs.list_files import ContradictedError, StoredLists, UnfitListsError, from_bytes, to_bytes
from bench.runs.record_files import Damaged, RecordFile, place_of, read_record, to_text
from bench.runs.records import RunRecord, RunSpec


class Contradicted(Damaged):
    """Lists as the run left them, whose means are not those of the record."""


class ResultsStore:
    """Records, lists and checkpoints below one directory.

    Args:
        root: the directory; made when first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / "unfinished"

    def check_writable(self) -> None:
        """Find out before hours of training whether results can be kept.

        Raises:
            ResultsError: the directory cannot be made or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as problem:
            raise ResultsError(
                f"The results directory {self.root} cannot be written ({problem.strerror or problem}). "
                f"Make it writable, or name another with --results-dir."
            ) from problem

    def record_path(self, key: str, protocol: Protocol, data: str, source: str, spec: RunSpec) -> Path:
        """Where the record of a run lies: those of trials apart from those of reported runs."""
        return self.root / place_of(key, protocol, data, source, spec)

    def claim_path(self, key: str) -> Path:
        """What a runner locks while it makes that run."""
        return self.root / "claims" / f"{key}.lock"

    def read(self, path: Path) -> RunRecord | Damaged | None:
        """The record at a path; None where there is no file.

        Raises:
            ResultsError: there is one that cannot be read.
        """
        found = read_record(path)
        return found.record if isinstance(found, RecordFile) else found

    def records(self) -> Iterator[RunRecord | Damaged]:
        """All records, in the order of their paths, and what is found damaged among them."""
        for path in sorted((self.root / "runs").glob("**/*.json")):
            found = self.read(path)
            if found is not None:
                yield found

    def write_record(self, path: Path, record: RunRecord) -> None:
        """Write a record; what is damaged or of another run in its place is kept beside it as `.damaged`.

        Raises:
            ResultsError: it cannot be written.
        """
        if isinstance(self.read(path), Damaged):
            self._guarded(path, lambda: path.replace(path.with_suffix(".damaged")))
        self._guarded(path, lambda: write_text(path, to_text(record)))

    def write_topk(self, key: str, topk: TopK, per_user: Mapping[str, NDArray[np.float64]]) -> str:
        """Write the lists and the per-user metrics of a test evaluation; the hash of their content.

        Raises:
            ResultsError: they cannot be written.
        """
        path, content = lists_path(self.root, key), to_bytes(topk, per_user)
        self._guarded(path, lambda: write_bytes(path, content))
        return StoredLists(topk.users, topk.items, dict(per_user)).content_hash

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read what `write_topk` wrote for a finished run; or why it cannot be used."""
        path = lists_path(self.root, record.key)
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

    def read_checkpoint(self, record: RunRecord) -> dict[str, Tensor] | None:
        """Read what `write_checkpoint` wrote for a run; None where it is gone, damaged or changed since."""
        try:
            content = read_regular(self.root / "checkpoints" / f"{record.key}.safetensors")
            is_own = record.checkpoint_hash in (None, hash_bytes(content))
            return load(content) if is_own else None
        except (OSError, SafetensorError, ValueError):
            return None

    def write_checkpoint(self, key: str, state: Mapping[str, Tensor], spec: Mapping[str, object]) -> str:
        """Write the parameters of the best epoch, and what they are the parameters of; the hash of the former.

        Raises:
            ResultsError: they cannot be written.
        """
        path = self.root / "checkpoints" / f"{key}.safetensors"
        # clones: safetensors refuses tensors that share memory, as a shared parameter does
        content = save({name: tensor.detach().cpu().clone() for name, tensor in state.items()})
        self._guarded(path, lambda: write_bytes(path, content))  # its own writing hides the system's error
        note = path.with_suffix(".json")
        self._guarded(note, lambda: write_text(note, json.dumps({"key": key, "spec": spec}, indent=1) + "\n"))
        return hash_bytes(content)

    @staticmethod
    def _guarded(path: Path, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as problem:
            raise ResultsError(
                f"{path} cannot be written ({problem.strerror or problem}). What was there before is kept: "
                f"free some space or make the directory writable, and run the same command again to go on."
            ) from problem


def lists_path(root: Path, key: str) -> Path:
    """Return where the lists of a run lie in a results directory."""
    return root / "topk" / f"{key}.npz"
