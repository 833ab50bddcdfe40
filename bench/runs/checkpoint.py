"""The state of an unfinished training on disk. The only reader and writer of `unfinished/` in results.

After every epoch `<key>-<epoch>.safetensors` is written and the one before it removed, so that a killed run loses
the epoch that it was in. A checksum covers all that is in a file; one that is damaged, or of another run, is said
and set aside. A new name for every epoch costs a third of replacing the old file, which some file systems write
out at once. A power cut takes what was not written out, so once a minute one is, and stays until the next is.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bench.core.errors import ResultsError
from bench.core.files import claim, read_regular, write_bytes
from bench.core.types import EpochFacts
from bench.engine.trainer import TrainingState, TrainResult
from bench.runs.records import RunRecord

SCHEMA = 1  # raised when what is in the files changes, or how a training goes on from it
SECONDS_AT_RISK = 60.0  # of training that a power cut may take


class _UnusableError(Exception):
    """Why a file cannot be gone on from."""


class Checkpoint:
    """The kept state of one run's training.

    Args:
        folder: where it lies; made when first written.
        blank: the run's record from before; its device and version of torch must be those of the state.
        n_threads: threads that the run takes if it does not go on from a state.
        tell: told of files that cannot be used.

    Attributes:
        state: what was found by `load`, or None.
        n_threads: threads that the run takes: with another number, last digits may differ.
    """

    def __init__(self, folder: Path, blank: RunRecord, n_threads: int, tell: Callable[[str], None]) -> None:
        self._folder, self._key, self._tell = folder, blank.key, tell
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
        self._curve: list[str] = []  # as text: that of a long training is not written anew after every epoch
        self._written_out: Path | None = None
        self._written_out_at = time.monotonic()
        self._cpu_before, self._cpu_start = 0.0, time.process_time()

    def load(self) -> None:
        """Find the state after the last epoch that can be gone on from; what cannot is set aside.

        Raises:
            ResultsError: a file cannot be read or renamed.
        """
        for path in reversed(self._files()):
            try:
                self.state, self.n_threads = self._read(path)
                return
            except _UnusableError as problem:
                self._set_aside(path, str(problem))
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                self._set_aside(path, "it is of another form")
            except OSError as problem:
                raise _trouble(path, "read", problem) from problem

    @property
    def seconds(self) -> float:
        """What the epochs of the found state took."""
        curve = [] if self.state is None else self.state.result.curve
        return sum(facts.train_seconds + facts.valid_seconds for facts in curve)

    def cpu_seconds(self) -> float:
        """CPU time of this process since the run began or was taken up, and what was kept of earlier ones."""
        return self._cpu_before + time.process_time() - self._cpu_start

    def keep(self, state: TrainingState) -> None:
        """Write a state; earlier ones are removed.

        Raises:
            ResultsError: it cannot be written; the state before it is still there.
        """
        result = state.result
        self._curve += [facts.model_dump_json() for facts in result.curve[len(self._curve) :]]
        facts = self._facts | {"threads": self.n_threads, "best_epoch": result.best_epoch}
        facts["cpu_seconds"] = self.cpu_seconds()
        tensors = dict(state.tensors)
        if result.best_epoch < len(result.curve):  # else the best parameters are those of now
            tensors |= {f"best/{name}": tensor for name, tensor in result.best_state.items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        texts = {"facts": json.dumps(facts), "curve": f"[{','.join(self._curve)}]"}
        content = save(_unshared(tensors), texts | {"checksum": _checksum(tensors, texts)})
        path = self._folder / f"{self._key}-{len(result.curve):07}.safetensors"
        write_out = time.monotonic() - self._written_out_at > SECONDS_AT_RISK
        try:
            before = self._files()
            write_bytes(path, content, durable=write_out)
            if write_out:
                self._written_out, self._written_out_at = path, time.monotonic()
            for old in before:
                if old not in (path, self._written_out):
                    old.unlink(missing_ok=True)
        except OSError as problem:
            raise _trouble(path, "written", problem) from problem

    def reject(self, problem: str) -> None:
        """Set aside what `load` found, for another reason.

        Raises:
            ResultsError: it cannot be renamed.
        """
        self.state = None
        for path in self._files():
            self._set_aside(path, problem)

    def drop(self) -> None:
        """Remove what was kept, for the run has its record.

        Raises:
            ResultsError: it cannot be removed.
        """
        for path in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as problem:
                raise _trouble(path, "removed", problem) from problem

    def _files(self) -> list[Path]:
        """Those of this run, by epoch."""
        return files_of(self._folder, self._key)

    def _set_aside(self, path: Path, problem: str) -> None:
        aside = path.with_suffix(".damaged")
        self._tell(f"{path} cannot be gone on from ({problem}). It is kept as {aside.name}.")
        try:
            path.replace(aside)
        except OSError as error:
            raise _trouble(path, "renamed", error) from error

    def _read(self, path: Path) -> tuple[TrainingState, int]:
        tensors, texts = _contents(path)
        facts: dict[str, Any] = json.loads(texts["facts"])
        for name, value in self._facts.items():
            if facts.get(name) != value:
                raise _UnusableError(f"its {name} is {facts.get(name)}, not {value}")
        try:
            curve = [EpochFacts.model_validate(each) for each in json.loads(texts["curve"])]
        except ValidationError as problem:
            raise _UnusableError("its curve is of another form") from problem
        self._cpu_before = float(facts.get("cpu_seconds", 0.0))  # states of earlier versions do not tell
        best_epoch, own = facts["best_epoch"], {n: t for n, t in tensors.items() if not n.startswith("best/")}
        room = "best/" if best_epoch < len(curve) else "model/"
        best = {name.removeprefix(room): t for name, t in tensors.items() if name.startswith(room)}
        score = curve[best_epoch - 1].valid[self._selection_metric]
        return TrainingState(TrainResult(best_epoch, score, best, curve), own), facts["threads"]


def files_of(folder: Path, key: str = "*") -> list[Path]:
    """The states of a run, or of all runs, by epoch.

    Raises:
        ResultsError: the folder cannot be read.
    """
    try:
        return sorted(folder.glob(f"{key}-*.safetensors"))
    except OSError as problem:
        raise _trouble(folder, "listed", problem) from problem


def drop_finished(folder: Path, keys: Container[str], claim_path: Callable[[str], Path]) -> None:
    """Remove states of runs that have their record: of those killed in between.

    Args:
        folder: of the states.
        keys: of these runs.
        claim_path: of a run's claim; one that another runner makes again is left alone.

    Raises:
        ResultsError: a folder cannot be read, or a claim not be made.
    """
    for path in files_of(folder):
        key = path.name.partition("-")[0]
        if key in keys:
            with claim(claim_path(key)) as ours:
                if ours:
                    with contextlib.suppress(OSError):  # it is in nobody's way
                        path.unlink()


def _trouble(path: Path, what: str, problem: OSError) -> ResultsError:
    return ResultsError(
        f"{path} cannot be {what} ({problem.strerror or problem}). Finished runs are kept, and begun ones to the "
        f"last epoch that could be written: free some space or make the directory writable, and run the same "
        f"command again to go on from there."
    )


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and texts of a file as they were written; whatever differs is found."""
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


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With a copy where two names share memory, as two parts of a model may; safetensors refuses those."""
    seen: set[int] = set()

    def copies() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in tensors.items():
            place = tensor.untyped_storage().data_ptr()
            yield name, tensor.clone() if place in seen else tensor
            seen.add(place)

    return dict(copies())
