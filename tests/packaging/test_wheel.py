"""The wheel works outside a checkout: it brings its files, and writes into the working directory."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from bench.data import card_files, cards

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("datasets/README.md", "reference/claims.yaml", "reference/paper.yaml", "reference/smoke-baseline.json")
BASELINE = "from bench.cli.options import parse; print(parse(['--check']).check.baseline)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel, as pip installs it."""
    pytest.importorskip("build", reason="no build: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(site: Path, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the wheel's packages with a working directory of the user's."""
    environment = {**os.environ, "PYTHONPATH": str(site), "LUDP_BENCH_DATA": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=work, env=environment, capture_output=True, text=True, check=False
    )


def told(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed; it succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_that_the_program_reads_is_in_the_wheel(site: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "bench", "models"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    there = [line for line in tracked.stdout.splitlines() if (ROOT / line).is_file()]
    assert there
    assert [line for line in there if not (site / line).is_file()] == []
    assert [name for name in SHIPPED if not (site / "bench" / "shipped" / name).is_file()] == []


def test_no_top_level_folder_hides_another_package(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    assert {path.name for path in site.iterdir()} == {"bench", "models", info.name}
    assert not (site / "bench" / "shipped" / "datasets" / "cache").exists()


def test_names_of_data_sets_are_those_of_the_checkout(site: Path, tmp_path: Path) -> None:
    assert told(python(site, tmp_path, "-c", "import bench; print(bench.__file__)")).startswith(str(site))
    listing = told(python(site, tmp_path, "-m", "bench", "run", "--list"))
    for path in (ROOT / "datasets").glob("*.yaml"):
        assert f"  {path.stem} " in listing
    assert list(tmp_path.iterdir()) == []


def test_a_run_writes_into_the_working_directory(site: Path, tmp_path: Path) -> None:
    command = ("run", "--datasets", "movielens", "--models", "popularity", "--profile", "smoke", "--workers", "1")
    told(python(site, tmp_path, "-m", "bench", *command))
    assert (tmp_path / "results" / "report.html").is_file()
    (record,) = (tmp_path / "results" / "runs").glob("**/*.json")
    # a package lies in no repository, though the folder around it may be one
    assert json.loads(record.read_text(encoding="utf-8"))["environment"]["git"]["commit"] is None
    assert not (site / "bench" / "shipped" / "datasets" / "cache").exists()
    assert not (site / "results").exists()


def test_imported_data_is_found_beside_the_shipped_cards(site: Path, tmp_path: Path) -> None:
    rows = [f"u{user},i{(user * 7 + step) % 30}" for user in range(40) for step in range(6)]
    (tmp_path / "shop.csv").write_text("\n".join(["user_id,item_id", *rows, ""]), encoding="utf-8")
    assert "40" in told(python(site, tmp_path, "-m", "bench", "inspect", "shop.csv"))
    told(python(site, tmp_path, "-m", "bench", "import", "shop.csv", "--name", "shop"))
    assert (tmp_path / "datasets" / "shop.yaml").is_file()
    plan = ("run", "--datasets", "shop", "movielens", "--models", "popularity", "--dry-run")
    assert "shop" in told(python(site, tmp_path, "-m", "bench", *plan))
    taken = python(site, tmp_path, "-m", "bench", "import", "shop.csv", "--name", "tiktok")
    assert taken.returncode == 2
    assert "tiktok" in taken.stderr
    assert not (tmp_path / "datasets" / "tiktok.yaml").exists()


def test_a_check_takes_the_shipped_baseline(site: Path, tmp_path: Path) -> None:
    baseline = Path(told(python(site, tmp_path, "-c", BASELINE)).strip())
    assert baseline.is_relative_to(site)
    assert baseline.read_bytes() == (ROOT / "results" / "reference" / "smoke-baseline.json").read_bytes()
    done = python(site, tmp_path, "-m", "bench", "run", "--check", "mine.json")
    assert done.returncode == 2
    assert "mine.json" in done.stderr


def test_reference_values_and_templates_are_found(site: Path, tmp_path: Path) -> None:
    code = (
        "from bench.report.paper import load_paper; from bench.report.tables.claim_rules import load_claims; "
        "print(len(load_claims(load_paper())))"
    )
    assert int(told(python(site, tmp_path, "-c", code))) > 0
    told(python(site, tmp_path, "-m", "bench", "new-model", "mine", "--to", "."))
    assert (tmp_path / "mine.py").is_file()
    inside = python(site, tmp_path, "-m", "bench", "new-model", "mine2")
    assert inside.returncode == 2
    assert "--to DIR" in inside.stderr


def test_a_missing_recbole_is_explained(tmp_path: Path) -> None:
    # as after `pip install` on Python 3.12, where RecBole's dependency ray has no wheel
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'recbole':\n"
        "            raise ModuleNotFoundError(\"No module named 'recbole'\", name='recbole')\n"
        "sys.meta_path.insert(0, Absent())\n",
        encoding="utf-8",
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    for command in (("run", "--datasets", "movielens", "--models", "mf", "--dry-run"), ("check-model", "mf")):
        done = python(Path(paths), tmp_path, "-m", "bench", *command)
        assert done.returncode == 2, done.stderr
        assert "pip install --no-deps recbole==1.2.1" in done.stderr


def test_the_lock_file_holds_what_the_project_asks_for() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {line.partition("==")[0] for line in lines if "==" in line and line[0].isalnum()}
    # the makers of torch's builds and RecBole's ray stay out; see Makefile and pyproject.toml
    assert not [name for name in locked if name.startswith(("torch", "nvidia", "triton", "cuda", "ray"))]
    asked = metadata.requires("ludp-bench") or []
    for requirement in asked:
        name, _, rest = requirement.partition(";")
        bare = name.split("[")[0].split("=")[0].split("<")[0].split(">")[0].strip().lower().replace("_", "-")
        if "extra ==" not in rest.replace("extra == 'dev'", "") and bare != "torch":
            assert bare in locked, f"{bare} is not in requirements.lock: make lock"


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    declared = {re.split(r"[^\w-]", each)[0].lower() for each in asked}
    paths = [path for folder in ("bench", "models") for path in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"bench", "models"}
    packages -= {"triton", "_typeshed"}  # the one comes with torch for CUDA, the other with type checkers
    names = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    assert {names.get(each, each.replace("_", "-")).lower() for each in packages} - declared == set()


def test_cards_of_the_user_hide_shipped_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "datasets" / "tiktok.yaml").read_text(encoding="utf-8")
    (tmp_path / "tiktok.yaml").write_text(text.replace("title: ", "title: my own ", 1), encoding="utf-8")
    monkeypatch.setattr(card_files, "SHIPPED", (ROOT / "datasets",))
    assert cards.load("tiktok", tmp_path).title.startswith("my own")
    assert cards.load("movielens", tmp_path).name == "movielens"
