"""Layer 4. A place of a user's -> what layout it is, its interactions and its features. Reads, never writes.

What is wrong with a feature file is collected, so that an inspection can tell of all of them; what is wrong with
the interactions ends in an error at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from bench.errors import DataError, listed, unknown_name
from bench.layouts import lattice, mmrec_files, normalised_files, pickled, recbole, table
from bench.layouts.modality_names import FEATURES, USUAL, in_order, modality_name
from bench.layouts.place import Columns, Content, Place, look
from bench.sources.blocks import ENDINGS, holds_features, read_blocks
from bench.sources.features import modality_of
from bench.sources.raw import RawData
from bench.types import Modality

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
        UsageError: no layout of that name.
        DataError: no layout fits.
    """
    if layout is not None:
        if layout not in LAYOUTS:
            raise unknown_name("layout", layout, LAYOUTS)
        return layout, "named with --layout"
    for name, module in LAYOUTS.items():
        reason: str | None = module.recognise(place)
        if reason:
            return name, reason
    needs = "; ".join(f"{name} needs {module.NEEDS}" for name, module in LAYOUTS.items() if name != "normalised")
    raise DataError(
        f"{place.path} holds no interactions in a known layout; {_some(place.files)}."
        f"{_folders(place.path)} {needs}. See datasets/README.md, or name the layout with --layout."
    )


def _folders(path: Path) -> str:
    """What lies below a directory, for a user who has named the one above it."""
    folders = sorted(each.name for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    return f" If one of {listed(folders[:10])} below it holds the data, give its path." if folders else ""


def _some(files: tuple[Path, ...]) -> str:
    if not files:
        return "there is no file in it"
    more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
    return f"its files are {listed(path.name for path in files[:10])}{more}"


def _with_features(place: Place, layout: str, reason: str, content: Content) -> Loaded:
    """The content with every feature file beside the tables."""
    modalities = {modality.name: modality for modality in content.raw.modalities}
    problems, unread, notes = [], [], list(content.raw.notes)
    for path in place.files:
        if path in content.used:
            continue
        if not _is_feature_file(path):
            unread.append(path.name)
            continue
        try:
            found, n_others = _modalities(path, content)
            for modality in found:
                _add(modalities, modality, path)
        except DataError as problem:
            if _named_so(path):
                problems.append(str(problem))
            else:  # such as the dictionaries of users that MMRec's models leave in the folder
                unread.append(f"{path.name} ({problem})")
            continue
        if n_others:
            notes.append(
                f"{n_others:,} rows of {path.name} are of items without an interaction, and were left out."
            )
    ordered = in_order(modalities.values())
    raw = replace(content.raw, modalities=ordered, notes=tuple(notes))
    return Loaded(place, layout, reason, raw, tuple(problems), tuple(unread))


def _is_feature_file(path: Path) -> bool:
    """Whether a file beside the tables is meant to hold features; .json and .parquet may be anything else."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return False
    return (
        ending not in (".json", ".parquet") or _named_so(path) or (ending == ".parquet" and holds_features(path))
    )


def _named_so(path: Path) -> bool:
    """Whether a file's name says that it holds features, so that anything else in it is a problem."""
    stem = path.stem.lower()
    return bool(FEATURES.search(stem)) or any(stem in words for words in USUAL.values())


def _modalities(path: Path, content: Content) -> tuple[list[Modality], int]:
    """Every modality of a feature file, and how many of its rows are of no item."""
    found, n_others = [], 0
    for block in read_blocks(path):
        modality, n_left = modality_of(path, block, modality_name(block.name or path.stem), content.keys)
        found.append(modality)
        n_others = max(n_others, n_left)
    return found, n_others


def _add(modalities: dict[str, Modality], modality: Modality, path: Path) -> None:
    if modality.name in modalities:
        raise DataError(
            f"{path} brings the modality '{modality.name}', which is {modalities[modality.name].origin} already. "
            "Rename or remove one of them."
        )
    modalities[modality.name] = modality
