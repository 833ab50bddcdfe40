"""Layer 4. The reader and writer of a results directory, but for what runs in progress keep there.

Layout, described in results/README.md:
    runs/<protocol>/<data>-<source>/<model>/<key>.json    one record a run
    trials/<protocol>/...                                 the same for trials of searches, and their confirmation
    topk/<key>.npz                                        per-user lists and metrics of the test part
    checkpoints/<key>.safetensors, .json                  parameters of the best epoch
    unfinished/, claims/                                  runs in progress: `bench.checkpoint`, `bench.claims`
Every write is a temporary file and a rename. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from bench.digest import hash_array, hash_in_full
from bench.errors import ResultsError
from bench.files import file_name, write_bytes, write_text
from bench.names import is_readable
from bench.protocol import Protocol
from bench.record_files import Damaged, RecordFile, read_record, to_text
from bench.records import RunRecord, RunSpec
from bench.types import IntArray, TopK


@dataclass(frozen=True, eq=False)
class StoredLists:
    """What is kept of a test evaluation.

    Attributes:
        users: evaluated users, ascending, `[n]`.
        items: their recommendations, best first, `[n, depth]`; -1 where a user has fewer candidates.
        per_user: metrics by name, `[n]` each.
    """

    users: IntArray
    items: IntArray
    per_user: dict[str, NDArray[np.float64]]

    @property
    def content_hash(self) -> str:
        """Hash of the arrays, whatever compressed them; a record holds that of its own."""
        arrays: dict[str, NDArray[Any]] = {
            "users": self.users.astype(np.int64),
            "items": self.items.astype(np.int32),
            **self.per_user,
        }
        return hash_in_full({name: hash_array(array) for name, array in arrays.items()})


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
        folder = "runs" if spec.stage == "final" else "trials"
        return self.root / folder / protocol.tag / f"{data}-{source}" / file_name(spec.model) / f"{key}.json"

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
        """Write a record; a damaged file in its place is kept beside it as `.damaged`.

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
        path = self.root / "topk" / f"{key}.npz"
        arrays = {f"metric:{name}": values for name, values in per_user.items()}

        content = io.BytesIO()
        np.savez_compressed(content, users=topk.users, items=topk.items.astype(np.int32), **arrays)
        self._guarded(path, lambda: write_bytes(path, content.getvalue()))
        return StoredLists(topk.users, topk.items, dict(per_user)).content_hash

    def read_topk(self, key: str) -> StoredLists | None:
        """What `write_topk` wrote; None where nothing can be read."""
        try:
            with np.load(self.root / "topk" / f"{key}.npz", allow_pickle=False) as file:
                metrics = {n.removeprefix("metric:"): file[n] for n in file.files if n.startswith("metric:")}
                return StoredLists(file["users"], file["items"].astype(np.int64), metrics)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            return None

    def read_checkpoint(self, key: str) -> dict[str, Tensor] | None:
        """What `write_checkpoint` wrote; None where nothing can be read."""
        try:
            path = self.root / "checkpoints" / f"{key}.safetensors"
            return load_file(path) if is_readable(path) else load(path.read_bytes())
        except (OSError, SafetensorError):
            return None

    def write_checkpoint(self, key: str, state: Mapping[str, Tensor], spec: Mapping[str, object]) -> None:
        """Write the parameters of the best epoch, and what they are the parameters of.

        Raises:
            ResultsError: they cannot be written.
        """
        path = self.root / "checkpoints" / f"{key}.safetensors"
        # clones: safetensors refuses tensors that share memory, as a shared parameter does
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        self._guarded(path, lambda: write_bytes(path, save(tensors)))  # its own writing hides the system's error
        note = path.with_suffix(".json")
        self._guarded(note, lambda: write_text(note, json.dumps({"key": key, "spec": spec}, indent=1) + "\n"))

    @staticmethod
    def _guarded(path: Path, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as problem:
            raise ResultsError(
                f"{path} cannot be written ({problem.strerror or problem}). What was there before is kept: "
                f"free some space or make the directory writable, and run the same command again to go on."
            ) from problem
