"""The page of the leaderboard in a browser: what it shows, hides, sorts and compares, and that it asks nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import add_run, facts_of
from pages import Page, watched

from bench.report.leaderboard.build import update
from bench.report.leaderboard.columns import columns_of
from bench.report.leaderboard.entries import read_scores
from bench.report.leaderboard.rows import SHOWN, boards, read_results
from bench.report.statistics import Resamples, pair
from bench.runs.store import ResultsStore

SKILLS = {"mf": 0.2, "lightgcn": 0.9, "vbpr": 0.6, "popularity": 0.4}
RESAMPLES = 2000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models on two data sets; one row is incomplete, and one record was edited."""
    root = tmp_path_factory.mktemp("results")
    for label, skill in SKILLS.items():
        for n in range(2):
            add_run(root, label, n, skill)
    surrogate = facts_of("movielens", source="surrogate", scale=0.1, data_hash="ffff")
    for label in ("mf", "lightgcn", "ludp"):
        add_run(root, label, 0, 0.5, surrogate)
    add_run(root, "ngcf", 0)
    (root / "runs" / "p2-field" / "broken.json").write_text("<script>alert(1)</script>", encoding="utf-8")
    update(root)
    return root


@pytest.fixture
def opened(browser: Any, results: Path) -> Iterator[Any]:
    """Open the page in the browser; nothing may be requested beside it, and nothing may be complained about."""
    with watched(browser, (results / "leaderboard.html").as_uri()) as shown:
        yield shown


def names(opened: Any, table: int = 1) -> list[str]:
    """Names of the rows that are shown of a table: 0 is movielens, 1 is tiktok."""
    cells = opened.locator(".board").nth(table).locator("tbody tr:not([hidden]) th")
    return [cell.text_content().strip() for cell in cells.all()]


def test_every_address_is_in_the_page_or_a_record_beside_it(results: Path) -> None:
    parsed = Page((results / "leaderboard.html").read_text(encoding="utf-8"))
    ids = [attrs["id"] for _, attrs, _, _ in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs, _ in parsed.all("a")]
    runs = [link for link in links if link.startswith("runs/")]
    assert len(runs) == 4 * 2 + 3 + 1
    for link in links:
        page = link.startswith("https://example.org/someone/bench/blob/")
        assert page or link.removeprefix("#") in ids or (results / link).is_file(), link
    assert not [attrs for attrs, _ in parsed.all("link", "iframe", "img", "object", "base")]
    (policy,) = (attrs["content"] for attrs, _ in parsed.all("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split(";")[1]
    assert not [text for _, text in parsed.all("script") if "alert(1)" in text]
    labelled = {attrs["for"] for attrs, _ in parsed.all("label") if "for" in attrs}
    fields = [attrs["id"] for attrs, _ in parsed.all("select")]
    assert set(fields) | {"search"} == labelled


def test_rows_are_those_of_the_json_and_incomplete_ones_have_no_numbers(opened: Any, results: Path) -> None:
    value = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))
    assert names(opened) == [row["title"] for row in value["tables"][1]["rows"]]
    assert names(opened)[-1] == "NGCF"
    row = opened.locator(".board").nth(1).locator("tbody tr").last
    assert row.locator("[data-column='recall@10']").text_content() == "–"
    assert row.locator("[data-column='seeds']").inner_text().split() == ["1", "of", "2", "incomplete"]
    assert "broken.json" in opened.locator("#left-out").text_content()
    assert opened.locator(".badge.surrogate").count() == 2
    assert opened.locator("#status").text_content() == "8 of 8 rows shown, in 2 of 2 tables."


@pytest.mark.parametrize("column", ["recall@10", "ndcg@20", "p", "model", "seconds"])
def test_a_browser_sorts_by_any_column_with_the_keyboard(opened: Any, column: str) -> None:
    table = opened.locator(".board").nth(1)
    head = table.locator(f"thead [data-column='{column}']")
    first = names(opened)
    head.locator("button").focus()
    for expected in ("descending", "ascending", "none"):
        opened.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == expected
        cells = table.locator(f"tbody [data-column='{column}']").all()
        values = [cell.get_attribute("data-value") or cell.text_content().strip() for cell in cells]
        order = [float(each) if re.match(r"[-\d.]", each) else each for each in values if each != "–"]
        if expected != "none":
            assert order == sorted(order, reverse=expected == "descending"), values
            assert expected in opened.locator("#status").text_content()
            assert values[len(order) :] == ["–"] * (len(values) - len(order))
    assert names(opened) == first
    assert "in order of rank" in opened.locator("#status").text_content()


def test_a_browser_filters_and_searches(opened: Any) -> None:
    status = opened.locator("#status")
    opened.locator("#search").press_sequentially("Light")
    assert (names(opened, 0), names(opened, 1)) == (["LightGCN"], ["LightGCN"])
    assert status.text_content() == "2 of 8 rows shown, in 2 of 2 tables."
    opened.locator("#search").fill("")
    opened.locator("#family").select_option("control")
    assert names(opened) == ["Popularity"]
    assert opened.locator(".board").nth(0).is_hidden()
    opened.locator("#family").select_option("")
    opened.locator("#source").select_option("surrogate")
    assert opened.locator(".board").nth(1).is_hidden()
    assert status.text_content() == "3 of 8 rows shown, in 1 of 2 tables."
    opened.locator("#source").select_option("")
    opened.locator("#dataset").select_option("tiktok")
    assert opened.locator(".board").nth(0).is_hidden()
    opened.locator("#search").fill("nobody")
    assert status.text_content().startswith("0 of 8 rows")


def test_a_browser_shows_and_hides_columns(opened: Any, results: Path) -> None:
    board = boards([file.record for file in read_results(results).runs], None)[0][0]

    def shown() -> list[str]:
        cells = opened.locator(".board").nth(1).locator("thead th:not([hidden])").all()
        return [cell.get_attribute("data-column") for cell in cells]

    first = [column.key for column in columns_of(board, "page") if column.is_shown]
    assert shown() == first
    opened.locator("#columns summary").press("Enter")
    box = opened.locator("input[data-column='command']")
    box.press("Space")
    assert shown() == [*first, "command"]
    assert opened.locator("#status").text_content().endswith("Column Command shown.")
    cell = opened.locator(".board tbody td[data-column='command']").first
    cell.locator("summary").click()
    assert "'a <b>'" in cell.locator("code").inner_text()
    opened.locator("input[data-column='recall@10']").press("Space")
    assert "recall@10" not in shown()
    opened.locator("[data-columns='all']").click()
    assert shown() == [column.key for column in columns_of(board, "page")]
    opened.locator("[data-columns='first']").click()
    assert shown() == first


def draws(n: int) -> np.ndarray:
    """Return the numbers of mulberry32 with the seed 1."""
    state = (1 + 0x6D2B79F5 * np.arange(1, n + 1, dtype=np.uint64)).astype(np.uint32)
    mixed = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
    mixed = (mixed + (mixed ^ (mixed >> np.uint32(7))) * (mixed | np.uint32(61))) ^ mixed
    return mixed ^ (mixed >> np.uint32(14))


@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10", "precision@20"])
def test_a_browser_compares_two_rows_as_python_does(opened: Any, results: Path, metric: str) -> None:
    found, _ = boards([file.record for file in read_results(results).runs], None)
    (board,) = (each for each in found if each.facts.name == "tiktok")
    scores = read_scores(board, ResultsStore(results))
    first, second = (next(row for row in board.rows if row.label == label) for label in ("vbpr", "mf"))
    one, other = (scores.by_row[row.id][SHOWN.index(metric)] for row in (first, second))
    differences, n = one - other, scores.n_users
    opened.locator("#compare-table").select_option(board.id)
    opened.locator("#compare-one").select_option(first.id)
    opened.locator("#compare-metric").select_option(metric)
    opened.locator("#compare-other").select_option(second.id)
    opened.locator("caption", has_text="VBPR and MF").wait_for(state="attached")

    def number(name: str, key: str = "value") -> float:
        return float(opened.locator(f"#compare-result [data-name='{name}']").get_attribute(f"data-{key}"))

    assert (number("wins"), number("losses")) == ((differences > 1e-8).sum(), (differences < -1e-8).sum())
    assert number("wins") > number("losses") > 0
    assert number("ties") == n - number("wins") - number("losses") > 0
    assert number("users") == n
    assert number("mean") == pytest.approx(differences.mean(), abs=1e-9)
    assert (number("mean-one"), number("mean-other")) == pytest.approx((one.mean(), other.mean()), abs=1e-9)
    drawn = (draws(RESAMPLES * n) / 2**32 * n).astype(int).reshape(RESAMPLES, n)
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    assert (number("interval", "low"), number("interval", "high")) == pytest.approx((low, high), abs=1e-8)
    table = Resamples(["a", "b"], {metric: np.array([[one], [other]])}, 1)
    (contrast,) = table.family(metric, [pair("a", "b")])
    width = contrast.high - contrast.low
    assert (low, high) == pytest.approx((contrast.low, contrast.high), abs=0.1 * width)


def test_a_browser_compares_by_keyboard_and_says_when_there_is_nothing_to(opened: Any) -> None:
    opened.locator("#compare-one").focus()
    for expected in ("compare-other", "compare-metric"):
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.id") == expected
    result = opened.locator("#compare-result")
    assert result.get_attribute("aria-live") == "polite"
    one = opened.locator("#compare-one").input_value()
    opened.locator("#compare-other").select_option(one)
    assert result.inner_text() == "Choose two different rows."


def test_a_browser_of_a_phone_scrolls_tables_and_never_the_page(opened: Any) -> None:
    opened.set_viewport_size({"width": 375, "height": 740})
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    assert opened.locator(".skip").bounding_box()["y"] >= 0
    opened.locator("#columns summary").click()
    opened.locator("[data-columns='all']").click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 375
    frame = opened.locator(".board .scroll").first
    assert frame.evaluate("frame => frame.scrollWidth > frame.clientWidth")
    name = frame.locator("tbody th").first
    left = name.bounding_box()["x"]
    frame.evaluate("frame => { frame.scrollLeft = 400; }")
    assert abs(name.bounding_box()["x"] - left) < 60  # the names stay in sight


def test_the_focus_can_be_seen_and_goes_through_the_choices_in_order(opened: Any) -> None:
    opened.locator("#search").focus()
    seen = []
    for _ in range(4):
        seen.append(opened.evaluate("document.activeElement.id || document.activeElement.parentElement.id"))
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert opened.evaluate(style) == "solid"
        opened.keyboard.press("Tab")
    assert seen == ["search", "dataset", "source", "family"]


def test_the_page_is_dark_where_the_reader_wants_that(browser: Any, results: Path) -> None:
    for scheme, dark in (("light", False), ("dark", True)):
        shown = browser.new_page(color_scheme=scheme)
        shown.goto((results / "leaderboard.html").as_uri())
        colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 150) is dark
        shown.close()
