"""Build and write `report.html` and `report.md`, the report of one call. Writes only into the given directory.

The HTML page is self-contained. The Markdown file is for repository pages and links to the figure files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.files import os_errors, write_text
from bench.core.text import for_markdown
from bench.report.figure import Figure, markdown_of
from bench.report.html import provenance, view
from bench.report.html.charts import panels
from bench.report.html.provenance import parameters, variations
from bench.report.html.summary import About, data_footnotes, join_phrases, left_out, summarise
from bench.report.html.view import BADGES, content_security_policy, read_template, render_template
from bench.report.material import Material
from bench.report.render import to_markdown as table_to_markdown
from bench.report.table import Table

LEDGER = "claims"  # the artifact with a section of its own
Written = Mapping[str, Table | Figure]


def to_markdown(written: Written, material: Material, about: About) -> str:
    """Return the report as Markdown: summary, tables, provenance, and figures by their files in `figures/`."""
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


def _results(written: Written) -> Iterator[str]:
    """Yield tables and figures as Markdown, with every footnote only at its first use."""
    seen: set[str] = set()
    for name, each in written.items():
        new = tuple(note for note in each.notes if note not in seen)
        seen.update(new)
        if isinstance(each, Table):
            yield table_to_markdown(replace(each, notes=new))
        else:
            yield markdown_of(each, f"figures/{name}.svg", new)


def write_report(written: Written, material: Material, directory: Path, about: About) -> list[Path]:
    """Write the page and the Markdown report.

    Args:
        written: tables and figures of the call by artifact, in order; their files are in `directory`.
        material: the material that they were built from.
        directory: output directory.
        about: the call.

    Returns:
        The two paths.

    Raises:
        ResultsError: a file cannot be written.
    """
    # Both texts are made first, so that an error in one leaves no half-written report.
    texts = {"report.html": to_html(written, material, about), "report.md": to_markdown(written, material, about)}
    paths = [directory / name for name in texts]
    with os_errors(
        f"The report cannot be written to {directory}",
        "The records are kept: free some space or make the directory writable, and run the same command again.",
    ):
        for path in paths:
            write_text(path, texts[path.name])
    return paths


def to_html(written: Written, material: Material, about: About) -> str:
    """Return the page; it contains everything it shows and refers to no other file or server."""
    data_notes = data_footnotes(material)
    items = list(_items(written, material, data_notes))
    charts = {item.anchor: [panel.figure for panel in item.panels] for item in items if item.panels}
    library = _library() if charts else ""
    script = read_template("page.js")
    return render_template(
        "report.html.j2",
        title=f"Benchmark of recommenders on {join_phrases([facts.label for facts in material.facts])}",
        policy=content_security_policy(script, library),
        style=read_template("style.css"),
        script=script,
        library=library,
        # Escaped "<": no text in the JSON can end its <script> element.
        charts=json.dumps(charts, separators=(",", ":")).replace("<", "\\u003c"),
        badges=view.badges(material.facts),
        is_drawn=any(facts.source == "surrogate" for facts in material.facts),
        summary=summarise(material, about),
        left_out=left_out(material, about),
        data_notes=data_notes,
        **_sections(items),
        **_tables(material, about),
        command=about.command,
    )


def _items(written: Written, material: Material, data_notes: Sequence[str]) -> Iterator[view.Item]:
    """Yield tables and figures in order, with every footnote only at its first use."""
    seen = set(data_notes)
    for name, each in written.items():
        new = replace(each, notes=tuple(note for note in each.notes if note not in seen))
        seen.update(new.notes)
        if isinstance(new, Figure):
            yield view.figure_item(name, new, panels(name, new, material.paper))
        else:
            yield view.table_item(name, new)


def _sections(items: Sequence[view.Item]) -> dict[str, Any]:
    return {
        "items": [item for item in items if item.anchor != LEDGER],
        "ledger": [item for item in items if item.anchor == LEDGER],
    }


def _tables(material: Material, about: About) -> dict[str, Any]:
    failed, varied = provenance.failures(material), variations(material)
    return {
        "provenance": view.grid(provenance.provenance(material, about), "Provenance"),
        "data": view.grid(provenance.data(material), "Data sets and their hashes"),
        "environment": view.grid(provenance.environment(material), "Environment of the runs"),
        "failures": view.grid(failed, "Failed runs") if failed else None,
        "parameters": [
            (name, view.grid(block, f"Hyper-parameters of {name}") if block else None)
            for name, block in parameters(material)
        ],
        "variations": view.grid(varied, "What variations change") if varied else None,
    }


def _library() -> str:
    from plotly.offline import get_plotlyjs

    # These two sequences would end the <script> element; within JavaScript strings the added backslash has no
    # effect.
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("<!--", "<\\!--")
