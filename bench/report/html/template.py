"""Layer 9. A page from the files under `templates/`: nothing is loaded from elsewhere, no other script runs."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).resolve().parent / "templates"


def part(name: str) -> str:
    """The text of a style or script."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def rendered(name: str, **values: Any) -> str:
    """A template with its values; what they hold is text and never markup, unless the template says so."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name).render(**values)


def policy(*scripts: str) -> str:
    """The content security policy: nothing is loaded, and no script runs but these."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )
