"""Exponents beyond 32 bits, on which the parsers of pandas crash the process, are errors like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.cli.main import main
from bench.core.errors import DataError
from bench.data import cards, numerals
from bench.data.cards import RatingsSource
from bench.data.detect import load_place
from bench.data.formats.place import SourceOptions
from bench.data.formats.ratings import read_source
from bench.data.numerals import holds_huge_exponents, to_numbers
from bench.data.topk_files import frame_of_lists, read_recommendations

HUGE = ["1e4000000002", "151e3000000070", "-1.5E+2147483648", " 1.e4000000002", "1e-4000000002"]


def test_numbers_of_texts() -> None:
    texts = pd.Series(["1", " 2.5 ", "-3e2", "1e308", "nan", "x", None, *HUGE])
    expected = [1, 2.5, -300, 1e308, *[float("nan")] * (3 + len(HUGE))]
    assert to_numbers(texts).tolist() == pytest.approx(expected, nan_ok=True)
    assert to_numbers(pd.Series([1, 2.5, "3", HUGE[0]], dtype=object)).tolist()[:3] == [1, 2.5, 3]
    assert to_numbers(pd.Series([3, 4])).tolist() == [3, 4]


def test_they_are_found_wherever_a_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    for size in (1, 2, 5, 7, 64):
        monkeypatch.setattr(numerals, "BLOCK", size)
        for text, found in (("a\t1e+4000", True), ("xx\n3E4000000002", True), ("1e300\t4000e1\n1e 4000", False)):
            path.write_text(text)
            assert holds_huge_exponents(path) == found, (text, size)


@pytest.mark.parametrize("text", HUGE)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "d.inter"])
def test_as_the_time_of_a_table(name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "userID,itemID,timestamp" if name == "d.inter" else "user_id,item_id,timestamp"
    rows = [head, *(f"{n % 4},{n % 3},{1_600_000_000 + n}" for n in range(12)), f"0,1,{text}"]
    separator = "," if name == "t.csv" else "\t"
    (tmp_path / name).write_text("\n".join(rows).replace(",", separator) + "\n")
    assert main(["inspect", str(tmp_path)]) == 2
    assert f"{name}, row 14: " in (told := " ".join(capsys.readouterr().err.split()))
    assert f"is '{text}', expected seconds since 1970" in told


@pytest.mark.parametrize(("column", "words"), [(0, "userID is '1e4000000002'"), (3, None), (4, None)])
def test_as_any_column_of_mmrec(column: int, words: str | None, tmp_path: Path) -> None:
    """A column that is not used may hold anything; the others keep their numbers."""
    rows = [[str(n % 4), str(n % 3), str(1_600_000_000 + n), "5.0", "title"] for n in range(12)]
    rows[5][column] = HUGE[0]
    head = "userID\titemID\ttimestamp\trating\ttitle"
    (tmp_path / "d.inter").write_text("\n".join([head, *map("\t".join, rows)]) + "\n")
    if words is None:
        (whole,) = load_place(tmp_path).raw.parts
        assert (whole.n_users, whole.n_items) == (4, 3)
        assert whole.timestamps is not None
    else:
        with pytest.raises(DataError, match=rf"row 7: {words}, expected a whole number"):
            load_place(tmp_path)


def test_as_a_feature_of_recbole(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\na\tx\nb\ty\n")
    (tmp_path / "d.item").write_text(f"item_id:token\tvisual:float_seq\nx\t1 2\ny\t3 {HUGE[0]}z\n")
    with pytest.raises(DataError, match=rf"row 3: 'visual:float_seq' holds '{HUGE[0]}z', expected numbers"):
        load_place(tmp_path)


def test_as_a_rating_of_grouplens(tmp_path: Path) -> None:
    source = cards.load("ml-1m").sources[0]
    assert isinstance(source, RatingsSource)
    (tmp_path / "ratings.dat").write_text(f"10::7::5::978300760\n2::7::3::{HUGE[0]}\n")
    with pytest.raises(DataError, match=rf"row 2: the time is '{HUGE[0]}', expected a number"):
        read_source(source, tmp_path, SourceOptions())


def test_as_a_score_of_recommendations(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(f"user,item,score\na,x,1\na,y,{HUGE[0]}\n")
    row = {"user": "a", "item": "x", "score": HUGE[1]}
    (tmp_path / "l.jsonl").write_text(json.dumps(row) + "\n")
    for name, text in (("l.csv", HUGE[0]), ("l.jsonl", HUGE[1])):
        with pytest.raises(DataError, match=rf"a score that is no number, for example '{text}'"):
            read_recommendations(tmp_path / name)
    assert frame_of_lists({"a": ["x", "y"]})["place"].tolist() == [0, 1]
