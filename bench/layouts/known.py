"""Layer 4. Whether data is one that has a card, and what to call it otherwise. Reads cards and files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import cards
from bench.cards import DataFile, DirectorySource, SourceCard
from bench.fetch.checksums import git_blob
from bench.layouts.next_steps import link_command, run_command
from bench.sources.raw import RawData, count_facts
from bench.sources.versions import Difference, count_differences, exchanged, table_of


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
