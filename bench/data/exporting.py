"""Export of a data set with its split to the files of another tool.

Writes one directory, completely or not at all.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UsageError, unknown_name
from bench.core.files import folder_in_place, os_errors
from bench.core.names import ALLOWED, base_name, is_name
from bench.core.types import BenchmarkData, IntArray, Interactions, Modality
from bench.core.yaml_files import dump_yaml
from bench.data.columns import as_texts
from bench.data.formats.normalised import narrowest
from bench.data.ids import READ_AS_MISSING
from bench.data.raw import RawData

# an unquoted tab-separated table cannot hold these
UNWRITABLE = ("\t", "\n", "\r", '"')
MMREC_FILES = {"visual": "image_feat", "acoustic": "audio_feat", "textual": "text_feat"}


@dataclass(frozen=True, eq=False)
class ExportData:
    """A data set prepared for export.

    Attributes:
        name: name of the data set.
        parts: interactions by the name of the part; a single part "" if no split is exported.
        users: original id of each user as text, `[n_users]`.
        items: original id of each item as text, `[n_items]`.
        modalities: item content.
    """

    name: str
    parts: dict[str, Interactions]
    users: NDArray[np.object_]
    items: NDArray[np.object_]
    modalities: tuple[Modality, ...]


def check_place(name: str, format: str, to: Path, force: bool) -> Path:
    """Return the directory to write, `to/<name>`, after checking the options; called before the data is loaded.

    Args:
        name: name of the data set.
        format: "csv", "recbole" or "mmrec".
        to: a directory.
        force: whether an existing export may be replaced.

    Raises:
        UsageError: the format is unknown, or the directory exists and may not be replaced.
    """
    if format not in WRITERS:
        raise unknown_name("format to export", format, WRITERS)
    directory = to / name
    if directory.exists() and not force:
        raise UsageError(f"{directory} exists already. Name another place with --to, or replace it with --force.")
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise UsageError(
            f"{directory} is a link or a file, and --force replaces only folders. Name another place with --to, "
            "or remove it."
        )
    return directory


def export(
    data: BenchmarkData, raw: RawData, format: str, to: Path, whole: bool = False, force: bool = False
) -> Path:
    """Write a data set to `to/<name>`.

    Args:
        data: the data set with its split.
        raw: the raw data that it was made of.
        format: "csv", "recbole" or "mmrec".
        to: a directory.
        whole: leave the split out.
        force: replace an existing export.

    Returns:
        The directory with the files.

    Raises:
        UsageError: the format is unknown, the directory exists, or an id cannot be written in that format.
        ResultsError: the directory cannot be written.
    """
    directory = check_place(data.name, format, to, force)
    split = {"train": data.split.train, "valid": data.split.valid, "test": data.split.test}
    users, items = as_texts(raw.user_ids, data.n_users), as_texts(raw.item_ids, data.n_items)
    exported = ExportData(data.name, {"": raw.whole} if whole else split, users, items, data.modalities)
    for ids in (users, items):
        _refuse_unwritable(ids, format)
    for name in (base_name(data.name), *(modality.name for modality in data.modalities)):
        if not is_name(name):
            raise UsageError(
                f"The name {name[:80]!r} cannot be that of a file; take {ALLOWED}. Correct the data card."
            )
    # written beside the final place and renamed, so that an export appears completely or not at all
    temporary = to / f".{data.name}.{secrets.token_hex(8)}.part"
    try:
        with os_errors(f"{directory} cannot be written", "Name another place with --to."):
            temporary.mkdir(parents=True)
            WRITERS[format](exported, temporary)
            with folder_in_place(temporary, directory):
                pass  # nothing else belongs to an export
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _refuse_unwritable(ids: NDArray[np.object_], format: str) -> None:
    """Raise a UsageError for ids that a tab-separated table cannot hold or that pandas reads as missing."""
    missing, more = set(READ_AS_MISSING).intersection(ids), "," if format == "csv" else ""
    for text in ids:
        if text in missing or any(character in text for character in (*UNWRITABLE, *more)):
            raise UsageError(
                f"The id {text!r} cannot be written in the format {format}: a reader would not get it "
                "back unchanged. Rename it in the original data and import that again."
            )


def _recbole(exported: ExportData, directory: Path) -> None:
    """Write atomic files: one table per part, all users and items, and features as float_seq columns."""
    name = exported.name
    for part, pairs in exported.parts.items():
        columns: dict[str, Any] = {
            "user_id:token": exported.users[pairs.users],
            "item_id:token": exported.items[pairs.items],
        }
        if pairs.timestamps is not None:
            columns["timestamp:float"] = pairs.timestamps
        write_table(directory / ".".join(filter(None, (name, part, "inter"))), columns)
    write_table(directory / f"{name}.user", {"user_id:token": exported.users})
    features = {f"{modality.name}:float_seq": _join_rows(modality) for modality in exported.modalities}
    write_table(directory / f"{name}.item", {"item_id:token": exported.items, **features})
    (directory / f"{name}.yaml").write_text(_recbole_settings(exported), encoding="utf-8")


def _join_rows(modality: Modality) -> Any:
    """Return each row as exact numbers joined by spaces, or "" if the item lacks the modality."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = modality.matrix[modality.present]
    # lists with 32-bit offsets hold fewer than 2**31 numbers
    offsets = np.zeros(len(modality.present) + 1, dtype=np.int32 if rows.size < 2**31 else np.int64)
    np.cumsum(modality.present * rows.shape[1], out=offsets[1:])
    texts = pa.array(rows.ravel()).cast(pa.large_string())
    lists = pa.ListArray if offsets.dtype == np.int32 else pa.LargeListArray
    return pc.binary_join(lists.from_arrays(offsets, texts), pa.scalar(" ", pa.large_string()))


def _recbole_settings(exported: ExportData) -> str:
    """Return a configuration for RecBole that names the columns and parts of the files."""
    timed = all(part.timestamps is not None for part in exported.parts.values())
    inter = ["user_id", "item_id", *(["timestamp"] if timed else [])]
    settings: dict[str, Any] = {
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "load_col": {
            "inter": inter,
            "user": ["user_id"],
            "item": ["item_id", *(m.name for m in exported.modalities)],
        },
    }
    if len(exported.parts) > 1:
        settings["benchmark_filename"] = list(exported.parts)
    head = (
        "# For RecBole: config_file_list=[this file], config_dict={'data_path': the directory above this one}.\n"
    )
    return head + dump_yaml(settings)


def _mmrec(exported: ExportData, directory: Path) -> None:
    """Write one table with x_label, one .npy file per modality by itemID, and mapping files of original ids."""
    parts = list(exported.parts.values())
    users, items = np.concatenate([part.users for part in parts]), np.concatenate([part.items for part in parts])
    user_order = _order_ending_with_seen(users, len(exported.users))
    item_order = _order_ending_with_seen(items, len(exported.items))
    columns: dict[str, Any] = {"userID": np.argsort(user_order)[users], "itemID": np.argsort(item_order)[items]}
    times = [part.timestamps for part in parts if part.timestamps is not None]
    if len(times) == len(parts):
        columns["timestamp"] = np.concatenate(times)
    if len(parts) > 1:
        columns["x_label"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    write_table(directory / f"{exported.name}.inter", columns)
    mappings = (("u", "user", exported.users[user_order]), ("i", "item", exported.items[item_order]))
    for letter, kind, ids in mappings:
        mapping = {f"{kind}_id": ids, f"{kind}ID": np.arange(len(ids))}
        write_table(directory / f"{letter}_id_mapping.csv", mapping)
    for modality in exported.modalities:
        stem = MMREC_FILES.get(modality.name, f"{modality.name}_feat")
        np.save(directory / f"{stem}.npy", narrowest(modality.matrix[item_order]))


def _order_ending_with_seen(ids: IntArray, count: int) -> IntArray:
    """Return the order in which MMRec numbers users or items, `[count]`; its last one has an interaction."""
    # MMRec takes the largest number in the table plus one for the count, and would miss unseen ones at the end
    n_unseen = count - 1 - int(ids.max())
    return np.roll(np.arange(count), n_unseen)


def write_table(path: Path, columns: dict[str, Any], delimiter: str = "\t") -> None:
    """Write a table with its header, unquoted."""
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table({name: pa.array(values) if isinstance(values, np.ndarray) else values
                      for name, values in columns.items()})  # fmt: skip
    options = csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    with path.open("wb") as stream:
        stream.write((delimiter.join(columns) + "\n").encode())
        csv.write_csv(table, stream, options)


def _csv(exported: ExportData, directory: Path) -> None:
    """Write one table per part, and the ids of all users and items in the order of our internal numbers."""
    for part, pairs in exported.parts.items():
        columns: dict[str, Any] = {"user": exported.users[pairs.users], "item": exported.items[pairs.items]}
        if pairs.timestamps is not None:
            columns["timestamp"] = pairs.timestamps
        write_table(directory / f"{part or 'interactions'}.csv", columns, delimiter=",")
    for kind, ids in (("user", exported.users), ("item", exported.items)):
        write_table(directory / f"{kind}s.csv", {kind: ids}, delimiter=",")
    for modality in exported.modalities:
        np.save(directory / f"{modality.name}.npy", narrowest(modality.matrix))


WRITERS: dict[str, Callable[[ExportData, Path], None]] = {"csv": _csv, "recbole": _recbole, "mmrec": _mmrec}
