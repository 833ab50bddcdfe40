"""Load data sets: a data card and the user's request -> data that is ready to train on.

A source that is present but broken is an error; no other source silently replaces it. `fetch_missing` and
`prepare` fetch the files of a card into the cache, never into a directory of the user's own. All else only reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from bench.core.errors import DataError, UsageError, listed
from bench.core.files import os_errors
from bench.core.hashing import derive_seed, hash_array, hash_value
from bench.core.names import SPLITS, canonical
from bench.core.types import BenchmarkData, DataRequest, Interactions, Modality, Split
from bench.data import cards
from bench.data.cards import DatasetCard, DirectorySource, SourceCard
from bench.data.fetch.collect import FileReport, examine, fetch, missing_files
from bench.data.fetch.transfer import Timeouts, Watch
from bench.data.formats.place import SourceOptions
from bench.data.formats.registry import SOURCES
from bench.data.formats.surrogate import check_scale
from bench.data.pins import places, resolve, search_roots
from bench.data.raw import RawData, merged
from bench.data.split import make_split, shipped_split
from bench.data.split_audit import audit, audit_lines, remarks, warnings

SOURCE_LABELS = {
    "real": "REAL DATA",
    "embedded": "EMBEDDED DATA, real but not the data set of the paper",
    "surrogate": "SURROGATE, GENERATED DATA, whose numbers say nothing about real users",
}


def describe_source(data: BenchmarkData) -> str:
    """Describe the data for the console: source, counts, missing modalities, how to get the real data."""
    alarms = warnings(audit(data.split))
    split, scale = data.split, "" if data.scale is None else f", scale {data.scale:g}"
    lines = [
        f"{data.name}: {SOURCE_LABELS[data.source]}{scale}",
        f"  source     {data.origin}",
        f"  counts     {data.n_users:,} users, {data.n_items:,} items, {data.n_interactions:,} interactions",
        f"  split      {split.name}: {len(split.train):,} training, {len(split.valid):,} validation, "
        f"{len(split.test):,} test",
        *(
            f"  modality   {each.name}: {each.dim} columns, {each.coverage:.1%} of the items; {each.origin}"
            for each in data.modalities
        ),
        *(f"  MISSING    {name}: {reason}" for name, reason in data.missing.items()),
        *(f"  {'WARNING' if note in alarms else 'note':<10} {note}" for note in data.notes),
    ]
    if data.advice:
        lines.append(f"  real data  {data.advice}")
    return "\n".join(lines)


def describe_split(data: BenchmarkData) -> str:
    """List for the console every measure of the split beside what a random split would give."""
    return "\n".join(f"  audit      {line}" for line in audit_lines(audit(data.split)))


def load_dataset(name: str, request: DataRequest) -> BenchmarkData:
    """Load the data set of that name; raises as `load_with_raw`, and for an unknown name or a malformed card.

    Args:
        name: `NAME` or `NAME@SPLIT`; a name without a split takes that of the request.
        request: everything else.
    """
    chosen = cards.choose(name, request.split)
    return load_from_card(chosen.card, replace(request, split=chosen.split))


def load_from_card(card: DatasetCard, request: DataRequest) -> BenchmarkData:
    """Load the data set of a card, without its original ids; see `load_with_raw`."""
    return load_with_raw(card, request)[0]


def load_with_raw(card: DatasetCard, request: DataRequest) -> tuple[BenchmarkData, RawData]:
    """Load a data set, and the `RawData` with its original ids, from the source that request and card select.

    Raises:
        UsageError: the source or split is unknown, the source does not allow the split, a data directory does not
            exist, or the scale is impossible.
        DataError: the requested source is not available, or a file of it is malformed.
    """
    found = resolve(card, request)
    if found is None:
        raise _not_available(card, request)
    seed = derive_seed(request.base_seed, card.name, "surrogate")
    options = SourceOptions(search_roots(request), _scale(request), seed)
    raw = SOURCES[found.source.layout].read_source(found.source, found.directory, options)
    return _with_provenance(card, request, found.source, raw), raw


def _with_provenance(card: DatasetCard, request: DataRequest, source: SourceCard, raw: RawData) -> BenchmarkData:
    """Split the content of a source, and return it with its provenance."""
    split = _split(card, source, raw, request)
    modalities = _ordered(card, raw)
    present = {modality.name for modality in modalities}
    missing = {name: "this source does not have it" for name in card.modalities if name not in present}
    scale = None
    audited = audit(split)
    notes = [*raw.notes, *_overlap_notes(raw, split), *_split_notes(split), *_coverage_notes(modalities)]
    notes += [*warnings(audited), *remarks(audited)]
    if source.kind == "surrogate":
        scale = _scale(request)
    elif request.scale is not None:
        check_scale(request.scale)
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
    """Return the scale at which a surrogate is generated."""
    return request.default_scale if request.scale is None else request.scale


def _not_available(card: DatasetCard, request: DataRequest) -> DataError:
    """Return the error that no requested source is available: where it was looked for, and how to get it."""
    roots = search_roots(request)
    candidates = [source for source in card.sources if request.source in ("auto", source.kind)]
    looked = [place for source in candidates for place in places(source, roots)]
    return DataError(
        f"The data set '{card.name}' is not available from the source '{request.source}'. Looked for: "
        f"{listed(looked)}. {' '.join(' '.join(source.how_to_get.split()) for source in candidates)}"
    )


def _split(card: DatasetCard, source: SourceCard, raw: RawData, request: DataRequest) -> Split:
    """Make the parts by the requested rule, else by the rule of the card."""
    rule = request.split or card.split
    whole = raw.whole
    lacks = {} if raw.has_parts else {"shipped": "parts that the publisher made"}
    lacks |= {} if whole.timestamps is not None else {"global_time": "the time of each interaction"}
    if rule in lacks:
        possible = [name for name in SPLITS if name not in lacks]
        raise UsageError(
            f"The split '{rule}' needs {lacks[rule]}, and the {source.kind} source of '{card.name}' has none "
            f"({' '.join(source.title.split())}). Its splits: {listed(possible)}. Use for example "
            f"'{canonical(card.name, possible[0], card.split)}', or another source with --source."
        )
    if rule == "shipped":
        return shipped_split(*raw.parts)
    return make_split(whole, rule, derive_seed(request.base_seed, card.name, "split"))


def _ordered(card: DatasetCard, raw: RawData) -> tuple[Modality, ...]:
    """Return the modalities in the card's order, then those that only this source has."""
    by_name = {modality.name: modality for modality in raw.modalities}
    order = [name for name in card.modalities if name in by_name]
    return tuple(by_name[name] for name in dict.fromkeys([*order, *by_name]))


def _overlap_notes(raw: RawData, split: Split) -> list[str]:
    """Note that the publisher's parts share interactions, if they are merged."""
    n = sum(map(len, raw.parts)) - len(raw.whole)
    if not n or split.name == "shipped":
        return []
    return [f"{n:,} user-item pairs are in two of the publisher's parts; they count once here."]


def _split_notes(split: Split) -> list[str]:
    """Note the items and users that training never sees."""
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
    """Note how many items lack a modality that others have."""
    return [
        f"{(~modality.present).sum():,} of {len(modality.present):,} items lack the {modality.name} modality."
        for modality in modalities
        if not modality.present.all()
    ]


def data_hash(whole: Interactions, modalities: Iterable[Modality]) -> str:
    """Return the hash of interactions and features, which does not depend on the split."""
    features = [[modality.name, modality.fingerprint] for modality in modalities]
    return hash_value([whole.n_users, whole.n_items, hash_array(whole.keys), features])


def _advice(card: DatasetCard, source: SourceCard) -> str:
    """Say how to get the real data, if this is not the real data."""
    real = next((one for one in card.sources if one.kind == "real"), None)
    return "" if real is None or source.kind == "real" else " ".join(real.how_to_get.split())


def source_to_fetch(card: DatasetCard, request: DataRequest) -> DirectorySource | None:
    """Return the source that the request selects if files of it are to be fetched, else None. Nothing is fetched.

    Raises:
        UsageError: the source is unknown, a data directory does not exist, or is the folder of the files
            instead of the one above it.
        DataError: a file is in the place of a directory.
    """
    found = resolve(card, request, fetchable=True)
    if found is None or found.is_own or not isinstance(found.source, DirectorySource):
        return None
    download = found.source.download
    return found.source if download is not None and missing_files(download, found.directory) else None


def fetch_missing(card: DatasetCard, request: DataRequest, timeouts: Timeouts, watch: Watch) -> DataError | None:
    """Fetch the files that the source selected by the request lacks in the cache.

    Returns:
        Why they could not be fetched; None if they were, or if there was nothing to fetch.

    Raises:
        UsageError: the source is unknown, a data directory does not exist, or is the folder of the files
            instead of the one above it.
        DataError: they could not be fetched, and no other source is allowed; or a file is in the place of a
            directory.
    """
    source = source_to_fetch(card, request)
    if source is None or source.download is None:
        return None
    try:
        fetch(source.download, request.cache_dir, source.directory, timeouts, watch)
    except DataError as problem:
        if request.source != "auto":
            raise
        return problem
    return None


def fallback_warning(problem: DataError, data: BenchmarkData) -> str:
    """Return the warning that other data is used in place of what could not be fetched."""
    return (
        f"WARNING, {data.name}: {problem} Used instead: {data.source} data, {data.origin}. "
        "--source real makes this an error, --offline does not try the network."
    )


def prepare(
    card: DatasetCard, request: DataRequest, timeouts: Timeouts, watch: Watch, offline: bool
) -> list[FileReport]:
    """Fetch and check all files of a card's download; with `offline` only check them.

    Returns:
        What became of each file; empty if the card has no download.

    Raises:
        DataError: a file cannot be fetched, or cannot be read.
    """
    reports = []
    for source in card.sources:
        if not isinstance(source, DirectorySource) or source.download is None:
            continue
        if not offline:
            reports += fetch(source.download, request.cache_dir, source.directory, timeouts, watch, check=True)
            continue
        directory = request.cache_dir / source.directory
        with os_errors(f"{directory} cannot be read", "Correct its permissions.", DataError):
            reports += examine(source.download, directory)
    return reports
