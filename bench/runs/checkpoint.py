"""The training state of an unfinished run on disk. The only reader and writer of `unfinished/` in results.

After every epoch a state is written as `<key>-<epoch>.safetensors` and the one before it is removed, so that a
killed run loses only the epoch in progress. A checksum covers the whole file. A file that is damaged or belongs to
another run is reported and renamed to `.damaged`.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bench.core.files import claim, free_name, os_errors, read_regular, write_bytes
from bench.core.types import EpochFacts
from bench.engine.trainer import TrainingState, TrainResult
from bench.runs.records import RunRecord

SCHEMA = 1  # raise it when the content of the files changes, or how a training resumes from them
# A power cut takes what the system had not flushed to the disk. So one state a minute is flushed, and kept until
# the next flushed one.
SECONDS_AT_RISK = 60.0


class _UnusableError(Exception):
    """The reason why a run cannot resume from a file."""


class Checkpoint:
    """The stored training state of one run.

    Args:
        folder: where the files lie; created when first written.
        blank: the run's record before it starts; its device and version of torch must be those of the state.
        n_threads: threads of the run if it does not resume from a state.
        warn: called with a message for every file that cannot be used.

    Attributes:
        state: the state that `load` read, or None.
        n_threads: threads of the run. A resumed run keeps its number, for with another one last digits may differ.
    """

    def __init__(self, folder: Path, blank: RunRecord, n_threads: int, warn: Callable[[str], None]) -> None:
        self._folder, self._key, self._warn = folder, blank.key, warn
        self._selection_metric = blank.protocol.selection_metric
        environment = blank.environment
        self._facts: dict[str, Any] = {
            "schema": SCHEMA,
            "key": blank.key,
            "device": environment["device"],
            "torch version": environment["packages"]["torch"],
        }
        self.state: TrainingState | None = None
        self.n_threads = n_threads
        self._curve: list[str] = []  # epochs as JSON, so that each is converted once and not after every epoch
        self._flushed: Path | None = None
        self._flushed_at = time.monotonic()
        self._cpu_before, self._cpu_start = 0.0, time.process_time()

    def load(self) -> None:
        """Read the latest usable state; rename files that cannot be used.

        Raises:
            ResultsError: a file cannot be read or renamed.
        """
        for path in reversed(self._files()):
            try:
                with _file_errors(path, "read"):
                    self.state, self.n_threads = self._read(path)
                return
            except _UnusableError as problem:
                self._set_aside(path, str(problem))
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                self._set_aside(path, "its content has another form")

    @property
    def seconds(self) -> float:
        """Return the seconds that the epochs of the loaded state took."""
        curve = [] if self.state is None else self.state.result.curve
        return sum(facts.train_seconds + facts.valid_seconds for facts in curve)

    def cpu_seconds(self) -> float:
        """Return the CPU time of the run: of this process, and of earlier ones up to the loaded state."""
        return self._cpu_before + time.process_time() - self._cpu_start

    def keep(self, state: TrainingState) -> None:
        """Write a state and remove earlier ones.

        Raises:
            ResultsError: it cannot be written; the previous state is kept.
        """
        result = state.result
        self._curve += [facts.model_dump_json() for facts in result.curve[len(self._curve) :]]
        facts = self._facts | {"threads": self.n_threads, "best_epoch": result.best_epoch}
        facts["cpu_seconds"] = self.cpu_seconds()
        tensors = dict(state.tensors)
        if result.best_epoch < len(result.curve):  # else the best parameters are the current ones
            tensors |= {f"best/{name}": tensor for name, tensor in result.best_state.items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        texts = {"facts": json.dumps(facts), "curve": f"[{','.join(self._curve)}]"}
        content = save(_without_shared_memory(tensors), texts | {"checksum": _checksum(tensors, texts)})
        # A new name for every epoch: replacing the old file takes three times as long, because some file systems
        # flush it at once.
        path = self._folder / f"{self._key}-{len(result.curve):07}.safetensors"
        flush = time.monotonic() - self._flushed_at > SECONDS_AT_RISK
        with _file_errors(path, "written"):
            before = self._files()
            write_bytes(path, content, durable=flush)
            if flush:
                self._flushed, self._flushed_at = path, time.monotonic()
            for old in before:
                if old not in (path, self._flushed):
                    old.unlink(missing_ok=True)

    def reject(self, problem: str) -> None:
        """Discard the loaded state and rename its files, for the given reason.

        Raises:
            ResultsError: a file cannot be renamed.
        """
        self.state, self._cpu_before = None, 0.0
        for path in self._files():
            self._set_aside(path, problem)

    def drop(self) -> None:
        """Remove all states of the run, once its record is written.

        Raises:
            ResultsError: a file cannot be removed.
        """
        for path in self._files():
            with _file_errors(path, "removed"):
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return checkpoint_files(self._folder, self._key)

    def _set_aside(self, path: Path, problem: str) -> None:
        aside = free_name(path.with_suffix(".damaged"))
        self._warn(f"The run cannot resume from {path} ({problem}). The file is kept as {aside.name}.")
        with _file_errors(path, "renamed"):
            path.replace(aside)

    def _read(self, path: Path) -> tuple[TrainingState, int]:
        tensors, texts = _contents(path)
        facts: dict[str, Any] = json.loads(texts["facts"])
        for name, value in self._facts.items():
            if facts.get(name) != value:
                raise _UnusableError(f"its {name} is {facts.get(name)}, not {value}")
        try:
            curve = [EpochFacts.model_validate(each) for each in json.loads(texts["curve"])]
        except ValidationError as problem:
            raise _UnusableError("its curve has another form") from problem
        best_epoch, own = facts["best_epoch"], {n: t for n, t in tensors.items() if not n.startswith("best/")}
        prefix = "best/" if best_epoch < len(curve) else "model/"
        best = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        score = curve[best_epoch - 1].valid[self._selection_metric]
        state, n_threads = TrainingState(TrainResult(best_epoch, score, best, curve), own), facts["threads"]
        # last, because the time of a state that cannot be used does not count; states of earlier versions lack it
        self._cpu_before = float(facts.get("cpu_seconds", 0.0))
        return state, n_threads


def checkpoint_files(folder: Path, key: str = "*") -> list[Path]:
    """List the states of a run, or of all runs, by epoch.

    Raises:
        ResultsError: the folder cannot be read.
    """
    with _file_errors(folder, "listed"):
        return sorted(folder.glob(f"{key}-*.safetensors"))


def drop_finished(folder: Path, keys: Container[str], claim_path: Callable[[str], Path]) -> None:
    """Remove leftover states of runs that have a record: their process was killed before it removed them.

    Args:
        folder: folder of the states.
        keys: keys of the finished runs.
        claim_path: returns the lock file of a run; a run that another process repeats now is skipped.

    Raises:
        ResultsError: a folder cannot be read, or a lock cannot be created.
    """
    for path in checkpoint_files(folder):
        key = path.name.partition("-")[0]
        if key in keys:
            with claim(claim_path(key)) as ours:
                if ours:
                    with contextlib.suppress(OSError):  # a leftover file does no harm
                        path.unlink()


def _file_errors(path: Path, action: str) -> AbstractContextManager[None]:
    """Turn an `OSError` of the body into an error for users; `action` is a participle such as "written"."""
    return os_errors(
        f"{path} cannot be {action}",
        "Finished runs are kept, and unfinished ones up to the last epoch that was written. Free some space or "
        "make the directory writable, and run the same command again to resume from there.",
    )


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and texts of a file, and check that they are what was written."""
    content = read_regular(path)
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        texts: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
        checksum = texts.pop("checksum")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise _UnusableError(f"it is damaged: {problem}") from problem
    if checksum != _checksum(tensors, texts):
        raise _UnusableError("it is damaged: its checksum differs")
    return tensors, texts


def _checksum(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    value = zlib.crc32(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"crc32 {value:08x}"


def _without_shared_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory, as two parts of a model may; safetensors refuses those."""
    seen: set[int] = set()

    def copies() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in tensors.items():
            address = tensor.untyped_storage().data_ptr()
            yield name, tensor.clone() if address in seen else tensor
            seen.add(address)

    return dict(copies())
