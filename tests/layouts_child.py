"""Runs in a process of its own: breaks a reader's input in seeded ways, and says what came of each.

    python layouts_child.py LAYOUT,LAYOUT... FIRST COUNT DIRECTORY

One JSON line an input of a layout: "read" with every row accounted for, "refused" in one paragraph with exit code
2, or what is wrong. Memory is limited for the process, time for each input.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import examples
from layouts_mutations import MUTATIONS
from pyarrow import parquet

from bench.cli.main import main
from bench.core.errors import BenchError
from bench.data import card_files, cards
from bench.data.cards import Counts, RatingsSource
from bench.data.detect import Loaded, load_place
from bench.data.encoders import ItemRows, read_texts
from bench.data.formats import ratings
from bench.data.formats.place import SourceOptions
from bench.data.raw import check

SECONDS, BYTES = 20, 4 << 30
NAMES = (
    "d.csv",
    "A.TSV",
    "x.inter",
    "v.npy",
    "user_feat.npy",
    "train.json",
    "test_mat",
    "a.parquet",
    "n",
    "d.item",
)
Outcome = tuple[str, str]


def mapped(folder: Path) -> None:
    """MMRec with mapping files."""
    examples.mmrec(folder)
    for letter, kind, ids in (("u", "user", examples.USER_IDS), ("i", "item", examples.ITEM_IDS)):
        rows = [f"{text}\t{k}" for k, text in enumerate(ids)]
        (folder / f"{letter}_id_mapping.csv").write_text("\n".join([f"{kind}_id\t{kind}ID", *rows]) + "\n")


def untyped(folder: Path) -> None:
    """A plain table with the ending of MMRec, and a title that is not used."""
    rows = [f"{examples.USER_IDS[u]}\t{examples.ITEM_IDS[i]}\t{u % 5}\ttitle {i}" for u, i in examples.PAIRS]
    (folder / "d.inter").write_text("\n".join(["user_id\titem_id\tstars\ttitle", *rows]) + "\n")


def quoted(folder: Path) -> None:
    """A CSV with quoted titles, one of two lines, and ratings."""
    rows = [f'{examples.USER_IDS[u]},{examples.ITEM_IDS[i]},"title, {i}",{i % 5}' for u, i in examples.PAIRS]
    rows[4] = rows[4].replace("title,", "two\nlines,")
    (folder / "d.csv").write_text("\n".join(["user_id,item_id,title,rating", *rows]) + "\n")


def normalised(folder: Path) -> None:
    """The copy that an import makes."""
    given = folder.with_name(f"{folder.name}-given")
    examples.make("recbole", given)
    from bench.data.formats.normalised import write

    write(load_place(given).raw, folder)
    shutil.rmtree(given)


def rated(folder: Path) -> None:
    """GroupLens."""
    rows = [f"{u + 1}::{7 * i + 1}::{i % 5 + 1}::{978300760 + k}" for k, (u, i) in enumerate(examples.PAIRS)]
    (folder / "ratings.dat").write_text("\n".join(rows) + "\n")


def described(folder: Path) -> None:
    """Texts of items."""
    rows = [
        {"item_id": text, "title": f"title {k}", "plot": ["a", "b"]} for k, text in enumerate(examples.ITEM_IDS)
    ]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))


MAKERS: dict[str, Callable[[Path], None]] = {
    **examples.EXAMPLES, "mapped": mapped, "untyped": untyped, "quoted": quoted, "normalised": normalised,
    "ratings": rated, "texts": described,
}  # fmt: skip


def lines_of(path: Path, head: int = 1) -> int:
    """Lines with anything in them, counted otherwise than the readers do."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    return len([line for line in re.split(rb"\r\n|\n|\r", content) if line]) - head


def rows_of(found: Loaded) -> int | None:
    """Rows of the files that the interactions came from; None for pickles, which nothing else here reads."""
    place, layout = found.place.path, found.format
    if layout in ("table", "mmrec"):
        path = Path(found.raw.origin.partition("read from ")[2])
        return int(parquet.read_metadata(path).num_rows) if path.suffix.lower() == ".parquet" else lines_of(path)
    if layout == "recbole":
        return sum(lines_of(path) for path in place.iterdir() if path.suffix.lower() == ".inter")
    if layout == "lattice":
        files = [
            path
            for path in place.iterdir()
            if re.fullmatch(r"(?i)(trn|train|val|valid|dev|tst|test)[a-z]*\.json", path.name)
        ]
        return sum(len(items) for path in files for items in json.loads(path.read_text()).values())
    if layout == "normalised":
        return int(parquet.read_metadata(place / "interactions.parquet").num_rows)
    return None


def one_paragraph(text: str) -> bool:
    return text.startswith("error: ") and "Traceback" not in text and "\n\n" not in text.strip()


def by_command(folder: Path, cache: Path) -> Outcome:
    """What inspect and import say of a folder."""
    codes, told = [], ""
    for words in (
        ["inspect", str(folder)],
        ["import", str(folder), "--name", "tiny", "--force", "--cache-dir", str(cache)],
    ):
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            codes.append(main(words))
        told = error.getvalue() or told
        if codes[-1] not in (0, 2) or (error.getvalue() and not one_paragraph(error.getvalue())):
            return "wrong", f"{words[0]}: exit code {codes[-1]}: {error.getvalue()[-300:]}"
    if codes[0] != codes[1]:
        return "wrong", f"inspect {codes[0]}, import {codes[1]}: {told}"
    if codes[1]:
        return "refused", told
    found = load_place(folder)
    check(found.raw)
    raw, expected = found.raw, rows_of(found)
    got = sum(map(len, raw.parts)) + raw.n_repeated + raw.n_dropped + raw.n_joined
    return ("read", "") if expected in (None, got) else ("wrong", f"{expected} rows, {got} accounted for")


def by_function(name: str, folder: Path) -> Outcome:
    """What the readers say that no inspection reaches."""
    try:
        if name == "ratings":
            source = cards.load("ml-1m").sources[0]
            assert isinstance(source, RatingsSource)
            source = source.model_copy(update={"expected": Counts(), "file": cards.DataFile(path="ratings.dat")})
            raw = ratings.read_source(source, folder, SourceOptions())
            expected, got = lines_of(folder / "ratings.dat", 0), len(raw.parts[0]) + raw.n_repeated
        else:
            path = folder / "items.jsonl"
            found, n_others = read_texts(path, ["title", "plot"], ItemRows.of_ids(examples.ITEM_IDS))
            empty = sum(not one.get("title") and not one.get("plot") for one in map(json.loads, path.open()))
            expected, got = lines_of(path, 0), len(found) + n_others + empty
    except BenchError as problem:
        single = "\n\n" not in str(problem) and problem.exit_code == 2
        return ("refused" if single else "wrong"), str(problem)
    return ("read", "") if expected == got else ("wrong", f"{expected} rows, {got} accounted for")


def broken(name: str, seed: int, root: Path) -> tuple[Outcome, list[str]]:
    """The outcome of one input."""
    rng, folder = Random(f"{name} {seed}"), root / "given"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    MAKERS[name](folder)
    files = sorted(folder.iterdir())
    path, kinds = rng.choice(files), [rng.choice(sorted(MUTATIONS)) for _ in range(rng.choice((1, 1, 2)))]
    for kind in kinds:
        path.write_bytes(MUTATIONS[kind](path.read_bytes(), rng))
    if name not in ("ratings", "texts") and rng.random() < 0.15:
        kinds.append("rename")
        path.rename(folder / rng.choice((path.name.upper(), *NAMES)))
    said = [path.name, *kinds]
    try:
        signal.alarm(SECONDS)
        return (
            by_function(name, folder) if name in ("ratings", "texts") else by_command(folder, root / "cache")
        ), said
    except BaseException:
        return ("wrong", traceback.format_exc()[-600:]), said
    finally:
        signal.alarm(0)


def out_of_time(number: int, frame: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


if __name__ == "__main__":
    layouts, first, count, root = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGALRM, out_of_time)
    own = root / "cards"
    own.mkdir(parents=True)
    shutil.copy(cards.DATASETS / "ml-1m.yaml", own)
    card_files.DATASETS = own
    cards.names.__defaults__ = cards.load.__defaults__ = (own,)
    for layout in layouts:
        (own / "tiny.yaml").unlink(missing_ok=True)  # of the layout before
        for seed in range(first, first + count):
            (outcome, why), said = broken(layout, seed, root)
            found = {"layout": layout, "seed": seed, "outcome": outcome, "why": why, "of": said}
            print(json.dumps(found), flush=True)
