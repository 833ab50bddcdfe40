"""What `--set` and a parameter file may say: typed errors with what is allowed, and no trap of YAML 1.1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli.main import main
from bench.cli.options import overrides
from bench.core.config import validated
from bench.core.errors import ConfigError, UsageError
from bench.core.yaml_files import dump_yaml
from bench.engine import model_file, registry
from bench.engine.model_file import ModelFile
from models import mf

WRONG = {
    "mf.learning_rate=.inf": "'learning_rate' is inf, expected a finite number",
    "mf.reg_weight=1e999": "'reg_weight' is inf, expected a finite number",
    "mf.learning_rate=.nan": "'learning_rate' is nan",
    "mf.learning_rate=-.inf": "'learning_rate' is -inf",
    "mf.learning_rate=nan": "'learning_rate' is",
    "mf.learning_rate=true": "'learning_rate' is true, expected a number",
    "mf.embedding_size=true": "'embedding_size' is true, expected a number",
    "mf.embedding_size=yes": "expected a valid integer",
    "mf.embedding_size=1:30": "expected a valid integer",
    "mf.embedding_size=0x20": "expected a valid integer",
    "mf.embedding_size=2020-01-01": "expected a valid integer",
    "mf.embedding_size=": "'embedding_size' is",
    "mf.embedding_size=null": "expected a valid integer",
    "mf.embedding_size=[64]": "expected a valid integer",
    "mf.embedding_size={a: 1}": "expected a valid integer",
    "mf.embedding_size=1.5": "expected a valid integer",
    "mf.embedding_size=-1": "greater than 0",
    "mf.embedding_size=0": "greater than 0",
    "mf.embedding_size=" + "9" * 400: "'embedding_size' is",
    "mf.init=true": "'init' is",
    "mf.init=2020-01-01": "'init' is",
    "mf.use_bias=2": "'use_bias' is 2: expected a valid boolean",
    "mf.use_bias=1:30": "expected a valid boolean",
    "ludp.att_dim=true": "'att_dim' is true, expected a number",
    "ludp.modalities=[1, 2]": "expected",
    "ludp.modalities=[.inf]": "expected",
    "mf.embedding_size=&a [*a]": "not valid YAML",
    "mf.embedding_size=!!timestamp x": "not valid YAML",
    "mf.embedding_size={a: 1, a: 2}": "given twice",
    "mf.embedding_size=[": "not valid YAML",
    "mf.embedding_size=" + "[" * 5_000: "not valid YAML",
    "recbole:BPR.embedding_size=.inf": "'embedding_size' is",
    "recbole:EASE.reg_weight=true": "'reg_weight' is",
}


@pytest.mark.parametrize("given", WRONG, ids=lambda given: given[:40])
def test_a_wrong_value_is_told_with_what_is_allowed(given: str) -> None:
    def take() -> None:
        ((model, values),) = overrides([given]).items()
        registry.load(model).params("tiktok", overrides=values)

    with pytest.raises((ConfigError, UsageError)) as caught:
        take()
    assert WRONG[given] in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("mf.learning_rate=1e-3", 1e-3),
        ("mf.learning_rate=1", 1.0),
        ("mf.embedding_size=64", 64),
        ("mf.embedding_size='64'", 64),
        ("mf.use_bias=true", True),
        ("mf.use_bias=off", False),
        ("mf.init=normal", "normal"),
        ("ludp.att_dim=dm", "dm"),
        ("ludp.modalities=[visual, '2020']", ["visual", "2020"]),
        ("recbole:EASE.reg_weight=100", 100),
    ],
)
def test_a_right_value_is_taken(given: str, value: Any) -> None:
    ((model, values),) = overrides([given]).items()
    (key,) = values
    assert getattr(registry.load(model).params("tiktok", overrides=values), key) == value


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--results-dir", str(tmp_path / "r"), "--cache-dir", str(tmp_path / "c")]
    run = ["run", *folders, "--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--models", "mf"]
    assert main([*run, "--artifacts", "table3", "--set", "mf.learning_rate=.inf"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: mf.learning_rate=inf in place of the values in ")
    assert "expected a finite number. Correct the given value." in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 65, ".x", "a b"])
def test_a_variant_has_the_name_of_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="as it becomes the name of a file"):
        validated(ModelFile, {"defaults": {}, "variants": {name: {}}}, tmp_path / "mf.yaml")


NUMBERS = (
    "--scale nan", "--scale inf", "--scale 1e-300", "--scale -1", "--scale 1e308", "--epochs 0", "--base-seed -1",
    "--seeds 99999999999999999999", "--seeds 0",
)  # fmt: skip


@pytest.mark.parametrize("option", NUMBERS)
def test_numbers_of_the_command_line(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--results-dir", str(tmp_path / "r"), "--cache-dir", str(tmp_path / "c"), "--dry-run"]
    run = [
        "run",
        *folders,
        "--datasets",
        "tiktok",
        "--source",
        "surrogate",
        "--models",
        "mf",
        "--artifacts",
        "table3",
    ]
    if "--scale" not in option:
        run += ["--scale", "0.01"]
    code = main([*run, *option.split()])
    told = capsys.readouterr().err
    assert code == 2 or (code == 0 and option == "--base-seed -1"), told
    assert "Traceback" not in told


TUNED = {
    "dataset": "tiktok", "split": "random", "values": {"learning_rate": 0.0}, "metric": "recall@10", "valid": 0.5,
    "trials": 20, "sampler": "tpe", "base_seed": 1, "max_epochs": 9, "protocol": "p1", "data": "tiktok [real]",
    "split_hash": "1", "code_hash": "2", "date": "2023-01-01",
}  # fmt: skip


def test_a_value_is_checked_once_on_its_way_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    entry, seen = registry.load("mf"), []
    monkeypatch.setattr(model_file, "validated", lambda *given: seen.append(given) or validated(*given))
    params = entry.params("tiktok@random", overrides={"embedding_size": 8})
    again = entry.checked_before(params.model_dump())
    assert again == params
    assert len(seen) == 1
    with pytest.raises(ConfigError, match=r"mf\.embedding_size=0 in place of .* Correct the given value"):
        entry.params("tiktok@random", overrides={"embedding_size": 0})


def test_a_bad_value_is_refused_at_every_entrance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `--set`, a plugin's YAML, its tuned YAML and the Python API: one paragraph, before anything runs."""
    source = Path(str(mf.__file__))
    text = source.with_suffix(".yaml").read_text(encoding="utf-8")
    code = source.read_text(encoding="utf-8").replace("class MF(", "class Own(")
    places = ["--results-dir", str(tmp_path / "results"), "--datasets", "tiktok", "--offline"]
    own, yaml = tmp_path / "own.py", tmp_path / "own.yaml"
    own.write_text(code, encoding="utf-8")
    yaml.write_text(text, encoding="utf-8")

    def refused(*words: str) -> str:
        assert main(["run", *places, *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error

    plugin = ("--plugin", str(own), "--models", "own")
    assert "mf.learning_rate=0 in place of" in refused("--models", "mf", "--set", "mf.learning_rate=0")
    assert "own.learning_rate=0 in place of" in refused(*plugin, "--set", "own.learning_rate=0")
    with pytest.raises(ConfigError, match=r"mf\.learning_rate=0 in place of"):
        bench.run("tiktok", "mf", results_dir=str(tmp_path / "results"), set={"mf.learning_rate": 0}, offline=True)
    number = re.search(r"learning_rate: (\S+)", text)
    assert number
    yaml.write_text(text.replace(number.group(), "learning_rate: 0", 1), encoding="utf-8")
    registry._loaded.cache_clear()
    said = refused(*plugin)
    assert f"{yaml}: 'learning_rate' is 0" in said
    assert f"{yaml}: 'learning_rate' is 0" in refused(
        *plugin, "--set", "own.embedding_size=8"
    )  # not the given value
    yaml.write_text(text, encoding="utf-8")
    registry._loaded.cache_clear()
    tuned = tmp_path / "own.tuned.yaml"
    tuned.write_text(dump_yaml([TUNED]), encoding="utf-8")
    assert f"{tuned}: the entry for tiktok, split 'random': 'learning_rate' is 0" in refused(*plugin)
    assert not (tmp_path / "results").exists()
