"""What the documentation needs of mkdocs beyond its configuration: formulas without a script, the models' pages.

A fenced block `math` becomes MathML, which browsers show by themselves. The menu lists a page for every model.
"""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert

from bench.engine import registry

FENCES = "pymdownx.superfences"
MODELS = "models/"  # the entry of the menu that stands for all models


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
