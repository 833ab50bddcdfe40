"""Layer 4. A place of a user's -> what layout it is, its interactions and its features. Reads, never writes.

What is wrong with a feature file is collected, so that an inspection can tell of all of them; what is wrong with
the interactions ends in an error at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from bench.errors import BenchError, DataError, UsageError, listed, unknown_name
from bench.layouts import lattice, mmrec_files, normalised_files, pickled, recbole, table
from bench.layouts.feature_files import read_beside
from bench.layouts.modality_names import in_order
from bench.layouts.place import Content, Place, look, missing_part
from bench.sources.raw import RawData
from bench.sources.roles import Columns
from bench.sources.validity import check
from bench.split import make_split, shipped_split

NAMED = "named with --layout"
LAYOUTS: dict[str, ModuleType] = {
    module.NAME: module for module in (normalised_files, pickled, lattice, recbole, mmrec_files, table)
}


@dataclass(frozen=True, eq=False)
class Loaded:
    """What was found at a place.

    Attributes:
        place: where.
        layout: its name.
        reason: why it is this one.
        raw: interactions, and the modalities that are sound, in one order whatever the layout.
        problems: what is wrong with the feature files, each with file, row and fix.
        unread: files that are neither interactions nor features, where it helps with the reason.
    """

    place: Place
    layout: str
    reason: str
    raw: RawData
    problems: tuple[str, ...]
    unread: tuple[str, ...]


def load_place(path: Path, layout: str | None = None, columns: Columns | None = None) -> Loaded:
    """Everything at a path.

    Args:
        path: a directory, or one table of interactions.
        layout: its name; None finds it out.
        columns: what the user says of column names.

    Raises:
        UsageError: there is nothing at the path, or no layout of that name.
        DataError: no layout fits, or the interactions are malformed; the message names the place.
    """
    place = look(path, columns or Columns())
    try:
        name, reason = detect(place, layout)
        content = LAYOUTS[name].read(place)
        return _with_features(place, name, reason, content)
    except DataError as problem:
        if str(path) in str(problem):
            raise
        raise DataError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise DataError(f"{problem.filename or path} cannot be read: {problem.strerror}. Look at it.") from problem


def detect(place: Place, layout: str | None) -> tuple[str, str]:
    """The layout of a place and why.

    Raises:
        UsageError: no layout of that name, or options for columns where the layout has none.
        DataError: no layout fits.
    """
    if layout is not None:
        if layout not in LAYOUTS:
            raise unknown_name("layout", layout, LAYOUTS)
        return _with_its_options(place, layout), NAMED
    for name, module in LAYOUTS.items():
        reason: str | None = module.recognise(place)
        if reason:
            return _with_its_options(place, name), reason
    lacking = [*(f"{path.name} is {what}." for path, what in place.others if not path.is_dir()), *_lacks(place)]
    needs = "; ".join(f"{name} needs {module.NEEDS}" for name, module in LAYOUTS.items() if name != "normalised")
    said = [
        f"{place.path} holds no interactions in a known layout; {_some(place.files)}.",
        *_folders(place.path),
        *lacking,
        f"Layouts tried: {needs}. See datasets/README.md, or name the layout with --layout.",
    ]
    raise DataError(" ".join(said))


def _lacks(place: Place) -> list[str]:
    """What each layout lacks of which some file is there."""
    parts = [
        said
        for module in (lattice, pickled, recbole)
        if (said := missing_part(place.files, module.PATTERN)) is not None
    ]
    return [*parts, *table.lacks(place)]


def _with_its_options(place: Place, layout: str) -> str:
    """The layout, after it was seen that every option given means something in it.

    Raises:
        UsageError: one does not.
    """
    given = place.columns.given
    if given and not LAYOUTS[layout].TAKES_COLUMNS:
        raise UsageError(
            f"{place.path} is in the layout {layout}, whose files have no named columns, so that "
            f"{listed(f'{option} {value}' for option, value in given)} means nothing there. Leave it out, or name "
            "another layout with --layout."
        )
    return layout


def _folders(path: Path) -> list[str]:
    """What lies below a directory, for a user who has named the one above it."""
    folders = sorted(each.name for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    return [f"If one of {listed(folders[:10])} below it holds the data, give its path."] if folders else []


def _some(files: tuple[Path, ...]) -> str:
    if not files:
        return "there is no file in it"
    more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
    return f"its files are {listed(path.name for path in files[:10])}{more}"


def _with_features(place: Place, layout: str, reason: str, content: Content) -> Loaded:
    """The content with every feature file beside the tables."""
    found = read_beside(place, content)
    ordered = in_order(found.modalities.values())
    raw = replace(content.raw, modalities=ordered, notes=(*content.raw.notes, *found.notes))
    return Loaded(place, layout, reason, raw, tuple(found.problems), tuple(found.unread))


def refusals(loaded: Loaded) -> list[str]:
    """What keeps the data from being imported and run: broken feature files, and parts that are none."""
    return [*loaded.problems, *_split_problems(loaded)]


def _split_problems(loaded: Loaded) -> list[str]:
    raw = loaded.raw
    try:
        check(raw)
        if raw.has_parts:
            shipped_split(*raw.parts)
        else:
            make_split(raw.whole, "random", 0)
    except BenchError as problem:
        return [f"{loaded.place.path}: {problem}"]
    return []
