"""A data set with its split -> files of another tool. Writes one directory, whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.config import dump_yaml
from bench.core.errors import ResultsError, UsageError, unknown_name
from bench.core.names import ALLOWED, base_name, is_name
from bench.core.types import BenchmarkData, IntArray, Interactions, Modality
from bench.data.columns import as_texts
from bench.data.formats.normalised import narrowest
from bench.data.raw import RawData

UNWRITABLE = ("\t", "\n", "\r", '"')
READ_AS_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "n/a", "<NA>", "-nan", "-NaN")
MMREC_FILES = {"visual": "image_feat", "acoustic": "audio_feat", "textual": "text_feat"}


@dataclass(frozen=True, eq=False)
class Shipment:
    """What is exported.

    Attributes:
        name: of the data set.
        parts: interactions by the name of the part; one, named "", where no split is exported.
        users: original id of each user as text, `[n_users]`.
        items: likewise of each item.
        modalities: item content.
    """

    name: str
    parts: dict[str, Interactions]
    users: NDArray[np.object_]
    items: NDArray[np.object_]
    modalities: tuple[Modality, ...]


def check_place(name: str, layout: str, to: Path, force: bool) -> Path:
    """Where a data set will be written, `to/<name>`; to be asked before it is loaded.

    Args:
        name: of the data set.
        layout: "recbole" or "mmrec".
        to: a directory.
        force: whether what is there may be replaced.

    Raises:
        UsageError: no such layout, or the place is taken.
    """
    if layout not in WRITERS:
        raise unknown_name("layout to export", layout, WRITERS)
    directory = to / name
    if directory.exists() and not force:
        raise UsageError(f"{directory} exists already. Name another place with --to, or replace it with --force.")
    return directory


def export(
    data: BenchmarkData, raw: RawData, layout: str, to: Path, whole: bool = False, force: bool = False
) -> Path:
    """Write a data set to `to/<name>`.

    Args:
        data: the data set with its split.
        raw: what it was made of.
        layout: "recbole" or "mmrec".
        to: a directory.
        whole: leave the split out.
        force: replace what is there.

    Returns:
        The directory with the files.

    Raises:
        UsageError: no such layout, or the place is taken, or an id cannot be written in that layout.
        ResultsError: nothing can be written there.
    """
    directory = check_place(data.name, layout, to, force)
    split = {"train": data.split.train, "valid": data.split.valid, "test": data.split.test}
    users, items = as_texts(raw.user_ids, data.n_users), as_texts(raw.item_ids, data.n_items)
    shipment = Shipment(data.name, {"": raw.whole} if whole else split, users, items, data.modalities)
    for ids in (users, items):
        _refuse_unwritable(ids, layout)
    for name in (base_name(data.name), *(modality.name for modality in data.modalities)):
        if not is_name(name):
            raise UsageError(
                f"The name {name[:80]!r} cannot be that of a file; take {ALLOWED}. Correct the data card."
            )
    temporary = to / f".{data.name}.{secrets.token_hex(8)}.part"
    try:
        temporary.mkdir(parents=True)
        WRITERS[layout](shipment, temporary)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.rename(directory)
    except OSError as problem:
        raise ResultsError(
            f"{directory} cannot be written: {problem.strerror}. Name another place with --to."
        ) from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _refuse_unwritable(ids: NDArray[np.object_], layout: str) -> None:
    """Ids that a tab-separated table cannot hold, or that pandas, which reads it, takes for missing."""
    missing = set(READ_AS_MISSING).intersection(ids)
    for text in ids:
        if text in missing or any(sign in text for sign in UNWRITABLE):
            raise UsageError(
                f"The id {text!r} cannot be written in the layout {layout}: a reader would take it for something "
                "else. Rename it in the original data and import that again."
            )


def _recbole(shipment: Shipment, directory: Path) -> None:
    """Atomic files: a table for each part, every user and item, and features as float_seq columns."""
    name = shipment.name
    for part, pairs in shipment.parts.items():
        columns: dict[str, Any] = {
            "user_id:token": shipment.users[pairs.users],
            "item_id:token": shipment.items[pairs.items],
        }
        if pairs.timestamps is not None:
            columns["timestamp:float"] = pairs.timestamps
        write_table(directory / ".".join(filter(None, (name, part, "inter"))), columns)
    write_table(directory / f"{name}.user", {"user_id:token": shipment.users})
    features = {f"{one.name}:float_seq": _joined(one) for one in shipment.modalities}
    write_table(directory / f"{name}.item", {"item_id:token": shipment.items, **features})
    (directory / f"{name}.yaml").write_text(_recbole_settings(shipment), encoding="utf-8")


def _joined(modality: Modality) -> Any:
    """Rows as numbers separated by blanks that read back exactly, "" where the item lacks the modality."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = modality.matrix[modality.present]
    offsets = np.zeros(len(modality.present) + 1, dtype=np.int32 if rows.size < 2**31 else np.int64)
    np.cumsum(modality.present * rows.shape[1], out=offsets[1:])
    texts = pa.array(rows.ravel()).cast(pa.large_string())
    lists = pa.ListArray if offsets.dtype == np.int32 else pa.LargeListArray
    return pc.binary_join(lists.from_arrays(offsets, texts), pa.scalar(" ", pa.large_string()))


def _recbole_settings(shipment: Shipment) -> str:
    """A configuration for RecBole that names the files' columns and parts."""
    timed = all(part.timestamps is not None for part in shipment.parts.values())
    inter = ["user_id", "item_id", *(["timestamp"] if timed else [])]
    settings: dict[str, Any] = {
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "load_col": {
            "inter": inter,
            "user": ["user_id"],
            "item": ["item_id", *(m.name for m in shipment.modalities)],
        },
    }
    if len(shipment.parts) > 1:
        settings["benchmark_filename"] = list(shipment.parts)
    head = (
        "# For RecBole: config_file_list=[this file], config_dict={'data_path': the directory above this one}.\n"
    )
    return head + dump_yaml(settings)


def _mmrec(shipment: Shipment, directory: Path) -> None:
    """One table with x_label, an .npy a modality by itemID, and the original ids in mapping files."""
    parts = list(shipment.parts.values())
    users, items = np.concatenate([part.users for part in parts]), np.concatenate([part.items for part in parts])
    user_order, item_order = _seen_last(users, len(shipment.users)), _seen_last(items, len(shipment.items))
    columns: dict[str, Any] = {"userID": np.argsort(user_order)[users], "itemID": np.argsort(item_order)[items]}
    times = [part.timestamps for part in parts if part.timestamps is not None]
    if len(times) == len(parts):
        columns["timestamp"] = np.concatenate(times)
    if len(parts) > 1:
        columns["x_label"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    write_table(directory / f"{shipment.name}.inter", columns)
    given = (("u", "user", shipment.users[user_order]), ("i", "item", shipment.items[item_order]))
    for letter, kind, ids in given:
        mapping = {f"{kind}_id": ids, f"{kind}ID": np.arange(len(ids))}
        write_table(directory / f"{letter}_id_mapping.csv", mapping)
    for modality in shipment.modalities:
        stem = MMREC_FILES.get(modality.name, f"{modality.name}_feat")
        np.save(directory / f"{stem}.npy", narrowest(modality.matrix[item_order]))


def _seen_last(ids: IntArray, count: int) -> IntArray:
    """The order in which users or items are numbered for MMRec, `[count]`: that of the data, the last one seen.

    MMRec takes the largest number in the table plus one for their count, so that those without an interaction
    must not end the list; they are moved to its beginning.
    """
    n_unseen = count - 1 - int(ids.max())
    return np.roll(np.arange(count), n_unseen)


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """A tab-separated table with its header, unquoted."""
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table({name: pa.array(values) if isinstance(values, np.ndarray) else values
                      for name, values in columns.items()})  # fmt: skip
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as stream:
        stream.write(("\t".join(columns) + "\n").encode())
        csv.write_csv(table, stream, options)


WRITERS: dict[str, Callable[[Shipment, Path], None]] = {"recbole": _recbole, "mmrec": _mmrec}
