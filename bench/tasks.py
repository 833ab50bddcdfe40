"""Layer 8. The order in which runs are made. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from bench.assignment import RunTask


class Tasks:
    """The runs that are due, in order; first those that go on after a death, last those that others make."""

    def __init__(self, due: Iterable[RunTask]) -> None:
        self._first: deque[RunTask] = deque()
        self._due = iter(due)
        self._last: deque[RunTask] = deque()

    def next(self) -> RunTask | None:
        """The next one, made now so that it knows when it began; None where there is none."""
        if self._first:
            return self._first.popleft()
        task = next(self._due, None)
        return self._last.popleft() if task is None and self._last else task

    def again(self, task: RunTask) -> None:
        """To be made next."""
        self._first.append(task)

    def later(self, task: RunTask) -> None:
        """Another runner makes it: to be waited for when all else is done."""
        self._last.append(replace(task, wait=True))
