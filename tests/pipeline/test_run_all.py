"""run_all.py from the command line to the tables, on a small surrogate."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli.run import main
from bench.engine import registry

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--source",
    "surrogate",
    "--scale",
    "0.01",
    "--epochs",
    "2",
    "--workers",
    "1",
    "--models",
    "mf",
    "lightgcn",
]
QUICK = [*SMALL[:-3], "--artifacts", "table3", *SMALL[-3:]]  # ends with the models, so that more can follow


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line with results and cache below tmp_path; exit code, output and error text."""

    def run(*arguments: str) -> tuple[int, str, str]:
        folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
        code = main([*folders, *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the quick call on tiktok leaves; only to be copied."""
    folder = tmp_path_factory.mktemp("once")
    folders = ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    assert main([*folders, "--datasets", "tiktok", *QUICK]) == 0
    return folder


@pytest.fixture
def finished(once: Path, tmp_path: Path) -> None:
    """The quick call on tiktok was made below tmp_path."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)


def records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "results" / "runs").rglob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_from_nothing_to_tables(call: Any, tmp_path: Path) -> None:
    code, out, _ = call("--datasets", "tiktok", "movielens", *SMALL, "--seeds", "2")
    assert code == 0
    made = records(tmp_path)
    assert len(made) == 8
    for record in made:
        assert record["status"] == "finished"
        assert set(record["metrics"]["test"]["values"]) >= {"recall@10", "ndcg@20", "precision@5"}
        assert len(record["curve"]) == record["cost"]["epochs"] == 2
        assert record["data"]["source"] == "surrogate"
        best = record["curve"][record["best_epoch"] - 1]["valid"]
        assert record["metrics"]["valid"]["values"] == best
        assert best["recall@20"] == max(epoch["valid"]["recall@20"] for epoch in record["curve"])
        stem = tmp_path / "results"
        assert (stem / "topk" / f"{record['key']}.npz").is_file()
        assert (stem / "checkpoints" / f"{record['key']}.safetensors").is_file()
    assert len({seed for record in made for seed in record["seeds"].values()}) == 8 * 3
    rows = [row for row in table(tmp_path, "table3") if row["model"] == "mf" and row["metric"] == "recall@10"]
    for row in rows:
        values = [
            record["metrics"]["test"]["values"]["recall@10"]
            for record in made
            if record["spec"]["model"] == "mf" and record["data"]["data_hash"] == row["data_hash"]
        ]
        assert float(row["mean"]) == pytest.approx(sum(values) / 2, abs=1e-15)
    assert out.count("SYNTHETIC DATA") > 3
    for suffix in ("md", "tex", "csv"):
        for name in ("table2", "table3"):
            text = (tmp_path / "results" / "tables" / f"{name}.{suffix}").read_text(encoding="utf-8")
            assert "surrogate" in text


def test_splits_stand_beside_each_other_and_spellings_do_not(call: Any, tmp_path: Path) -> None:
    names = ("tiktok@user", "tiktok", "tiktok@random", "tiktok@user")  # two data sets, each spelt twice
    code, out, _ = call("--datasets", *names, *SMALL, "--artifacts", "table2", "table3")
    assert code == 0
    made = records(tmp_path)
    assert len(made) == 4
    assert {(record["spec"]["dataset"], record["data"]["split"]) for record in made} == {
        ("tiktok", "random"),
        ("tiktok@user", "user"),
    }
    folders = sorted(path.name for path in (tmp_path / "results" / "runs").glob("*/*"))
    assert folders == ["tiktok-surrogate", "tiktok@user-surrogate"]
    labels = dict.fromkeys(row["data"] for row in table(tmp_path, "table3"))
    assert [*labels] == ["tiktok [surrogate x0.01, user split]", "tiktok [surrogate x0.01, random split]"]
    assert "tiktok@user  MF" in out
    for again in (["tiktok@random"], ["tiktok", "--split", "random"], ["tiktok", "--split", "user"]):
        code, out, _ = call("--datasets", *again, *SMALL, "--artifacts", "table3")
        assert (code, out.count("2 runs are finished already and kept")) == (0, 1)
    assert len(records(tmp_path)) == 4
    for option in ("--dry-run", "--status"):
        _, out, _ = call("--datasets", "tiktok", "tiktok@user", *QUICK, option)
        rows = [line.split()[0] for line in out.splitlines() if line.startswith(("tiktok ", "tiktok@user "))]
        assert rows == ["tiktok", "tiktok", "tiktok@user", "tiktok@user"]


def written(folder: Path) -> dict[Path, int]:
    """When every record was written, in nanoseconds: two runs may begin in the same second."""
    return {path: path.stat().st_mtime_ns for path in (folder / "results" / "runs").rglob("*.json")}


def test_a_finished_run_is_never_made_twice(finished: None, call: Any, tmp_path: Path) -> None:
    before = {record["key"]: record["started"] for record in records(tmp_path)}
    stamps = written(tmp_path)
    code, out, _ = call("--datasets", "tiktok", *QUICK)
    assert code == 0
    assert "2 runs are finished already and kept" in out
    assert stamps == written(tmp_path)
    assert before == {record["key"]: record["started"] for record in records(tmp_path)}


def test_same_seed_twice_gives_identical_numbers(finished: None, call: Any, tmp_path: Path) -> None:
    first, before = records(tmp_path), written(tmp_path)
    call("--datasets", "tiktok", *QUICK, "--on-existing", "rerun")
    second, after = records(tmp_path), written(tmp_path)
    assert len(first) == len(second) == 2
    assert all(after[path] != before[path] for path in before)
    for one, two in zip(first, second, strict=True):
        assert one["metrics"] == two["metrics"]
        assert [e["loss"] for e in one["curve"]] == [e["loss"] for e in two["curve"]]


def test_adding_a_model_changes_nobodys_numbers(finished: None, call: Any, tmp_path: Path) -> None:
    alone = {record["key"]: record["metrics"] for record in records(tmp_path)}
    call("--datasets", "movielens", "tiktok", *SMALL, "ludp", "--artifacts", "table3", "--on-existing", "rerun")
    together = {record["key"]: record["metrics"] for record in records(tmp_path)}
    assert len(together) == 6
    assert {key: together[key] for key in alone} == alone


def test_a_failed_run_is_recorded_shown_and_tried_again(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_class = registry.load("mf").model_class
    inner = model_class.calculate_loss

    def broken(self: Any, interaction: Any) -> Any:
        bpr, regularisation = inner(self, interaction)
        return bpr * float("nan"), regularisation

    with monkeypatch.context() as patch:
        patch.setattr(model_class, "calculate_loss", broken)
        code, out, _ = call("--datasets", "tiktok", *QUICK)
    assert code == 1
    assert "FAILED" in out
    (failed,) = (record for record in records(tmp_path) if record["status"] == "failed")
    assert (failed["error"]["kind"], failed["error"]["epoch"], failed["error"]["step"]) == ("NotFinite", 1, 1)
    assert failed["metrics"] is None
    (row,) = (r for r in table(tmp_path, "table3") if r["model"] == "mf" and r["metric"] == "recall@10")
    assert row["mean"] == ""
    code, out, _ = call("--datasets", "tiktok", *QUICK, "--on-existing", "only-missing")
    assert code == 1
    code, out, _ = call("--datasets", "tiktok", *QUICK)
    assert code == 0
    assert all(record["status"] == "finished" for record in records(tmp_path))


def test_an_unexpected_defect_of_one_model_does_not_stop_the_others(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, interaction: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(registry.load("mf").model_class, "calculate_loss", broken)
    code, out, _ = call("--datasets", "tiktok", *QUICK)
    assert code == 1
    assert {record["spec"]["model"]: record["status"] for record in records(tmp_path)} == {
        "mf": "failed",
        "lightgcn": "finished",
    }
    assert "ZeroDivisionError" in out


def test_a_damaged_record_is_said_and_made_again(finished: None, call: Any, tmp_path: Path) -> None:
    path = sorted((tmp_path / "results" / "runs").rglob("*.json"))[0]
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    code, out, _ = call("--datasets", "tiktok", *QUICK)
    assert code == 0
    assert "damaged" in out
    assert all(record["status"] == "finished" for record in records(tmp_path))


def test_hiding_only_training_items_is_another_protocol(finished: None, call: Any, tmp_path: Path) -> None:
    call("--datasets", "tiktok", *QUICK, "--hide-at-test", "train")
    assert len(records(tmp_path)) == 4
    assert {path.name for path in (tmp_path / "results" / "runs").iterdir()} == {
        "p2-field-epochs2",
        "p2-field-epochs2-hide-train",
    }


def test_another_patience_is_another_protocol(call: Any, tmp_path: Path) -> None:
    long = (
        "--datasets",
        "tiktok",
        "--scale",
        "0.01",
        "--models",
        "popularity",
        "mf",
        "--artifacts",
        "table3",
        "--epochs",
        "20",
        "--workers",
        "1",
    )
    call(*long)
    call(*long, "--patience", "1")
    runs = tmp_path / "results" / "runs"
    assert {path.name for path in runs.iterdir()} == {"p2-field-epochs20", "p2-field-patience1-epochs20"}
    (short,) = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in runs.glob("p2-field-patience1-epochs20/*/mf/*.json")
    ]
    assert short["protocol"]["patience"] == 1
    assert len(short["curve"]) == short["best_epoch"] + 1
    assert len(short["curve"]) < 20


def test_another_selection_metric_is_another_protocol(call: Any, tmp_path: Path) -> None:
    call("--datasets", "tiktok", *QUICK, "--epochs", "9", "--select", "ndcg@5")
    call("--datasets", "tiktok", *QUICK, "--protocol", "paper")
    runs = tmp_path / "results" / "runs"
    assert {path.name for path in runs.iterdir()} == {"p2-field-epochs9-select-ndcg@5", "p2-paper-epochs2"}
    otherwise = set()
    for record in records(tmp_path):
        metric = record["protocol"]["selection_metric"]
        scores = [epoch["valid"][metric] for epoch in record["curve"]]
        assert record["best_epoch"] == scores.index(max(scores)) + 1
        if metric == "ndcg@5":
            others = [epoch["valid"]["recall@20"] for epoch in record["curve"]]
            otherwise.add(record["best_epoch"] != others.index(max(others)) + 1)
    assert True in otherwise  # the default's metric would have chosen another epoch
    text = (tmp_path / "results" / "tables" / "table3.md").read_text(encoding="utf-8")
    assert "Protocol p2-paper-epochs2: validation Recall@10 selects, patience 10, at most 2 epochs" in text
    assert "Stopped by the cap of 2 epochs: 2 of 2 runs." in text
    code, _, error = call("--datasets", "tiktok", "--protocol", "papre")
    assert code == 2
    assert "Did you mean 'paper'?" in error


def test_table2_alone_trains_nothing(call: Any, tmp_path: Path) -> None:
    code, _, _ = call("--datasets", "movielens", "--artifacts", "table2")
    assert code == 0
    assert not (tmp_path / "results" / "runs").exists()
    assert any(row["value"] == "100000" for row in table(tmp_path, "table2"))


def test_dry_run_shows_the_plan_and_writes_nothing(call: Any, tmp_path: Path) -> None:
    code, out, _ = call("--datasets", "tiktok", *QUICK, "--dry-run")
    assert code == 0
    assert out.count("to do") == 2
    assert not (tmp_path / "results").exists()


def test_interrupt_is_clean_and_says_how_to_go_on(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any, interaction: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.load("lightgcn").model_class, "calculate_loss", interrupted)
    code, out, err = call("--datasets", "tiktok", *QUICK)
    assert code == 130
    assert "[1/2]" in out
    assert "resumes from there" in err


def test_libraries_are_loaded_before_the_clock_starts(tmp_path: Path) -> None:
    """Or the first run of a process would seem seconds slower than the others, and cost figures would lie."""
    program = (
        "import sys; from bench.runs import runner; inner = runner._run\n"
        "def timed(*given):\n"
        "    before = set(sys.modules); record = inner(*given)\n"
        "    print('loaded', len(set(sys.modules) - before)); return record\n"
        "runner._run = timed\n"
        "from bench.cli.run import main; sys.exit(main(sys.argv[1:]))"
    )
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-c", program, *folders, "--datasets", "tiktok", *QUICK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("loaded")]
    assert len(loaded) == 2
    assert max(loaded) < 20, loaded  # an optimiser's first use loads eight hundred


def test_record_fields_that_make_a_number_traceable(call: Any, tmp_path: Path) -> None:
    call("--datasets", "tiktok", *QUICK, "--set", "mf.reg_weight=0.01")
    (record,) = (r for r in records(tmp_path) if r["spec"]["model"] == "mf")
    assert record["spec"]["params"]["reg_weight"] == 0.01
    assert record["command"].startswith("python run_all.py")
    assert set(record["seeds"]) == {"init", "triples", "model"}
    assert record["environment"]["packages"]["torch"]
    assert record["environment"]["device"] == "cpu"
    assert (record["environment"]["n_workers"], record["environment"]["threads"] > 0) == (1, True)
    assert "commit" in record["environment"]["git"]
    assert record["cost"]["peak_memory_bytes"] > 10**8
    assert record["cost"]["n_parameters"] == 64 * (record["data"]["n_users"] + record["data"]["n_items"] + 2)
    assert record["data"]["modalities"][0]["fingerprint"]
