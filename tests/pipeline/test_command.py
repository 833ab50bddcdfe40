"""The command `ludp-bench`: its list of subcommands, and what it says of names that do not exist."""

from __future__ import annotations

import pytest

from bench.cli import commands
from bench.cli.main import main


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("run", *commands.modules()):
        assert f"  {name} " in shown


@pytest.mark.parametrize("name", commands.modules())
def test_each_subcommand_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"ludp-bench {name}" in capsys.readouterr().out


def test_an_unknown_subcommand_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rum"]) == 2
    assert "Did you mean 'run'?" in capsys.readouterr().err


def test_run_is_run_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--list"]) == 0
    assert "movielens" in capsys.readouterr().out
    assert main(["run", "--dataset", "tiktok"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean '--datasets'?" in error
    assert "See 'ludp-bench run --help'" in error  # a user of the command may have no run_all.py
