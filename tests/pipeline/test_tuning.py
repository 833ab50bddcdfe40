"""run_all.py --tune: every model its trials, the chosen values in the runs that follow, nothing made twice."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy

from bench.cli.options import parse
from bench.cli.requests import tuning_settings_of
from bench.cli.run import main
from bench.core.files import locked
from bench.core.names import split_label
from bench.core.protocol import Protocol, get_protocol
from bench.engine import registry
from bench.engine.tuned import TunedEntry
from bench.runs.display import RunDisplay
from bench.runs.tuning.pruning import Budget, PruningRule
from bench.runs.tuning.search import Search, TuningSettings, unsaved_warning
from bench.runs.tuning.space import SearchSpace

SMALL = ["--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "2", "--threads", "1"]


def call(folder: Path, *arguments: str) -> int:
    return main(
        ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache"), *SMALL, *arguments]
    )


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trials(folder: Path, stage: str = "tuning") -> dict[str, dict[str, Any]]:
    paths = (folder / "results" / "trials").rglob("*.json")
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {key: record for key, record in records.items() if record["spec"]["stage"] == stage}


def valid(record: dict[str, Any]) -> float:
    return float(record["metrics"]["valid"]["values"][record["protocol"]["selection_metric"]])


def outcome(record: dict[str, Any]) -> tuple[Any, ...]:
    spec = record["spec"]
    return (
        spec["params"],
        spec["bounds"],
        record["seeds"],
        record["metrics"],
        record["best_epoch"],
        len(record["curve"]),
    )


def test_chosen_values_are_used_and_no_trial_is_made_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--models", "mf", "ludp@literal", "--workers", "1"]
    once = ["--seeds", "1", "--artifacts", "tuning", "budget", "table3"]
    before = {name: registry.load(name).path.read_bytes() for name in ("mf", "ludp")}
    assert call(tmp_path, *models, "--tune", "2", *once, "--confirm-settings", "0") == 0
    made = trials(tmp_path)
    assert not trials(tmp_path, "confirm")
    assert sorted(record["spec"]["model"] for record in made.values()) == ["ludp"] * 2 + ["mf"] * 2
    assert not list((tmp_path / "results" / "checkpoints").glob(f"*{next(iter(made))}*"))
    rows = table(tmp_path, "tuning")
    assert len(rows) == 4
    for label in ("mf", "ludp@literal"):
        own = [row for row in rows if row["model"] == label]
        best = max(own, key=lambda row: float(row["valid"]))
        assert [row["is_chosen"] for row in own].count("True") == 1
        assert best["is_chosen"] == "True"
        runs = (json.loads(path.read_text("utf-8")) for path in (tmp_path / "results" / "runs").rglob("*.json"))
        model, variant = split_label(label)
        run = next(run for run in runs if (run["spec"]["model"], run["spec"]["variant"]) == (model, variant))
        assert json.loads(best["params"]).items() <= run["spec"]["params"].items()
        assert run["seeds"] != made[best["key"]]["seeds"]
    assert (tmp_path / "results" / "figures" / "budget.pdf").is_file()
    assert {name: registry.load(name).path.read_bytes() for name in ("mf", "ludp")} == before
    assert "chosen for data drawn at random" in " ".join(capsys.readouterr().out.split())

    more = ["--confirm-settings", "1", "--confirm-seeds", "1", "--artifacts", "tuning"]
    assert call(tmp_path, *models, "--tune", "3", *more) == 0
    again = trials(tmp_path)
    assert len(again) == 6
    assert {key: again[key] for key in made} == made


def test_the_best_are_confirmed_over_fresh_seeds_whose_mean_chooses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", "mf", "itemknn", "--workers", "1", "--tune", "5", "--seeds", "1"]
    arguments += ["--confirm-settings", "3", "--confirm-seeds", "2", "--artifacts", "tuning", "table3"]
    assert call(tmp_path, *arguments) == 0
    said = capsys.readouterr().out
    made, again = trials(tmp_path), trials(tmp_path, "confirm")
    assert len(made) == 10
    assert [record["spec"]["model"] for record in again.values()] == ["mf"] * 6  # a control has no seeds
    own = [record for record in made.values() if record["spec"]["model"] == "mf"]
    best = sorted(own, key=valid, reverse=True)[:3]
    settings = [record["spec"]["params"] for record in again.values()]
    assert all(settings.count(record["spec"]["params"]) == 2 for record in best)
    seeds = [seed for record in (*own, *again.values()) for seed in record["seeds"].values()]
    assert len(set(seeds)) == 3 + 6  # of all trials, and of two repetitions: those of the settings are the same
    scores: dict[str, list[float]] = {}
    for record in again.values():
        scores.setdefault(json.dumps(record["spec"]["params"]), []).append(valid(record))
    rows = [row for row in table(tmp_path, "tuning") if row["model"] == "mf"]
    (chosen,) = (made[row["key"]] for row in rows if row["stage"] == "tuning" and row["is_chosen"] == "True")
    assert sum(scores[json.dumps(chosen["spec"]["params"])]) == max(map(sum, scores.values()))
    run = next(json.loads(path.read_text("utf-8")) for path in (tmp_path / "results" / "runs").rglob("mf/*.json"))
    assert run["spec"]["params"] == chosen["spec"]["params"]
    assert not set(run["seeds"].values()) & set(seeds)
    searched = [line for line in said.splitlines() if " trial  valid" in line or " confirmation " in line]
    assert len(searched) == 16
    assert not [line for line in searched if "test" in line]
    assert said.index(" test, ") > said.index(searched[-1])

    assert call(tmp_path, *arguments) == 0  # nothing is made twice
    assert (trials(tmp_path), trials(tmp_path, "confirm")) == (made, again)
    (exported,) = (tmp_path / "results" / "trials").rglob("trials.csv")
    with exported.open(encoding="utf-8") as file:
        assert {row["key"] for row in csv.DictReader(file)} == {*made, *again}


TABLE = ["--seeds", "1", "--artifacts", "table3"]
PRUNED = ["--models", "mf", "--tune", "8", "--epochs", "24", "--patience", "24", "--artifacts", "tuning"]
PRUNED += ["--set", "mf.train_batch_size=4096", "--confirm-settings", "2", "--confirm-seeds", "2"]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose trials are pruned early, made at one go."""
    folder = tmp_path_factory.mktemp("pruned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.cli.requests.MEDIAN", PruningRule(first_steps=3))
        assert call(folder, *PRUNED, "--workers", "1") == 0
    return folder


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prune from a few steps on: bounds travel with the runs, so that workers know as well."""
    monkeypatch.setattr("bench.cli.requests.MEDIAN", PruningRule(first_steps=3))


def outcomes(folder: Path) -> dict[str, Any]:
    return {key: outcome(record) for key, record in (trials(folder) | trials(folder, "confirm")).items()}


def test_pruned_trials_count_and_are_not_confirmed(pruned: Path) -> None:
    made = trials(pruned)
    stopped = [record for record in made.values() if len(record["curve"]) < 24]
    assert len(made) == 8
    assert 1 <= len(stopped) <= 4
    assert all(len(record["curve"]) >= 20 for record in stopped)
    assert [record["spec"]["bounds"] for record in made.values()].count([]) == 4  # the first wave
    confirmed = [record["spec"]["params"] for record in trials(pruned, "confirm").values()]
    assert len(confirmed) == 2 * 2
    assert not [record for record in stopped if record["spec"]["params"] in confirmed]
    assert {json.dumps(record["spec"]["bounds"]) for record in trials(pruned, "confirm").values()} == {"[]"}


def test_two_workers_search_as_one_does(pruned: Path, early: None, tmp_path: Path) -> None:
    assert call(tmp_path, *PRUNED, "--workers", "2") == 0
    assert outcomes(tmp_path) == outcomes(pruned)


def test_a_search_with_a_larger_budget_goes_on_as_if_asked_at_once(
    pruned: Path, early: None, tmp_path: Path
) -> None:
    for n_trials in ("2", "6", "8"):
        alone = ["--confirm-settings", "0"] if n_trials != "8" else []
        assert call(tmp_path, *PRUNED, "--workers", "1", "--tune", n_trials, *alone) == 0
    assert outcomes(tmp_path) == outcomes(pruned)
    for journal in (tmp_path / "results" / "trials").rglob("*.journal"):
        journal.unlink()
    assert call(tmp_path, *PRUNED, "--workers", "1") == 0  # the records are found again
    assert outcomes(tmp_path) == outcomes(pruned)


def test_an_interrupted_search_makes_the_same_trials(
    pruned: Path, early: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the first wave, in the second, and within a trial."""
    for event, number, n_made in (("run_done", 3, 3), ("run_done", 6, 6), ("epoch_done", 10, 6)):
        real, calls = getattr(RunDisplay, event), []

        def interrupted(
            self: RunDisplay, *given: Any, real: Any = real, calls: Any = calls, n: int = number
        ) -> None:
            real(self, *given)
            calls.append(given)
            if len(calls) == n:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RunDisplay, event, interrupted)
            assert call(tmp_path, *PRUNED, "--workers", "1") == 130
        assert len(trials(tmp_path)) == n_made
    assert call(tmp_path, *PRUNED, "--workers", "1") == 0
    assert outcomes(tmp_path) == outcomes(pruned)


def test_without_pruning_no_trial_has_bounds(early: None, tmp_path: Path) -> None:
    assert call(tmp_path, *PRUNED, "--workers", "1", "--tune", "5", "--no-pruning", "--confirm-settings", "1") == 0
    assert [(record["spec"]["bounds"], len(record["curve"])) for record in trials(tmp_path).values()] == [
        ([], 24)
    ] * 5


def test_cpu_minutes_are_a_budget_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--models", "mf", "popularity", "--workers", "1", "--artifacts", "tuning", "--confirm-settings", "0"]
    assert call(tmp_path, *models, "--tune-minutes", "0.000001") == 0
    made = trials(tmp_path)
    assert [record["spec"]["model"] for record in made.values()].count("mf") == 4  # the first wave in any case
    assert all(record["cost"]["cpu_seconds"] > 0 for record in made.values())
    used = sum(record["cost"]["cpu_seconds"] for record in made.values() if record["spec"]["model"] == "mf")
    capsys.readouterr()
    assert call(tmp_path, *models, "--tune-minutes", "0.000001") == 0
    assert trials(tmp_path) == made  # what was used up is known from the records
    assert call(tmp_path, *models, "--tune-minutes", str((used + 0.001) / 60)) == 0
    assert len(trials(tmp_path)) == len(made) + 3  # the next wave, with which the budget is used up
    assert {row["budget"] for row in table(tmp_path, "tuning")} == {
        f"{(used + 0.001) / 60:g} CPU minutes of trials"
    }
    assert call(tmp_path, *models, "--tune-minutes", "9", "--status") == 0
    assert re.search(r"mf +7 +- +\? ", capsys.readouterr().out)
    assert call(tmp_path, *models, "--tune", "9", "--tune-minutes", "9", "--status") == 0
    assert re.search(r"mf +7 +- +≤ 9 ", capsys.readouterr().out)
    both = ("--tune", "5", "--tune-minutes", "0.000001")
    assert call(tmp_path / "both", *models, *both) == 0
    assert [record["spec"]["model"] for record in trials(tmp_path / "both").values()].count("mf") == 4
    assert call(tmp_path / "both", *models, "--tune", "5", "--tune-minutes", "9") == 0
    assert [record["spec"]["model"] for record in trials(tmp_path / "both").values()].count("mf") == 5
    assert {row["budget"] for row in table(tmp_path / "both", "tuning")} == {"5 trials or 9 CPU minutes of them"}


def test_a_short_search_is_written_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[TunedEntry] = []
    monkeypatch.setattr("bench.runs.tuning.search.may_be_kept", lambda result: True)  # though drawn at random
    monkeypatch.setattr("bench.runs.tuning.keep.write_tuned", lambda entry, new: written.append(new) or entry.path)
    arguments = ["--models", "mf", "--workers", "1", "--tune", "1", "--artifacts", "tuning"]
    assert call(tmp_path, *arguments) == 0
    said = " ".join(capsys.readouterr().out.split())
    # once, where the values are shown, and not before: values for generated data are not kept in any case
    assert said.count("The trials are under protocol p2-field-epochs2, not the default p2-field") == 1
    assert written == []
    assert call(tmp_path, *arguments, "--set", "mf.reg_weight=0.1", "--save-tuned") == 0
    assert "chosen under --set" in " ".join(capsys.readouterr().out.split())
    assert written == []
    assert call(tmp_path, *arguments, "--save-tuned") == 0
    assert [(entry.dataset, entry.trials, entry.max_epochs) for entry in written] == [("tiktok", 1, 2)]


def test_a_short_search_is_announced_as_one() -> None:
    protocol, drawn = Protocol(), Search("mf", toy.random_data(), SearchSpace({}, {}))
    search = replace(drawn, data=replace(drawn.data, source="real"))
    short = TuningSettings(Budget(2), "tpe", 30, 1, {}, may_write=False)
    assert drawn.data.source == "surrogate"
    assert unsaved_warning([search], short, protocol) == (
        "The trials have at most 30 epochs, not the 1,000 of the protocol, so the values that they choose "
        "hold for this call only. --save-tuned writes them all the same."
    )
    assert unsaved_warning([search], short, get_protocol("paper")).startswith(
        "The trials are under protocol p2-paper, not the default p2-field, so the values that they choose hold"
    )
    assert unsaved_warning([search], replace(short, may_write=True), protocol) == ""
    assert unsaved_warning([drawn], short, protocol) == ""


def test_the_status_of_a_tuned_call_knows_what_the_search_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", "mf", "--workers", "1", "--tune", "4", "--artifacts", "table3"]
    asked = [*arguments, "--set", "mf.train_batch_size=512"]
    capsys.readouterr()

    def status(*more: str) -> str:
        assert call(tmp_path, *asked, *more, "--status") == 0
        return " ".join(capsys.readouterr().out.split())

    before = status()
    assert "1 of 1 search is not finished" in before
    assert "1 missing" in before
    assert call(tmp_path, *asked) == 0
    capsys.readouterr()
    files = sorted((tmp_path / "results").rglob("*"))
    after = status()
    assert "all kept from earlier" in after
    assert "tiktok mf 4 - 4" in after
    assert "not finished" not in after
    assert after.split("status of")[1].endswith(
        "1 run: 1 done. The same command without --status makes all runs that are not done."
    )
    (journal,) = (tmp_path / "results" / "trials").rglob("*.journal")
    with locked(journal.with_suffix(".lock")):  # while another call works on the search
        assert "tiktok mf 4 - 4" in status()
    assert "tiktok mf 1 - 4" in status("--tune-sampler", "grid")  # another search: only the default is in both
    assert "1 of 1 search is not finished" in status("--tune", "5")
    assert sorted((tmp_path / "results").rglob("*")) == files


def test_a_search_in_use_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--models", "mf", "--workers", "1", "--artifacts", "tuning"]
    assert call(tmp_path, *models, "--tune", "1") == 0
    (journal,) = (tmp_path / "results" / "trials").rglob("*.journal")
    capsys.readouterr()
    with locked(journal.with_suffix(".lock")):
        assert call(tmp_path, *models, "--tune", "2") == 2
    assert "in use by another process" in capsys.readouterr().err


def test_what_the_user_sets_is_not_searched(tmp_path: Path) -> None:
    alone = ["--models", "mf", "--workers", "1"]
    assert call(tmp_path, *alone, "--set", "mf.reg_weight=0.3", "--tune", "2", *TABLE) == 0
    values = {record["spec"]["params"]["reg_weight"] for record in trials(tmp_path).values()}
    assert values == {0.3}


def test_a_dry_run_names_the_trials_and_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, words in (
        ((), "7 trials and 15 confirmations of 1 search"),
        (("--confirm-settings", "0"), "7 trials of 1"),
    ):
        assert call(tmp_path, "--models", "mf", "--tune", "7", "--dry-run", *more) == 0
        assert words in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "is_written"),
    [
        ([], False),  # the profile quick has 10
        (["--save-tuned"], True),
        (["--epochs", "1000"], True),
        (["--epochs", "1001"], False),
        (["--profile", "full"], True),
        (["--profile", "full", "--epochs", "999"], False),
        (["--profile", "full", "--epochs", "999", "--save-tuned"], True),
        (["--protocol", "paper"], False),
        (["--protocol", "paper", "--epochs", "1000"], False),
        (["--profile", "full", "--protocol", "paper"], False),
        (["--protocol", "paper", "--epochs", "300"], False),
        (["--protocol", "paper", "--epochs", "300", "--save-tuned"], True),
        (["--profile", "full", "--patience", "1"], False),
        (["--profile", "full", "--select", "recall@10"], False),
    ],
)
def test_values_are_written_only_under_the_default_protocol_with_its_cap_on_epochs(
    arguments: list[str], is_written: bool
) -> None:
    options = parse(["--tune", "1", *arguments])
    settings = tuning_settings_of(options, ["mf"], options.epochs_at_most)
    assert settings is not None
    assert settings.may_write == is_written
