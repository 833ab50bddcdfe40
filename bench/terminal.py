"""Layer 1. What every command line needs: a parser, a console, and an end without a traceback."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bench.errors import BenchError, UsageError, nearest_hint
from bench.safe_text import for_terminal

PIPED_WIDTH = 160
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one paragraph with the nearest option."""

    @property
    def told(self) -> str:
        """How a user calls this program."""
        return f"python {self.prog}" if self.prog.endswith(".py") else self.prog

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage and leaving."""
        raise UsageError(f"{message[0].upper()}{message[1:]}. See '{self.told} --help'.")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse, and refuse what is left over.

        Raises:
            UsageError: an option does not exist or lacks its value.
        """
        parsed, rest = self.parse_known_args(arguments)
        if rest:
            allowed = [option for action in self._actions for option in action.option_strings]
            raise UsageError(
                f"Unknown argument '{rest[0]}'.{nearest_hint(rest[0].partition('=')[0], allowed)} "
                f"See '{self.told} --help'."
            )
        return parsed


class SafeConsole(Console):
    """A console that shows names as they are: no markup in them counts, and control characters are escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Make what is printed, at any depth of tables and panels."""
        for each in super().render(renderable, options):
            yield each if each.control else Segment(for_terminal(each.text), each.style)


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for tables when piped; safe for any text."""
    console = SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


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
