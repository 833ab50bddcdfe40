"""The files beside the interactions: which hold features of items, and what is said of all others. Reads.

Nothing whose name speaks of features is passed over in silence: it is read, or a problem that says how to mend it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.core.errors import DataError
from bench.core.types import Interactions, Modality
from bench.data.features import ENDINGS, holds_features, modality_of, read_blocks
from bench.data.formats.place import FEATURES, USUAL, Content, Place, modality_name

USERS = re.compile(r"(^|[^a-z])(user|users|uid)([^a-z]|$)")
MOST_SAID = 10
OF_USERS = "its name speaks of users, and only items have features here; rename it if it is about items"
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
UNPACK = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zip": "unzip"}
OTHERS = (".h5", ".hdf5", ".mat", ".feather", ".arrow", ".bin", ".tar", ".ckpt")
CONVERTIBLE = (*TO_MATRIX, *TO_TABLE, *SAME_AS, *UNPACK, *OTHERS)


@dataclass
class Beside:
    """What the files beside the interactions came to.

    Attributes:
        modalities: by name.
        problems: what keeps features from being read, each with a fix.
        unread: files that were left aside, where it helps with the reason.
        notes: rows that were left out.
    """

    modalities: dict[str, Modality]
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_beside(place: Place, content: Content) -> Beside:
    """Every modality of the files beside the tables, and what became of the other files."""
    found = Beside({modality.name: modality for modality in content.raw.modalities})
    later = []
    for path in place.files:
        if path in content.used:
            continue
        if path.suffix.lower() in ENDINGS and USERS.search(_words(path)):
            found.unread.append(f"{path.name} ({OF_USERS})")
        elif _is_feature_file(path):
            _read(path, content, found)
        elif path.suffix.lower() in CONVERTIBLE and _named_so(path):
            later.append(path)
        else:
            found.unread.append(path.name)
    for path in later:
        _convertible(path, found)
    for path, what in place.others:
        _no_file(path, what, found)
    _in_folders(place, found)
    found.problems += _without_interactions(content, found.modalities.values())
    return found


def _read(path: Path, content: Content, found: Beside) -> None:
    """The modalities of a feature file."""
    try:
        n_others = 0
        for block in read_blocks(path):
            if USERS.search(block.name.lower()):
                found.unread.append(f"'{block.name}' in {path.name} ({OF_USERS})")
                continue
            name = modality_name(block.name or path.stem)
            modality, n_left = modality_of(path, block, name, content.keys)
            _add(found.modalities, modality, path)
            n_others = max(n_others, n_left)
    except DataError as problem:
        if _named_so(path):
            found.problems.append(str(problem))
        else:  # such as the dictionaries that MMRec's models leave in the folder
            found.unread.append(f"{path.name} ({problem})")
        return
    if n_others:
        found.notes.append(
            f"{n_others:,} rows of {path.name} are of items without an interaction, and were left out."
        )


def _add(modalities: dict[str, Modality], modality: Modality, path: Path) -> None:
    if modality.name in modalities:
        raise DataError(
            f"{path} brings the modality '{modality.name}', which is {modalities[modality.name].origin} already. "
            "Rename or remove one of them."
        )
    modalities[modality.name] = modality


def _convertible(path: Path, found: Beside) -> None:
    """A file of features in a form that is not read: how to convert it, unless its modality is there."""
    said = f"{path} is not read as it is. {how_to_convert(path)}"
    if modality_name(_stem(path)) in found.modalities:
        found.unread.append(f"{path.name} (the modality '{modality_name(_stem(path))}' is read from another file)")
    elif USERS.search(_words(path)):
        found.unread.append(f"{path.name} ({OF_USERS})")
    else:
        found.problems.append(said)


def how_to_convert(path: Path) -> str:
    """The command that makes a file which is read of one that is not, in a sentence."""
    ending = SAME_AS.get(path.suffix.lower(), path.suffix.lower())
    given, stem = shlex.quote(str(path)), path.with_suffix("")
    if ending in UNPACK:
        where = f" -d {shlex.quote(str(path.parent))}" if ending == ".zip" else ""
        return f"Unpack it, and move it away if it stays: {UNPACK[ending]} {given}{where}"
    if ending in TO_MATRIX:
        trust = " (this runs what the pickle asks for: only where you trust it)" if ending == ".pkl" else ""
        made = shlex.quote(f"{stem}.npy")
        return f'Write it as .npy, one row an item{trust}: python -c "{TO_MATRIX[ending]}" {given} {made}'
    if ending in TO_TABLE:
        made = shlex.quote(f"{stem}.parquet")
        told = "with the ids in a column 'item_id'"
        return f'Write it as Parquet, {told}: python -c "{TO_TABLE[ending]}" {given} {made}'
    return "Write the matrix as .npy, one row an item, or as Parquet with the ids in a column 'item_id'."


def _no_file(path: Path, what: str, found: Beside) -> None:
    """A link to nowhere, a pipe, or a folder with the name of a file."""
    if path.suffix.lower() not in ENDINGS and (path.is_dir() or not _named_so(path)):
        if not path.is_dir():
            found.unread.append(f"{path.name} ({what})")
    elif _named_so(path):
        mend = "" if path.is_symlink() else " Put the features there as a file, or remove it."
        found.problems.append(f"{path} is {what}.{mend}")
    else:
        found.unread.append(f"{path.name} ({what})")


def _in_folders(place: Place, found: Beside) -> None:
    """Features in folders, which are not read, with the command that moves them."""
    there = [
        path
        for path in place.below
        if path.suffix.lower() in (*ENDINGS, *CONVERTIBLE)
        and _named_so(path)
        and not USERS.search(_words(path))
        and modality_name(_stem(path)) not in found.modalities
    ]
    for path in there[:MOST_SAID]:
        move = f"mv {shlex.quote(str(path))} {shlex.quote(str(place.path))}"
        found.unread.append(
            f"{path.relative_to(place.path)} (only files beside the interactions are read; to use it: {move})"
        )
    if len(there) > MOST_SAID:
        found.unread.append(f"{len(there) - MOST_SAID:,} more files in folders")


def _without_interactions(content: Content, modalities: Iterable[Modality]) -> list[str]:
    """Modalities of which no item has an interaction, as where the ids are written in two ways."""
    parts: tuple[Interactions, ...] = content.raw.parts
    seen = np.zeros(parts[0].n_items, dtype=bool)
    for part in parts:
        seen[part.items] = True
    problems = []
    for one in modalities:
        if not (one.present & seen).any():
            theirs, ours = (content.keys.ids[np.flatnonzero(which)[0]] for which in (one.present, seen))
            problems.append(
                f"None of the {int(one.present.sum()):,} items with {one.name} features ({one.origin}) has an "
                f"interaction: they are such as '{theirs}', and those with interactions such as '{ours}'. Write "
                "the ids of both in one form."
            )
    return problems


def _is_feature_file(path: Path) -> bool:
    """Whether a file beside the tables is meant to hold features; .json and .parquet may be anything else."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return False
    return (
        ending not in (".json", ".parquet") or _named_so(path) or (ending == ".parquet" and holds_features(path))
    )


def _stem(path: Path) -> str:
    """The name without its ending, or both of them as in `image_feat.npy.gz`."""
    return Path(path.stem).stem if path.suffix.lower() in UNPACK else path.stem


def _words(path: Path) -> str:
    """The name as small letters with capitals inside taken for new words, as in userFeat."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _stem(path)).lower()


def _named_so(path: Path) -> bool:
    """Whether a file's name says that it holds features, so that anything else in it is a problem."""
    stem = _stem(path).lower()
    words = [word for usual in USUAL.values() for word in usual]
    if path.suffix.lower() in CONVERTIBLE:  # t.csv is a table
        words = [word for word in words if len(word) > 1]
    return bool(FEATURES.search(stem)) or stem in words
