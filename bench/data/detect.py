"""A place of a user's -> what layout it is, its interactions and its features. Reads, never writes.

What is wrong with a feature file is collected, so that an inspection can tell of all of them; what is wrong with
the interactions ends in an error at once.

The commands that a user is told to give next, as they are typed: quoted, with every option. Pure.

Whether data is one that has a card, and what to call it otherwise. Reads cards and files.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.core.errors import BenchError, DataError, UsageError, listed, unknown_name
from bench.data import cards
from bench.data.cards import DataFile, DirectorySource, SourceCard
from bench.data.feature_files import read_beside
from bench.data.formats import mmrec, normalised, pickled, recbole, table, user_lists
from bench.data.formats.place import Content, Place, in_order, look, missing_part
from bench.data.pins import Difference, count_differences, exchanged, git_blob, table_of
from bench.data.raw import RawData, check, count_facts
from bench.data.roles import Columns
from bench.data.split import make_split, shipped_split

NAMED = "named with --layout"
LAYOUTS: dict[str, ModuleType] = {
    module.NAME: module for module in (normalised, pickled, user_lists, recbole, mmrec, table)
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
        for module in (user_lists, pickled, recbole)
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


def import_command(place: Place, name: str, path: Path | None = None, layout: str | None = None) -> str:
    """The command line that imports a place.

    Args:
        place: with what the user said of columns.
        name: of the data set.
        path: how the place is called; None: as the user did.
        layout: its name where it is to be given.
    """
    words = ["ludp-bench", "import", str(path or place.path), "--name", name]
    words += ["--layout", layout] if layout else []
    words += [word for option in place.columns.given for word in option]
    return shlex.join(words)


def run_command(
    dataset: str, data_dir: Path | None = None, cache_dir: Path | None = None, source: str | None = None
) -> str:
    """Give the command line that runs a data set; `source` where another source would be taken first."""
    words = ["ludp-bench", "run", "--datasets", dataset]
    words += ["--source", source] if source else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += ["--cache-dir", str(cache_dir)] if cache_dir else []
    return shlex.join(words)


def link_command(path: Path, folder: str) -> str:
    """The command that gives a directory the name that a card looks for, beside it."""
    return shlex.join(["ln", "-s", str(path), str(path.parent / folder)])


@dataclass(frozen=True)
class Match:
    """How data compares with one source of a card.

    Attributes:
        card: name of the card.
        fits: whether every pinned count is met, no file of the same name has another checksum, and the card
            would read these files.
        text: what is said of it.
        source: the source of the card.
    """

    card: str
    fits: bool
    text: str
    source: SourceCard

    def advice(self, path: Path) -> str | None:
        """The command that runs the card with the data at a path; None where there is none that would."""
        if not isinstance(self.source, DirectorySource):
            return run_command(self.card)
        folder = Path(self.source.directory)
        if path.parts[-len(folder.parts) :] == folder.parts:
            return run_command(self.card, path.parents[len(folder.parts) - 1])
        place = path.parent / folder
        if os.path.lexists(place) or not place.parent.is_dir() or not os.access(place.parent, os.W_OK):
            return None
        return f"{link_command(path, str(folder))} && {run_command(self.card, path.parent)}"


def matches(path: Path, files: Iterable[Path], raw: RawData, layout: str, directory: Path) -> list[Match]:
    """The cards that this data is, or is another version of.

    Args:
        path: of the place; the name of a card in it makes it a version of that card.
        files: of the place.
        raw: what they hold.
        layout: their layout; a card is of other files where its own is another one.
        directory: where cards lie.
    """
    blobs = {file.name: git_blob(file) for file in files}
    found = []
    for name in cards.names(directory):
        for source in cards.load(name, directory).sources:
            namesake = isinstance(source, DirectorySource) and path.resolve().stem.lower().startswith(name)
            match = _match(name, source, blobs, raw, namesake)
            if match is not None:
                found.append(replace(match, fits=match.fits and _readable(source, layout, set(blobs))))
    return sorted(found, key=lambda match: not match.fits)


def _readable(source: SourceCard, layout: str, here: set[str]) -> bool:
    """Whether the card would read these very files: they are in its layout, and none that it needs is absent."""
    if not isinstance(source, DirectorySource):
        return True  # it reads its own copy
    needed = {Path(file.path).name for file in files_of(source) if not getattr(file, "optional", False)}
    return source.layout == layout and needed <= here


def _match(name: str, source: SourceCard, blobs: dict[str, str], raw: RawData, namesake: bool) -> Match | None:
    """The comparison, or None where nothing is alike."""
    expected = getattr(source, "expected", None)
    if expected is None or not expected.model_dump(exclude_none=True):
        return None
    counts = count_differences(expected, raw)
    pinned = {Path(file.path).name: file for file in files_of(source) if file.git_blob}
    same = [file for file, pin in pinned.items() if blobs.get(file) == pin.git_blob]
    other = [
        Difference(f"{file}, checksum (git blob id)", str(pin.git_blob), blobs[file])
        for file, pin in pinned.items()
        if file in blobs and file not in same
    ]
    absent = [file for file in pinned if file not in blobs]
    facts = count_facts(raw)
    alike = same or all(facts[key] == getattr(expected, key) for key in ("n_users", "n_items"))
    swapped = exchanged(expected, raw)
    if not alike and not swapped and not namesake:
        return None
    title = f"{name} ({source.kind})"
    if not counts and not other:
        checksums = f" fit, and the checksums of {len(same)} files" if same else " fit"
        lacking = f"; {', '.join(absent)} of it is not here" if same and absent else ""
        text = f"{title}: all counts of its card{checksums}{lacking}"
        return Match(name, bool(same) or not pinned, text, source)
    differing = table_of([*counts, *other])
    return Match(name, False, f"{title}: another version of it. {swapped}".rstrip() + f"\n{differing}", source)


def files_of(source: SourceCard) -> Iterator[DataFile]:
    """Every file that a source names."""

    def walk(value: Any) -> Iterator[DataFile]:
        if isinstance(value, DataFile):
            yield value
        elif isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                yield from walk(each)
        elif hasattr(value, "model_fields_set"):
            for field in type(value).model_fields:
                yield from walk(getattr(value, field))

    yield from walk(source)


def content_of_a_card(path: Path, directory: Path) -> tuple[str, str] | None:
    """What to say and do of a directory without interactions whose files a card uses; else None."""
    for name in cards.names(directory):
        for source in cards.load(name, directory).sources:
            here = [file.path for file in files_of(source) if "/" in file.path and _lies_in(path, file.path)]
            if here:
                listing, place = ", ".join(Path(one).name for one in here), path.resolve().parent
                return (
                    f"no interactions, but content that the data set {name} ({source.kind}) uses: {listing}",
                    run_command(name, place, source=source.kind),
                )
    return None


def _lies_in(path: Path, file: str) -> bool:
    root = path.resolve().parent
    return (root / file).is_file() and (root / file).resolve().is_relative_to(path.resolve())


def suggested_name(wanted: str, raw: RawData, directory: Path) -> str:
    """A free name, made of the wanted one and the number of users, for example `tiktok-9308`."""
    taken = set(cards.names(directory))
    stem = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-") or "data"
    base = next((name for name in sorted(taken, key=len) if stem.startswith(name)), stem)
    if stem not in taken and base == stem:
        return stem
    first = raw.parts[0]
    for name in (f"{base}-{first.n_users}", f"{base}-{first.n_users}-{first.n_items}"):
        if name not in taken:
            return name
    return f"{base}-{first.n_users}-{first.n_items}-{sum(map(len, raw.parts))}"
