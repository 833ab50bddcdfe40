"""`ludp-bench extract`: texts, images or sounds of items -> the feature file that a data set reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.cli.options import CACHE
from bench.core.errors import UsageError
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import DatasetCard, DirectorySource, FeatureFile, Ml100kSource

if TYPE_CHECKING:
    from bench.data.encoders import ItemRows
    from bench.data.raw import RawData

SUMMARY = "make a modality of texts, images or sounds, by an encoder that is on this machine"
KINDS = {"textual": "text", "visual": "image", "acoustic": "audio"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="data set")
    parser.add_argument("--modality", required=True, metavar="NAME", help="textual, visual, acoustic or another")
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH",
        help="texts: a file with a JSON object with item_id a line; images and sounds: a folder of ITEM_ID.SUFFIX",
    )  # fmt: skip
    parser.add_argument(
        "--fields", nargs="+", default=["title", "genre", "plot"], metavar="NAME", help="of the texts"
    )
    parser.add_argument("--kind", choices=sorted(set(KINDS.values())), help="default: by the modality's name")
    parser.add_argument("--encoder", metavar="NAME", help="model of the kind's library, or a directory with one")
    parser.add_argument(
        "--first-id",
        type=int,
        metavar="N",
        help="item_id of the first item, where the data has no ids (default 0)",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--data-dir", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--cache-dir", type=Path, default=CACHE, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: where the data set looks for it")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Extract, write, and say what to expect.

    Raises:
        BenchError: the data set, its content or the encoder is not there, or the file cannot be written.
    """
    from bench.data import encoders
    from bench.data.encoders import files, texts
    from bench.data.load import load_with_raw

    card = cards.choose(arguments.name).card  # features are those of all splits
    kind = arguments.kind or KINDS.get(arguments.modality)
    if kind is None:
        raise UsageError(f"What the modality '{arguments.modality}' is made of is not known. Say it with --kind.")
    if arguments.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {arguments.batch_size}.")
    request = DataRequest(data_dirs=tuple(arguments.data_dir), cache_dir=arguments.cache_dir)
    data, raw = load_with_raw(card, request)
    place, width = target(card, data.source, arguments.modality, arguments.cache_dir, arguments.output)
    items = item_rows(raw, arguments.first_id)
    if kind == "text":
        contents, n_others = texts(arguments.input, arguments.fields, items)
        made_of = f"{', '.join(arguments.fields)} in {arguments.input.name}"
    else:
        contents, n_others = files(arguments.input, kind, items)
        made_of = f"the {kind} files in {arguments.input.name}"
    encoder = encoders.encoder_of(kind, arguments.encoder, arguments.device)
    with console.status(f"{arguments.name}: {arguments.modality}") as status:

        def tell(done: int) -> None:
            status.update(f"{arguments.name}: {arguments.modality}, {done:,} of {len(contents):,} items")

        rows = encoders.encoded(contents, data.n_items, encoder, arguments.batch_size, tell)
    if width not in (None, rows.shape[1]):
        raise UsageError(
            f"The encoder gives {rows.shape[1]} columns, and '{card.name}' reads {width} from {place}. Take "
            "another encoder, or name another file with --output FILE and write a data card that reads it."
        )
    made = encoders.write(place, rows, arguments.modality, encoder, made_of)
    shown: dict[str, Any] = {"soft_wrap": True, "markup": False}
    console.print(f"wrote {place}: {rows.shape[0]:,} x {rows.shape[1]}, {made.in_words()}", **shown)
    console.print(f"{made.n_described:,} of {made.n_items:,} items have it", **shown)
    if n_others:
        console.print(f"{n_others:,} contents are of items that the data set does not have; left out", **shown)
    return 0


def item_rows(raw: RawData, first_id: int | None) -> ItemRows:
    """How contents find their items: by the original ids, or by numbers where the data has no ids of its own.

    Raises:
        UsageError: the data has ids, and a first number was given.
    """
    from bench.data.columns import as_texts
    from bench.data.encoders import ItemRows

    n_items = raw.parts[0].n_items
    if raw.item_ids is None:
        return ItemRows.from_number(first_id or 0, n_items)
    ids = as_texts(raw.item_ids, n_items)
    if first_id is not None:
        raise UsageError(
            f"--first-id {first_id} is for data without ids; these items have some, such as '{ids[0]}', by which "
            "contents are found. Leave it out."
        )
    return ItemRows.of_ids(ids)


def target(
    card: DatasetCard, kind: str, modality: str, cache: Path, output: Path | None
) -> tuple[Path, int | None]:
    """Where the feature file goes, and its columns where they are fixed.

    Args:
        card: of the data set.
        kind: of the source that is there.
        modality: its name.
        cache: the cache directory.
        output: what the user asked for.

    Raises:
        UsageError: the data set would not read the file there, and no other place was named.
    """
    source = next(one for one in card.sources if one.kind == kind)
    if output is not None:
        return output.with_suffix(".npy"), None
    file: FeatureFile | None = None
    if isinstance(source, DirectorySource | Ml100kSource):
        file = source.features.get(modality)
    folder = cache / source.directory if isinstance(source, DirectorySource) else cache
    if file is None or file.git_blob is not None:
        why = "reads no file for it" if file is None else "pins the publisher's file for it"
        raise UsageError(
            f"The {kind} source of '{card.name}' {why}, so that features of one's own for the modality "
            f"'{modality}' need another place. Name it with --output FILE, and write a data card that reads it."
        )
    return folder / file.path, file.dim
