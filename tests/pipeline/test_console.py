"""The console of a whole call: narrow, without test scores before the end, and with an ending."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench import __version__
from bench.cli.main import main as command
from bench.cli.options import parser
from bench.cli.run import main
from bench.engine import registry

SMALL = [
    *("--datasets", "tiktok", "movielens", "--source", "surrogate", "--scale", "0.01", "--epochs", "2"),
    *("--workers", "1", "--artifacts", "table3", "cost", "--models", "mf", "popularity", "lightgcn"),
]
ALONE = [
    *("--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "1", "--workers", "1"),
    *("--models", "ludp"),
]
FRAMES = re.compile("[\u2500-\u257f…]")


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in an empty directory; exit code, lines of the output and error text."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        code = main(["--results-dir", "results", "--cache-dir", "cache", *arguments])
        out, err = capsys.readouterr()
        return code, [line.rstrip() for line in out.splitlines()], err

    return run


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted((folder / "results" / "runs").rglob("*.json"))]


def test_the_console_begins_with_the_plan_and_ends_with_the_result(call: Any, tmp_path: Path) -> None:
    code, out, err = call(*SMALL)
    assert (code, err) == (0, "")
    assert max(map(len, out)) <= 80
    assert not FRAMES.search("\n".join(out))
    assert out[0] == f"ludp-bench {__version__}, profile quick: 1 seed, at most 2 epochs"
    assert out[1].startswith("protocol p2-field-epochs2: validation R@20")
    assert out[2].startswith("3 models x 2 data sets = 6 runs: less than a minute with 1 worker")
    assert out[3].startswith("tiktok: SYNTHETIC DATA, 0.01 x the paper's size")
    assert out[4].endswith("Real: ludp-bench prepare tiktok")
    assert out[5].startswith("movielens: SYNTHETIC DATA")
    assert re.match(r"  \d+ users, \d+ items", out[6])
    assert [line[:5] for line in out[7:13]] == [f"[{n}/6]" for n in range(1, 7)]
    assert out[-2:] == ["Report: results/report.html", "Leaderboard: results/leaderboard.html"]
    assert re.fullmatch(r"6 runs, 0:\d\d min\. All tables here: --verbose", out[-3])
    assert len(out) < 40


def test_test_scores_come_after_the_last_run_sorted(call: Any, tmp_path: Path) -> None:
    _, out, _ = call(*SMALL)
    before = "\n".join(out[:13])
    made = records(tmp_path)
    for record in made:
        valid = {f"{value:.4f}" for value in record["metrics"]["valid"]["values"].values()}
        for value in record["metrics"]["test"]["values"].values():
            assert f"{value:.4f}" not in before or f"{value:.4f}" in valid
    for dataset in ("tiktok", "movielens"):
        place = out.index(f"{dataset}, SYNTHETIC DATA: test, 1 seed, ranked by R@20")
        assert out[place + 1].split() == ["#", "model", "kind", "R@20", "R@10", "NDCG@10", "time"]
        shown = [line.split() for line in out[place + 2 : place + 5]]
        own = [record for record in made if record["spec"]["dataset"] == dataset]
        scores = {each["spec"]["model"]: each["metrics"]["test"]["values"]["recall@20"] for each in own}
        best_first = sorted(scores, key=lambda model: -scores[model])
        assert [row[1].lower() for row in shown] == best_first
        assert [row[3] for row in shown] == [f"{scores[model]:.4f}" for model in best_first]
        assert [row[0] for row in shown] == ["1", "2", "3"]


def test_a_limit_of_the_profile_is_said_beside_the_protocol_s(call: Any) -> None:
    _, out, _ = call("--datasets", "tiktok", "--models", "mf", "--source", "surrogate", "--scale", "0.01")
    assert (
        "1 run ended at the limit of 10 epochs and might have improved. --epochs 1000 is the protocol's limit."
        in (" ".join(out))
    )


def test_warnings_stand_before_the_last_lines(call: Any) -> None:
    _, out, _ = call(*SMALL)
    said = " ".join(out)
    assert "1 seed: differences may be chance. --seeds 5 tells more." in said
    assert "4 runs ended at the limit of 2 epochs" in said
    assert "the protocol's limit" not in said  # --epochs 2 made the limit of this call the protocol's own
    assert "SYNTHETIC DATA says nothing of real users: tiktok, movielens." in said


def test_quiet_prints_the_last_three_lines(call: Any) -> None:
    code, out, _ = call(*SMALL, "-q")
    assert code == 0
    assert [line.split()[0] for line in out] == ["6", "Report:", "Leaderboard:"]
    _, out, _ = call(*SMALL, "--quiet", "--status")
    assert len(out) <= 2
    assert out[0].startswith("6 runs: 6 done.")


def test_verbose_prints_the_tables_too(call: Any) -> None:
    _, out, _ = call(*SMALL, "--verbose")
    said = "\n".join(out)
    assert re.search(r"P@10 +R@10 +NDCG@10", said)
    assert "wrote " in said
    assert not re.search("[\u2500-\u257f]", said)
    assert out[-1] == "Leaderboard: results/leaderboard.html"
    code, _, err = call(*SMALL, "--verbose", "-q")
    assert code == 2
    assert "give one of them" in err


def test_failed_runs_are_named_on_the_last_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, interaction: Any) -> Any:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(registry.load("mf").model_class, "calculate_loss", broken)
        code, out, _ = call(*SMALL, "-q")
    assert code == 1
    assert [line.split()[0] for line in out[:2]] == ["Report:", "Leaderboard:"]
    last = " ".join(out[2:])
    assert last.startswith("2 of 6 runs failed: tiktok MF, movielens MF. Why: the same command with --status")
    _, out, _ = call(*SMALL, "--status")
    said = " ".join(" ".join(out).split())
    assert "6 runs: 4 done, 2 failed." in said
    assert said.count("ZeroDivisionError: a defect") == 2
    assert max(map(len, out)) <= 80


def test_the_variations_of_a_model_share_a_line(call: Any) -> None:
    lone = [*ALONE, "--artifacts", "table3", "fig6"]
    code, out, _ = call(*lone)
    assert code == 0
    runs = [line for line in out if line.startswith("[")]
    assert [line.split("] ")[1].split()[:2] for line in runs] == [["tiktok", "LUDP"], ["tiktok", "LUDP,"]]
    assert re.search(r"LUDP, \d variations  valid R@20 0\.\d{4} to 0\.\d{4}", runs[-1])
    n_all = int(runs[-1].split("/")[1].split("]")[0])
    assert n_all > 3
    assert runs[-1].startswith(f"[{n_all}/{n_all}]")
    code, out, _ = call(*lone, "--on-existing", "rerun", "--verbose")
    assert len([line for line in out if line.startswith("[")]) == n_all


def test_a_dry_run_lists_each_distinct_run_once_with_its_time(call: Any, tmp_path: Path) -> None:
    lone = [*ALONE, "--artifacts", "all"]
    code, out, _ = call(*lone, "--dry-run")
    assert code == 0
    assert not (tmp_path / "results").exists()
    keys = [line.split()[-4:] for line in out if line.endswith(" s") and "to do" in line and "runs" not in line]
    total = int(re.match(r"(\d+) runs\. Nothing was trained", out[-1]).group(1))
    assert len(keys) == total
    assert re.search(r"^1 run, and \d+ runs of variations|^1 model x 1 data set = 1 run, and \d+ runs", out[2])
    assert re.search(r"ludp: \d+ runs +\d+ to do", "\n".join(out))
    _, out, _ = call(*lone, "--dry-run", "--verbose")
    hashes = [word for line in out for word in line.split() if re.fullmatch(r"[0-9a-f]{16}", word)]
    assert len(hashes) == len(set(hashes)) == total


def test_a_status_counts_by_data_and_model(call: Any) -> None:
    _, out, _ = call(*SMALL, "--seeds", "3", "--status")
    rows = [line.split() for line in out if line.startswith(("tiktok ", "movielens "))]
    assert [row[:2] for row in rows] == [
        [data, model] for data in ("tiktok", "movielens") for model in ("mf", "popularity", "lightgcn")
    ]
    assert all(row[2:] == ["3", "-", "3"] for row in rows)
    assert "18 runs: 18 missing." in " ".join(out)


def test_help_has_examples_and_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "usage: run_all.py [OPTIONS]   or: ludp-bench run [OPTIONS]"
    assert len(re.findall(r"^  python run_all\.py ", shown, re.MULTILINE)) == 3
    assert shown.index("examples:") < shown.index("--datasets NAME")
    for group in ("what to run", "protocol", "data", "how", "what to show", "regression check"):
        assert f"\n{group}:\n" in shown
    for action in parser()._actions:
        assert action.help, action.option_strings
        if action.nargs != 0:
            assert action.metavar, action.option_strings
    for choices in ("{train+valid,train}", "{skip,rerun,only-missing}", "{shipped,random,user,global_time}"):
        assert choices in shown


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--version"]) == 0
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == 2 * f"ludp-bench {__version__}\n"
