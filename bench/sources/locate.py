"""Layer 3. Where data lies, and whether a file is the one that the card means. Reads, never writes."""

from __future__ import annotations

import site
from importlib.machinery import PathFinder
from pathlib import Path

from bench.cards import DataFile
from bench.errors import DataError, UsageError
from bench.fetch.checksums import git_blob
from bench.files import check_plain
from bench.types import DataRequest


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
    if path.exists():
        check_plain(path)
    elif path.is_symlink():
        raise DataError(f"{path} is a link to what is not there. Mend the link, or put the file there.")
    else:
        raise DataError(
            f"{path} is missing, although its directory is there. Complete the directory, or move it away to use "
            "another source."
        )
    return path


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
