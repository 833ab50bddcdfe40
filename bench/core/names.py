"""A data set's name with its split, `NAME` or `NAME@SPLIT`. Pure.

The canonical name leaves the split out where it is the default of the data card, so that every data set with its
split has one name, whatever a user typed. `canonical` is the only place that makes it.

Names that become parts of paths, and paths that become parts of texts. Pure.

Data sets, modalities, models and variants become names of files, so one form holds for all of them. The other way
round, a path need not be UTF-8: Python keeps its odd bytes as lone surrogates, which no file and no console takes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

SplitName = Literal["shipped", "random", "user", "global_time"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
SEPARATOR = "@"


def canonical(card: str, split: str, default: str) -> str:
    """Name a data set with its split: `tiktok`, or `tiktok@shipped` where that is not the card's default.

    Args:
        card: name of the data card.
        split: name of the rule that makes the parts.
        default: the card's own rule.
    """
    return card if split == default else f"{card}{SEPARATOR}{split}"


def parted(dataset: str) -> tuple[str, str | None]:
    """Take a name apart into the card's name and the split; None where it names no split."""
    card, at, split = dataset.partition(SEPARATOR)
    return card, split if at else None


def base_name(dataset: str) -> str:
    """Give the card's name, `tiktok` for `tiktok@shipped`."""
    return parted(dataset)[0]


LONGEST = 64
FORM = rf"[A-Za-z0-9_][A-Za-z0-9._+-]{{0,{LONGEST - 1}}}"
ALLOWED = f"letters, digits, '_', '-', '+' and '.', not beginning with '.', '-' or '+', at most {LONGEST} of them"


def is_name(text: str) -> bool:
    """Whether a name can be a part of a path wherever: no separator, no step upwards, nothing hidden."""
    return re.fullmatch(FORM, text) is not None


def checked_name(text: str) -> str:
    """The name.

    Raises:
        ValueError: it is none, for a validator.
    """
    if not is_name(text):
        raise ValueError(f"expected {ALLOWED}, as it becomes the name of a file")
    return text


def is_readable(path: Path) -> bool:
    """Whether a path is UTF-8, as Rust's and Arrow's readers want it; others take opened files only."""
    return readable(str(path)) == str(path)


def readable(text: str) -> str:
    """The text with the bytes of odd paths, which UTF-8 cannot write, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
