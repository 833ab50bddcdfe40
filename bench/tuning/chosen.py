"""Layer 7. Writes chosen values where the runner finds them: `datasets` in a model's YAML, its comments kept.

A comment above the values says where they come from. Only what differs from the defaults is written. The file is
edited by lines: libraries that keep comments tie the one above a key to the value before it, where it cannot be
replaced. What comes out is parsed and compared with what was meant before it is written.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.dataset_names import base_name
from bench.errors import ConfigError, ResultsError
from bench.files import write_text
from bench.tuning.results import StudyResult, valid_score
from bench.validation import parse_yaml, read_yaml

COMMENT_WIDTH = 110


def may_be_kept(result: StudyResult) -> bool:
    """Whether values belong into the model's file: those for data drawn at random do not."""
    return result.facts.source != "surrogate" and result.chosen is not None


def write_chosen(result: StudyResult, path: Path) -> None:
    """Put the chosen values of a study into the YAML of its model.

    Args:
        result: a search with at least one finished trial.
        path: the model's YAML.

    Raises:
        ConfigError: the file is no YAML.
        ResultsError: it cannot be written.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read ({problem}). Correct the file.") from problem
    key, values = key_of(result), _differing(result)
    before = read_yaml(path)
    text = "\n".join(_replaced(lines, key, _entry(key, values, provenance(result)))) + "\n"
    expected = {**before, "datasets": {**(before.get("datasets") or {}), key: values}}
    if not _is_read_as(text, expected):
        raise ConfigError(
            f"{path} is laid out in a way in which the values of '{key}' cannot be replaced. Keep 'datasets' a "
            f"block with two spaces before each data set, or write this by hand: {values}."
        )
    try:
        write_text(path, text)
    except OSError as problem:
        raise ResultsError(
            f"The chosen values cannot be written to {path} ({problem.strerror or problem}). The trials are kept: "
            f"make the file writable and run the same command again."
        ) from problem


def key_of(result: StudyResult) -> str:
    """The place under `datasets`: the card's name, with the variant's if it is one."""
    _, at, variant = result.label.partition("@")
    return f"{base_name(result.facts.name)}{at}{variant}"


def provenance(result: StudyResult) -> str:
    """Where the chosen values come from, in a sentence."""
    chosen = result.chosen
    assert chosen is not None
    trials = f"{len(result.records)} trials"
    if len(result.finished) < len(result.records):
        trials += f" ({len(result.records) - len(result.finished)} failed)"
    return (
        f"Chosen by validation {chosen.protocol.selection_metric} {valid_score(chosen):.4f}, the default's "
        f"{_default(result)}, among {trials} ({result.sampler}, base seed {chosen.spec.base_seed}, at most "
        f"{chosen.spec.max_epochs} epochs) on {result.facts.label}, split {result.facts.split_hash}, "
        f"code {chosen.code_hash}, {datetime.now(UTC).date().isoformat()}."
    )


def _default(result: StudyResult) -> str:
    return f"{valid_score(result.default):.4f}" if result.default.metrics else "failed"


def _differing(result: StudyResult) -> dict[str, Any]:
    fixed = result.space.fixed
    return {name: value for name, value in result.chosen_values.items() if value != fixed[name]}


def _entry(key: str, values: dict[str, Any], comment: str) -> list[str]:
    """The lines of one data set under `datasets`."""
    body = yaml.safe_dump(values, sort_keys=False, default_flow_style=False).splitlines() if values else []
    return [
        *(f"  # {line}" for line in textwrap.wrap(comment, COMMENT_WIDTH)),
        f"  {key}:" if values else f"  {key}: {{}}",
        *(f"    {line}" for line in body),
    ]


def _replaced(lines: list[str], key: str, entry: list[str]) -> list[str]:
    """The file with the entry in its place; the old one and the comment above it are gone."""
    if "datasets:" not in lines:
        end = _end_of_block(lines, lines.index("defaults:") + 1, 0)
        return [*lines[:end], "datasets:", *entry, *lines[end:]]
    start = lines.index("datasets:") + 1
    end = _end_of_block(lines, start, 0)
    old = next((place for place in range(start, end) if lines[place].startswith(f"  {key}:")), None)
    if old is None:
        return [*lines[:end], *entry, *lines[end:]]
    after = _end_of_block(lines, old + 1, 2)
    while lines[old - 1].startswith("  #"):
        old -= 1
    return [*lines[:old], *entry, *lines[after:]]


def _is_read_as(text: str, expected: Any) -> bool:
    try:
        return bool(parse_yaml(text) == expected)
    except yaml.YAMLError:
        return False


def _end_of_block(lines: list[str], start: int, indent: int) -> int:
    """The first line from `start` on that is indented by `indent` or less, the comment above it included."""
    inner = " " * (indent + 1)
    return next((place for place in range(start, len(lines)) if not lines[place].startswith(inner)), len(lines))


def note_of(path: Path, key: str) -> str:
    """The comment above the values of a data set in a model's YAML; empty without one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next((place for place, line in enumerate(lines) if line.startswith(f"  {key}:")), 0)
    start = place
    while start and lines[start - 1].startswith("  #"):
        start -= 1
    return " ".join(line.strip().removeprefix("#").strip() for line in lines[start:place])
