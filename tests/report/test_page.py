"""The report: what its sentences say, that the page needs nothing but itself, and that it works in a browser."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pages import Page, watched
from toy import data_of, pairs

from bench.core.errors import ResultsError
from bench.core.protocol import get_protocol
from bench.core.text import for_markdown
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.tuned import TunedFile
from bench.report.figure import TIP, Figure
from bench.report.html import view
from bench.report.html.page import to_html, write_report
from bench.report.html.provenance import parameters, records, variations
from bench.report.html.summary import About, boards, join_phrases, summarise, trust
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.render import to_csv
from bench.report.table import Block, Cell, Column, Row, Table
from bench.runs.records import DataFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore

ABOUT = About("python run_all.py --set 'ludp.knn_k=<5>'", "quick", 5)


@pytest.fixture
def data() -> BenchmarkData:
    parts = [pairs([(0, 0), (1, 1)], 2, 3), pairs([(0, 1)], 2, 3), pairs([(0, 2)], 2, 3)]
    return replace(data_of(*parts), name="tiktok")


@pytest.fixture
def material(data: BenchmarkData, make_record: Any, paper: Paper, tmp_path: Path) -> Any:
    def make(scores: dict[str, list[float | None]], n_seeds: int = 2, **changes: Any) -> Material:
        """Runs with these values of every metric, None for a failed one; changes are of the data."""
        shown = replace(data, **changes)
        facts = DataFacts.of(shown)
        records = []
        for label, values in scores.items():
            for repetition, value in enumerate(values):
                record = make_record(label, repetition, 0.0 if value is None else value, facts)
                records.append(record if value is not None else record.model_copy(update={"status": "failed"}))
        return Material({facts.name: shown}, list(scores), records, n_seeds, paper, ResultsStore(tmp_path))

    return make


@pytest.fixture
def figure() -> Figure:
    def draw() -> Any:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(3, 2))
        drawing.subplots().plot([1, 2], [3, 4])
        return drawing

    header = ("data", "model", "repetition", "epoch", "seconds", "metric", "valid", "is_best")
    rows = (
        ("tiktok </script>", "mf", 0, 1, 0.5, "recall@20", 0.1, False),
        ("tiktok </script>", "mf", 0, 2, 1.0, "recall@20", 0.2, True),
    )
    return Figure("Learning curves", "How <they> learn.", ("A note.",), header, rows, draw)


TABLE = Table(
    "Table 3",
    "Scores & <marks>.",
    (
        Block(
            (Column("Model", align="left"), Column("R@10", group="tiktok"), Column("P@10", group="tiktok")),
            (
                Row((Cell(words="B"), Cell(0.2, mark="best"), Cell(0.10))),
                Row((Cell(words="C"), Cell(0.1, mark="second"), Cell(0.30))),
                Row((Cell(words="A"), Cell(words="–"), Cell(0.20))),
                Row((Cell(words="%Improv."), Cell(0.5), Cell(0.1)), ruled=True),
            ),
        ),
    ),
    ("A note.", "Another <note>."),
    ("model", "value"),
    (("B", 0.2), ("C", 0.1)),
)


@pytest.fixture
def page(material: Any, figure: Figure) -> str:
    found = material({"lightgcn": [0.2, 0.3], "ludp": [0.1, None]})
    return to_html({"table3": TABLE, "curves": figure, "claims": replace(TABLE, name="Claims")}, found, ABOUT)


def test_the_best_and_the_proposed_model_with_their_distance(material: Any) -> None:
    found = material({"mf": [0.1, 0.1], "lightgcn": [0.2, 0.2], "ludp": [0.16, 0.16], "popularity": [0.15, 0.15]})
    best, proposed = summarise(found)
    assert best == (
        "On tiktok (synthetic), LightGCN has the highest test Recall@20, 0.2000, 33.3% above the best simple "
        "baseline, Popularity."
    )
    assert proposed == "LUDP is number 2 of 4, 20.0% below LightGCN on tiktok (synthetic)."


def test_a_baseline_that_wins_is_called_one_and_small_differences_small(material: Any) -> None:
    found = material({"ludp": [0.1, 0.2], "popularity": [0.16, 0.16]})
    best, proposed = summarise(found)
    assert best.startswith("On tiktok (synthetic), Popularity, a simple baseline, has the highest test Recall@20")
    assert "the best trained model is LUDP (0.1500, 6.2% below Popularity" in best
    assert "6.2% below Popularity, which is within one standard deviation over seeds" in proposed


def test_the_summary_follows_the_reference_and_names_no_model_that_did_not_run(material: Any) -> None:
    found = material({"mf": [0.1, 0.1], "lightgcn": [0.2, 0.2]}, source="real", scale=None)
    (best,) = summarise(found)
    assert best == (
        "On tiktok, LightGCN has the highest test Recall@20, 0.2000; MF (0.1000, 50.0% below LightGCN) comes next."
    )
    _, reference = summarise(replace(found, asked_reference="mf"))
    assert reference == "MF is number 2 of 2, 50.0% below LightGCN on tiktok."


def test_links_to_records_are_in_the_order_of_the_seeds(material: Any) -> None:
    ((row, links),) = records(material({"mf": [0.1] * 11}, 11))
    assert row.startswith("MF on tiktok")
    assert [link.text for link in links] == [f"seed {number}" for number in range(1, 12)]


def test_models_without_all_their_runs_are_not_compared(material: Any) -> None:
    found = material({"mf": [0.1, 0.1], "ludp": [0.9, None]})
    best, proposed = summarise(found)
    assert best.endswith("MF has the highest test Recall@20, 0.1000; no other model has all its runs.")
    assert proposed == "LUDP has not finished all its runs on tiktok (synthetic)."
    assert [row.cells[1].text for row in boards(found)[0].rows] == ["MF"]
    assert summarise(material({"mf": [None, None]})) == ["No model has all its runs on tiktok (synthetic)."]


def test_the_list_is_sorted_with_shared_places_and_intervals_from_three_seeds_on(material: Any) -> None:
    scores = {"mf": [0.125, 0.375, 0.25], "lightgcn": [0.5] * 3, "ludp": [0.25] * 3}
    (block,) = boards(material(scores, n_seeds=3))
    assert [column.title for column in block.columns] == [
        "#", "Model", "Kind", "R@20", "95% interval", "NDCG@10", "Time",
    ]  # fmt: skip
    assert {column.group for column in block.columns} == {"tiktok [surrogate x1, random split]"}
    rows = [[cell.text for cell in row.cells] for row in block.rows]
    assert [row[:4] for row in rows] == [
        ["1", "LightGCN", "graph", "0.5000"], ["2", "LUDP", "multimodal", "0.2500"],
        ["2", "MF", "collaborative", "0.2500"],
    ]  # fmt: skip
    half = 4.302653 * 0.125 / 3**0.5  # Student's t with two degrees of freedom
    assert rows[2][4] == f"{0.25 - half:.4f} to {0.25 + half:.4f}"
    assert [row[4] for row in rows[:2]] == ["–", "–"]  # equal runs say nothing of other seeds
    (two,) = boards(material({name: values[:2] for name, values in scores.items()}))
    assert "95% interval" not in [column.title for column in two.columns]


def words_of(material: Material, about: About) -> dict[str, tuple[str, str]]:
    return {each.topic: (each.tone, each.words) for each in trust(material, about)}


def test_how_far_to_trust_a_quick_call(material: Any) -> None:
    found = material({"mf": [0.1], "ludp": [0.2]}, n_seeds=1, scale=0.05)
    curve = [
        EpochFacts(epoch=n, loss=1 / n, train_seconds=1, valid_seconds=1, valid={"recall@20": n / 99})
        for n in range(1, 31)
    ]
    own = registry.load("mf").params("tiktok@random").model_dump()
    spec = found.records[0].spec.model_copy(update={"max_epochs": 30, "params": own})
    first = found.records[0].model_copy(update={"curve": curve, "spec": spec})
    found = replace(found, records=[first, found.records[1].model_copy(update={"status": "failed"})])
    said = words_of(found, replace(ABOUT, max_epochs=30))
    assert said["Data"][0] == "bad"
    assert "synthetic data of 5% of the paper's size: it says nothing about real users" in said["Data"][1]
    assert said["Seeds"] == (
        "warn", "1 seed does not tell a difference between models from chance. Use --seeds 5."
    )  # fmt: skip
    assert said["Epochs"][0] == "warn"
    assert said["Epochs"][1].startswith("The limit of 30 epochs ended 1 of 1 trainings before early stopping")
    assert said["Hyperparameters"][0] == "warn"
    assert "--tune N makes one" in said["Hyperparameters"][1]
    assert said["Runs"] == ("bad", "1 of 2 runs failed; Provenance lists them.")


def test_nothing_speaks_against_a_full_call(material: Any) -> None:
    found = material({"mf": [0.1] * 5}, n_seeds=5, source="real", scale=None)
    said = words_of(found, About("", "full", 1000, "20 trials"))
    assert said["Seeds"] == ("good", "5 per model.")
    assert said["Data"][0] == said["Epochs"][0] == said["Runs"][0] == "good"


def test_models_that_did_not_learn_more_than_popularity_are_named(material: Any) -> None:
    def found(scores: dict[str, float]) -> tuple[str, str] | None:
        call = material({label: [value] * 3 for label, value in scores.items()}, n_seeds=3)
        return words_of(call, ABOUT).get("Learning")

    tone, words = found({"mf": 0.1, "ludp": 0.3, "ease": 0.1, "popularity": 0.2, "vbpr": 0.2}) or ("", "")
    assert (tone, words.startswith("Not above popularity in validation Recall@20: MF and VBPR on tiktok")) == (
        "warn",
        True,
    )
    assert found({"mf": 0.3, "popularity": 0.2}) is None
    assert found({"mf": 0.1, "ease": 0.2}) is None


def test_without_a_finished_training_none_is_said_to_have_ended_well(material: Any) -> None:
    failed = words_of(material({"mf": [None, None]}), ABOUT)["Epochs"]
    assert failed == ("warn", "No training is finished.")
    fitted = material({"popularity": [0.1]}, n_seeds=1)
    (record,) = fitted.records
    fitted = replace(fitted, records=[record.model_copy(update={"curve": []})])
    assert words_of(fitted, ABOUT)["Epochs"] == ("good", "Nothing was trained by epochs.")
    some = material({"mf": [0.1, None]})
    curve = [
        EpochFacts(epoch=n, loss=1, train_seconds=1, valid_seconds=1, valid={"recall@20": 1 / n})
        for n in range(1, 22)
    ]
    first = some.records[0].model_copy(update={"curve": curve, "best_epoch": 1})
    some = replace(some, records=[first, some.records[1]])
    assert words_of(some, ABOUT)["Epochs"][1] == "Early stopping ended every finished training."


def test_without_records_the_protocol_is_that_of_the_call(material: Any) -> None:
    asked = get_protocol("paper")
    assert replace(material({}), asked_protocol=asked).protocol == asked


def test_values_given_beside_a_search_are_said(material: Any) -> None:
    found = material({"mf": [0.1], "vbpr": [0.1]}, n_seeds=1)
    given = [
        each.model_copy(update={"spec": with_params(each, {"learning_rate": 123.0})}) for each in found.records
    ]
    said = words_of(replace(found, records=given), About("", "full", 1000, "20 trials"))["Hyperparameters"]
    assert said[0] == "warn"
    assert said[1].endswith("Not searched: MF and VBPR. The call gave values (--set) for MF and VBPR.")


def test_values_of_an_earlier_search_are_said_to_be_that(material: Any, data: BenchmarkData) -> None:
    shipped = replace(data.split, name="shipped")
    tuned = next(each for each in TunedFile.of(registry.load("mf")).entries if each.split == "shipped")
    given = {"source": "real", "scale": None, "split": shipped, "split_hash": tuned.split_hash}
    found = material({"mf": [0.1] * 3}, n_seeds=3, **given)
    records = [each.model_copy(update={"spec": with_params(each, tuned.values)}) for each in found.records]
    said = words_of(replace(found, records=records), ABOUT)
    assert said["Hyperparameters"] == (
        "good", f"Values of earlier searches ({tuned.trials} trials per model, {tuned.date[:10]}).",
    )  # fmt: skip
    changed = {**tuned.values, "learning_rate": 123.0}
    records = [each.model_copy(update={"spec": with_params(each, changed)}) for each in found.records]
    said = words_of(replace(found, records=records), ABOUT)["Hyperparameters"][1]
    assert said.startswith("No search was made in this call, which gave values (--set) for MF.")
    own = registry.load("mf").params("tiktok@random").model_dump()
    records = [each.model_copy(update={"spec": with_params(each, own)}) for each in found.records]
    random = [
        each.model_copy(update={"data": each.data.model_copy(update={"split": "random"})}) for each in records
    ]
    call = replace(found, records=random)
    call.__dict__["facts"] = [random[0].data]
    assert words_of(call, ABOUT)["Hyperparameters"][1].startswith("The models' defaults: no search was made")


def with_params(record: RunRecord, params: Any) -> RunSpec:
    return record.spec.model_copy(update={"params": dict(params)})


@pytest.mark.parametrize(
    ("parts", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_enumerations(parts: list[str], expected: str) -> None:
    assert join_phrases(parts) == expected


def test_no_address_leaves_the_page(page: str) -> None:
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs, _, _ in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not [attrs for _, attrs, _, _ in parsed.elements if "src" in attrs]
    addresses = [attrs["href"] for attrs, _ in parsed.all("a")]
    assert len(addresses) > 10
    beside = {"leaderboard.html", "figures/curves.pdf", "figures/curves.svg"}
    papers = {registry.card_of(name).url for name in ("lightgcn", "ludp")}
    for address in addresses:
        is_record = re.fullmatch(r"runs/p2-field/tiktok-surrogate/(lightgcn|ludp)/key-\w+-[01]\.json", address)
        inside = address.startswith("data:") or (address.startswith("#") and address[1:] in ids)
        assert inside or address in beside | papers or is_record, address[:80]
    assert beside | papers <= set(addresses)
    assert not [attrs for attrs, _ in parsed.all("link", "iframe", "object", "base")]
    (policy,) = (attrs["content"] for attrs, _ in parsed.all("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert "unsafe-inline" not in policy.split(";")[1]
    style = "".join(text for _, text in parsed.all("style"))
    assert "url(" not in style
    assert "@import" not in style


def test_headings_do_not_skip_a_level_and_every_part_is_there(page: str) -> None:
    parsed = Page(page)
    levels = [int(tag[1]) for tag, _, _, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    titles = [text for _, text in parsed.all("h2")]
    assert titles == [
        "Summary", "How far to trust this", "Results", "Claims", "Hyperparameters", "Provenance", "Run records",
        "Papers", "Environment", "Command",
    ]  # fmt: skip
    assert [text for _, text in parsed.all("h3")] == [
        "Table 3", "Learning curves", "LightGCN", "LUDP", "Data", "Failed runs",
    ]  # fmt: skip


def test_tables_are_tables(page: str) -> None:
    parsed = Page(page)
    n_tables = len(parsed.all("table"))
    assert len(parsed.all("caption")) == n_tables >= 6
    assert all(attrs["scope"] in {"col", "row", "colgroup"} for attrs, _ in parsed.all("th"))
    sortable = [attrs for attrs, _ in parsed.all("th") if attrs["scope"] == "col"]
    assert all(attrs["aria-sort"] == "none" for attrs in sortable)
    buttons = [within for tag, _, _, within in parsed.elements if tag == "button" and "th" in within]
    assert len(buttons) == len(sortable)
    cells = {
        (attrs["class"], attrs.get("data-value"), text) for attrs, text in parsed.all("td") if "class" in attrs
    }
    assert {("right", "0.2", "0.2000"), ("right", "0.1", "0.1000"), ("right", None, "–")} <= cells
    assert [text for _, text in parsed.all("strong")][-1] == "0.2000"
    names = [text for attrs, text in parsed.all("caption") if "class" not in attrs]
    assert names == ["tiktok [surrogate x1, random split]", "tiktok", "tiktok"]  # above each table with results
    assert [text for _, text in parsed.all("u")][-1] == "0.1000"


def test_every_item_has_its_caption_and_its_data(page: str, figure: Figure) -> None:
    parsed = Page(page)
    assert len([attrs for attrs, _ in parsed.all("li") if attrs.get("class") == "badge surrogate"]) == 1
    assert "say nothing about real users" in parsed.all("header")[0][1]
    captions = [text for attrs, text in parsed.all("p") if attrs.get("class") == "caption"]
    assert captions == ["Scores & <marks>.", "How <they> learn.", "Scores & <marks>."]
    (drawing,) = (attrs for attrs, _ in parsed.all("div") if attrs.get("class") == "drawing")
    assert drawing["role"] == "img"
    assert drawing["aria-label"].startswith("Learning curves: How <they> learn.")
    assert len(parsed.all("svg")) == 1
    files = {attrs["download"]: attrs["href"] for attrs, _ in parsed.all("a") if "download" in attrs}
    assert list(files) == [
        "table3.csv", "table3.tex", "curves.csv", "curves.pdf", "curves.svg", "claims.csv", "claims.tex",
    ]  # fmt: skip
    assert content(files["table3.csv"]).decode() == to_csv(TABLE)
    assert r"\toprule" in content(files["table3.tex"]).decode()
    rows = list(csv.reader(io.StringIO(content(files["curves.csv"]).decode())))
    assert rows[0] == list(figure.csv_header)
    assert rows[2][6] == "0.2"


def test_long_captions_fold_after_their_first_sentences() -> None:
    first, second, third = "Recall of all models, e.g. of MF.", "Bold is best.", f"Then {'word ' * 40}end. Last."
    assert view.split_caption(first) == (first, "")
    assert view.split_caption(f"{first} {second} {third}") == (f"{first} {second}", third)
    assert view.split_caption(third) == (third.removesuffix(" Last."), "Last.")


def test_a_drawing_inside_the_page_keeps_to_itself(figure: Figure) -> None:
    def draw() -> Any:
        drawing = figure.draw()
        drawing.axes[0].lines[0].set_gid(f"{TIP}MF: 0.1 & <more>")
        return drawing

    named = replace(figure, draw=draw)
    assert "<title>MF: 0.1 &amp; &lt;more&gt;</title>" in named.svg
    inside = [view.figure_item(anchor, named, named.svg).drawing for anchor in ("one", "other")]
    ids = [re.findall(r'\bid="([^"]+)"', text) for text in inside]
    assert not set(ids[0]) & set(ids[1])
    assert "<style" not in inside[0]
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', inside[0])
    assert used
    assert set(used) <= set(ids[0])


def test_decided_verdicts_are_coloured_and_open_ones_folded(material: Any) -> None:
    column = Column("Verdict", group="tiktok", align="left")
    tones = {"good": "holds", "bad": "does not hold: in R@10", "open": "open: runs are missing"}
    rows = {tone: Row((Cell(words=words, tone=tone),)) for tone, words in tones.items()}
    blocks = (Block((column,), (rows["good"], rows["bad"])), Block((column,), (rows["open"],)))
    text = to_html({"claims": replace(TABLE, blocks=blocks)}, material({"mf": [0.1, 0.2]}), ABOUT)
    parsed = Page(text)
    cells = {attrs["class"]: (text, within) for tag, attrs, parts, within in parsed.elements
             if tag == "th" and attrs.get("scope") == "row" and "tone" in attrs.get("class", "")
             for text in ["".join(parts).strip()]}  # fmt: skip
    assert cells["tone-good"][0] == "holds"
    assert "details" not in cells["tone-bad"][1]
    assert "details" in cells["tone-open"][1]
    assert "1 open" in [text for _, text in parsed.all("summary")]


def content(address: str) -> bytes:
    return base64.b64decode(address.partition(";base64,")[2])


def test_notes_are_said_once(page: str) -> None:
    assert page.count("Another &lt;note&gt;.") == 1
    assert page.count("<li>A note.</li>") == 1


def test_what_users_gave_is_text_and_never_markup(page: str) -> None:
    assert "ludp.knn_k=<5>" in Page(page).all("pre")[0][1]
    assert "tiktok </script>" not in page
    (script,) = Page(page).all("script")
    assert script[1].startswith('"use strict"')


def test_many_numbers_are_compressed(material: Any) -> None:
    table = replace(TABLE, csv_rows=tuple(("B", i / 7) for i in range(20_000)))
    file = view.csv_file("table3", table)
    assert file.name == "table3.csv.gz"
    assert gzip.decompress(content(file.address)).decode() == to_csv(table)
    assert content(file.address)[4:8] == bytes(4)  # no hour, or no two pages would be equal


def test_failed_runs_are_listed(material: Any, make_failed: Any) -> None:
    found = material({"mf": [0.1]}, n_seeds=1)
    failed = make_failed("ludp", 0, facts=found.facts[0])
    text = to_html({}, replace(found, records=[*found.records, failed]), ABOUT)
    assert "TrainingError: The loss is not finite." in text
    assert "1 finished, 1 failed" in text


def test_parameters_of_every_model_and_what_variations_change(material: Any, make_record: Any) -> None:
    found = material({"mf": [0.1]}, n_seeds=1)
    own = {"k": 5, "modalities": ["a", "b"], "rate": 0.1}
    specs = {"ludp": own, "ludp@k=9": own | {"k": 9}}
    more = [make_record(label, 0, facts=found.facts[0], params=params) for label, params in specs.items()]
    found = replace(found, records=[*found.records, *more])
    (_, mf), (name, ludp) = parameters(found)
    assert name == "LUDP"
    assert mf is not None
    assert ludp is not None
    assert [[cell.text for cell in row.cells] for row in mf.rows] == [["reg_weight", "0.1"]]
    assert [[cell.text for cell in row.cells] for row in ludp.rows] == [
        ["k", "5"], ["modalities", "a, b"], ["rate", "0.1"],
    ]  # fmt: skip
    varied = variations(found)
    assert varied is not None
    assert [[cell.text for cell in row.cells] for row in varied.rows] == [
        ["LUDP (k=9)", "tiktok [surrogate x1, random split]", "k = 9"]
    ]
    assert variations(material({"mf": [0.1]}, n_seeds=1)) is None


def test_the_page_is_small(page: str) -> None:
    assert len(page) < 200_000


def test_the_same_results_give_the_same_bytes(material: Any, figure: Figure, tmp_path: Path) -> None:
    found = material({"mf": [0.1, 0.2], "ludp": [0.2, 0.3]})
    written = {"table3": TABLE, "curves": figure}
    one, other = (write_report(written, found, tmp_path / folder, ABOUT) for folder in "ab")
    assert [path.name for path in one] == ["report.html", "report.md"]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other, strict=True))


def test_the_markdown_has_summary_tables_and_figures(material: Any, figure: Figure, tmp_path: Path) -> None:
    found = material({"mf": [0.1, 0.2]})
    text = write_report({"table3": TABLE, "curves": figure}, found, tmp_path, ABOUT)[1].read_text(encoding="utf-8")
    assert for_markdown(" ".join(summarise(found))) in text
    assert "![Learning curves](figures/curves.svg)" in text
    assert "| B " in text
    assert "synthetic data (surrogate): drawn at random" in text
    assert text.count("A note.") == 1


def test_a_folder_that_cannot_be_written_is_said(material: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"report cannot be written.*same command again"):
        write_report({}, material({"mf": [0.1, 0.2]}), tmp_path / "file", ABOUT)


@pytest.fixture
def opened(browser: Any, page: str, tmp_path: Path) -> Iterator[Any]:
    """The page in the browser; nothing may be requested beside it, and nothing may be complained about."""
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    with watched(browser, path.as_uri()) as shown:
        yield shown


def test_a_browser_shows_every_section(opened: Any) -> None:
    sections = opened.locator("section").all()
    assert len(sections) == 9 + 3
    for section in sections:
        assert section.is_visible()
        assert section.bounding_box()["height"] > 30
    assert opened.locator("#curves svg").bounding_box()["width"] > 300
    assert opened.locator("#summary table").bounding_box()["y"] < 700  # on the first screen of 800
    assert re.search(r"split\]: over the [\d,]+ users with test items", opened.locator("#summary").inner_text())
    for link in opened.locator("nav a").all():
        link.click()
        assert opened.locator(link.get_attribute("href")).is_visible()


def test_a_browser_sorts_by_keyboard_and_keeps_the_summary_rows_below(opened: Any) -> None:
    table = opened.locator("#table3 table")

    def order() -> list[str]:
        return [text.strip() for text in table.locator("tbody th").all_inner_texts()]

    head = table.locator("thead tr:last-child th").nth(1)
    head.locator("button").focus()
    orders = []
    for expected in ("descending", "ascending", "none"):
        opened.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == expected
        orders.append(order())
    assert orders == [["B", "C", "A", "%Improv."], ["C", "B", "A", "%Improv."], ["B", "C", "A", "%Improv."]]
    table.locator("thead button").first.click()
    assert head.get_attribute("aria-sort") == "none"
    table.locator("thead button").first.click()
    assert order() == ["A", "B", "C", "%Improv."]


def test_a_browser_unfolds_the_target_of_a_link(opened: Any) -> None:
    assert opened.locator("#environment table").is_hidden()
    opened.locator("nav a[href='#environment']").click()
    opened.locator("#environment table").wait_for()  # the page hears of its new address after the click
    assert opened.locator("#command pre").is_hidden()


def test_a_browser_says_where_a_table_scrolls(opened: Any) -> None:
    table = opened.locator("#table3 .scroll").first
    assert "overflows" not in table.get_attribute("class").split()
    opened.set_viewport_size({"width": 200, "height": 740})
    opened.locator("#table3 .scroll.overflows").first.wait_for()


def test_a_browser_of_a_phone_scrolls_tables_and_never_the_page(opened: Any) -> None:
    opened.set_viewport_size({"width": 360, "height": 740})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.locator("#table3 caption span").first.bounding_box()["x"] < 100  # the data set is in sight
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    assert opened.locator(".skip").bounding_box()["y"] >= 0


def test_a_browser_prints_what_is_folded(opened: Any) -> None:
    details = opened.locator("main details")
    assert details.count() >= 2
    assert opened.locator("main details[open]").count() == 0
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("main details[open]").count() == details.count()
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert opened.locator("main details[open]").count() == 0
    assert opened.pdf(format="A4").startswith(b"%PDF")
