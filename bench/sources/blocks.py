"""Layer 3. Matrices of features in .npy, .npz, .safetensors, .parquet and .json files. Reads, unpickles nothing.

Nothing is allocated for a size that a header claims before it was compared with the size of the file.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, listed
from bench.files import check_plain
from bench.names import is_readable
from bench.sources import tables
from bench.sources.parsing import load_json, ragged

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
