"""Layer 4. Where the content of items lies: texts in a file of JSON lines, images and sounds as files. Reads."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import DataError, UsageError, listed, nearest_hint
from bench.files import check_plain

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".m4a"),
}
Contents = dict[int, Any]


def texts(path: Path, fields: Sequence[str], n_items: int, first_id: int) -> Contents:
    """The text of each item, its fields joined by full stops; an item without any text is left out.

    Args:
        path: one JSON object a line, with `item_id` and the fields, each a text or a list of texts.
        fields: in order.
        n_items: number of items.
        first_id: the `item_id` of the first item.

    Raises:
        DataError: the file cannot be read, or a line is no item or has one twice.
    """
    found: Contents = {}
    seen: set[str] = set()
    try:
        check_plain(path)
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{path}, line {number}"
                record = _object(line, where)
                seen |= set(record)
                row = _row(record.get("item_id"), n_items, first_id, where)
                if row in found:
                    raise DataError(f"{where}: the item {record['item_id']} is there twice. Remove one of them.")
                text = ". ".join(
                    part for field in fields for part in _parts(record.get(field), f"{where}: {field}")
                )
                found[row] = text
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Name another file with --input.") from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} cannot be read as text ({problem}). Save it as UTF-8.") from problem
    for field in fields:
        if field not in seen:
            hint = nearest_hint(field, seen)
            raise UsageError(
                f"No line of {path} has the field '{field}'.{hint} There are: {listed(sorted(seen))}."
            )
    return {row: text for row, text in sorted(found.items()) if text}


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{where} is no JSON ({problem}). Write one object a line.") from problem
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object. Write one object with 'item_id' a line.")
    return record


def _parts(value: Any, where: str) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, str) for one in values):
        raise DataError(f"{where} is neither a text nor a list of texts. Correct the line.")
    return [one.strip().rstrip(".") for one in values if one.strip()]


def _row(item_id: Any, n_items: int, first_id: int, where: str) -> int:
    try:
        row = int(item_id) - first_id
    except (TypeError, ValueError, OverflowError):
        row = -1
    if not 0 <= row < n_items:
        raise DataError(
            f"{where}: 'item_id' is {reprlib.repr(item_id)}, expected a number from {first_id} to "
            f"{first_id + n_items - 1}. --first-id says which number the first item has."
        )
    return row


def files(folder: Path, kind: str, n_items: int, first_id: int) -> Contents:
    """The file of each item, named by the item's number and a suffix of its kind; others are an error.

    Raises:
        DataError: the folder cannot be read, or a file is of no item or of the same as another.
    """
    found: Contents = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[kind])
    except OSError as problem:
        raise DataError(
            f"{folder} is no folder that can be read ({problem.strerror}). Name another with --input."
        ) from problem
    if not paths:
        raise DataError(f"{folder} holds no {kind} files: none ends with {listed(SUFFIXES[kind])}.")
    for path in paths:
        check_plain(path)
        row = _row(path.stem, n_items, first_id, str(path))
        if row in found:
            raise DataError(f"{path} and {found[row]} are of the same item. Remove one of them.")
        found[row] = path
    return dict(sorted(found.items()))
