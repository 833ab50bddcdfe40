"""Models outside the project: found by path, by module and in installed packages, here and in workers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import toy
import yaml

import bench
from bench.cli import run
from bench.cli.main import main
from bench.core.errors import ConfigError, UsageError
from bench.engine import plugins, registry
from bench.engine.plugins import resolve_location, use_plugins
from bench.report.material import default_reference
from bench.report.paper import load_paper

CALL = ["--datasets", "movielens", "--source", "surrogate", "--scale", "0.02", "--seeds", "1", "--epochs", "1"]


@pytest.fixture
def package(own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package of its own, whose model takes a function from a file beside it."""
    name = f"pack_{tmp_path.name.replace('-', '_')}"
    path = own(
        "outer",
        ("from models.layers.graph", f"from {name}.inner._helper import scaled\nfrom models.layers.graph"),
        ("torch.stack(layers).mean(dim=0)", "scaled(torch.stack(layers).mean(dim=0))"),
        folder=f"site/{name}/inner",
    )
    (path.parent / "_helper.py").write_text("def scaled(table):\n    return 2.0 * table\n", encoding="utf-8")
    for folder in (path.parent, path.parent.parent):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return name


def test_a_file_and_a_folder_are_found_and_others_stay(own) -> None:
    path = own("first")
    own("second")
    with use_plugins([resolve_location(str(path))]):
        assert "first" in registry.names()
        assert "second" not in registry.names()
        assert {"mf", "ludp"} <= set(registry.names())
        assert registry.load("first").path == path.with_suffix(".yaml")
    with use_plugins([resolve_location(str(path.parent))]):
        assert {"first", "second"} <= set(registry.names())
        assert "test_first" not in registry.names()
    assert "first" not in registry.names()
    with pytest.raises(UsageError, match="Unknown model 'first'"):
        registry.load("first")


def test_a_module_and_a_package_are_found(package: str, tmp_path: Path) -> None:
    for location in (f"{package}.inner.outer", f"{package}.inner"):
        with use_plugins([resolve_location(location)]):
            assert registry.load("outer").model_class.__module__ == f"{package}.inner.outer"
            model = toy.build_model("outer", toy.random_data(), embedding_size=8)
            plain = toy.build_model("lightgcn", toy.random_data(), embedding_size=8)
            plain.load_state_dict(model.state_dict())
            assert (toy.scores(model) / toy.scores(plain)).mean().item() == pytest.approx(4.0)


def test_the_hash_covers_the_file_its_package_and_the_shared_pieces(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site" / package / "inner"
    with use_plugins([f"{package}.inner"]):
        first = registry.code_hash("outer")
        helper = folder / "_helper.py"
        helper.write_text(
            "# a comment\ndef scaled(table):\n    '''Twice.'''\n    return 2.0 * table\n", encoding="utf-8"
        )
        assert registry.code_hash("outer") == first
        helper.write_text("def scaled(table):\n    return 3.0 * table\n", encoding="utf-8")
        second = registry.code_hash("outer")
        assert second != first
        source = folder / "outer.py"
        source.write_text(
            source.read_text(encoding="utf-8").replace("mean(dim=0)", "sum(dim=0)"), encoding="utf-8"
        )
        third = registry.code_hash("outer")
        assert third not in (first, second)
        copied = tmp_path / "models"
        shutil.copytree(plugins.shared_folder(), copied)
        monkeypatch.setattr(plugins, "shared_folder", lambda: copied)
        assert registry.code_hash("outer") == third
        graph = copied / "layers" / "graph.py"
        text = graph.read_text(encoding="utf-8")
        graph.write_text(text + "\nX = 1\n", encoding="utf-8")
        assert registry.code_hash("outer") == third
        assert text.count("def spmm(") == 1
        graph.write_text(text.replace("def spmm(", "def spmm(*, "), encoding="utf-8")
        assert registry.code_hash("outer") != third


def test_the_hash_does_not_depend_on_where_a_folder_lies(own) -> None:
    change = ("from models.layers.graph", "from ._helper import scaled\nfrom models.layers.graph")
    hashes = []
    for folder in ("here", "there"):
        path = own("moved", change, ("torch.stack(layers)", "scaled(torch.stack(layers))"), folder=folder)
        (path.parent / "_helper.py").write_text("def scaled(table):\n    return table\n", encoding="utf-8")
        with use_plugins([str(path)]):
            registry.load("moved")
            hashes.append(registry.code_hash("moved"))
    assert hashes[0] == hashes[1]


def test_two_models_of_one_name_are_told_with_both_places(own) -> None:
    path, other = own("twice", folder="here"), own("twice", folder="there")
    with use_plugins([str(path), str(other)]):
        with pytest.raises(UsageError, match="Two models are called 'twice'") as problem:
            registry.load("twice")
        assert str(path) in str(problem.value)
        assert str(other) in str(problem.value)
        assert registry.load("mf").name == "mf"
    with use_plugins([str(path), str(path.parent)]):  # one model, named in two ways
        assert registry.load("twice").name == "twice"


def test_a_model_may_not_take_the_name_of_a_built_in_one(own, capsys: pytest.CaptureFixture[str]) -> None:
    path = own("mine")
    for suffix in (".py", ".yaml"):
        path.with_suffix(suffix).rename(path.with_name(f"mf{suffix}"))
    assert run.main(["--list", "--plugin", str(path.parent)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Two models are called 'mf'" in said
    assert "models/mf.py" in said
    assert str(path.with_name("mf.py")) in said


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        (("class Params", "class Params("), "SyntaxError", None),
        (
            ("from models.layers.graph import bipartite", "from models.layers.graph import bypartite"),
            "ImportError",
            None,
        ),
        (("class Params", "1 / 0\n\n\nclass Params"), "ZeroDivisionError", "1 / 0"),
    ],
)
def test_a_broken_model_is_told_with_file_and_line_and_takes_no_other_down(
    own, change: tuple[str, str], kind: str, line: str | None
) -> None:
    good, bad = own("good"), own("bad", change)
    with use_plugins([str(good.parent)]):
        assert {"good", "bad"} <= set(registry.names())
        assert registry.load("good").name == "good"
        with pytest.raises(ConfigError) as problem:
            registry.load("bad")
    said = str(problem.value)
    lines = bad.read_text(encoding="utf-8").splitlines()
    where = lines.index(line) + 1 if line else next(n for n, text in enumerate(lines, 1) if change[1] in text)
    assert kind in said
    assert f"{bad}, line {where}" in said


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("import sys\n\nsys.exit(3)\n", "ends the program with SystemExit: 3", "if __name__"),
        ("import sys\n\nsys.exit()\n", "ends the program with SystemExit:", "if __name__"),
        ("class Own(BaseException): ...\n\nraise Own('odd')\n", "Own: odd", "Fix the file"),
    ],
)
def test_a_file_that_ends_the_program_is_told_with_its_line(
    own, code: str, kind: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own("bad")
    path.write_text(code, encoding="utf-8")
    assert main(["check-model", "bad", "--plugin", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: The model 'bad'")
    assert all(part in said for part in (kind, advice, f"{path}, line 3"))


def test_a_file_passes_an_interruption_on(own) -> None:
    path = own("bad")
    path.write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    with use_plugins([str(path)]), pytest.raises(KeyboardInterrupt):
        registry.load("bad")


def test_a_package_that_cannot_be_imported_is_told_with_its_line(package: str, tmp_path: Path) -> None:
    start = tmp_path / "site" / package / "__init__.py"
    start.write_text("import json\n\njson.loads('{')\n", encoding="utf-8")
    with pytest.raises(ConfigError) as problem:
        resolve_location(f"{package}.inner.outer")
    assert f"({start}, line 3)" in str(problem.value)
    assert "JSONDecodeError" in str(problem.value)


@pytest.mark.parametrize(
    ("make", "location", "reason"),
    [
        ([], "nowhere/at_all.py", "no such file or folder"),
        ([], "no_such_module_anywhere", "finds no module"),
        (["lonely.py"], "lonely.py", "holds no model"),
        (["some/thing.txt"], "some", "holds no model"),
    ],
)
def test_a_location_without_a_model_is_told(
    make: list[str], location: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in make:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=reason) as problem:
        resolve_location(location)
    assert f"--plugin {location}" in str(problem.value)


def test_installed_packages_announce_models(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = tmp_path / "site" / "some_models-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-models\nVersion: 1\n", encoding="utf-8")
    points = f"[ludp_bench.models]\nouter = {package}.inner.outer\ngone = {package}.missing\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")
    plugins._installed.cache_clear()
    try:
        assert registry.load("outer").name == "outer"
        with pytest.raises(UsageError, match=rf"gone = {package}\.missing"):
            registry.load("gone")
        assert run.main(["--list"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "plugins that cannot be used" in said
        assert "finds no module" in said
    finally:
        plugins._installed.cache_clear()


def test_runs_of_a_plugin_are_made_in_workers(own, tmp_path: Path) -> None:
    path = own("afar", ("from models.layers.graph", "from ._near import same\nfrom models.layers.graph"))
    (path.parent / "_near.py").write_text("def same(table):\n    return table\n", encoding="utf-8")
    results = tmp_path / "results"
    places = ["--results-dir", str(results), "--cache-dir", str(tmp_path / "cache"), "--plugin", str(path)]
    call = [*CALL, *places, "--models", "afar", "popularity", "--workers", "2", "--artifacts", "table3"]
    assert run.main([*call, "--set", "afar.embedding_size=8"]) == 0
    (record,) = results.glob("runs/*/*/afar/*.json")
    kept = json.loads(record.read_text(encoding="utf-8"))
    assert kept["status"] == "finished"
    with use_plugins([str(path)]):
        assert kept["code_hash"] == registry.code_hash("afar")
    assert "Afar" in (results / "tables" / "table3.md").read_text(encoding="utf-8")
    board = results / "leaderboard.md"
    command = ["leaderboard", "--results-dir", str(results)]
    for more, title in (([], "| afar"), (["--plugin", str(path)], "| Afar"), ([], "| afar")):
        assert main([*command, *more]) == 0
        assert title in board.read_text(encoding="utf-8")
    data = {"source": "surrogate", "scale": 0.01, "cache_dir": tmp_path / "cache", "epochs": 1}
    made = bench.load_data("movielens", **data)
    scores = np.arange(made.n_users * made.n_items).reshape(made.n_users, made.n_items)
    bench.evaluate(scores, "movielens", name="theirs", results_dir=results, plugin=str(path), **data)
    assert "| Afar" in board.read_text(encoding="utf-8")


def test_tuning_writes_beside_the_plugins_yaml(own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own("tuned").with_suffix(".yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("search:")] + "search:\n  embedding_size: [4]\n", encoding="utf-8")
    monkeypatch.setattr("bench.runs.tuning.search.may_be_kept", lambda result: True)  # though drawn at random
    places = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    tune = ["--models", "tuned", "--plugin", str(path.with_suffix(".py")), "--tune", "2", "--artifacts", "tuning"]
    assert run.main([*CALL, *places, *tune, "--workers", "1"]) == 0
    assert not path.with_suffix(".tuned.yaml").exists()  # fewer epochs than the profile's
    assert run.main([*CALL, *places, *tune, "--workers", "1", "--save-tuned"]) == 0
    (entry,) = yaml.safe_load(path.with_suffix(".tuned.yaml").read_text(encoding="utf-8"))
    assert (entry["dataset"], entry["trials"], list(entry["values"])) == ("movielens", 2, ["embedding_size"])


def test_a_model_of_ones_own_is_the_row_that_others_are_compared_with(own) -> None:
    path = own("trial")
    labels = ["mf", "ludp", "trial@wide", "trial"]
    assert default_reference(labels, load_paper()) == "ludp"
    with use_plugins([str(path)]):
        assert default_reference(labels, load_paper()) == "trial@wide"
        assert default_reference(["mf", "ease"], load_paper()) == "mf"


def test_no_plugin_outlives_its_call(own) -> None:
    before = set(sys.path)
    path = own("brief")
    with use_plugins([str(path)]):
        assert registry.load("brief").name == "brief"
        with use_plugins([]):
            assert "brief" not in registry.names()
        assert "brief" in registry.names()
    assert "brief" not in registry.names()
    assert set(sys.path) == before
