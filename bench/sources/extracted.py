"""Layer 3. What made a feature file: JSON beside the matrix, in `text_feat.npy.origin` for `text_feat.npy`. Reads.

It names the extractor with its version and weights, and the very file that it speaks of.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bench.downloads import GitBlob
from bench.errors import DataError
from bench.fetch.checksums import git_blob
from bench.files import check_plain
from bench.validation import Frozen

SHOWN = 8
MOST_BYTES = 1 << 20


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
    """How one feature file came to be.

    Attributes:
        modality: its name.
        extractor: what made it.
        made_of: the content, in words.
        n_items: rows, one an item.
        n_described: items that had content; the others' rows are zero.
        features: git blob id of the feature file.
    """

    modality: str
    extractor: Extractor
    made_of: str
    n_items: int
    n_described: int
    features: GitBlob

    def in_words(self) -> str:
        """One clause for reports and records."""
        by = self.extractor
        return (
            f"extracted by {by.library} {by.version}, {by.model} (weights {by.weights[:SHOWN]}), of {self.made_of}"
        )


def beside(path: Path) -> Path:
    """Where the description of a feature file lies."""
    return path.with_name(f"{path.name}.origin")  # not .json, which holds features in some layouts


def extraction_of(path: Path) -> Extraction | None:
    """What is known of how a feature file was made; None where nothing is.

    Raises:
        DataError: the description is malformed, or speaks of another file.
    """
    place = beside(path)
    try:
        check_plain(place, MOST_BYTES)
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{place} cannot be read ({problem}). Correct or remove it.") from problem
    try:
        found = Extraction.model_validate_json(text)
    except ValidationError as problem:
        reason = " ".join(str(problem).split())[:300]
        raise DataError(
            f"{place} does not say how {path.name} was made: {reason}. Remove it, or both and extract anew."
        ) from problem
    if found.features != git_blob(path):
        raise DataError(
            f"{place} says how another {path.name} was made than the one beside it. Remove it, or "
            "both and extract the features anew."
        )
    return found
