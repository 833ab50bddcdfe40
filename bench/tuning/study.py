"""Layer 6. A study: the trials of one model on one data set, kept in an Optuna journal. Touches that file only.

What the next trial is depends on the study's name, the number of the trial and the trials before it, and on
nothing else, so that a search that was killed, or got a larger budget, goes on as if it had never stopped. The
first trial is the model's default. Until `N_STARTUP` trials the sampler knows nothing and draws at random, so
these are proposed together; after that one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.errors import ResultsError
from bench.seeds import derive_seed
from bench.tuning.space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Sampler = Literal["tpe", "grid"]
SAMPLERS: dict[str, str] = {
    "tpe": "tree-structured Parzen estimator: ten trials at random, then near the best ones",
    "grid": "the full grid in a random order, as far as the trials go",
}
N_STARTUP = 10
N_ATTEMPTS = 5


@dataclass(frozen=True)
class Trial:
    """One setting of a study.

    Attributes:
        number: counted from 0, without settings that were proposed again.
        values: the candidates' values.
        score: best validation score, None while it is not known or where the run failed.
        state: how far it is.
    """

    number: int
    values: dict[str, Any]
    score: float | None
    state: Literal["running", "finished", "failed"]


class Study:
    """The trials of one search; open it with `opened`.

    Args:
        path: the journal.
        name: identifies the search: model, data, protocol, code, space.
        space: what may vary.
        sampler: who proposes.
        base_seed: root of the sampler's seeds.
    """

    def __init__(self, path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name, self.space = name, space
        self._sampler: Sampler = sampler
        self._seed = (base_seed, name)
        self._distributions = space.distributions()
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._close_cut_off()

    def trials(self) -> list[Trial]:
        """All trials in order."""
        return [self._trial(number, frozen) for number, frozen in enumerate(self._counted())]

    def next_wave(self, n_trials: int) -> list[Trial]:
        """The trials to make now; those that were proposed and never told are among them.

        Args:
            n_trials: budget of the study.

        Returns:
            Up to `N_STARTUP` trials at first, then one; none when the budget or the space is used up.
        """
        budget = min(n_trials, self.space.size)
        known = self.trials()
        wanted = min(budget, max(N_STARTUP, len(known) + 1))
        if any(trial.state == "running" for trial in known) and len(known) >= N_STARTUP:
            wanted = len(known)
        for number in range(len(known), wanted):
            self._propose(number)
        return [trial for trial in self.trials()[:budget] if trial.state == "running"]

    def tell(self, trial: Trial, score: float | None) -> None:
        """Note how a trial ended; None where its run failed."""
        number = self._counted()[trial.number].number
        if score is None:
            self._fail(number)
        else:
            self._study.tell(number, score)

    def _propose(self, number: int) -> None:
        """Ask for a setting that is new."""
        seen = [trial.values for trial in self.trials()]
        if number > 0 and self._sampler == "tpe":
            for attempt in range(N_ATTEMPTS):
                self._study.sampler = self._tpe(number, attempt)
                asked = self._study.ask(self._distributions)
                if self.space.values(asked.params) not in seen:
                    return
                self._fail(asked.number)
        values = self.space.default() if number == 0 else self._next_of_grid(seen)
        self._study.enqueue_trial(self.space.positions(values))
        self._study.ask(self._distributions)

    def _next_of_grid(self, seen: list[dict[str, Any]]) -> dict[str, Any]:
        order = np.random.default_rng(derive_seed(*self._seed, "grid")).permutation(self.space.size)
        settings = (self.space.setting(int(index)) for index in order)
        return next(setting for setting in settings if setting not in seen)

    def _tpe(self, number: int, attempt: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(seed=derive_seed(*self._seed, number, attempt) % 2**32, n_startup_trials=N_STARTUP)

    def _fail(self, optuna_number: int) -> None:
        from optuna.trial import TrialState

        self._study.tell(optuna_number, state=TrialState.FAIL)

    def _counted(self) -> list[FrozenTrial]:
        """Proposed trials without repetitions: a setting counts where it came first, and where it is whole."""
        return [trial for trial, is_new in self._proposed() if is_new]

    def _proposed(self) -> Iterator[tuple[FrozenTrial, bool]]:
        from optuna.trial import TrialState

        seen = set()
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state != TrialState.WAITING and trial.params.keys() == self._distributions.keys():
                setting = tuple(sorted(trial.params.items()))
                yield trial, setting not in seen
                seen.add(setting)

    def _trial(self, number: int, frozen: FrozenTrial) -> Trial:
        from optuna.trial import TrialState

        state: Literal["running", "finished", "failed"] = "failed"
        if frozen.state == TrialState.RUNNING:
            state = "running"
        elif frozen.state == TrialState.COMPLETE:
            state = "finished"
        return Trial(number, self.space.values(frozen.params), frozen.value, state)

    def _close_cut_off(self) -> None:
        """Proposals that a killed process did not finish: settings that came again, half settings, queued ones."""
        from optuna.trial import TrialState

        whole = {trial.number for trial, is_new in self._proposed() if is_new}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.WAITING:
                self._fail(self._study.ask().number)  # asking takes it out of the queue
            elif trial.number not in whole and not trial.state.is_finished():
                self._fail(trial.number)


def _clear_up(path: Path) -> None:
    """Take away what a killed process left: its lock, and half a line. Our own lock is held."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


@contextmanager
def opened(path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int) -> Iterator[Study]:
    """A study that no other process works on at the same time.

    Raises:
        ResultsError: another process does, or the journal cannot be read or written.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        with lock.acquire(timeout=0):
            _clear_up(path)
            try:
                study = Study(path, name, space, sampler, base_seed)
            except (ValueError, KeyError) as problem:  # what the journal's parser says of damaged lines
                raise ResultsError(
                    f"{path} cannot be read as an Optuna journal ({problem}). The trials' records are kept: move "
                    f"the file away and run the same command, which finds them again."
                ) from problem
            yield study
    except Timeout as problem:
        raise ResultsError(
            f"The study {path} is being worked on by another process. Wait until that ends, or tune into "
            f"another directory with --results-dir."
        ) from problem
    except OSError as problem:
        raise ResultsError(
            f"The study {path} cannot be written ({problem.strerror or problem}). Trials that are told stay: "
            f"free some space or make the directory writable, and run the same command again to go on."
        ) from problem
