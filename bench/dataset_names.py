"""Layer 1. A data set's name with its split, `NAME` or `NAME@SPLIT`. Pure.

The canonical name leaves the split out where it is the default of the data card, so that every data set with its
split has one name, whatever a user typed. `canonical` is the only place that makes it.
"""

from __future__ import annotations

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
