"""What the documentation needs of mkdocs beyond its configuration: formulas without a script.

A fenced block `math` becomes MathML, which browsers show by themselves.
"""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert

FENCES = "pymdownx.superfences"


def formula(source: str, *_arguments: Any, **_options: Any) -> str:
    """One LaTeX formula as a MathML block."""
    return f'<div style="overflow: auto hidden; padding: 0.5em 0">{convert(source, display="block")}</div>'


def on_config(config: Any) -> Any:
    """Register the fence; YAML cannot name a function of this file."""
    fence = {"name": "math", "class": "math", "format": formula}
    config["mdx_configs"].setdefault(FENCES, {})["custom_fences"] = [fence]
    return config
