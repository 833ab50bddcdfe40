"""The interface of all formats, the user's input path with its files, and the naming rules that formats share.

The rules give modalities their usual names and find the files of the three parts. Lists directories; opens no
file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from bench.core.errors import DataError, UsageError, listed
from bench.core.files import check_plain, os_errors
from bench.core.names import LONGEST
from bench.core.types import Modality
from bench.data.adjusting import Adjustments
from bench.data.features import ItemKeys
from bench.data.pins import describe_non_file
from bench.data.raw import RawData
from bench.data.roles import Columns

USUAL = {
    "visual": ("visual", "vision", "image", "images", "img", "v"),
    "acoustic": ("acoustic", "audio", "sound", "a"),
    "textual": ("textual", "text", "texts", "txt", "t"),
}
FEATURES = re.compile(r"[_\-. ]*(feat|feats|feature|features|emb|embs|embedding|embeddings|vec|vectors)$")
UNPACK = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zip": "unzip"}
PART_WORDS = (r"(trn|train)", r"(val|valid|dev)", r"(tst|test)")
MAX_FILES_BELOW = 2_000  # files of subdirectories that are listed


def modality_name(given: str) -> str:
    """Return the usual name: `image_feat` is visual, `trailer-audio_emb` is trailer_audio."""
    name = given.lower()
    while FEATURES.search(name):  # more than once, as in image_feat_emb
        name = FEATURES.sub("", name)
    name = re.sub(r"[^a-z0-9]+", "_", name).strip("_")[:LONGEST].strip("_") or "features"
    return next((usual for usual, words in USUAL.items() if name in words), name)


def in_order(modalities: Iterable[Modality]) -> tuple[Modality, ...]:
    """Sort modalities: visual, acoustic and textual first, then the others by name."""
    usual = list(USUAL)
    rank = {name: position for position, name in enumerate(usual)}
    return tuple(sorted(modalities, key=lambda one: (rank.get(one.name, len(usual)), one.name)))


@dataclass(frozen=True)
class Place:
    """A path that the user gave, with its files.

    Attributes:
        path: the path as given.
        files: the files in the directory, sorted by name; or the one file.
        columns: column options of the user.
        adjustments: the user's options for data in any format.
        others: entries that are not files, such as broken links, each with a description.
        below: files in subdirectories.
    """

    path: Path
    files: tuple[Path, ...]
    columns: Columns = field(default_factory=Columns)
    others: tuple[tuple[Path, str], ...] = ()
    below: tuple[Path, ...] = ()
    adjustments: Adjustments = field(default_factory=Adjustments)

    def ending(self, *endings: str) -> list[Path]:
        """Return the files with one of these endings."""
        return [path for path in self.files if path.suffix.lower() in endings]


@dataclass(frozen=True, eq=False)
class Content:
    """Content of the tables at a place.

    Attributes:
        raw: interactions, original ids, and modalities that the tables themselves hold.
        keys: item keys that match the rows of further feature files.
        used: files that were read as tables, and so are not feature files.
    """

    raw: RawData
    keys: ItemKeys
    used: tuple[Path, ...]


class Format(Protocol):
    """A format that users can import. A module of `bench.data.formats` is one if it has these names.

    To add a format:

    1. Write a module here with the names below, and one of `SourceFormat` if data cards name the format too.
    2. Add the module to `FORMATS` in `bench.data.formats.registry`, before any format that would also take its
       files; a format of data cards also to `SOURCES`, and its model to `bench.data.cards.SourceCard`.
    3. Add an example to `tests/examples.py`. The tests of readers, round trips and broken files then cover it.

    Attributes:
        NAME: name of the format, as in `--format NAME`.
        NEEDS: files that it needs, in words.
        TAKES_COLUMNS: whether its tables have named columns, which options of the user can choose.
    """

    NAME: str
    NEEDS: str
    TAKES_COLUMNS: bool

    def recognise(self, place: Place) -> str | None:
        """Return why the files are in this format, or None if they are not. Read no more than headers."""

    def explain(self, place: Place) -> list[str]:
        """Return what prevents files that may be meant as this format from being recognised."""

    def read(self, place: Place) -> Content:
        """Read the interactions, and modalities that the tables themselves hold.

        Raises:
            DataError: a file is missing or malformed; the message names the file, the row and what to do.
        """


@dataclass(frozen=True)
class SourceOptions:
    """What some sources need beside their directory.

    Attributes:
        roots: directories that may hold further files, in the order in which they are searched.
        scale: size of generated data; 1 is the size in the card.
        seed: of generated data.
    """

    roots: tuple[Path, ...] = ()
    scale: float = 1.0
    seed: int = 0


class SourceFormat(Protocol):
    """A format that data cards name. A module of `bench.data.formats` is one if it has these names.

    Attributes:
        NAME: name of the format, as in the card's field `layout`.
    """

    NAME: str

    def read_source(self, source: Any, directory: Path, options: SourceOptions) -> RawData:
        """Read the data of a source, and compare it with everything that the card pins.

        Args:
            source: the source in the data card; of the model in `bench.data.cards` with this `layout`.
            directory: directory of its files.
            options: what the request adds.

        Raises:
            DataError: a file is missing or malformed, or differs from the card.
        """


def list_place(path: Path, columns: Columns) -> Place:
    """List the files at a path.

    Raises:
        UsageError: the path does not exist.
        DataError: the directory cannot be listed.
    """
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is {describe_non_file(path)}.")
    if not path.exists():
        raise UsageError(f"{path} does not exist. Give a directory with data files, or one table of interactions.")
    if not path.is_dir():
        check_plain(path)
        return Place(path, (path,), columns)
    with os_errors(f"{path} cannot be listed", "Correct its permissions.", DataError):
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        files = tuple(entry for entry in entries if entry.is_file())
        others = tuple((entry, describe_non_file(entry)) for entry in entries if not entry.is_file())
        below = tuple(_files_below(entry for entry in entries if entry.is_dir()))
    return Place(path, files, columns, others, below)


def _files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield files in folders at any depth, at most `MAX_FILES_BELOW`; links are not followed."""
    paths = (
        Path(inner) / name
        for folder in folders
        if not folder.is_symlink()
        for inner, _, names in os.walk(folder)
        for name in sorted(names)
    )
    for path in islice(paths, MAX_FILES_BELOW):
        if not path.name.startswith("."):
            yield path


def part_files(files: Iterable[Path], pattern: str) -> tuple[Path, ...] | None:
    """Return the training, validation and test file among the candidates, or None if one is missing.

    Args:
        files: candidates.
        pattern: regular expression of a file name, with PART for the name of the part; case does not matter.

    Raises:
        DataError: two files match the same part.
    """
    matched = []
    for part in PART_WORDS:
        expression = re.compile(pattern.replace("PART", part), re.IGNORECASE)
        fitting = [path for path in files if expression.fullmatch(path.name)]
        if len(fitting) > 1:
            raise DataError(
                f"{fitting[0].parent} holds {listed(path.name for path in fitting)}, which stand for the same "
                "part. Keep one of them."
            )
        matched += fitting
    return tuple(matched) if len(matched) == len(PART_WORDS) else None


def required_parts(place: Place, pattern: str, format: str, needs: str) -> tuple[Path, ...]:
    """Return the training, validation and test file of a place; see `part_files`.

    Raises:
        DataError: one is missing, or two files match the same part.
    """
    files = part_files(place.files, pattern)
    if files is None:
        raise DataError(f"{place.path} is not in the format {format}, which needs {needs}.")
    return files


def describe_missing_parts(files: Iterable[Path], pattern: str) -> list[str]:
    """Return a message if files of some parts exist and others are missing, else none."""
    names_of = {}
    for part, word in zip(PART_WORDS, ("training", "validation", "test"), strict=True):
        expression = re.compile(pattern.replace("PART", part), re.IGNORECASE)
        names_of[word] = [path.name for path in files if expression.fullmatch(path.name)]
    present = listed(name for names in names_of.values() for name in names)
    missing = [word for word, names in names_of.items() if not names]
    if not missing or len(missing) == len(names_of):
        return []
    parts = f"{missing[0]} part is" if len(missing) == 1 else f"{' and '.join(missing)} parts are"
    return [f"{present} may belong to a split data set, but its {parts} missing."]
