"""Files beside the interactions: features are read, or it is said why not and how they would be."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bench.core.errors import DataError, UsageError
from bench.data import cards
from bench.data.cards import FeatureFile
from bench.data.detect import load_place
from bench.data.features import read_features
from bench.data.inspecting import Inspection, inspect

ITEMS = 12
ROWS = np.random.default_rng(3).standard_normal((ITEMS, 4)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Interactions of MMRec, whose feature files go by position."""
    made = tmp_path / "my data"
    made.mkdir()
    lines = [f"{user}\t{item}" for user in range(8) for item in range(ITEMS) if (user + item) % 3]
    (made / "d.inter").write_text("\n".join(["userID\titemID", *lines]) + "\n")
    return made


def told(folder: Path) -> Inspection:
    return inspect(folder, cards.DATASETS)


@pytest.mark.parametrize("ending", [".NPY", ".Npy", ".NPZ", ".SAFETENSORS", ".PARQUET", ".JSON", ".Json"])
def test_capitals_in_endings(ending: str, folder: Path) -> None:
    path, small = folder / f"image_feat{ending}", ending.lower()
    if small == ".npy":
        with path.open("wb") as stream:
            np.save(stream, ROWS)
    elif small == ".npz":
        with path.open("wb") as stream:
            np.savez(stream, ROWS)
    elif small == ".safetensors":
        save_file({"features": ROWS}, path)
    elif small == ".json":
        path.write_text(json.dumps({str(k): row.tolist() for k, row in enumerate(ROWS)}))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table({"item_id": list(map(str, range(ITEMS))), "feature": list(ROWS)}), path)
    (one,) = load_place(folder).raw.modalities
    assert (one.name, one.matrix.tolist()) == ("visual", ROWS.tolist())


def test_capitals_in_the_endings_of_tables(folder: Path, tmp_path: Path) -> None:
    (folder / "d.inter").rename(folder / "D.INTER")
    assert load_place(folder).format == "mmrec"
    for name, text in (("A.CSV", "user,item\na,b\n"), ("B.TSV", "user\titem\na\tb\n")):
        (tmp_path / name).write_text(text)
        assert load_place(tmp_path / name).raw.parts[0].n_users == 1


def test_links_to_nowhere_pipes_and_folders_are_problems(folder: Path) -> None:
    (folder / "image_feat.npy").symlink_to("/nonexistent/x.npy")
    os.mkfifo(folder / "text_feat.npy")
    (folder / "audio_feat.npy").mkdir()
    (folder / "other.txt").symlink_to("gone")
    found = told(folder)
    assert len(found.problems) == 3
    for name, words in (
        ("image_feat.npy", "is a link to /nonexistent/x.npy, which does not exist. Fetch what it points to"),
        ("text_feat.npy", "is a pipe, socket or device, not a file"),
        ("audio_feat.npy", "is a folder, not a file"),
    ):
        assert any(f"{name} {words}" in problem for problem in found.problems), found.problems
    assert "other.txt (a link to gone" in found.text


def test_an_interaction_table_that_is_a_link_to_nowhere(folder: Path) -> None:
    (folder / "d.inter").unlink()
    (folder / "d.inter").symlink_to("gone.inter")
    with pytest.raises(DataError, match=r"d\.inter is a link to gone\.inter, which does not exist"):
        load_place(folder)
    with pytest.raises(UsageError, match="which does not exist"):
        load_place(folder / "d.inter")


def test_an_optional_file_of_a_card_that_is_a_link_to_nowhere(folder: Path) -> None:
    (folder / "image_feat.npy").symlink_to("gone.npy")
    with pytest.raises(DataError, match=r"image_feat\.npy is a link to gone\.npy, which does not exist"):
        read_features(folder, {"visual": FeatureFile(path="image_feat.npy", optional=True)}, ITEMS)


@pytest.mark.parametrize(
    "name", ["user_feat.npy", "user_emb.npy", "userFeatures.npy", "users_embedding.npz", "text_user.npy"]
)
def test_features_of_users_are_left_aside_by_name(name: str, folder: Path) -> None:
    """Also where there are as many users as items."""
    rows = np.ones((ITEMS, 3), dtype=np.float32)
    (np.savez if name.endswith("npz") else np.save)(folder / name, rows)  # type: ignore[operator]
    np.save(folder / "item_feat.npy", ROWS)
    found = load_place(folder)
    assert (found.problems, [one.name for one in found.raw.modalities]) == ((), ["item"])
    assert found.unread == (
        f"{name} (its name suggests users, but only features of items are read; rename it if it is about items)",
    )


@pytest.mark.parametrize("rows", [examples.USERS, 2 * examples.ITEMS])
def test_rows_of_users_are_no_items_of_lattice(rows: int, tmp_path: Path) -> None:
    """The items run to the last row of their own files, else to the last one listed; users add none, hide none."""
    folder = examples.make("lattice", tmp_path / "l")
    for name in ("image_feat.npy", "text_feat.npy"):
        (folder / name).unlink()
    np.save(folder / "user_feat.npy", np.ones((rows, 3), np.float32))
    assert load_place(folder).raw.parts[0].n_items == examples.ITEMS
    np.save(folder / "image_feat.npy", np.ones((examples.ITEMS + 2, 3), np.float32))
    assert load_place(folder).raw.parts[0].n_items == examples.ITEMS + 2


def test_features_of_users_inside_a_file(folder: Path) -> None:
    np.savez(folder / "embeddings.npz", user_emb=np.ones((8, 3), np.float32), item_emb=ROWS)
    found = load_place(folder)
    assert [one.name for one in found.raw.modalities] == ["item"]
    assert found.unread[0].startswith("'user_emb' in embeddings.npz (its name suggests users")


def tensor(path: Path) -> None:
    torch.save(torch.from_numpy(ROWS), path)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(ROWS))


def keyed(path: Path, **options: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {"item_id": map(str, range(ITEMS)), **{f"c{k}": ROWS[:, k].astype(float) for k in range(4)}}
    )
    frame.to_csv(path, index=False, **options)


def json_lines(path: Path) -> None:
    rows = [{"item_id": str(k), "visual": row.astype(float).tolist()} for k, row in enumerate(ROWS)]
    path.write_text("\n".join(map(json.dumps, rows)))


def packed(path: Path) -> None:
    with gzip.open(path, "wb") as stream:
        np.save(stream, ROWS)


UNREAD = {
    "image_feat.pt": tensor,
    "v_feat.PTH": tensor,
    "image_feat.pkl": pickled,
    "image_emb.pickle": pickled,
    "visual.csv": keyed,
    "image_feat.tsv": lambda path: keyed(path, sep="\t"),
    "visual.jsonl": json_lines,
    "image_feat.npy.gz": packed,
}


@pytest.mark.parametrize("name", UNREAD)
def test_the_command_that_converts_does(name: str, folder: Path) -> None:
    """A file in another form is a problem; the command in it, typed as it stands, mends it."""
    UNREAD[name](folder / name)
    (problem,) = told(folder).problems
    assert str(folder / name) in problem
    command = problem[re.search(r"\b(python -c|gunzip)", problem).start() :]  # type: ignore[union-attr]
    shims = folder.parent / "bin"
    shims.mkdir()
    (shims / "python").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run(command, shell=True, check=True, env=environment, cwd=folder.parent, timeout=120)
    found = load_place(folder)
    assert found.problems == ()
    (one,) = found.raw.modalities
    assert one.name == "visual"
    np.testing.assert_allclose(one.matrix, ROWS, atol=1e-6)
    assert any(name in unread for unread in found.unread)


def test_a_table_of_another_kind_is_no_problem(folder: Path) -> None:
    for name in ("t.csv", "log.csv", "mm_adj.pt", "model.pkl", "d.h5"):
        (folder / name).write_text("x")
    found = load_place(folder)
    assert (found.problems, found.unread) == ((), ("d.h5", "log.csv", "mm_adj.pt", "model.pkl", "t.csv"))
    (folder / "image_feat.h5").write_text("x")
    assert "Write the matrix as .npy" in told(folder).problems[0]


def test_features_in_folders_are_named_with_what_moves_them(folder: Path) -> None:
    (folder / "features" / "deep").mkdir(parents=True)
    np.save(folder / "features" / "image_feat.npy", ROWS)
    np.save(folder / "features" / "deep" / "text_feat.npy", ROWS)
    (folder / "features" / "readme.txt").touch()
    found = load_place(folder)
    assert (found.problems, found.raw.modalities, len(found.unread)) == ((), (), 2)
    for unread in found.unread:
        command = unread[unread.index("mv ") : -1]
        subprocess.run(command, shell=True, check=True, cwd=folder.parent)
    assert [one.name for one in load_place(folder).raw.modalities] == ["visual", "textual"]


def test_features_one_folder_above_are_named_with_what_links_them(tmp_path: Path) -> None:
    """LATTICE's own layout: the lists in DATA/5-core, the features in DATA."""
    core = examples.make("lattice", tmp_path / "my data" / "5-core")
    for name in ("image_feat.npy", "text_feat.npy"):
        (core / name).rename(core.parent / name)
    np.save(core.parent / "user_feat.npy", ROWS)
    (core.parent / "meta.json").write_text("{}")
    with pytest.raises(DataError, match="If one of 5-core below it holds the data, give its path"):
        load_place(core.parent)
    found = load_place(core)
    assert (found.problems, found.raw.modalities, len(found.unread)) == ((), (), 2)
    assert found.unread[0].startswith("../image_feat.npy (one folder above")
    assert "ln -s ../image_feat.npy" in told(core).text
    for unread in found.unread:
        subprocess.run(unread[unread.index("ln -s") : -1], shell=True, check=True, cwd=tmp_path)
    found = load_place(core)
    assert ([one.name for one in found.raw.modalities], found.unread) == (["visual", "textual"], ())


def test_a_folder_above_is_not_named_beside_features_of_its_own(folder: Path) -> None:
    np.save(folder.parent / "image_feat.npy", ROWS)
    assert load_place(folder).unread
    np.save(folder / "text_feat.npy", ROWS)
    assert load_place(folder).unread == ()
