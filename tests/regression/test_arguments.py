from __future__ import annotations

from pathlib import Path

import pytest

from bench.checks.regression.request import BASELINE_SEEDS
from bench.cli.options import parse
from bench.core.errors import BenchError


def test_a_check_takes_the_smoke_profile_and_removes_its_runs() -> None:
    options = parse(["--check", "b.json"])
    assert options.profile == "smoke"
    assert options.check is not None
    assert options.check.baseline == Path("b.json")
    assert options.check.reason is None
    assert options.check.runs_dir is None
    assert options.check.max_slowdown is None


def test_what_else_it_takes() -> None:
    what = "--check b.json --profile smoke --models mf --base-seed 7 --set mf.init=normal --workers 1"
    how = "--junit j.xml --max-slowdown 2.5 --all-rows --results-dir r"
    check = parse([*what.split(), *how.split()]).check
    assert check is not None
    assert (check.junit, check.max_slowdown, check.all_rows, check.runs_dir) == (
        Path("j.xml"),
        2.5,
        True,
        Path("r"),
    )


def test_a_model_of_a_plugin_can_be_checked_and_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine.py", "mine.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for words in ("--check b.json", "--update-baseline b.json --reason x"):
        check = parse([*words.split(), "--models", "mine", "--plugin", "mine.py"]).check
        assert check is not None
        assert check.plugins == (str(tmp_path / "mine.py"),)
        assert check.check_command == "ludp-bench run --check b.json --plugin mine.py"
        assert check.update_command(["mine"]) == (
            "ludp-bench run --update-baseline b.json --models mine --plugin mine.py --reason 'TEXT'"
        )


def test_a_new_baseline() -> None:
    check = parse(["--update-baseline", "b.json", "--reason", "new sampler"]).check
    assert check is not None
    assert (check.reason, check.n_seeds) == ("new sampler", BASELINE_SEEDS)
    more = parse(["--update-baseline", "b.json", "--reason", "x", "--seeds", "5"]).check
    assert more is not None
    assert more.n_seeds == 5


def test_without_it_nothing_changes() -> None:
    options = parse([])
    assert options.check is None
    assert options.profile == "quick"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--update-baseline b.json", "--reason"),
        ("--update-baseline b.json --reason= ", "--reason"),
        ("--update-baseline b.json --reason x --seeds 1", "at least 2"),
        ("--update-baseline b.json --reason x --base-seed 3", "--base-seed does not go with --update-baseline"),
        ("--update-baseline b.json --reason x --set mf.init=normal", "--set does not go"),
        ("--check b.json --update-baseline b.json --reason x", "give one"),
        ("--check b.json --reason x", "--reason belongs to --update-baseline"),
        ("--check b.json --datasets tiktok", "--datasets does not go with --check"),
        ("--check b.json --epochs 3", "--epochs does not go with --check"),
        ("--check b.json --device cuda", "--device does not go with --check"),
        ("--check b.json --tune 3", "--tune does not go with --check"),
        ("--check b.json --profile paper", "smoke"),
        ("--check b.json --max-slowdown 1", "above 1"),
        ("--check b.json --max-slowdown fast", "above 1"),
        ("--junit j.xml", "--junit belongs to --check"),
        ("--max-slowdown 2", "--max-slowdown belongs to --check"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as caught:
        parse(arguments.split())
    assert caught.value.exit_code == 2
