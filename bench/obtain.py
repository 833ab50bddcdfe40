"""Layer 4. A data card and the user's request -> the card's files in the cache, before anything is read of them.

Fetches what the source that is about to be taken lacks, and nothing into a directory of the user's own. What
cannot be fetched is told; which source is taken then, `bench.sources` decides by what is there.
"""

from __future__ import annotations

from bench.cards import DatasetCard, DirectorySource
from bench.errors import DataError
from bench.fetch import FileReport, Patience, Watch, absent, examine, fetch
from bench.sources.load import refuse_misplaced
from bench.sources.locate import find_directory, search_roots
from bench.types import BenchmarkData, DataRequest


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
