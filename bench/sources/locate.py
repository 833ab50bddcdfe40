"""Layer 3. Where data lies, and whether a file is the one that the card means. Reads, never writes."""

from __future__ import annotations

import os
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
