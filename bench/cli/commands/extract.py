"""`ludp-bench extract`: encode texts, images or sounds of items as the feature file of a data set.

Reads the contents and the data set; writes the feature file, and enters it on the card of imported data.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.cli.declare import add_options, count, path_given, read_options, whole
from bench.cli.options import DataOptions
from bench.core.errors import UsageError, listed
from bench.core.files import os_errors, write_text

if TYPE_CHECKING:
    from bench.data.cards import DatasetCard
    from bench.data.encoders import Contents, ItemRows
    from bench.data.raw import RawData

SUMMARY = "make a modality from texts, images or sounds, with an encoder on this machine"
KINDS = {"textual": "text", "visual": "image", "acoustic": "audio"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="data set")
    parser.add_argument("--modality", required=True, metavar="NAME", help="textual, visual, acoustic or another")
    parser.add_argument(
        "--input", type=path_given, required=True, metavar="PATH",
        help="texts: a JSON Lines file with an item_id in each object; images, sounds: a folder of ITEM_ID.SUFFIX",
    )  # fmt: skip
    parser.add_argument(
        "--fields",
        nargs="+",
        default=["title", "genre", "plot"],
        metavar="NAME",
        help="fields of the texts (default: title genre plot)",
    )
    parser.add_argument("--kind", choices=sorted(set(KINDS.values())), help="default: by the modality's name")
    parser.add_argument("--encoder", metavar="NAME", help="model of the kind's library, or a directory with one")
    parser.add_argument(
        "--first-id",
        type=whole,
        metavar="N",
        help="item_id of the first item, if the data has no ids (default 0)",
    )
    parser.add_argument("--batch-size", type=count, default=64, metavar="N", help="items at a time (default: 64)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    add_options(parser, DataOptions, "--data-dir", "--cache-dir", "--card-dir")
    parser.add_argument(
        "--output", type=path_given, metavar="FILE", help="default: the path that the data set reads"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Encode the contents, write the feature file and print a summary.

    Raises:
        BenchError: the data set, its content or the encoder is missing, or the file cannot be written.
    """
    from bench.data import cards, encoders
    from bench.data.importing import with_modality
    from bench.data.load import load_with_raw

    card = cards.choose(arguments.name).card  # features are those of all splits
    kind = _kind_of(arguments)
    data, raw = load_with_raw(card, read_options(DataOptions, arguments).request())
    place, width, is_new = target(card, data.source, arguments.modality, arguments.cache_dir, arguments.output)
    entered = with_modality(card.name, arguments.modality) if is_new else None
    contents, n_others, made_of = _read_contents(arguments, kind, item_rows(raw, arguments.first_id))
    encoder = encoders.load_encoder(kind, arguments.encoder, arguments.device)
    what = f"{arguments.name}: {arguments.modality}"
    with console.status(what) as status:
        rows = encoders.encode_items(
            contents, data.n_items, encoder, arguments.batch_size,
            lambda done: status.update(f"{what}, {done:,} of {len(contents):,} items"),
        )  # fmt: skip
    if width not in (None, rows.shape[1]):
        raise UsageError(
            f"The encoder gives {rows.shape[1]} columns, and '{card.name}' reads {width} from {place}. Use "
            "another encoder, or give another file with --output FILE and write a data card that reads it."
        )
    made = encoders.write(place, rows, arguments.modality, encoder, made_of)
    if entered is not None:
        with os_errors(f"{entered[0]} cannot be written", "Make its folder writable and extract again."):
            write_text(*entered)
    told = [
        f"wrote {place}: {rows.shape[0]:,} x {rows.shape[1]}, {made.in_words()}",
        f"{made.n_described:,} of {made.n_items:,} items have it",
        entered and f"entered on {entered[0]}: '{card.name}' has the modality '{arguments.modality}'",
        n_others and f"{n_others:,} contents belong to items that are not in the data set; they were left out",
    ]
    console.print(*filter(None, told), sep="\n", soft_wrap=True, markup=False)
    return 0


def _kind_of(arguments: argparse.Namespace) -> str:
    """Return the kind of content: that of `--kind`, or the usual one of the modality.

    Raises:
        UsageError: the modality has no usual kind.
    """
    kind: str | None = arguments.kind or KINDS.get(arguments.modality)
    if kind is None:
        raise UsageError(
            f"The kind of content of the modality '{arguments.modality}' is unknown. Give it with --kind "
            f"({listed(sorted(KINDS.values()))}), or take a modality whose kind is known ({listed(KINDS)})."
        )
    return kind


def _read_contents(arguments: argparse.Namespace, kind: str, items: ItemRows) -> tuple[Contents, int, str]:
    """Return the contents by row, the number of contents of other items, and what the contents are.

    Raises:
        BenchError: the input is missing or malformed.
    """
    from bench.data.encoders import find_files, read_texts

    if kind == "text":
        texts, n_others = read_texts(arguments.input, arguments.fields, items)
        return texts, n_others, f"{', '.join(arguments.fields)} in {arguments.input.name}"
    files, n_others = find_files(arguments.input, kind, items)
    return files, n_others, f"the {kind} files in {arguments.input.name}"


def item_rows(raw: RawData, first_id: int | None) -> ItemRows:
    """Return how contents are matched to items: by the original ids, or by numbers if the data has no ids.

    Raises:
        UsageError: the data has ids, and the user gave a first number.
    """
    from bench.data.columns import as_texts
    from bench.data.encoders import ItemRows

    n_items = raw.parts[0].n_items
    if raw.item_ids is None:
        return ItemRows.from_number(first_id or 0, n_items)
    ids = as_texts(raw.item_ids, n_items)
    if first_id is not None:
        raise UsageError(
            f"--first-id {first_id} is for data without ids; the items of this data have ids, such as '{ids[0]}', "
            "which match contents to items. Leave the option out."
        )
    return ItemRows.of_ids(ids)


def target(
    card: DatasetCard, kind: str, modality: str, cache: Path, output: Path | None
) -> tuple[Path, int | None, bool]:
    """Return the path of the feature file, its columns if the card fixes them, and whether the card lacks it.

    Args:
        card: of the data set.
        kind: kind of the source in use.
        modality: its name.
        cache: the cache directory.
        output: the path that the user gave, or None.

    Raises:
        UsageError: the data set would not read the file, and the user gave no other path.
    """
    from bench.data.cards import DirectorySource, Ml100kSource, NormalisedSource

    if output is not None:
        return output.with_suffix(".npy"), None, False
    source = next(each for each in card.sources if each.kind == kind)
    file = source.features.get(modality) if isinstance(source, DirectorySource | Ml100kSource) else None
    folder = cache / source.directory if isinstance(source, DirectorySource) else cache
    if isinstance(source, NormalisedSource):
        if file is None:
            return folder / f"{modality}.npy", None, True
        if file.git_blob is not None:
            raise UsageError(
                f"'{card.name}' was imported with a file for the modality '{modality}'. Give yours another name "
                "with --modality NAME --kind KIND, or import the data again without that file."
            )
    if file is None or file.git_blob is not None:
        why = "reads no file for it" if file is None else "pins the publisher's file for it"
        raise UsageError(
            f"The {kind} source of '{card.name}' {why}, so your own features of the modality '{modality}' need "
            f"another path. Give it with --output FILE, and write a data card that reads it."
        )
    return folder / file.path, file.dim, False
