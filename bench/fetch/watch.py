"""Layer 2. What a person sees of a download: a bar on a terminal, a line a file when piped."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn


class Watch:
    """Shows downloads, nothing before the first; a context manager.

    Args:
        console: where to; its `is_terminal` chooses between bars and lines.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, url: str, size: int | None) -> None:
        """A file begins."""
        parts = urlsplit(url)
        if self._console.is_terminal:
            self._progress.start()
        else:
            self.say(f"fetching {parts.path.rpartition('/')[2]} from {parts.netloc}")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(parts.path.rpartition("/")[2], total=size)

    def have(self, n_bytes: int) -> None:
        """So much of the file is here."""
        if self._task is not None:
            self._progress.update(self._task, completed=n_bytes)

    def say(self, message: str) -> None:
        """One line."""
        self._console.print(message, markup=False, soft_wrap=True)
