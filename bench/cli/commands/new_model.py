"""`ludp-bench new-model NAME`: write a working model to start from. Writes three files and overwrites none."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.cli.declare import path_given

SUMMARY = "write a working model to start from: its code, its parameters and its test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="in lower case, for example my_model")
    parser.add_argument("--content", action="store_true", help="write a model that uses item content")
    parser.add_argument(
        "--to", type=path_given, metavar="DIR", help="write into a folder of your own (default: this project)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the files and print the next steps.

    Raises:
        UsageError: the name cannot be used, or a file exists already.
        ResultsError: a file cannot be written.
    """
    import shlex

    from bench.checks.scaffold import Skeleton, write_skeleton

    paths = write_skeleton(Skeleton(arguments.name, arguments.content, arguments.to))
    plugin = "" if arguments.to is None else f" --plugin {shlex.quote(str(paths[0]))}"
    lines = [
        *(f"wrote {path}" for path in paths),
        f"Your equation goes into embed() in {paths[0]}. Then:",
        f"  ludp-bench check-model {arguments.name}{plugin}",
        f"  ludp-bench run --datasets movielens --models {arguments.name} lightgcn{plugin}",
        f"  python -m pytest {shlex.quote(str(paths[2]))}",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0
