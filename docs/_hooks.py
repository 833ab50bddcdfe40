"""Prepare what mkdocs cannot do by its configuration: formulas without a script, the menu of models, links.

A fenced block `math` becomes MathML, which browsers show by themselves. The menu lists a page for every model.
A link to a file of the repository, which works in a checkout, leads to the page that `_pages.py` makes of it.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from latex2mathml.converter import convert

from bench.engine import registry

FENCES = "pymdownx.superfences"
MODELS = "models/"  # the entry of the menu that stands for all models
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")  # the target of a Markdown link


def formula(source: str, *_arguments: Any, **_options: Any) -> str:
    """One LaTeX formula as a MathML block."""
    return f'<div style="overflow: auto hidden; padding: 0.5em 0">{convert(source, display="block")}</div>'


def on_config(config: Any) -> Any:
    """Register the fence, as YAML cannot name a function of this file, and list the models in the menu."""
    pages = [f"{MODELS}{name}.md" for name in ("index", *registry.names())]
    config["nav"] = [
        {title: pages for title, page in entry.items()}
        if isinstance(entry, dict) and MODELS in entry.values()
        else entry
        for entry in config["nav"]
    ]
    fence = {"name": "math", "class": "math", "format": formula}
    config["mdx_configs"].setdefault(FENCES, {})["custom_fences"] = [fence]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, **_others: Any) -> str:
    """Return the page's text, in which links to files of the repository lead to the pages made of them."""
    made = {source: name for name, source in config["extra"]["sources"].items()}
    made |= {f"models/{name}.py": f"models/{name}.md" for name in registry.names()}
    folder = posixpath.dirname(page.file.src_uri)

    def target(match: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join("docs", folder, match[1]))
        return posixpath.relpath(made[source], folder or ".") if source in made else match[1]

    return LINK.sub(target, markdown)
