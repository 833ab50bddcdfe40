"""Every layout is recognised, and gives the same data: ids, parts, times, and features beside the right items."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import examples
import numpy as np
import pyarrow as pa
import pytest
from layouts_mutations import Payload
from pyarrow import parquet

from bench.core.errors import BenchError, DataError, UsageError
from bench.data.columns import as_texts
from bench.data.detect import Loaded, load_place
from bench.data.raw import check
from bench.data.roles import Columns

PARTED = ("pickled-coo", "mmrec", "lattice", "recbole")
TIMED = ("mmrec", "recbole", "csv", "parquet")
TOKENS = ("recbole", "csv", "parquet")


def loaded(name: str, tmp_path: Path) -> Loaded:
    return load_place(examples.make(name, tmp_path / name))


def original_ids(name: str) -> tuple[list[str], list[str]]:
    """What the users and items of the example are called."""
    if name in TOKENS:
        return examples.USER_IDS, examples.ITEM_IDS
    first = 10 if name == "tsv" else 0
    return [str(first + user) for user in range(examples.USERS)], [str(item) for item in range(examples.ITEMS)]


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_content_by_original_ids(name: str, tmp_path: Path) -> None:
    found = loaded(name, tmp_path)
    raw = found.raw
    check(raw)
    assert (found.format, found.problems, len(raw.parts)) == (
        examples.FORMAT_OF[name],
        (),
        3 if name in PARTED else 1,
    )
    users, items = (
        as_texts(ids, n) for ids, n in ((raw.user_ids, examples.USERS), (raw.item_ids, examples.ITEMS))
    )
    wanted_users, wanted_items = original_ids(name)
    got = {
        (users[u], items[i], part, t)
        for part, each in enumerate(raw.parts)
        for u, i, t in zip(
            each.users, each.items, each.timestamps if name in TIMED else each.users * 0, strict=True
        )
    }
    assert got == {
        (wanted_users[u], wanted_items[i], part if name in PARTED else 0, t if name in TIMED else 0)
        for (u, i), part, t in zip(examples.PAIRS, examples.PART, examples.TIMES, strict=True)
    }
    assert list(users) == sorted(wanted_users, key=lambda text: (len(text), text))
    assert [modality.name for modality in raw.modalities] == ["visual", "textual"]
    index = {text: position for position, text in enumerate(items)}
    for modality, rows in zip(raw.modalities, (examples.VISUAL, examples.TEXTUAL), strict=True):
        for item, text in enumerate(wanted_items):
            np.testing.assert_array_equal(modality.matrix[index[text]], rows[item].astype(np.float32))
            assert modality.present[index[text]] == bool(rows[item].any())


def test_numbers_are_sorted_by_value_and_texts_by_code_point(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("user,item\n" + "".join(f"{k},x{k}\n" for k in (10, 9, 2, 100)))
    raw = load_place(table).raw
    assert list(raw.user_ids) == [2, 9, 10, 100]
    assert list(raw.item_ids) == ["x10", "x100", "x2", "x9"]
    table.write_text("user,item\n" + "".join(f"{k},1\n" for k in ("10", "009", "2")))
    assert list(load_place(table).raw.user_ids) == ["009", "10", "2"]  # 009 is no number: all are texts


def test_columns_by_name_of_the_user_s_own(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("who;what;when\na;x;2024-01-01\nb;y;2024-01-02\n")
    with pytest.raises(DataError, match="no interactions in a known format"):
        load_place(table)
    raw = load_place(table, columns=Columns("who", "what", "when")).raw
    assert raw.parts[0].timestamps is not None
    assert raw.parts[0].timestamps.tolist() == [1704067200.0, 1704153600.0]
    with pytest.raises(DataError, match=r"'whose' is missing; the columns are who, what, when\. Did you"):
        load_place(table, "table", Columns("whose", "what"))


def test_rows_of_unknown_items_are_left_out_aloud(tmp_path: Path) -> None:
    folder = examples.make("mmrec", tmp_path / "m")
    features = json.loads((folder / "text_feat.json").read_text())
    (folder / "text_feat.json").write_text(json.dumps({**features, "77": [1, 2, 3]}))
    assert (
        "1 rows of text_feat.json are of items without an interaction, and were left out."
        in load_place(folder).raw.notes
    )


def test_positions_say_nothing_where_ids_are_texts(tmp_path: Path) -> None:
    folder = examples.make("csv", tmp_path / "c")
    np.save(folder / "audio_feat.npy", examples.TEXTUAL)
    (problem,) = load_place(folder).problems
    assert "audio_feat.npy has rows without ids" in problem
    assert "'item_id'" in problem


def test_two_files_of_one_modality(tmp_path: Path) -> None:
    folder = examples.make("lattice", tmp_path / "l")
    np.save(folder / "visual.npy", examples.VISUAL)
    (problem,) = load_place(folder).problems
    assert "visual.npy holds the modality 'visual', which is already read from" in problem


def test_items_beyond_the_interactions_of_lattice(tmp_path: Path) -> None:
    """LATTICE's items run to the last row of the features; without features, a gap is refused."""
    folder = examples.make("lattice", tmp_path / "l")
    for name in ("image_feat.npy", "text_feat.npy"):
        np.save(folder / name, np.ones((12, 2), np.float32))
    assert load_place(folder).raw.parts[0].n_items == 12
    for name in ("image_feat.npy", "text_feat.npy"):
        (folder / name).unlink()
    (folder / "test.json").write_text('{"0": [11]}')
    with pytest.raises(DataError, match=r"name the item 11, but no item 8.*feature file"):
        load_place(folder)


def test_recbole_lists_further_users_and_items(tmp_path: Path) -> None:
    folder = examples.make("recbole", tmp_path / "r")
    (folder / "tiny.user").write_text("user_id:token\nuser-a\nuser-z\n")
    with (folder / "tiny.item").open("a") as stream:
        stream.write("B99\tnew\t1 2 3 4\n")
    np.save(folder / "text_feat.npy", np.ones((10, 2), np.float32))
    raw = load_place(folder).raw
    assert (raw.parts[0].n_users, raw.parts[0].n_items) == (7, 10)
    assert raw.modalities[0].matrix[-1].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("parts", [("tiny",), ("tiny.train", "tiny.valid", "tiny.test")])
@pytest.mark.parametrize("kind", ["user", "item"])
def test_recbole_takes_the_table_with_the_name_of_the_interactions(
    kind: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    folder = examples.make("recbole", tmp_path / "r")
    if len(parts) == 1:
        for name in ("valid", "test"):
            (folder / f"tiny.{name}.inter").unlink()
        (folder / "tiny.train.inter").rename(folder / "tiny.inter")
    (folder / "tiny.user").write_text("user_id:token\n" + "".join(f"{user}\n" for user in examples.USER_IDS))
    before = load_place(folder)
    for name in ("aaa", "zzz"):
        (folder / f"{name}.{kind}").write_text(f"{kind}_id:token\n" + "".join(f"x{k}\n" for k in range(30)))
    found = load_place(folder)
    assert [len(one.matrix) for one in found.raw.modalities] == [examples.ITEMS, examples.ITEMS]
    assert (found.raw.parts[0].n_users, found.raw.parts[0].n_items) == (examples.USERS, examples.ITEMS)
    assert found.unread == (*before.unread, f"aaa.{kind}", f"zzz.{kind}")
    (folder / f"tiny.{kind}").unlink()
    words = rf"aaa\.{kind}, zzz\.{kind}; expected one, named tiny\.{kind} like {parts[0]}\.inter"
    with pytest.raises(DataError, match=words):
        load_place(folder)
    (folder / f"zzz.{kind}").unlink()
    counts = load_place(folder).raw.parts[0]  # a single one is taken, whatever its name
    assert (counts.n_users, counts.n_items)[kind == "item"] > 30


def test_an_unknown_layout_and_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'recbole'"):
        load_place(tmp_path, "recbol")
    with pytest.raises(UsageError, match="does not exist"):
        load_place(tmp_path / "nowhere")
    (tmp_path / "readme.md").write_text("hello")
    with pytest.raises(DataError, match=r"Its files are readme\.md.*pickled-coo needs.*lattice needs"):
        load_place(tmp_path)


def test_other_files_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMRec's models leave a pickled dictionary in the folder: it is not run, not read, and no obstacle."""
    monkeypatch.chdir(tmp_path)
    folder = examples.make("mmrec", tmp_path / "m")
    np.save(folder / "user_graph_dict.npy", np.array({0: Payload()}, dtype=object), allow_pickle=True)
    (folder / "log.txt").write_text("hello")
    found = load_place(folder)
    assert found.problems == ()
    assert found.unread[0] == "log.txt"
    assert found.unread[1].startswith("user_graph_dict.npy (")
    assert not (tmp_path / "marker").exists()
    (folder / "user_graph_dict.npy").rename(folder / "audio_feat.npy")
    assert "pickled objects are refused" in load_place(folder).problems[0]


BROKEN = {
    "empty id": ("csv", "ratings.csv", "user-b,", ",", "row"),
    "bad time": ("csv", "ratings.csv", "1700000000.5", "noon", "row 2: 'timestamp' is 'noon'"),
    "column named twice": ("csv", "ratings.csv", "timestamp", "userId", "'userId' is named twice"),
    "no type": ("recbole", "tiny.item", "title:token_seq", "title", "column 'title' has no RecBole type"),
    "odd number": ("recbole", "tiny.item", "0.125", "0.1.2", "holds '0.1.2', expected numbers"),
    "short row": ("recbole", "tiny.item", "0.125 ", "", "has 3 numbers, other rows have 4"),
    "user of lattice": ("lattice", "val.json", '"3"', '"x"', "the user 'x' is not a whole number"),
    "item of lattice": ("lattice", "val.json", "[7]", "[-7]", "expected a list of whole numbers"),
    "key twice": ("lattice", "val.json", '"3"', '"2"', "the key '2' is given twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tables_name_file_and_row(case: str, tmp_path: Path) -> None:
    name, file, old, new, words = BROKEN[case]
    folder = examples.make(name, tmp_path / name)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(BenchError) as caught:
        load_place(folder)
    assert str(folder / file) in str(caught.value)
    assert words in str(caught.value)


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    folder = examples.make("csv", tmp_path / "c")
    lines = (folder / "ratings.csv").read_bytes().splitlines()
    lines[4] = b"us\xe9r," + lines[4]
    (folder / "ratings.csv").write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"ratings\.csv, row 5 \(its byte 2"):
        load_place(folder)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (pa.array([10**15] * 3, pa.timestamp("s")), "dates that are out of range"),
        (pa.array([1, None, 3]), "row 1: 'time' is 'None'"),
        (pa.array([[1], [2], [3]]), "'time' is of type list"),
        (pa.array(["2024-01-01", "soon", "2024-01-03"]), "row 1: 'time' is 'soon'"),
    ],
)
def test_times_that_are_none(times: pa.Array, words: str, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [1, 2, 3], "item": [1, 2, 3], "time": times}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=words):
        load_place(tmp_path, columns=Columns(time="time"))


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (pa.array(["07/18/2014", "07/19/2014", ""]), "07/18/2014"),
        (pa.array(["12:30", "12:31", "1e4000000002"]), "12:30"),
        (pa.array([datetime.time(12, 30)] * 3), "12:30:00"),
        (pa.array([None, None, None], pa.float64()), "None"),
    ],
)
@pytest.mark.parametrize("name", ["date", "time"])
def test_a_column_without_any_time_is_left_out_aloud(
    name: str, times: pa.Array, first: str, tmp_path: Path
) -> None:
    """Where the user named it, it is an error."""
    parquet.write_table(pa.table({"user": [1, 2, 3], "item": [1, 2, 3], name: times}), tmp_path / "t.parquet")
    raw = load_place(tmp_path).raw
    assert raw.parts[0].timestamps is None
    (note,) = (each for each in raw.notes if each.startswith(f"Times were not read: no value of '{name}' in t."))
    assert f"the first is '{first}'" in note
    assert "--time-column" in note
    with pytest.raises(DataError, match=f"'{name}' is "):
        load_place(tmp_path, columns=Columns(time=name))


@pytest.mark.parametrize("ending", ["csv", "inter"])
def test_one_time_in_another_form_is_an_error(ending: str, tmp_path: Path) -> None:
    head = {"csv": "user,item,date", "inter": "user:token\titem:token\tdate:token"}[ending]
    separator = "," if ending == "csv" else "\t"
    rows = [separator.join(row) for row in (("a", "x", "2014-07-18"), ("b", "y", "07/18/2014"))]
    path = tmp_path / f"t.{ending}"
    path.write_text("\n".join([head, *rows]) + "\n")
    with pytest.raises(DataError, match=r"row 3: 'date' is '07/18/2014'"):
        load_place(path)
    path.write_text("\n".join([head, rows[1], rows[1].replace("b", "c")]) + "\n")
    assert any("Times were not read: no value of 'date'" in note for note in load_place(path).raw.notes)


def test_times_finer_than_a_microsecond(tmp_path: Path) -> None:
    times = pa.array([1_700_000_000_123_456_789, 1_700_000_000_000_000_001, -1], pa.timestamp("ns"))
    parquet.write_table(pa.table({"user": [1, 2, 3], "item": [1, 2, 3], "time": times}), tmp_path / "t.parquet")
    (part,) = load_place(tmp_path).raw.parts
    assert part.timestamps is not None
    assert part.timestamps.tolist() == pytest.approx([1_700_000_000.123456, 1_700_000_000, 0], abs=2e-6)


def test_times_of_every_type(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    columns = [
        pa.array([when], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([when.date()]),
        pa.array(["2024-01-01"]),
    ]
    for column in (*columns, pa.array([1704067200]), pa.array(["1704067200"]), pa.array([1704067200.0])):
        parquet.write_table(pa.table({"user": [1], "item": [1], "time": column}), tmp_path / "t.parquet")
        assert load_place(tmp_path).raw.parts[0].timestamps.tolist() == [1704067200.0]  # type: ignore[union-attr]
