"""Layer 9. The report as Markdown for a repository page, which shows the files beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.report.figure import Figure, markdown_of
from bench.report.html import provenance
from bench.report.html.about import About, left_out
from bench.report.html.summary import summarise
from bench.report.html.view import BADGES
from bench.report.material import Material
from bench.report.render import to_markdown as table_to_markdown
from bench.report.table import Table
from bench.safe_text import for_markdown


def to_markdown(written: Mapping[str, Table | Figure], material: Material, about: About) -> str:
    """Summary, provenance, every table, and every figure by its file under `figures/`."""
    sources = [f"- **{for_markdown(facts.label)}**: {BADGES[facts.source]}" for facts in material.facts]
    limits = [f"- {for_markdown(each, begins_line=True)}" for each in left_out(material, about)]
    block = provenance.provenance(material, about)
    parts = [
        "# Benchmark report",
        "\n".join(sources),
        for_markdown(" ".join(summarise(material, about)), begins_line=True),
        *(["## What this call leaves out", "\n".join(limits)] if limits else []),
        "## Results",
        *_results(written),
        "## Provenance",
        table_to_markdown(Table("Provenance", "How these numbers were made", (block,), (), (), ())),
        "[report.html](report.html) shows all of this on one page, with hyper-parameters and environment.",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _results(written: Mapping[str, Table | Figure]) -> Iterator[str]:
    """Tables and figures, each footnote once."""
    said: set[str] = set()
    for name, each in written.items():
        new = tuple(note for note in each.notes if note not in said)
        said.update(new)
        if isinstance(each, Table):
            yield table_to_markdown(replace(each, notes=new))
        else:
            yield markdown_of(each, f"figures/{name}.svg", new)
