"""The hash of a model's code follows what is computed, and not where it lies or what it is called."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine.code_hash import code_hash, file_hash

MODEL = """
from torch import nn
from pack._helpers import scaled, SHARE
import pack._more as more
from bench.core.topk import stable_topk


class Base(nn.Module):
    def half(self, x):
        if x is None:
            raise ValueError("nothing to halve")
        return x / 2


class Mine(Base):
    CARD = "a paper"

    def embed(self, x, k=3):
        return more.shifted(scaled(x)) * SHARE + stable_topk(self.half(x), k)
"""
FILES = {
    "__init__.py": "",
    "mine.py": MODEL,
    "_helpers.py": "def scaled(x):\n    return inner(x) * 2\n\n\ndef inner(x):\n    return x + 1\n\n\nSHARE = 0.5\n",
    "_more.py": "def shifted(x):\n    return x - 1\n\n\ndef unused(x):\n    return x\n",
}


def hash_in(folder: Path, package: str = "pack", **changed: str) -> str:
    """The hash of the model with some files' texts in place of those above."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.py"):
        path.unlink()
    for name, text in {**FILES, **{f"{stem}.py": text for stem, text in changed.items()}}.items():
        (folder / name).write_text(text.replace("pack", package), encoding="utf-8")
    return code_hash(f"{package}.mine", {package: folder})


SAME = {
    "a helper moved": {
        "mine": MODEL.replace("from pack._helpers import scaled, SHARE", "from pack._moved import scaled\nSHARE = 0.5"),
        "_moved": "def scaled(x):\n    return inner(x) * 2\ndef inner(x):\n    return x + 1\n",
    },
    "a module split": {
        "_helpers": "from pack._inner import inner\nSHARE = 0.5\ndef scaled(x):\n    return inner(x) * 2\n",
        "_inner": "def inner(x):\n    return x + 1\n",
    },
    "a helper taken in": {
        "mine": MODEL.replace("import pack._more as more", "").replace("more.shifted", "shifted")
        + "\n\ndef shifted(x):\n    return x - 1\n",
    },
    "a helper renamed": {
        "mine": MODEL.replace("scaled", "grown"),
        "_helpers": FILES["_helpers.py"].replace("scaled", "grown").replace("inner", "deeper"),
    },
    "helpers handed on": {
        "mine": MODEL.replace("_helpers", "_front"),
        "_front": "from ._helpers import *\nfrom pack._helpers import SHARE as SHARE\n",
    },
    "imports by module": {
        "mine": MODEL.replace("from pack._helpers import scaled, SHARE", "from pack import _helpers as h")
        .replace("scaled(x)", "h.scaled(x)")
        .replace("SHARE +", "h.SHARE +")
    },
    "a relative import in a function": {
        "mine": MODEL.replace("from pack._helpers import scaled, SHARE", "from pack._helpers import SHARE").replace(
            "        return more", "        from ._helpers import scaled as grown\n        return more"
        ).replace("more.shifted(scaled(", "more.shifted(grown(")
    },
    "the full path of an outside name": {
        "mine": MODEL.replace("from torch import nn", "import torch").replace("nn.Module", "torch.nn.Module")
    },
    "a function of bench moved": {"mine": MODEL.replace("bench.core.topk", "bench.order.ties")},
    "comments and docstrings": {
        "mine": '"""About."""\n' + MODEL.replace("def half(self, x):", 'def half(self, x):  # half\n        """Half."""'),
        "_helpers": FILES["_helpers.py"].replace("):\n", "):\n    '''What it does.'''\n    # why\n"),
    },
    "the words of an error": {"mine": MODEL.replace("nothing to halve", "give a number")},
    "type hints": {"_helpers": FILES["_helpers.py"].replace("scaled(x)", "scaled(x: float) -> float", 1)},
    "the card": {"mine": MODEL.replace("a paper", "another paper")},
    "what is not used": {"_more": FILES["_more.py"].replace("return x\n", "return x * 7\n") + "OTHER = 1\n"},
    "the class's name": {"mine": MODEL.replace("Mine", "MINE")},
    "layout": {"mine": MODEL.replace("(x)) * SHARE", "(x)  )  *  (SHARE)")},
    "imports for type checking": {"mine": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack import x\n" + MODEL},
    "what runs as a script": {"mine": MODEL + "\nif __name__ == '__main__':\n    print(Mine())\n"},
}  # fmt: skip

OTHER = {
    "a constant": {"_helpers": FILES["_helpers.py"].replace("0.5", "0.25")},
    "an operator": {"_more": FILES["_more.py"].replace("x - 1", "x + 1")},
    "a default argument": {"mine": MODEL.replace("k=3", "k=4")},
    "a base class's method": {"mine": MODEL.replace("x / 2", "x / 3")},
    "a helper's helper": {"_helpers": FILES["_helpers.py"].replace("x + 1", "x + 2")},
    "the type of a constant": {"_helpers": FILES["_helpers.py"].replace("* 2", "* 2.0")},
    "a method's name": {"mine": MODEL.replace("half", "part")},
    "another helper called": {"mine": MODEL.replace("more.shifted", "more.unused")},
    "an outside function": {"mine": MODEL.replace("stable_topk", "topk")},
    "an outside package": {"mine": MODEL.replace("from torch import nn", "from other import nn")},
    "a setting made on import": {"_more": "import torch\ntorch.set_default_dtype(torch.float64)\n" + FILES["_more.py"]},
    "an attribute set on import": {"__init__": "import torch\ntorch.backends.cudnn.deterministic = True\n"},
    "a registration": {"_more": FILES["_more.py"] + "\n@registry.register\ndef seen(x):\n    return x\n"},
    "a setting under a condition": {"_more": FILES["_more.py"] + "\nif True:\n    configure()\n"},
    "a name shadowed": {"mine": MODEL.replace("embed(self, x, k=3)", "embed(self, x, k=3, scaled=abs)")},
    "a helper's decorator": {"_helpers": "from functools import cache\n@cache\n" + FILES["_helpers.py"]},
    "the class of an error": {"mine": MODEL.replace("ValueError", "TypeError")},
    "the type of a field": {"mine": MODEL.replace("CARD = ", "size: int\n    CARD = ")},
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_what_computes_the_same_has_the_same_hash(tmp_path: Path, what: str) -> None:
    before = hash_in(tmp_path / "here")
    assert all(text != FILES.get(f"{stem}.py") for stem, text in SAME[what].items())
    assert hash_in(tmp_path / "here", **SAME[what]) == before
    assert hash_in(tmp_path / "there", "other_name", **SAME[what]) == before


@pytest.mark.parametrize("what", OTHER)
def test_what_computes_something_else_has_another(tmp_path: Path, what: str) -> None:
    assert hash_in(tmp_path, **OTHER[what]) != hash_in(tmp_path)


def defined(tmp_path: Path, text: str) -> str:
    """The hash of a model of one file."""
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    return code_hash("plugin.mine", {"plugin": tmp_path})


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        (  # a function that calls itself
            "class Mine:\n    x = down\n\ndef down(n):\n    return n and down(n - 1)\n",
            ("down", "count"),
            ("n - 1", "n - 2"),
        ),
        (  # two that call each other
            "class Mine:\n    x = even\ndef even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\n",
            ("odd", "uneven"),
            ("n != 0", "n != 1"),
        ),
        (  # which of two is used
            "class Mine:\n    x = A\nA, B = 1, 2\n",
            ("A", "C"),
            ("x = A", "x = B"),
        ),
        (  # a constant in two steps
            "class Mine:\n    x = TABLE\nTABLE = [1]\nTABLE += [2]\n",
            ("TABLE", "LIST"),
            ("[2]", "[3]"),
        ),
        (  # either of two imports
            "try:\n    import fast as engine\nexcept ImportError:\n    engine = None\nclass Mine:\n    x = engine\n",
            ("engine", "motor"),
            ("import fast", "import faster"),
        ),
        (  # defined under a condition
            "import sys\nif sys.platform == 'linux':\n    def f():\n        return 1\nelse:\n    def f():\n        return 2\nclass Mine:\n    x = f\n",
            ("f()", "f( )"),
            ("return 2", "return 3"),
        ),
        (  # a local name that is also a helper's
            "def row(x):\n    return 1\nclass Mine:\n    def f(self, rows):\n        return [row for row in rows]\n",
            ("return 1", "return 2"),
            ("[row for", "[row + 1 for"),
        ),
        (  # a class attribute named like what it is
            "class Params:\n    a: int = 1\nclass Mine:\n    Params = Params\n",
            ("class Params:", "class Params():"),
            ("int = 1", "int = 2"),
        ),
        (  # a variable of the module that a function sets
            "SEEN = 0\ndef note():\n    global SEEN\n    SEEN += 1\nclass Mine:\n    f = note\n",
            ("SEEN", "COUNT"),
            ("SEEN = 0", "SEEN = 1"),
        ),
        (  # any definition may be meant
            "class Mine:\n    def f(self, name):\n        return globals()[name]\ndef hidden():\n    return 1\n",
            ("hidden():", "hidden( ):"),
            ("return 1", "return 2"),
        ),
    ],
)  # fmt: skip
def test_names_mean_what_they_mean_in_python(
    tmp_path: Path, text: str, same: tuple[str, str], other: tuple[str, str]
) -> None:
    before = defined(tmp_path, text)
    assert same[0] in text
    assert other[0] in text
    assert defined(tmp_path, text.replace(*same)) == before
    assert defined(tmp_path, text.replace(*other)) != before


@pytest.mark.parametrize(
    "use",
    [
        "    def f(self, name):\n        return getattr(_pieces, name)\n",
        "    import importlib\n    x = importlib.import_module('plugin._pieces').first\n",
        "    def f(self, name):\n        import importlib\n        return importlib.import_module(f'.{name}', __package__)\n",
    ],
)
def test_all_of_a_module_counts_where_a_name_is_made_at_run_time(tmp_path: Path, use: str) -> None:
    text, pieces = f"from . import _pieces\nclass Mine:\n{use}", tmp_path / "_pieces.py"
    pieces.write_text("def first():\n    return 1\ndef second():\n    return 2\n", encoding="utf-8")
    before = defined(tmp_path, text)
    pieces.write_text("def first():\n    return 1\ndef second():\n    return 3\n", encoding="utf-8")
    assert defined(tmp_path, text) != before


def test_a_file_without_the_class_counts_as_a_whole(tmp_path: Path) -> None:
    assert defined(tmp_path, "x = 1\n") != defined(tmp_path, "x = 2\n")


def test_a_files_hash_is_of_what_it_defines(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    found = []
    for text in ("def f():\n    return 1\n", "# a remark\ndef f():\n    return 1\n", "def f():\n    return 2\n"):
        path.write_text(text, encoding="utf-8")
        found.append(file_hash(path))
    assert found[0] == found[1] != found[2]
