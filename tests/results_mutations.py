"""Ways to break or forge what lies in a results directory, and a child process that reads each broken form.

`python tests/results_mutations.py KIND FIRST N FOLDER` tries N inputs of a kind within a limit of time and memory
and prints one line of JSON: how many were read, how many refused or left out, and what went wrong. An input may be
read, with every number as it was and every file accounted for, or refused in one paragraph; nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Mutation = Callable[[bytes, Random], bytes]
SECONDS, MEMORY = 20, 2**30  # of one input; beyond what the imports take
KINDS = ("record", "lists", "card", "baseline")
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1e308, -0.0, 10**30, 2**63, "", "x", "../x", "=1+1", "a\x1b[31mb"),
    *([], {}, [1], {"a": 1}, "NaN", "\ud800", "/etc/passwd", "<script>", "99", 99, 1.0000000000000002),
)


def flip(content: bytes, rng: Random) -> bytes:
    """Change a few bytes anywhere."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 32))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def repeat(content: bytes, rng: Random) -> bytes:
    """Write a part of the file twice."""
    start, end = sorted((rng.randrange(len(content)), rng.randrange(len(content))))
    return content[:end] + content[start:]


RAW: tuple[Mutation, ...] = (
    flip,
    repeat,
    lambda content, rng: content[: rng.randrange(len(content))],
    lambda content, rng: content[rng.randrange(len(content)) :],
    lambda content, rng: b"",
    lambda content, rng: content + content,
    lambda content, rng: rng.randbytes(rng.randrange(1, 300)),
    lambda content, rng: b"[" * 100_000,
    lambda content, rng: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    lambda content, rng: content.decode("latin-1").encode("utf-16"),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON value with a key or position in it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def changed_json(content: bytes, rng: Random) -> Any:
    """Change one to three places of a JSON value: retype, remove, rename, repeat, swap, nudge."""
    values = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        (holder, key), (other, other_key) = (rng.choice(list(places(values))) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            holder[key] = rng.choice(ODD)
        elif kind == 1:
            del holder[key]
        elif kind == 2 and isinstance(holder, dict):
            holder[f"{key}{rng.choice(('', 's', '_'))}"] = holder.pop(key)
        elif kind == 3 and isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        elif kind == 4:
            values_of_both = json.loads(json.dumps([holder[key], other[other_key]]))
            holder[key] = values_of_both[1]
            with contextlib.suppress(KeyError, IndexError, TypeError):
                other[other_key] = values_of_both[0]
        elif isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] += rng.choice((1, -1, 0.001, 1e-15))
    return values


def json_mutation(content: bytes, rng: Random, rehash: Callable[[dict[str, Any]], Any] | None = None) -> bytes:
    """Break a JSON file as bytes, or forge it and compute its hash anew, as one who knows how."""
    if rng.random() < 0.2:
        return rng.choice(RAW)(content, rng)
    values = changed_json(content, rng)
    if rehash is not None and isinstance(values, dict) and rng.random() < 0.8:
        with contextlib.suppress(ValueError):
            values = rehash(values)
    return json.dumps(values, indent=1).encode("utf-8", "surrogatepass")


def lists_mutation(content: bytes, rng: Random) -> bytes:
    """Break an archive of arrays as bytes, or change what is in it."""
    if rng.random() < 0.35:
        return rng.choice(RAW)(content, rng)
    with np.load(io.BytesIO(content)) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    array = arrays[name]
    changes: tuple[Callable[[], Any], ...] = (
        lambda: array[:-1],
        lambda: np.concatenate([array, array[:1]]),
        lambda: array[::-1].copy(),
        lambda: array.ravel(),
        lambda: array.astype("U5"),
        lambda: array.astype("datetime64[s]") if array.dtype.kind == "i" else array.astype(np.float32),
        lambda: np.full_like(array, -5),
        lambda: array + 1,
        lambda: np.where(np.arange(array.size).reshape(array.shape) == 3, np.nan, array),
        lambda: array[:0],
        lambda: np.zeros((), dtype=array.dtype),
        lambda: array.astype(complex),
    )
    arrays[name] = rng.choice(changes)()
    if rng.random() < 0.3:
        arrays[f"{name}{rng.choice(('s', '/../x'))}"] = arrays.pop(name)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    if rng.random() < 0.3:
        return _claiming(stream.getvalue(), rng)
    return stream.getvalue()


def _claiming(content: bytes, rng: Random) -> bytes:
    """Let one array claim a shape that the file does not hold, or give it twice."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            body = old.read(name)
            if rng.random() < 0.3:
                header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10 ** rng.randrange(3, 13)},), }}"
                body = (
                    b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n" + body
                )
            new.writestr(name, body)
    return stream.getvalue()


def text_mutation(content: bytes, rng: Random) -> bytes:
    """Break a YAML file: bytes, lines lost, doubled or swapped, values replaced."""
    if rng.random() < 0.3:
        return rng.choice(RAW[:7])(content, rng)
    lines = content.decode().split("\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    odd = rng.choice(
        ("", "-1", "1e3", ".inf", "[]", "{}", "null", "'..'", "/etc/passwd", "!!python/name:os.system")
    )
    kind = rng.randrange(5)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines.insert(one, lines[other])
    elif kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 3 and ":" in lines[one]:
        lines[one] = f"{lines[one].partition(':')[0]}: {odd}"
    else:
        lines[one] = lines[one].replace(":", "x:", 1)
    return "\n".join(lines).encode()


class Judge:
    """Tries inputs of one kind in a folder that holds `template/`, a whole results directory.

    Args:
        folder: as `prepared` made it.
    """

    def __init__(self, folder: Path) -> None:
        from bench.report.leaderboard.rows import read_results

        self.folder = folder
        self.true = {file.record.key: file.record for file in read_results(folder / "template").runs}
        self.outcomes = {"read": 0, "refused": 0}

    def record(self, rng: Random) -> None:
        """Break one record."""
        from bench.core.hashing import hash_in_full

        def rehash(values: dict[str, Any]) -> dict[str, Any]:
            values.pop("content_hash", None)
            return {**values, "content_hash": hash_in_full(values)}

        root = self._copy()
        path = rng.choice(sorted((root / "runs").rglob("*.json")))
        path.write_bytes(json_mutation(path.read_bytes(), rng, rehash))
        self._board(root, path.name)
        self._submit(root, path.relative_to(root))

    def lists(self, rng: Random) -> None:
        """Break the lists of one run."""
        root = self._copy()
        path = rng.choice(sorted((root / "topk").glob("*.npz")))
        path.write_bytes(lists_mutation(path.read_bytes(), rng))
        self._board(root, path.name)
        self._submit(root, path.relative_to(root))

    def card(self, rng: Random) -> None:
        """Break a data card."""
        from bench.data import cards

        path = self.folder / "cards" / "movielens.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text_mutation((cards.DATASETS / path.name).read_bytes(), rng))
        if self._taken(lambda: cards.load("movielens", path.parent)) is not None:
            self.outcomes["read"] += 1

    def baseline(self, rng: Random) -> None:
        """Break a baseline; one that is taken must see a metric that went to 0 or 1."""
        from bench.checks.regression import baseline
        from bench.checks.regression.compare import Measured, Value, compare_numbers

        path = self.folder / "baseline.json"
        path.write_bytes(json_mutation((self.folder / "template" / "baseline.json").read_bytes(), rng))
        found = self._taken(lambda: baseline.read(path))
        if found is None:
            return
        self.outcomes["read"] += 1
        for name, model in found.models.items():
            for number, known in model.numbers.items():
                if number.startswith(("valid ", "test ")):
                    green = [
                        all(
                            row.holds
                            for row in compare_numbers(
                                found,
                                name,
                                Measured({number: Value(value, min(known.step, 0.01))}),
                                found.base_seed,
                            )
                            if row.number == number
                        )
                        for value in (0.0, 1.0)
                    ]
                    assert not all(green), f"{name} {number} allows everything"

    def _copy(self) -> Path:
        root = self.folder / "tried"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.folder / "template", root)
        return root

    def _taken(self, act: Callable[[], Any]) -> Any:
        """Return what an action gives; None where it refuses in one paragraph."""
        from bench.core.errors import BenchError

        try:
            return act()
        except BenchError as problem:
            said, code = str(problem), problem.exit_code
        assert code == 2
        assert len(said.strip().splitlines()) == 1, f"several lines: {said}"
        self.outcomes["refused"] += 1
        return None

    def _board(self, root: Path, name: str) -> None:
        """Every file is in a row or left out, and every number is one that a run left."""
        from bench.report.leaderboard.build import refresh

        refresh(root)
        text = (root / "leaderboard.json").read_text(encoding="utf-8")
        value = json.loads(text)
        shown = [row for table in value["tables"] for row in table["rows"]]
        named = {Path(file).name for row in shown for file in row["records"]}
        counted = sum(int(line.split()[0]) for line in value["left_out"] if line.split()[1] in ("run:", "runs:"))
        files = {path.name for path in (root / "runs").rglob("*.json")}
        lost = {file for file in files - named if not any(file in line for line in value["left_out"])}
        lost_count = len(lost) - counted - sum(row["n_failed"] for row in shown)
        assert lost_count <= 0, f"{sorted(lost)} are nowhere: {value['left_out']}"
        for row in shown:
            for metric, spread in row["test"].items():
                for file, number in zip(row["records"], spread["values"], strict=True):
                    metrics = self.true[Path(file).stem].metrics
                    assert metrics is not None
                    assert abs(number - metrics.test.values[metric]) <= 1e-12, f"{file} {metric} = {number}"
        for form in ("md", "html"):
            page = (root / f"leaderboard.{form}").read_text(encoding="utf-8")
            assert "<script>alert" not in page
            assert "\x1b" not in page
        self.outcomes["read" if not value["left_out"] and name in named else "refused"] += 1

    def _submit(self, root: Path, changed: Path) -> None:
        """What is taken is what the run left, or nothing is."""
        from bench.report.leaderboard.rows import read_results
        from bench.report.leaderboard.submit import submit

        target = self.folder / "to"
        shutil.rmtree(target, ignore_errors=True)
        if self._taken(lambda: submit([root], target, None, False)) is None:
            assert not target.exists(), "something was copied"
            return
        self.outcomes["read"] += 1
        assert not read_results(target).damaged
        for file in read_results(target).runs:
            assert file.record.metrics == self.true[file.record.key].metrics, f"{changed}: other numbers"


def prepared(folder: Path) -> None:
    """Make the results directory and the baseline that are broken."""
    from boards import add_run

    root = Path(__file__).resolve().parent.parent
    for label, skill in {"mf": 0.2, "lightgcn": 0.8}.items():
        for n in range(2):
            add_run(folder / "template", label, n, skill)
    shutil.copy(root / "results" / "reference" / "smoke-baseline.json", folder / "template" / "baseline.json")


def main(kind: str, first: int, n: int, folder: Path) -> dict[str, Any]:
    """Try inputs FIRST to FIRST + N of a kind."""
    judge = Judge(folder)
    getattr(judge, kind)(Random("imports"))  # loads what the first input would load
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    judge.outcomes, wrong = {"read": 0, "refused": 0}, []

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    for number in range(first, first + n):
        signal.alarm(SECONDS)
        try:
            getattr(judge, kind)(Random(f"{kind} {number}"))
        except Exception as problem:
            wrong.append(f"{kind} {number}: {type(problem).__name__}: {problem}")
        finally:
            signal.alarm(0)
    return {"kind": kind, "inputs": n, **judge.outcomes, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
