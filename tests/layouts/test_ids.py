"""Ids of users and items that are one id in two spellings, or stand for a missing value."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pandas._libs.parsers import STR_NA_VALUES
from pyarrow import parquet

from bench.core.errors import DataError
from bench.data.detect import load_place
from bench.data.ids import READ_AS_MISSING, WRITTEN_FOR_MISSING


def table(folder: Path, users: list[str], items: list[str]) -> Path:
    path = folder / "t.parquet"
    parquet.write_table(pa.table({"user_id": users, "item_id": items}), path)
    return path


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["0 ", "0", "1"], r"'0 ' and '0' are both {0} ids \(1 such pairs\).*Write ids without blanks"),
        ([" a", "a ", "b"], "' a' and 'a ' are both {0} ids"),
        (["a\u00a0", "a", "b"], "'a\u00a0' and 'a' are both {0} ids"),
        (["5", "5.0", "6"], r"'5\.0' and '5' are both {0} ids.*Write whole numbers without '\.0'"),
        (["5.0", "5.00", "6"], r"'5\.00' and '5\.0' are both {0} ids"),
        (["5.0 ", "5", "6"], r"'5\.0 ' and '5' are both {0} ids"),
    ],
)
@pytest.mark.parametrize("kind", ["user", "item"])
def test_one_id_in_two_spellings_is_refused(kind: str, ids: list[str], words: str, tmp_path: Path) -> None:
    others = ["x", "y", "z"]
    path = table(tmp_path, *((ids, others) if kind == "user" else (others, ids)))
    with pytest.raises(DataError, match=words.format(kind)):
        load_place(path)


def test_blanks_without_a_twin_are_a_note(tmp_path: Path) -> None:
    raw = load_place(table(tmp_path, ["0 ", "1", "2"], ["a b", "ab", "c"])).raw
    assert "1 user ids have blanks around them, such as '0 '; they are kept." in raw.notes
    assert (raw.parts[0].n_users, raw.parts[0].n_items) == (3, 3)


@pytest.mark.parametrize("text", [each for each in WRITTEN_FOR_MISSING if each])
def test_what_stands_for_a_missing_value_is_counted(text: str, tmp_path: Path) -> None:
    raw = load_place(table(tmp_path, ["a", text, "b", text], ["x", "y", "x", "z"])).raw
    assert raw.parts[0].n_users == 3
    (note,) = (each for each in raw.notes if "where a value is missing" in each)
    assert note.startswith(f"2 rows have the user id {text!r}, which other programs write")


def test_several_of_them_in_several_parts(tmp_path: Path) -> None:
    for part, items in (("train", ("nan", "x", "NULL")), ("valid", ("x", "nan", "y")), ("test", ("y", "z", "x"))):
        rows = [f"{user}\t{item}" for user, item in zip("abc", items, strict=True)]
        (tmp_path / f"d.{part}.inter").write_text("\n".join(["user_id:token\titem_id:token", *rows]) + "\n")
    notes = load_place(tmp_path).raw.notes
    assert any(note.startswith("3 rows have the item id 'NULL', 'nan', which") for note in notes)


def test_what_looks_like_them_is_an_id_like_others(tmp_path: Path) -> None:
    notes = load_place(table(tmp_path, ["nancy", "nano", "N"], ["NAS", "0", "-"])).raw.notes
    assert not any("missing" in note for note in notes)


def test_the_list_is_that_of_pandas() -> None:
    assert set(READ_AS_MISSING) == set(STR_NA_VALUES)
