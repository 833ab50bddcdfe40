"""A server on this machine that misbehaves as told, for the tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Misbehaving(ThreadingHTTPServer):
    """Serves `files` by path; `script` says how the next answers to a path go wrong, the last entry for good."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list[str]] = {}
        self.seen: list[tuple[str, str]] = []  # path and Range of every GET
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self, path: str) -> list[str]:
        return [asked for name, asked in self.seen if name == path]

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Misbehaving

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        if self.server.script.get(self.path, [""])[0] == "silent":
            self.server.over.wait()
            return
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range", "")))
        script = self.server.script.get(self.path, ["fine"])
        how = script.pop(0) if len(script) > 1 else script[0]
        getattr(self, f"_{how.partition(':')[0]}")(how.partition(":")[2])

    def _fine(self, _: str, change: bytes | None = None) -> None:
        content = self.server.files.get(self.path) if change is None else change
        if content is None:
            self._status("404")
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and start >= len(content):
            self._status("416")
            return
        self._head(206 if "Range" in self.headers else 200, content, start)
        self.wfile.write(content[start:])

    def _head(self, status: int, content: bytes, start: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()

    def _status(self, status: str) -> None:
        self.send_error(int(status))

    def _whole(self, _: str) -> None:
        """All of it, whatever part was asked for."""
        self._head(200, self.server.files[self.path], 0)
        self.wfile.write(self.server.files[self.path])

    def _shifted(self, _: str) -> None:
        """A part, but not the one that was asked for."""
        self._head(206, self.server.files[self.path], 1)
        self.wfile.write(self.server.files[self.path][1:])

    def _half(self, _: str) -> None:
        """Half of what is left, then the end of the connection."""
        content = self.server.files[self.path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self._head(206 if start else 200, content, start)
        self.wfile.write(content[start : start + (len(content) - start) // 2])

    def _stall(self, _: str) -> None:
        """Half of it, and then nothing more."""
        self._half("")
        self.wfile.flush()
        self.server.over.wait()

    def _silent(self, _: str) -> None:
        self.server.over.wait()

    def _damaged(self, _: str) -> None:
        content = self.server.files[self.path]
        self._fine("", bytes([content[0] ^ 1]) + content[1:])

    def _longer(self, _: str) -> None:
        self._fine("", self.server.files[self.path] + b"more")

    def _drip(self, _: str) -> None:
        """A byte every 50 ms."""
        self._in_pieces(1, 0.05)

    def _slow(self, _: str) -> None:
        """4,096 bytes every 200 ms."""
        self._in_pieces(4096, 0.2)

    def _in_pieces(self, size: int, pause: float) -> None:
        content = self.server.files[self.path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self._head(206 if "Range" in self.headers else 200, content, start)
        for place in range(start, len(content), size):
            self.wfile.write(content[place : place + size])
            if self.server.over.wait(pause):
                return

    def _headers(self, _: str) -> None:
        """A head that never ends."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.over.wait(0.05):
            self.wfile.write(b"a")

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    """The server, while the body runs."""
    server = Misbehaving()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
