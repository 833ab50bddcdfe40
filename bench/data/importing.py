"""A user's data -> a normalised copy and a card that pins it. Writes both, whole or not at all."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.config import dump_yaml
from bench.core.errors import ConfigError, DataError, ResultsError, UsageError
from bench.core.files import locked, write_text
from bench.core.names import SEPARATOR, base_name, parted, readable
from bench.data import cards
from bench.data.cards import DatasetCard
from bench.data.detect import Loaded, import_command, load_place, refusals, suggested_name
from bench.data.formats import normalised
from bench.data.pins import git_blob
from bench.data.raw import RawData, count_facts
from bench.data.roles import Columns

FOLDER = "imported"  # below the cache directory
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Imported:
    """What an import has written."""

    card: Path
    directory: Path
    loaded: Loaded


def import_data(
    path: Path,
    name: str,
    cards_dir: Path,
    cache_dir: Path,
    layout: str | None = None,
    columns: Columns | None = None,
    force: bool = False,
) -> Imported:
    """Import what is at a path as the data set `name`.

    Args:
        path: a directory, or one table of interactions.
        name: of the new card.
        cards_dir: where the card goes.
        cache_dir: the copy goes to `imported/<name>` below it.
        layout: its name; None finds it out.
        columns: what the user says of column names.
        force: replace what an earlier import has made.

    Raises:
        UsageError: the name is taken or no name, or there is nothing at the path.
        DataError: the data is malformed; nothing was written.
        ResultsError: nothing can be written there.
    """
    _check_name(name)
    loaded = load_place(path, layout, columns)
    _refuse_broken(loaded)
    directory = cache_dir / FOLDER / name
    _refuse_taken(name, loaded.raw, directory, cards_dir, force)
    try:
        card = cards_dir / f"{name}.yaml"
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = directory.parent / f".{name}.lock"
        with locked(lock):
            try:
                _refuse_taken(name, loaded.raw, directory, cards_dir, force)  # another import may have been faster
                _write(loaded, name, directory, card)
            finally:
                lock.unlink()
    except OSError as problem:
        place = Path(problem.filename or directory)
        advice = "Free it, or name another place with --cache-dir."
        if place.parent == cards_dir:
            advice = (
                f"Data cards lie in {cards_dir}, which belongs to the installation: make that folder writable, or "
                "import in a checkout that can be written. --cache-dir moves the copy of the data only."
            )
        raise ResultsError(f"{place} cannot be written: {problem.strerror}. {advice}") from problem
    return Imported(card, directory, loaded)


def _check_name(name: str) -> None:
    """Refuse what cannot be the name of a data set."""
    if SEPARATOR in name:
        raise UsageError(
            f"--name '{name}' names a split, which data does not have before it is imported. Import it as "
            f"'{base_name(name) or 'my-data'}', and ask for the split where you use it: --datasets "
            f"{base_name(name) or 'my-data'}{SEPARATOR}{parted(name)[1] or 'random'}."
        )
    if not NAME.fullmatch(name):
        raise UsageError(
            f"--name '{name}' is no name of a data set. Take small letters, digits, '-', '_' and '.', for "
            f"example '{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'my-data'}'."
        )


def _refuse_broken(loaded: Loaded) -> None:
    """Refuse what could not be run afterwards; an inspection tells of the same."""
    problems = refusals(loaded)
    if problems:
        more = f" ({len(problems) - 1} more: see 'ludp-bench inspect')" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")


def _refuse_taken(name: str, raw: RawData, directory: Path, cards_dir: Path, force: bool) -> None:
    """Two data sets never share a name; an import replaces nothing but an import, and only when told so."""
    suggestion = suggested_name(name, raw, cards_dir)
    if name in cards.names(cards_dir):
        try:
            ours = {source.layout for source in cards.load(name, cards_dir).sources} == {"normalised"}
        except ConfigError:
            ours = False
        if not ours:
            raise UsageError(
                f"The name '{name}' belongs to {cards_dir / name}.yaml, which no import has made. Two data sets "
                f"never share a name; take another one: --name {suggestion}."
            )
        if not force:
            raise UsageError(
                f"There is a data set '{name}' already ({cards_dir / name}.yaml). Take another name, such as "
                f"--name {suggestion}, or replace it with --force."
            )
    elif directory.exists() and not force:
        raise UsageError(
            f"{directory} exists already, without a card. Take another name, such as --name {suggestion}, or "
            "replace it with --force."
        )


def _write(loaded: Loaded, name: str, directory: Path, card: Path) -> None:
    """The copy beside its final place, then both in place; what fails leaves everything as it was."""
    for leftover in directory.parent.glob(f".{name}.*.part"):  # we hold the lock: a killed import left it
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = directory.parent / f".{name}.{secrets.token_hex(8)}.part"
    replaced, in_place = temporary.with_suffix(".old.part"), False
    try:
        temporary.mkdir()
        normalised.write(loaded.raw, temporary)
        text = card_text(loaded, name, temporary)
        if directory.exists():
            directory.rename(replaced)
        temporary.rename(directory)
        in_place = True
        write_text(card, text)
    except BaseException:
        if in_place:
            shutil.rmtree(directory, ignore_errors=True)
        if replaced.exists():
            replaced.rename(directory)
        raise
    finally:
        for place in (temporary, replaced):
            shutil.rmtree(place, ignore_errors=True)


def _notes(raw: RawData) -> list[str]:
    """What a reader of the numbers should know of the files that were imported."""
    merged = f"{raw.n_repeated:,} rows that repeat an interaction were merged."
    said = raw.n_repeated == 0 or any("were merged" in note for note in raw.notes)
    return [*raw.notes, *([] if said else [merged])]


def card_text(loaded: Loaded, name: str, copy: Path) -> str:
    """The card as YAML, with the counts, dims and checksums of the copy."""
    raw, path = loaded.raw, loaded.place.path.resolve()
    pins = [
        {"path": one, "git_blob": git_blob(copy / one)}
        for one in (normalised.INTERACTIONS, normalised.USERS, normalised.ITEMS)
    ]
    features = {
        one.name: {"path": f"{one.name}.npy", "dim": one.dim, "git_blob": git_blob(copy / f"{one.name}.npy")}
        for one in raw.modalities
    }
    source: dict[str, Any] = {
        "kind": "real",
        "layout": "normalised",
        "title": f"imported from {readable(path.name)} in the layout {loaded.layout}",
        "directory": f"{FOLDER}/{name}",
        "files": pins,
        "features": features,
        "expected": {key: int(count) for key, count in count_facts(raw).items()},
        "notes": [readable(note) for note in _notes(raw)],
        "how_to_get": readable(
            f"Import it again: {import_command(loaded.place, name, path, loaded.layout)} --force"
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
    cards.validated(DatasetCard, content, copy / "card")
    head = "# Written by `ludp-bench import`; datasets/README.md explains the fields.\n"
    return head + dump_yaml(content)
