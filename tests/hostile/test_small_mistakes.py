"""Small mistakes on the command line: empty paths, looping links, values and options that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core.errors import UsageError
from bench.core.files import free_name, resolved
from bench.engine.plugins import resolve_location

ROWS = "".join(f"u{n % 8},i{n % 11},{'' if n % 5 == 0 else n % 5 + 1}\n" for n in range(60))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a small table, and links that lead back to themselves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(f"user,item,rating\n{ROWS}", encoding="utf-8")
    for name in ("loop", "loop.csv", "loop.py"):
        (tmp_path / name).symlink_to(name)
    return tmp_path


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that must end with 2."""
    assert main([word.replace("EMPTY", "") for word in words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    "command",
    [
        "import good.csv --name mine --card-dir loop --cache-dir cache",
        "inspect loop.csv",
        "inspect good.csv --item-order loop",
        "leaderboard --results-dir loop --output out",
        "leaderboard --results-dir x --output loop",
        "submit . --to loop",
        "check-model loop --plugin loop.py",
    ],
)
def test_a_link_that_leads_back_to_itself_is_named(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(command, capsys)
    assert "a link that leads back to itself" in said
    assert "loop" in said


def test_paths_that_exist_and_that_do_not_are_resolved(here: Path) -> None:
    assert resolved(Path("nowhere/at/all")) == here.resolve() / "nowhere/at/all"
    with pytest.raises(UsageError, match=r"loop/x is a link that leads back to itself, or lies below one"):
        resolved(Path("loop/x"))
    assert free_name(Path("loop")) == Path("loop.2")  # a link to nothing is something too


@pytest.mark.parametrize(
    "command",
    [
        "run --dry-run --results-dir EMPTY",
        "run --dry-run --card-dir EMPTY",
        "run --dry-run --cache-dir EMPTY",
        "run --dry-run --data-dir EMPTY",
        "export movielens --format mmrec --to EMPTY",
        "inspect EMPTY",
        "leaderboard --output EMPTY",
        "new-model my_model --to EMPTY",
    ],
)
def test_an_empty_path_is_not_the_working_directory(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(command, capsys)
    assert "is empty. Give a path, or '.' for the working directory" in said
    assert command.split()[-2] in said or "path" in said.lower()


def test_the_folder_that_cannot_be_made_is_the_one_that_is_blamed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = "import good.csv --name mine"
    assert "name another one with --card-dir" in refused(f"{call} --card-dir /proc/x/y --cache-dir cache", capsys)
    assert "another place with --cache-dir" in refused(f"{call} --card-dir cards --cache-dir /proc/x", capsys)
    assert "another place with --cache-dir" in refused(f"{call} --card-dir /proc/x --cache-dir /proc/x", capsys)


def test_a_parameter_file_is_no_location_of_a_model(here: Path) -> None:
    (here / "ok.yaml").touch()
    with pytest.raises(UsageError, match=r"ok\.yaml is a parameter file.*ok\.py, is not beside it"):
        resolve_location("ok.yaml")
    (here / "ok.py").touch()
    with pytest.raises(UsageError, match=r"ok\.yaml is a parameter file.*give .*ok\.py"):
        resolve_location("ok.yaml")


def test_a_long_name_is_told_the_limit_and_another_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(f"import good.csv --name {'a' * 80} --cache-dir cache", capsys)
    assert "at most 64 of them" in said
    assert f"for example '{'a' * 64}'" in said


def test_a_folder_is_not_a_file_that_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "it is a folder, not a file" in refused("inspect good.csv --item-order .", capsys)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run --base-seed 1.5", "expected a whole number, such as 2023, not '1.5'"),
        ("run --confirm-settings 3", "--confirm-settings has no effect without --tune"),
        ("run --no-pruning", "--no-pruning has no effect without --tune"),
        ("run --save-tuned", "--save-tuned has no effect without --tune"),
        (
            "run --dry-run --datasets movielens --source surrogate --models mf --set mf.init=xavier",
            "Did you mean 'xavier_normal'? Correct the given value.",
        ),
    ],
)
def test_a_value_or_an_option_that_means_nothing(
    command: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(command, capsys)


@pytest.mark.parametrize("scale", ["nan", "inf", "0", "1e300"])
def test_a_scale_is_checked_also_where_it_has_no_effect(
    scale: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "good.csv", "--name", "mine", "--cache-dir", "cache", "--card-dir", "cards"]) == 0
    capsys.readouterr()
    call = "run --dry-run --datasets mine --cache-dir cache --card-dir cards --models mf --scale"
    assert "expected a number above 0 and up to 1,000" in refused(f"{call} {scale}", capsys)


@pytest.mark.parametrize(
    ("name", "command"),
    [("a.csv.gz", "gunzip -k"), ("a.csv.zip", "unzip"), ("a.csv.bz2", "bunzip2 -k"), ("a.csv.xz", "unxz -k")],
)
def test_each_kind_of_archive_has_its_own_command(
    name: str, command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / name).write_bytes(b"x")
    assert f"'{command} {name}'" in refused(f"inspect {name}", capsys)


def test_a_path_that_looks_like_an_option_is_written_as_a_path(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "-dash.csv").write_text(f"user,item,rating\n{ROWS}", encoding="utf-8")
    assert main(["inspect", "./-dash.csv"]) == 0
    assert "ludp-bench import ./-dash.csv --name dash" in capsys.readouterr().out


def test_rows_without_a_rating_are_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "good.csv", "--min-rating", "3"]) == 0
    assert "12 of them have no rating" in capsys.readouterr().out
