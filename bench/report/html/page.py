"""The report as Markdown for a repository page, which shows the files beside it. Pure.

`report.html` and `report.md`: a call on one page. Writes into the given directory only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.errors import ResultsError
from bench.core.files import write_text
from bench.core.text import for_markdown
from bench.report.figure import Figure, markdown_of
from bench.report.html import provenance, view
from bench.report.html.charts import panels
from bench.report.html.provenance import parameters, variations
from bench.report.html.summary import About, about_data, joined, left_out, summarise
from bench.report.html.view import BADGES, part, policy, rendered
from bench.report.material import Material
from bench.report.render import to_markdown as table_to_markdown
from bench.report.table import Table


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


LEDGER = "claims"
Written = Mapping[str, Table | Figure]


def write_report(written: Written, material: Material, directory: Path, about: About) -> list[Path]:
    """Write the page and its Markdown summary; both are made before the first is written.

    Args:
        written: tables and figures of the call by artifact, in order; their files lie under `directory`.
        material: what they were made of.
        directory: where to.
        about: the call.

    Returns:
        The two paths.

    Raises:
        ResultsError: a file cannot be written.
    """
    texts = {"report.html": to_html(written, material, about), "report.md": to_markdown(written, material, about)}
    paths = [directory / name for name in texts]
    try:
        for path in paths:
            write_text(path, texts[path.name])
    except OSError as problem:
        raise ResultsError(
            f"The report cannot be written to {directory} ({problem.strerror or problem}). The records are kept: "
            f"free some space or make the directory writable, and run the same command again."
        ) from problem
    return paths


def to_html(written: Written, material: Material, about: About) -> str:
    """The page: no address in it leads to a file or a server."""
    said = about_data(material)
    items = list(_items(written, material, said))
    charts = {item.anchor: [panel.figure for panel in item.panels] for item in items if item.panels}
    library = _library() if charts else ""
    script = part("page.js")
    return rendered(
        "report.html.j2",
        title=f"Benchmark of recommenders on {joined([facts.label for facts in material.facts])}",
        policy=policy(script, library),
        style=part("style.css"),
        script=script,
        library=library,
        charts=json.dumps(charts, separators=(",", ":")).replace("<", "\\u003c"),
        badges=view.badges(material.facts),
        is_drawn=any(facts.source == "surrogate" for facts in material.facts),
        summary=summarise(material, about),
        left_out=left_out(material, about),
        data_notes=said,
        **_sections(items),
        **_tables(material, about),
        command=about.command,
    )


def _items(written: Written, material: Material, said: Sequence[str]) -> Iterator[view.Item]:
    """Tables and figures in order, each footnote once."""
    seen = set(said)
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

    # the two sequences that would end the element that holds it; inside strings a backslash more is the same text
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("<!--", "<\\!--")
