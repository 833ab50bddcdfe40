"""Data cards, `datasets/NAME.yaml`: what is known of a data set before its files are read. Reads cards only.

A card lists sources. There is one model per format of a source's files, and the field `layout` tells them apart.
`Download` says where the files can be fetched, and with which sizes and checksums.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bench.core.config import Frozen, validated
from bench.core.errors import ConfigError, UsageError, listed, unknown_name
from bench.core.names import SEPARATOR, SPLITS, SplitName, base_and_split, canonical, checked_name
from bench.core.types import Source
from bench.core.yaml_files import read_yaml
from bench.data.card_files import DATASETS, card_files, names

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def inside(path: str) -> str:
    """Refuse paths that could leave the data directory.

    Raises:
        ValueError: the path is empty, absolute, or steps upwards.
    """
    pure = PurePosixPath(path)  # a backslash or colon could lead outside on Windows, a zero byte ends a name early
    if not path or pure.is_absolute() or ".." in pure.parts or any(char in path for char in "\\:\0"):
        raise ValueError("expected a relative path that stays inside the data directory, without '..'")
    return path


InsidePath = Annotated[str, AfterValidator(inside)]
Count = Annotated[int, Field(strict=True, gt=0)]
GitBlob = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def is_safe(url: str) -> bool:
    """Check that an address cannot be tampered with on the way: it is encrypted, or on this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() == "https" or parts.hostname in LOOPBACK
    except ValueError:  # such as an incomplete IPv6 address
        return False


def safe_address(url: str) -> str:
    """Refuse addresses without encryption, except those of this machine.

    Raises:
        ValueError: the address begins with http: and names another machine.
    """
    if not is_safe(url):
        raise ValueError("expected an address that begins with https://")
    return url


Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S*$"), AfterValidator(safe_address)]


class RemoteFile(Frozen):
    r"""One file on a server, with at least one checksum.

    Attributes:
        url: its address.
        path: its target, below the source's directory; None for an archive.
        members: for a zip or tar archive: targets of the wanted members, by their names in the archive.
        git_blob: git's id, sha1 of "blob <size>\0" and the content.
        sha256, md5: of the content.
        size: bytes, where known.
        optional: whether the source is complete without it.
    """

    url: Address
    path: InsidePath | None = None
    members: dict[str, InsidePath] = Field(default_factory=dict)
    git_blob: GitBlob | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    size: Count | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_place_and_a_checksum(self) -> RemoteFile:
        if (self.path is None) == (not self.members):
            raise ValueError("expected either 'path' or, for an archive, 'members'")
        if not (self.git_blob or self.sha256 or self.md5):
            raise ValueError("expected a checksum: 'git_blob', 'sha256' or 'md5'")
        return self

    @property
    def targets(self) -> list[str]:
        """Return the paths that it provides, below the source's directory."""
        return list(self.members.values()) if self.path is None else [self.path]


class ZenodoRecord(Frozen):
    """A record of Zenodo, which lists its own files with their sizes and md5 sums.

    Attributes:
        record: its number.
        match: pattern of the names of the files to consider, `*` and `?` as in a shell.
        members: paths wanted below the source's directory: a file of that name, or the one member of the record's
            archives whose path ends so.
        optional_members: likewise; the source is complete without them.
        api: address below which records are described.
    """

    record: Count
    match: str = "*"
    members: list[InsidePath] = Field(min_length=1)
    optional_members: list[InsidePath] = Field(default_factory=list)
    api: Address = "https://zenodo.org/api/records"

    @property
    def url(self) -> str:
        """Return the address of the record's description."""
        return f"{self.api}/{self.record}"


class Download(Frozen):
    """Where the files of a source can be fetched: from addresses, or from a record that lists them."""

    files: list[RemoteFile] = Field(default_factory=list)
    zenodo: ZenodoRecord | None = None

    @model_validator(mode="after")
    def _files_or_record(self) -> Download:
        if bool(self.files) == (self.zenodo is not None):
            raise ValueError("expected either 'files' or 'zenodo'")
        return self

    @property
    def url(self) -> str:
        """Return the address that is requested first."""
        return self.zenodo.url if self.zenodo else self.files[0].url

    @property
    def targets(self) -> dict[str, bool]:
        """Return all paths that it provides, below the source's directory, and whether each is optional."""
        optional = {path: file.optional for file in self.files for path in file.targets}
        if self.zenodo:
            optional |= dict.fromkeys(self.zenodo.members, False) | dict.fromkeys(
                self.zenodo.optional_members, True
            )
        return optional


FileName = Annotated[str, AfterValidator(checked_name)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class DataFile(Frozen):
    """One file: its path below the directory, and its git blob id (sha1) where it is known."""

    path: InsidePath
    git_blob: GitBlob | None = None


class Encoder(Frozen):
    """How a feature file was made, in words; true only of the file with this checksum."""

    words: str
    git_blob: GitBlob


class FeatureFile(DataFile):
    """A feature matrix: one row per item index, or a .json keyed by it. It may be absent if `optional`."""

    dim: Count | None = None
    optional: bool = False
    encoder: Encoder | None = None


class Counts(Frozen):
    """The expected counts of a source; None where a count is not known beforehand."""

    n_users: Count | None = None
    n_items: Count | None = None
    n_interactions: Count | None = None
    n_train: Count | None = None
    n_valid: Count | None = None
    n_test: Count | None = None


class PartFiles(Frozen):
    """The files of the three parts."""

    train: DataFile
    valid: DataFile
    test: DataFile


class PinnedFile(DataFile):
    """A file whose content is fixed by its checksum."""

    git_blob: GitBlob


class Ml100kFiles(Frozen):
    """RecBole's atomic files: ratings; titles, release years and genres."""

    inter: PinnedFile
    item: PinnedFile


class _SourceBase(Frozen):
    """A source of any kind: a sentence on what it is, and one on how to get it."""

    title: str
    how_to_get: str


class DirectorySource(_SourceBase):
    """Real data whose files lie in `directory`, below a data directory or the cache.

    `expected` holds its counts; `download` says where the files can be fetched.
    """

    kind: Literal["real"]
    directory: InsidePath
    features: dict[FileName, FeatureFile]
    expected: Counts = Counts()
    download: Download | None = None


class PickledCooSource(DirectorySource):
    """Pickled scipy matrices, one per part, and one .npy per modality."""

    layout: Literal["pickled-coo"]
    files: PartFiles


class MmrecSource(DirectorySource):
    """One tab-separated .inter file, and one .npy or .json (keyed by itemID) per modality."""

    layout: Literal["mmrec"]


class NormalisedSource(DirectorySource):
    """A copy made by `ludp-bench import`, see `bench.data.formats.normalised`; `notes` are its remarks."""

    layout: Literal["normalised"]
    files: list[PinnedFile]
    notes: tuple[str, ...] = ()


class RatingsSource(DirectorySource):
    """The ratings of GroupLens: one table without a header, its columns user, item, stars and time."""

    layout: Literal["ratings"]
    file: DataFile
    separator: str = Field(min_length=1)


class Ml100kSource(_SourceBase):
    """MovieLens-100K inside an installed package.

    A modality of `features` is read where its file is present; a textual one replaces the derived one. `people`
    likewise provides the knowledge modality.
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
        noise: share of the features' variance that is independent of taste.
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
        item_gini, user_gini: resulting Gini coefficients at scale 1, as a test checks.
        planted: what is planted, in words; copied into the report.
        version: to be increased whenever the generator's output changes.
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
    """The data card of one data set.

    Attributes:
        paper_name: column name in the paper's tables.
        modalities: the paper's modalities, in the order of its columns; a source may bring more.
        split: rule of the default split; `NAME@SPLIT` selects another one.
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
        """Return the kinds of the sources, in the order in which "auto" tries them."""
        return [source.kind for source in self.sources]


def load(name: str, directory: Path = DATASETS) -> DatasetCard:
    """Read the data card `<directory>/<name>.yaml`.

    Raises:
        UsageError: there is no such card.
        ConfigError: the card is malformed, or bears another name than its file.
    """
    files = card_files(directory)
    if name not in files:
        advice = f"Add {directory / 'NAME.yaml'} for a new one, or name the folder of its card with --card-dir."
        if Path(name).exists():
            advice += (
                f" To use the file or folder {name}, import it first: ludp-bench inspect {shlex.quote(name)}."
            )
        raise unknown_name("data set", name, sorted(files), advice)
    file = files[name]
    card = validated(DatasetCard, read_yaml(file), file)
    if card.name != name:
        raise ConfigError(f"{file}: 'name' is '{card.name}', expected '{name}' like the file. Change one of them.")
    return card


@dataclass(frozen=True)
class DatasetChoice:
    """A data set with its split, as the user chose it.

    Attributes:
        card: its card.
        split: name of the rule that makes the parts.
    """

    card: DatasetCard
    split: str

    @property
    def name(self) -> str:
        """Return the canonical name; see `bench.core.names`."""
        return canonical(self.card.name, self.split, self.card.split)


def full_name(dataset: str) -> str:
    """Return `NAME@SPLIT`, with the card's default split if the name has none.

    A name without a card is returned as it is.
    """
    base, split = base_and_split(dataset)
    return dataset if split is not None or base not in names() else f"{base}@{load(base).split}"


def choose(dataset: str, split: str | None = None) -> DatasetChoice:
    """Return the card and the split that `NAME` or `NAME@SPLIT` stands for.

    Args:
        dataset: as the user typed it.
        split: rule for a name without one; None takes the card's default.

    Raises:
        UsageError: there is no such card or split.
        ConfigError: the card is malformed.
    """
    name, given = base_and_split(dataset)
    card = load(name)
    if given == "":
        raise UsageError(
            f"'{dataset}' has no split after '{SEPARATOR}'. Write '{name}' for its default, the split "
            f"'{card.split}', or one of {listed(f'{name}{SEPARATOR}{each}' for each in SPLITS)}."
        )
    chosen = given or split or card.split
    if chosen not in SPLITS:
        where = f"in '{dataset}'" if given else "of --split"
        raise unknown_name(
            "split", chosen, SPLITS, f"Correct the split {where}; '{name}' alone is split '{card.split}'."
        )
    return DatasetChoice(card, chosen)
