"""Build and write `report.html` and `report.md`, the report of one call. Writes only into the given directory.

The HTML page shows without any other file what it tells; its links lead to the files beside it. The order of its
sections is that of `SECTIONS`: the message first, then the paper's tables, then what few readers need, folded. The
Markdown file is for repository pages and links to the figure files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.files import os_errors, write_text
from bench.core.text import for_markdown
from bench.report.figure import Figure, markdown_of
from bench.report.html import provenance, view
from bench.report.html.provenance import parameters, variations
from bench.report.html.summary import About, boards, data_footnotes, join_phrases, summarise, trust
from bench.report.html.view import BADGES, content_security_policy, read_template, render_template
from bench.report.material import Material
from bench.report.render import to_markdown as table_to_markdown
from bench.report.table import Table
from bench.report.wording import mean_over

Written = Mapping[str, Table | Figure]
MESSAGE = ("overview", "accuracy", "cost-figure", "content")
CLAIMS = "claims"


@dataclass(frozen=True)
class Section:
    """A section of the page: anchor, heading, artifacts and whether it is folded; one artifact has no heading."""

    anchor: str
    title: str
    artifacts: tuple[str, ...]
    is_folded: bool = False


SECTIONS = (
    Section("results", "Results", ("table3", "curves", "cost", "groups")),
    Section("", "", (CLAIMS,)),
    Section("ablations", "The paper's ablations", ("fig3", "table4", "table5", "fig5", "fig6", "readings"), True),
    Section("search", "Hyperparameter search", ("tuning", "budget"), True),
    Section(
        "appendix", "Appendix", ("table2", "audit", "significance", "cd", "controls", "patience", "fig4"), True
    ),
)


def to_markdown(written: Written, material: Material, about: About) -> str:
    """Return the report as Markdown: summary, lists, trust, tables, provenance, and figures by their files."""
    sources = [f"- **{for_markdown(facts.label)}**: {BADGES[facts.source]}" for facts in material.facts]
    reasons = [
        f"- **{each.topic}:** {for_markdown(each.words, begins_line=True)}" for each in trust(material, about)
    ]
    metric = for_markdown("Test scores, best first; models with all their runs only.")
    block = provenance.provenance(material, about)
    parts = [
        "# Benchmark report",
        "\n".join(sources),
        for_markdown(" ".join(summarise(material)), begins_line=True),
        table_to_markdown(Table("Ranking", metric, tuple(boards(material)), (), (), ())),
        "## How far to trust this",
        "\n".join(reasons),
        "## Results",
        *_results(written),
        "## Provenance",
        table_to_markdown(Table("Provenance", "How these numbers were made", (block,), (), (), ())),
        "[report.html](report.html) shows all of this on one page, with hyperparameters and environment.",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _results(written: Written) -> Iterator[str]:
    """Yield tables and figures as Markdown, with every footnote only at its first use."""
    seen: set[str] = set()
    for name, each in _in_order(written):
        new = tuple(note for note in each.notes if note not in seen)
        seen.update(new)
        if isinstance(each, Table):
            yield table_to_markdown(replace(each, notes=new))
        else:
            yield markdown_of(each, f"figures/{name}.svg", new)


def _in_order(written: Written) -> list[tuple[str, Table | Figure]]:
    """Return the artifacts in the order of the page."""
    order = [*MESSAGE, *(name for section in SECTIONS for name in section.artifacts)]
    names = [name for name in [*order, *written] if name in written]
    return [(name, written[name]) for name in dict.fromkeys(names)]


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
    """Return the page; it contains everything it shows, and links to files beside it and to papers."""
    data_notes = data_footnotes(material)
    items = {item.anchor: item for item in _items(written, data_notes)}
    script = "\n".join(read_template(name) for name in ("page.js", "report.js"))
    return render_template(
        "report.html.j2",
        title=f"Benchmark of recommenders on {join_phrases([facts.name for facts in material.facts])}",
        policy=content_security_policy(script),
        style=read_template("style.css") + read_template("report.css"),
        script=script,
        links=provenance.links(material),
        badges=view.badges(material.facts),
        is_drawn=any(facts.source == "surrogate" for facts in material.facts),
        summary=summarise(material),
        boards=[view.grid(block, "Ranking") for block in boards(material)],
        ranked_note=_ranked_note(material),
        trust=trust(material, about),
        message=[items[name] for name in MESSAGE if name in items],
        sections=_sections(items),
        data_notes=data_notes,
        **_tables(material, about),
        command=about.command,
    )


def _ranked_note(material: Material) -> str:
    n_left_out = sum(
        material.scores.get(facts, label, material.protocol.selection_metric).mean is None
        for facts in material.facts
        for label in material.labels
    )
    rest = f" {n_left_out} without all their runs are not ranked." if n_left_out else ""
    counted = {record.data.label: record.metrics.test.n_users for record in material.records if record.metrics}
    users = "".join(f" {label}: over the {n:,} users with test items." for label, n in counted.items())
    return f"Test scores, {mean_over(material.n_seeds)}; time is that of a whole run.{rest}{users}"


def _items(written: Written, data_notes: Sequence[str]) -> Iterator[view.Item]:
    """Yield tables and figures in order, with every footnote only at its first use."""
    seen = set(data_notes)
    for name, each in _in_order(written):
        notes = tuple(note for note in each.notes if note not in seen)
        seen.update(notes)
        if isinstance(each, Figure):
            yield view.figure_item(name, replace(each, notes=notes), each.svg)  # a copy would draw again
        else:
            yield view.table_item(name, replace(each, notes=notes))


def _sections(items: Mapping[str, view.Item]) -> list[tuple[Section, list[view.Item]]]:
    """Return the sections with their items, without empty ones; artifacts of no section come with the results."""
    placed = {*MESSAGE, *(name for section in SECTIONS for name in section.artifacts)}
    first, *others = SECTIONS
    first = replace(first, artifacts=(*first.artifacts, *(name for name in items if name not in placed)))
    found = [(each, [items[name] for name in each.artifacts if name in items]) for each in (first, *others)]
    return [(section, shown) for section, shown in found if shown]


def _tables(material: Material, about: About) -> dict[str, Any]:
    failed, varied = provenance.failures(material), variations(material)
    return {
        "provenance": view.grid(provenance.provenance(material, about), "Provenance"),
        "data": view.grid(provenance.data(material), "Data sets and their hashes"),
        "environment": view.grid(provenance.environment(material), "Environment of the runs"),
        "failures": view.grid(failed, "Failed runs") if failed else None,
        "parameters": [
            (name, view.grid(block, f"Hyperparameters of {name}") if block else None)
            for name, block in parameters(material)
        ],
        "variations": view.grid(varied, "What variations change") if varied else None,
        "records": provenance.records(material),
        "papers": provenance.papers(material),
    }
