"""Argument parser, console and exit code of every command line. Prints only.

A user's error ends with one paragraph instead of a traceback. A terminal may lack characters (Latin-1, ASCII, a
Windows code page), and a path need not be UTF-8. Characters that a stream cannot encode are written as escapes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bench.core.errors import BenchError, UsageError, nearest_hint
from bench.core.places import ROOT
from bench.core.text import for_terminal

PIPED_WIDTH = 160  # columns of a table when the output is not a terminal
PIPED_LINE = 80  # columns of a line of text then
INTERRUPTED = 130  # exit code of a shell after Ctrl-C
MODELS = "models"
MOST_SHOWN = 400  # characters of one word of an error; a Linux path can have 4,096
LONG_WORD = re.compile(rf"\S{{{MOST_SHOWN + 1},}}")


def called(program: str) -> str:
    """Return how a user calls a program: a script needs `python` before it."""
    return f"python {program}" if program.endswith(".py") else program


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, with the nearest option in the message."""

    @property
    def command(self) -> str:
        """Return how a user calls this program."""
        return called(self.prog)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and exiting."""
        raise UsageError(f"{message[0].upper()}{message[1:]}. See '{self.command} --help'.")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse arguments and refuse unknown ones.

        Raises:
            UsageError: an option does not exist or lacks its value.
        """
        parsed, rest = self.parse_known_args(arguments)
        if rest:
            allowed = [option for action in self._actions for option in action.option_strings]
            raise UsageError(
                f"Unknown argument '{rest[0]}'.{nearest_hint(rest[0].partition('=')[0], allowed)} "
                f"See '{self.command} --help'."
            )
        return parsed

    def flags_given(self, arguments: argparse.Namespace) -> set[str]:
        """Return the flags of the options whose values differ from the default."""
        # argparse does not record which options were given
        return {
            action.option_strings[0]
            for action in self._actions
            if action.option_strings and getattr(arguments, action.dest, action.default) != action.default
        }


class SafeConsole(Console):
    """A console that shows names literally: no markup is interpreted, and control characters are escaped."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the printed segments, at any depth of tables and panels, with escapes."""
        for each in super().render(renderable, options):
            yield each if each.control else Segment(for_terminal(each.text), each.style)


def make_console(stderr: bool = False) -> Console:
    """Build a console as wide as the terminal, or wide enough for tables when piped; safe for any text."""
    console = SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def fit_console(console: Console, is_quiet: bool = False, is_verbose: bool = False) -> None:
    """Set what the console of a command prints, and its width.

    Args:
        console: when piped its lines get 80 columns, except with tables.
        is_quiet: whether to print nothing until `console.quiet` is reset for the last lines.
        is_verbose: whether tables will be printed, which keep their width.
    """
    console.quiet = is_quiet
    if not (console.is_terminal or is_verbose):
        console.width = PIPED_LINE


def escape_unencodable() -> None:
    """Make both standard streams escape characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(
            AttributeError, OSError, ValueError
        ):  # the stream is closed, or replaced by a test
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def check_own_packages() -> None:
    """Check that `models` is this project's package, without importing it.

    Raises:
        UsageError: another package of that name comes first.
    """
    # `python -m bench` searches the working directory first, and other commands search PYTHONPATH. Many
    # recommender projects have a package `models`, which would shadow ours.
    loaded = sys.modules.get(MODELS)
    spec = importlib.util.find_spec(MODELS) if loaded is None else None
    folders = getattr(loaded or spec, "__path__" if loaded else "submodule_search_locations", None) or []
    origin = getattr(loaded, "__file__", None) if loaded else getattr(spec, "origin", None)
    found = next(iter(folders), origin)
    own = ROOT / MODELS
    if found is None or Path(found).resolve() != own:
        raise UsageError(
            f"Python finds the package '{MODELS}' at {found or 'no path'}, but ludp-bench needs its own, {own}. "
            "Python searches the working directory and PYTHONPATH before installed packages. Run 'ludp-bench' in "
            "another directory, or 'python -P -m bench', which skips the working directory. Also remove the "
            "folder above the other package from PYTHONPATH."
        )


def exit_code_of(action: Callable[[Console], int], when_interrupted: str) -> int:
    """Run an action and return its exit code; 2 is a user's error, 130 an interruption.

    An OSError that no other code has handled, such as a full disk or a missing permission, is a user's error too.

    Args:
        action: called with the console to print on; returns the exit code.
        when_interrupted: one paragraph to print after Ctrl-C.
    """
    escape_unencodable()
    console, errors = make_console(), make_console(stderr=True)
    logging.getLogger().setLevel(logging.ERROR)

    def report(problem: object) -> int:
        text = LONG_WORD.sub(lambda match: _short(match.group()), str(problem))
        errors.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
        return BenchError.exit_code

    try:
        check_own_packages()
        return action(console)
    except BenchError as problem:
        return report(problem)
    except ModuleNotFoundError as problem:
        from bench.engine.recbole_catalogue import NOT_INSTALLED

        if problem.name != "recbole":
            raise
        return report(NOT_INSTALLED)
    except BrokenPipeError:
        raise  # the reader of our output, for example `head`, has ended
    except OSError as problem:
        return report(
            f"{problem.filename or 'The system'}: {problem.strerror or problem or type(problem).__name__}. Check "
            "the path, its permissions and the free space, and run the same command again."
        )
    except MemoryError:
        return report(
            "There is not enough memory. Use smaller data, fewer workers, or a machine with more memory."
        )
    except KeyboardInterrupt:
        errors.print(when_interrupted, style="yellow", markup=False, soft_wrap=True)
        return INTERRUPTED


def _short(word: str) -> str:
    """Shorten a long word, such as a path, by removing its middle."""
    return f"{word[: MOST_SHOWN // 2]}...{word[-MOST_SHOWN // 2 :]}"
