"""Reader of the MovieLens-100K that ships inside the recbole package, without importing that package.

Every rating is an implicit positive. Two modalities are derived from what ships there, both by TF-IDF and a
truncated singular value decomposition: `textual` from title and genres, `metadata` from genres and release
year. Feature files of posters, trailers and plots are modalities where they are found, the last in place of the
derived text, and where there is a list of directors and actors, `knowledge` is derived from it. The knowledge
graph that ships in the package is not used: its link file numbers the movies like another MovieLens.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import DataError, listed
from bench.core.hashing import hash_value
from bench.core.types import IntArray, Interactions, Modality
from bench.data.cards import DataFile, Ml100kSource
from bench.data.columns import id_text
from bench.data.features import from_rows, read_modality
from bench.data.pins import check_counts, checked_path, git_blob
from bench.data.raw import RawData

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

RECIPE_VERSION = 1
SVD_SEED = 0
KNOWLEDGE = ("director", "actors", "country", "language")
MIN_ITEMS_PER_TOKEN = 2  # a token of one movie tells nothing about another


def read_source(source: Ml100kSource, directory: Path, roots: tuple[Path, ...]) -> RawData:
    """The 100,000 ratings and their modalities.

    Args:
        source: its card.
        directory: where RecBole's atomic files lie.
        roots: directories that may hold feature files and the list of people.

    Raises:
        DataError: a file is missing, malformed or not the card's.
    """
    ratings = _table(directory, source.files.inter, ("user_id", "item_id", "timestamp"))
    movies = _table(directory, source.files.item, ("item_id", "movie_title", "release_year", "class"))
    users, n_users = _indices(ratings["user_id"])
    _, n_items = _indices(movies["item_id"])
    items, _ = _indices(ratings["item_id"])
    times = ratings["timestamp"].astype(np.float64).to_numpy()
    interactions = Interactions.from_pairs(users, items, n_users, n_items, times)
    found = {name: root for name, file in source.features.items() if (root := _root_of(file, roots)) is not None}
    given = {name: read_modality(root, source.features[name], name, n_items) for name, root in found.items()}
    if "textual" not in given:
        given["textual"] = _textual(source, movies, n_items)
    modalities = [*given.values(), _metadata(source, movies, n_items)]
    missing = {name: why for name, why in source.unavailable.items() if name not in given}
    people = _root_of(source.people, roots)
    if people is not None:
        modalities.append(_knowledge(source, checked_path(people, source.people), n_items))
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
    """The first directory that holds a file of the user's own."""
    return next((root for root in roots if (root / file.path).exists()), None)


def _table(directory: Path, file: DataFile, needed: tuple[str, ...]) -> pd.DataFrame:
    """An atomic file as text, its columns named without their types ("user_id:token" -> "user_id")."""
    import pandas as pd

    path = checked_path(directory, file)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no tab-separated table: {' '.join(str(error).split())}.") from error
    table.columns = pd.Index([str(column).split(":")[0] for column in table.columns])
    absent = [column for column in needed if column not in table]
    if absent:
        raise DataError(
            f"{path} lacks {listed(absent)}; its columns are {listed(table.columns)}. Reinstall recbole."
        )
    return table


def _indices(tokens: pd.Series[Any]) -> tuple[IntArray, int]:
    """0-based indices of MovieLens' numbers from 1, `[n]`, and the highest number."""
    ids = tokens.astype(np.int64).to_numpy()
    return ids - 1, int(ids.max())


def _textual(source: Ml100kSource, movies: pd.DataFrame, n_items: int) -> Modality:
    """The words of the title, and the genres as tokens of their own."""
    bags = [
        [*title.lower().split(), *_genres(genres)]
        for title, genres in zip(movies["movie_title"], movies["class"], strict=True)
    ]
    items, file = _indices(movies["item_id"])[0], str(source.files.item.git_blob)
    return _embedded("textual", items, bags, n_items, source.textual_dim, file, "titles and genres")


def _metadata(source: Ml100kSource, movies: pd.DataFrame, n_items: int) -> Modality:
    """Genres, year and decade of the release."""
    bags = [
        [*_genres(genres), f"year {year}", f"decade {year[:3]}"]
        for year, genres in zip(movies["release_year"], movies["class"], strict=True)
    ]
    items, file = _indices(movies["item_id"])[0], str(source.files.item.git_blob)
    return _embedded("metadata", items, bags, n_items, source.metadata_dim, file, "genres and years")


def _knowledge(source: Ml100kSource, path: Path, n_items: int) -> Modality:
    """Directors, actors, countries and languages; movies of which nothing is known lack the modality.

    Raises:
        DataError: a line is no movie of MovieLens-100K.
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
                    f"{path}, line {number} is no JSON object with an item_id and {listed(KNOWLEDGE)}: {error!r}. "
                    "Correct the line, or remove the file."
                ) from error
            if not 0 <= item < n_items or item in items:
                problem = "there twice" if item in items else "unknown"
                raise DataError(
                    f"{path}, line {number}: the item_id {item + 1} is {problem}; "
                    f"MovieLens-100K numbers its movies from 1 to {n_items}. Correct the line."
                )
            items.append(item)
            bags.append(bag)
    made_of = "directors, actors, countries and languages"
    return _embedded("knowledge", np.array(items), bags, n_items, source.knowledge_dim, git_blob(path), made_of)


def _genres(text: str) -> list[str]:
    """One token a genre."""
    return [f"genre {genre}" for genre in text.split()]


def _embedded(
    name: str, items: IntArray, bags: list[list[str]], n_items: int, dim: int, file: str, made_of: str
) -> Modality:
    """A modality from bags of tokens.

    Args:
        name: of the modality.
        items: distinct items, `[n]`.
        bags: the tokens of each of them.
        n_items: number of items.
        dim: feature columns.
        file: git blob id of the file that the tokens came from.
        made_of: the same in words.
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
    return from_rows(name, rows, present, fingerprint, f"derived: {recipe} ({dim} columns)")


def _tfidf(owners: IntArray, tokens: list[str], n_items: int) -> csr_matrix:
    """Item x token weights: count x ln((1 + n) / (1 + n_token)) + 1, rows scaled to length one."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    vocabulary, columns = np.unique(np.array(tokens), return_inverse=True)
    counts = csr_matrix((np.ones(len(owners)), (owners, columns)), shape=(n_items, len(vocabulary)))
    common = np.bincount(counts.indices, minlength=len(vocabulary)) >= MIN_ITEMS_PER_TOKEN
    weights: csr_matrix = TfidfTransformer().fit_transform(counts[:, np.flatnonzero(common)]).tocsr()
    return weights
