"""The documentation builds without a warning, loads nothing from elsewhere, and knows every model and command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
