"""The files of data cards: where they lie and what `--list` shows of them. Reads cards only.

`bench.data.cards` reads and checks a whole card. This module does without pydantic, so that names are listed fast.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from bench.core.errors import UsageError
from bench.core.places import IN_CHECKOUT, WORK, shipped
from bench.core.yaml_files import read_yaml

_ALSO: ContextVar[tuple[Path, ...]] = ContextVar("further directories of cards", default=())
DATASETS = WORK / "datasets"  # cards of imports are written here
SHIPPED = () if IN_CHECKOUT else (shipped("datasets"),)  # looked into after DATASETS


class Heading(NamedTuple):
    """What a list of data sets shows of one: its title, the kinds of its sources, and its split."""

    title: str
    kinds: list[str]
    split: str


def names(directory: Path = DATASETS) -> list[str]:
    """Return the sorted names of the data cards, without reading any."""
    return sorted(card_files(directory))


def card_files(directory: Path) -> dict[str, Path]:
    """Return the cards by name; one in `directory` hides one of the same name elsewhere."""
    folders = (*SHIPPED, *_ALSO.get(), directory)
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


def path_of(name: str, directory: Path = DATASETS) -> Path | None:
    """Return the file of a card, or None if there is no such card."""
    return card_files(directory).get(name)


@contextlib.contextmanager
def also_in(directories: Sequence[Path]) -> Iterator[None]:
    """Also look for cards in these directories while the body runs.

    Raises:
        UsageError: one of them does not exist.
    """
    for directory in directories:
        if not directory.is_dir():
            raise UsageError(f"--card-dir {directory} is not a directory. Give the folder of your data cards.")
    token = _ALSO.set(tuple(directories))
    try:
        yield
    finally:
        _ALSO.reset(token)


def headings(directory: Path = DATASETS) -> dict[str, Heading]:
    """Read title, kinds of sources and split of every card, by name.

    Raises:
        ConfigError: a card has no such headings.
    """
    return {name: _heading(name, path, directory) for name, path in sorted(card_files(directory).items())}


def _heading(name: str, path: Path, directory: Path) -> Heading:
    card = read_yaml(path)
    try:
        heading = Heading(card["title"], [source["kind"] for source in card["sources"]], card["split"])
        if all(isinstance(word, str) for word in (heading.title, heading.split, *heading.kinds)):
            return heading
    except (KeyError, TypeError):
        pass
    from bench.data import cards  # heavy; it says what is wrong

    checked = cards.load(name, directory)
    return Heading(checked.title, [*checked.kinds], checked.split)
