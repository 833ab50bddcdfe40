"""Layer 3. Whether data is the version that a card names: its checksums, dims and counts. Reads, never writes.

Everything that differs is told at once, as a table of expected and found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.cards import Counts, DataFile, FeatureFile
from bench.errors import DataError
from bench.fetch.checksums import git_blob
from bench.sources.raw import RawData, count_facts


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
