"""Options are declared once, mean the same in every command, and may be given by the environment."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import commands
from bench.cli.declare import add_options, count, option, read_options, switch
from bench.cli.main import main
from bench.cli.options import parse, parser
from bench.cli.parser import Parser
from bench.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SHARED = {"--data-dir", "--cache-dir", "--offline", "--results-dir", "--plugin"}


@dataclass(frozen=True)
class Toy:
    size: int = option("--size", type=count, default=3, metavar="N", help="how many")
    colour: str | None = option("--colour", allowed=("red", "green"), kind="colour")
    words: tuple[str, ...] = option("--word", action="append", read=lambda given: tuple(given or ()))
    loud: bool = switch("--loud", "say so")


def toy(*arguments: str, flags: tuple[str, ...] = ()) -> Toy:
    own = argparse.ArgumentParser()
    add_options(own, Toy, *flags)
    return read_options(Toy, own.parse_args(arguments))


def test_an_option_is_one_entry() -> None:
    assert toy() == Toy(3, None, (), False)
    assert toy("--word", "a", "--word", "b", "--loud", "--size", "7", "--colour", "red") == Toy(
        7, "red", ("a", "b"), True
    )
    with pytest.raises(UsageError, match=r"Unknown colour 'rad'\. Did you mean 'red'"):
        toy("--colour", "rad")


def test_options_that_a_command_lacks_have_their_default() -> None:
    assert toy("--size", "4", flags=("--size", "--word")) == Toy(4, None, (), False)
    with pytest.raises(SystemExit):
        toy("--loud", flags=("--size",))


def test_each_option_reaches_its_own_field() -> None:
    options = parse(["--seeds", "2", "--tune", "9", "--confirm-seeds", "4", "--epochs", "7"])
    assert (options.n_seeds, options.search.n_seeds, options.epochs_at_most) == (2, 4, 7)
    assert options.protocol.max_epochs == 7


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("target", "profile", "artifacts", "datasets", "is_offline"),
    [
        ("demo", "demo", (), ("movielens",), True),
        ("run", "quick", ("all",), ("tiktok", "movielens"), True),
        ("paper", "full", ("all",), ("tiktok", "movielens"), False),
    ],
)
def test_targets_of_the_makefile_are_commands_that_parse(
    target: str,
    profile: str,
    artifacts: tuple[str, ...],
    datasets: tuple[str, ...],
    is_offline: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(
        "LUDP_BENCH_OFFLINE", raising=False
    )  # the variable is what --offline is elsewhere in the tests
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (command,) = (line for line in shown.splitlines() if "run_all.py" in line)
    options = parse(shlex.split(command.partition("run_all.py")[2]))
    assert (options.profile, options.what.artifacts, options.what.datasets) == (profile, artifacts, datasets)
    assert options.data.offline == is_offline
    assert options.what.models == ()


def options_by_flag(built: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {flag: action for action in built._actions for flag in action.option_strings}


@pytest.mark.parametrize("name", commands.modules())
def test_shared_options_are_those_of_a_run(name: str) -> None:
    built = Parser()
    commands.load(name).add_arguments(built)
    own, of_run = options_by_flag(built), options_by_flag(parser())
    for flag in SHARED & set(own):
        for attribute in ("dest", "default", "help", "metavar", "type"):
            assert getattr(own[flag], attribute) == getattr(of_run[flag], attribute), (flag, attribute)


def test_results_and_cache_are_by_default_those_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options, built = parse([]), Parser()
    assert options.how.results_dir == ROOT / "results"
    assert options.data.cache_dir == ROOT / "datasets" / "cache"
    commands.load("leaderboard").add_arguments(built)
    assert built.parse_args([]).results_dir == ROOT / "results"


def test_directories_of_the_environment_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUDP_BENCH_DATA", os.pathsep.join(["c", "", "d"]))
    assert parse(["--data-dir", "a", "--data-dir", "b"]).data.data_dirs == tuple(map(Path, "abcd"))
    monkeypatch.delenv("LUDP_BENCH_DATA")
    assert parse([]).data.data_dirs == ()


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_environment_can_forbid_downloads(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUDP_BENCH_OFFLINE", value)
    assert parse([]).data.offline == offline
    assert parse(["--offline"]).data.offline


@pytest.mark.parametrize(
    "command",
    [
        "run --datasets tiktok --models mf --results-dir results",
        "prepare tiktok",
        "export tiktok --format mmrec --to out",
        "extract tiktok --modality visual --input images",
    ],
    ids=lambda command: command.partition(" ")[0],
)
def test_every_command_looks_into_the_same_directories(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*command.split(), "--cache-dir", "cache"]
    monkeypatch.setenv("LUDP_BENCH_DATA", "of-environment")
    assert main(words) == 2
    assert "--data-dir of-environment: there is no such directory" in capsys.readouterr().err
    assert main([*words, "--data-dir", "given"]) == 2
    assert "--data-dir given: there is no such directory" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


HEAVY = {
    "jinja2", "matplotlib", "numpy", "optuna", "pandas", "pooch", "pyarrow", "pydantic", "recbole", "requests",
    "scipy", "sklearn", "statsmodels", "torch",
}  # fmt: skip


def test_lists_and_helps_import_nothing_heavy() -> None:
    code = """if True:
        import contextlib, io, sys
        from bench.cli import commands
        from bench.cli.main import main
        assert main(["run", "--list"]) == 0
        helps = [[name, "--help"] for name in ("run", *commands.modules())]
        with contextlib.redirect_stdout(io.StringIO()):
            for words in (["run", "--version"], ["list-recbole"], ["--version"], ["--help"], *helps):
                with contextlib.suppress(SystemExit):  # argparse ends the process after its help
                    assert main(words) == 0, words
        print(*(name for name in sys.modules if "." not in name), file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.split())
    assert {"rich", "yaml", "argparse"} <= modules  # the child printed its modules
    assert not HEAVY & modules
    for name in (
        "tiktok",
        "movielens",
        "ludp",
        "lightgcn",
        "recbole:NAME",
        "table2",
        "table3",
        "quick",
        "demo",
        "paper",
    ):
        assert name in done.stdout


@pytest.mark.parametrize("program", ["run_all.py", "ludp-bench run"])
def test_help_and_errors_name_the_program_as_it_was_called(program: str) -> None:
    """Only one of the two exists where the user is: the script in a checkout, the command elsewhere."""
    built = parser(program)
    assert built.format_help().count(f"  {built.command} --") == 3
    with pytest.raises(UsageError, match=f"See '{built.command} --help'"):
        parse(["--dataset", "tiktok"], program)
