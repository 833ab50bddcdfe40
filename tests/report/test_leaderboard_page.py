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

from bench import __version__
from bench.engine import registry
from bench.report.leaderboard.build import build, refresh
from bench.report.leaderboard.columns import columns_of, ranking_cells
from bench.report.leaderboard.rows import SHOWN, boards, read_results
from bench.report.leaderboard.user_scores import read_scores
from bench.report.paper import Paper
from bench.report.statistics import Resamples, pair
from bench.runs.store import ResultsStore

SKILLS = {"mf": 0.2, "lightgcn": 0.9, "vbpr": 0.6, "popularity": 0.4}
RESAMPLES = 2000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models on two data sets; one row is incomplete, and one record was edited."""
    root = tmp_path_factory.mktemp("results")
    for label, skill in SKILLS.items():
        for n in range(3):
            add_run(root, label, n, skill)
    surrogate = facts_of("movielens", source="surrogate", scale=0.1, data_hash="ffff")
    for label in ("mf", "lightgcn", "ludp"):
        add_run(root, label, 0, 0.5, surrogate)
    add_run(root, "ngcf", 0)
    (root / "runs" / "p2-field" / "broken.json").write_text("<script>alert(1)</script>", encoding="utf-8")
    refresh(root)
    return root


@pytest.fixture
def opened(browser: Any, results: Path) -> Iterator[Any]:
    """Open the page in the browser; nothing may be requested beside it, and nothing may be complained about."""
    with watched(browser, (results / "leaderboard.html").as_uri()) as shown:
        yield shown


def names(opened: Any, table: int = 1) -> list[str]:
    """Names of the rows that are shown of a table: 0 is movielens, 1 is tiktok."""
    cells = opened.locator(".board").nth(table).locator("tbody tr:not([hidden]) th .name")
    return [cell.text_content().strip() for cell in cells.all()]


def test_every_address_is_in_the_page_or_a_record_beside_it(results: Path) -> None:
    parsed = Page((results / "leaderboard.html").read_text(encoding="utf-8"))
    ids = [attrs["id"] for _, attrs, _, _ in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs, _ in parsed.all("a")]
    runs = [link for link in links if link.startswith("runs/")]
    assert len(runs) == 4 * 3 + 3 + 1
    cards = {registry.load(name).card.url for name in (*SKILLS, "ludp", "ngcf")}
    for link in links:
        page = link.startswith("https://example.org/someone/bench/blob/") or link in cards
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
    assert row.locator("th small").inner_text() == "seeds: 1 of 3 (incomplete)"
    assert "broken.json" in opened.locator("#left-out").text_content()
    assert opened.locator(".badge.surrogate").count() == 2
    kinds = [cell.text_content() for cell in opened.locator(".board").nth(1).locator("tbody .kind").all()]
    assert kinds == ["graph", "multimodal", "baseline", "collaborative", "graph"]
    assert opened.locator(".board").nth(1).locator("h2 small").text_content() == "3 seeds"
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
    opened.locator(".chip", has_text="baseline").press("Enter")
    assert names(opened) == ["Popularity"]
    assert opened.locator(".board").nth(0).is_hidden()
    opened.locator(".chip", has_text="collaborative").press("Enter")
    assert names(opened) == ["Popularity", "MF"]
    for kind in ("baseline", "collaborative"):
        opened.locator(".chip", has_text=kind).press("Enter")
    assert opened.locator(".chip[aria-pressed='true']").count() == 0
    opened.locator("#source").select_option("surrogate")
    assert opened.locator(".board").nth(1).is_hidden()
    assert status.text_content() == "3 of 8 rows shown, in 1 of 2 tables."
    opened.locator("#source").select_option("")
    opened.locator("#data").select_option("tiktok")
    assert opened.locator(".board").nth(0).is_hidden()
    opened.locator("#search").fill("nobody")
    assert status.text_content().startswith("0 of 8 rows")
    assert opened.locator("#empty").inner_text().startswith("No model matches.")
    opened.locator("#empty button").press("Enter")
    assert opened.locator("#empty").is_hidden()
    assert status.text_content() == "8 of 8 rows shown, in 2 of 2 tables."
    assert opened.evaluate("document.activeElement.id") == "search"


def test_a_browser_shows_and_hides_columns(opened: Any, results: Path) -> None:
    board = boards([file.record for file in read_results(results).runs], None)[0][0]

    def shown() -> list[str]:
        cells = opened.locator(".board").nth(1).locator("thead th:not([hidden])").all()
        return [cell.get_attribute("data-column") for cell in cells]

    first = [column.key for column in columns_of(board, "page") if column.is_shown]
    assert shown() == first
    opened.locator("#columns summary").press("Enter")
    box = opened.locator("input[data-column='origin']")
    box.press("Space")
    assert shown() == [*first, "origin"]
    assert opened.locator("#status").text_content().endswith("Column Parameters from shown.")
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
    one, other = (scores.by_seed[row.id][SHOWN.index(metric)].mean(axis=0) for row in (first, second))
    differences, n = one - other, scores.n_users
    opened.locator("#compare-table").select_option(board.id)
    opened.locator("#compare-one").select_option(first.id)
    opened.locator("#compare-other").select_option(second.id)
    opened.locator("#compare-metric").select_option(metric)
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


def test_a_verdict_on_a_pair_is_one_of_many_and_needs_three_seeds(opened: Any, results: Path) -> None:
    found, _ = boards([file.record for file in read_results(results).runs], None)
    by_name = {board.facts.name: board for board in found}
    verdict, table = opened.locator("#compare-result .verdict"), opened.locator("#compare-table")
    table.select_option(by_name["tiktok"].id)
    best, *_, worst = (row.id for row in by_name["tiktok"].complete)
    opened.locator("#compare-one").select_option(best)
    opened.locator("#compare-other").select_option(worst)
    opened.locator("#compare-result .verdict", has_text="6 possible pairs").wait_for()
    assert "is above" in verdict.inner_text()
    assert verdict.inner_text().endswith(
        "(one pair; not corrected for the 6 possible pairs, nor for other seeds)."
    )
    table.select_option(by_name["movielens"].id)
    opened.locator("#compare-result .verdict", has_text="not tested").wait_for()
    assert verdict.inner_text() == "Differences of one seed are not tested; --seeds 3 or more make it possible."
    assert opened.locator("#compare-result [data-name='interval']").count() == 1


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


def test_the_address_holds_what_was_chosen_and_brings_it_back(opened: Any, results: Path) -> None:
    board = opened.locator(".board").nth(1)
    table = board.get_attribute("id")
    opened.locator("#data").select_option("tiktok")
    opened.locator("#search").press_sequentially("l m")
    opened.locator(".chip", has_text="graph").click()
    opened.locator(".chip", has_text="multimodal").click()
    opened.locator("#rank").select_option("ndcg@10")
    opened.locator("#cost").select_option("memory")
    board.locator("thead [data-column='recall@10'] button").click()
    opened.locator("#columns summary").click()
    opened.locator("input[data-column='seconds']").click()
    opened.locator("#compare-metric").select_option("recall@10")
    board.locator("tbody .more").nth(1).click()
    chosen = opened.evaluate("decodeURIComponent(location.hash)")
    for part in (
        *("data=tiktok", "search=l+m", "kind=graph,multimodal", "rank=ndcg@10", "cost=memory"),
        *(f"sort={table}:recall@10:descending", "columns=", f"row={table}:", ":recall@10", "compare="),
    ):
        assert part in chosen

    def state() -> list[Any]:
        shown = [cell.get_attribute("data-column") for cell in board.locator("thead th:not([hidden])").all()]
        fields = (
            "search",
            "data",
            "rank",
            "cost",
            "compare-table",
            "compare-one",
            "compare-other",
            "compare-metric",
        )
        return [
            names(opened), shown, board.locator("tbody .facts").inner_text(),
            board.locator("thead [aria-sort='descending']").get_attribute("data-column"),
            [opened.locator(f"#{name}").input_value() for name in fields],
            [chip.inner_text() for chip in opened.locator(".chip[aria-pressed='true']").all()],
        ]  # fmt: skip

    before = state()
    assert "seconds" not in before[1]
    opened.reload()
    assert state() == before
    for _ in range(10):
        opened.go_back()
    opened.wait_for_function("!location.hash")
    assert names(opened) == ["LightGCN", "VBPR", "Popularity", "MF", "NGCF"]
    assert opened.locator("#search").input_value() == ""
    assert opened.locator(".facts").count() == 0
    for _ in range(10):
        opened.go_forward()
    opened.wait_for_function(f"decodeURIComponent(location.hash) === {json.dumps(chosen)}")
    assert state() == before


@pytest.mark.parametrize(
    "address",
    [
        "#%E0%A4%A", "#=&=&&", "#nothing", "#rank=recall@7&cost=gold&data=%3Cb%3E&split=&kind=graph,odd",
        "#sort=t:recall@10:descending&columns=recall@10,odd&row=a:b:c&compare=a:b", "#__proto__=1&row=__proto__:1",
        "#compare=constructor:a:b:c",
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense_changes_nothing(browser: Any, results: Path, address: str) -> None:
    said: list[str] = []
    shown = browser.new_page()
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda problem: said.append(str(problem)))
    shown.goto((results / "leaderboard.html").as_uri())
    before = shown.locator("main").inner_text()
    shown.evaluate("address => { location.hash = address; }", address)
    shown.wait_for_timeout(50)
    assert shown.locator("main").inner_text() == before
    shown.goto("about:blank")
    shown.goto((results / "leaderboard.html").as_uri() + address)
    assert shown.locator("main").inner_text() == before
    assert said == []
    shown.close()


def test_a_link_within_the_page_keeps_what_was_chosen(opened: Any) -> None:
    opened.locator("#rank").select_option("recall@10")
    opened.locator("nav a[href='#compare']").click()
    opened.wait_for_function("location.hash === '#rank=recall@10'")
    assert opened.locator("#compare").bounding_box()["y"] < 900
    assert opened.locator("#rank").input_value() == "recall@10"


def test_a_table_is_ranked_by_any_metric_with_its_own_tests(opened: Any, paper: Paper, results: Path) -> None:
    section = build(read_results(results), None, paper).sections[1]
    board = opened.locator(".board").nth(1)
    assert board.locator(".reranked").is_hidden()
    first = board.locator("table").inner_text()
    opened.locator("#rank").select_option("ndcg@10")
    assert board.locator(".reranked").inner_text() == "Ranked here by NDCG@10; the protocol ranks by R@20."
    heads = [head.inner_text() for head in board.locator("thead th:not([hidden]) button").all()]
    assert heads[:3] == ["#", "Model", "NDCG@10"]
    assert "Difference in NDCG@10" in heads
    ranked = sorted(section.entries, key=lambda each: each.ranks["ndcg@10"].rank or 99)
    assert names(opened) == [each.title for each in ranked]
    for row, entry in zip(board.locator("tbody tr").all(), ranked, strict=True):
        for column, cell in ranking_cells(entry, "ndcg@10").items():
            shown = row.locator(f"[data-column='{column}']")
            assert shown.text_content() == cell.text
            value = shown.get_attribute("data-value")
            assert (None if value is None else float(value)) == cell.value
    opened.locator("#rank").select_option("")
    assert board.locator("table").inner_text() == first


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_details_of_a_row_open_by_keyboard_and_stay_with_it(opened: Any, key: str) -> None:
    board = opened.locator(".board").nth(1)
    more = board.locator("tbody .more").nth(1)
    assert more.get_attribute("aria-label") == "Details of VBPR"
    more.press(key)
    assert more.get_attribute("aria-expanded") == "true"
    text = board.locator(".facts").inner_text()
    for words in ("learning_rate", "'a <b>'", "models/vbpr.py", "0123456789", "aaaabbbb", "seed 3", "vbpr.yaml"):
        assert words in text, words
    assert board.locator(".facts .curve polyline").count() == 3
    assert opened.evaluate("document.activeElement.className") == "more"
    below = "row => row.previousElementSibling.querySelector('.name').textContent"
    for _ in range(3):
        board.locator("thead [data-column='recall@10'] button").click()
        assert board.locator("tr.details").evaluate(below) == "VBPR"
    opened.locator("#rank").select_option("recall@10")
    assert board.locator("tr.details").evaluate(below) == "VBPR"
    board.locator("tbody td[data-column='rank']").first.click()
    assert board.locator("tr.details").evaluate(below) == "LightGCN"
    board.locator("tbody td[data-column='rank']").first.click()
    assert board.locator("tr.details").count() == 0


def test_a_chart_of_accuracy_against_cost_selects_rows(opened: Any) -> None:
    board = opened.locator(".board").nth(1)
    points = board.locator(".plot [data-point]")
    assert points.count() == 4  # the incomplete row has no number
    assert "1 without these numbers" in board.locator(".plot figcaption").inner_text()
    assert board.locator(".plot .pareto").get_attribute("d").startswith("M")
    point = board.locator(".plot [aria-label^='VBPR']")
    assert "R@20" in board.locator(".plot .axis").last.text_content()
    assert point.get_attribute("aria-label").endswith("training time (s) 2.5")
    point.press("Enter")
    assert board.locator("tr.selected .name").inner_text() == "VBPR"
    assert board.locator(".plot [aria-pressed='true']").get_attribute("aria-label").startswith("VBPR")
    assert opened.evaluate("document.activeElement.dataset.point").startswith(board.get_attribute("id"))
    opened.locator("#search").fill("mf")
    assert board.locator(".plot").is_hidden()  # one point shows nothing
    opened.locator("#search").fill("")
    opened.locator("#cost").select_option("parameters")
    assert "parameters 1230" in board.locator(".plot [aria-label^='MF']").get_attribute("aria-label")
    board.locator(".plot [aria-label^='MF'] circle").click(force=True)
    assert board.locator("tr.selected .name").count() == 1


def test_the_head_names_version_date_and_files(opened: Any, results: Path) -> None:
    about = opened.locator("#about")
    assert about.inner_text().startswith(f"ludp-bench {__version__} · newest run 2023-01-01")
    assert [link.get_attribute("href") for link in about.locator("[download]").all()] == [
        "leaderboard.csv", "leaderboard.json",
    ]  # fmt: skip
    assert about.locator("a", has_text="Report").count() == 0
    name = opened.locator(".board .name a", has_text="LightGCN").first
    assert name.get_attribute("href") == registry.load("lightgcn").card.url


def test_the_default_columns_fit_a_small_window(opened: Any) -> None:
    frame = opened.locator(".board .scroll").nth(1)
    assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") == 0
    opened.set_viewport_size({"width": 390, "height": 844})
    for column in ("rank", "model", "recall@20"):
        box = frame.locator(f"tbody [data-column='{column}']").first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    frame.locator("tbody .more").first.click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert frame.locator(".facts").bounding_box()["width"] <= 390


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
    for _ in range(6):
        seen.append(opened.evaluate("document.activeElement.id || document.activeElement.parentElement.id"))
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert opened.evaluate(style) == "solid"
        opened.keyboard.press("Tab")
    assert seen == ["search", "data", "source", "rank", "cost", ""]  # the first kind


def test_the_page_is_dark_where_the_reader_wants_that(browser: Any, results: Path) -> None:
    for scheme, dark in (("light", False), ("dark", True)):
        shown = browser.new_page(color_scheme=scheme)
        shown.goto((results / "leaderboard.html").as_uri())
        colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 150) is dark
        shown.close()
