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
ADDED = {
    "run": ["--epochs", "1", "--workers", "1", "--results-dir", "results"],
    "leaderboard": ["--results-dir", "results"],
}


@dataclass(frozen=True)
class Block:
    """A fenced block: a file to write or a command to run."""

    language: str
    title: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found.groups(default="")) for found in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8"))]


def run(command: list[str]) -> int:
    """A command as a reader types it; runs of one epoch, and into the folder of the test."""
    if command[0] == "ludp-bench":
        return main([*command[1:], *ADDED.get(command[1], [])])
    assert command[0] == "python"
    return subprocess.run([sys.executable, *command[1:], "-q"], check=False).returncode


def test_every_block_is_a_file_or_a_command() -> None:
    for block in blocks():
        assert block.language == "math" or bool(block.title) != (block.language == "console"), block


def test_the_tutorial_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = {path: path.read_bytes() for path in (ROOT / "models").glob("*.yaml")}
    for block in blocks():
        if block.title:
            assert (tmp_path / block.title).exists(), f"{block.title} is not what the skeleton wrote"
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for line in block.text.splitlines():
                assert line.startswith("$ "), line
                assert run(shlex.split(line[2:])) == 0, f"{line}\n{capsys.readouterr()}"
    board = (tmp_path / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert all(title in board for title in ("Coldmix", "LightGCN", "EASE"))
    assert {path: path.read_bytes() for path in (ROOT / "models").glob("*.yaml")} == ours
