"""Pickles of a few hundred bytes that would take ages or all memory: refused at once, and never printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import DataError
from bench.data.formats.safe_pickle import read_cells
from hostile.limits import CALL, limited, one_paragraph

PROTO, STOP = b"\x80\x02", b"."
DOUBLED = b"K\x01" + b"2\x86" * 60  # a pair of a pair of ...: 2^60 ones
BY_MEMO = b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60
LISTS = b"]q\x00" + b"](h\x00h\x00eq\x00" * 60
FROZEN = b"\x80\x04" + b"K\x01" + b"\x85" * 20 + b"\x94" + b"(h\x00\x91" * 50  # frozensets
MATRIX = b"cscipy.sparse.coo\ncoo_matrix\n)\x81"


def array(shape: bytes = b"K\x01\x85", code: bytes = b"X\x02\x00\x00\x00i4", order: bytes = b"X\x01\x00\x00\x00<",
          buffer: bytes = b"B\x04\x00\x00\x00\0\0\0\0") -> bytes:  # fmt: skip
    """An array as numpy writes it, with its parts replaced."""
    dtype = (
        b"cnumpy\ndtype\n" + code + b"\x89\x88\x87R(K\x03" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
    return start + shape + dtype + b"\x89" + buffer + b"tb"


def state(
    shape: bytes = b"K\x01K\x01\x86", data: bytes | None = None, key: bytes = b"X\x06\x00\x00\x00_shape"
) -> bytes:
    """A matrix of one cell, with parts of its state replaced."""
    whole = array() if data is None else data
    names = {b"row": array(), b"col": array(), b"data": whole}
    fields = b"".join(b"X" + len(name).to_bytes(4, "little") + name + value for name, value in names.items())
    return PROTO + MATRIX + b"}(" + key + shape + fields + b"ub" + STOP


BOMBS = {
    "dictionary key": PROTO + b"}" + DOUBLED + b"K\x01s" + STOP,
    "dictionary key by the memo": PROTO + b"}" + BY_MEMO + b"K\x01s" + STOP,
    "many dictionary keys": PROTO + b"}(" + DOUBLED + b"K\x01u" + STOP,
    "set member": b"\x80\x04\x8f(" + DOUBLED + b"\x90" + STOP,
    "frozen set": b"\x80\x04(" + DOUBLED + b"\x91" + STOP,
    "sets of sets": FROZEN + STOP,
    "state": PROTO + MATRIX + DOUBLED + b"b" + STOP,
    "the object itself": PROTO + DOUBLED + STOP,
    "lists of lists": PROTO + LISTS + STOP,
    "key of the state": state(key=DOUBLED),
    "shape": state(shape=DOUBLED),
    "size in the shape": state(shape=b"K\x01" + DOUBLED + b"\x86"),
    "lists as the shape": state(shape=LISTS),
    "length of an array": state(data=array(shape=DOUBLED + b"\x85")),
    "code of a type": state(data=array(code=DOUBLED)),
    "order of a type": state(data=array(order=DOUBLED)),
    "content of an array": state(data=array(buffer=DOUBLED)),
    "an array": state(data=DOUBLED),
    "encoded text": state(data=array(buffer=b"c_codecs\nencode\n" + DOUBLED + b"X\x06\0\0\0latin1\x86R")),
    "its coding": state(data=array(buffer=b"c_codecs\nencode\nX\x01\0\0\0a" + DOUBLED + b"\x86R")),
    "a name": b"\x80\x04" + DOUBLED + b"X\x01\0\0\0a\x93" + STOP,
    "arguments": PROTO + b"cscipy.sparse.coo\ncoo_matrix\n" + DOUBLED + b"R" + STOP,
    "a number of 600,000 digits": state(
        shape=b"\x8b" + (250_000).to_bytes(4, "little") + b"\x7f" * 250_000 + b"K\x01\x86"
    ),
    "a list in itself": PROTO + b"]q\0h\0a" + STOP,
    "deep": PROTO + b"K\x01" + b"\x85" * 9_000 + STOP,
}  # fmt: skip


def test_the_cell_that_the_bombs_are_made_of_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(state(data=array(buffer=b"B\x04\0\0\0\x01\0\0\0")))
    rows, columns, shape = read_cells(tmp_path / "m.pkl").triplet
    assert (rows.tolist(), columns.tolist(), shape) == ([0], [0], (1, 1))


READ_ALL = """
import json, resource, sys, time
from pathlib import Path
from bench.core.errors import DataError
from bench.data.formats.safe_pickle import read_cells

resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
for path in sorted(Path(sys.argv[1]).iterdir()):
    start, said = time.process_time(), "it was read"
    try:
        read_cells(path)
    except DataError as problem:
        said = str(problem)
    print(json.dumps({"case": path.name, "said": said, "seconds": time.process_time() - start}), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What reading each bomb says, up to one that hangs.

    The hash of a nested tuple is computed in C, which hears no alarm: the child is ended by its limit.
    """
    folder = tmp_path_factory.mktemp("bombs")
    for case, content in BOMBS.items():
        (folder / case).write_bytes(content)
    done = limited(READ_ALL, str(folder), seconds=120)
    return {answer["case"]: answer for answer in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.timeout(150)
def test_a_bomb_is_refused_at_once(case: str, answers: dict[str, dict[str, Any]]) -> None:
    assert case in answers, "reading it, or one before it, had no end"
    assert f"{case} " in answers[case]["said"]
    assert "etch it again" in answers[case]["said"]
    assert answers[case]["seconds"] < 2
    assert len(answers[case]["said"]) < 700


@pytest.mark.parametrize("command", ["inspect", "import"])
def test_through_the_command_line(command: str, tmp_path: Path) -> None:
    for name in ("trnMat.pkl", "valMat.pkl", "tstMat.pkl"):
        (tmp_path / name).write_bytes(BOMBS["dictionary key"])
    more = ["--name", "bomb-of-a-test", "--cache-dir", str(tmp_path / "cache")] if command == "import" else []
    told = one_paragraph(limited(CALL, command, str(tmp_path), *more, seconds=30))
    assert "trnMat.pkl" in told


def test_reading_hears_control_c(tmp_path: Path) -> None:
    """The machine is Python between any two steps, so that a signal is heard."""
    code = f"""
import sys
from pathlib import Path
from bench.data.formats import safe_pickle
safe_pickle.MAX_STEPS = 1 << 62
print("begun", flush=True)
safe_pickle.read_cells(Path({str(tmp_path / "long.pkl")!r}))
"""
    (tmp_path / "long.pkl").write_bytes(PROTO + b"K\x010" * 20_000_000)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               cwd=Path(__file__).resolve().parents[2], env=os.environ.copy())  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) != 0


def holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "words"), [(holes, "holes"), (os.mkfifo, "a named pipe"), (Path.mkdir, "a folder")]
)
@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    make(tmp_path / "m.pkl")
    with pytest.raises(DataError, match=words):
        read_cells(tmp_path / "m.pkl")
