"""Detection and loading of a user's data: its format, its content, the matching data cards and the next command.

Problems of feature files are collected, so that an inspection can report all of them; a problem of the
interactions is raised at once. Reads files and data cards; writes nothing.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, ConfigError, DataError, UsageError, listed, one_line, unknown_name
from bench.core.files import os_errors, resolved
from bench.data import cards
from bench.data.adjusting import Adjustments, k_core, ordered_keys, read_item_order
from bench.data.card_files import names
from bench.data.cards import DataFile, DatasetCard, DirectorySource, SourceCard
from bench.data.feature_files import read_feature_files
from bench.data.formats.place import Content, Place, in_order, list_place
from bench.data.formats.registry import FORMATS
from bench.data.pins import Difference, count_differences, differences_table, exchanged, git_blob
from bench.data.raw import RawData, check, count_facts
from bench.data.roles import Columns
from bench.data.split import make_split, shipped_split

LONGEST_STEM = 40  # letters of a suggested name without its counts
NAMED = "named with --format"


@dataclass(frozen=True, eq=False)
class Loaded:
    """Data of a user, loaded.

    Attributes:
        place: the path with its files.
        format: name of the format.
        reason: why it is this format.
        raw: interactions and valid modalities, in one order whatever the format.
        problems: problems of the feature files, each with file, row and fix.
        unread: files that are neither interactions nor features, with a reason if it helps.
    """

    place: Place
    format: str
    reason: str
    raw: RawData
    problems: tuple[str, ...]
    unread: tuple[str, ...]


def load_place(
    path: Path,
    format: str | None = None,
    columns: Columns | None = None,
    adjustments: Adjustments | None = None,
) -> Loaded:
    """Load all data at a path.

    Args:
        path: a directory, or one table of interactions.
        format: name of the format; None detects it.
        columns: column options of the user.
        adjustments: options of the user for data in any format.

    Raises:
        UsageError: the path does not exist, the format is unknown, or an option has no effect.
        DataError: no format fits, or the interactions are malformed; the message names the place.
    """
    place = replace(list_place(path, columns or Columns()), adjustments=adjustments or Adjustments())
    try:
        with os_errors(f"{path} cannot be read", "Correct its permissions.", DataError):
            name, reason = detect(place, format)
            content = _in_given_order(place, FORMATS[name].read(place))
            return _adjusted(_with_features(place, name, reason, content))
    except DataError as problem:
        if str(path) in str(problem):  # the message names the file already
            raise
        raise DataError(f"{path}: {problem}") from problem


def detect(place: Place, format: str | None) -> tuple[str, str]:
    """Return the name of the format and the reason for it.

    Raises:
        UsageError: the format is unknown, or column options are given for a format without named columns.
        DataError: no format fits.
    """
    if format is not None:
        if format not in FORMATS:
            raise unknown_name("format", format, FORMATS)
        _check_column_options(place, format)
        return format, NAMED
    for name, module in FORMATS.items():
        reason = module.recognise(place)
        if reason:
            _check_column_options(place, name)
            return name, reason
    raise DataError(" ".join([f"{place.path} holds no interactions in a known format.", *_explained(place)]))


def _explained(place: Place) -> list[str]:
    """Explain why no format fits: what is amiss with files that come near one, else what each format needs."""
    links = [f"{path.name} is {what}." for path, what in place.others if not path.is_dir()]
    reasons = [message for module in FORMATS.values() for message in module.explain(place)]
    advice = "See datasets/README.md, or name the format with --format."
    if reasons:
        return [*reasons, *links, advice]
    needs = "; ".join(f"{name} needs {module.NEEDS}" for name, module in FORMATS.items() if name != "normalised")
    return [
        f"{_list_some(place.files)}.",
        *_suggest_folders(place.path),
        *links,
        f"Formats tried: {needs}. {advice}",
    ]


def _in_given_order(place: Place, content: Content) -> Content:
    """Match the rows of feature files to items by the file of `--item-order`, if there is one."""
    order = place.adjustments.item_order
    if order is None:
        return content
    keys = ordered_keys(order, read_item_order(order, place.columns), content.raw, content.keys)
    own = [path for path in place.files if resolved(path) == resolved(order)]
    return replace(content, keys=keys, used=(*content.used, *own))


def _adjusted(loaded: Loaded) -> Loaded:
    """Take the k-core, if the user asked for one."""
    k = loaded.place.adjustments.k_core
    return loaded if k is None else replace(loaded, raw=k_core(loaded.raw, k))


def _check_column_options(place: Place, format: str) -> None:
    """Raise a UsageError if column options are given for a format without named columns."""
    given = place.columns.given
    if given and not FORMATS[format].TAKES_COLUMNS:
        raise UsageError(
            f"{place.path} is in the format {format}, whose files have no named columns, so that "
            f"{listed(f'{option} {value}' for option, value in given)} has no effect. Leave it out, or name "
            "another format with --format."
        )


def _suggest_folders(path: Path) -> list[str]:
    """Suggest the directories below a path, for a user who named the folder above the data."""
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []
    return [f"If one of {listed(folders[:10])} below it holds the data, give its path."] if folders else []


def _list_some(files: tuple[Path, ...]) -> str:
    """List the first files by name."""
    if not files:
        return "It holds no file"
    more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
    return f"Its files are {listed(path.name for path in files[:10])}{more}"


def _with_features(place: Place, format: str, reason: str, content: Content) -> Loaded:
    """Add the modalities of all feature files to the content of the tables."""
    features = read_feature_files(place, content)
    if place.adjustments.item_order is not None and not features.has_rows_by_position:
        raise UsageError(
            f"--item-order {place.adjustments.item_order} has no effect: no feature file at {place.path} has rows "
            "without ids. Leave it out."
        )
    ordered = in_order(features.modalities.values())
    raw = replace(content.raw, modalities=ordered, notes=(*content.raw.notes, *features.notes))
    return Loaded(place, format, reason, raw, tuple(features.problems), tuple(features.unread))


def import_problems(loaded: Loaded) -> list[str]:
    """Return what prevents an import or a run: broken feature files and invalid parts."""
    return [*loaded.problems, *_split_problems(loaded)]


def _split_problems(loaded: Loaded) -> list[str]:
    """Return the problem of the parts, or of a random split if there are none."""
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


def import_command(
    place: Place, name: str, path: Path | None = None, format: str | None = None, card_dir: Path | None = None
) -> str:
    """Return the command line that imports a place, quoted and with every option.

    Args:
        place: the place, with the column options of the user.
        name: name of the data set.
        path: path to write; None takes the path as the user gave it.
        format: name of the format, if it is to be given.
        card_dir: folder of the card, if it is to be given.
    """
    given = str(path or place.path)
    given = f"./{given}" if given.startswith("-") else given  # else it would be taken for an option
    words = ["ludp-bench", "import", given, "--name", name]
    words += ["--card-dir", str(card_dir)] if card_dir else []
    words += ["--format", format] if format else []
    # a path of another folder is that of a card's command, which is typed anywhere
    adjustments = place.adjustments if path is None else place.adjustments.absolute()
    words += [word for option in (*place.columns.given, *adjustments.given) for word in option]
    return shlex.join(words)


def run_command(
    dataset: str,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    source: str | None = None,
    card_dir: Path | None = None,
) -> str:
    """Return the command line that runs a data set; `source` is given if another one would be preferred."""
    words = ["ludp-bench", "run", "--datasets", dataset]
    words += ["--source", source] if source else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += ["--cache-dir", str(cache_dir)] if cache_dir else []
    words += ["--card-dir", str(card_dir)] if card_dir else []
    return shlex.join(words)


def link_command(path: Path, folder: str) -> str:
    """Return the command that links a directory under the name that a card expects, beside it."""
    return shlex.join(["ln", "-s", str(path), str(path.parent / folder)])


@dataclass(frozen=True)
class Match:
    """Comparison of data with one source of a card.

    Attributes:
        card: name of the card.
        fits: whether every pinned count agrees, no file of the same name has another checksum, and the card
            would read these files.
        text: the comparison as text.
        source: the source of the card.
    """

    card: str
    fits: bool
    text: str
    source: SourceCard

    def advice(self, path: Path) -> str | None:
        """Return the command that runs the card with the data at a path, or None if no command would."""
        if not isinstance(self.source, DirectorySource):
            return run_command(self.card)
        folder = Path(self.source.directory)
        if path.parts[-len(folder.parts) :] == folder.parts:
            return run_command(self.card, path.parents[len(folder.parts) - 1])
        place = path.parent / folder
        if os.path.lexists(place) or not place.parent.is_dir() or not os.access(place.parent, os.W_OK):
            return None
        return f"{link_command(path, str(folder))} && {run_command(self.card, path.parent)}"


def find_matches(
    path: Path, files: Iterable[Path], raw: RawData, format: str, directory: Path
) -> tuple[list[Match], list[str]]:
    """Find the cards that describe this data or another version of it; those that fit come first.

    Args:
        path: path of the data; if it begins with the name of a card, the data counts as a version of that card.
        files: the files at the path.
        raw: content of the files.
        format: format of the files; a card with another format does not fit.
        directory: directory of the cards.

    Returns:
        The matches, and one line for each card that was left out since it is malformed.
    """
    blobs = {file.name: git_blob(file) for file in files}
    matches = []
    sound, malformed = _sound_cards(directory)
    for card in sound:
        for source in card.sources:
            namesake = isinstance(source, DirectorySource) and resolved(path).stem.lower().startswith(card.name)
            match = _match(card.name, source, blobs, raw, namesake)
            if match is not None:
                matches.append(replace(match, fits=match.fits and _is_readable(source, format, set(blobs))))
    return sorted(matches, key=lambda match: not match.fits), malformed


def _sound_cards(directory: Path) -> tuple[list[DatasetCard], list[str]]:
    """Load all cards; return those that are sound, and one line with file and problem for each that is not."""
    sound, malformed = [], []
    for name in names(directory):
        try:
            sound.append(cards.load(name, directory))
        except ConfigError as problem:  # a card that is not about this data must not prevent its inspection
            malformed.append(f"left out, since it is malformed: {one_line(problem, None)}")
    return sound, malformed


def _is_readable(source: SourceCard, format: str, present: set[str]) -> bool:
    """Return whether the card would read these files: they have its format, and no required file is missing."""
    if not isinstance(source, DirectorySource):
        return True  # such a source reads its own copy
    needed = {Path(file.path).name for file in files_of(source) if not getattr(file, "optional", False)}
    return source.layout == format and needed <= present


def _match(name: str, source: SourceCard, blobs: dict[str, str], raw: RawData, namesake: bool) -> Match | None:
    """Compare data with a source; return None if they have nothing in common."""
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
    is_alike = same or all(facts[key] == getattr(expected, key) for key in ("n_users", "n_items"))
    swapped = exchanged(expected, raw)
    if not is_alike and not swapped and not namesake:
        return None
    title = f"{name} ({source.kind})"
    if not counts and not other:
        checksums = f" fit, and the checksums of {len(same)} files" if same else " fit"
        missing = f"; {', '.join(absent)} of it is missing" if same and absent else ""
        text = f"{title}: all counts of its card{checksums}{missing}"
        return Match(name, bool(same) or not pinned, text, source)
    differing = differences_table([*counts, *other])
    return Match(name, False, f"{title}: another version of it. {swapped}".rstrip() + f"\n{differing}", source)


def files_of(source: SourceCard) -> Iterator[DataFile]:
    """Yield every file that a source names."""

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


def describe_card_files(path: Path, directory: Path) -> tuple[str, str] | None:
    """Describe files of a card in a directory without interactions.

    Returns:
        A description and the command that uses the files; None if no card uses a file of the directory.
    """
    for card in _sound_cards(directory)[0]:
        for source in card.sources:
            used = [file.path for file in files_of(source) if "/" in file.path and _lies_in(path, file.path)]
            if used:
                listing, place = ", ".join(Path(file).name for file in used), resolved(path).parent
                return (
                    f"no interactions, but content that the data set {card.name} ({source.kind}) uses: {listing}",
                    run_command(card.name, place, source=source.kind),
                )
    return None


def _lies_in(path: Path, file: str) -> bool:
    """Return whether a card's file, given relative to the parent of a directory, lies in that directory."""
    root = resolved(path).parent
    return (root / file).is_file() and (root / file).resolve().is_relative_to(resolved(path))


def suggested_name(wanted: str, raw: RawData, directory: Path) -> str:
    """Return a free name made of the wanted one and, if needed, the counts, for example `tiktok-9308`."""
    taken = set(names(directory))
    stem = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:LONGEST_STEM].strip("-") or "data"
    base = next((name for name in sorted(taken, key=len) if stem.startswith(name)), stem)
    if stem not in taken and base == stem:
        return stem
    first = raw.parts[0]
    for name in (f"{base}-{first.n_users}", f"{base}-{first.n_users}-{first.n_items}"):
        if name not in taken:
            return name
    return f"{base}-{first.n_users}-{first.n_items}-{sum(map(len, raw.parts))}"
