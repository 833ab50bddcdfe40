"""Planted faults, by room. `tests/test_mutations.py` plants them one at a time in a copy of the project."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One planted fault: in `file`, `right` becomes `wrong`, and `tests` must notice.

    Attributes:
        name: what goes wrong.
        file: path in the project.
        right: text that stands there once.
        wrong: what replaces it.
        tests: files and, after ` -k `, a selection of their tests; the cheapest that turns red.
        slow: planted by `make test-all` only.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: str
    slow: bool = False
