"""The words of `ludp-bench evaluate`: the parts, the kinds of ids and the command that writes the parts. Pure.

Apart from `bench.runs.foreign`, which needs torch, so that the options of the command are known without it.
"""

from __future__ import annotations

from typing import Literal, get_args

Ids = Literal["own", "internal"]
IDS: dict[str, str] = {
    "own": "the data set's own ids, as its files hold them (default)",
    "internal": "numbers from 0, the order of users.csv and items.csv of 'ludp-bench export --format csv'",
}
HeldOut = Literal["test", "valid"]
PARTS: tuple[HeldOut, ...] = get_args(HeldOut)
WORDS = {"valid": "validation", "test": "test"}


def export_command(dataset: str) -> str:
    """Return the command that writes the parts and ids of a data set for another program."""
    return f"ludp-bench export {dataset} --format csv --to DIR"
