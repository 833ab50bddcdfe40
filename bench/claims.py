"""Layer 2. Of several runners on one results directory, the one that holds the claim of a run makes it.

A claim is a lock on a file. It ends with its process, however that ends, so no claim is ever stale. On network
file systems it holds between machines where their locks do: NFS since version 3 with its lock service, Lustre and
others if mounted with `flock`. A mount with locks of its own for each machine (`nolock`, `local_lock`) lets two
machines make the same run at once. That costs time and nothing else: both write the same, and by renaming.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import ResultsError
from bench.files import locked


def is_claimed(path: Path) -> bool:
    """Whether some runner holds a claim now."""
    if not path.exists():
        return False
    with contextlib.suppress(OSError), locked(path, wait=False) as ours:
        return not ours
    return False


@contextlib.contextmanager
def claim(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold a claim while the body runs; its file is gone afterwards.

    Args:
        path: of the claim; its folder is made if needed.
        on_wait: told that another runner holds it, and that we wait; without it, we do not.

    Yields:
        Whether the claim is ours; always, if we wait.

    Raises:
        ResultsError: the file cannot be made, or the file system has no locks.
    """
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ours = held.enter_context(locked(path, wait=False))
            if not ours and on_wait is not None:
                on_wait()
                ours = held.enter_context(locked(path))
        except OSError as problem:
            raise ResultsError(
                f"{path} cannot be made and locked ({problem.strerror or problem}), so other runners cannot be "
                f"kept from the same run. Make the directory writable and free some space, or name another with "
                f"--results-dir, on a file system with locks."
            ) from problem
        try:
            yield ours
        finally:
            if ours:
                with contextlib.suppress(OSError):  # an empty file that is locked by nobody claims nothing
                    path.unlink()
