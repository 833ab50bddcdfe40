"""Layer 13. `ludp-bench extract`: texts, images or sounds of items -> the feature file that a data set reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import cards
from bench.cards import DatasetCard, DirectorySource, FeatureFile, Ml100kSource
from bench.errors import UsageError
from bench.options import CACHE
from bench.types import DataRequest

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
        "--first-id", type=int, metavar="N", help="item_id of the first item (default: as the card has it)"
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
    from bench.extract import encoders, matrix
    from bench.extract.contents import files, texts
    from bench.sources import load_from_card

    card = cards.choose(arguments.name).card  # features are those of all splits
    kind = arguments.kind or KINDS.get(arguments.modality)
    if kind is None:
        raise UsageError(f"What the modality '{arguments.modality}' is made of is not known. Say it with --kind.")
    if arguments.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {arguments.batch_size}.")
    request = DataRequest(data_dirs=tuple(arguments.data_dir), cache_dir=arguments.cache_dir)
    data = load_from_card(card, request)
    place, first, width = target(card, data.source, arguments.modality, arguments.cache_dir, arguments.output)
    first = first if arguments.first_id is None else arguments.first_id
    if kind == "text":
        contents = texts(arguments.input, arguments.fields, data.n_items, first)
        made_of = f"{', '.join(arguments.fields)} in {arguments.input.name}"
    else:
        contents = files(arguments.input, kind, data.n_items, first)
        made_of = f"the {kind} files in {arguments.input.name}"
    encoder = encoders.encoder_of(kind, arguments.encoder, arguments.device)
    with console.status(f"{arguments.name}: {arguments.modality}") as status:

        def tell(done: int) -> None:
            status.update(f"{arguments.name}: {arguments.modality}, {done:,} of {len(contents):,} items")

        rows = matrix.encoded(contents, data.n_items, encoder, arguments.batch_size, tell)
    if width not in (None, rows.shape[1]):
        raise UsageError(
            f"The encoder gives {rows.shape[1]} columns, and '{card.name}' reads {width} from {place}. Take "
            "another encoder, or name another file with --output FILE and write a data card that reads it."
        )
    made = matrix.write(place, rows, arguments.modality, encoder, made_of)
    shown: dict[str, Any] = {"soft_wrap": True, "markup": False}
    console.print(f"wrote {place}: {rows.shape[0]:,} x {rows.shape[1]}, {made.in_words()}", **shown)
    console.print(f"{made.n_described:,} of {made.n_items:,} items have it", **shown)
    return 0


def target(
    card: DatasetCard, kind: str, modality: str, cache: Path, output: Path | None
) -> tuple[Path, int, int | None]:
    """Where the feature file goes, the number of the first item in its inputs, and its columns where fixed.

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
    first = 1 if isinstance(source, Ml100kSource) else 0
    if output is not None:
        return output.with_suffix(".npy"), first, None
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
    return folder / file.path, first, file.dim
