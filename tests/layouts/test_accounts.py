"""Nothing is read as fewer rows than a file has without a word: quotes, ratings, ids in two forms, two roles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from bench.core.errors import BenchError, DataError, UsageError
from bench.data import cards
from bench.data.detect import Loaded, load_place
from bench.data.exporting import export
from bench.data.formats.mmrec import read_source
from bench.data.formats.place import SourceOptions
from bench.data.inspecting import inspect
from bench.data.raw import RawData
from bench.data.roles import Columns
from bench.data.tables import count_lines, read_text

N = 200
LONE = {"far": (10, 150), "neighbours": (10, 11), "one": (10,), "last": (N - 1,)}


def rows(delimiter: str, titles: dict[int, str]) -> str:
    lines = [delimiter.join(("user_id", "item_id", "title", "timestamp"))]
    lines += [
        delimiter.join((f"u{k % 20}", f"i{k // 20}", titles.get(k, "x"), str(1_700_000_000 + k))) for k in range(N)
    ]
    return "\n".join(lines) + "\n"


def accounted(raw: RawData) -> int:
    """Lines below the header that something is said of."""
    return sum(map(len, raw.parts)) + raw.n_repeated + raw.n_dropped + raw.n_joined


@pytest.mark.parametrize(("ending", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
@pytest.mark.parametrize("case", LONE)
@pytest.mark.parametrize("form", ['"open', 'closed"', '"both" sides', '7" single'])
def test_lone_quotes_swallow_no_row(form: str, case: str, ending: str, delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text(rows(delimiter, dict.fromkeys(LONE[case], form)))
    raw = load_place(path).raw
    assert (len(raw.parts[0]), raw.n_repeated, raw.n_joined) == (N, 0, 0)


def test_an_opening_and_a_closing_quote_far_apart(tmp_path: Path) -> None:
    """By the rules of CSV this is one field of many lines; but each of these lines is a row of its own."""
    path = tmp_path / "t.csv"
    path.write_text(rows(",", {10: '"begins', 150: 'ends"'}))
    found = load_place(path)
    assert len(found.raw.parts[0]) == N
    assert any("Quotes in t.csv are letters" in note for note in found.raw.notes)


def test_fields_of_several_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(rows(",", {3: '"a review,\nof ""two"" lines"', 9: '"one\n\n\nmore"'}))
    raw = load_place(path).raw
    assert (len(raw.parts[0]), raw.n_joined) == (N, 2)  # blank lines are not counted
    assert "2 of 202 lines of t.csv continue a quoted field of the line above; 200 rows were read." in raw.notes
    assert accounted(raw) == count_lines(path) - 1


def test_quotes_that_are_neither_are_refused(tmp_path: Path) -> None:
    """Ids in quotes say that quotes are quotes; then an open one is an error that names the row."""
    path = tmp_path / "t.csv"
    path.write_text(rows(",", {10: '"open', 150: '"open'}).replace("u5,", '"u5",'))
    with pytest.raises(DataError, match=r"t\.csv, row 12: a field opens a double quote that is not closed"):
        load_place(path)


def test_lines_are_counted_whatever_ends_them(tmp_path: Path) -> None:
    for text, count in (("", 0), ("a", 1), ("a\nb", 2), ("\n\na\r\n\r\nb\r", 2), ("\ufeffa\n", 1), ("\ufeff", 0)):
        (tmp_path / "t").write_bytes(text.encode())
        assert count_lines(tmp_path / "t") == count, repr(text)


def test_lines_over_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(rows(",", {}))
    for size in (1, 7, 64):
        monkeypatch.setattr("bench.data.tables.BLOCK", size)
        assert count_lines(path) == N + 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user_id,item_id,time\n"),
        ("a.tsv", "user_id\titem_id\n\n\n"),
        ("a.inter", "user_id:token\titem_id:token\n"),
        ("b.inter", "userID\titemID\n"),
        ("c.inter", "user_id\titem_id\n"),
    ],
)
def test_a_header_without_rows(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name} (has no rows|holds no interaction) below its"):
        load_place(tmp_path)


def test_a_parquet_table_without_rows(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"user": pa.array([], pa.string()), "item": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match=r"a.parquet has no rows"):
        load_place(tmp_path)


# --- ratings and labels


RATED = {
    "csv": ("a.csv", "user_id,item_id,{},timestamp", ","),
    "tsv": ("a.tsv", "uid\titem\t{}\ttime", "\t"),
    "recbole": ("a.inter", "user_id:token\titem_id:token\t{}:float\ttimestamp:float", "\t"),
    "mmrec": ("a.inter", "userID\titemID\t{}\ttimestamp", "\t"),
    "parquet": ("a.parquet", "user_id,item_id,{},timestamp", ","),
}


def rated(layout: str, column: str, values: list[Any], folder: Path) -> Path:
    name, head, delimiter = RATED[layout]
    triples = [(k % 20, k // 20, value, 1_700_000_000 + k) for k, value in enumerate(values)]
    if layout == "parquet":
        names = head.format(column).split(",")
        parquet.write_table(
            pa.table(dict(zip(names, map(list, zip(*triples, strict=True)), strict=True))), folder / name
        )
    else:
        lines = [head.format(column), *(delimiter.join(map(str, triple)) for triple in triples)]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("layout", RATED)
@pytest.mark.parametrize(
    "column", ["rating", "Rating", "label", "is_click", "stars", "overall", "userRating", "LIKES"]
)
def test_what_looks_like_a_rating_is_named_with_its_range(layout: str, column: str, tmp_path: Path) -> None:
    folder = rated(layout, column, [k % 5 + 1 for k in range(N)], tmp_path)
    told = inspect(folder, cards.DATASETS).text
    assert f"note        Every row is a positive, whatever its '{column}' (1 to 5)." in told
    assert "--min-rating X or --positive LABEL" in told


@pytest.mark.parametrize("column", ["x_label", "title", "separate", "rate_limit_free", "mistake", "started"])
def test_what_does_not_look_like_one_is_not(column: str, tmp_path: Path) -> None:
    folder = rated("csv", column, ["a"] * N, tmp_path)
    assert ("Every row is a positive" in inspect(folder, cards.DATASETS).text) == (column == "rate_limit_free")


@pytest.mark.parametrize("layout", RATED)
def test_a_least_rating(layout: str, tmp_path: Path, home: Any) -> None:
    """Rows below it are left out, counted, said on the card, and done again by the card's own command."""
    folder = tmp_path / "given"
    folder.mkdir()
    rated(layout, "rating", [(3 * k + k // 20) % 5 + 1 for k in range(N)], folder)
    found = load_place(folder, columns=Columns(min_rating=4))
    assert (len(found.raw.parts[0]), found.raw.n_dropped) == (2 * N // 5, 3 * N // 5)
    assert accounted(found.raw) == N
    home.take(folder, "mine", columns=Columns(min_rating=4))
    (source,) = cards.load("mine", home.cards_dir).sources
    assert "120 of 200 rows are not positives by their 'rating' (1 to 5), and were left out." in source.notes
    assert source.how_to_get.endswith("--min-rating 4 --force")
    assert source.expected.n_interactions == 2 * N // 5


@pytest.mark.parametrize(
    ("values", "given", "kept"),
    [
        ([0, 1], {"positive": "1"}, 100),
        (["0.0", "1.0"], {"positive": "1"}, 100),
        (["like", "dislike", "skip", "like"], {"positive": "Like"}, 100),
        (["True", "False"], {"positive": "true"}, 100),
        ([1, ""], {"min_rating": 1.0}, 100),
        ([0.5, 0.49999], {"min_rating": 0.5}, 100),
    ],
)
def test_labels(values: list[Any], given: dict[str, Any], kept: int, tmp_path: Path) -> None:
    rated("csv", "label", [values[k % len(values)] for k in range(N)], tmp_path)
    assert len(load_place(tmp_path, columns=Columns(**given)).raw.parts[0]) == kept


@pytest.mark.parametrize(
    ("values", "given", "words"),
    [
        (["a", "b"], {"min_rating": 3.0}, "'label' holds 'a', 'b', which are not numbers"),
        ([1, 2], {"min_rating": 9.0}, "with --min-rating 9 no row is a positive; 'label' holds 1 to 2"),
        ([1, 2], {"positive": "yes"}, "with --positive yes no row is a positive"),
        ([1, 2], {"positive": "1", "rating": "lable"}, "'lable' is missing.*Did you mean 'label'"),
        ([1, 2], {"positive": "1", "rating": "user_id"}, "'user_id' would be that of users and of ratings"),
    ],
)
def test_choices_that_fit_nothing(values: list[Any], given: dict[str, Any], words: str, tmp_path: Path) -> None:
    rated("csv", "label", [values[k % 2] for k in range(N)], tmp_path)
    with pytest.raises(DataError, match=words):
        load_place(tmp_path, columns=Columns(**given))


def test_choices_that_say_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both select the positives"):
        Columns(min_rating=1, positive="1")
    with pytest.raises(UsageError, match="--rating-column has no effect alone"):
        Columns(rating="label")
    rated("csv", "title", ["x"] * N, tmp_path)
    with pytest.raises(DataError, match=r"no column looks like a rating or label.*--rating-column NAME"):
        load_place(tmp_path, columns=Columns(min_rating=1))


def test_parts_are_filtered_alike(tmp_path: Path) -> None:
    folder = examples.make("recbole", tmp_path / "r")
    path = folder / "tiny.train.inter"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace("\t4\t", "\t1\t"), *lines[2:]]) + "\n")
    raw = load_place(folder, columns=Columns(min_rating=2)).raw
    assert raw.n_dropped == 1
    assert accounted(raw) == len(examples.PAIRS)


# --- one column, one role; options that every layout honours or refuses


@pytest.mark.parametrize(
    "given",
    [{"user": "item_id"}, {"item": "user_id"}, {"time": "item_id"}, {"user": "item_id", "item": "item_id"}],
)
@pytest.mark.parametrize("layout", ["csv", "parquet", "recbole"])
def test_one_column_in_two_roles(layout: str, given: dict[str, str], tmp_path: Path) -> None:
    rated(layout, "title", [1] * N, tmp_path)
    with pytest.raises(DataError, match=r"a column has one role. Name another one with --"):
        load_place(tmp_path, columns=Columns(**given))


def test_mmrec_honours_the_columns(tmp_path: Path) -> None:
    rated("mmrec", "who", [k % 7 for k in range(N)], tmp_path)
    raw = load_place(tmp_path, columns=Columns(user="who")).raw
    assert raw.parts[0].n_users == 7
    for given, words in (
        ({"item": "userID"}, "'userID' would be that of users and of items"),
        ({"time": "nope"}, "'nope' is missing"),
        ({"user": "whoo"}, "'whoo' is missing.*Did you mean 'who'"),
    ):
        with pytest.raises(DataError, match=words):
            load_place(tmp_path, columns=Columns(**given))


@pytest.mark.parametrize("name", ["pickled-coo", "lattice"])
@pytest.mark.parametrize(
    "given",
    [{"user": "user_id"}, {"time": "x"}, {"min_rating": 3.0}, {"positive": "1"}],
    ids=lambda given: next(iter(given)),
)
def test_layouts_without_columns_refuse_them(name: str, given: dict[str, Any], tmp_path: Path) -> None:
    folder = examples.make(name, tmp_path / "x")
    with pytest.raises(UsageError, match=r"no named columns, so that --[a-z-]+ \S+ has no effect"):
        load_place(folder, columns=Columns(**given))


def test_an_untyped_inter_with_ids_of_text_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text('user_id\titem_id\ttitle\nu1\ti1\t"a\nu2\ti2\tb\nu3\ti1\t"c\n')
    found = load_place(tmp_path)
    assert (found.format, len(found.raw.parts[0])) == ("table", 3)


# --- ids in two forms


def test_numbers_with_and_without_a_point_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\n1.0\t5.0\n2.0\t6.0\n")
    (tmp_path / "d.item").write_text("item_id:token\tvisual:float_seq\n5\t0.5\n6\t0.25\n")
    with pytest.raises(DataError, match=r"'5\.0' and '5' are both item ids \(2 such pairs\)"):
        load_place(tmp_path)
    (tmp_path / "t.csv").write_text("user_id,item_id\n1.0,5\n2,6\n1,7\n")
    with pytest.raises(DataError, match=r"'1\.0' and '1' are both user ids"):
        load_place(tmp_path / "t.csv")


def test_numbers_with_a_point_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user_id,item_id\n1.0,5\n2.0,6\n")
    notes = " ".join(load_place(tmp_path).raw.notes)
    assert "2 user ids are whole numbers with '.0', such as '1.0'" in notes
    (tmp_path / "visual.json").write_text('{"5.0": [1.5], "6.0": [2.5]}')
    (problem,) = load_place(tmp_path).problems
    assert "has the item '5.0' where the interactions have '5' (2 such ids)" in problem


def test_content_of_other_items_only_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\nu\tb01\nv\tb02\n")
    (tmp_path / "d.item").write_text("item_id:token\tvisual:float_seq\nB01\t0.5\nB02\t0.25\n")
    (problem,) = load_place(tmp_path).problems
    assert "None of the 2 items with visual features" in problem
    assert "such as 'B01', and those with interactions such as 'b01'" in problem


def test_blanks_after_commas(tmp_path: Path) -> None:
    text = "user_id, item_id, time\n" + "".join(f"u{k % 9}, i{k // 9}, {k}\n" for k in range(90))
    (tmp_path / "t.csv").write_text(text)
    raw = load_place(tmp_path).raw
    assert raw.item_ids is not None
    assert raw.item_ids[0] == "i0"
    assert "The blank before every 'item_id' was left out." in raw.notes
    (tmp_path / "t.csv").write_text(text.replace(" i3,", "i3,"))
    raw = load_place(tmp_path).raw
    assert "9 item ids have blanks around them, such as ' i0'; they are kept." in raw.notes


# --- the same data, whatever the layout


def mapped_mmrec(folder: Path, user_ids: list[str], item_ids: list[str], pairs: list[tuple[int, int]]) -> Path:
    folder.mkdir()
    lines = [f"{u}\t{i}\t{1_700_000_000 + k}" for k, (u, i) in enumerate(pairs)]
    (folder / "d.inter").write_text("\n".join(["userID\titemID\ttimestamp", *lines]) + "\n")
    for letter, column, ids in (("u", "userID", user_ids), ("i", "itemID", item_ids)):
        rows = [f"{text}\t{k}" for k, text in enumerate(ids)]
        (folder / f"{letter}_id_mapping.csv").write_text("\n".join([f"id\t{column}", *rows]) + "\n")
    return folder


@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_mapped_ids_give_the_split_of_a_table(kind: str, tmp_path: Path, home: Any) -> None:
    """MMRec's numbers are in any order; the original ids decide, and features follow their items."""
    rng = np.random.default_rng(7)
    n_users, n_items = 20, 12
    user_ids = [f"u{k:02d}" if kind == "text" else str(7 * k + 100) for k in rng.permutation(n_users)]
    item_ids = [f"i{k:02d}" if kind == "text" else str(3 * k) for k in rng.permutation(n_items)]
    pairs = [(u, i) for u in range(n_users) for i in range(n_items) if rng.random() < 0.6]
    features = rng.standard_normal((n_items, 3)).astype(np.float32)
    folder = mapped_mmrec(tmp_path / "mm", user_ids, item_ids, pairs)
    np.save(folder / "image_feat.npy", features)
    (folder / "text_feat.json").write_text(
        "{" + ", ".join(f'"{k}": {features[k].astype(float).tolist()}' for k in range(n_items)) + "}"
    )
    table = tmp_path / "tab"
    table.mkdir()
    lines = [f"{user_ids[u]},{item_ids[i]},{1_700_000_000 + k}" for k, (u, i) in enumerate(pairs)]
    (table / "a.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    for name in ("image_feat", "text_feat"):
        np.savez(table / f"{name}.npz", item_id=np.array(item_ids), features=features)
    one, raw = home.take(folder, "same")
    for split in ("random", "user", "global_time"):
        one, raw = home.load("same", split=split)
        home.take(table, "same", force=True)
        two, raw_two = home.load("same", split=split)
        assert (one.data_hash, one.split_hash) == (two.data_hash, two.split_hash)
        assert list(raw.item_ids) == list(raw_two.item_ids)  # type: ignore[arg-type]
        home.take(folder, "same", force=True)
    of_card = cards.load("movielens").sources[0]
    of_card = of_card.model_copy(update={"expected": cards.Counts()})
    by_card = read_source(of_card, folder, SourceOptions())  # type: ignore[arg-type]
    assert np.array_equal(by_card.parts[0].keys, raw.parts[0].keys)
    assert np.array_equal(by_card.modalities[0].matrix, raw.modalities[0].matrix)


def test_the_export_for_mmrec_ends_with_items_that_are_seen(tmp_path: Path, home: Any) -> None:
    """MMRec counts items by the largest itemID: one without an interaction must not be the last."""
    folder = examples.make("recbole", tmp_path / "r")
    with (folder / "tiny.item").open("a") as stream:
        stream.write("Z8\tnew\t1 2 3 4\nZ9\tnew\t4 3 2 1\n")
    (folder / "text_feat.npy").unlink()
    (folder / "tiny.user").write_text("user_id:token\nuser-z\n")
    first = home.take(folder, "tiny")
    out = export(*first, "mmrec", tmp_path / "out")
    ids = [line.split("\t")[:2] for line in (out / "tiny.inter").read_text().splitlines()[1:]]
    n_items = 1 + max(int(item) for _, item in ids)
    assert n_items == len(np.load(out / "image_feat.npy")) == first[0].n_items == 11
    assert 1 + max(int(user) for user, _ in ids) == first[0].n_users == 7
    again, raw = home.take(out, "tiny", force=True)
    assert (again.data_hash, again.split_hash) == (first[0].data_hash, first[0].split_hash)
    assert list(raw.item_ids) == list(first[1].item_ids)


def test_every_layout_accounts_for_its_lines(tmp_path: Path) -> None:
    for name in ("mmrec", "recbole", "csv", "tsv"):
        folder = examples.make(name, tmp_path / name)
        found: Loaded = load_place(folder)
        tables = [path for path in folder.iterdir() if path.suffix in (".inter", ".csv", ".tsv")]
        assert accounted(found.raw) == sum(count_lines(path) - 1 for path in tables) == len(examples.PAIRS)


def test_a_table_of_no_utf8_and_a_short_row_are_said_by_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('user,item,title\na,b,"x"\na,c\n')
    with pytest.raises(DataError, match=r"t\.csv, row 3: it has 2 fields, row 1 has 3"):
        load_place(tmp_path)
    with pytest.raises(BenchError):
        read_text(tmp_path / "t.csv", ",", ["user"], quoted=False)


def test_the_values_of_pickled_matrices_are_told(tmp_path: Path) -> None:
    """Ratings in a matrix are no more used than those in a column; stored zeros are no interactions."""
    folder = examples.make("pickled-coo", tmp_path / "p")
    assert load_place(folder).raw.notes == ()
    for name in ("train_mat", "val_mat", "test_mat"):
        matrix = pickle.loads((folder / name).read_bytes())
        matrix.data[:] = np.arange(len(matrix.data)) % 5 + 1
        (folder / name).write_bytes(pickle.dumps(matrix, 3))
    assert load_place(folder).raw.notes == ("Every cell above 0 is a positive, whatever its value (1 to 5).",)
    matrix.data[:2] = 0
    (folder / "test_mat").write_bytes(pickle.dumps(matrix, 3))
    raw = load_place(folder).raw
    assert raw.notes[1] == "2 cells of the matrices hold 0 and were left out."
    assert accounted(raw) == len(examples.PAIRS)
