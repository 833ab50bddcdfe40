"""Feature files and tables that claim gigabytes, hang, or say one thing twice; names that lead elsewhere."""

from __future__ import annotations

import os
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from bench.cli.main import main
from bench.core.errors import BenchError, DataError, UsageError
from bench.core.names import is_name, readable
from bench.core.types import DataRequest
from bench.core.yaml_files import dump_yaml, parse_yaml
from bench.data import cards, exporting
from bench.data.detect import load_place
from bench.data.features import read_matrices
from bench.data.formats.place import modality_name
from bench.data.importing import import_data
from bench.data.load import load_with_raw
from bench.data.parquet_pages import _directory, _spans, check_pages
from bench.data.tables import read_header, read_parquet
from hostile.limits import limited

TERA = 1 << 40


def zigzag(value: int, width: int) -> bytes:
    """A number as Thrift writes it, filled up to a width."""
    value <<= 1
    return bytes([(value >> 7 * n) & 127 | (128 if n < width - 1 else 0) for n in range(width)])


def list_bomb(path: Path, count: int) -> Path:
    """One item with a list of zeros, in less than a kilobyte."""
    table = pa.table(
        {"item_id": ["a"], "feature": pa.array([np.zeros(count, np.float32)], pa.list_(pa.float32()))}
    )
    parquet.write_table(table, path, compression="zstd", data_page_size=1 << 30)
    return path


def text_bomb(path: Path, length: int, rows: int) -> Path:
    """One long id in many rows."""
    table = pa.table({"item_id": pa.array(["x" * length] * rows), "feature": np.zeros(rows)})
    parquet.write_table(table, path, compression="zstd")
    return path


def test_a_list_of_millions_in_a_kilobyte(tmp_path: Path) -> None:
    path = list_bomb(tmp_path / "visual.parquet", 20_000_000)
    assert path.stat().st_size < 2_000
    with pytest.raises(DataError, match=r"visual\.parquet.*claims 20,000,00\d values.*not plausible"):
        read_matrices(path)


def test_counts_of_the_directory_are_not_believed(tmp_path: Path) -> None:
    """The same with a directory that says ten: pyarrow reads on."""
    path = list_bomb(tmp_path / "visual.parquet", 20_000_000)
    content, width = path.read_bytes(), len(zigzag(20_000_000, 4))
    places = [n for n in range(len(content)) if content.startswith(zigzag(20_000_000, width), n)]
    lies = 0
    for place in places:
        path.write_bytes(content[:place] + zigzag(10, width) + content[place + width :])
        try:
            is_lie = parquet.ParquetFile(path).metadata.row_group(0).column(1).num_values == 10
        except OSError:
            continue
        if not is_lie:
            continue
        lies += 1
        with pytest.raises(DataError, match=r"not plausible|damaged|holds"):
            read_matrices(path)
    assert lies == 1


def test_a_refused_table_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"a": [1, 2]}), path)
    with pytest.raises(DataError, match="expected one 'b'") as caught:
        read_parquet(path, ["b"])
    assert caught.tb is not None  # whose frames keep what was opened
    assert path not in [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def test_a_long_id_in_many_rows(tmp_path: Path) -> None:
    path = text_bomb(tmp_path / "visual.parquet", 100_000, 20_000)
    with pytest.raises(DataError, match=r"its texts take 2,000,000,000 bytes"):
        read_parquet(path, ["item_id"])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_the_pages_of_sound_files_are_counted(version: Any, dictionary: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lists = pa.array(list(rng.standard_normal((5_000, 8)).astype(np.float32)), pa.list_(pa.float32()))
    ids = pa.array([f"item {n % 700}" if n % 9 else None for n in range(5_000)])
    table = pa.table({"a.b": lists, "id": ids, "n": np.arange(5_000), "large": ids.cast(pa.large_string())})
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path, data_page_version=version, use_dictionary=dictionary, data_page_size=2_000,
                        row_group_size=1_500, write_page_checksum=True)  # fmt: skip
    metadata = parquet.ParquetFile(path).metadata
    check_pages(path, metadata, table.column_names)
    directory = _directory(path.read_bytes())  # type: ignore[arg-type]
    for column in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(column) for group in range(metadata.num_row_groups)]
        starts = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
        ends = [start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True)]
        assert [*_spans(directory, column)] == [*zip(starts, ends, strict=True)]
    assert read_parquet(path, table.column_names).equals(table)


DAMAGED = """
import sys
from pathlib import Path
from bench.core.errors import DataError
from bench.data.tables import read_parquet
for path in sys.argv[1:]:
    try:
        read_parquet(Path(path), ["item", "feature"])
    except DataError as problem:
        print(problem)
    else:
        print("read")
"""


def test_statistics_that_do_not_fit_their_column_end_no_process(tmp_path: Path) -> None:
    """A byte says that a column has no gaps, its statistics that it has: pyarrow 21 ends the process there."""
    path = tmp_path / "a.parquet"
    lists = pa.array([[1.0, 2.0]] * 30, pa.list_(pa.float32()))
    parquet.write_table(pa.table({"item": pa.array(range(30), pa.int64()), "feature": lists}), path)
    content = path.read_bytes()
    optional, required = b"\x25\x02\x18\x04item", b"\x25\x00\x18\x04item"
    assert content.count(optional) == 1
    path.write_bytes(content.replace(optional, required))
    done = limited(DAMAGED, str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path} is damaged" in done.stdout or done.stdout == "read\n"  # older releases check nothing


def one_change(content: bytes, rng: np.random.Generator) -> bytes:
    """One byte of the directory changed."""
    length = int.from_bytes(content[-8:-4], "little")
    place = len(content) - 8 - int(rng.integers(1, length + 1))
    return content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :]


def test_damaged_directories_end_no_process(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.parquet", np.random.default_rng(3)
    lists = pa.array([[1.0, 2.0]] * 30, pa.list_(pa.float32()))
    parquet.write_table(pa.table({"item": pa.array(range(30), pa.int64()), "feature": lists}), path)
    content, damaged = path.read_bytes(), []
    for number in range(300):
        damaged.append(tmp_path / f"{number}.parquet")
        damaged[-1].write_bytes(one_change(content, rng))
    done = limited(DAMAGED, *map(str, damaged))
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert len(said) == len(damaged)
    assert 0 < said.count("read") < len(damaged)


def number(value: int) -> bytes:
    """A number of 64 bits, as Thrift writes it."""
    return zigzag(value, 10)


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        (b"\x15" + number(1) + b"\x05" + b"\x02" + number(1), "twice"),
        (b"\x05" + number((1 << 16) + 3) + number(1), "beyond 16 bits"),
        (b"\x15" + number(1 << 32), "beyond 32 bits"),
        (b"\x16" + number(1), "lacks the field 3"),
        (b"\x19\xf8" + b"\xff" * 9 + b"\x01", "beyond 64 bits|ends after"),
        (b"\x1c" * 40, "too deeply"),
        (b"\x1d", "unknown type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_page_header_that_pyarrow_would_read_in_another_way(pages: bytes, words: str, tmp_path: Path) -> None:
    """Such as a size that it cuts to 32 bits: we would look for the next page where it does not."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"item": np.arange(3_000) % 7}), path, use_dictionary=False)
    metadata, content = parquet.ParquetFile(path).metadata, path.read_bytes()
    start = metadata.row_group(0).column(0).data_page_offset
    path.write_bytes(content[:start] + pages + b"\0" + content[start + len(pages) + 1 :])
    with pytest.raises(ValueError, match=words):
        check_pages(path, metadata, ["item"])


def holes(path: Path) -> None:
    """A file of a terabyte that takes no space, with a beginning that fits its name."""
    with path.open("wb") as file:
        if path.suffix == ".npy":
            text = (
                f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({(TERA - 128) // 16}, 4), }}".ljust(117)
                + "\n"
            )
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        file.truncate(TERA)


FEATURES = ["npy", "npz", "safetensors", "parquet", "json"]


@pytest.mark.parametrize("ending", FEATURES)
@pytest.mark.parametrize("make", [holes, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
@pytest.mark.timeout(30)
def test_features_that_are_no_file(make: Callable[[Path], None], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"visual.{ending}"
    make(path)
    with pytest.raises(DataError, match=rf"visual\.{ending} (is a |claims 1,099).*Put the right file there"):
        read_matrices(path)


@pytest.mark.parametrize("layout", examples.EXAMPLES)
@pytest.mark.timeout(60)
def test_every_file_of_every_layout_as_holes(layout: str, tmp_path: Path) -> None:
    """No reader starts on a terabyte, nor does the hash of a file."""
    names = sorted(path.name for path in examples.make(layout, tmp_path / "sound").iterdir())
    for name in names:
        folder = examples.make(layout, tmp_path / name.replace(".", "-"))
        (folder / name).unlink()
        holes(folder / name)
        start = time.process_time()
        try:
            problems = load_place(folder).problems
        except BenchError as problem:
            problems = (str(problem),)
        assert any("holes" in problem for problem in problems), (name, problems)
        assert time.process_time() - start < 5


def test_a_large_file_that_is_stored_is_none_of_holes(tmp_path: Path) -> None:
    path = tmp_path / "visual.npy"
    np.save(path, np.zeros((5_000_000, 4), dtype=np.float32))
    assert read_matrices(path)[0].rows.shape == (5_000_000, 4)


def test_an_array_twice_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "visual.npz"
    np.savez(path, item_id=np.arange(3), features=np.ones((3, 2)))
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("features.npy", archive.read("features.npy"))
    with pytest.raises(DataError, match=r"holds 'features\.npy' twice"):
        read_matrices(path)


def test_ids_without_content(tmp_path: Path) -> None:
    text = f"{{'descr': '|S0', 'fortran_order': False, 'shape': ({1 << 40},), }}".ljust(117) + "\n"
    path = tmp_path / "visual.npz"
    np.savez(path, features=np.ones((3, 2)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("item_id.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
    with pytest.raises(DataError, match="without any content"):
        read_matrices(path)


@pytest.mark.timeout(20)
def test_a_header_of_many_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(f"c{n}" for n in range(500_000)) + "\n")
    with pytest.raises(DataError, match="names 500,000 columns"):
        read_header(tmp_path / "a.csv", ",")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["description", "texts", "images"])
def test_pipes_beside_the_data(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe that is opened waits for ever; the limit of time says so."""
    folder = examples.make("mmrec", tmp_path / "given")
    commands = {
        "description": ["inspect", str(folder)],
        "texts": [
            "extract",
            "movielens",
            "--modality",
            "textual",
            "--input",
            str(folder / "pipe"),
            "--output",
            "x.npy",
        ],
        "images": ["extract", "movielens", "--modality", "visual", "--input", str(folder), "--output", "x.npy"],
    }
    os.mkfifo(folder / {"description": "image_feat.npy.origin", "texts": "pipe", "images": "1.png"}[place])
    monkeypatch.chdir(tmp_path)
    assert main(commands[place]) == 2
    assert "a named pipe" in "".join(capsys.readouterr())


@pytest.mark.parametrize("layout", ["mmrec", "recbole"])
def test_a_name_on_a_card_does_not_leave_the_export(layout: str, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    given = examples.make("mmrec", tmp_path / "given")
    made = import_data(given, "mine", tmp_path / "cards", tmp_path / "cache")
    data, raw = load_with_raw(cards.load("mine", tmp_path / "cards"), DataRequest(cache_dir=tmp_path / "cache"))
    values = parse_yaml(made.card.read_text(encoding="utf-8"))
    features = values["sources"][0]["features"]
    features["../../../ESCAPED"] = features.pop("visual")
    made.card.write_text(dump_yaml(values), encoding="utf-8")
    with pytest.raises(BenchError, match="becomes the name of a file"):
        cards.load("mine", tmp_path / "cards")
    (evil, *others) = data.modalities
    object.__setattr__(evil, "name", "../../../ESCAPED")
    with pytest.raises(UsageError, match="cannot be that of a file"):
        exporting.export(data, raw, layout, tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("*ESCAPED*"))
    assert not (tmp_path / "a").exists() or not list((tmp_path / "a").rglob("*.npy"))
    assert others


@pytest.mark.parametrize(
    "given", ["x" * 300 + "_feat", "../../x", "", "...", "-_-", "Ünï", "a/b", "1e5", "null", "-"]
)
def test_every_modality_gets_a_name_that_can_be_a_file(given: str) -> None:
    assert is_name(modality_name(given))


@pytest.mark.parametrize("name", ["1e5", "007", "2020-01-01", "1.5", "0x1f", "1_000"])
@pytest.mark.parametrize("as_modality", [True, False])
def test_names_that_look_like_numbers_travel(name: str, as_modality: bool, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    folder = examples.make("csv", tmp_path / "given")
    if as_modality:
        (folder / "image_feat.npz").rename(folder / f"{name}.npz")
    chosen = "mine" if as_modality else name
    import_data(folder, chosen, tmp_path / "cards", tmp_path / "cache")
    card = cards.load(chosen, tmp_path / "cards")
    assert card.name == chosen
    data, _ = load_with_raw(card, DataRequest(cache_dir=tmp_path / "cache"))
    assert len(data.modalities) == 2
    import_data(folder, chosen, tmp_path / "cards", tmp_path / "cache", force=True)


@pytest.mark.parametrize("name", ["true", "null", "no", "y"])
def test_names_that_look_like_truths_travel(name: str, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    import_data(examples.make("csv", tmp_path / "given"), name, tmp_path / "cards", tmp_path / "cache")
    assert cards.load(name, tmp_path / "cards").name == name


def test_bytes_of_odd_paths_are_written_as_escapes() -> None:
    assert readable("ü " + os.fsdecode(b"\xff")) == "ü \\udcff"
