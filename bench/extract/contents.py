"""Layer 4. Where the content of items lies: texts in a file of JSON lines, images and sounds as files. Reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError, UsageError, listed, nearest_hint
from bench.files import check_plain
from bench.sources.ids import id_text

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".m4a"),
}
Contents = dict[int, Any]


@dataclass(frozen=True, eq=False)
class ItemRows:
    """Which row of the feature matrix an item has.

    Attributes:
        rows: row of each item by its id as text.
        numbered: whether these ids are mere numbers, since the data has no ids of its own.
    """

    rows: dict[str, int]
    numbered: bool

    @classmethod
    def of_ids(cls, ids: Iterable[str]) -> ItemRows:
        """Items with ids of their own, in the order of their rows."""
        return cls({text: row for row, text in enumerate(ids)}, numbered=False)

    @classmethod
    def from_number(cls, first: int, n_items: int) -> ItemRows:
        """Items without ids, numbered from `first`."""
        return cls({str(first + row): row for row in range(n_items)}, numbered=True)

    def row(self, item_id: Any, where: str) -> int | None:
        """The row of an item; None where the data set, which has ids of its own, does not have it.

        Raises:
            DataError: this is no id, or no number of an item.
        """
        text = id_text(item_id)
        found = None if text is None else self.rows.get(text)
        if found is None and self.numbered:
            first, last = next(iter(self.rows)), next(reversed(self.rows))
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a number from {first} to {last}. "
                "--first-id says which number the first item has."
            )
        if text is None:
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a whole number or a text, as in the data set's own "
                f"files, such as '{next(iter(self.rows))}'. Correct it."
            )
        return found


def texts(path: Path, fields: Sequence[str], items: ItemRows) -> tuple[Contents, int]:
    """The text of each item, its fields joined by full stops; an item without any text is left out.

    Args:
        path: one JSON object a line, with `item_id` and the fields, each a text or a list of texts.
        fields: in order.
        items: their rows.

    Returns:
        The texts by row, and the number of lines whose item is not in the data set.

    Raises:
        DataError: the file cannot be read, or a line is no item or has one twice, or none is of the data set.
    """
    found: Contents = {}
    others: list[Any] = []
    seen: set[str] = set()
    try:
        check_plain(path)
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{path}, line {number}"
                record = _object(line, where)
                seen |= set(record)
                row = items.row(record.get("item_id"), where)
                if row is None:
                    others.append(record["item_id"])
                    continue
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
    _refuse_strangers(path, len(found), others, items)
    return {row: text for row, text in sorted(found.items()) if text}, len(others)


def _refuse_strangers(path: Path, n_found: int, others: Sequence[Any], items: ItemRows) -> None:
    """Refuse contents of which none is of an item of the data set."""
    if others and not n_found:
        raise DataError(
            f"{path} has the items '{others[0]}' and the like, none of which is in the data set; its items are "
            f"such as '{next(iter(items.rows))}'. Give the contents under the ids of the data set's own files."
        )


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


def files(folder: Path, kind: str, items: ItemRows) -> tuple[Contents, int]:
    """The file of each item, named by the item's id and a suffix of its kind.

    Returns:
        The files by row, and the number of those whose item is not in the data set.

    Raises:
        DataError: the folder cannot be read, or a file is of the same item as another, or none is of the data set.
    """
    found: Contents = {}
    others: list[str] = []
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
        row = items.row(path.stem, str(path))
        if row is None:
            others.append(path.stem)
        elif row in found:
            raise DataError(f"{path} and {found[row]} are of the same item. Remove one of them.")
        else:
            found[row] = path
    _refuse_strangers(folder, len(found), others, items)
    return dict(sorted(found.items())), len(others)
