"""Rows of feature files go to their own items or are refused: by position, by id, and by which of several ids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import DataError
from bench.data.adjusting import Adjustments
from bench.data.detect import Loaded, load_place
from bench.data.roles import Columns

N = 14  # items, and rows that say which one they are
ROWS = np.arange(100, 100 + 4 * N, dtype=np.float32).reshape(N, 4)


def interactions(folder: Path, items: list[str], head: str = "user_id,item_id", stars: int = 5) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [f"u{user},{item},{stars}" for user in range(6) for k, item in enumerate(items) if (user + k) % 3]
    (folder / "t.csv").write_text("\n".join([f"{head},stars", *rows]) + "\n")
    return folder


def rows_by_id(found: Loaded) -> dict[str, list[float]]:
    (modality,) = found.raw.modalities
    assert found.raw.item_ids is not None
    return {str(each): row.tolist() for each, row in zip(found.raw.item_ids, modality.matrix, strict=True)}


# --- rows by position


FROM_ONE = [str(n) for n in range(1, N + 1)]


@pytest.mark.parametrize("format", ["table", "recbole"])
@pytest.mark.parametrize("n_rows", [N, N + 1])
def test_rows_that_may_be_numbered_from_one_are_refused(n_rows: int, format: str, tmp_path: Path) -> None:
    """MovieLens numbers from 1: row 0 of 15 rows is then the item 1, and the item 15 has no interaction."""
    interactions(tmp_path, FROM_ONE)
    if format == "recbole":
        lines = (tmp_path / "t.csv").read_text().replace(",", "\t").splitlines()
        (tmp_path / "t.csv").unlink()
        (tmp_path / "t.inter").write_text("\n".join(["user_id:token\titem_id:token\tstars:float", *lines[1:]]))
    np.save(tmp_path / "image_feat.npy", np.vstack([ROWS, ROWS[:1]])[:n_rows])
    (problem,) = load_place(tmp_path).problems
    assert f"image_feat.npy has {n_rows} rows, and no interaction is with an item 0" in problem
    for first in (0, 1):
        order = tmp_path.parent / "order.txt"
        assert f"'seq {first} {first + n_rows - 1} > order.txt'" in problem
        order.write_text("".join(f"{first + k}\n" for k in range(n_rows)))
        found = rows_by_id(load_place(tmp_path, adjustments=Adjustments(item_order=order)))
        assert found["2"] == ROWS[2 - first].tolist()


def test_rows_that_start_with_zeros_are_numbered_from_zero(tmp_path: Path) -> None:
    interactions(tmp_path, FROM_ONE)
    np.save(tmp_path / "image_feat.npy", np.vstack([0 * ROWS[:1], ROWS]))
    found = load_place(tmp_path)
    assert found.problems == ()
    assert rows_by_id(found) == {str(n): ROWS[n - 1].tolist() for n in range(1, N + 1)}


def test_rows_of_ids_from_zero_are_taken(tmp_path: Path) -> None:
    """Also with gaps, and where the interactions of the item 0 are left out."""
    items = [str(n) for n in range(N) if n not in (3, 7)]
    interactions(tmp_path, items)
    np.save(tmp_path / "image_feat.npy", ROWS)
    assert rows_by_id(load_place(tmp_path)) == {each: ROWS[int(each)].tolist() for each in items}
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines = [line[:-1] + "1" if line.split(",")[1] == "0" else line for line in lines]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = load_place(tmp_path, columns=Columns(min_rating=4))
    assert (found.problems, rows_by_id(found)["1"]) == ((), ROWS[1].tolist())
    assert "0" not in rows_by_id(found)


# --- rows by id


@pytest.mark.parametrize(
    ("known", "given"), [("7", "7.0"), ("7", " 7"), ("7", "07"), ("007", "7"), ("7.0", "7"), ("B7", "B7 ")]
)
@pytest.mark.parametrize("way", ["json", "order"])
def test_an_id_in_another_spelling_is_no_other_item(way: str, known: str, given: str, tmp_path: Path) -> None:
    """Such rows were left out as those of items without an interaction."""
    interactions(tmp_path, ["11", "x", known])
    keys = ["11", "x", given, "other"]
    adjustments = None
    if way == "json":
        content = {key: row.tolist() for key, row in zip(keys, ROWS, strict=False)}
        (tmp_path / "image_feat.json").write_text(json.dumps(content))
    elif given.strip() != given:
        pytest.skip("lines are read without blanks")
    else:
        np.save(tmp_path / "image_feat.npy", ROWS[:4])
        (tmp_path.parent / "order.txt").write_text("\n".join(keys))
        adjustments = Adjustments(item_order=tmp_path.parent / "order.txt")
    try:
        (problem,) = load_place(tmp_path, adjustments=adjustments).problems
    except DataError as raised:
        problem = str(raised)
    assert f"has the item '{given}' where the interactions have '{known}' (1 such id)" in problem


@pytest.mark.parametrize("given", ["70", "7.5", "B7", "7a", "-7", "0x7", "7,0"])
def test_other_ids_are_those_of_other_items(given: str, tmp_path: Path) -> None:
    interactions(tmp_path, ["11", "7", "8"])
    content = {key: row.tolist() for key, row in zip(["7", "11", given], ROWS, strict=False)}
    (tmp_path / "image_feat.json").write_text(json.dumps(content))
    found = load_place(tmp_path)
    assert found.problems == ()
    assert "1 rows of image_feat.json are of items without an interaction, and were left out." in found.raw.notes
