"""One tiny data set in every format that users have, with features that are aligned by id and not by position."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from safetensors.numpy import save_file
from scipy.sparse import coo_matrix

USERS, ITEMS = 6, 9
VISUAL = np.arange(1, 4 * ITEMS + 1).reshape(ITEMS, 4).astype(np.float16) / 8
VISUAL[3] = 0  # item 3 has no image
TEXTUAL = np.random.default_rng(5).standard_normal((ITEMS, 3)).astype(np.float32)
PAIRS = [(user, item) for user in range(USERS) for item in range(ITEMS) if (2 * user + item) % 3 or item == 8]
PART = [2 if item == 8 else 1 if item == 7 else 0 for _, item in PAIRS]
TIMES = [1_700_000_000.5 + 86_400 * k for k in range(len(PAIRS))]
USER_IDS = [f"user-{'fdbace'[user]}" for user in range(USERS)]  # out of order on purpose
ITEM_IDS = [f"B{(7 * item) % ITEMS:02d}" for item in range(ITEMS)]
SHUFFLED = [4, 0, 8, 2, 6, 1, 7, 3, 5]


def pickled(folder: Path) -> None:
    """MMSSL and DiffMM, under the names of MMSSL."""
    for part, name in enumerate(("train_mat", "val_mat", "test_mat")):
        users, items = np.array([pair for pair, k in zip(PAIRS, PART, strict=True) if k == part]).T
        matrix = coo_matrix((np.ones(len(users)), (users, items)), shape=(USERS, ITEMS))
        (folder / name).write_bytes(pickle.dumps(matrix, 3))
    np.save(folder / "image_feat.npy", VISUAL)
    np.save(folder / "text_feat.npy", TEXTUAL)


def mmrec(folder: Path) -> None:
    """MMRec, with textual features keyed by itemID."""
    rows = [f"{u}\t{i}\t5.0\t{t}\t{k}" for (u, i), t, k in zip(PAIRS, TIMES, PART, strict=True)]
    (folder / "tiny.inter").write_text("\n".join(["userID\titemID\trating\ttimestamp\tx_label", *rows]) + "\n")
    np.save(folder / "image_feat.npy", VISUAL)
    rows_by_id = {str(item): TEXTUAL[item].tolist() for item in SHUFFLED}
    (folder / "text_feat.json").write_text(json.dumps(rows_by_id))


def lattice(folder: Path) -> None:
    """LATTICE."""
    for part, name in enumerate(("train", "val", "test")):
        listed = {
            str(user): [i for (u, i), k in zip(PAIRS, PART, strict=True) if (u, k) == (user, part)]
            for user in range(USERS)
        }
        (folder / f"{name}.json").write_text(json.dumps(listed))
    np.save(folder / "image_feat.npy", VISUAL)
    np.save(folder / "text_feat.npy", TEXTUAL)


def recbole(folder: Path) -> None:
    """RecBole's atomic files in three parts, visual as float_seq, textual as .npy in the rows of the .item."""
    for part, name in enumerate(("train", "valid", "test")):
        rows = [
            f"{USER_IDS[u]}\t{ITEM_IDS[i]}\t4\t{t}"
            for (u, i), t, k in zip(PAIRS, TIMES, PART, strict=True)
            if k == part
        ]
        head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
        (folder / f"tiny.{name}.inter").write_text("\n".join([head, *rows]) + "\n")
    rows = [
        f"{ITEM_IDS[i]}\ttitle {i}\t{' '.join(map(str, VISUAL[i].tolist())) if i != 3 else ''}" for i in SHUFFLED
    ]
    head = "item_id:token\ttitle:token_seq\tvisual:float_seq"
    (folder / "tiny.item").write_text("\n".join([head, *rows]) + "\n")
    np.save(folder / "text_feat.npy", TEXTUAL[SHUFFLED])


def csv(folder: Path) -> None:
    """A CSV with text ids, features as .npz and .safetensors keyed by id."""
    rows = [f"{USER_IDS[u]},{ITEM_IDS[i]},{t}" for (u, i), t in zip(PAIRS, TIMES, strict=True)]
    (folder / "ratings.csv").write_text("\n".join(["userId,itemId,timestamp", *rows]) + "\n")
    keys = np.array([ITEM_IDS[i] for i in SHUFFLED])
    np.savez(folder / "image_feat.npz", item_id=keys, features=VISUAL[SHUFFLED])
    by_row = dict(zip(ITEM_IDS, TEXTUAL, strict=True))
    np.savez_compressed(folder / "text_feat.npz", ids=keys, text=np.array([by_row[key] for key in keys]))


def tsv(folder: Path) -> None:
    """A TSV with whole numbers from 10 as ids; .safetensors keyed by them, and an .npy whose row is the id."""
    rows = [f"{u + 10}\t{i}" for u, i in PAIRS]
    (folder / "clicks.tsv").write_text("\n".join(["uid\tvideo_id", *rows]) + "\n")
    np.save(folder / "image_feat.npy", VISUAL)
    tensors = {"item_id": np.array(SHUFFLED), "embeddings": TEXTUAL[SHUFFLED]}
    save_file(tensors, folder / "text.safetensors")


def parquet_table(folder: Path) -> None:
    """Parquet with a time, features as Parquet of lists keyed by id; the item without an image is not listed."""
    users, items = zip(*PAIRS, strict=True)
    when = pa.array([int(1e6 * time) for time in TIMES], pa.timestamp("us"))
    table = pa.table({"user": [USER_IDS[u] for u in users], "item": [ITEM_IDS[i] for i in items], "time": when})
    parquet.write_table(table, folder / "log.parquet")
    rows = [i for i in SHUFFLED if i != 3]
    visual = pa.array([VISUAL[i].astype(np.float32).tolist() for i in rows], pa.list_(pa.float32()))
    parquet.write_table(
        pa.table({"item_id": [ITEM_IDS[i] for i in rows], "feature": visual}), folder / "image.parquet"
    )
    columns = {f"t{k}": TEXTUAL[SHUFFLED, k] for k in range(3)}
    keyed = pa.table({"item_id": [ITEM_IDS[i] for i in SHUFFLED], **columns})
    parquet.write_table(keyed, folder / "text_emb.parquet")


EXAMPLES: dict[str, Callable[[Path], None]] = {
    "pickled-coo": pickled,
    "mmrec": mmrec,
    "lattice": lattice,
    "recbole": recbole,
    "csv": csv,
    "tsv": tsv,
    "parquet": parquet_table,
}
FORMAT_OF = {
    name: name if name in ("pickled-coo", "mmrec", "lattice", "recbole") else "table" for name in EXAMPLES
}


def make(name: str, folder: Path) -> Path:
    """The example of that name in a new folder."""
    folder.mkdir(parents=True)
    EXAMPLES[name](folder)
    return folder
