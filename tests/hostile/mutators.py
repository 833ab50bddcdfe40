"""Sound files broken at random, kind by kind, and what the command line makes of each in a limited process.

`PYTHONPATH=tests:. python -m hostile.mutators 300` prints how many of each kind were read and refused.
"""

from __future__ import annotations

import json
import os
import pickletools
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import examples
import numpy as np
import pyarrow as pa
from pyarrow import parquet
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")
TORCH = 16 << 30  # of addresses; loading torch takes many
MEMORY = dict.fromkeys(("parameters", "lists.csv", "lists.jsonl", "scores"), TORCH)
SECONDS, MOST_TOLD = 550, 5
ODD_VALUES = (
    "null", "true", "-1", "0", "1e999", ".inf", ".nan", "[]", "{}", "[[1]]", "'x'", "2020-01-01", "1:30", "007",
    "*a", "&a [*a]", "!!python/name:os.system", "!!timestamp x", "9" * 400, "'" + "x" * 5_000 + "'", "[" * 2_000,
    "../x", "'\\x00'", "\"\\uD800\"", "{a: 1, a: 2}", "~", "|", "? ", "- ",
)  # fmt: skip
OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


def flip(content: bytes, rng: Random) -> bytes:
    """One to thirty-two bytes changed."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def flip_bit(content: bytes, rng: Random) -> bytes:
    """One bit changed."""
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(content: bytes, rng: Random) -> bytes:
    """A piece left out: in the middle or up to the end."""
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice((1, 4, 16, len(content))) :]


def repeat(content: bytes, rng: Random) -> bytes:
    """A piece written a few or many times."""
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice((1, 2, 4, 16, 64))]
    return content[:start] + piece * rng.choice((2, 3, 60, 2_000)) + content[start + len(piece) :]


def retype(content: bytes, rng: Random) -> bytes:
    """A number of 4 or 8 bytes replaced by an extreme one."""
    size = rng.choice((4, 8))
    start = rng.randrange(max(len(content) - size, 1))
    value = rng.choice((0, 1, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1, 1 << 20))
    return content[:start] + value.to_bytes(size, "little") + content[start + size :]


def other_opcode(content: bytes, rng: Random) -> bytes:
    """An instruction of a pickle replaced by another, or another put before it."""
    places = [place for _, _, place in pickletools.genops(content) if place is not None]
    place = rng.choice(places)
    inserted = rng.choice((rng.choice(OPCODES), b"2\x86" * 60, b"h\x00h\x00\x86q\x00" * 40, b"(", b"0"))
    return content[:place] + inserted + content[place + rng.choice((0, 0, 1)) :]


def by_lines(change: Callable[[list[str], Random], list[str]]) -> Callable[[bytes, Random], bytes]:
    """A change of the lines of a text."""
    return lambda content, rng: "\n".join(change(content.decode().split("\n"), rng)).encode()


def other_value(lines: list[str], rng: Random) -> list[str]:
    """The value of a key replaced."""
    row = rng.choice([n for n, line in enumerate(lines) if ":" in line])
    return [*lines[:row], f"{lines[row].partition(':')[0]}: {rng.choice(ODD_VALUES)}", *lines[row + 1 :]]


def other_key(lines: list[str], rng: Random) -> list[str]:
    """A key replaced."""
    row = rng.choice([n for n, line in enumerate(lines) if ":" in line])
    indent = lines[row][: len(lines[row]) - len(lines[row].lstrip())]
    return [*lines[:row], f"{indent}{rng.choice(ODD_VALUES)}:{lines[row].partition(':')[2]}", *lines[row + 1 :]]


def lost_lines(lines: list[str], rng: Random) -> list[str]:
    """Some lines left out."""
    row = rng.randrange(len(lines))
    return lines[:row] + lines[row + rng.choice((1, 2, 5)) :]


def moved_lines(lines: list[str], rng: Random) -> list[str]:
    """A line repeated elsewhere."""
    return [*lines, lines[rng.randrange(len(lines))]]


def other_indent(lines: list[str], rng: Random) -> list[str]:
    """A line deeper or higher."""
    row = rng.randrange(len(lines))
    return [*lines[:row], rng.choice(("  ", "\t", " ", "    - ")) + lines[row], *lines[row + 1 :]]


BYTES = (flip, flip_bit, cut, repeat, retype)
LINES = (*BYTES[:4], *map(by_lines, (lost_lines, moved_lines)))
TEXT = (*BYTES[:4], *map(by_lines, (other_value, other_value, other_key, lost_lines, moved_lines, other_indent)))


def pickled(root: Path) -> bytes:
    """A pickled matrix."""
    return (examples.make("pickled-coo", root / "sound") / "train_mat").read_bytes()


def feature_file(kind: str) -> Callable[[Path], bytes]:
    """A feature file for the items of the table."""
    ids, rows = examples.ITEM_IDS, np.round(examples.TEXTUAL, 3)

    def made(root: Path) -> bytes:
        path = root / f"sound.{kind}"
        if kind == "npy":
            np.save(path, rows)
        elif kind == "npz":
            np.savez_compressed(path, item_id=np.array(ids), features=rows)
        elif kind == "safetensors":
            codes = np.arange(len(ids))
            save_file({"item_id": codes, "features": rows}, path)
        else:
            values = pa.array(list(rows.astype(np.float32)), pa.list_(pa.float32()))
            parquet.write_table(pa.table({"item_id": ids, "feature": values}), path)
        return path.read_bytes()

    return made


def card(root: Path) -> bytes:
    """The card of an import."""
    drive([["import", str(examples.make("csv", root / "good")), "--name", "good", "--cache-dir", "cache"]], root)
    return (root / "cards" / "good.yaml").read_bytes()


def parameters(root: Path) -> bytes:
    """The parameters of a new model."""
    card(root)
    drive([["new-model", "mine", "--to", str(root / "mine")]], root)
    return (root / "mine" / "mine.yaml").read_bytes()


def lists(kind: str) -> Callable[[Path], bytes]:
    """The recommendations of another program: every item that is not in the training part of its user."""

    def made(root: Path) -> bytes:
        card(root)
        drive([["export", "good", "--format", "csv", "--to", "parts", "--cache-dir", "cache"]], root)
        trained = (root / "parts" / "good" / "train.csv").read_text().splitlines()
        known = {tuple(line.split(",")[:2]) for line in trained}
        pairs = [(user, item) for user in examples.USER_IDS for item in examples.ITEM_IDS]
        rows = [(*pair, rank) for rank, pair in enumerate(pairs) if pair not in known]
        if kind == "csv":
            return "\n".join(["user,item,rank", *(f"{user},{item},{rank}" for user, item, rank in rows)]).encode()
        if kind == "jsonl":
            return "\n".join(json.dumps({"user": u, "item": i, "score": -rank}) for u, i, rank in rows).encode()
        np.save(root / "scores.npy", np.arange(len(pairs), dtype=np.float32).reshape(examples.USERS, -1))
        return (root / "scores.npy").read_bytes()

    return made


def as_lists(kind: str) -> Callable[[Path, int, bytes], list[str]]:
    """Lists or scores, evaluated on the validation part."""

    def placed(root: Path, number: int, content: bytes) -> list[str]:
        (root / f"lists-{number}.{kind}").write_bytes(content)
        given = ["--scores" if kind == "npy" else "--topk", f"lists-{number}.{kind}", "--results-dir", "results"]
        return ["evaluate", "--datasets", "good", "--cache-dir", "cache", "--part", "valid", *given]

    return placed


def item_order(root: Path) -> bytes:
    """A table of item ids in the order of the rows of a feature file."""
    return "\n".join(["row,item_id", *(f"{row},{item}" for row, item in enumerate(examples.ITEM_IDS))]).encode()


def as_item_order(root: Path, number: int, content: bytes) -> list[str]:
    """The order of a feature file without ids."""
    folder = root / f"in-{number}"
    examples.make("csv", folder)
    for path in folder.iterdir():
        if path.suffix != ".csv":
            path.unlink()
    np.save(folder / "text_feat.npy", examples.TEXTUAL)
    (root / f"order-{number}.csv").write_bytes(content)
    return ["inspect", folder.name, "--item-order", f"order-{number}.csv"]


def beside_a_table(name: str) -> Callable[[Path, int, bytes], list[str]]:
    """A feature file beside a table of whole numbers as item ids, so that every kind of ids fits."""

    def placed(root: Path, number: int, content: bytes) -> list[str]:
        folder = root / f"in-{number}"
        folder.mkdir()
        ids = range(examples.ITEMS) if name.endswith(("npy", "safetensors")) else examples.ITEM_IDS
        rows = [f"{user},{list(ids)[item]}" for user, item in examples.PAIRS]
        (folder / "ratings.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
        (folder / name).write_bytes(content)
        return ["inspect", folder.name]

    return placed


def as_a_part(root: Path, number: int, content: bytes) -> list[str]:
    """A matrix in the place of the training part."""
    shutil.copytree(root / "sound", root / f"in-{number}")
    (root / f"in-{number}" / "train_mat").write_bytes(content)
    return ["inspect", f"in-{number}"]


def as_a_card(root: Path, number: int, content: bytes) -> list[str]:
    """A card under a name of its own, asked for by an export."""
    (root / "cards" / f"good{number}.yaml").write_bytes(
        content.replace(b"name: good\n", b"name: good%d\n" % number, 1)
    )
    return ["export", f"good{number}", "--format", "mmrec", "--to", f"out/{number}/a/b", "--cache-dir", "cache"]


def as_parameters(root: Path, number: int, content: bytes) -> list[str]:
    """A model in a folder of its own, asked for by a plan."""
    shutil.copytree(root / "mine", root / f"in-{number}")
    (root / f"in-{number}" / "mine.yaml").write_bytes(content)
    run = [
        "run",
        "--dry-run",
        "--datasets",
        "good",
        "--cache-dir",
        "cache",
        "--artifacts",
        "table3",
        "--models",
        "mine",
    ]
    return [*run, "--plugin", f"in-{number}"]


Mutators = tuple[Callable[[bytes, Random], bytes], ...]
KINDS: dict[str, tuple[Callable[[Path], bytes], Mutators, Callable[[Path, int, bytes], list[str]]]] = {
    "pickle": (pickled, (*BYTES, other_opcode, other_opcode), as_a_part),
    "card": (card, TEXT, as_a_card),
    "parameters": (parameters, TEXT, as_parameters),
    "lists.csv": (lists("csv"), LINES, as_lists("csv")),
    "lists.jsonl": (lists("jsonl"), LINES, as_lists("jsonl")),
    "scores": (lists("npy"), BYTES, as_lists("npy")),
    "item order": (item_order, LINES, as_item_order),
    **{
        kind: (feature_file(kind), BYTES, beside_a_table(f"text_feat.{kind}"))
        for kind in ("npy", "npz", "parquet", "safetensors")
    },
}


def drive(commands: list[list[str]], root: Path, memory: int = 4 << 30) -> list[dict[str, object]]:
    """How commands end; one that hangs or kills the process is the last."""
    (root / "cards").mkdir(exist_ok=True)
    places = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, str(DRIVER)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        env={**os.environ, "PYTHONPATH": places, "CARDS": str(root / "cards"), "OMP_NUM_THREADS": "1",
             "LUDP_BENCH_DATA": "", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    try:
        out, err = process.communicate(json.dumps(commands), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if len(found) < len(commands):
        found.append({"code": f"ended with {process.returncode}", "out": "", "err": err[-2_000:]})
    return found


def verdict(outcome: dict[str, object]) -> str:
    """How a command took its input."""
    code, out, err = outcome["code"], str(outcome["out"]), str(outcome["err"])
    if code == 0 and "Traceback" not in err:
        return "read"
    told = err.startswith("error: ") and "\n\n" not in err.strip() and len(err) < 10_000
    if code == 2 and "Traceback" not in err + out and (told or "PROBLEM" in out):
        return "refused"
    return "wrong"


def try_kind(kind: str, count: int, seed: int, root: Path) -> tuple[Counter[str], list[str]]:
    """Verdicts on `count` broken files of a kind, and what is to be known of the wrong ones."""
    make, mutators, place = KINDS[kind]
    rng = Random(f"{kind} {seed}")
    sound = make(root)
    contents = [sound]
    while len(contents) <= count:
        content = sound
        for _ in range(rng.choice((1, 1, 2))):
            try:
                content = rng.choice(mutators)(content, rng) or sound
            except (ValueError, IndexError, UnicodeDecodeError):  # broken too much to be broken once more
                continue
        contents.append(content)
    commands = [place(root, number, content) for number, content in enumerate(contents)]
    before = {path for path in root.parent.rglob("*") if root not in path.parents and path != root}
    outcomes = drive(commands, root, MEMORY.get(kind, 4 << 30))
    left = {path for path in root.parent.rglob("*") if root not in path.parents and path != root} - before
    told = [f"left its folder: {path}" for path in left]
    verdicts = Counter[str]()
    for number, outcome in enumerate(outcomes):
        found = verdict(outcome)
        if number == 0:
            told += [] if found == "read" else [f"the sound file was {found}: {str(outcome)[-600:]}"]
            continue
        verdicts[found] += 1
        if found == "wrong":
            told.append(f"{kind} {number}: {str(outcome)[-600:]}\n{contents[number]!r:.500}")
    return verdicts, told


def main(count: int, seed: int) -> None:
    """Print how many inputs of each kind were read, refused and wrong."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "root"
            root.mkdir()
            verdicts, told = try_kind(kind, count, seed, root)
        print(f"{kind:<12} {sum(verdicts.values()):>5} inputs, {dict(verdicts)}")
        for each in told[:MOST_TOLD]:
            print(f"  {each}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
