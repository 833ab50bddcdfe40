"""The two commands from end to end, on the cheapest models."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench.checks.regression import baseline as files
from bench.checks.regression import check as checking
from bench.checks.regression import compare, suite, update
from bench.checks.regression.speed import epoch_ratio
from bench.checks.regression.suite import MeasureRequest, settings_of
from bench.cli.run import main
from bench.runs.machine import describe
from models import popularity
from models.mf import MF

ALONE = ["--workers", "1"]
COMMITTED = Path(__file__).resolve().parents[2] / "results" / "reference" / "smoke-baseline.json"


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line; runs lie below tmp_path."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, *ALONE])
        captured = capsys.readouterr()
        return code, captured.out, " ".join(captured.err.split())

    return run


@pytest.fixture
def baseline(call: Any, tmp_path: Path) -> str:
    path = str(tmp_path / "b.json")
    more = ("--reason", "the first [one]", "--models", "ease", "--seeds", "2")
    assert call("--update-baseline", path, *more)[0] == 0
    return path


def content(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def test_unchanged_code_is_green_and_leaves_nothing_behind(call: Any, baseline: str, tmp_path: Path) -> None:
    code, out, _ = call("--check", baseline, "--profile", "smoke")
    assert code == 0
    assert out.splitlines()[-1] == "Metrics unchanged."
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_other_parameters_are_red_with_a_table(call: Any, baseline: str, tmp_path: Path) -> None:
    junit = tmp_path / "j.xml"
    code, out, _ = call("--check", baseline, "--set", "ease.reg_weight=1.0", "--junit", str(junit))
    assert code == 1
    for word in ("expected", "got", "tolerance", "ease", "test ndcg@10", "constant"):
        assert word in out
    assert "users test" not in out
    assert "<failure" in junit.read_text(encoding="utf-8")
    last = " ".join(out[out.index("Metrics moved:") :].split())
    assert re.match(r"Metrics moved: ease \(valid precision@10, .* more\)\. Next: undo the change, or, if", last)
    assert last.endswith(f"ludp-bench run --update-baseline {baseline} --models ease --reason 'TEXT'")
    assert "users test" in call("--check", baseline, "--all-rows")[1]


def test_runs_stay_where_they_are_asked_for(call: Any, baseline: str, tmp_path: Path) -> None:
    call("--check", baseline, "--results-dir", str(tmp_path / "kept"))
    assert len(list((tmp_path / "kept").glob("check-*/runs/p2-field/smoke-surrogate/ease/*.json"))) == 1


def test_without_a_place_for_the_runs_it_says_so(
    call: Any, baseline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    code, _, err = call("--check", baseline)
    assert code == 2
    assert "TMPDIR" in err


def test_other_data_is_red_without_a_run(call: Any, baseline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "COLD_EVERY", 16)
    code, out, _ = call("--check", baseline)
    assert code == 1
    assert "data hash" in out
    assert "No number was compared" in out.splitlines()[-1]
    assert "ludp-bench run --update-baseline" in out.splitlines()[-1]
    assert "test recall@10" not in out
    code, _, err = call("--update-baseline", baseline, "--reason", "x", "--models", "ease")
    assert code == 2
    assert "Leave --models out" in err


def test_a_baseline_keeps_its_reasons_and_the_other_models(call: Any, baseline: str) -> None:
    before = content(baseline)
    more = ("--reason", "a second", "--models", "popularity", "--seeds", "3", "--max-slowdown", "2")
    assert call("--update-baseline", baseline, *more)[0] == 0
    after = content(baseline)
    assert [change["reason"] for change in after["history"]] == ["the first [one]", "a second"]
    last = after["history"][-1]
    assert (last["models"], last["n_seeds"], after["max_slowdown"]) == (["popularity"], 3, 2.0)
    assert last["command"].startswith("python run_all.py --update-baseline")
    assert last["environment"]["packages"]["torch"]
    assert set(after["models"]) == {"ease", "popularity"}
    assert after["models"]["ease"] == before["models"]["ease"]


def test_without_a_reason_nothing_is_touched(call: Any, baseline: str) -> None:
    before = Path(baseline).read_bytes()
    code, _, err = call("--update-baseline", baseline)
    assert code == 2
    assert "--reason" in err
    assert Path(baseline).read_bytes() == before


def test_a_model_that_the_baseline_lacks_is_said(call: Any, baseline: str) -> None:
    assert "Not in the baseline: acf" in call("--check", baseline)[1]
    code, _, err = call("--check", baseline, "--models", "mf")
    assert code == 2
    assert f"--update-baseline {baseline} --models mf --reason 'TEXT'" in err
    code, _, err = call("--check", baseline, "--models", "eas")
    assert code == 2
    assert "Did you mean 'ease'?" in err


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a model of the user's own, a control, with a number that a test can change."""
    folder = tmp_path / "mine"
    folder.mkdir()
    text = Path(popularity.__file__).read_text(encoding="utf-8")
    (folder / "loved.py").write_text(text.replace("Popularity", "Loved"), encoding="utf-8")
    (folder / "loved.yaml").write_text("defaults: {}\n", encoding="utf-8")
    return folder


def test_an_own_model_has_a_baseline_of_its_own(call: Any, own: Path, tmp_path: Path) -> None:
    """Nothing of it lies in this project's folder: not the model, not its numbers."""
    path, plugin = str(tmp_path / "own.json"), ("--plugin", str(own))
    code, _, err = call("--check", path, *plugin)
    assert code == 2
    making = f"ludp-bench run --update-baseline {path} --models loved --plugin {own} --reason 'TEXT'"
    assert f"There is no baseline {path}. Make one: {making}" in err
    code, out, _ = call("--update-baseline", path, "--models", "loved", *plugin, "--reason", "first")
    assert code == 0
    assert f"Next: ludp-bench run --check {path} --plugin {own}" in out
    assert set(content(path)["models"]) == {"loved"}
    code, out, _ = call("--check", path, *plugin)
    assert (code, out.splitlines()[-1]) == (0, "Metrics unchanged.")
    assert "Not in the baseline" not in out
    code, _, err = call("--check", path)
    assert code == 2
    assert "'loved', which is not found. If it is your own, give its folder: --plugin DIR" in err


def test_without_models_the_plugins_models_are_measured(
    call: Any, own: Path, baseline: str, tmp_path: Path
) -> None:
    path, plugin = str(tmp_path / "own.json"), ("--plugin", str(own))
    assert call("--update-baseline", path, *plugin, "--reason", "first")[0] == 0
    assert set(content(path)["models"]) == {"loved"}
    assert call("--update-baseline", baseline, *plugin, "--reason", "and mine")[0] == 0
    assert set(content(baseline)["models"]) == {"ease", "loved"}
    code, out, _ = call("--check", baseline, *plugin)
    assert (code, out.splitlines()[-1]) == (0, "Metrics unchanged.")


def test_a_trained_model_has_bands(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "epoch_ratio", lambda *_: 1.0)
    monkeypatch.setattr("bench.checks.regression.check.epoch_ratio", lambda *_: 1.49)
    path = str(tmp_path / "b.json")
    assert call("--update-baseline", path, "--reason", "x", "--models", "mf", "--seeds", "2")[0] == 0
    numbers = content(path)["models"]["mf"]["numbers"]
    assert len(set(numbers["loss, last epoch"]["values"])) == 2
    assert len(numbers["parameters"]["values"]) == 1
    assert not [number for number in numbers.values() if "drift" in number]
    code, out, _ = call("--check", path)
    assert code == 0
    assert "Equal to the last bit: 24." in out
    code, out, _ = call("--check", path, "--set", "mf.learning_rate=1e30")
    assert code == 1
    assert "failed: The training loss became" in out
    monkeypatch.setattr("bench.checks.regression.check.epoch_ratio", lambda *_: 1.51)
    code, out, _ = call("--check", path)
    assert code == 1
    assert "epoch / reference" in out
    assert "at most 1.5" in out
    assert "Metrics unchanged, but slower than the baseline allows: mf. Next: repeat on an idle" in out
    monkeypatch.setattr("bench.checks.regression.check.describe", elsewhere)
    junit = tmp_path / "j.xml"
    code, out, _ = call("--check", path, "--junit", str(junit))
    assert code == 0
    assert "speed (warning)" in out
    assert "Metrics unchanged. Slower than in the baseline, on another processor: mf." in out
    assert "<failure" not in junit.read_text(encoding="utf-8")
    assert "<system-out>warning: expected 1" in junit.read_text(encoding="utf-8")
    assert call("--check", path, "--max-slowdown", "1.5")[0] == 1  # a limit that is given holds everywhere


def elsewhere(device: Any) -> dict[str, Any]:
    """The environment of another processor."""
    return {**describe(device), "processor": "another"}


def test_what_seems_slow_is_measured_again_after_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = {
        "mf": iter([9.0, 9.0, 0.5]),
        "vbpr": iter([0.5]),
        "lightgcn": iter([9.0] * (1 + checking.MORE_ROUNDS)),
    }
    asked = []

    def ratio(name: str, *_: Any) -> float:
        asked.append(name)
        return next(ratios[name])

    monkeypatch.setattr(checking, "epoch_ratio", ratio)
    rows = checking.speed_rows([*ratios], files.read(COMMITTED), {}, 1.5)
    assert [(row.model, row.holds) for row in rows] == [("mf", True), ("vbpr", True), ("lightgcn", False)]
    assert asked[:5] == ["mf", "vbpr", "lightgcn", "mf", "lightgcn"]
    assert not any(list(left) for left in ratios.values())


def test_an_epoch_is_measured_in_reference_computations(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks at every loss and every look: what is measured, without the machine's own noise."""
    few = compare.suite_data(1.0)
    done = [0.0]
    once = MF.calculate_loss

    def counted(self: MF, interaction: Any) -> Any:
        done[0] += 1.0
        return once(self, interaction)

    def clock() -> float:
        done[0] += 1.0
        return done[0]

    monkeypatch.setattr(MF, "calculate_loss", counted)
    ratio = epoch_ratio("mf", settings_of("mf"), few, clock)
    n_steps = -(-len(few.split.train) // settings_of("mf")["train_batch_size"])
    assert ratio == n_steps + 1  # a reference computation is one look


def test_a_model_of_the_suite_is_planned_with_every_seed_and_a_control_once() -> None:
    specs = suite.plan(MeasureRequest(["mf", "ease"], 3))
    assert [(spec.model, spec.repetition) for spec in specs] == [("mf", 0), ("ease", 0), ("mf", 1), ("mf", 2)]
    assert all(spec.max_epochs == 10 for spec in specs)
    assert specs[0].params["learning_rate"] == suite.SETTINGS["learning_rate"]


def test_the_data_has_items_without_users_and_items_without_content() -> None:
    made = compare.suite_data()
    cold = compare.cold_items(made)
    assert 40 <= cold.sum() <= 60
    assert cold[made.split.test.items].mean() > 0.04
    assert [m.coverage for m in made.modalities] == [1.0, 0.875]
    assert not made.modalities[1].matrix[~made.modalities[1].present].any()
