"""Matrices of features in .npy, .npz, .safetensors, .parquet and .json files. Reads, unpickles nothing.

Nothing is allocated for a size that a header claims before it was compared with the size of the file.

What made a feature file: JSON beside the matrix, in `text_feat.npy.origin` for `text_feat.npy`. Reads.

It names the extractor with its version and weights, and the very file that it speaks of.

Feature matrices: rows of files and derived rows -> Modality. Reads, never writes or unpickles.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.core.config import Frozen
from bench.core.errors import DataError, listed
from bench.core.files import check_plain
from bench.core.hashing import hash_array
from bench.core.names import is_readable
from bench.core.types import FloatArray, IntArray, Modality
from bench.data import tables
from bench.data.cards import FeatureFile, GitBlob
from bench.data.columns import CELLS_PER_NUMBER, FREE_CELLS, load_json, ragged
from bench.data.pins import checked_path, git_blob

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".npy", ".npz", ".safetensors", ".parquet", ".json")
IDS = ("itemid", "itemids", "id", "ids", "item", "items", "asin", "iid")
UNNAMED = ("feature", "features", "feat", "feats", "embedding", "embeddings", "vector", "vectors", "arr0", "x")
UNPACKED, FREE_UNPACKED = 100, 64 << 20  # an archive unpacks to at most this many times its size, and this


@dataclass(frozen=True, eq=False)
class Block:
    """One matrix of a file.

    Attributes:
        name: as the file calls it, "" where only the file's own name says what it is.
        ids: item id of each row as text, `[n]`; None where the position of the row is all there is.
        rows: `[n, d]`, as the file holds them; an .npy file is mapped and not yet read.
    """

    name: str
    ids: NDArray[np.object_] | None
    rows: NDArray[Any]


def only_block(path: Path) -> Block:
    """The one matrix of an .npy or .json file.

    Raises:
        DataError: it is none.
    """
    return read_blocks(path)[0] if path.suffix.lower() == ".json" else Block("", None, _mapped(path))


def read_blocks(path: Path) -> list[Block]:
    """Every matrix of a feature file.

    Raises:
        DataError: the file is damaged, unsafe, or holds no matrix of numbers.
    """
    if path.suffix.lower() == ".npy":
        return [only_block(path)]
    reader = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet, ".json": _json}[
        path.suffix.lower()
    ]
    check_plain(path)
    try:
        blocks = reader(path)
    except DataError:
        raise
    except Exception as problem:  # none of the libraries documents a closed list of what malformed files raise
        raise DataError(
            f"{path} holds no features that can be read ({' '.join(str(problem).split())[:300]}). Write it anew; "
            "datasets/README.md shows what is read."
        ) from problem
    if not blocks:
        raise DataError(f"{path} holds no matrix of floats. Write one row of numbers for each item.")
    return blocks


def _mapped(path: Path) -> NDArray[Any]:
    """An .npy file of floats, mapped but not yet read, with pickled objects refused."""
    check_plain(path)
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy documents no closed list of what malformed files raise
        raise DataError(
            f"{path} is no plain .npy file ({' '.join(str(error).split())[:300]}); pickled objects are refused. "
            "Save the matrix anew with numpy.save as float32."
        ) from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind != "f":
        kind = f"of type {loaded.dtype}" if isinstance(loaded, np.ndarray) else "an .npz archive"
        raise DataError(f"{path} is {kind}, expected one matrix of floats. Save it with numpy.save as float32.")
    return loaded


def _npz(path: Path) -> list[Block]:
    """Arrays of an archive, after the claims of its directory and of every header were compared with sizes."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        twice = [name for name, count in Counter(one.filename for one in members).items() if count > 1]
        if twice:
            raise DataError(
                f"{path} holds '{twice[0][:60]}' twice, of which only one would be read. Write it anew."
            )
        claimed, limit = sum(one.file_size for one in members), FREE_UNPACKED + UNPACKED * path.stat().st_size
        if claimed > limit:
            raise DataError(
                f"{path} claims to unpack to {claimed:,} bytes; more than {limit:,} are not believed. Write it "
                "anew."
            )
        for member in members:
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, dtype = read[version](stream)  # type: ignore[no-untyped-call]
                if dtype.hasobject:
                    raise DataError(
                        f"{path}: '{member.filename}' holds pickled objects, which are refused. Save "
                        "plain numbers."
                    )
                if dtype.itemsize == 0:
                    raise DataError(f"{path}: '{member.filename}' holds values without any content. Save it anew.")
                if stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size:
                    raise DataError(
                        f"{path}: '{member.filename}' claims the shape {shape}, which it does not hold. Save "
                        "it anew."
                    )
    with np.load(path, allow_pickle=False) as loaded:
        return _of_arrays(path, {name: loaded[name] for name in loaded.files})


def _safetensors(path: Path) -> list[Block]:
    from safetensors.numpy import load, load_file

    if not is_readable(path):
        return _of_arrays(path, load(path.read_bytes()))
    return _of_arrays(path, load_file(path))


def _of_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> list[Block]:
    """Named arrays: ids where one is called so, and every matrix of floats."""
    ids = next((array for name, array in arrays.items() if _plain(name) in IDS), None)
    if ids is not None and (ids.ndim != 1 or ids.dtype.kind not in "iuUS"):
        raise DataError(f"{path}: the ids are of type {ids.dtype} and shape {ids.shape}, expected one id a row.")
    texts = None if ids is None else (np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids.astype(str))
    blocks = []
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            if texts is not None and len(array) != len(texts):
                raise DataError(
                    f"{path}: '{name}' has {len(array):,} rows for {len(texts):,} ids. Write one a row."
                )
            blocks.append(Block(_own_name(name), None if texts is None else texts.astype(object), array))
    return blocks


def _parquet(path: Path) -> list[Block]:
    """A table with a column of ids: each column of lists is a matrix; columns of numbers are one together."""
    import pyarrow as pa

    names = tables.parquet_names(path)
    ids = next((name for name in names if _plain(name) in IDS), None)
    if ids is None:
        raise DataError(f"{path} has the columns {listed(names)}; the ids are missing. Name a column 'item_id'.")
    kinds = dict(zip(names, tables.parquet_schema(path).types, strict=True))
    lists = [name for name, kind in kinds.items() if _is_list(kind) and pa.types.is_floating(kind.value_type)]
    numbers = [name for name, kind in kinds.items() if pa.types.is_floating(kind) and name != ids]
    table = tables.read_parquet(path, [ids, *lists, *numbers])
    texts = table.column(ids).cast(pa.string())
    if texts.null_count:
        raise DataError(f"{path}: '{ids}' is empty in some row. Write an id in every row.")
    keys = texts.to_numpy(zero_copy_only=False)
    blocks = [Block(_own_name(name), keys, _matrix(path, name, table.column(name))) for name in lists]
    if numbers:
        columns = [table.column(name).to_numpy() for name in numbers]
        blocks.append(Block("", keys, np.column_stack(columns)))
    return blocks


def holds_features(path: Path) -> bool:
    """Whether a Parquet file has a column of ids and one of floats; a broken one is not passed over."""
    import pyarrow as pa

    try:
        schema = tables.parquet_schema(path)
    except DataError:
        return True
    kinds = [kind.value_type if _is_list(kind) else kind for kind in schema.types]
    return any(_plain(name) in IDS for name in schema.names) and any(map(pa.types.is_floating, kinds))


def _is_list(kind: pa.DataType) -> bool:
    """Whether a column's type is a list of any form."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _matrix(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of lists of equal length as a matrix; an empty or missing list is a row of zeros."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return ragged(path, name, lengths, values)


def _json(path: Path) -> list[Block]:
    """An object from item id to a list of numbers."""
    content = load_json(path)
    if not isinstance(content, dict) or not all(isinstance(row, list) for row in content.values()):
        raise DataError(f"{path} must hold one object from item id to a list of numbers. Write it so.")
    lengths = np.array([len(row) for row in content.values()], dtype=np.int64)
    values = np.array([value for row in content.values() for value in row], dtype=np.float64)
    return [Block("", np.array([*content, None], dtype=object)[:-1], ragged(path, path.stem, lengths, values))]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _own_name(name: str) -> str:
    return "" if _plain(name) in UNNAMED else name


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


def read_features(
    directory: Path, files: Mapping[str, FeatureFile], n_items: int, keys: ItemKeys | None = None
) -> tuple[tuple[Modality, ...], dict[str, str]]:
    """Every feature matrix of a source.

    Args:
        directory: where the files lie.
        files: the card's feature files by modality.
        n_items: number of items, hence of rows.
        keys: how rows find their items; None: row i is item i.

    Returns:
        The modalities in the card's order, and the reasons why optional ones are missing.

    Raises:
        DataError: a file is missing that is not optional, or is malformed.
    """
    modalities, missing = [], {}
    for name, file in files.items():
        if file.optional and not os.path.lexists(directory / file.path):
            missing[name] = f"there is no {file.path} in {directory}; put it there to use this modality"
        else:
            modalities.append(read_modality(directory, file, name, n_items, keys))
    return tuple(modalities), missing


def unpinned(files: Mapping[str, FeatureFile]) -> dict[str, FeatureFile]:
    """The same files, whatever they hold; what they must hold is compared elsewhere, all at once."""
    return {name: file.model_copy(update={"git_blob": None, "dim": None}) for name, file in files.items()}


def read_modality(
    directory: Path, file: FeatureFile, name: str, n_items: int, keys: ItemKeys | None = None
) -> Modality:
    """One file as float32: .npy with row = item index, or .json keyed by it; a row of zeros: the item has none.

    With `keys` the rows, and the keys of a .json, are of the items that these say.

    Raises:
        DataError: the file is missing, not the card's, no numeric matrix, of a wrong shape, or not finite.
    """
    path = checked_path(directory, file)
    block = only_block(path)
    every = np.arange(n_items)
    modality, _ = modality_of(path, block, name, keys or ItemKeys(every.astype(str).astype(object), every))
    if file.dim is not None and modality.dim != file.dim:
        raise DataError(f"{path} has {modality.dim} columns, but the data card expects {file.dim}.")
    if extraction_of(path) is not None:  # which the origin tells already
        return modality
    return replace(modality, origin=f"read from {path}, {_made_by(path, file)}")


def _made_by(path: Path, file: FeatureFile) -> str:
    """Say what made a file without a description of its own: what the card knows of the very file, or nothing."""
    if file.encoder is None or git_blob(path) != file.encoder.git_blob:
        return "encoder not stated"
    return f"made by {' '.join(file.encoder.words.split())}"


@dataclass(frozen=True, eq=False)
class ItemKeys:
    """How feature rows find their items.

    Attributes:
        ids: id of each item as text, `[n_items]`, for files keyed by id.
        of_rows: item index of each row of a file without ids, -1 for a row that no item has; None where such a
            file says nothing about items.
    """

    ids: NDArray[np.object_]
    of_rows: IntArray | None


def modality_of(path: Path, block: Block, name: str, keys: ItemKeys) -> tuple[Modality, int]:
    """Feature rows as a modality, and the number of rows that are of no item.

    Raises:
        DataError: the rows do not fit the items, or hold what is no float32.
    """
    given = block.rows
    if given.ndim != 2 or given.shape[1] == 0:
        raise DataError(f"{path} has the shape {given.shape}, expected a matrix of items x features. Save it so.")
    n_items = len(keys.ids)
    owners = _owners_by_row(path, len(given), keys) if block.ids is None else _owners_by_id(path, block.ids, keys)
    if n_items * given.shape[1] > FREE_CELLS + CELLS_PER_NUMBER * given.size:
        raise DataError(
            f"{path} has {len(given):,} rows of {given.shape[1]:,} numbers for {n_items:,} items, which is too "
            "little to be a modality of theirs. Leave the file out, or complete it."
        )
    kept = np.flatnonzero(owners >= 0)
    rows = np.zeros((n_items, given.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        rows[owners[kept]] = given if len(kept) == len(given) else given[kept]
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1)[owners[kept]])
    if len(bad):
        row = int(kept[bad[0]])
        place = f"row {row}" if block.ids is None else f"the item '{block.ids[row]}'"
        raise DataError(
            f"{path}: {place} holds NaN, infinity or a number beyond float32 ({len(bad):,} such rows). "
            "Replace them; a row of zeros marks an item without this modality."
        )
    present = rows.any(axis=1)
    if not present.any():
        raise DataError(f"{path} holds nothing but zeros. Replace the file.")
    made = extraction_of(path)
    origin = f"read from {path}" if made is None else f"read from {path}, {made.in_words()}"
    return Modality(name, rows, present, hash_array(rows), origin), len(given) - len(kept)


def _owners_by_row(path: Path, n_rows: int, keys: ItemKeys) -> IntArray:
    """Item index of each row by its position."""
    if keys.of_rows is None:
        raise DataError(
            f"{path} has rows without ids, and the ids of these items are no row numbers. Give the features with "
            "ids: an .npz or .safetensors file with the arrays 'item_id' and 'features', or a Parquet table with "
            "the column 'item_id'."
        )
    if n_rows != len(keys.of_rows):
        raise DataError(
            f"{path} has {n_rows:,} rows, but there are {len(keys.of_rows):,} items; row i must hold the features "
            "of item i. Write one row for every item, of zeros where an item has none."
        )
    return keys.of_rows


def _owners_by_id(path: Path, ids: NDArray[np.object_], keys: ItemKeys) -> IntArray:
    """Item index of each row by its id; -1 for ids that are of no item."""
    import pandas as pd

    given = pd.Index(ids)
    if not given.is_unique:
        raise DataError(f"{path} has two rows for the item '{given[given.duplicated()][0]}'. Keep one.")
    owners: IntArray = pd.Index(keys.ids).get_indexer(given).astype(np.int64)
    if not (owners >= 0).any():
        raise DataError(
            f"{path} has rows for items such as '{ids[0] if len(ids) else ''}', none of which has an interaction; "
            f"the items there are such as '{keys.ids[0]}'. Key the features by the ids of the interactions."
        )
    return owners


def from_rows(name: str, rows: FloatArray, present: NDArray[np.bool_], fingerprint: str, origin: str) -> Modality:
    """A derived modality; rows of items that lack it are zeroed.

    Args:
        name: of the modality.
        rows: `[n_items, d]`.
        present: which items have it, `[n_items]`.
        fingerprint: hash of inputs and recipe, since derived floats differ in their last bits between machines.
        origin: what it was made from, in words.
    """
    matrix = np.where(present[:, None], rows, 0).astype(np.float32)
    return Modality(name, matrix, present, fingerprint, origin)
