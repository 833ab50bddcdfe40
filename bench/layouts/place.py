"""Layer 4. What a user points at: a directory or one file, and which files may hold what. Lists, opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError, UsageError, listed, nearest_hint
from bench.files import check_plain
from bench.sources.features import ItemKeys
from bench.sources.raw import RawData

PARTS = (r"(trn|train)", r"(val|valid|dev)", r"(tst|test)")
USUAL = {
    "user": ("userid", "user", "uid", "reviewerid", "customerid", "visitorid", "useridx", "userindex"),
    "item": ("itemid", "item", "iid", "asin", "parentasin", "movieid", "videoid", "productid", "articleid",
             "trackid", "songid", "bookid", "newsid", "itemidx", "itemindex"),
    "time": ("timestamp", "time", "ts", "unixreviewtime", "unixtime", "datetime", "date", "timestamps"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Names of the columns that the user gave; None: found by their usual names."""

    user: str | None = None
    item: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Place:
    """What the user pointed at.

    Attributes:
        path: as it was given.
        files: the files in it, sorted by name; or the one file.
        columns: what the user says of column names.
    """

    path: Path
    files: tuple[Path, ...]
    columns: Columns = Columns()

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
    if not path.exists():
        raise UsageError(f"There is no {path}. Give a directory with data files, or one table of interactions.")
    if not path.is_dir():
        check_plain(path)
        return Place(path, (path,), columns)
    try:
        files = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    except OSError as problem:
        raise DataError(f"{path} cannot be listed: {problem.strerror}. Correct its permissions.") from problem
    return Place(path, tuple(files), columns)


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


def plain(name: str) -> str:
    """A column's name without case and signs, so that `user_id`, `userId` and `UserID` are one."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def usual_column(names: Sequence[str], role: str, given: str | None) -> str | None:
    """The column for a role: the one that the user named, else the first usual name; None where there is none."""
    if given is not None:
        return given if given in names else None
    by_plain = {plain(name): name for name in reversed(names)}
    return next((by_plain[name] for name in USUAL[role] if name in by_plain), None)


def needed_column(path: Path, names: Sequence[str], role: str, given: str | None) -> str:
    """The same, where there must be one.

    Raises:
        DataError: there is none.
    """
    found = usual_column(names, role, given)
    if found is None:
        wanted = f"the column '{given}'" if given else f"a column of {role} ids, such as '{role}_id',"
        raise DataError(
            f"{path}, row 1: {wanted} is missing; the columns are {listed(names)}."
            f"{nearest_hint(given or f'{role}_id', names)} Name it with --{role}-column NAME."
        )
    return found
