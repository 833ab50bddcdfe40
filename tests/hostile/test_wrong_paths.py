"""Every path that a command takes, given something else: one paragraph, exit code 2, no traceback, no hang.

A command is tried with a folder where a file is expected, with an empty, a binary, an absent and a forbidden file,
a named pipe, a device, a path below a file, a path of 5,000 letters, and one that is no UTF-8.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import examples
import pytest

from hostile.limits import MEMORY, ROOT

DRIVER = Path(__file__).with_name("driver.py")
WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
FILES = (
    "empty",
    "binary",
    "absent",
    "forbidden",
    "pipe",
    "device",
    "below a file",
    "long",
    "no UTF-8",
    "broken link",
)
PLACES = ("folder", *FILES)
NAMES = ("long", "no UTF-8", "below a file")
TARGETS = ("file", "forbidden folder", "below a file", "long")  # what cannot be written to
EVALUATE = "evaluate --datasets mine --cache-dir cache --part valid"
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "inspect": ("inspect {}", PLACES),
    "inspect a CSV": ("inspect {}.csv", FILES),
    "inspect a Parquet table": ("inspect {}.parquet", FILES),
    "inspect a matrix": ("inspect {}.pkl", FILES),
    "inspect an .inter": ("inspect {}.inter", FILES),
    "inspect as a table": ("inspect {} --format table", PLACES),
    "inspect as MMRec": ("inspect {} --format mmrec", PLACES),
    "inspect as pickles": ("inspect {} --format pickled-coo", PLACES),
    "inspect as LATTICE": ("inspect {} --format lattice", PLACES),
    "inspect as RecBole": ("inspect {} --format recbole", PLACES),
    "inspect as a copy": ("inspect {} --format normalised", PLACES),
    "import": ("import {} --name mine-too --cache-dir cache", PLACES),
    "import into": ("import good --name mine-too --cache-dir {}", TARGETS),
    "export into": ("export mine --format mmrec --to {} --cache-dir cache", TARGETS),
    "export from": ("export mine --format mmrec --to out --cache-dir {}", (*TARGETS, "absent", "folder")),
    "export of": ("export mine --format mmrec --to out --data-dir {}", PLACES),
    "extract texts": ("extract mine --modality textual --cache-dir cache --input {} --output new.npy", PLACES),
    "extract images": ("extract mine --modality visual --cache-dir cache --input {} --output new.npy", PLACES),
    "extract sounds": ("extract mine --modality acoustic --cache-dir cache --input {} --output new.npy", PLACES),
    "evaluate a CSV": (f"{EVALUATE} --topk {{}}.csv", FILES),
    "evaluate a Parquet table": (f"{EVALUATE} --topk {{}}.parquet", FILES),
    "evaluate lists": (f"{EVALUATE} --topk {{}}", PLACES),
    "evaluate scores": (f"{EVALUATE} --scores {{}}", PLACES),
    "evaluate for": ("evaluate --datasets {} --topk empty.csv", NAMES),
    "order of items": ("inspect good --item-order {}", PLACES),
    "order of items in a CSV": ("inspect good --item-order {}.csv", FILES),
    "cards in": ("run --dry-run --datasets mine --cache-dir cache --card-dir {}", TARGETS[2:]),
    "prepare in": ("prepare far --offline --cache-dir {}", (*TARGETS, "absent", "folder")),
    "leaderboard": ("leaderboard --results-dir {}", PLACES),
    "submit": ("submit {} --to board", PLACES),
    "check-model": ("check-model mf --plugin {}", PLACES),
    "check-model of a name": ("check-model {}", PLACES),
    "new-model": ("new-model my_model --to {}", TARGETS),
    "run with a plugin": ("run --dry-run --plugin {}", PLACES),
    "run on data": ("run --dry-run --datasets mine --cache-dir cache --data-dir {}", PLACES[1:]),
    "run with a cache": ("run --dry-run --datasets mine --source real --cache-dir {}", (*TARGETS, "absent")),
    "run into": ("run --datasets mine --models popularity --cache-dir cache --results-dir {}", TARGETS),
    "check": ("run --check {}", PLACES),
    "a command": ("{}", PLACES),
    "import as": ("import good --cache-dir cache --name {}", NAMES),
    "a layout": ("inspect good --format {}", NAMES),
    "a column": ("inspect good --user-column {}", NAMES),
    "export a name": ("export {} --format mmrec --to out", NAMES),
    "export as": ("export mine --format {} --to out --cache-dir cache", NAMES),
    "export a split": ("export mine --format mmrec --to out --cache-dir cache --split {}", NAMES),
    "export a source": ("export mine --format mmrec --to out --cache-dir cache --source {}", NAMES),
    "prepare a name": ("prepare {}", NAMES),
    "extract for": ("extract {} --modality textual --input empty", NAMES),
    "extract a modality": ("extract mine --cache-dir cache --modality {} --input empty", NAMES),
    "a new model's name": ("new-model {}", NAMES),
    "a data set": ("run --dry-run --datasets {}", NAMES),
    "a model": ("run --dry-run --datasets mine --cache-dir cache --models {}", NAMES),
    "a variant": ("run --dry-run --datasets mine --cache-dir cache --artifacts table3 --models mf@{}", NAMES),
    "an artifact": ("run --dry-run --datasets mine --cache-dir cache --artifacts {}", NAMES),
    "a profile": ("run --dry-run --profile {}", NAMES),
    "a value": ("run --dry-run --datasets mine --cache-dir cache --models mf --artifacts table3 --set {}", NAMES),
    "a parameter": ("run --dry-run --datasets mine --cache-dir cache --models mf --set mf.{}=1", NAMES),
    "an option": ("run --{}", NAMES),
}
CASES = [(name, kind) for name, (_, kinds) in COMMANDS.items() for kind in kinds]


def make_paths(root: Path) -> dict[str, bytes]:
    """A path of every kind by its name, relative to the root."""
    (root / "folder").mkdir()
    (root / "file").write_text("not a folder\n")
    (root / "empty").write_bytes(b"")
    (root / "binary").write_bytes(bytes(range(256)) * 20)
    (root / "forbidden").write_text("a,b\n1,2\n")
    (root / "forbidden").chmod(0)
    (root / "forbidden-folder").mkdir()
    (root / "forbidden-folder").chmod(0)
    os.mkfifo(root / "pipe")
    (root / "broken-link").symlink_to("nowhere")
    (root / "device").symlink_to("/dev/zero")
    for ending in (".csv", ".parquet", ".pkl", ".inter"):
        for name in ("empty", "binary"):
            shutil.copy(root / name, root / f"{name}{ending}")
        for name in ("pipe", "forbidden", "broken-link"):
            (root / f"{name}{ending}").symlink_to(name)
        (root / f"device{ending}").symlink_to("/dev/zero")
    return {
        "device": b"device",
        "below a file": b"file/below",
        "long": b"a" * 5_000,
        "no UTF-8": b"caf\xe9",
        "forbidden folder": b"forbidden-folder",
        "broken link": b"broken-link",
        **{name: name.encode() for name in ("folder", "file", "empty", "binary", "absent", "forbidden", "pipe")},
    }


def make_cards(root: Path) -> None:
    """One data set that was imported, and one that lies far away."""
    examples.make("csv", root / "good")
    (root / "cards").mkdir()
    for name in ("tiktok",):
        text = (ROOT / "datasets" / f"{name}.yaml").read_text(encoding="utf-8")
        (root / "cards" / "far.yaml").write_text(text.replace(f"name: {name}", "name: far"), encoding="utf-8")


def drive(commands: list[list[bytes]], root: Path) -> list[dict[str, Any]]:
    """How commands end that are given in a folder, by a process that may not do everything."""
    given = json.dumps([[one.decode("latin-1") for one in command] for command in commands])
    prefix = WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*prefix, sys.executable, str(DRIVER)],
        input=given,
        capture_output=True,
        text=True,
        cwd=root,
        timeout=590,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        env={**os.environ, "PYTHONPATH": str(ROOT), "CARDS": str(root / "cards"), "LUDP_BENCH_DATA": ""},
    )
    lines = [one for one in done.stdout.splitlines() if one.startswith("{")]
    assert len(lines) == len(commands), (done.returncode, done.stderr[-3000:])
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], dict[str, Any]]]:
    """How every command ends with every kind of path."""
    if os.geteuid() == 0 and shutil.which(WITHOUT_RIGHTS[0]) is None:
        pytest.skip("a forbidden file needs a user who is not root, or setpriv")
    root = tmp_path_factory.mktemp("paths")
    paths = make_paths(root)
    make_cards(root)

    @cache
    def arguments(name: str, kind: str) -> list[bytes]:
        return [word.encode().replace(b"{}", paths[kind]) for word in COMMANDS[name][0].split()]

    first = [b"import", b"good", b"--name", b"mine", b"--cache-dir", b"cache"]
    before, *found = drive([first, *(arguments(*case) for case in CASES)], root)
    assert before["code"] == 0, before
    yield dict(zip(CASES, found, strict=True))
    (root / "forbidden-folder").chmod(0o700)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=" - ".join)
def test_one_paragraph(case: tuple[str, str], outcomes: dict[tuple[str, str], dict[str, Any]]) -> None:
    found = outcomes[case]
    assert found["code"] == 2, (found["code"], found["err"], found["out"][-500:])
    assert "Traceback" not in found["err"] + found["out"]
    lines = found["err"].strip().splitlines()
    assert len(lines) == 1, found["err"]
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 8_000
