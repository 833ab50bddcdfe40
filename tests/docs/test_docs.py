"""The documentation builds without a warning, loads nothing from elsewhere, and knows every model and command."""

from __future__ import annotations

import csv
import html
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli import commands
from bench.cli.options import parser
from bench.engine import registry

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; `strict: true` makes a broken link or a page outside the menu an error."""
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed: pip install -e .[dev]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    made = subprocess.run(command, cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\bsrc=["']?https?:|<link[^>]*rel=["']?stylesheet["']?[^>]*https?:"""
    )
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(registry.names())
    for page in pages:
        assert not loads.search(page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("name", registry.names())
def test_a_model_has_a_page_with_its_parameters(site: Path, name: str) -> None:
    entry = registry.load(name)
    page = (site / "models" / f"{name}.html").read_text(encoding="utf-8")
    assert entry.card.title in page
    for parameter in entry.model_class.Params.model_fields:
        assert f"<code>{parameter}</code>" in page
    for variant in entry.file.variants:
        assert f"{name}@{variant}" in page


@pytest.mark.parametrize("name", registry.names())
def test_a_models_page_says_what_it_is_then_its_scores_then_its_hyperparameters(site: Path, name: str) -> None:
    page = (site / "models" / f"{name}.html").read_text(encoding="utf-8")
    title = registry.load(name).card.title
    places = [page.index(f'id="{each}"') for each in _anchors(title)]
    assert places == sorted(places)
    assert page.index("<table") > places[0]  # no table of functions before the scores
    scores = page[places[0] : places[1]]
    published = {
        "tiktok-random": "TikTok, split at random",
        "tiktok-shipped": "TikTok, publisher&#39;s split<",
        "movielens-100k": "MovieLens-100K, five kinds of content",
        "tiktok": "publisher&#39;s split, protocol 1",
    }
    for folder, data in published.items():
        value = _committed_recall(folder, name)
        if value is not None:
            assert f"{value:.4f}" in scores
            assert data in scores.replace("'", "&#39;")


def _anchors(title: str) -> list[str]:
    name = re.sub(r"[^a-z0-9]+", "-", title.lower())
    return [f"recall-and-ndcg-of-{name}", f"hyperparameters-of-{name}", "equations-and-code"]


def _committed_recall(folder: str, model: str) -> float | None:
    path = ROOT / "results" / "reference" / folder / "tables" / "table3.csv"
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["model"], row["metric"]) == (model, "recall@10")]
    return float(rows[0]["mean"]) if rows and rows[0]["mean"] else None


def test_the_list_of_models_says_of_each_what_family_it_is(site: Path) -> None:
    page = (site / "models" / "index.html").read_text(encoding="utf-8")
    for name in registry.names():
        (row,) = [each for each in page.split("<tr>") if f"<code>{name}</code>" in each]
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        assert len(cells) == 4
        assert all(cells), row


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    page = html.unescape((site / "commands.html").read_text(encoding="utf-8"))
    for name in ("run", *commands.modules()):
        assert f"ludp-bench {name}" in page
    for action in parser()._actions:
        for flag in action.option_strings:
            assert flag in page or flag in ("-h", "--help"), flag
    assert "%(" not in page


def test_the_python_entry_and_the_notebook_have_pages(site: Path) -> None:
    page = (site / "python.html").read_text(encoding="utf-8")
    for name in bench.__all__[1:]:
        assert f'id="bench.cli.api.{name}"' in page
    assert "PureSVD" in (site / "notebooks" / "first-steps.html").read_text(encoding="utf-8")


TEXTS = [each for folder in (".", "docs", "datasets", "results") for each in sorted((ROOT / folder).glob("*.md"))]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_links_work_in_a_checkout(text: Path) -> None:
    """A reader of the repository follows them before anything is built."""
    for link, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", text.read_text(encoding="utf-8")):
        target = text.parent / link if link else text
        assert target.exists(), link
        assert not anchor or anchor in _headings(target), anchor


def _headings(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_to_files_lead_to_the_pages_made_of_them(site: Path) -> None:
    page = (site / "glossary.html").read_text(encoding="utf-8")
    for made in ("data.html", "result-files.html", "models/index.html", "models/popularity.html"):
        assert f'href="{made}' in page[page.index("<article") :]
    assert not [each for each in site.rglob("*.html") if re.search(r'href="[^":]*README', each.read_text("utf-8"))]


WORDS = {  # what users type, and the heading that they must find
    "hyperparameter": "Hyperparameter",
    "early stopping": "Early stopping",
    "reproducibility": "Reproducibility",
    "docker": "Docker",
    "synthetic data": "Synthetic data",
    "cold start": "Cold start",
    "custom data set": "Custom data set",
    "python 3.12": "Python 3.12",
    "leave-one-out": "Leave-one-out",
    "k-core": "k-core",
    "full ranking": "Full ranking",
    "popularity baseline": "Popularity baseline",
    "LightGCN recall": "Recall and NDCG of LightGCN",
    "embedding_size": "Hyperparameters of",
}


def test_the_search_finds_the_words_that_users_type(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    for words, heading in WORDS.items():
        page.fill(".md-search__input", "")
        page.keyboard.type(words)
        page.wait_for_selector(f'.md-search-result__item:has-text("{heading}")', state="attached")
    page.fill(".md-search__input", "")
    page.keyboard.type("zzzqq")
    page.wait_for_selector('.md-search-result__meta:has-text("No matching documents")', state="attached")
    page.close()


def test_formulas_became_mathml(site: Path) -> None:
    page = (site / "protocol.html").read_text(encoding="utf-8")
    assert page.count("<math") == 3
    assert "\\frac" not in re.sub(r"<annotation.*?</annotation>", "", page)


def test_search_works_on_pages_opened_from_a_folder(site: Path, browser: Any) -> None:
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("negatives")
    page.wait_for_selector(".md-search-result__link >> text=Candidates and what is hidden")
    assert all(url.startswith(("file:", "data:", "about:", "blob:")) for url in requested), requested
    page.close()
