"""What a modality is called: from the name of a file or column to the field's usual word. Pure.

What a user points at: a directory or one file, and what lies in it. Lists, opens nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bench.core.errors import DataError, UsageError, listed
from bench.core.files import check_plain
from bench.core.names import LONGEST
from bench.core.types import Modality
from bench.data.features import ItemKeys
from bench.data.pins import what_else
from bench.data.raw import RawData
from bench.data.roles import Columns

USUAL = {
    "visual": ("visual", "vision", "image", "images", "img", "v"),
    "acoustic": ("acoustic", "audio", "sound", "a"),
    "textual": ("textual", "text", "texts", "txt", "t"),
}
FEATURES = re.compile(r"[_\-. ]*(feat|feats|feature|features|emb|embs|embedding|embeddings|vec|vectors)$")


def modality_name(given: str) -> str:
    """`image_feat` is visual, `trailer-audio_emb` is trailer_audio."""
    name = given.lower()
    while FEATURES.search(name):
        name = FEATURES.sub("", name)
    name = re.sub(r"[^a-z0-9]+", "_", name).strip("_")[:LONGEST].strip("_") or "features"
    return next((usual for usual, words in USUAL.items() if name in words), name)


def in_order(modalities: Iterable[Modality]) -> tuple[Modality, ...]:
    """Visual, acoustic and textual first, then the others by name: one order whatever the layout."""
    usual = list(USUAL)
    rank = {name: position for position, name in enumerate(usual)}
    return tuple(sorted(modalities, key=lambda one: (rank.get(one.name, len(usual)), one.name)))


PARTS = (r"(trn|train)", r"(val|valid|dev)", r"(tst|test)")
MOST_BELOW = 2_000  # files of subfolders that are looked at


@dataclass(frozen=True)
class Place:
    """What the user pointed at.

    Attributes:
        path: as it was given.
        files: the files in it, sorted by name; or the one file.
        columns: what the user says of column names.
        others: what lies beside the files and is none, with what it is, such as links to nowhere.
        below: files in its folders.
    """

    path: Path
    files: tuple[Path, ...]
    columns: Columns = field(default_factory=Columns)
    others: tuple[tuple[Path, str], ...] = ()
    below: tuple[Path, ...] = ()

    def ending(self, *endings: str) -> list[Path]:
        """The files with one of these endings."""
        return [path for path in self.files if path.suffix.lower() in endings]


@dataclass(frozen=True, eq=False)
class Content:
    """What the tables of a place hold.

    Attributes:
        raw: interactions and original ids, and the modalities that the tables themselves bring.
        keys: how further feature files find their items.
        used: files that were read, which are no feature files.
    """

    raw: RawData
    keys: ItemKeys
    used: tuple[Path, ...]


def look(path: Path, columns: Columns) -> Place:
    """The place at a path.

    Raises:
        UsageError: there is nothing.
        DataError: it cannot be listed.
    """
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is {what_else(path)}.")
    if not path.exists():
        raise UsageError(f"There is no {path}. Give a directory with data files, or one table of interactions.")
    if not path.is_dir():
        check_plain(path)
        return Place(path, (path,), columns)
    try:
        here = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        files = tuple(each for each in here if each.is_file())
        others = tuple((each, what_else(each)) for each in here if not each.is_file())
        below = tuple(_below(each for each in here if each.is_dir()))
    except OSError as problem:
        raise DataError(f"{path} cannot be listed: {problem.strerror}. Correct its permissions.") from problem
    return Place(path, files, columns, others, below)


def _below(folders: Iterable[Path]) -> Iterator[Path]:
    """Files in folders and in their folders, the first few of them; links are not followed."""
    found = (
        Path(inner) / name
        for folder in folders
        if not folder.is_symlink()
        for inner, _, names in os.walk(folder)
        for name in sorted(names)
    )
    for path in islice(found, MOST_BELOW):
        if not path.name.startswith("."):
            yield path


def part_files(files: Iterable[Path], pattern: str) -> tuple[Path, ...] | None:
    """The training, validation and test file among some; None where one of the three is missing.

    Args:
        files: candidates.
        pattern: of a file's name, with PART where the part stands; case does not matter.

    Raises:
        DataError: two files stand for one part.
    """
    found = []
    for part in PARTS:
        expression = re.compile(pattern.replace("PART", part), re.IGNORECASE)
        fitting = [path for path in files if expression.fullmatch(path.name)]
        if len(fitting) > 1:
            raise DataError(
                f"{fitting[0].parent} holds {listed(path.name for path in fitting)}, which stand for the same "
                "part. Keep one of them."
            )
        found += fitting
    return tuple(found) if len(found) == len(PARTS) else None


def missing_part(files: Iterable[Path], pattern: str) -> str | None:
    """What is said where some of the three parts are there and others are not; else None."""
    found = {}
    for part, word in zip(PARTS, ("training", "validation", "test"), strict=True):
        expression = re.compile(pattern.replace("PART", part), re.IGNORECASE)
        found[word] = [path.name for path in files if expression.fullmatch(path.name)]
    here, absent = listed(name for names in found.values() for name in names), [w for w in found if not found[w]]
    if not absent or len(absent) == len(found):
        return None
    return f"{here} may be of parts, but the file of the {' and the '.join(absent)} part is not there."
