"""Consoles and paths that are not UTF-8, packages of the user's own in the way, read-only installations."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import examples
import pytest

from bench.cli import parser
from bench.core.errors import UsageError
from bench.data import cards
from bench.data.importing import import_data
from bench.data.pins import package_directory
from hostile.limits import CALL, ROOT, limited, one_paragraph

ODD = b"caf\xe9-\xff"
CONSOLES = [
    {"PYTHONIOENCODING": "ascii"},
    {"LANG": "C", "LC_ALL": "C"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
ENCODINGS = ["cp1252:strict", "gbk:strict", "latin-1:strict", "utf-8:strict"]


@pytest.fixture
def odd_data(tmp_path: Path) -> Path:
    """A table whose ids have letters of many alphabets, in a folder whose name is no UTF-8."""
    folder = tmp_path / os.fsdecode(ODD)
    examples.make("csv", folder)
    table = folder / "ratings.csv"
    text = table.read_text(encoding="utf-8").replace("user-f", "ü-\U0001f600").replace("user-d", "用户")
    table.write_text(text, encoding="utf-8")
    return folder


HOME = """
import sys
from hostile.driver import use_cards
from pathlib import Path
use_cards(Path("cards"))
from bench.cli.main import main
for line in sys.argv[1:]:
    code = main(line.split(chr(1)))
    assert code == 0, (code, line)
"""


ENCODED = """
import sys
from hostile.driver import use_cards
from pathlib import Path
use_cards(Path("cards"))
from bench.cli.main import main
encodings, *lines = sys.argv[1:]
for number, one in enumerate(encodings.split()):
    encoding, _, errors = one.partition(":")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, errors=errors)
    for line in lines:
        code = main(line.replace("odd-name", f"odd-{number}").split(chr(1)))
        assert code == 0, (code, one, line)
"""


def line(*words: str | Path) -> str:
    return "\x01".join(map(str, words))


@pytest.mark.parametrize("console", CONSOLES, ids=lambda one: " ".join(one.values()))
def test_a_console_without_the_letters(console: dict[str, str], odd_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    commands = [line("inspect", odd_data), line("import", odd_data, "--name", "odd", "--cache-dir", "cache")]
    done = limited(HOME, *commands, "--help", cwd=tmp_path, **console)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "6 users, 9 items" in done.stdout
    assert "wrote" in done.stdout
    assert ROOT.is_dir()
    card = (tmp_path / "cards" / "odd.yaml").read_text(encoding="utf-8")
    assert "caf" in card


def test_more_encodings_of_a_console(odd_data: Path, tmp_path: Path) -> None:
    """In one process, whose streams get one encoding after the other."""
    (tmp_path / "cards").mkdir()
    commands = [line("inspect", odd_data), line("import", odd_data, "--name", "odd-name", "--cache-dir", "cache")]
    done = limited(ENCODED, " ".join(ENCODINGS), *commands, line("--help"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("6 users, 9 items") >= len(ENCODINGS)
    for number in range(len(ENCODINGS)):
        assert "caf" in (tmp_path / "cards" / f"odd-{number}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("layout", examples.EXAMPLES)
def test_every_layout_in_a_folder_that_is_no_utf_8(layout: str, tmp_path: Path) -> None:
    odd, plain = tmp_path / os.fsdecode(ODD) / os.fsdecode(ODD), tmp_path / "plain" / "given"
    examples.make(layout, plain)
    shutil.copytree(plain, odd)
    for folder in (odd, plain):
        (folder.parent / "cards").mkdir(exist_ok=True)
    made = [
        import_data(folder, "one", folder.parent / "cards", folder.parent / "cache").directory
        for folder in (odd, plain)
    ]
    for path in sorted(made[1].iterdir()):
        assert (made[0] / path.name).read_bytes() == path.read_bytes()
    assert cards.load("one", odd.parent / "cards").name == "one"


def test_runs_tables_and_boards_in_such_a_folder(odd_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    home = tmp_path / os.fsdecode(ODD)
    folders = ["--cache-dir", home / "cache", "--results-dir", home / "results"]
    run = [
        "run",
        "--datasets",
        "odd",
        "--models",
        "popularity",
        "lattice",
        "ludp",
        "--epochs",
        "1",
        "--workers",
        "1",
        *folders,
    ]
    commands = [
        line("import", odd_data, "--name", "odd", "--cache-dir", home / "cache"),
        line(*run),
        line(*run, "--artifacts", "table3"),
        line("leaderboard", "--results-dir", home / "results"),
        line("submit", home / "results", "--to", home / "board"),
        line("export", "odd", "--format", "mmrec", "--to", home / "out", "--cache-dir", home / "cache"),
        line("export", "odd", "--format", "recbole", "--to", home / "out2", "--cache-dir", home / "cache"),
    ]
    done = limited(HOME, *commands, cwd=tmp_path, seconds=280, memory=16 << 30, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "finished already and kept" in done.stdout
    assert (home / "results" / "report.html").is_file()
    for path in (home / "results").rglob("*.json"):
        path.read_bytes().decode("utf-8")


OWN = """
raise SystemExit("the user's own package was run")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the user's own with a package `models`."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize("command", [["inspect", "."], ["run", "--list"], ["check-model", "mf"], ["--help"]])
def test_a_package_models_in_the_way_is_named_and_not_run(command: list[str], project: Path) -> None:
    places = os.pathsep.join((str(project), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", CALL, *command],
        capture_output=True, text=True, check=False, cwd=project, env={**os.environ, "PYTHONPATH": places},
    )  # fmt: skip
    told = one_paragraph(done)
    assert str(project / "models") in told
    assert str(ROOT / "models") in told
    assert "python -P -m bench" in told


def test_one_that_is_loaded_already_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger: Any = type(sys)("models")
    stranger.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "models", stranger)
    with pytest.raises(UsageError, match=str(tmp_path)):
        parser.check_own_packages()


def test_a_folder_models_that_is_no_package_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    done = limited(CALL, "run", "--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_card_s_package_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the working directory, nor from PYTHONPATH, nor one that is installed."""
    package = tmp_path / "payload"
    (package / "sub" / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the payload ran')")
    (package / "sub" / "__init__.py").write_text("raise SystemExit('the payload ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_directory("payload.sub", "data") is None
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    assert package_directory("payload.sub", "data") == package / "sub" / "data"
    assert package_directory("payload.absent", "data") is None
    assert package_directory("absent.sub", "data") is None
    assert "payload" not in sys.modules


def test_the_installed_package_is_found() -> None:
    assert package_directory("recbole", "dataset_example/ml-100k") is not None


def test_a_card_that_names_a_package_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "payload" / "sub").mkdir(parents=True)
    (tmp_path / "payload" / "__init__.py").write_text("open('marker', 'w')")
    (tmp_path / "cards").mkdir()
    text = (
        (cards.DATASETS / "movielens.yaml")
        .read_text(encoding="utf-8")
        .replace("package: recbole", "package: payload.sub")
    )
    (tmp_path / "cards" / "movielens.yaml").write_text(text, encoding="utf-8")
    code = HOME.replace("    assert code == 0", "    sys.exit(code)\n    assert code == 0")
    command = line("export", "movielens", "--format", "mmrec", "--to", "out", "--source", "embedded")
    told = one_paragraph(limited(code, command, cwd=tmp_path))
    assert "Python package payload.sub" in told
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A copy of the installation that cannot be written, and a process that keeps to that."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("a folder that cannot be written needs a user who is not root, or setpriv")
    home = tmp_path / "installed"
    for name in ("bench", "models", "datasets"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__", "cache"))
    shutil.copy(ROOT / "run_all.py", home)
    folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield home
    for folder in folders:
        folder.chmod(0o755)


READ_ONLY = [
    (["import", "GOOD", "--name", "mine"], "--cache-dir"),
    (["import", "GOOD", "--name", "mine", "--cache-dir", "CACHE"], "make that folder writable"),
    (["run", "--datasets", "movielens", "--models", "popularity"], "--results-dir"),
    (["run", "--datasets", "tiktok", "--models", "popularity", "--results-dir", "RESULTS"], ""),
    (["new-model", "mine"], "--to DIR"),
    (["prepare", "tiktok"], "--cache-dir"),
]


def test_a_read_only_installation(read_only: Path, tmp_path: Path) -> None:
    examples.make("csv", tmp_path / "good")
    prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    environment = {**os.environ, "PYTHONPATH": str(read_only), "LUDP_BENCH_DATA": ""}
    places = {"GOOD": tmp_path / "good", "CACHE": tmp_path / "cache", "RESULTS": tmp_path / "results"}
    for command, words in READ_ONLY:
        given = [str(places.get(word, word)) for word in command]
        environment["LUDP_BENCH_OFFLINE"] = "0" if command[0] == "prepare" else "1"
        call = [*prefix, sys.executable, "-c", CALL, *given]
        done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        if words:
            assert words in one_paragraph(done), command
        else:
            assert "Traceback" not in done.stderr, done.stderr
            assert done.returncode in (0, 2), done.stderr
    assert not list(read_only.rglob("*.part"))
