"""Every block of the tutorial is executed, in the order of the page, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli.main import main

ROOT = Path(__file__).resolve().parent.parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ["--workers", "1"]
DATA = [*RUN, "--epochs", "1", "--artifacts", "table3", "--results-dir", "results"]
ADDED = {"leaderboard": ["--results-dir", "results"]}
OF_RUN = {  # by the option that says what a run is for
    "--check": RUN,
    "--update-baseline": [*RUN, "--seeds", "2"],
    "--tune": [*DATA, "--confirm-settings", "1", "--confirm-seeds", "1"],
    "--datasets": DATA,
}


@dataclass(frozen=True)
class Block:
    """A fenced block: a file to write, a change to try, or commands with lines of their output."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]

    @property
    def output(self) -> list[str]:
        return [line for line in self.text.splitlines() if not line.startswith("$ ")]


def blocks() -> list[Block]:
    return [Block(*found.groups(default="")) for found in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8"))]


def shortened(command: list[str]) -> list[str]:
    """A command with what makes it short, and writes into the folder of the test."""
    if command[1] == "run":
        return [*command, *next(more for option, more in OF_RUN.items() if option in command)]
    return [*command, *ADDED.get(command[1], [])]


def run(command: list[str]) -> int:
    """A command as a reader types it."""
    if command[0] == "ludp-bench":
        return main(shortened(command)[1:])
    assert command[0] == "python"
    return subprocess.run([sys.executable, *command[1:], "-q"], check=False).returncode


def changed(text: str, diff: str) -> str:
    """A text with the one line of a diff replaced."""
    old, new = (next(line[1:] for line in diff.splitlines() if line.startswith(sign)) for sign in "-+")
    assert text.count(old) == 1, old
    return text.replace(old, new)


def try_it(block: Block, path: Path, diff: str) -> None:
    """Make a change, see the command fail as the page says, and undo the change."""
    before = path.read_text(encoding="utf-8")
    path.write_text(changed(before, diff), encoding="utf-8")
    (command,) = block.commands
    # a process of its own, because a module is imported once
    words = [sys.executable, "-m", "bench", *shlex.split(command)[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    for line in block.output:
        assert line in done.stdout, f"{line}\n{done.stdout}"
    assert done.stdout.count("found:") == sum(line.startswith("✗") for line in block.output), done.stdout


def test_every_block_is_a_file_a_change_or_a_command() -> None:
    found = blocks()
    for block in found:
        assert block.language == "math" or bool(block.title) != (block.language == "console"), block
    languages = [block.language for block in found]
    assert languages.count("diff") == TUTORIAL.read_text(encoding="utf-8").count("Undo th") == 2
    assert all(languages[place + 1] == "console" for place, each in enumerate(languages) if each == "diff")


def test_one_spelling_of_the_program() -> None:
    programs = {
        command.split()[0] for block in blocks() if block.language == "console" for command in block.commands
    }
    assert programs == {"ludp-bench", "python"}
    assert "run_all.py" not in TUTORIAL.read_text(encoding="utf-8")


@pytest.mark.timeout(900)
def test_the_tutorial_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = {path: path.read_bytes() for path in (ROOT / "models").glob("*.yaml")}
    found = blocks()
    for before, block in zip([found[0], *found], found, strict=False):
        if block.language == "console" and before.language == "diff":
            try_it(block, tmp_path / before.title, before.text)
        elif block.title and block.language != "diff":
            assert (tmp_path / block.title).exists(), f"{block.title} is not what the skeleton wrote"
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            assert not block.output
            for command in block.commands:
                assert run(shlex.split(command)) == 0, f"{command}\n{capsys.readouterr()}"
    board = (tmp_path / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert all(title in board for title in ("Coldmix", "LightGCN", "EASE"))
    assert not (tmp_path / "mymodels" / "coldmix.tuned.yaml").exists()  # a search of one epoch is not kept
    assert {path: path.read_bytes() for path in (ROOT / "models").glob("*.yaml")} == ours
