"""What every command line needs: a parser, a console, and an end without a traceback.

A console may lack letters (Latin-1, ASCII, a Windows code page), and a path need not be UTF-8. What a stream
cannot write is written as an escape, so that no message is lost to a letter in it.
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
from bench.core.files import ROOT
from bench.core.text import for_terminal

PIPED_WIDTH = 160
INTERRUPTED = 130
MODELS = "models"
MOST_SHOWN = 400  # letters of a word of an error; the longest path of Linux has 4,096
LONG_WORD = re.compile(rf"\S{{{MOST_SHOWN + 1},}}")


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


def write_any_letter() -> None:
    """Have both standard streams write as escapes what their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or put in place by someone else
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def check_own_packages() -> None:
    """See that `models` is this project's package; nothing of it is imported.

    `python -m bench` looks into the working directory first, and everything else into PYTHONPATH: a project of the
    user's own with a package of that name, as many recommenders have, would take the place of ours.

    Raises:
        UsageError: another one is in the way.
    """
    loaded = sys.modules.get(MODELS)
    spec = importlib.util.find_spec(MODELS) if loaded is None else None
    places = getattr(loaded or spec, "__path__" if loaded else "submodule_search_locations", None) or []
    origin = getattr(loaded, "__file__", None) if loaded else getattr(spec, "origin", None)
    found = next(iter(places), origin)
    own = ROOT / MODELS
    if found is None or Path(found).resolve() != own:
        raise UsageError(
            f"The package '{MODELS}' that Python finds is {found or 'none'}, and ludp-bench needs its own, {own}. "
            "Folders of the working directory and of PYTHONPATH come before those of an installation. Give the "
            "command 'ludp-bench' in another directory, or 'python -P -m bench', which leaves the working "
            "directory out; and take the folder above that package out of PYTHONPATH."
        )


def exit_code_of(action: Callable[[Console], int], when_interrupted: str) -> int:
    """Do something for a user; the exit code: the action's own, 2 for a user's error, 130 if interrupted.

    What the system refuses, and no one nearer to it has told, is a user's error too: a disk, a permission, a path.

    Args:
        action: gets the console to print on.
        when_interrupted: one paragraph for whoever presses Ctrl-C.
    """
    write_any_letter()
    console, errors = make_console(), make_console(stderr=True)
    logging.getLogger().setLevel(logging.ERROR)

    def tell(problem: object) -> int:
        text = LONG_WORD.sub(lambda found: _short(found.group()), str(problem))
        errors.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
        return BenchError.exit_code

    try:
        check_own_packages()
        return action(console)
    except BenchError as problem:
        return tell(problem)
    except BrokenPipeError:
        raise  # whoever reads our output has left
    except OSError as problem:
        return tell(
            f"{problem.filename or 'The system'}: {problem.strerror or problem or type(problem).__name__}. Look "
            "at the path, its permissions and the free space, and give the same command again."
        )
    except MemoryError:
        return tell(
            "The free memory does not suffice. Take smaller data or fewer workers, or a machine with more of it."
        )
    except KeyboardInterrupt:
        errors.print(when_interrupted, style="yellow", markup=False, soft_wrap=True)
        return INTERRUPTED


def _short(word: str) -> str:
    """A long word, such as a path, without its middle."""
    return f"{word[: MOST_SHOWN // 2]}...{word[-MOST_SHOWN // 2 :]}"
