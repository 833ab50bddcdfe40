"""How a feature matrix was extracted: by what model, library version and weights. Reads the file that it is given.

A JSON file beside a matrix, `text_feat.npy.origin` for `text_feat.npy`, may say it. It holds the checksum of the
one file that it describes.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bench.core.config import Frozen
from bench.core.errors import DataError
from bench.core.files import check_plain, os_errors
from bench.data.cards import GitBlob
from bench.data.pins import Checksums

SHOWN = 8  # digits of a hash
MOST_BYTES = 1 << 20  # of an .origin file


class Extractor(Frozen):
    """What turned content into rows.

    Attributes:
        library: the package.
        version: of the package.
        model: the model's name, or that of a recipe.
        weights: hash of its weights; "none" where it has none.
    """

    library: str
    version: str
    model: str
    weights: str


class Extraction(Frozen):
    """How one feature file was extracted.

    Attributes:
        modality: its name.
        extractor: what made it.
        made_of: the content, in words.
        n_items: number of rows, one per item.
        n_described: items that had content; the rows of all others are zero.
        features: git blob id of the feature file.
    """

    modality: str
    extractor: Extractor
    made_of: str
    n_items: int
    n_described: int
    features: GitBlob

    def in_words(self) -> str:
        """Return one clause for reports and records."""
        by = self.extractor
        return (
            f"extracted by {by.library} {by.version}, {by.model} (weights {by.weights[:SHOWN]}), of {self.made_of}"
        )


def description_path(path: Path) -> Path:
    """Return the path of the description of a feature file."""
    return path.with_name(f"{path.name}.origin")  # not .json, which holds features in some formats


def read_extraction(path: Path, checksums: Checksums | None = None) -> Extraction | None:
    """Read the description of how a feature file was extracted; None if there is none.

    Raises:
        DataError: the description is malformed, or is about another file.
    """
    description = description_path(path)
    with os_errors(f"{description} cannot be read", "Correct or remove it.", DataError, UnicodeDecodeError):
        if not description.exists():
            return None
        check_plain(description, MOST_BYTES)
        text = description.read_text(encoding="utf-8")
    failure, advice = (
        f"{description} does not say how {path.name} was made",
        "Remove it, or both and extract again.",
    )
    with os_errors(failure, advice, DataError, ValidationError):
        extraction = Extraction.model_validate_json(text)
    if extraction.features != (checksums or Checksums()).of(path):
        raise DataError(
            f"{description} describes another {path.name} than the one beside it. Remove it, or "
            "both and extract the features again."
        )
    return extraction
