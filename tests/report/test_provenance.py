"""What the page says of the data, and the papers that it links."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.engine import registry
from bench.report.html.provenance import data
from bench.runs.records import ModalityFacts


def test_coverage_of_every_modality_and_what_is_missing(make_facts: Any) -> None:
    present = [
        ModalityFacts(name=name, dim=8, coverage=coverage, origin="file", fingerprint="f")
        for name, coverage in (("visual", 1.0), ("acoustic", 0.9876))
    ]
    facts = make_facts(modalities=present, missing={"textual": "there is no text_feat.npy"})
    block = data(cast(Any, SimpleNamespace(facts=[facts])))
    shown = {column.title: cell.words for column, cell in zip(block.columns, block.rows[0].cells, strict=True)}
    assert shown["Modalities (share of the items)"] == "visual (100.00%), acoustic (98.76%), textual (missing)"


@pytest.mark.parametrize("name", sorted(registry.built_in_names()))
def test_every_model_links_its_paper(name: str) -> None:
    card = registry.card_of(name)
    assert card is not None
    assert card.url.startswith(("https://arxiv.org/abs/", "https://doi.org/10."))
