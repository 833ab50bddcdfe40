"""Download of one address into one partial file: display, resumption, retries and time limits.

Requests go through pooch. After a broken transfer the bytes that arrived stay in the file, and the next request
asks for the rest. The caller verifies the content. Uses the network; writes one file and the console.
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

from bench.core.errors import MOST_REASON, FetchError, one_line
from bench.data.cards import is_safe

CHUNK = 1 << 14  # bytes that count as progress; small, so that a slow server is seen to send
POLL_INTERVAL = 0.1  # seconds between two checks of a transfer
LONGEST_PAUSE = 8.0  # seconds between two attempts
MOST_BYTES = 64 << 30  # of a file whose size the card does not state
HOST = re.compile(r"^\w*Connection\w*\(host=.*?\): ")
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class Watch:
    """Display of downloads: a progress bar on a terminal, one line per file otherwise; a context manager.

    Args:
        console: the output; its `is_terminal` chooses between bars and lines.
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
        """Show the start of a file."""
        parts = urlsplit(url)
        if self._console.is_terminal:
            self._progress.start()
        else:
            self.say(f"fetching {parts.path.rpartition('/')[2]} from {parts.netloc}")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(parts.path.rpartition("/")[2], total=size)

    def update(self, n_bytes: int) -> None:
        """Show how many bytes of the file have arrived."""
        if self._task is not None:
            self._progress.update(self._task, completed=n_bytes)

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a server; times are in seconds.

    Attributes:
        connect: time until the first answer, including name resolution and redirects.
        read: silence in a transfer before the next attempt.
        idle: time without a new byte of a file, over all attempts, before giving up.
        contacts: number of attempts until the first answer.
        pause: pause before the second attempt; doubled each time.
        attempts: number of attempts in a row that bring no new byte.
        grace: time after the start of a file before its average speed counts.
        slowest: least average speed after that, in bytes per second; it bounds the time of a transfer, however
            few bytes come at a time.
    """

    connect: float = 4.0
    read: float = 10.0
    idle: float = 18.0
    contacts: int = 2
    pause: float = 0.5
    attempts: int = 6
    grace: float = 60.0
    slowest: float = 4096.0


SHORT_TIMEOUTS = Timeouts()  # for a download at the start of a run, which may use other data instead
LONG_TIMEOUTS = Timeouts(  # for a command that does nothing but fetch
    connect=20.0, read=30.0, idle=180.0, contacts=4, pause=1.0, attempts=10, grace=600.0, slowest=1024.0
)


@dataclass
class StallTimer:
    """Time since a source last sent new bytes, and whether it ever answered.

    Attributes:
        timeouts: the limits.
        last_byte: clock time of the last new byte.
        answered: whether the source has answered at least once.
        started: clock time of the start of the current file.
        n_received: bytes of the current file received so far.
    """

    timeouts: Timeouts
    last_byte: float = field(default_factory=time.monotonic)
    answered: bool = False
    started: float = field(default_factory=time.monotonic)
    n_received: int = 0

    def begin(self) -> None:
        """Restart for another file, since the time spent on checking earlier files was not the server's."""
        self.last_byte = self.started = time.monotonic()
        self.n_received = 0

    def received(self, count: int) -> None:
        """Record that new bytes arrived."""
        self.last_byte = time.monotonic()
        self.n_received += count

    @property
    def is_too_slow(self) -> bool:
        """Return whether the average speed of this file is below the limit."""
        spent = time.monotonic() - self.started - self.timeouts.grace
        return spent > 0 and self.n_received < spent * self.timeouts.slowest

    @property
    def left(self) -> float:
        """Return the seconds left before giving up on the file."""
        return self.timeouts.idle - (time.monotonic() - self.last_byte)


class _RetryableError(Exception):
    """An attempt failed, but another one may succeed."""


def transfer(
    url: str, partial: Path, size: int | None, timer: StallTimer, watch: Watch, most: int = MOST_BYTES
) -> None:
    """Complete a file of which a part may have arrived already.

    Args:
        url: the address.
        partial: the file to append to.
        size: its size in bytes, if known; more bytes are refused.
        timer: the stall timer of the source.
        watch: display of the progress.
        most: largest number of bytes if the size is not known.

    Raises:
        FetchError: the server does not answer, refuses, stalls, or sends too much; what arrived is kept.
        OSError: the file cannot be written.
    """
    watch.begin(url, size)
    timer.begin()
    attempts = 0
    while True:
        before = _size(partial)
        try:
            _request_rest(url, partial, size, timer, watch, most)
            return
        except _RetryableError as problem:
            reason = str(problem)
        if timer.is_too_slow:
            raise FetchError(url, f"it sends less than {timer.timeouts.slowest:,.0f} bytes per second")
        if _size(partial) > before:
            attempts = 0
        attempts += 1
        pause = min(timer.timeouts.pause * 2 ** (attempts - 1), LONGEST_PAUSE)
        most_attempts = timer.timeouts.attempts if timer.answered else timer.timeouts.contacts
        if attempts >= most_attempts or pause >= timer.left:
            raise FetchError(url, reason)
        if timer.answered:
            watch.say(f"{url}: {reason}; trying again in {pause:g} s")
        time.sleep(pause)


def _request_rest(url: str, partial: Path, size: int | None, timer: StallTimer, watch: Watch, most: int) -> None:
    """Send one request for the bytes that have not arrived yet.

    Raises:
        _RetryableError: another attempt may succeed.
        FetchError: another attempt cannot succeed.
    """
    from pooch import HTTPDownloader

    start = _size(partial)
    if size is not None and start >= size:
        if start == size:
            return
        partial.unlink()  # too long, so it belongs to another version
        start = 0
    reason = why_unreachable(url, max(0.05, min(timer.timeouts.connect, timer.left)))
    if reason is not None:
        raise _RetryableError(reason)
    timer.answered = True
    # not compressed, so that ranges and sizes are those of the file itself
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    timeout = timer.timeouts.connect, max(0.05, min(timer.timeouts.read, timer.left))
    with partial.open("ab") as file:
        sink = _Sink(file, url, most if size is None else size, timer, watch)
        download = HTTPDownloader(
            chunk_size=CHUNK, headers=headers, timeout=timeout, hooks={"response": sink.check_response}
        )
        _run_in_time(lambda: _translate_errors(lambda: download(url, sink, None), url, partial), sink, timer)
    if size is not None and _size(partial) < size:
        raise _RetryableError(f"the transfer ended after {_size(partial):,} of {size:,} bytes")


def _run_in_time(request: Callable[[], None], sink: _Sink, timer: StallTimer) -> None:
    """Run a request in a thread, and abandon the thread if it takes too long.

    The timeout of `requests` limits only the silence between two packets: a server that sends one byte every few
    seconds would keep us waiting for ever.
    """
    outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            request()
            outcomes.put(None)
        except BaseException as problem:  # raised again in the main thread
            outcomes.put(problem)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                problem = outcomes.get(timeout=POLL_INTERVAL)
                break
            except queue.Empty:
                if timer.left <= 0 or timer.is_too_slow:
                    raise _RetryableError("it sends nothing, or too little at a time") from None
    finally:
        sink.close()
    if problem is not None:
        raise problem


def _translate_errors(request: Callable[[], Any], url: str, partial: Path) -> None:
    """Send a request and turn the errors of `requests` into a `_RetryableError` or a `FetchError`."""
    import requests

    try:
        request()
    except requests.HTTPError as problem:
        status = 0 if problem.response is None else problem.response.status_code
        if status == 416:  # range not satisfiable: our partial file is not a prefix of the remote file
            partial.unlink(missing_ok=True)
        if status == 416 or status in TRANSIENT:
            raise _RetryableError(_status(problem.response)) from problem
        raise FetchError(url, _status(problem.response)) from problem
    except (
        requests.TooManyRedirects,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
    ) as problem:
        raise FetchError(url, f"its redirect cannot be followed ({problem})") from problem
    except requests.RequestException as problem:
        raise _RetryableError(root_cause(problem)) from problem


class _Sink:
    """File object for the response, which starts over if the server sends the file from its beginning."""

    def __init__(self, file: IO[bytes], url: str, most: int, timer: StallTimer, watch: Watch) -> None:
        self._file, self._url, self._most, self._timer, self._watch = file, url, most, timer, watch
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Refuse further bytes, which an abandoned thread may still try to write."""
        with self._lock:
            self._is_closed = True

    def check_response(self, response: Any, *_: Any, **__: Any) -> None:
        """Check the header of a response, before its content is read or its redirect is followed."""
        with self._lock:
            self._check_response(response)

    def _check_response(self, response: Any) -> None:
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
            raise FetchError(self._url, f"it sends bytes from {promised or 'nowhere'}, expected from {start}")
        if response.status_code == 200:  # the server ignores ranges and sends all of it
            self._file.truncate(0)
        self._watch.update(self._file.seek(0, 2))

    def write(self, chunk: bytes) -> None:
        """Append a chunk, or raise a FetchError if the file gets too large."""
        with self._lock:
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        self._refuse_closed()
        if self._file.tell() + len(chunk) > self._most:
            raise FetchError(self._url, f"it sends more than the expected {self._most:,} bytes")
        self._file.write(chunk)
        self._timer.received(len(chunk))
        self._watch.update(self._file.tell())

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise ConnectionError("the request was abandoned")

    def flush(self) -> None:
        """Flush the file, unless the sink is closed."""
        with self._lock:
            if not self._is_closed:
                self._file.flush()


def why_unreachable(url: str, seconds: float) -> str | None:
    """Return why a server does not answer in that time, or None if it gives any answer."""
    import requests

    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            requests.head(url, timeout=seconds, allow_redirects=True).close()
            answers.put(None)
        except requests.TooManyRedirects:
            answers.put(None)  # an answer too; the later request reports what is wrong
        except Exception as problem:
            answers.put(root_cause(problem))

    # a thread, since name resolution and trying the addresses of a host one by one keep to no time limit
    threading.Thread(target=send, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return f"it does not answer within {seconds:.2g} s"


def root_cause(problem: BaseException) -> str:
    """Return the innermost reason of a failed request, without the host, which the address names already."""
    inner: Any = problem
    while isinstance(inner, BaseException):
        problem = inner
        inner = getattr(problem, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((argument for argument in problem.args if isinstance(argument, BaseException)), None)
    text = HOST.sub("", one_line(problem, None))
    return (text or type(problem).__name__)[:MOST_REASON]


def _status(response: Any) -> str:
    return f"it answers {response.status_code} {response.reason or ''}".strip()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
