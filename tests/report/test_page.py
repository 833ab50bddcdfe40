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
from bench.core.text import for_markdown
from bench.core.types import BenchmarkData, EpochFacts
from bench.report.figure import Figure
from bench.report.html import view
from bench.report.html.page import to_html, write_report
from bench.report.html.provenance import parameters, variations
from bench.report.html.summary import About, join_phrases, left_out, summarise
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.render import to_csv
from bench.report.table import Block, Cell, Column, Row, Table
from bench.runs.records import DataFacts
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
    best, proposed, mind = summarise(found, ABOUT)
    assert best == (
        "By test Recall@20, mean ± standard deviation over 2 seeds, the best is LightGCN on tiktok [surrogate x1, "
        "random split] (0.2000 ± 0.0000)."
    )
    assert proposed == (
        "LUDP comes second of 4 on tiktok [surrogate x1, random split] (20.0% below LightGCN; 6.7% above the best "
        "control, Popularity)."
    )
    assert mind == (
        "Mind that the data of tiktok is drawn at random by a program, so that these numbers say nothing about "
        "real users, and no parameter was searched in this call."
    )


def test_a_control_that_wins_is_called_a_control_and_small_differences_small(material: Any) -> None:
    found = material({"ludp": [0.1, 0.2], "popularity": [0.16, 0.16]})
    best, proposed, _ = summarise(found, ABOUT)
    assert "the best is the control Popularity" in best
    assert "(6.2% below the control Popularity, less than a standard deviation of the seeds)" in proposed


def test_one_seed_on_real_data(material: Any) -> None:
    found = material({"mf": [0.1], "ludp": [0.2]}, n_seeds=1, source="real", scale=None)
    best, proposed, mind = summarise(found, replace(ABOUT, budget="20 trials"))
    assert best == "By test Recall@20, the best is LUDP on tiktok [real, random split] (0.2000)."
    assert proposed == "LUDP comes first of 2 on tiktok [real, random split] (100.0% above MF)."
    assert mind == "Mind that one seed does not tell a difference from chance."


def test_nothing_to_mind_is_said_so(material: Any) -> None:
    found = material({"mf": [0.1, 0.1], "ludp": [0.1, 0.1]}, source="real", scale=None)
    _, proposed, mind = summarise(found, replace(ABOUT, budget="20 trials"))
    assert "second of 2 on tiktok [real, random split] (level with MF)" in proposed
    assert mind == (
        "All 4 runs finished, over 2 seeds on real data, with 20 trials of tuning per model and data set."
    )


def test_models_without_all_their_runs_are_not_compared(material: Any) -> None:
    best, proposed, mind = summarise(material({"mf": [0.1, 0.1], "ludp": [0.9, None]}), ABOUT)
    assert (
        "the best is MF on tiktok [surrogate x1, random split] (0.1000 ± 0.0000, with nothing to compare it with)"
        in best
    )
    assert proposed == "LUDP has not finished all its runs on tiktok [surrogate x1, random split]."
    assert "1 of 4 runs failed" in mind
    best, proposed, _ = summarise(material({"mf": [None, None]}), ABOUT)
    assert best.endswith("no model has all its runs on tiktok [surrogate x1, random split].")
    assert proposed == "LUDP was not among the models of this call."


@pytest.mark.parametrize(
    ("parts", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_enumerations(parts: list[str], expected: str) -> None:
    assert join_phrases(parts) == expected


def test_what_the_quick_profile_leaves_out(material: Any) -> None:
    found = material({"mf": [0.1]}, n_seeds=1, scale=0.05)
    curve = [
        EpochFacts(epoch=n, loss=1 / n, train_seconds=1, valid_seconds=1, valid={"recall@20": n / 99})
        for n in range(1, 31)
    ]
    spec = found.records[0].spec.model_copy(update={"max_epochs": 30})
    found = replace(found, records=[found.records[0].model_copy(update={"curve": curve, "spec": spec})])
    seeds, epochs, size, grid = left_out(found, replace(ABOUT, max_epochs=30))
    assert seeds == "Seeds: 1 of the 5 of the profile 'full'."
    assert epochs.startswith("Epochs: at most 30, 1,000 in the profile 'full'; 1 run ended at that bound")
    assert size.startswith("Size: tiktok [surrogate x0.05, random split] has 0.05 times the users and items of ")
    assert "--tune N" in grid


def test_nothing_is_left_out_of_the_whole_programme(material: Any) -> None:
    found = material({"mf": [0.1] * 5}, n_seeds=5, source="real", scale=None)
    assert left_out(found, About("", "full", 1000, "20 trials")) == []


def test_no_address_leaves_the_page(page: str) -> None:
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs, _, _ in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    addresses = [attrs[name] for _, attrs, _, _ in parsed.elements for name in ("src", "href") if name in attrs]
    assert len(addresses) > 10
    for address in addresses:
        assert address.startswith("data:") or address.removeprefix("#") in ids, address[:80]
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
    assert titles == ["Summary", "Provenance", "Results", "Claims", "Hyper-parameters", "Environment", "Command"]
    assert [text for _, text in parsed.all("h3")][:3] == ["What this call leaves out", "Data", "Failed runs"]


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
    assert [text for _, text in parsed.all("u")][-1] == "0.1000"


def test_every_item_has_its_caption_its_source_and_its_data(page: str, figure: Figure) -> None:
    parsed = Page(page)
    assert len([attrs for attrs, _ in parsed.all("li") if attrs.get("class") == "badge surrogate"]) == 1 + 3
    assert "says nothing about real users" in parsed.all("header")[0][1]
    assert "Scores & <marks>." in [text for attrs, text in parsed.all("p") if attrs.get("class") == "caption"]
    assert [text for _, text in parsed.all("figcaption")] == ["How <they> learn."]
    (image,) = (attrs for attrs, _ in parsed.all("img"))
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert image["alt"].startswith("Learning curves: How <they> learn.")
    files = {attrs["download"]: attrs["href"] for attrs, _ in parsed.all("a") if "download" in attrs}
    assert list(files) == ["table3.csv", "table3.tex", "curves.csv", "claims.csv", "claims.tex"]
    assert content(files["table3.csv"]).decode() == to_csv(TABLE)
    assert r"\toprule" in content(files["table3.tex"]).decode()
    rows = list(csv.reader(io.StringIO(content(files["curves.csv"]).decode())))
    assert rows[0] == list(figure.csv_header)
    assert rows[2][6] == "0.2"


def content(address: str) -> bytes:
    return base64.b64decode(address.partition(";base64,")[2])


def test_notes_are_said_once(page: str) -> None:
    assert page.count("Another &lt;note&gt;.") == 1
    assert page.count("<li>A note.</li>") == 1


def test_what_users_gave_is_text_and_never_markup(page: str) -> None:
    assert "ludp.knn_k=<5>" in Page(page).all("pre")[0][1]
    assert "tiktok </script>" not in page
    assert Page(page).all("script")[-1][1].startswith('"use strict"')


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


def test_the_library_is_there_only_where_a_chart_is(material: Any, figure: Figure, page: str) -> None:
    assert len(page) > 1_000_000
    assert len(to_html({"table3": TABLE, "other": figure}, material({"mf": [0.1, 0.2]}), ABOUT)) < 200_000


def test_the_same_results_give_the_same_bytes(material: Any, figure: Figure, tmp_path: Path) -> None:
    found = material({"mf": [0.1, 0.2], "ludp": [0.2, 0.3]})
    written = {"table3": TABLE, "curves": figure}
    one, other = (write_report(written, found, tmp_path / folder, ABOUT) for folder in "ab")
    assert [path.name for path in one] == ["report.html", "report.md"]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other, strict=True))


def test_the_markdown_has_summary_tables_and_figures(material: Any, figure: Figure, tmp_path: Path) -> None:
    found = material({"mf": [0.1, 0.2]})
    text = write_report({"table3": TABLE, "curves": figure}, found, tmp_path, ABOUT)[1].read_text(encoding="utf-8")
    assert for_markdown(" ".join(summarise(found, ABOUT))) in text
    assert "![Learning curves](figures/curves.svg)" in text
    assert "| B " in text
    assert "surrogate data: drawn at random" in text
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
    assert len(sections) == 6 + 3
    for section in sections:
        assert section.is_visible()
        assert section.bounding_box()["height"] > 30
    assert opened.locator("img").evaluate("image => image.complete && image.naturalWidth > 100")
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


def test_a_browser_draws_the_chart_when_asked(opened: Any) -> None:
    button = opened.locator("#curves [data-chart]")
    assert opened.evaluate("typeof window.Plotly") == "undefined"
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    opened.locator("#curves-charts .chart").nth(1).locator("svg .scatterlayer .trace path").first.wait_for()
    button.press("Enter")
    assert opened.locator("#curves-charts").is_hidden()


def test_a_browser_of_a_phone_scrolls_tables_and_never_the_page(opened: Any) -> None:
    opened.set_viewport_size({"width": 360, "height": 740})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
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
