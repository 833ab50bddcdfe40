"""Runs command lines of ours, each in a fork of this process, and lets them die or meet errors where a job says.

Standard input: a job a line, a JSON object with `arguments` for `bench.cli.main`, the `folder` that its files are
in, and optionally

- `event` and `action`: at which file operation below `folder`, from 1, it is killed (`kill`), or the operation
  fails (`ENOSPC`, `EIO`). An audit hook sees them, so that our code needs none; a write stops half-way.
- `seconds`: when its process group is killed, unless it ended.
- `victim`: "worker" kills one of its worker processes instead, so many seconds after the first is there.

Standard output: an answer a line, with `code` (negative: killed by that signal), `output`, `error`, and where it
was not killed `events`: what was done, and whether it writes, in order.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEEN = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.listdir", "os.scandir"}


class Trouble:
    """Counts file operations below a folder; strikes at one of them.

    Args:
        job: see above.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.folder, self.at, self.action = str(job["folder"]), job.get("event"), job.get("action")
        self.events: list[tuple[str, bool]] = []

    def install(self) -> None:
        """Watch from now on; what Python does not announce is wrapped."""
        import numpy as np

        sys.addaudithook(self._hear)
        os.fsync = self._before("fsync", os.fsync)
        Path.write_bytes = self._half_way(Path.write_bytes)  # type: ignore[method-assign, assignment]
        np.save = self._before("save", np.save)

    def event(self, what: str, writes: bool) -> None:
        """One more; die or fail if it is the one."""
        self.events.append((what, writes))
        if len(self.events) != self.at:
            return
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}[str(self.action)]
        raise OSError(code, os.strerror(code), what)

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in SEEN and str(arguments[0]).startswith(self.folder):
            opened_to_write = name == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            self.event(f"{name} {arguments[0]}", opened_to_write or name in ("os.rename", "os.mkdir"))

    def _before(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.event(name, True)
            return function(*arguments)

        return counted

    def _half_way(self, function: Callable[[Path, bytes], int]) -> Callable[[Path, bytes], int]:
        def half_way(path: Path, content: bytes) -> int:
            function(path, content[: len(content) // 2])
            self.event(f"write {path}", True)
            return function(path, content)

        return half_way


def child(job: dict[str, Any], log: Path) -> None:
    """One command line, in this process, which ends with it."""
    os.setsid()
    for stream, name in ((1, "output"), (2, "error")):
        os.dup2(os.open(log / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    code = 70
    with contextlib.suppress(BaseException):
        import traceback

        from bench.cli import run
        from bench.runs import machine, pool

        machine.usable_cores = pool.usable_cores = lambda: 2  # type: ignore[attr-defined]
        trouble = Trouble(job)
        trouble.install()
        try:
            code = run.main(job["arguments"])
        except BaseException:
            traceback.print_exc()
        (log / "events").write_text(json.dumps(trouble.events), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def made(job: dict[str, Any], log: Path) -> dict[str, Any]:
    """The answer to a job."""
    (log / "events").unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        child(job, log)
    if job.get("victim") == "worker":
        until_ended(pid, lambda: bool(workers(pid)))
    if job.get("seconds") is not None:
        end = time.monotonic() + job["seconds"]
        until_ended(pid, lambda: time.monotonic() > end)
        for victim in workers(pid)[-1:] if job.get("victim") == "worker" else [-pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    events = json.loads((log / "events").read_text(encoding="utf-8")) if (log / "events").exists() else None
    texts = {name: (log / name).read_text(encoding="utf-8") for name in ("output", "error")}
    return {"code": code, "events": events, **texts}


def until_ended(pid: int, holds: Callable[[], bool]) -> None:
    """Wait until something holds, or the process has ended."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and not holds():
        time.sleep(0.005)


def workers(parent: int) -> list[int]:
    """Worker processes of a process, by age; a child of it, the server of `bench.runs.pool`, forks them."""
    with contextlib.suppress(OSError):
        for pid in children(parent):
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return children(pid)
    return []


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def main() -> None:
    """Answer jobs until there are no more."""
    import torch

    from bench.engine import registry

    for name in registry.names():
        registry.load(name)
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)], fused=True)  # imports half of torch when the first one is made
    log = Path(sys.argv[1])
    log.mkdir(parents=True, exist_ok=True)
    for line in sys.stdin:
        print(json.dumps(made(json.loads(line), log)), flush=True)


if __name__ == "__main__":
    main()
