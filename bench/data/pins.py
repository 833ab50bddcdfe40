"""Find the source of a data card, and compare its files with the card's checksums, dims and counts. Reads only.

All differences are reported at once, as a table of expected and found.
"""

from __future__ import annotations

import hashlib
import os
import site
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from bench.core.errors import DataError, UsageError, listed, unknown_name
from bench.core.files import check_plain, leads_to_itself, os_errors
from bench.core.types import DataRequest
from bench.data.cards import (
    Counts,
    DataFile,
    DatasetCard,
    DirectorySource,
    FeatureFile,
    Ml100kSource,
    RemoteFile,
    SourceCard,
)
from bench.data.raw import RawData, count_facts


def git_blob(path: Path) -> str:
    """Return git's blob id of a file: 40 hexadecimal digits.

    It is the sha1 of "blob <size>", a zero byte and the content. Public repositories list it for every file.

    Raises:
        DataError: it is not a regular file, or is sparse.
        OSError: it cannot be read.
    """
    check_plain(path)
    # Not for security: builds of Python for FIPS refuse sha1 otherwise.
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Checksums:
    """Git blob ids of the files of one load. Each file is hashed once, when its id is first asked for."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """Return the id of a file.

        Raises:
            DataError: it cannot be read, is not a regular file, or is sparse.
        """
        if path not in self._known:
            with os_errors(f"{path} cannot be read", "Correct its permissions.", DataError):
                self._known[path] = git_blob(path)
        return self._known[path]


def mismatch(path: Path, remote: RemoteFile) -> str | None:
    """Return how a file differs from its entry in the card, in words, or None if it does not.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"it has {size:,} bytes, expected {remote.size:,}"
    for name, expected in (("git_blob", remote.git_blob), ("sha256", remote.sha256), ("md5", remote.md5)):
        if expected is not None:
            found = git_blob(path) if name == "git_blob" else _hex_digest(path, name)
            if found != expected:
                return f"its {name} is {found}, expected {expected}"
    return None


def _hex_digest(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


@dataclass(frozen=True)
class Located:
    """A source of a card and where it is.

    Attributes:
        source: the source.
        directory: of its files; for generated data, which has no files, the cache.
        is_own: whether the directory is below a data directory of the user, into which nothing is fetched.
    """

    source: SourceCard
    directory: Path
    is_own: bool = False


def resolve(card: DatasetCard, request: DataRequest, fetchable: bool = False) -> Located | None:
    """Return the first source that the request allows and that is available, or None.

    What is to be fetched and what is read are both found here, so that they are the same.

    Args:
        card: the data card.
        request: source, data directories and cache of the user.
        fetchable: whether a source that is absent, but can be fetched into the cache, counts as available.

    Raises:
        UsageError: the source is unknown, a data directory does not exist, or is the folder of the files
            instead of the one above it.
        DataError: a file is in the place of a directory.
    """
    search_roots(request)  # raises if a data directory does not exist
    if request.source != "auto" and request.source not in card.kinds:
        raise unknown_name(f"source of '{card.name}'", request.source, ["auto", *card.kinds])
    for source in card.sources:
        found = _locate(source, request, fetchable) if request.source in ("auto", source.kind) else None
        if found is not None:
            return found
    return None


def _locate(source: SourceCard, request: DataRequest, fetchable: bool) -> Located | None:
    """Return where a source is, or None if it is absent."""
    if isinstance(source, DirectorySource):
        own = find_directory(source.directory, request.data_dirs)
        if own is not None:
            return Located(source, own, is_own=True)
        _refuse_misplaced(source, request.data_dirs)
        cached = find_directory(source.directory, (request.cache_dir,))
        if cached is None and fetchable and source.download is not None:
            cached = request.cache_dir / source.directory
        return None if cached is None else Located(source, cached)
    if isinstance(source, Ml100kSource):
        directory = package_directory(source.package, source.directory)
        return None if directory is None else Located(source, directory)
    return Located(source, request.cache_dir)


def _refuse_misplaced(source: DirectorySource, data_dirs: tuple[Path, ...]) -> None:
    """Refuse a data directory that holds the files itself, as its parent should hold their folder.

    Otherwise other data would be used in spite of them.
    """
    for root in data_dirs:
        misplaced = [file.path for file in source.features.values() if (root / file.path).exists()]
        if misplaced:
            raise UsageError(
                f"--data-dir {root} holds {listed(misplaced)} itself, but data is looked for in "
                f"{root / source.directory}. Pass the directory above it, with the files in its "
                f"folder '{source.directory}'."
            )


def places(source: SourceCard, roots: tuple[Path, ...]) -> list[str]:
    """Return where a source is looked for, in words."""
    if isinstance(source, DirectorySource):
        return [str(root / source.directory) for root in roots]
    if isinstance(source, Ml100kSource):
        return [f"{source.directory} in the Python package {source.package}"]
    return []


def search_roots(request: DataRequest) -> tuple[Path, ...]:
    """Return the directories to search, in order: those that the user named, then the cache.

    Raises:
        UsageError: a directory that the user named does not exist.
    """
    for directory in request.data_dirs:
        if not directory.is_dir():
            raise UsageError(
                f"--data-dir {directory}: there is no such directory. Create it, or leave the option out to use "
                "what is embedded or generated."
            )
    return (*request.data_dirs, request.cache_dir)


def find_directory(directory: str, roots: tuple[Path, ...]) -> Path | None:
    """Return the first directory `<root>/<directory>` that exists, or None.

    Raises:
        DataError: the path exists and is not a directory.
    """
    for root in roots:
        place = root / directory
        if place.is_dir():
            return place
        if place.exists():
            raise DataError(
                f"{place} must be a directory with the data files, but it is a file. Rename or remove it."
            )
    return None


def package_directory(package: str, directory: str) -> Path | None:
    """Return a directory inside an installed package, or None, without importing anything."""
    # Search only where packages are installed: the working directory or PYTHONPATH could hold a package of that
    # name, and importlib's usual search for `a.b` runs the code of `a`.
    places = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    name = ""
    for part in package.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = PathFinder.find_spec(name, places)
        places = list(spec.submodule_search_locations or []) if spec else []
    for root in places:
        place = Path(root) / directory
        if place.is_dir():
            return place
    return None


def existing_path(directory: Path, file: DataFile) -> Path:
    """Return the path of a file of the card.

    Raises:
        DataError: the file is missing or unreadable.
    """
    path = directory / file.path
    if path.exists() and not path.is_dir():
        check_plain(path)
    if not path.is_file():
        if os.path.lexists(path):
            raise DataError(f"{path} is {describe_non_file(path)}. Put the file itself there.")
        raise DataError(
            f"{path} is missing, although its directory exists. Complete the directory, or move it away to use "
            "another source."
        )
    if not os.access(path, os.R_OK):
        raise DataError(f"{path} cannot be read. Correct its permissions.")
    return path


def describe_non_file(path: Path) -> str:
    """Say what a path is that is not a file, and for a broken link what to do."""
    if path.is_symlink() and not path.exists():
        if leads_to_itself(path):
            return "a link that leads back to itself. Remove the link, or give another path"
        return (
            f"a link to {path.readlink()}, which does not exist. Fetch what it points to ('git annex get', 'dvc "
            "pull', 'git lfs pull' and the like, where such a tool made the link), or remove the link"
        )
    return "a folder, not a file" if path.is_dir() else "a pipe, socket or device, not a file"


def checked_path(directory: Path, file: DataFile, checksums: Checksums) -> Path:
    """Return the path of a file of the card after verifying its checksum, if the card has one.

    Raises:
        DataError: the file is missing, unreadable, or not the one of the card.
    """
    path = existing_path(directory, file)
    if file.git_blob is not None and checksums.of(path) != file.git_blob:
        raise DataError(
            f"{path} is not the file of the data card: its checksum (git blob id) is {checksums.of(path)}, "
            f"expected {file.git_blob}. It is damaged or of another version: fetch it again "
            "('ludp-bench prepare NAME' does so if it is in the cache), or remove it."
        )
    return path


@dataclass(frozen=True)
class Difference:
    """One line of the table of differences."""

    what: str
    expected: str
    found: str


class CardComparison:
    """Comparison of a directory with everything that its data card pins.

    Checksums are compared at once, columns and counts when the data has been read.

    Args:
        source: the source in the data card.
        directory: of its files; those that are absent are not compared.
        files: the files of the card that hold no features.

    Attributes:
        checksums: of the files, as far as they are known.

    Raises:
        DataError: a file cannot be read.
    """

    def __init__(self, source: DirectorySource, directory: Path, files: Iterable[DataFile] = ()) -> None:
        self.checksums = Checksums()
        self._source, self._directory = source, directory
        pinned = [*files, *source.features.values()]
        self._differences = file_differences(directory, pinned, self.checksums)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Add the checksums that differ to a DataError that is raised while the files are read."""
        try:
            yield
        except DataError as problem:
            if self._differences:
                message = _version_error(self._directory, self._differences, str(problem))
                raise DataError(message) from problem
            raise

    def finish(self, raw: RawData) -> RawData:
        """Return the data that was read, after comparing its columns and counts too.

        Raises:
            DataError: something differs from the card.
        """
        earlier = self._differences + dim_differences(self._source.features, raw)
        check_counts(self._directory, self._source.expected, raw, earlier)
        return raw


def check_counts(where: Path, expected: Counts, raw: RawData, earlier: Sequence[Difference] = ()) -> None:
    """Compare the counts with those of the card.

    Args:
        where: the directory.
        expected: the counts on the card.
        raw: the data.
        earlier: what differs besides the counts; none if checksums were verified already.

    Raises:
        DataError: a count differs, or something did earlier.
    """
    differences = [*earlier, *count_differences(expected, raw)]
    if differences:
        raise DataError(_version_error(where, differences, exchanged(expected, raw)))


def file_differences(where: Path, files: Iterable[DataFile], checksums: Checksums) -> list[Difference]:
    """Return the existing files whose checksum differs from that of the card.

    Raises:
        DataError: a file cannot be read.
    """
    differences = []
    for file in files:
        path = where / file.path
        if file.git_blob is not None and path.is_file():
            found = checksums.of(path)
            if found != file.git_blob:
                differences.append(Difference(f"{file.path}, checksum (git blob id)", file.git_blob, found))
    return differences


def dim_differences(features: Mapping[str, FeatureFile], raw: RawData) -> list[Difference]:
    """Return the modalities with another number of columns than on the card."""
    dims = {modality.name: modality.dim for modality in raw.modalities}
    return [
        Difference(f"{file.path}, columns", f"{file.dim:,}", f"{dims[name]:,}")
        for name, file in features.items()
        if name in dims and file.dim not in (None, dims[name])
    ]


def count_differences(expected: Counts, raw: RawData) -> list[Difference]:
    """Return the counts that differ from the card.

    Counts that do not apply, such as part sizes of data without parts, are skipped.
    """
    found = count_facts(raw)
    return [
        Difference(name, f"{count:,}", f"{found[name]:,}")
        for name, count in expected.model_dump(exclude_none=True).items()
        if name in found and found[name] != count
    ]


def exchanged(expected: Counts, raw: RawData) -> str:
    """Return a note if the validation and test parts have each other's sizes, else "".

    Some publishers exchange the two files.
    """
    found = count_facts(raw)
    card_sizes, sizes = (expected.n_valid, expected.n_test), (found.get("n_valid"), found.get("n_test"))
    if None in card_sizes or card_sizes[0] == card_sizes[1] or sizes != card_sizes[::-1]:
        return ""
    return (
        f"The validation and test parts are exchanged: the card has {card_sizes[0]:,} and {card_sizes[1]:,} "
        f"interactions there, this data has {sizes[0]:,} and {sizes[1]:,}. Their scores are not comparable; "
        "exchange the two files."
    )


def differences_table(differences: Iterable[Difference]) -> str:
    """Return the differences as aligned lines."""
    from tabulate import tabulate

    rows = [(one.what, one.expected, one.found) for one in differences]
    headers = ("", "expected", "found")
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, stralign="left")


def _version_error(where: Path, differences: list[Difference], remark: str) -> str:
    advice = (
        "It is damaged or of another version: fetch it again from where the card says, or import it under a name "
        f"of its own with 'ludp-bench import {where} --name NAME'."
    )
    return (
        f"{where} does not match the data card. {advice} {remark}".rstrip() + f"\n{differences_table(differences)}"
    )
