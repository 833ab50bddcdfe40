"""What a person sees of a download: a bar on a terminal, a line a file when piped.

One address -> one file beside its final place: resumed, tried again, given up in time.

Requests are pooch's. What arrived stays in the file when a transfer breaks, and the next request asks for the
rest; a server that sends all of it again is started over with. Nothing that arrives is trusted: the caller checks.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urljoin, urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from bench.core.errors import FetchError
from bench.data.cards import is_safe


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


CHUNK = 1 << 14  # what counts as something arrived; small, so that a slow server is seen to send
LOOK = 0.1  # seconds between two looks at a transfer
LONGEST_PAUSE = 8.0
MOST_BYTES = 64 << 30  # of a file whose size no card states
HOST = re.compile(r"^\w*Connection\w*\(host=.*?\): ")
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds.

    Attributes:
        connect: until it answers at all, names of hosts and redirections included.
        read: silence in a transfer before it is tried again.
        idle: without a new byte of a file, over all tries, before it is given up.
        contacts: tries, not seconds, until it answers for the first time.
        pause: before the second try; doubled each time.
        attempts: tries in a row that bring nothing new.
        grace: of a file, before its average speed counts.
        slowest: bytes a second on average that a server must send after that; with the size of a file it bounds
            the time of a transfer, however few bytes come at a time.
    """

    connect: float = 4.0
    read: float = 10.0
    idle: float = 18.0
    contacts: int = 2
    pause: float = 0.5
    attempts: int = 6
    grace: float = 60.0
    slowest: float = 4096.0


HASTE = Patience()  # while somebody waits for a run; the other where fetching is what was asked for
PATIENCE = Patience(
    connect=20.0, read=30.0, idle=180.0, contacts=4, pause=1.0, attempts=10, grace=600.0, slowest=1024.0
)


@dataclass
class Wait:
    """The time since a source last sent something new, and whether it ever answered."""

    patience: Patience
    since: float = field(default_factory=time.monotonic)
    answered: bool = False
    begun: float = field(default_factory=time.monotonic)
    arrived: int = 0

    def begin(self) -> None:
        """Start on another file: checking earlier ones was not the server's time."""
        self.since = self.begun = time.monotonic()
        self.arrived = 0

    def gained(self, count: int) -> None:
        """Some bytes arrived."""
        self.since = time.monotonic()
        self.arrived += count

    @property
    def is_dripping(self) -> bool:
        """Whether the bytes of this file come too slowly to be waited for."""
        spent = time.monotonic() - self.begun - self.patience.grace
        return spent > 0 and self.arrived < spent * self.patience.slowest

    @property
    def left(self) -> float:
        """Seconds until the file is given up."""
        return self.patience.idle - (time.monotonic() - self.since)


class _BrokenOff(Exception):
    """A try failed in a way that another may not."""


def transfer(url: str, partial: Path, size: int | None, wait: Wait, watch: Watch, most: int = MOST_BYTES) -> None:
    """Complete a file that may be there in part.

    Args:
        url: where it comes from.
        partial: the file, to be appended to.
        size: its bytes, where known; more are refused.
        wait: the source's patience.
        watch: is told what arrives.
        most: bytes that are taken where the size is not known.

    Raises:
        FetchError: the server does not answer, refuses, stalls, or sends too much; what arrived is kept.
        OSError: the file cannot be written.
    """
    watch.begin(url, size)
    wait.begin()
    tries = 0
    while True:
        before = _size(partial)
        try:
            _try(url, partial, size, wait, watch, most)
            return
        except _BrokenOff as problem:
            reason = str(problem)
        if wait.is_dripping:
            raise FetchError(url, f"it sends less than {wait.patience.slowest:,.0f} bytes a second")
        if _size(partial) > before:
            tries = 0
        tries += 1
        pause = min(wait.patience.pause * 2 ** (tries - 1), LONGEST_PAUSE)
        most_tries = wait.patience.attempts if wait.answered else wait.patience.contacts
        if tries >= most_tries or pause >= wait.left:
            raise FetchError(url, reason)
        if wait.answered:
            watch.say(f"{url}: {reason}; trying again in {pause:g} s")
        time.sleep(pause)


def _try(url: str, partial: Path, size: int | None, wait: Wait, watch: Watch, most: int) -> None:
    """One request for what is not yet there.

    Raises:
        _BrokenOff: another try may help.
        FetchError: none will.
    """
    from pooch import HTTPDownloader

    start = _size(partial)
    if size is not None and start >= size:
        if start == size:
            return
        partial.unlink()
        start = 0
    reason = unanswered(url, max(0.05, min(wait.patience.connect, wait.left)))
    if reason is not None:
        raise _BrokenOff(reason)
    wait.answered = True
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    timeout = wait.patience.connect, max(0.05, min(wait.patience.read, wait.left))
    with partial.open("ab") as file:
        sink = _Sink(file, url, most if size is None else size, wait, watch)
        download = HTTPDownloader(
            chunk_size=CHUNK, headers=headers, timeout=timeout, hooks={"response": sink.begun}
        )
        _in_time(lambda: _asked(lambda: download(url, sink, None), url, partial), sink, wait)
    if size is not None and _size(partial) < size:
        raise _BrokenOff(f"it ended after {_size(partial):,} of {size:,} bytes")


def _in_time(ask: Callable[[], None], sink: _Sink, wait: Wait) -> None:
    """Send a request and take its answer in a thread, which is left behind when it takes too long.

    The library's own limit is one of silence, and looks at neither the head of an answer nor a piece of it that is
    not yet whole: a server that sends a byte every few seconds would be listened to for ever.
    """
    outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            ask()
            outcomes.put(None)
        except BaseException as problem:
            outcomes.put(problem)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                problem = outcomes.get(timeout=LOOK)
                break
            except queue.Empty:
                if wait.left <= 0 or wait.is_dripping:
                    raise _BrokenOff("it sends nothing, or too little at a time") from None
    finally:
        sink.close()
    if problem is not None:
        raise problem


def _asked(ask: Callable[[], Any], url: str, partial: Path) -> None:
    """Send a request, with the library's many errors told as one of two."""
    import requests

    try:
        ask()
    except requests.HTTPError as problem:
        status = 0 if problem.response is None else problem.response.status_code
        if status == 416:  # what is here is no beginning of what is there
            partial.unlink(missing_ok=True)
        if status == 416 or status in TRANSIENT:
            raise _BrokenOff(_status(problem.response)) from problem
        raise FetchError(url, _status(problem.response)) from problem
    except (
        requests.TooManyRedirects,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
    ) as problem:
        raise FetchError(url, f"it redirects to nowhere ({problem})") from problem
    except requests.RequestException as problem:
        raise _BrokenOff(in_words(problem)) from problem


class _Sink:
    """The file that a response goes to; started over where the server sends all of it."""

    def __init__(self, file: IO[bytes], url: str, most: int, wait: Wait, watch: Watch) -> None:
        self._file, self._url, self._most, self._wait, self._watch = file, url, most, wait, watch
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Take nothing more; a thread that was left behind may still try."""
        with self._lock:
            self._is_closed = True

    def begun(self, response: Any, *_: Any, **__: Any) -> None:
        """Look at the head of a response, before its content is read, or the next address is asked."""
        with self._lock:
            self._begun(response)

    def _begun(self, response: Any) -> None:
        self._refuse_closed()
        target = response.headers.get("Location")
        if response.is_redirect and target:
            following = urljoin(response.url, target)
            if following.lower().startswith("http:") and not is_safe(following):
                raise FetchError(self._url, f"it redirects to {target[:200]}, which is not encrypted")
            return
        start = self._file.seek(0, 2)
        promised = response.headers.get("Content-Range", "").removeprefix("bytes").strip().partition("-")[0]
        if response.status_code == 206 and promised != str(start):
            response.close()
            raise FetchError(self._url, f"it answers with bytes from {promised or 'nowhere'}, asked from {start}")
        if response.status_code == 200:
            self._file.truncate(0)
        self._watch.have(self._file.seek(0, 2))

    def write(self, chunk: bytes) -> None:
        """Append, within the size."""
        with self._lock:
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        self._refuse_closed()
        if self._file.tell() + len(chunk) > self._most:
            raise FetchError(self._url, f"it sends more than the expected {self._most:,} bytes")
        self._file.write(chunk)
        self._wait.gained(len(chunk))
        self._watch.have(self._file.tell())

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise ConnectionError("given up")

    def flush(self) -> None:
        """Hand over what is buffered."""
        with self._lock:
            if not self._is_closed:
                self._file.flush()


def unanswered(url: str, seconds: float) -> str | None:
    """Why a server gives no answer in that time, in words; None if it does, whatever it says.

    A thread of its own asks: neither the resolution of names nor the addresses of a host, which are tried one
    after the other, keep to a time limit.
    """
    import requests

    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            requests.head(url, timeout=seconds, allow_redirects=True).close()
            answers.put(None)
        except requests.TooManyRedirects:
            answers.put(None)  # an answer; the request itself will say what is wrong with it
        except Exception as problem:
            answers.put(in_words(problem))

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return f"it gives no answer within {seconds:.2g} s"


def in_words(problem: BaseException) -> str:
    """The innermost reason of a failed request, without the host that the address names anyway."""
    inner: Any = problem
    while isinstance(inner, BaseException):
        problem = inner
        inner = getattr(problem, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in problem.args if isinstance(one, BaseException)), None)
    text = HOST.sub("", " ".join(str(problem).split()))
    return (text or type(problem).__name__)[:200]


def _status(response: Any) -> str:
    return f"it answers {response.status_code} {response.reason or ''}".strip()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
