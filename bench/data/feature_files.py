"""Feature files beside the interactions: modalities of items, and why other files are not read. Reads files.

A file whose name suggests features is never skipped silently. It is read, or reported with a way to mend it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.core.errors import DataError, listed
from bench.core.files import resolved
from bench.core.types import Interactions, Modality
from bench.data.features import ENDINGS, holds_features, modality_of, parquet_columns, read_matrices
from bench.data.formats.place import FEATURES, UNPACK, USUAL, Content, Place, modality_name

USERS = re.compile(r"(^|[^a-z])(user|users|uid)([^a-z]|$)")
MOST_LISTED = 10
OF_USERS = "its name suggests users, but only features of items are read; rename it if it is about items"
OF_COLUMNS = (
    "features are columns of lists of floats; single floats are features where there are none and the file's name "
    "suggests features, as in items_feat.parquet"
)
TO_MATRIX = {
    ".pt": "import sys, numpy, torch; numpy.save(sys.argv[2], torch.load(sys.argv[1], map_location='cpu', "
    "weights_only=True).float().numpy())",
    ".pkl": "import sys, numpy, pickle; numpy.save(sys.argv[2], "
    "numpy.asarray(pickle.load(open(sys.argv[1], 'rb')), dtype='float32'))",
}
TO_TABLE = {
    ".csv": "import sys, pandas; pandas.read_csv(sys.argv[1], dtype={'item_id': str}).to_parquet(sys.argv[2])",
    ".tsv": "import sys, pandas; pandas.read_csv(sys.argv[1], sep='\\t', dtype={'item_id': str})"
    ".to_parquet(sys.argv[2])",
    ".jsonl": "import sys, pandas; pandas.read_json(sys.argv[1], lines=True, dtype={'item_id': str})"
    ".to_parquet(sys.argv[2])",
}
SAME_AS = {".pth": ".pt", ".pickle": ".pkl", ".ndjson": ".jsonl"}
OTHERS = (".h5", ".hdf5", ".mat", ".feather", ".arrow", ".bin", ".tar", ".ckpt")
CONVERTIBLE = (*TO_MATRIX, *TO_TABLE, *SAME_AS, *UNPACK, *OTHERS)


@dataclass
class FeatureFiles:
    """What became of the files beside the interactions.

    Attributes:
        modalities: by name.
        problems: why features could not be read, each with a fix.
        unread: files that were not used, with the reason where it helps.
        notes: remarks on rows that were left out.
        has_rows_by_position: whether a file has rows without ids.
    """

    modalities: dict[str, Modality]
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_rows_by_position: bool = False


def read_feature_files(place: Place, content: Content) -> FeatureFiles:
    """Read every modality of the files beside the tables, and report the other files."""
    result = FeatureFiles({modality.name: modality for modality in content.raw.modalities})
    convertible = []
    for path in place.files:
        if path in content.used:
            continue
        if path.suffix.lower() in ENDINGS and is_of_users(path):
            result.unread.append(f"{path.name} ({OF_USERS})")
        elif _is_feature_file(path, place.columns.item):
            _read_file(path, content, result, place.columns.item)
        elif path.suffix.lower() in CONVERTIBLE and _suggests_features(path):
            convertible.append(path)
        else:
            result.unread.append(path.name)
    for path in convertible:  # when all modalities that are read are known
        _report_convertible(path, result)
    for path, what in place.others:
        _report_no_file(path, what, result)
    _report_folders(place, result)
    if not result.modalities:
        _report_above(place, result)
    result.problems += _unused_modalities(content, result.modalities.values())
    return result


def _read_file(path: Path, content: Content, result: FeatureFiles, named: str | None) -> None:
    """Add the modalities of a feature file to the result; `named` is the user's column of items."""
    try:
        n_others = 0
        if path.suffix.lower() == ".parquet" and not _takes_columns(path, result, named):
            return
        for block in read_matrices(path, named):
            if USERS.search(block.name.lower()):
                result.unread.append(f"'{block.name}' in {path.name} ({OF_USERS})")
                continue
            result.has_rows_by_position |= block.ids is None
            name = modality_name(block.name or path.stem)
            modality, n_left = modality_of(path, block, name, content.keys)
            _add_modality(result.modalities, modality, path)
            n_others = max(n_others, n_left)
    except DataError as problem:
        if _suggests_features(path):
            result.problems.append(str(problem))
        else:  # such as the dictionaries that MMRec's models leave in the folder
            result.unread.append(f"{path.name} ({problem})")
        return
    if n_others:
        result.notes.append(
            f"{n_others:,} rows of {path.name} are of items without an interaction, and were left out."
        )


def _takes_columns(path: Path, result: FeatureFiles, named: str | None) -> bool:
    """Return whether a Parquet file holds features, and report its other columns as not read.

    Single floats, such as a price, are features only by the name of the file and where no column holds lists.
    """
    columns = parquet_columns(path, named)
    takes = bool(columns.lists) or _suggests_features(path)
    unread = [*([] if columns.matrix and takes else columns.floats), *columns.others]
    if unread:
        more = f" and {len(unread) - MOST_LISTED:,} more" if len(unread) > MOST_LISTED else ""
        result.unread.append(f"{listed(unread[:MOST_LISTED])}{more} in {path.name} ({OF_COLUMNS})")
    return takes


def _add_modality(modalities: dict[str, Modality], modality: Modality, path: Path) -> None:
    if modality.name in modalities:
        raise DataError(
            f"{path} holds the modality '{modality.name}', which is already {modalities[modality.name].origin}. "
            "Rename or remove one of them."
        )
    modalities[modality.name] = modality


def _report_convertible(path: Path, result: FeatureFiles) -> None:
    """Report a feature file in a format that is not read, with a way to convert it.

    It is only listed as unread if its modality was read from another file.
    """
    name = modality_name(_stem(path))
    if name in result.modalities:
        result.unread.append(f"{path.name} (the modality '{name}' is read from another file)")
    elif is_of_users(path):
        result.unread.append(f"{path.name} ({OF_USERS})")
    else:
        result.problems.append(f"{path} is not read as it is. {how_to_convert(path)}")


def how_to_convert(path: Path) -> str:
    """Return a sentence with the command that converts a file to a format that is read."""
    ending = SAME_AS.get(path.suffix.lower(), path.suffix.lower())
    given, stem = shlex.quote(str(path)), path.with_suffix("")
    if ending in UNPACK:
        where = f" -d {shlex.quote(str(path.parent))}" if ending == ".zip" else ""
        return f"Unpack it, and move the archive away if it stays: {UNPACK[ending]} {given}{where}"
    if ending in TO_MATRIX:
        trust = " (this runs any code in the pickle: only if you trust it)" if ending == ".pkl" else ""
        target = shlex.quote(f"{stem}.npy")
        return f'Write it as .npy, one row per item{trust}: python -c "{TO_MATRIX[ending]}" {given} {target}'
    if ending in TO_TABLE:
        target = shlex.quote(f"{stem}.parquet")
        advice = "Write it as Parquet, with the ids in a column 'item_id'"
        return f'{advice}: python -c "{TO_TABLE[ending]}" {given} {target}'
    return "Write the matrix as .npy, one row per item, or as Parquet with the ids in a column 'item_id'."


def _report_no_file(path: Path, what: str, result: FeatureFiles) -> None:
    """Report a broken link, a pipe, or a folder with the name of a feature file."""
    if path.suffix.lower() not in ENDINGS and (path.is_dir() or not _suggests_features(path)):
        if not path.is_dir():
            result.unread.append(f"{path.name} ({what})")
    elif _suggests_features(path):
        mend = "" if path.is_symlink() else " Put the features there as a file, or remove it."
        result.problems.append(f"{path} is {what}.{mend}")
    else:
        result.unread.append(f"{path.name} ({what})")


def _report_folders(place: Place, result: FeatureFiles) -> None:
    """Report feature files in folders, which are not read, with the command that moves them."""
    candidates = [
        path
        for path in place.below
        if _may_hold_features(path) and modality_name(_stem(path)) not in result.modalities
    ]
    for path in candidates[:MOST_LISTED]:
        move = f"mv {shlex.quote(str(path))} {shlex.quote(str(place.path))}"
        result.unread.append(
            f"{path.relative_to(place.path)} (only files beside the interactions are read; to use it: {move})"
        )
    if len(candidates) > MOST_LISTED:
        result.unread.append(f"{len(candidates) - MOST_LISTED:,} more files in folders")


def _report_above(place: Place, result: FeatureFiles) -> None:
    """Report feature files one folder above, where LATTICE has them, with the command that links them."""
    if not place.path.is_dir():
        return
    folder = resolved(place.path)  # a link's target is relative to the folder itself, however that was reached
    with contextlib.suppress(OSError):  # a folder above that cannot be listed is not an error of this data
        names = (path.name for path in folder.parent.iterdir() if _may_hold_features(path) and path.is_file())
        candidates = sorted(name for name in names if not os.path.lexists(folder / name))
        for name in candidates[:MOST_LISTED]:
            link = f"ln -s {shlex.quote(f'../{name}')} {shlex.quote(f'{place.path}/')}"
            result.unread.append(
                f"../{name} (one folder above, and only files beside the interactions are read; if it is about "
                f"these items: {link})"
            )
        if len(candidates) > MOST_LISTED:
            result.unread.append(f"{len(candidates) - MOST_LISTED:,} more files one folder above")


def _may_hold_features(path: Path) -> bool:
    """Return whether a file elsewhere is named like features of items, in any form."""
    ending = path.suffix.lower()
    return ending in (*ENDINGS, *CONVERTIBLE) and _suggests_features(path) and not is_of_users(path)


def _unused_modalities(content: Content, modalities: Iterable[Modality]) -> list[str]:
    """Return a problem for each modality without any item that has an interaction."""
    parts: tuple[Interactions, ...] = content.raw.parts
    seen = np.zeros(parts[0].n_items, dtype=bool)
    for part in parts:
        seen[part.items] = True
    problems = []
    for modality in modalities:
        if seen.any() and not (modality.present & seen).any():  # data without interactions is another problem
            theirs, ours = (content.keys.ids[np.flatnonzero(which)[0]] for which in (modality.present, seen))
            problems.append(
                f"None of the {int(modality.present.sum()):,} items with {modality.name} features "
                f"({modality.origin}) has an interaction. Their ids are such as '{theirs}', and those with "
                f"interactions such as '{ours}'. Write the ids of both in the same form."
            )
    return problems


def is_of_users(path: Path) -> bool:
    """Return whether the name of a file suggests features of users, which are not read."""
    return bool(USERS.search(_lower_words(path)))


def _is_feature_file(path: Path, named: str | None) -> bool:
    """Return whether a file is meant to hold features; .json and .parquet files may hold anything else."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return False
    return (
        ending not in (".json", ".parquet")
        or _suggests_features(path)
        or (ending == ".parquet" and holds_features(path, named))
    )


def _stem(path: Path) -> str:
    """Return the name without its ending, or without both of them as in `image_feat.npy.gz`."""
    return Path(path.stem).stem if path.suffix.lower() in UNPACK else path.stem


def _lower_words(path: Path) -> str:
    """Return the name in lower case, with capitals inside as new words: userFeat becomes user_feat."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _stem(path)).lower()


def _suggests_features(path: Path) -> bool:
    """Return whether the name says that the file holds features; any other content is then a problem."""
    stem = _stem(path).lower()
    words = [word for usual in USUAL.values() for word in usual]
    if path.suffix.lower() in CONVERTIBLE:  # t.npy is textual, but t.csv may be any table
        words = [word for word in words if len(word) > 1]
    return bool(FEATURES.search(stem)) or stem in words
