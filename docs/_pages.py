"""Write the pages that are made of files elsewhere in the repository.

One page per model, from its module and its YAML: card, equations, functions, parameters with their meaning. The
texts that stand beside what they explain are copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mkdocs_gen_files
from tabulate import tabulate

from bench.engine import registry

ROOT = Path(__file__).resolve().parent.parent
COPIED = {"data.md": "datasets/README.md", "result-files.md": "results/README.md", "cluster.md": "CLUSTER.md"}
FAMILIES = {"cf": "collaborative filtering", "gcn": "graph convolution", "multimodal": "multimodal"}


def shown(value: Any) -> str:
    """Return a value as it stands in a YAML file."""
    return f"`{value}`" if not isinstance(value, list) else ", ".join(f"`{one}`" for one in value)


def parameters(entry: registry.ModelEntry) -> str:
    """Return the table of all parameters with default, candidates and meaning."""
    rows = [
        (f"`{name}`", shown(entry.file.defaults[name]), shown(entry.file.search.get(name, [])), field.description)
        for name, field in entry.model_class.Params.model_fields.items()
    ]
    return tabulate(rows, ("parameter", "default", "searched", "meaning"), tablefmt="pipe", disable_numparse=True)


def variants(entry: registry.ModelEntry) -> str:
    """Return the list of named variants with what they change."""
    lines = [
        f"- `{entry.name}@{name}`: {', '.join(f'`{key}: {value}`' for key, value in values.items())}"
        for name, values in entry.file.variants.items()
    ]
    return "\n".join(["## Variants", "", *lines, ""]) if lines else ""


def page(entry: registry.ModelEntry) -> str:
    """Return the page of a model."""
    card = entry.card
    content = "uses item content" if card.uses_content else "no item content"
    return "\n".join(
        [
            f"# {card.title}",
            "",
            f"`{entry.name}` · {FAMILIES.get(card.family, card.family)} · {content}",
            "",
            f"{card.paper}.",
            "",
            f"::: models.{entry.name}",
            "",
            "## Parameters",
            "",
            parameters(entry),
            "",
            variants(entry),
        ]
    )


def main() -> None:
    """Write all generated pages and the index of the models."""
    for name, source in COPIED.items():
        with mkdocs_gen_files.open(name, "w") as file:
            file.write((ROOT / source).read_text(encoding="utf-8"))
        mkdocs_gen_files.set_edit_path(name, f"../{source}")
    rows = []
    for name in registry.names():
        entry = registry.load(name)
        with mkdocs_gen_files.open(f"models/{name}.md", "w") as file:
            file.write(page(entry))
        rows.append(
            (f"[{entry.card.title}]({name}.md)", f"`{name}`", FAMILIES.get(entry.card.family), entry.card.paper)
        )
    with mkdocs_gen_files.open("models/index.md", "w") as file:
        file.write(
            "# Models\n\nEach page is made from the model's own file: its equations, what deviates and why.\n\n"
        )
        file.write(tabulate(rows, ("model", "name", "family", "paper"), tablefmt="pipe") + "\n")


main()
