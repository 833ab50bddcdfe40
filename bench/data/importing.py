"""Import of a user's data as a normalised copy and a data card that pins it.

Writes both, or neither.
"""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.config import validated
from bench.core.errors import ConfigError, DataError, ResultsError, UsageError
from bench.core.files import exclusively, folder_in_place, resolved, write_text
from bench.core.names import LONGEST, SEPARATOR, base_and_split, base_name, readable
from bench.core.yaml_files import dump_yaml, read_yaml
from bench.data import cards
from bench.data.adjusting import Adjustments
from bench.data.card_files import DATASETS, path_of
from bench.data.cards import DatasetCard
from bench.data.detect import Loaded, import_command, import_problems, load_place, suggested_name
from bench.data.formats import normalised
from bench.data.pins import git_blob
from bench.data.raw import RawData, count_facts
from bench.data.roles import Columns

FOLDER = "imported"  # below the cache directory
HEAD = "# Written by `ludp-bench import`; datasets/README.md explains the fields.\n"
NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{LONGEST - 1}}}")


@dataclass(frozen=True)
class Imported:
    """Result of an import: the written card, the directory of the copy, and the data."""

    card: Path
    directory: Path
    loaded: Loaded


def import_data(
    path: Path,
    name: str,
    cards_dir: Path,
    cache_dir: Path,
    format: str | None = None,
    columns: Columns | None = None,
    force: bool = False,
    adjustments: Adjustments | None = None,
) -> Imported:
    """Import the data at a path as the data set `name`.

    Args:
        path: a directory, or one table of interactions.
        name: name of the new card.
        cards_dir: directory of the card.
        cache_dir: cache directory; the copy goes to `imported/<name>` below it.
        format: name of the format; None detects it.
        columns: column options of the user.
        force: replace the result of an earlier import.
        adjustments: options of the user for data in any format.

    Raises:
        UsageError: the name is invalid or taken, the path does not exist, or an option has no effect.
        DataError: the data is malformed; nothing was written.
        ResultsError: the copy or the card cannot be written.
    """
    _check_name(name)
    loaded = load_place(path, format, columns, adjustments)
    _refuse_broken(loaded)
    directory = cache_dir / FOLDER / name
    _refuse_taken(name, loaded.raw, directory, cards_dir, force)
    try:
        card = cards_dir / f"{name}.yaml"
        directory.parent.mkdir(parents=True, exist_ok=True)
        with exclusively(directory.parent / f".{name}.lock"):
            _refuse_taken(name, loaded.raw, directory, cards_dir, force)  # another import may have been faster
            _write(loaded, name, directory, card)
    except OSError as problem:
        place = Path(problem.filename or directory)
        advice = "Free it, or name another place with --cache-dir."
        is_of_cards = place.parent == cards_dir or cards_dir.is_relative_to(place)
        if is_of_cards and not directory.is_relative_to(place):
            advice = (
                f"Data cards lie in {cards_dir}: make that folder writable, or name another one with --card-dir, "
                "here and for runs. --cache-dir moves the copy of the data only."
            )
        raise ResultsError(f"{place} cannot be written: {problem.strerror}. {advice}") from problem
    return Imported(card, directory, loaded)


def _check_name(name: str) -> None:
    """Raise a UsageError if the name cannot be that of a data set."""
    if SEPARATOR in name:
        raise UsageError(
            f"--name '{name}' names a split, but imported data has none yet. Import it as "
            f"'{base_name(name) or 'my-data'}', and choose the split where you use it: --datasets "
            f"{base_name(name) or 'my-data'}{SEPARATOR}{base_and_split(name)[1] or 'random'}."
        )
    if not NAME.fullmatch(name):
        example = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-") or "my-data"
        raise UsageError(
            f"--name '{name}' is not a valid data set name. Take small letters, digits, '-', '_' and '.', at most "
            f"{LONGEST} of them, for example '{example}'."
        )


def _refuse_broken(loaded: Loaded) -> None:
    """Raise a DataError if the data could not be run; an inspection reports the same problems."""
    problems = import_problems(loaded)
    if problems:
        more = f" ({len(problems) - 1} more: see 'ludp-bench inspect')" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")


def _refuse_taken(name: str, raw: RawData, directory: Path, cards_dir: Path, force: bool) -> None:
    """Raise a UsageError if the name is taken, unless `force` lets an import replace an earlier import."""
    suggestion = suggested_name(name, raw, cards_dir)
    card = path_of(name, cards_dir)
    if card is not None:
        try:
            is_import = {source.layout for source in cards.load(name, cards_dir).sources} == {"normalised"}
        except ConfigError:
            is_import = False
        if not is_import:
            raise UsageError(
                f"The name '{name}' belongs to {card}, which was not made by an import. Two data sets never share "
                f"a name. Take another one: --name {suggestion}."
            )
        if resolved(card.parent) != resolved(cards_dir):
            raise UsageError(
                f"The name '{name}' belongs to {card}, and the card is to be written to {cards_dir}. Two data "
                f"sets never share a name. Take another one: --name {suggestion}, or remove that card."
            )
        if not force:
            raise UsageError(
                f"The data set '{name}' exists already ({card}). Take another name, such as "
                f"--name {suggestion}, or replace it with --force."
            )
    elif directory.exists() and not force:
        raise UsageError(
            f"{directory} exists already, without a card. Take another name, such as --name {suggestion}, or "
            "replace it with --force."
        )


def _write(loaded: Loaded, name: str, directory: Path, card: Path) -> None:
    """Write the copy beside its final place, then move it there and write the card; undo all if a step fails."""
    for leftover in directory.parent.glob(f".{name}.*.part"):  # we hold the lock: a killed import left it
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = directory.parent / f".{name}.{secrets.token_hex(8)}.part"
    try:
        temporary.mkdir()
        normalised.write(loaded.raw, temporary)
        text = card_text(loaded, name, temporary, resolved(card.parent))
        with folder_in_place(temporary, directory):
            write_text(card, text)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _notes(raw: RawData) -> list[str]:
    """Return the notes of the data, with one on merged rows if the format has not added it."""
    if raw.n_repeated == 0 or any("were merged" in note for note in raw.notes):
        return list(raw.notes)
    return [*raw.notes, f"{raw.n_repeated:,} rows that repeat an interaction were merged."]


def card_text(loaded: Loaded, name: str, copy: Path, cards_dir: Path) -> str:
    """Return the card, which will lie in `cards_dir`, as YAML, with the counts, dims and checksums of the copy."""
    raw, path = loaded.raw, resolved(loaded.place.path)
    elsewhere = None if cards_dir == resolved(DATASETS) else cards_dir
    pins = [
        {"path": file, "git_blob": git_blob(copy / file)}
        for file in (normalised.INTERACTIONS, normalised.USERS, normalised.ITEMS)
    ]
    features = {
        each.name: {"path": f"{each.name}.npy", "dim": each.dim, "git_blob": git_blob(copy / f"{each.name}.npy")}
        for each in raw.modalities
    }
    source: dict[str, Any] = {
        "kind": "real",
        "layout": "normalised",
        "title": f"imported from {readable(path.name)}, format {loaded.format}",
        "directory": f"{FOLDER}/{name}",
        "files": pins,
        "features": features,
        "expected": {key: int(count) for key, count in count_facts(raw).items()},
        "notes": [readable(note) for note in _notes(raw)],
        "how_to_get": readable(
            f"Import it again: {import_command(loaded.place, name, path, loaded.format, elsewhere)} --force"
        ),
    }
    content = {
        "name": name,
        "title": f"{name}, data of the user's own",
        "paper_name": name,
        "licence": "not stated; write it here",
        "citation": "not stated; write it here",
        "homepage": "not stated",
        "modalities": list(features),
        "split": "shipped" if raw.has_parts else "random",
        "sources": [source],
    }
    validated(DatasetCard, content, copy / "card")
    return HEAD + dump_yaml(content)


def with_modality(name: str, modality: str) -> tuple[Path, str]:
    """Return the card of imported data, and its text with a further modality that is read from `MODALITY.npy`.

    The file is not pinned, so that another encoder may replace it; the description beside it holds its checksum.

    Raises:
        ConfigError: the card cannot be read, or the modality's name cannot be that of a file.
    """
    card = cards.load(name)  # so that a card which is missing or malformed is refused
    path = path_of(card.name) or DATASETS / f"{name}.yaml"
    content = read_yaml(path)
    (source,) = (each for each in content["sources"] if each["layout"] == normalised.NAME)
    source["features"][modality] = {"path": f"{modality}.npy"}
    content["modalities"].append(modality)
    validated(DatasetCard, content, f"--modality '{modality}'", "Take a name that can be that of a file.")
    return path, HEAD + dump_yaml(content)
