"""Gives commands to the real command line, one after the other in one process, and says how each ended.

Reads a JSON list of lists of arguments on standard input; writes a line of JSON for each. An environment variable
CARDS puts another folder in place of that of the data cards.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

CPU_SECONDS, SECONDS = 30.0, 150  # of a command; other work on the machine slows the second down


def use_cards(folder: Path) -> None:
    """Have every function that looks for data cards look there."""
    from bench.data import card_files, cards

    card_files.DATASETS = folder
    for function in (cards.names, cards.load):
        function.__defaults__ = (folder,)


class TooLate(BaseException):
    """The command hangs; nothing in it may take this for an error of its own."""


def late(*_: object) -> None:
    raise TooLate


def outcome(arguments: list[str]) -> dict[str, Any]:
    """Exit code, and what was printed; the traceback where there was one."""
    from bench.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", write_through=True) for _ in range(2))
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.alarm(SECONDS)
        try:
            code = main(arguments)
        except SystemExit as left:
            code = left.code
        except BaseException:
            code = traceback.format_exc()
        finally:
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
    said = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))
    return {"code": code, **dict(zip(("out", "err"), said, strict=True))}


if __name__ == "__main__":
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, late)
    if "CARDS" in os.environ:
        use_cards(Path(os.environ["CARDS"]))
    for given in json.load(sys.stdin):
        print(json.dumps(outcome([os.fsdecode(one.encode("latin-1")) for one in given])), flush=True)
