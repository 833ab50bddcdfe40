"""The MMRec layout: made-up data through the whole loader, and every malformed table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import DataError, UsageError
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import Counts
from bench.data.load import load_dataset, load_from_card

CARD = cards.load("movielens")
LOOSE = CARD.model_copy(
    update={"sources": [CARD.sources[0].model_copy(update={"expected": Counts()}), *CARD.sources[1:]]}
)


def load(directory: Path, split: str | None = "shipped", **options: Any) -> Any:
    """Made-up data by the card without its counts, in the parts of the table unless told otherwise."""
    request = DataRequest(data_dirs=(directory.parent,), cache_dir=directory / "no", split=split, **options)
    return load_from_card(LOOSE, request)


def lines(directory: Path) -> list[str]:
    return (directory / "ml.inter").read_text().splitlines()


def rewrite(directory: Path, rows: list[str]) -> None:
    (directory / "ml.inter").write_text("\n".join(rows) + "\n")


def columns(rows: list[str], *kept: int) -> list[str]:
    return ["\t".join(row.split("\t")[index] for index in kept) for row in rows]


def test_parts_features_and_times(mmrec_dir: Path) -> None:
    data = load(mmrec_dir)
    assert (data.source, data.split.name, data.n_users, data.n_items) == ("real", "shipped", 6, 8)
    assert data.split.test.items.tolist() == [7] * 6
    assert data.split.valid.items.tolist() == [6] * 6
    assert data.split.train.keys.tolist() == [8 * u + i for u in range(6) for i in range(6) if (u + i) % 3]
    assert data.split.valid.timestamps.tolist() == [1006.0, 1016, 1026, 1036, 1046, 1056]
    assert [(one.name, one.dim) for one in data.modalities] == [("visual", 5), ("textual", 3)]
    assert "audio_feat.npy" in data.missing["acoustic"]
    assert any(note.startswith("Every row is a positive, whatever its 'rating' (") for note in data.notes)


def test_the_card_s_split_needs_no_labels(mmrec_dir: Path) -> None:
    shipped = load(mmrec_dir)
    rewrite(mmrec_dir, columns(lines(mmrec_dir), 1, 0))  # and in another order of columns
    data = load(mmrec_dir, split=None)
    assert (data.name, data.split.name) == ("movielens", "random")
    assert (len(data.split.train), len(data.split.valid), len(data.split.test)) == (30, 3, 3)
    assert data.data_hash == shipped.data_hash
    assert not any("rating" in note for note in data.notes)


def test_other_splits(mmrec_dir: Path, refused: Callable) -> None:
    assert load(mmrec_dir, split="global_time").split.train.timestamps.max() < 1050
    assert load(mmrec_dir, split="user").split.name == "user"
    rewrite(mmrec_dir, columns(lines(mmrec_dir), 0, 1))
    with refused(UsageError, "'shipped' needs parts"):
        load(mmrec_dir, split="shipped")
    with refused(UsageError, "'global_time' needs the time"):
        load(mmrec_dir, split="global_time")


def test_data_of_another_size_is_refused_under_the_name(mmrec_dir: Path, refused: Callable) -> None:
    with refused(DataError, str(mmrec_dir), "n_users", "6,036", "ludp-bench import"):
        load_dataset("movielens", DataRequest(data_dirs=(mmrec_dir.parent,), cache_dir=mmrec_dir / "no"))


def test_repeated_rows_and_unused_columns_are_noted(mmrec_dir: Path) -> None:
    rows = [f"{row}\t{'genre' if index == 0 else 'x'}" for index, row in enumerate(lines(mmrec_dir))]
    rewrite(mmrec_dir, [*rows, rows[1], rows[1]])
    data = load(mmrec_dir)
    assert data.n_interactions == 36
    assert "2 repeated rows of ml.inter were merged." in data.notes
    assert "Columns of ml.inter that are not used: genre." in data.notes


def change(row: int, column: int, value: str) -> Callable[[list[str]], list[str]]:
    def changed(rows: list[str]) -> list[str]:
        fields = rows[row].split("\t")
        fields[column] = value
        return [*rows[:row], "\t".join(fields), *rows[row + 1 :]]

    return changed


def without_user(user: str) -> Callable[[list[str]], list[str]]:
    return lambda rows: [row for row in rows if not row.startswith(f"{user}\t")]


def relabelled(label: str) -> Callable[[list[str]], list[str]]:
    return lambda rows: [row.removesuffix(f"\t{label}") + "\t0" * row.endswith(f"\t{label}") for row in rows]


TABLES: dict[str, tuple[Callable[[list[str]], list[str]], list[str]]] = {
    "user column missing": (lambda rows: columns(rows, 1, 2, 4), ["row 1", "'userID' is missing", "itemID"]),
    "item column misspelt": (change(0, 1, "item_ID"), ["row 1", "'itemID' is missing", "Did you mean 'item_ID'"]),
    "negative user": (change(2, 0, "-1"), ["row 3", "userID is -1", "Number from 0"]),
    "negative item": (change(5, 1, "-7"), ["row 6", "itemID is -7"]),
    "user gap": (without_user("3"), ["userID is 4", "no row has userID 3", "without gaps"]),
    "ids from one": (without_user("0"), ["row 2", "userID is 1", "no row has userID 0"]),
    "item gap": (change(1, 1, "9"), ["row 2", "itemID is 9", "no row has itemID 8", "feature files"]),
    "fractional id": (change(3, 1, "2.5"), ["row 4", "itemID", "2.5", "whole number"]),
    "text id": (change(4, 0, "alice"), ["row 5", "userID", "'alice'"]),
    "empty id": (change(3, 0, ""), ["row 4", "userID", "whole number"]),
    "huge id": (change(3, 0, "99999999999999999999"), ["row 4", "userID"]),
    "label 3": (change(6, 4, "3"), ["row 7", "x_label is 3", "1 (validation) or 2 (test). Correct"]),
    "label text": (change(6, 4, "train"), ["row 7", "x_label is 'train'"]),
    "label missing": (change(6, 4, ""), ["row 7", "x_label"]),
    "empty validation": (relabelled("1"), ["x_label 1", "validation part is empty"]),
    "empty test": (relabelled("2"), ["x_label 2", "test part is empty"]),
    "time text": (change(6, 3, "noon"), ["row 7", "timestamp is 'noon'", "seconds since"]),
    "commas": (lambda rows: [row.replace("\t", ",") for row in rows], ["row 1", "userID", "tabs"]),
    "no rows": (lambda rows: rows[:1], ["no interaction below its first row"]),
    "empty file": (lambda rows: [], ["ml.inter", "not a tab-separated table"]),
    "a longer row": (change(4, 4, "0\t8\t9"), ["ml.inter", "line 5"]),
    "longer rows": (lambda rows: [rows[0], *(f"{row}\t1" for row in rows[1:])], ["more fields than row 1"]),
    "same pair in two parts": (lambda rows: [*rows, "0\t7\t5\t1\t0"], ["1 user-item pairs", "training", "test"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_malformed_tables(case: str, mmrec_dir: Path, refused: Callable) -> None:
    harm, words = TABLES[case]
    rewrite(mmrec_dir, harm(lines(mmrec_dir)))
    named = [] if "pairs" in words[0] else [str(mmrec_dir / "ml.inter")]
    with refused(DataError, *named, *words):
        load(mmrec_dir)


def test_no_table_and_two_tables(mmrec_dir: Path, refused: Callable) -> None:
    (mmrec_dir / "other.inter").write_text("userID\titemID\n")
    with refused(DataError, "2 files named *.inter", "ml.inter, other.inter", "exactly one"):
        load(mmrec_dir)
    for name in ("ml.inter", "other.inter"):
        (mmrec_dir / name).unlink()
    with refused(DataError, str(mmrec_dir), "0 files named *.inter"):
        load(mmrec_dir)


def test_features_must_fit_and_be_there(mmrec_dir: Path, refused: Callable) -> None:
    np.save(mmrec_dir / "text_feat.npy", np.ones((9, 3)))
    with refused(DataError, "text_feat.npy", "9 rows", "8 items"):
        load(mmrec_dir)
    for name in ("text_feat.npy", "image_feat.npy"):
        (mmrec_dir / name).unlink()
    with refused(DataError, "no item features", "image_feat.npy, audio_feat.npy, text_feat.npy"):
        load(mmrec_dir)
