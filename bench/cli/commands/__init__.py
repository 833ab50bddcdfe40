"""The subcommands of `ludp-bench`, found by file name: one file per subcommand.

A file `NAME.py` here defines
    SUMMARY                          one line for `ludp-bench --help`
    add_arguments(parser)            declares its options on an argparse parser
    run(arguments, console) -> int   runs it and returns the exit code; raises BenchError for a user's error
and imports nothing heavy at its top, so that `--help` answers at once. A trailing underscore avoids Python's
keywords (`import_.py`). Any other underscore is a hyphen in the command (`new_model.py`: `new-model`).
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from typing import Protocol, cast

from rich.console import Console

from bench.core.errors import unknown_name


class Command(Protocol):
    """The interface of a module of this package."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, arguments: argparse.Namespace, console: Console) -> int:
        """Run the command and return the exit code."""


def modules() -> dict[str, str]:
    """Return the module of each subcommand by the subcommand's name, sorted; nothing is imported."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name.rstrip("_").replace("_", "-"): f"{__name__}.{name}" for name in found}


def load(name: str) -> Command:
    """Import a subcommand by name.

    Raises:
        UsageError: there is no such subcommand.
    """
    known = modules()
    if name not in known:
        raise unknown_name("command", name, ["run", *known], "See 'ludp-bench --help'.")
    return cast(Command, importlib.import_module(known[name]))
