"""Layer 1. The two things that every command line needs: a console, and an end without a traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from bench.errors import BenchError

PIPED_WIDTH = 160
INTERRUPTED = 130


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for tables when piped."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


def exit_code_of(action: Callable[[Console], int], when_interrupted: str) -> int:
    """Do something for a user; the exit code: the action's own, 2 for a user's error, 130 if interrupted.

    Args:
        action: gets the console to print on.
        when_interrupted: one paragraph for whoever presses Ctrl-C.
    """
    console, errors = make_console(), make_console(stderr=True)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        return action(console)
    except BenchError as problem:
        errors.print(f"error: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
        return problem.exit_code
    except KeyboardInterrupt:
        errors.print(when_interrupted, style="yellow", markup=False, soft_wrap=True)
        return INTERRUPTED
