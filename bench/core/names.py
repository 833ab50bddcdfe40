"""Names of data sets with their split, labels of rows, names that are safe in paths, and readable paths. Pure.

A data set is named `NAME` or `NAME@SPLIT`. The canonical name leaves out the split if it is the card's default, so
that every data set and split has one name, whatever a user typed. `canonical` is the only function that makes it.
Data sets, modalities, models and variants become parts of file names, so one form holds for all of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

SplitName = Literal["shipped", "random", "user", "global_time"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
SEPARATOR = "@"
FOREIGN = "lists:"  # before the name of a program whose lists were evaluated; a model file has no such name
LONGEST = 64
FORM = rf"[A-Za-z0-9_][A-Za-z0-9._+-]{{0,{LONGEST - 1}}}"
ALLOWED = f"letters, digits, '_', '-', '+' and '.', not beginning with '.', '-' or '+', at most {LONGEST} of them"


def canonical(card: str, split: str, default: str) -> str:
    """Return the canonical name: `tiktok`, or `tiktok@shipped` if that split is not the card's default.

    Args:
        card: name of the data card.
        split: name of the rule that makes the parts.
        default: the card's own rule.
    """
    return card if split == default else f"{card}{SEPARATOR}{split}"


def base_and_split(dataset: str) -> tuple[str, str | None]:
    """Split a data set's name into the card's name and the split, which is None if the name has none."""
    card, at, split = dataset.partition(SEPARATOR)
    return card, split if at else None


def base_name(dataset: str) -> str:
    """Return the card's name, `tiktok` for `tiktok@shipped`."""
    return base_and_split(dataset)[0]


def join_label(model: str, variant: str) -> str:
    """Return the label of a row: `ludp`, or `ludp@literal` with a variant."""
    return f"{model}{SEPARATOR}{variant}" if variant else model


def split_label(label: str) -> tuple[str, str]:
    """Split a row's label into model and variant, which is "" if the label has none."""
    model, _, variant = label.partition(SEPARATOR)
    return model, variant


def model_of(label: str) -> str:
    """Return the model of a label: `ludp` for `ludp@literal` and for `ludp@k=20`."""
    return split_label(label)[0]


def is_foreign(model: str) -> bool:
    """Return whether a model's name stands for the lists of another program, which was not trained here."""
    return model.startswith(FOREIGN)


def is_name(text: str) -> bool:
    """Return whether a name is safe in a path on every system: no separator, no parent directory, not hidden."""
    return re.fullmatch(FORM, text) is not None


def checked_name(text: str) -> str:
    """Return a name unchanged if it is safe in a path; for use as a pydantic validator.

    Raises:
        ValueError: it is not.
    """
    if not is_name(text):
        raise ValueError(f"expected {ALLOWED}, as it becomes the name of a file")
    return text


def file_name(label: str) -> str:
    """Return a model's label as part of a path: `recbole-EASE` for `recbole:EASE`."""
    return label.replace(":", "-")


def is_readable(path: Path) -> bool:
    """Return whether a path is UTF-8, as readers of Rust and Arrow require; open other files before reading."""
    return readable(str(path)) == str(path)


def readable(text: str) -> str:
    """Replace lone surrogates by escapes.

    Python keeps the bytes of a path that is not UTF-8 as lone surrogates, which no file or console accepts.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
