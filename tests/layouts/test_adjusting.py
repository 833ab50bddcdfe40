"""Options of imports: a k-core, item ids for rows without ids, cards elsewhere, and likely columns."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest

import bench
from bench.cli.main import main
from bench.core.errors import DataError, UsageError
from bench.core.types import Interactions
from bench.data import cards
from bench.data.adjusting import Adjustments, k_core
from bench.data.columns import as_texts
from bench.data.detect import load_place
from bench.data.inspecting import inspect
from bench.data.raw import RawData, check
from bench.data.roles import Columns, propose_column

# --- k-core


def core_of(pairs: set[tuple[str, str]], k: int) -> set[tuple[str, str]]:
    """The k-core, written plainly: drop one user or item at a time."""
    while True:
        for place in (0, 1):
            names = [pair[place] for pair in pairs]
            few = next((name for name in sorted(set(names)) if names.count(name) < k), None)
            if few is not None:
                pairs = {pair for pair in pairs if pair[place] != few}
                break
        else:
            return pairs


def random_raw(seed: int, n_parts: int = 1) -> RawData:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 30, 160), rng.integers(0, 25, 160)
    _, first = np.unique(users * 25 + items, return_index=True)
    chosen = np.array_split(rng.permutation(first), n_parts)
    parts = tuple(Interactions.from_pairs(users[k], items[k], 30, 25) for k in chosen)
    return RawData("drawn", parts, ())


def named(raw: RawData) -> set[tuple[str, str]]:
    users, items = as_texts(raw.user_ids, raw.parts[0].n_users), as_texts(raw.item_ids, raw.parts[0].n_items)
    return {(users[u], items[i]) for part in raw.parts for u, i in zip(part.users, part.items, strict=True)}


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_k_core_is_that_of_the_plain_definition(k: int, seed: int, n_parts: int) -> None:
    raw = random_raw(seed, n_parts)
    core = k_core(raw, k)
    check(core)
    assert named(core) == core_of(named(raw), k)
    assert core.n_dropped == sum(map(len, raw.parts)) - sum(map(len, core.parts))
    after = core.parts[0].n_users, core.parts[0].n_items, sum(map(len, core.parts))
    assert "Before: 30 users, 25 items and" in core.notes[-1]
    assert "after: {:,} users, {:,} items and {:,} interactions.".format(*after) in core.notes[-1]


def test_a_core_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="--k-core 99 leaves nothing of 30 users"):
        k_core(random_raw(0), 99)
    with pytest.raises(UsageError, match="--k-core 0: expected a whole number from 1"):
        Adjustments(k_core=0)


@pytest.fixture
def rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples without two of the interactions of one item, which then has two."""
    of_item = [place for place, (_, item) in enumerate(examples.PAIRS) if item == 4]
    kept = [place for place in range(len(examples.PAIRS)) if place not in of_item[:2]]
    for name in ("PAIRS", "PART", "TIMES"):
        monkeypatch.setattr(examples, name, [getattr(examples, name)[place] for place in kept])


@pytest.mark.usefixtures("rare")
@pytest.mark.parametrize("names", [("csv", "parquet"), ("pickled-coo", "lattice", "mmrec")])
def test_the_same_data_gives_the_same_core_and_split_in_any_layout(
    names: tuple[str, ...], tmp_path: Path, home: Any
) -> None:
    found = set()
    for name in names:
        folder = examples.make(name, tmp_path / name)
        data, _ = home.take(folder, "tiny", adjustments=Adjustments(k_core=3), force=True)
        found.add((data.data_hash, data.split_hash, data.n_users, data.n_items, data.n_interactions))
    ((*_, n_items, n),) = found
    assert (n_items, n) == (examples.ITEMS - 1, len(examples.PAIRS) - 2)


@pytest.mark.usefixtures("rare")
def test_features_follow_their_items(tmp_path: Path) -> None:
    folder = examples.make("csv", tmp_path / "given")
    whole, core = (load_place(folder, adjustments=Adjustments(k_core=k)).raw for k in (1, 3))
    assert whole.item_ids is not None
    assert core.item_ids is not None
    kept = np.isin(whole.item_ids, core.item_ids)
    assert 0 < kept.sum() < len(kept)
    for one, other in zip(whole.modalities, core.modalities, strict=True):
        assert np.array_equal(one.matrix[kept], other.matrix)
        assert np.array_equal(one.present[kept], other.present)
        assert one.fingerprint != other.fingerprint


@pytest.mark.usefixtures("rare")
def test_a_core_is_on_the_card_and_in_its_command(tmp_path: Path, home: Any) -> None:
    folder = examples.make("csv", tmp_path / "given")
    data, _ = home.take(folder, "mine", adjustments=Adjustments(k_core=3))
    (source,) = cards.load("mine", home.cards_dir).sources
    assert any(note.startswith("--k-core 3: users and items with fewer than 3") for note in source.notes)
    assert source.how_to_get.endswith("--k-core 3 --force")
    assert source.expected.n_items == data.n_items < examples.ITEMS
    assert any("--k-core 3" in note for note in data.notes)  # read again, it is said again
    assert "--k-core 3 && ludp-bench run" in inspect(folder, home.cards_dir, adjustments=Adjustments(3)).text


# --- item ids for the rows of a feature file


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Interactions by text ids, and features whose rows follow products.csv."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [f"{examples.USER_IDS[u]},{examples.ITEM_IDS[i]},{(u + i) % 5 + 1},x" for u, i in examples.PAIRS]
    text = "\n".join(["customer,product,stars,remark", *rows]) + "\n"
    (folder / "interactions.csv").write_text(text)
    order = [examples.ITEM_IDS[i] for i in examples.SHUFFLED]
    (folder / "products.csv").write_text("\n".join(["product,title", *(f"{each},x" for each in order)]) + "\n")
    (tmp_path / "order.txt").write_text("\n".join(order) + "\n")
    np.save(folder / "image_feat.npy", examples.VISUAL[examples.SHUFFLED])
    return folder


COLUMNS = Columns("customer", "product")


@pytest.mark.parametrize("file", ["shop/products.csv", "order.txt"])
def test_rows_follow_a_file_of_item_ids(file: str, shop: Path, tmp_path: Path, home: Any) -> None:
    order = tmp_path / file
    loaded = load_place(shop, columns=COLUMNS, adjustments=Adjustments(item_order=order))
    assert loaded.problems == ()
    (visual,) = loaded.raw.modalities
    assert loaded.raw.item_ids is not None
    by_id = dict(zip(examples.ITEM_IDS, examples.VISUAL.astype(np.float32), strict=True))
    assert np.array_equal(visual.matrix, [by_id[each] for each in loaded.raw.item_ids])
    assert ("products.csv" in loaded.unread) == (file == "order.txt")
    home.take(shop, "mine", columns=COLUMNS, adjustments=Adjustments(item_order=order))
    (source,) = cards.load("mine", home.cards_dir).sources
    assert f"--item-order {order} --force" in source.how_to_get
    data, _ = home.load("mine")
    assert np.array_equal(data.modalities[0].matrix, visual.matrix)


def test_without_the_file_the_option_is_named(shop: Path) -> None:
    (problem,) = load_place(shop, columns=COLUMNS).problems
    assert (
        "Give the ids in row order: --item-order FILE, a table with a column of items or one id per line"
        in problem
    )


WRONG_ORDERS = {
    "twice": ("B00\nB01\nB00\n", r"lists the item 'B00' twice"),
    "blank": ("B00\n\nB01\n", r"line 2 is empty"),
    "other": ("a\nb\n", r"has ids such as 'a', none of which has an interaction.*such as 'B00'"),
}


@pytest.mark.parametrize("case", WRONG_ORDERS)
def test_a_file_of_item_ids_that_does_not_fit(case: str, shop: Path, tmp_path: Path) -> None:
    text, words = WRONG_ORDERS[case]
    (tmp_path / "order.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        load_place(shop, columns=COLUMNS, adjustments=Adjustments(item_order=tmp_path / "order.txt"))


def test_a_file_of_too_few_item_ids(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text("B00\nB01\n")
    (problem,) = load_place(
        shop, columns=COLUMNS, adjustments=Adjustments(item_order=tmp_path / "order.txt")
    ).problems
    assert f"has 9 rows, but --item-order {tmp_path / 'order.txt'} has 2 ids" in problem


def test_an_order_that_nothing_needs_or_that_is_not_there(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load_place(shop, columns=COLUMNS, adjustments=Adjustments(item_order=tmp_path / "none.txt"))
    (shop / "image_feat.npy").unlink()
    with pytest.raises(UsageError, match=r"has no effect: no feature file at .* has rows without ids"):
        load_place(shop, columns=COLUMNS, adjustments=Adjustments(item_order=tmp_path / "order.txt"))
    (tmp_path / "t.csv").write_text("sku,title\nB00,x\n")
    with pytest.raises(DataError, match=r"has the columns sku, title, of which none.*Name it 'product'"):
        load_place(shop, columns=COLUMNS, adjustments=Adjustments(item_order=tmp_path / "t.csv"))


# --- likely columns are proposed, and not taken


@pytest.mark.parametrize(
    ("names", "role", "expected"),
    [
        (["customer", "product"], "user", "customer"),
        (["Customer No", "SKU"], "item", "SKU"),
        (["product_name", "product_id"], "item", "product_id"),
        (["buyers", "articles"], "item", "articles"),
        (["a", "production"], "item", None),
        (["bought_at", "price"], "time", "bought_at"),
        (["format", "lifetime"], "time", None),
    ],
)
def test_likely_columns(names: list[str], role: str, expected: str | None) -> None:
    assert propose_column(names, role) == expected


@pytest.mark.parametrize(("column", "is_proposed"), [("when", True), ("remark", False), ("timestamp", False)])
def test_a_likely_column_of_times_is_named_with_its_option(
    column: str, is_proposed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"u{n % 20},i{n % 13},{1_600_000_000 + n}" for n in range(120)]
    (tmp_path / "plain.csv").write_text("\n".join([f"user_id,item_id,{column}", *rows]) + "\n", encoding="utf-8")
    assert main(["inspect", str(tmp_path / "plain.csv")]) == 0
    assert ("--time-column when" in " ".join(capsys.readouterr().out.split())) == is_proposed


def test_a_table_without_usual_names_is_told_all_its_options_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"c{n % 20},s{n % 13},{n % 5 + 1},{1_600_000_000 + n}" for n in range(120)]
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(["customer,sku,stars,when", *rows]) + "\n", encoding="utf-8")
    assert main(["inspect", str(path)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    options = ["--user-column", "customer", "--item-column", "sku", "--time-column", "when"]
    assert f"say {' '.join(options)}." in told
    assert main(["inspect", str(path), *options]) == 0
    assert "named like a rating" not in capsys.readouterr().out
    assert main(["inspect", str(path), *options[:-1], "stars"]) == 0
    assert "The times are read from 'stars', which is named like a rating" in capsys.readouterr().out
    assert main(["run", "--datasets", str(path), "--dry-run"]) == 2
    assert f"To use the file or folder {path}, import it first: ludp-bench inspect {path}" in " ".join(
        capsys.readouterr().err.split()
    )


def test_the_shop_from_inspect_to_a_run(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command is what the one before said, typed as it stands; the card lies outside of the checkout."""
    monkeypatch.chdir(tmp_path)
    before = set(cards.DATASETS.iterdir())
    assert main(["inspect", "shop"]) == 2
    told = capsys.readouterr().err
    assert "interactions.csv has the columns customer, product, stars, remark; say " in " ".join(told.split())
    options = ["--user-column", "customer", "--item-column", "product"]
    assert f"say {' '.join(options)}." in " ".join(told.split())
    more = ["--item-order", "shop/products.csv", "--min-rating", "2", "--k-core", "3"]
    assert main(["inspect", "shop", *options, *more]) == 0
    told = capsys.readouterr().out
    assert "by their 'stars' (1 to 5)" in told
    assert "Columns of interactions.csv that are not used: remark." in told
    words = next(line for line in told.splitlines() if line.startswith("  next")).split()[1:]
    words = words[: words.index("&&")]
    assert words[:2] == ["ludp-bench", "import"]
    assert set(options) | set(more) <= set(words)
    own = ["--cache-dir", "cache", "--card-dir", "my-cards"]
    assert main([*words[1:], *own]) == 0
    told = capsys.readouterr().out
    assert "note: --k-core 3: users and items" in told
    last = told.splitlines()[-1].removeprefix("Next: ").split()
    assert last[-2:] == ["--card-dir", "my-cards"]
    assert set(cards.DATASETS.iterdir()) == before
    again = shlex.split(cards.load("shop", Path("my-cards")).sources[0].how_to_get.partition(": ")[2])
    assert ["--card-dir", str(tmp_path / "my-cards")] == again[5:7]
    assert main([*again[1:], *own[:2]]) == 0  # what the card says writes the same card again
    assert set(cards.DATASETS.iterdir()) == before
    run = ["--models", "popularity", "--epochs", "1", "--results-dir", "results", "--workers", "1"]
    assert main([*last[1:], *run]) == 0
    assert main(["run", "--datasets", "shop", *run]) == 2  # without the folder of its card
    assert "name the folder of its card with --card-dir" in " ".join(capsys.readouterr().err.split())
    assert main(["export", "shop", "--format", "recbole", "--to", "out", *own]) == 0
    (tmp_path / "lists.csv").write_text("user,item,rank\nnobody,nothing,1\n")
    capsys.readouterr()
    assert main(["evaluate", "--datasets", "shop", "--topk", "lists.csv", *own]) == 2
    assert "shop does not have 1 of 1 users" in " ".join(capsys.readouterr().err.split())
    places = {"cache_dir": "cache", "card_dir": "my-cards"}
    assert bench.load_data("shop", **places).name == "shop"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--k-core", "0"], "expected a whole number from 1"),
        (["--k-core", "many"], "expected a whole number from 1"),
        (["--k-core", "99"], "--k-core 99 leaves nothing"),
        (["--min-rating", "good"], "expected a number such as 4"),
        (["--min-rating", "9"], "no row is a positive"),
        (["--item-order", "nowhere.txt"], "there is no such file"),
    ],
)
def test_bad_values_end_with_two(
    options: list[str], words: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(shop), "--user-column", "customer", "--item-column", "product", *options]
    places = ["--name", "bad", "--cache-dir", str(tmp_path / "cache"), "--card-dir", str(tmp_path)]
    for command in (["inspect", *given], ["import", *given, *places]):
        assert main(command) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_a_name_is_taken_wherever_its_card_lies(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--cache-dir", str(tmp_path / "cache"), "--card-dir", str(tmp_path / "my cards")]
    given = ["import", str(examples.make("csv", tmp_path / "given")), *places]
    assert main([*given, "--name", "tiktok"]) == 2
    assert "was not made by an import" in " ".join(capsys.readouterr().err.split())
    assert main([*given, "--name", "tiny"]) == 0
    assert main([*given, "--name", "tiny"]) == 2
    assert main([*given, "--name", "tiny", "--force"]) == 0
    assert main(["run", "--datasets", "tiny", "--list", "--card-dir", str(tmp_path / "none")]) == 2
    assert "is not a directory" in " ".join(capsys.readouterr().err.split())
