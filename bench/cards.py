"""Layer 2. The data cards: what is known of a data set before a file of it is read. Reads datasets/*.yaml.

One model for each layout of files that a source can have; `layout` tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from bench.dataset_names import SEPARATOR, SPLITS, SplitName, canonical, parted
from bench.downloads import Count, Download, GitBlob, InsidePath
from bench.errors import ConfigError, UsageError, listed, unknown_name
from bench.names import checked_name
from bench.types import Source
from bench.validation import Frozen, read_yaml, validated

__all__ = ["DatasetCard", "DatasetChoice", "SourceCard", "choose", "load", "names", "read_yaml", "validated"]

DATASETS = Path(__file__).resolve().parent.parent / "datasets"


FileName = Annotated[str, AfterValidator(checked_name)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class DataFile(Frozen):
    """One file: its path below the directory, and its git blob id (sha1) where it is known."""

    path: InsidePath
    git_blob: GitBlob | None = None


class Encoder(Frozen):
    """What made a feature file, in words: said of the file with this checksum, and of no other in its place."""

    words: str
    git_blob: GitBlob


class FeatureFile(DataFile):
    """A feature matrix: row = item index, or a .json keyed by it; absent is fine if `optional`."""

    dim: Count | None = None
    optional: bool = False
    encoder: Encoder | None = None


class Counts(Frozen):
    """Golden facts of a source; None = not known beforehand."""

    n_users: Count | None = None
    n_items: Count | None = None
    n_interactions: Count | None = None
    n_train: Count | None = None
    n_valid: Count | None = None
    n_test: Count | None = None


class PartFiles(Frozen):
    """One file for each part."""

    train: DataFile
    valid: DataFile
    test: DataFile


class PinnedFile(DataFile):
    """A file whose content is known for certain."""

    git_blob: GitBlob


class Ml100kFiles(Frozen):
    """RecBole's atomic files: ratings; titles, release years and genres."""

    inter: PinnedFile
    item: PinnedFile


class _SourceBase(Frozen):
    """What every source has: a sentence on what it is, and one on how to get it."""

    title: str
    how_to_get: str


class DirectorySource(_SourceBase):
    """Real data whose files lie in `directory`, below a data directory or the cache.

    `expected` pins its counts; `download` says where the files can be fetched.
    """

    kind: Literal["real"]
    directory: InsidePath
    features: dict[FileName, FeatureFile]
    expected: Counts = Counts()
    download: Download | None = None


class PickledCooSource(DirectorySource):
    """Pickled scipy matrices, one a part, and one .npy a modality."""

    layout: Literal["pickled-coo"]
    files: PartFiles


class MmrecSource(DirectorySource):
    """One tab-separated .inter file and one .npy, or .json keyed by itemID, a modality."""

    layout: Literal["mmrec"]


class NormalisedSource(DirectorySource):
    """The copy that `ludp-bench import` makes, see `bench.sources.normalised`; `notes` are its remarks."""

    layout: Literal["normalised"]
    files: list[PinnedFile]
    notes: tuple[str, ...] = ()


class RatingsSource(DirectorySource):
    """The ratings of GroupLens: one table without a head, its columns user, item, stars and time."""

    layout: Literal["ratings"]
    file: DataFile
    separator: str = Field(min_length=1)


class Ml100kSource(_SourceBase):
    """MovieLens-100K inside an installed package.

    Its `features` are modalities where their files are found, the textual one in place of the derived; `people`
    brings the knowledge modality likewise.
    """

    kind: Literal["embedded"]
    layout: Literal["recbole-ml100k"]
    package: Package
    directory: InsidePath
    files: Ml100kFiles
    features: dict[FileName, FeatureFile]
    people: DataFile
    textual_dim: Count
    metadata_dim: Count
    knowledge_dim: Count
    unavailable: dict[FileName, str]
    expected: Counts = Counts()


class PlantedModality(Frozen):
    """A generated modality.

    Attributes:
        dim: feature columns.
        taste: standard deviation of its part of a user's taste, in units where exposure noise has 1.28.
        noise: share of the features' variance that tells nothing.
        norm: typical Euclidean norm of a row.
    """

    dim: Count
    taste: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    noise: Share
    norm: Size


class SurrogateSource(_SourceBase):
    """Generated data in the paper's dimensions.

    Attributes:
        collaborative: like `taste`, for a latent part that no modality shows.
        n_topics: clusters of items in each latent space, at every scale.
        latent_dim: size of each latent space.
        topics_per_user: topics that a user's taste is made of, in each space.
        exposures: items shown to a user per interaction; the best-liked become interactions.
        popularity_sigma: log-normal spread of the items' chances of being shown.
        activity_sigma: log-normal spread of the users' numbers of interactions.
        item_gini, user_gini: resulting Gini coefficients at scale 1, stated to be tested.
        planted: what is planted, in words; copied into the report.
        version: raise when the generator's output changes.
    """

    kind: Literal["surrogate"]
    layout: Literal["surrogate"]
    version: Count
    n_users: Count
    n_items: Count
    n_interactions: Count
    features: dict[FileName, PlantedModality]
    collaborative: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n_topics: Count
    latent_dim: Count
    topics_per_user: Count
    exposures: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    popularity_sigma: Size
    activity_sigma: Size
    item_gini: Share
    user_gini: Share
    planted: str


SourceCard = PickledCooSource | MmrecSource | NormalisedSource | RatingsSource | Ml100kSource | SurrogateSource


class DatasetCard(Frozen):
    """What is known of a data set before a file of it is read.

    Attributes:
        paper_name: column name in the paper's tables.
        modalities: the paper's modalities, in the order of its columns; a source may bring more.
        split: rule of the split where a name says none; `NAME@SPLIT` asks for another one.
        sources: where the data can come from; "auto" takes the first that is available.
    """

    name: FileName
    title: str
    paper_name: str
    licence: str
    citation: str
    homepage: str
    modalities: list[FileName]
    split: SplitName
    sources: list[Annotated[SourceCard, Field(discriminator="layout")]] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source_of_each_kind(self) -> DatasetCard:
        kinds = [source.kind for source in self.sources]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"expected at most one source of each kind, got {listed(kinds)}")
        return self

    @property
    def kinds(self) -> list[Source]:
        """Kinds of its sources, in the order in which "auto" tries them."""
        return [source.kind for source in self.sources]


def names(directory: Path = DATASETS) -> list[str]:
    """Names of the data cards, sorted; no card is read."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


def load(name: str, directory: Path = DATASETS) -> DatasetCard:
    """The data card `<directory>/<name>.yaml`.

    Raises:
        UsageError: there is no such card.
        ConfigError: the card does not say what it must.
    """
    known = names(directory)
    if name not in known:
        raise unknown_name("data set", name, known, f"Add {directory / 'NAME.yaml'} for a new one.")
    file = directory / f"{name}.yaml"
    card = validated(DatasetCard, read_yaml(file), file)
    if card.name != name:
        raise ConfigError(f"{file}: 'name' is '{card.name}', expected '{name}' like the file. Change one of them.")
    return card


@dataclass(frozen=True)
class DatasetChoice:
    """A data set with its split, as a user chose it.

    Attributes:
        card: its card.
        split: name of the rule that makes the parts.
    """

    card: DatasetCard
    split: str

    @property
    def name(self) -> str:
        """The canonical name; see `bench.dataset_names`."""
        return canonical(self.card.name, self.split, self.card.split)


def choose(dataset: str, split: str | None = None) -> DatasetChoice:
    """Find what `NAME` or `NAME@SPLIT` means.

    Args:
        dataset: as the user typed it.
        split: rule for a name that says none; None takes the card's.

    Raises:
        UsageError: there is no such card or split.
        ConfigError: the card does not say what it must.
    """
    name, own = parted(dataset)
    card = load(name)
    if own == "":
        raise UsageError(
            f"'{dataset}' names no split after '{SEPARATOR}'. Write '{name}' for its default, the split "
            f"'{card.split}', or one of {listed(f'{name}{SEPARATOR}{each}' for each in SPLITS)}."
        )
    chosen = own or split or card.split
    if chosen not in SPLITS:
        where = f"in '{dataset}'" if own else "of --split"
        raise unknown_name(
            "split", chosen, SPLITS, f"Correct the split {where}; '{name}' alone is split '{card.split}'."
        )
    return DatasetChoice(card, chosen)
