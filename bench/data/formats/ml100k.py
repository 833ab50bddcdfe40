"""Reader of the MovieLens-100K files inside the installed recbole package; the package is not imported.

Every rating is an implicit positive. TF-IDF and a truncated SVD derive `textual` from titles and genres, and
`metadata` from genres and release years. Optional feature files of the user add further modalities or replace
`textual`; an optional list of directors and actors adds `knowledge`. Reads files; writes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import DataError, listed
from bench.core.hashing import hash_value
from bench.core.types import IntArray, Interactions, Modality
from bench.data.cards import DataFile, Ml100kSource
from bench.data.columns import id_text
from bench.data.features import derived_modality, read_modality
from bench.data.formats.place import SourceOptions
from bench.data.pins import Checksums, check_counts, checked_path
from bench.data.raw import RawData
from bench.data.tables import read_header, read_text

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

NAME = "recbole-ml100k"
RECIPE_VERSION = 1
SVD_SEED = 0
KNOWLEDGE = ("director", "actors", "country", "language")
MIN_ITEMS_PER_TOKEN = 2  # a token of a single movie says nothing about any other movie


def read_source(source: Ml100kSource, directory: Path, options: SourceOptions) -> RawData:
    """Read the 100,000 ratings and derive the modalities.

    Args:
        source: the source in the data card.
        directory: directory of RecBole's atomic files.
        options: their roots may hold feature files and the list of people.

    Raises:
        DataError: a file is missing, malformed or fails its checksum.
    """
    checksums, files = Checksums(), source.files
    ratings = _table(checked_path(directory, files.inter, checksums), ("user_id", "item_id", "timestamp"))
    movies = _table(
        checked_path(directory, files.item, checksums), ("item_id", "movie_title", "release_year", "class")
    )
    users, n_users = _indices(ratings["user_id"])
    _, n_items = _indices(movies["item_id"])
    items, _ = _indices(ratings["item_id"])
    times = ratings["timestamp"].astype(np.float64).to_numpy()
    interactions = Interactions.from_pairs(users, items, n_users, n_items, times)
    by_name = {
        name: read_modality(root, file, name, n_items)
        for name, file in source.features.items()
        if (root := _root_of(file, options.roots)) is not None
    }
    if "textual" not in by_name:
        by_name["textual"] = _textual(source, movies, n_items)
    modalities = [*by_name.values(), _metadata(source, movies, n_items)]
    missing = {name: reason for name, reason in source.unavailable.items() if name not in by_name}
    # the package's knowledge graph is not used: its link file numbers the movies like another MovieLens.
    people = _root_of(source.people, options.roots)
    if people is not None:
        path = checked_path(people, source.people, checksums)
        modalities.append(_knowledge(source, path, checksums.of(path), n_items))
        missing.pop("knowledge", None)
    raw = RawData(
        f"{source.title}, read from the installed package {source.package}",
        (interactions,),
        tuple(modalities),
        missing,
        ("Every rating is a positive, whatever its number of stars.",),
        np.arange(1, n_users + 1),
        np.arange(1, n_items + 1),
    )
    check_counts(directory, source.expected, raw)
    return raw


def _root_of(file: DataFile, roots: tuple[Path, ...]) -> Path | None:
    """Return the first directory that holds the file, or None."""
    return next((root for root in roots if (root / file.path).exists()), None)


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """Read columns of an atomic file as texts, named without their types ("user_id:token" -> "user_id").

    Raises:
        DataError: the file lacks a column, or is malformed.
    """
    full = {name.partition(":")[0]: name for name in read_header(path, "\t")}
    absent = [column for column in needed if column not in full]
    if absent:
        raise DataError(f"{path} lacks {listed(absent)}; its columns are {listed(full)}. Reinstall recbole.")
    table = read_text(path, "\t", [full[column] for column in needed], quoted=False).columns
    columns: pd.DataFrame = table.rename_columns(list(needed)).to_pandas()
    return columns


def _indices(tokens: pd.Series[Any]) -> tuple[IntArray, int]:
    """Return 0-based indices of MovieLens' numbers, which start at 1, `[n]`, and the highest number."""
    ids = tokens.astype(np.int64).to_numpy()
    return ids - 1, int(ids.max())


def _textual(source: Ml100kSource, movies: pd.DataFrame, n_items: int) -> Modality:
    """Derive a modality from the words of the titles and from the genres, each genre one token."""
    bags = [
        [*title.lower().split(), *_genres(genres)]
        for title, genres in zip(movies["movie_title"], movies["class"], strict=True)
    ]
    items, file = _indices(movies["item_id"])[0], str(source.files.item.git_blob)
    return _embedded("textual", items, bags, n_items, source.textual_dim, file, "titles and genres")


def _metadata(source: Ml100kSource, movies: pd.DataFrame, n_items: int) -> Modality:
    """Derive a modality from genre, year and decade of the release."""
    bags = [
        [*_genres(genres), f"year {year}", f"decade {year[:3]}"]
        for year, genres in zip(movies["release_year"], movies["class"], strict=True)
    ]
    items, file = _indices(movies["item_id"])[0], str(source.files.item.git_blob)
    return _embedded("metadata", items, bags, n_items, source.metadata_dim, file, "genres and years")


def _knowledge(source: Ml100kSource, path: Path, checksum: str, n_items: int) -> Modality:
    """Derive a modality from directors, actors, countries and languages; movies without any of them lack it.

    Raises:
        DataError: a line does not describe a movie of MovieLens-100K.
    """
    items: list[int] = []
    bags: list[list[str]] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                movie = json.loads(line)
                item = int(id_text(movie["item_id"]) or "") - 1
                bag = [
                    f"{kind} {name}"
                    for kind in KNOWLEDGE
                    for name in str(movie.get(kind) or "").split(", ")
                    if name
                ]
            except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{path}, line {number} is not a JSON object with an item_id and {listed(KNOWLEDGE)}: "
                    f"{error!r}. "
                    "Correct the line, or remove the file."
                ) from error
            if not 0 <= item < n_items or item in items:
                problem = "occurs twice" if item in items else "is unknown"
                raise DataError(
                    f"{path}, line {number}: the item_id {item + 1} {problem}; "
                    f"MovieLens-100K numbers its movies from 1 to {n_items}. Correct the line."
                )
            items.append(item)
            bags.append(bag)
    made_of = "directors, actors, countries and languages"
    return _embedded("knowledge", np.array(items), bags, n_items, source.knowledge_dim, checksum, made_of)


def _genres(text: str) -> list[str]:
    """Return one token per genre."""
    return [f"genre {genre}" for genre in text.split()]


def _embedded(
    name: str, items: IntArray, bags: list[list[str]], n_items: int, dim: int, file: str, made_of: str
) -> Modality:
    """Build a modality from bags of tokens.

    Args:
        name: name of the modality.
        items: distinct items, `[n]`.
        bags: tokens of each item.
        n_items: number of items.
        dim: number of feature columns.
        file: git blob id of the file that the tokens came from.
        made_of: description of the tokens, part of the fingerprint.
    """
    from sklearn.decomposition import TruncatedSVD

    owners = np.repeat(items, [len(bag) for bag in bags])
    weights = _tfidf(owners, [token for bag in bags for token in bag], n_items)
    svd = TruncatedSVD(dim, random_state=SVD_SEED)
    rows = svd.fit_transform(weights)
    peaks = svd.components_[np.arange(dim), np.abs(svd.components_).argmax(axis=1)]
    rows *= np.sign(peaks)  # the sign of a singular vector is arbitrary, and differs between machines
    recipe = f"TF-IDF and SVD of {made_of}"
    parameters = {"dim": dim, "seed": SVD_SEED, "min_items": MIN_ITEMS_PER_TOKEN, "input": file}
    fingerprint = hash_value({"recipe": recipe, "version": RECIPE_VERSION, "parameters": parameters})
    present = np.diff(weights.indptr) > 0
    return derived_modality(name, rows, present, fingerprint, f"derived: {recipe} ({dim} columns)")


def _tfidf(owners: IntArray, tokens: list[str], n_items: int) -> csr_matrix:
    """Return item x token weights: count x (ln((1 + n) / (1 + n_token)) + 1), rows scaled to length one."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    vocabulary, columns = np.unique(np.array(tokens), return_inverse=True)
    counts = csr_matrix((np.ones(len(owners)), (owners, columns)), shape=(n_items, len(vocabulary)))
    common = np.bincount(counts.indices, minlength=len(vocabulary)) >= MIN_ITEMS_PER_TOKEN
    weights: csr_matrix = TfidfTransformer().fit_transform(counts[:, np.flatnonzero(common)]).tocsr()
    return weights
