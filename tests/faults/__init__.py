"""Planted faults, by room. `tests/test_mutations.py` plants them one at a time in a copy of the project.

A fault is found by the definition that it is in, wherever that definition lives: moving code breaks none.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One planted fault: in the definition `where`, `right` becomes `wrong`, and `tests` must notice.

    Attributes:
        name: what goes wrong.
        where: function, class, `Class.method` or constant; "" is anywhere in the code of bench and models.
        right: text that stands there once, in all definitions of that name together.
        wrong: what replaces it.
        tests: files and, after ` -k `, a selection of their tests; the cheapest that turns red.
        slow: planted by `make test-all` only.
    """

    name: str
    where: str
    right: str
    wrong: str
    tests: str
    slow: bool = False
