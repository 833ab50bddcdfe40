"""Rows of feature files go to their own items or are refused: by position, by id, and by which of several ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

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


# --- which of several columns has the ids


ITEMS = ["b", "d", "a", "c"]
OWN = {item: ROWS[n].tolist() for n, item in enumerate(ITEMS)}


def keyed(path: Path, **ids: list[str] | list[int]) -> None:
    """A feature file with the given columns of ids before the features, or a table of --item-order."""
    if path.suffix == ".npz":
        np.savez(path, **{name: np.array(each) for name, each in ids.items()}, features=ROWS[:4])
    elif path.suffix == ".safetensors":
        numbers = {name: np.array(each) for name, each in ids.items()}
        save_file({**numbers, "features": ROWS[:4]}, path)
    elif path.suffix == ".csv":
        rows = [",".join(map(str, row)) for row in zip(*ids.values(), strict=True)]
        path.write_text("\n".join([",".join(ids), *rows]) + "\n")
    else:
        parquet.write_table(pa.table({**ids, "feature": ROWS[:4].tolist()}), path)


def features(folder: Path, way: str, **ids: list[str] | list[int]) -> Adjustments | None:
    """Features of four items, keyed by a file of this kind."""
    if way in ("csv", "order.parquet"):
        np.save(folder / "image_feat.npy", ROWS[:4])
        keyed(folder.parent / f"order.{way.rpartition('.')[2]}", **ids)
        return Adjustments(item_order=folder.parent / f"order.{way.rpartition('.')[2]}")
    keyed(folder / f"image_feat.{way}", **ids)
    return None


def problem_of(folder: Path, **options: Any) -> str:
    try:
        (problem,) = load_place(folder, **options).problems
    except DataError as raised:
        return str(raised)
    return problem


WAYS = ["parquet", "npz", "csv", "order.parquet"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", ["id", "items", "movieId", "asin"])
def test_two_columns_of_ids_that_differ_are_refused(other: str, way: str, tmp_path: Path) -> None:
    """A row number before the ids would give every item the features of another one."""
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    adjustments = features(folder, way, **{other: ["d", "c", "b", "a"], "item_id": ITEMS})
    problem = problem_of(folder, adjustments=adjustments)
    assert f"'item_id' and '{other}' may both hold the ids of the items, and they differ, as in 'b' and 'd'" in (
        problem
    )
    assert "Name the right one with --item-column" in problem
    found = load_place(folder, columns=Columns(item="item_id"), adjustments=adjustments)
    assert (found.problems, rows_by_id(found)) == ((), OWN)


@pytest.mark.parametrize("way", WAYS)
def test_the_user_s_column_of_items_has_the_ids(way: str, tmp_path: Path) -> None:
    """Whatever else is named like ids, and whatever its own name is."""
    folder = interactions(tmp_path / "d", sorted(ITEMS), "user_id,sku")
    adjustments = features(folder, way, id=[0, 1, 2, 3], item_id=["x", "b", "a", "y"], sku=ITEMS)
    found = load_place(folder, columns=Columns(item="sku"), adjustments=adjustments)
    assert (found.problems, rows_by_id(found)) == ((), OWN)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["id", "ItemID", "items", "product_id", "parent_asin"])
def test_one_column_of_ids_or_two_that_are_equal(name: str, way: str, tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    for more in ({}, {"asin": ITEMS}):
        found = load_place(folder, adjustments=features(folder, way, **{name: ITEMS}, **more))
        assert (found.problems, rows_by_id(found)) == ((), OWN)


def test_row_numbers_before_ids_in_safetensors(tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", [str(n) for n in range(4)])
    features(folder, "safetensors", id=[0, 1, 2, 3], item_id=[2, 3, 1, 0])
    assert "'item_id' and 'id' may both hold the ids" in problem_of(folder)
    found = load_place(folder, columns=Columns(item="item_id"))
    assert rows_by_id(found) == {str(n): ROWS[k].tolist() for k, n in enumerate([2, 3, 1, 0])}


def test_a_matrix_named_item_is_no_ids(tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    np.savez(folder / "image_feat.npz", item=ROWS[:4], id=np.array(ITEMS))
    assert [one.name for one in load_place(folder).raw.modalities] == ["item"]
    assert rows_by_id(load_place(folder)) == OWN


# --- columns of metadata are no features


def metadata(path: Path, **more: Any) -> None:
    columns = {"item_id": ITEMS, "title": ["x"] * 4, "price": [1.5, None, 3.0, 4.0], "year": [1999, 2000, 1, 2]}
    parquet.write_table(pa.table({**columns, **more}), path)


@pytest.mark.parametrize("name", ["items", "catalogue", "metadata"])
def test_columns_of_metadata_are_no_features(name: str, tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    metadata(folder / f"{name}.parquet")
    found = load_place(folder)
    assert (found.problems, found.raw.modalities) == ((), ())
    (unread,) = found.unread
    assert unread.startswith(f"price, title, year in {name}.parquet (features are columns of lists of floats;")


@pytest.mark.parametrize("name", ["items", "items_feat"])
def test_metadata_beside_a_column_of_lists(name: str, tmp_path: Path) -> None:
    """An empty price says nothing against the features."""
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    metadata(folder / f"{name}.parquet", visual=ROWS[:4].tolist())
    found = load_place(folder)
    assert (found.problems, rows_by_id(found)) == ((), OWN)
    assert found.unread[0].startswith(f"price, title, year in {name}.parquet (")


def test_single_floats_by_the_name_of_the_file(tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    columns = {f"c{k}": ROWS[:4, k] for k in range(4)}
    parquet.write_table(pa.table({"item_id": ITEMS, "n": [1, 2, 3, 4], **columns}), folder / "items_feat.parquet")
    found = load_place(folder)
    assert (found.problems, rows_by_id(found)) == ((), OWN)
    assert found.unread[0].startswith("n in items_feat.parquet (")


def test_two_columns_of_lists_stay_two(tmp_path: Path) -> None:
    folder = interactions(tmp_path / "d", sorted(ITEMS))
    both = {"feature": ROWS[:4].tolist(), "features": ROWS[4:8].tolist()}
    parquet.write_table(pa.table({"item_id": ITEMS, **both}), folder / "image_feat.parquet")
    assert "holds the modality 'visual', which is already read from" in problem_of(folder)
