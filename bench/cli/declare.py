"""Declare options as fields of dataclasses, with plain argparse underneath. Touches nothing.

One call of `option` holds everything about an option: its flag, default, help and allowed values, and how its text
becomes a value. `add_options` declares such fields on a parser, `read_options` builds the dataclass from parsed
arguments.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.core.errors import unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Group = TypeVar("Group", bound=DataclassInstance)

N_DIGITS = 9  # of the largest count; more is a mistyped number


@dataclass(frozen=True)
class Option:
    """One option of a command line.

    Attributes:
        flag: such as `--seeds`.
        default: value, as argparse would return it, if the option is not given.
        settings: further arguments of argparse's `add_argument`.
        allowed: the allowed values; None allows all. Help shows them in place of a metavar.
        short: a second flag of one letter, or "".
        kind: what a value stands for, in the error for one that is not allowed.
        read: converts what argparse returns to the field's value; None keeps it.
    """

    flag: str
    default: Any
    settings: dict[str, Any]
    allowed: Collection[str] | None
    kind: str
    read: Callable[[Any], Any] | None
    short: str = ""

    @property
    def flags(self) -> list[str]:
        """Return the flags as argparse takes them, the long one first."""
        return [self.flag, *filter(None, [self.short])]

    @property
    def shown_settings(self) -> dict[str, Any]:
        """Return the settings, with the allowed values where no metavar stands for them."""
        if self.allowed is None or "metavar" in self.settings:
            return self.settings
        return {"metavar": f"{{{','.join(self.allowed)}}}", **self.settings}

    def value_in(self, arguments: argparse.Namespace) -> Any:
        """Return the field's value in parsed arguments; the default if their command does not have the option.

        Raises:
            UsageError: the value is not allowed.
        """
        name = self.flag.removeprefix("--").replace("-", "_")  # as argparse makes it
        parsed = getattr(arguments, name, self.default)
        if self.allowed is not None and parsed is not None and parsed not in self.allowed:
            raise unknown_name(self.kind, parsed, self.allowed)
        return parsed if self.read is None else self.read(parsed)


def option(
    flag: str,
    *,
    default: Any = None,
    allowed: Collection[str] | None = None,
    kind: str | None = None,
    read: Callable[[Any], Any] | None = None,
    short: str = "",
    **settings: Any,
) -> Any:
    """Make a field of a dataclass that is an option; see `Option`, whose `kind` is the flag if none is given."""
    return field(metadata={"option": Option(flag, default, settings, allowed, kind or flag, read, short)})


def switch(flag: str, help: str, short: str = "") -> Any:
    """Make a field of a dataclass that is an option without a value: True if it is given."""
    return option(flag, default=False, short=short, action="store_true", help=help)


def options_of(group: type[Group]) -> dict[str, Option]:
    """Return the options that a dataclass declares, by the name of their field."""
    return {each.name: each.metadata["option"] for each in fields(group)}


def add_options(parser: argparse._ActionsContainer, group: type[Group], *flags: str) -> None:
    """Declare options of a dataclass on a parser: those with the given flags, by default all."""
    declared = {each.flag: each for each in options_of(group).values()}
    for flag in flags or declared:
        each = declared[flag]
        parser.add_argument(*each.flags, default=each.default, **each.shown_settings)


def read_options(group: type[Group], arguments: argparse.Namespace) -> Group:
    """Build a dataclass from parsed arguments; options that the command does not have get their default.

    Raises:
        UsageError: a value is not allowed.
    """
    return group(**{name: each.value_in(arguments) for name, each in options_of(group).items()})


def distinct(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names without repetitions, in order."""
    return tuple(dict.fromkeys(names or ()))


def count(text: str, expected: str = "a whole number from 1") -> int:
    """Parse a positive whole number of at most `N_DIGITS` digits, for argparse."""
    if not (text.isdecimal() and len(text) <= N_DIGITS and int(text) > 0):
        digits = f" of at most {N_DIGITS} digits" if text.isdecimal() and len(text) > N_DIGITS else ""
        raise argparse.ArgumentTypeError(f"expected {expected}{digits}, not '{text}'")
    return int(text)


def count_or_zero(text: str) -> int:
    """Parse a non-negative whole number, for argparse."""
    return 0 if text == "0" else count(text, "a whole number from 0")


def count_or_auto(text: str) -> int | None:
    """Parse a positive whole number, or "auto" as None, for argparse."""
    return None if text == "auto" else count(text, "auto or a whole number from 1")


def whole(text: str) -> int:
    """Parse a whole number, for argparse."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, such as 2023, not '{text}'") from None


def path_given(text: str) -> Path:
    """Parse a path, for argparse. An empty one is a mistake, such as a variable of a shell that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty. Give a path, or '.' for the working directory")
    return Path(text)


def above(bound: float, expected: str) -> Callable[[str], float]:
    """Build a parser of a finite number above a bound, for argparse.

    Args:
        bound: not allowed itself.
        expected: the kind of number with an example, for the message.
    """

    def parse_number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > bound):
            raise argparse.ArgumentTypeError(f"expected {expected}, not '{text}'")
        return value

    return parse_number
