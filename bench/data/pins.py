r"""Whether a file is the one that a card means. Reads, never writes.

Git blob ids, sha1 of "blob <size>\0" + content, are what public repositories list for every file.

Where data lies, and whether a file is the one that the card means. Reads, never writes.

Whether data is the version that a card names: its checksums, dims and counts. Reads, never writes.

Everything that differs is told at once, as a table of expected and found.
"""

from __future__ import annotations

import hashlib
import os
import site
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from bench.core.errors import DataError, UsageError
from bench.core.files import check_plain
from bench.core.types import DataRequest
from bench.data.cards import Counts, DataFile, FeatureFile, RemoteFile
from bench.data.raw import RawData, count_facts


def git_blob(path: Path) -> str:
    """Git's id of a file: 40 hexadecimal digits.

    Raises:
        DataError: it is no file, or made of holes.
        OSError: it cannot be read.
    """
    check_plain(path)
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mismatch(path: Path, remote: RemoteFile) -> str | None:
    """In what a file differs from what the card says of it, in words; None if in nothing.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"it has {size:,} bytes, expected {remote.size:,}"
    for name, expected in (("git_blob", remote.git_blob), ("sha256", remote.sha256), ("md5", remote.md5)):
        if expected is not None:
            found = git_blob(path) if name == "git_blob" else _plain(path, name)
            if found != expected:
                return f"its {name} is {found}, expected {expected}"
    return None


def _plain(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


def search_roots(request: DataRequest) -> tuple[Path, ...]:
    """Directories to search, in order: those that the user named, then the cache.

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
    """The first of the places `<root>/<directory>` that exists.

    Raises:
        DataError: it exists and is no directory.
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
    """A directory inside an installed package, found without importing anything.

    Only the places where packages are installed count: the working directory and PYTHONPATH could hold a package
    of the same name, and to look for `a.b` in the usual way runs the code of `a`.
    """
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
    """Where a file of the card lies.

    Raises:
        DataError: the file is missing.
    """
    path = directory / file.path
    if path.exists() and not path.is_dir():
        check_plain(path)
    if not path.is_file():
        if os.path.lexists(path):
            raise DataError(f"{path} is {what_else(path)}. Put the file itself there.")
        raise DataError(
            f"{path} is missing, although its directory is there. Complete the directory, or move it away to use "
            "another source."
        )
    return path


def what_else(path: Path) -> str:
    """What stands at a path where a file is expected, and what to do of it."""
    if path.is_symlink() and not path.exists():
        return (
            f"a link to {path.readlink()}, which is not there. Fetch what it points to ('git annex get', 'dvc "
            "pull', 'git lfs pull' and the like, where such a tool made the link), or remove the link"
        )
    return "a folder and no file" if path.is_dir() else "a pipe, socket or device and no file"


def checked_path(directory: Path, file: DataFile) -> Path:
    """Where a file of the card lies, after its checksum was verified.

    Raises:
        DataError: the file is missing, unreadable, or not the one that the card means.
    """
    path = existing_path(directory, file)
    try:
        found = git_blob(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Correct its permissions.") from error
    if file.git_blob is not None and found != file.git_blob:
        raise DataError(
            f"{path} is not the file that the data card means: its checksum (git blob id) is {found}, expected "
            f"{file.git_blob}. It is damaged or of another version: fetch it again "
            "('ludp-bench prepare NAME' does, where it lies in the cache), or remove it."
        )
    return path


@dataclass(frozen=True)
class Difference:
    """One line of the table."""

    what: str
    expected: str
    found: str


def of_one_version(
    where: Path,
    files: Iterable[DataFile],
    features: Mapping[str, FeatureFile],
    expected: Counts,
    read: Callable[[], RawData],
) -> RawData:
    """What `read` gives, after it was compared with everything that the card pins.

    Args:
        where: the directory of the files.
        files: those without features.
        features: feature files by modality; those that are absent are not compared.
        expected: counts of the card.
        read: reads the directory without comparing anything.

    Raises:
        DataError: a file cannot be read, or something differs from the card.
    """
    differences = file_differences(where, [*files, *features.values()])
    try:
        raw = read()
    except DataError as problem:
        if differences:
            raise DataError(_refusal(where, differences, str(problem))) from problem
        raise
    differences += dim_differences(features, raw) + count_differences(expected, raw)
    if differences:
        raise DataError(_refusal(where, differences, exchanged(expected, raw)))
    return raw


def check_counts(where: Path, expected: Counts, raw: RawData) -> None:
    """Compare counts alone, where the files were compared before.

    Raises:
        DataError: a count differs.
    """
    differences = count_differences(expected, raw)
    if differences:
        raise DataError(_refusal(where, differences, exchanged(expected, raw)))


def file_differences(where: Path, files: Iterable[DataFile]) -> list[Difference]:
    """Files that are there and have another checksum than the card says."""
    differences = []
    for file in files:
        path = where / file.path
        if file.git_blob is not None and path.is_file():
            try:
                found = git_blob(path)
            except OSError as problem:
                raise DataError(
                    f"{path} cannot be read: {problem.strerror}. Correct its permissions."
                ) from problem
            if found != file.git_blob:
                differences.append(Difference(f"{file.path}, checksum (git blob id)", file.git_blob, found))
    return differences


def dim_differences(features: Mapping[str, FeatureFile], raw: RawData) -> list[Difference]:
    """Modalities with another number of columns."""
    dims = {modality.name: modality.dim for modality in raw.modalities}
    return [
        Difference(f"{file.path}, columns", f"{file.dim:,}", f"{dims[name]:,}")
        for name, file in features.items()
        if name in dims and file.dim not in (None, dims[name])
    ]


def count_differences(expected: Counts, raw: RawData) -> list[Difference]:
    """Counts that differ; a count that the data cannot have, such as parts that nobody made, is not compared."""
    found = count_facts(raw)
    return [
        Difference(name, f"{count:,}", f"{found[name]:,}")
        for name, count in expected.model_dump(exclude_none=True).items()
        if name in found and found[name] != count
    ]


def exchanged(expected: Counts, raw: RawData) -> str:
    """A sentence where validation and test have each other's sizes, as some publishers exchange them; else ""."""
    found = count_facts(raw)
    theirs, ours = (expected.n_valid, expected.n_test), (found.get("n_valid"), found.get("n_test"))
    if None in theirs or theirs[0] == theirs[1] or ours != theirs[::-1]:
        return ""
    return (
        f"The validation and test parts are exchanged: the card has {theirs[0]:,} and {theirs[1]:,} interactions "
        f"there, this data {ours[0]:,} and {ours[1]:,}. Their scores are not comparable; exchange the two files."
    )


def table_of(differences: Iterable[Difference]) -> str:
    """The differences as aligned lines."""
    from tabulate import tabulate

    rows = [(one.what, one.expected, one.found) for one in differences]
    headers = ("", "expected", "found")
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, stralign="left")


def _refusal(where: Path, differences: list[Difference], remark: str) -> str:
    advice = (
        "It is damaged or of another version: fetch it again from where the card says, or import it under a name "
        f"of its own with 'ludp-bench import {where} --name NAME'."
    )
    return (
        f"{where} does not hold what the data card means. {advice} {remark}".rstrip()
        + f"\n{table_of(differences)}"
    )
