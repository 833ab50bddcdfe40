"""What is said about a data set before anything is computed with it. Pure.

A data card and the user's request -> data that is ready to run. Reads, never writes.

A source that is there and broken is an error; it is never passed over for another one.

A data card and the user's request -> the card's files in the cache, before anything is read of them.

Fetches what the source that is about to be taken lacks, and nothing into a directory of the user's own. What
cannot be fetched is told; which source is taken then, `bench.sources` decides by what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.core.errors import DataError, UsageError, listed, unknown_name
from bench.core.hashing import derive_seed, hash_array, hash_value
from bench.core.names import SPLITS, canonical
from bench.core.types import BenchmarkData, DataRequest, Interactions, Modality, Split
from bench.data import cards
from bench.data.cards import (
    DatasetCard,
    DirectorySource,
    Ml100kSource,
    MmrecSource,
    NormalisedSource,
    PickledCooSource,
    RatingsSource,
    SourceCard,
    SurrogateSource,
)
from bench.data.fetch.collect import FileReport, absent, examine, fetch
from bench.data.fetch.transfer import Patience, Watch
from bench.data.formats import ml100k, mmrec, normalised, pickled, ratings, surrogate
from bench.data.pins import find_directory, package_directory, search_roots
from bench.data.raw import RawData, merged
from bench.data.split import make_split, shipped_split
from bench.data.split_audit import audit, audit_lines, remarks, warnings

LOUD = {
    "real": "REAL DATA",
    "embedded": "EMBEDDED DATA, real but not the data set of the paper",
    "surrogate": "SURROGATE, GENERATED DATA, whose numbers say nothing about real users",
}


def describe_source(data: BenchmarkData) -> str:
    """The paragraph for the console: source, counts, missing modalities, and how to get the real data."""
    warned = warnings(audit(data.split))
    split, scale = data.split, "" if data.scale is None else f", scale {data.scale:g}"
    lines = [
        f"{data.name}: {LOUD[data.source]}{scale}",
        f"  source     {data.origin}",
        f"  counts     {data.n_users:,} users, {data.n_items:,} items, {data.n_interactions:,} interactions",
        f"  split      {split.name}: {len(split.train):,} training, {len(split.valid):,} validation, "
        f"{len(split.test):,} test",
        *(
            f"  modality   {one.name}: {one.dim} columns, {one.coverage:.1%} of the items; {one.origin}"
            for one in data.modalities
        ),
        *(f"  MISSING    {name}: {reason}" for name, reason in data.missing.items()),
        *(f"  {'WARNING' if note in warned else 'note':<10} {note}" for note in data.notes),
    ]
    if data.advice:
        lines.append(f"  real data  {data.advice}")
    return "\n".join(lines)


def describe_split(data: BenchmarkData) -> str:
    """Every measure of the split beside what a random one would give, for the console."""
    return "\n".join(f"  audit      {line}" for line in audit_lines(audit(data.split)))


Reader = Callable[[], RawData]


def load_dataset(name: str, request: DataRequest) -> BenchmarkData:
    """Load the data set of that name, from the source that the request and the card lead to.

    Args:
        name: `NAME` or `NAME@SPLIT`; the request's split is for a name that says none.
        request: everything else.

    Raises:
        UsageError: unknown name or source, a split that does not exist or cannot be made of the source, no such
            --data-dir, or an impossible scale.
        ConfigError: the data card is malformed.
        DataError: the source asked for is not available, or a file of it is malformed.
    """
    chosen = cards.choose(name, request.split)
    return load_from_card(chosen.card, replace(request, split=chosen.split))


def load_from_card(card: DatasetCard, request: DataRequest) -> BenchmarkData:
    """As `load_dataset`, for a card at hand."""
    return load_with_raw(card, request)[0]


def load_with_raw(card: DatasetCard, request: DataRequest) -> tuple[BenchmarkData, RawData]:
    """The same, and what it was made of, which knows the original ids."""
    source, read = _choose(card, request)
    raw = read()
    return _ready(card, request, source, raw), raw


def _ready(card: DatasetCard, request: DataRequest, source: SourceCard, raw: RawData) -> BenchmarkData:
    """What the source holds, split, with its provenance."""
    split = _split(card, source, raw, request)
    modalities = _ordered(card, raw)
    present = {modality.name for modality in modalities}
    missing = {name: "this source does not have it" for name in card.modalities if name not in present}
    scale = None
    found = audit(split)
    notes = [*raw.notes, *_overlap_notes(raw, split), *_split_notes(split), *_coverage_notes(modalities)]
    notes += [*warnings(found), *remarks(found)]
    if source.kind == "surrogate":
        scale = _scale(request)
    elif request.scale is not None:
        notes.append(
            f"--scale {request.scale:g} was ignored: it sizes surrogates, and this source is {source.kind}."
        )
    return BenchmarkData(
        name=canonical(card.name, split.name, card.split),
        source=source.kind,
        origin=" ".join(raw.origin.split()),
        split=split,
        modalities=modalities,
        data_hash=data_hash(merged((split.train, split.valid, split.test)), modalities),
        split_hash=hash_value(
            [split.name, *(hash_array(part.keys) for part in (split.train, split.valid, split.test))]
        ),
        missing=missing | dict(raw.missing),
        notes=tuple(notes),
        advice=_advice(card, source),
        scale=scale,
    )


def _scale(request: DataRequest) -> float:
    """The scale that a surrogate is made at."""
    return request.default_scale if request.scale is None else request.scale


def _choose(card: DatasetCard, request: DataRequest) -> tuple[SourceCard, Reader]:
    """The first source that is asked for and available, with what reads it."""
    roots = search_roots(request)
    if request.source != "auto" and request.source not in card.kinds:
        raise unknown_name(f"source of '{card.name}'", request.source, ["auto", *card.kinds])
    asked = [source for source in card.sources if request.source in ("auto", source.kind)]
    for source in asked:
        read = _reader(card, source, request, roots)
        if read is not None:
            return source, read
    places = [place for source in asked for place in _places(source, roots)]
    raise DataError(
        f"The data set '{card.name}' is not available from the source '{request.source}'. Looked for: "
        f"{listed(places)}. {' '.join(' '.join(source.how_to_get.split()) for source in asked)}"
    )


def _places(source: SourceCard, roots: tuple[Path, ...]) -> list[str]:
    """Where a source is looked for, in words."""
    if isinstance(source, Ml100kSource):
        return [f"{source.directory} in the Python package {source.package}"]
    return [] if isinstance(source, SurrogateSource) else [str(root / source.directory) for root in roots]


def _reader(card: DatasetCard, source: SourceCard, request: DataRequest, roots: tuple[Path, ...]) -> Reader | None:
    """What reads the source, or None where it is not available."""
    if isinstance(source, DirectorySource):
        directory = find_directory(source.directory, roots)
        if directory is None:
            refuse_misplaced(source, request.data_dirs)
            return None
        return _directory_reader(source, directory)
    if isinstance(source, Ml100kSource):
        directory = package_directory(source.package, source.directory)
        return None if directory is None else partial(ml100k.read_source, source, directory, roots)
    seed = derive_seed(request.base_seed, card.name, "surrogate")
    return partial(surrogate.generate, source, _scale(request), seed)


def _directory_reader(source: DirectorySource, directory: Path) -> Reader | None:
    """What reads a directory of files."""
    if isinstance(source, PickledCooSource):
        return partial(pickled.read_source, source, directory)
    if isinstance(source, MmrecSource):
        return partial(mmrec.read_source, source, directory)
    if isinstance(source, RatingsSource):
        return partial(ratings.read_source, source, directory)
    return partial(normalised.read_source, source, directory) if isinstance(source, NormalisedSource) else None


def refuse_misplaced(source: DirectorySource, data_dirs: tuple[Path, ...]) -> None:
    """Stop rather than use a surrogate when the user named the files' own directory instead of its parent."""
    for root in data_dirs:
        found = [file.path for file in source.features.values() if (root / file.path).exists()]
        if found:
            raise UsageError(
                f"--data-dir {root} holds {listed(found)} itself, but data is looked for in "
                f"{root / source.directory}. Pass the directory above it, with the files in its "
                f"folder '{source.directory}'."
            )


def _split(card: DatasetCard, source: SourceCard, raw: RawData, request: DataRequest) -> Split:
    """Make the parts by the rule that was asked for, else by the card's; one that cannot be kept is an error."""
    rule = request.split or card.split
    whole = raw.whole
    lacking = {} if raw.has_parts else {"shipped": "parts that the publisher made"}
    lacking |= {} if whole.timestamps is not None else {"global_time": "the time of each interaction"}
    if rule in lacking:
        possible = [name for name in SPLITS if name not in lacking]
        raise UsageError(
            f"The split '{rule}' needs {lacking[rule]}, and the {source.kind} source of '{card.name}' has none "
            f"({' '.join(source.title.split())}). Its splits: {listed(possible)}. Take for example "
            f"'{canonical(card.name, possible[0], card.split)}', or another source with --source."
        )
    if rule == "shipped":
        return shipped_split(*raw.parts)
    return make_split(whole, rule, derive_seed(request.base_seed, card.name, "split"))


def _ordered(card: DatasetCard, raw: RawData) -> tuple[Modality, ...]:
    """The modalities in the card's order, then those that only this source brings."""
    by_name = {modality.name: modality for modality in raw.modalities}
    order = [name for name in card.modalities if name in by_name]
    return tuple(by_name[name] for name in dict.fromkeys([*order, *by_name]))


def _overlap_notes(raw: RawData, split: Split) -> list[str]:
    """Say that parts of the publisher's share interactions, where they are merged."""
    n = sum(map(len, raw.parts)) - len(raw.whole)
    if not n or split.name == "shipped":
        return []
    return [f"{n:,} user-item pairs are in two of the publisher's parts; they count once here."]


def _split_notes(split: Split) -> list[str]:
    """What a reader must know of a split: items and users that training never sees."""
    train = split.train
    notes = []
    cold = np.bincount(train.items, minlength=train.n_items) == 0
    if cold.any():
        held_out = {
            name: int(cold[part.items].sum()) for name, part in (("validation", split.valid), ("test", split.test))
        }
        shares = " and ".join(
            f"{count:,} {name} interactions ({count / len(part):.1%})"
            for (name, count), part in zip(held_out.items(), (split.valid, split.test), strict=True)
        )
        notes.append(
            f"{cold.sum():,} of {train.n_items:,} items are never seen in training; {shares} are of such items."
        )
    silent = np.diff(train.offsets) == 0
    if silent.any():
        tested = len(np.intersect1d(np.flatnonzero(silent), split.test.users))
        notes.append(f"{silent.sum():,} users have no training interaction; {tested:,} of them have test items.")
    return notes


def _coverage_notes(modalities: tuple[Modality, ...]) -> list[str]:
    """Items that lack a modality which others have."""
    return [
        f"{(~modality.present).sum():,} of {len(modality.present):,} items lack the {modality.name} modality."
        for modality in modalities
        if not modality.present.all()
    ]


def data_hash(whole: Interactions, modalities: Iterable[Modality]) -> str:
    """Hash of interactions and features; the same whatever the split."""
    features = [[modality.name, modality.fingerprint] for modality in modalities]
    return hash_value([whole.n_users, whole.n_items, hash_array(whole.keys), features])


def _advice(card: DatasetCard, source: SourceCard) -> str:
    """How to get the real data, where this is not the real data."""
    real = next((one for one in card.sources if one.kind == "real"), None)
    return "" if real is None or source.kind == "real" else " ".join(real.how_to_get.split())


def to_fetch(card: DatasetCard, request: DataRequest) -> DirectorySource | None:
    """The source that the request leads to, if files of it are to be fetched; nothing is.

    Raises:
        UsageError: a data directory does not exist, or is the files' own one.
    """
    search_roots(request)
    for source in card.sources:
        if request.source not in ("auto", source.kind):
            continue
        if (
            not isinstance(source, DirectorySource)
            or find_directory(source.directory, request.data_dirs) is not None
        ):
            return None
        refuse_misplaced(source, request.data_dirs)
        place = request.cache_dir / source.directory
        if source.download is not None:
            return source if absent(source.download, place) else None
        if place.exists():
            return None
    return None


def obtain(card: DatasetCard, request: DataRequest, patience: Patience, watch: Watch) -> DataError | None:
    """Fetch what the source that the request leads to lacks in the cache.

    Returns:
        Why it could not be fetched; None if it could, or nothing was to fetch.

    Raises:
        UsageError: a data directory does not exist, or is the files' own one.
        DataError: it could not be fetched, and no other source was allowed.
    """
    source = to_fetch(card, request)
    if source is None or source.download is None:
        return None
    try:
        fetch(source.download, request.cache_dir, source.directory, patience, watch)
    except DataError as problem:
        if request.source != "auto":
            raise
        return problem
    return None


def fallback(problem: DataError, data: BenchmarkData) -> str:
    """The warning that other data is used than what could not be fetched."""
    return (
        f"WARNING, {data.name}: {problem} Used instead: {data.source} data, {data.origin}. "
        "--source real makes this an error, --offline tries no network."
    )


def prepare(
    card: DatasetCard, request: DataRequest, patience: Patience, watch: Watch, offline: bool
) -> list[FileReport]:
    """Fetch and check all files of a card's download; with `offline` only check.

    Returns:
        What became of each file; nothing if the card names no download.

    Raises:
        DataError: a file cannot be fetched, or cannot be read.
    """
    reports = []
    for source in card.sources:
        if not isinstance(source, DirectorySource) or source.download is None:
            continue
        if not offline:
            reports += fetch(source.download, request.cache_dir, source.directory, patience, watch, check=True)
            continue
        try:
            reports += examine(source.download, request.cache_dir / source.directory)
        except OSError as problem:
            raise DataError(f"{problem.filename} cannot be read: {problem.strerror}.") from problem
    return reports
