"""Feature extraction: by an encoder made up here, by stand-ins for the libraries, and without them."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from bench.cli.commands import extract as command
from bench.cli.main import main
from bench.core.errors import BenchError, DataError, UsageError
from bench.core.types import DataRequest
from bench.data import encoders
from bench.data.card_files import also_in
from bench.data.cards import FeatureFile
from bench.data.encoders import ItemRows, encode_items, find_files, read_texts, write
from bench.data.extraction import Extractor, description_path, read_extraction
from bench.data.features import read_modality
from bench.data.importing import import_data
from bench.data.load import load_dataset


class Lengths:
    """An encoder: the length of a text, its first letter, and one."""

    facts = Extractor(library="made-up", version="1.2", model="lengths", weights="0123456789abcdef")

    def encode(self, contents: Sequence[Any]) -> Any:
        return np.array([[len(str(one)), ord(str(one)[0]), 1.0] for one in contents])


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    def make(*records: Any) -> Path:
        path = tmp_path / "items.jsonl"
        path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in records))
        return path

    return make


def test_texts_are_joined_and_items_without_any_are_left_out(lines: Callable[..., Path]) -> None:
    path = lines(
        {"item_id": 3, "title": "Heat.", "plot": "A heist. "},
        {"item_id": "1", "title": "Up", "plot": None, "genre": ["Drama", "Family"]},
        {"item_id": 2, "title": " ", "plot": ""},
    )
    found = read_texts(path, ["title", "genre", "plot"], ItemRows.from_number(1, 4))
    assert found == ({0: "Up. Drama. Family", 2: "Heat. A heist"}, 0)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("{", ["line 2", "not JSON"]),
        ([1], ["line 2", "not a JSON object"]),
        ({"item_id": 5, "title": "x"}, ["line 2", "'item_id' is 5", "from 1 to 4", "--first-id"]),
        ({"title": "x"}, ["line 2", "None"]),
        ({"item_id": 2.9, "title": "x"}, ["line 2", "'item_id' is 2.9", "from 1 to 4"]),
        ({"item_id": True, "title": "x"}, ["line 2", "'item_id' is True"]),
        ({"item_id": 1, "title": "x"}, ["line 2", "occurs twice"]),
        ({"item_id": 2, "title": {"a": 1}}, ["line 2: title", "neither a text"]),
        ({"item_id": 2, "titel": "x"}, ["'plot'", "The fields are: item_id, titel, title"]),
    ],
)
def test_texts_that_are_refused(record: Any, words: list[str], lines: Callable[..., Path]) -> None:
    path = lines({"item_id": 1, "title": "Up"}, record)
    with pytest.raises(BenchError) as caught:
        read_texts(path, ["title", "plot"], ItemRows.from_number(1, 4))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_original_ids_find_their_rows(tmp_path: Path, lines: Callable[..., Path]) -> None:
    """Ids are compared as texts, so that a data set of even numbers, or of words, gets its own texts."""
    path = lines(*({"item_id": k, "title": f"text of {k}"} for k in (4, 0, "2", 7)))
    even = ItemRows.of_ids(["0", "2", "4"])
    assert read_texts(path, ["title"], even) == ({0: "text of 0", 1: "text of 2", 2: "text of 4"}, 1)
    words = ItemRows.of_ids(["B01", "B02", "B10"])
    (tmp_path / "B10.png").touch()
    (tmp_path / "B99.png").touch()
    assert find_files(tmp_path, "image", words) == ({2: tmp_path / "B10.png"}, 1)
    with pytest.raises(DataError, match=r"such as '4', none of which is in the data set.*such as 'B01'"):
        read_texts(path, ["title"], words)
    path.write_text('{"item_id": 2.9, "title": "x"}')
    with pytest.raises(DataError, match=r"line 1: 'item_id' is 2\.9, expected a whole number or a text"):
        read_texts(path, ["title"], even)


def test_files_are_found_by_the_items_numbers(tmp_path: Path) -> None:
    three = ItemRows.from_number(0, 3)
    for name in ("2.jpg", "0.PNG", "readme.txt"):
        (tmp_path / name).touch()
    assert find_files(tmp_path, "image", three) == ({0: tmp_path / "0.PNG", 2: tmp_path / "2.jpg"}, 0)
    with pytest.raises(DataError, match="holds no audio files"):
        find_files(tmp_path, "audio", three)
    (tmp_path / "2.png").touch()
    with pytest.raises(DataError, match="belong to the same item"):
        find_files(tmp_path, "image", three)
    (tmp_path / "2.png").rename(tmp_path / "poster.png")
    with pytest.raises(DataError, match=r"poster\.png: 'item_id' is 'poster'"):
        find_files(tmp_path, "image", three)


def test_rows_go_to_their_items_whatever_the_batches() -> None:
    told: list[int] = []
    matrix = encode_items({0: "aa", 2: "b", 3: "cccc"}, 5, Lengths(), 2, told.append)
    assert matrix.tolist() == [[2, 97, 1], [0, 0, 0], [1, 98, 1], [4, 99, 1], [0, 0, 0]]
    assert told == [2, 3]
    for wrong in (np.zeros(3), np.zeros((1, 2)), np.full((3, 2), np.nan)):
        bad = SimpleNamespace(facts=Lengths.facts, encode=lambda _, wrong=wrong: wrong)
        with pytest.raises(DataError, match="expected one finite row each"):
            encode_items({0: "a", 1: "b", 2: "c"}, 3, bad, 8, told.append)
    with pytest.raises(DataError, match="No item has any content"):
        encode_items({}, 3, Lengths(), 8, told.append)


def test_the_extractor_is_named_wherever_the_features_are_read(tmp_path: Path) -> None:
    path, matrix = tmp_path / "text_feat.npy", np.array([[1, 2], [0, 0], [3, 4]], dtype=np.float32)
    made = write(path, matrix, "textual", Lengths(), "title in items.jsonl")
    assert (made.n_items, made.n_described) == (3, 2)
    modality = read_modality(tmp_path, FeatureFile(path="text_feat.npy"), "textual", 3)
    assert modality.matrix.tolist() == matrix.tolist()
    assert modality.origin.endswith(
        "extracted by made-up 1.2, lengths (weights 01234567), of title in items.jsonl"
    )
    np.save(path, matrix * 2)
    with pytest.raises(DataError, match=r"another text_feat\.npy"):
        read_extraction(path)
    description_path(path).write_text("{}")
    with pytest.raises(DataError, match="does not say how"):
        read_modality(tmp_path, FeatureFile(path="text_feat.npy"), "textual", 3)
    description_path(path).unlink()
    assert read_extraction(path) is None


@pytest.mark.parametrize(
    ("kind", "package"), [("text", "sentence_transformers"), ("image", "torchvision"), ("audio", "librosa")]
)
def test_without_the_extra_it_says_what_to_install(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as caught:
        encoders.load_encoder(kind, None, "cpu")
    assert package in str(caught.value)
    assert f"pip install 'ludp-bench[{kind}]'" in str(caught.value)


def test_unknown_kinds_and_encoders() -> None:
    with pytest.raises(UsageError, match=r"'txt'"):
        encoders.load_encoder("txt", None, "cpu")
    with pytest.raises(UsageError, match=r"'mfc'.*'mfcc'"):
        encoders.load_encoder("audio", "mfc", "cpu")


class Sentences(torch.nn.Linear):
    """Stands in for a model of sentence-transformers."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(2, 3)
        if name != "here":
            raise OSError(f"{name} is not cached")
        assert options["local_files_only"] is True  # nothing is fetched
        assert options["model_kwargs"] == {"use_safetensors": True}  # and nothing unpickled
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def encode(self, contents: list[str], **_: Any) -> Any:
        return np.ones((len(contents), 3), dtype=np.float64)


def test_a_sentence_encoder_and_its_absent_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = ModuleType("sentence_transformers")
    library.SentenceTransformer, library.__version__ = Sentences, "5.1"
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    encoder = encoders.load_encoder("text", "here", "cpu")
    assert (encoder.facts.library, encoder.facts.version, encoder.facts.model) == (
        "sentence-transformers", "5.1", "here",
    )  # fmt: skip
    assert encoder.encode(["a", "b"]).dtype == np.float32
    same = {"bias": torch.zeros(3), "weight": torch.ones(3, 2)}
    assert encoder.facts.weights == encoders.weights_hash(same)
    assert encoders.weights_hash(same | {"bias": torch.ones(3)}) != encoder.facts.weights
    with pytest.raises(UsageError, match=r"'all-MiniLM-L6-v2' are not on this machine.*--encoder DIR"):
        encoders.load_encoder("text", None, "cpu")


def test_a_sound_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(path: Path, **_: Any) -> Any:
        if path.name == "bad.wav":
            raise RuntimeError("no sound")
        return np.zeros(8), 22_050

    library: Any = ModuleType("librosa")
    library.__version__, library.load = "0.11", load
    library.feature = SimpleNamespace(mfcc=lambda **options: np.arange(2.0 * options["n_mfcc"]).reshape(-1, 2))
    monkeypatch.setitem(sys.modules, "librosa", library)
    encoder = encoders.load_encoder("audio", None, "cpu")
    rows = encoder.encode([tmp_path / "1.wav"])
    assert rows.shape == (1, 80)
    assert rows[0, :2].tolist() == [0.5, 2.5]
    assert rows[0, 40:].tolist() == [0.5] * 40
    assert encoder.facts.weights == "none"
    with pytest.raises(DataError, match=r"bad.wav is not a readable sound"):
        encoder.encode([tmp_path / "bad.wav"])


class Classifier(torch.nn.Module):
    """Stands in for a model of torchvision: the mean of each colour, and a last layer to be taken off."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 1000)

    def forward(self, images: torch.Tensor) -> Any:
        return self.fc(images.mean(dim=(2, 3)))


def test_an_image_encoder_and_its_absent_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from PIL import Image

    def state(**options: Any) -> Any:
        assert options == {"progress": False, "check_hash": True, "weights_only": True}
        return Classifier().state_dict()

    def tensor(image: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255

    weights = SimpleNamespace(url="https://host/w-1.pth", get_state_dict=state, transforms=lambda: tensor)
    library, zoo = ModuleType("torchvision"), ModuleType("torchvision.models")
    library.__version__, library.models = "0.28", zoo  # type: ignore[attr-defined]
    zoo.list_models = lambda module: ["resnet50"]  # type: ignore[attr-defined]
    zoo.get_model_weights = lambda name: SimpleNamespace(DEFAULT=weights)  # type: ignore[attr-defined]
    zoo.get_model = lambda name: Classifier()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", library)
    monkeypatch.setitem(sys.modules, "torchvision.models", zoo)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        UsageError, match=r"not on this machine. Fetch https://host/w-1\.pth to .*checkpoints/w-1\.pth"
    ):
        encoders.load_encoder("image", None, "cpu")
    with pytest.raises(UsageError, match="Did you mean 'resnet50'"):
        encoders.load_encoder("image", "resnet5", "cpu")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "w-1.pth").touch()
    encoder = encoders.load_encoder("image", None, "cpu")
    Image.new("RGB", (4, 4), (255, 0, 51)).save(tmp_path / "0.png")
    Image.new("L", (4, 4), 255).save(tmp_path / "1.png")
    rows = encoder.encode([tmp_path / "0.png", tmp_path / "1.png"])
    assert rows.round(4).tolist() == [[1, 0, pytest.approx(0.2)], [1, 1, 1]]
    assert (encoder.facts.library, encoder.facts.model, len(encoder.facts.weights)) == (
        "torchvision",
        "resnet50",
        64,
    )
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2\.png is not a valid image"):
        encoder.encode([tmp_path / "2.png"])


def call(*arguments: str) -> str:
    parser, console = argparse.ArgumentParser(), Console(file=io.StringIO(), width=200)
    command.add_arguments(parser)
    assert command.run(parser.parse_args(arguments), console) == 0
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_command_makes_what_the_data_set_then_reads(
    tmp_path: Path, lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_encoder", lambda *_: Lengths())
    path = lines({"item_id": 1, "title": "Toy Story"}, {"item_id": 1682, "title": "Scream of Stone"})
    folders = ["--cache-dir", str(tmp_path / "cache"), "--output", str(tmp_path / "cache/ml-100k/text_feat.npy")]
    told = call("movielens", "--modality", "textual", "--input", str(path), "--fields", "title", *folders)
    assert "1,682 x 3, extracted by made-up 1.2" in told
    assert "2 of 1,682 items have it" in told
    matrix = np.load(tmp_path / "cache" / "ml-100k" / "text_feat.npy", allow_pickle=False)
    assert matrix[[0, 1681], 0].tolist() == [9, 15]
    assert matrix.any(axis=1).sum() == 2
    with pytest.raises(DataError, match="3 columns, but the data card expects 384"):
        load_dataset("movielens", DataRequest(cache_dir=tmp_path / "cache"))
    (tmp_path / "cache" / "ml-100k" / "text_feat.npy").unlink()
    with pytest.raises(UsageError, match="gives 3 columns, and 'movielens' reads 384"):
        call("movielens", "--modality", "textual", "--input", str(path), "--fields", "title", *folders[:2])
    with pytest.raises(UsageError, match="--first-id 1 is for data without ids"):
        call("movielens", "--modality", "textual", "--input", str(path), *folders, "--first-id", "1")
    with pytest.raises(UsageError, match=r"No line of .* has the field 'genre'.*--fields"):
        call("movielens", "--modality", "textual", "--input", str(path), *folders)
    with pytest.raises(DataError, match=r"nope\.jsonl cannot be read.*one JSON object a line.*--input"):
        call("movielens", "--modality", "textual", "--input", str(tmp_path / "nope.jsonl"), *folders)
    with pytest.raises(UsageError, match=r"--kind .audio, image, text.*textual, visual, acoustic"):
        call("movielens", "--modality", "smell", "--input", str(path), *folders)


def test_where_features_go(loose_tiktok: Any, tmp_path: Path) -> None:
    from bench.data import cards

    movielens, tiktok = cards.load("movielens"), cards.load("tiktok")
    assert command.target(movielens, "embedded", "textual", tmp_path, None) == (
        tmp_path / "ml-100k/text_feat.npy",
        384,
        False,
    )
    assert command.target(movielens, "embedded", "visual", tmp_path, None) == (
        tmp_path / "ml-100k/image_feat.npy",
        None,
        False,
    )
    assert command.target(movielens, "real", "visual", tmp_path, None) == (
        tmp_path / "movielens/image_feat.npy",
        None,
        False,
    )
    assert command.target(loose_tiktok, "real", "visual", tmp_path, None)[0] == tmp_path / "tiktok/image_feat.npy"
    for card, source, modality, words in (
        (tiktok, "real", "visual", "pins the publisher's file"),
        (movielens, "embedded", "knowledge", "reads no file for it"),
        (tiktok, "surrogate", "visual", "reads no file for it"),
    ):
        with pytest.raises(UsageError, match=words):
            command.target(card, source, modality, tmp_path, None)


def test_imported_data_gets_a_modality_of_the_users_own(
    tmp_path: Path, lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a table of interactions and a file of texts to data with content: nothing is written by hand."""
    monkeypatch.setattr(encoders, "load_encoder", lambda *_: Lengths())
    table, cards_dir, cache = tmp_path / "clicks.csv", tmp_path / "cards", tmp_path / "cache"
    table.write_text("user_id,item_id\n" + "".join(f"u{k % 3},B{k:02}\n" for k in range(12)), encoding="utf-8")
    cards_dir.mkdir()
    card = import_data(table, "mine", cards_dir, cache).card
    licence = card.read_text(encoding="utf-8").replace("not stated; write it here", "CC BY", 1)
    card.write_text(licence, encoding="utf-8")
    texts = lines({"item_id": "B03", "title": "Heat"}, {"item_id": "B11", "title": "Up"})
    given = ["--input", str(texts), "--fields", "title", "--cache-dir", str(cache)]
    request = DataRequest(cache_dir=cache)
    with also_in([cards_dir]):
        assert not load_dataset("mine", request).modalities
        told = call("mine", "--modality", "textual", *given)
        assert "2 of 12 items have it" in told
        assert f"entered on {card}: 'mine' has the modality 'textual'" in told
        data = load_dataset("mine", request)
        (modality,) = data.modalities
        assert modality.name == "textual"
        assert "extracted by made-up 1.2" in modality.origin
        assert modality.matrix[[3, 11], 0].tolist() == [4, 2]
        assert "licence: CC BY" in card.read_text(encoding="utf-8")
        monkeypatch.setattr(Lengths, "encode", lambda self, contents: np.ones((len(contents), 5)))
        before = card.read_bytes()
        assert "entered" not in call("mine", "--modality", "textual", *given)  # another encoder's takes its place
        assert card.read_bytes() == before
        assert load_dataset("mine", request).modalities[0].matrix.shape == (12, 5)
        with pytest.raises(BenchError, match=r"--modality '\.\./x'"):
            call("mine", "--modality", "../x", "--kind", "text", *given)


def test_a_modality_that_was_imported_is_not_replaced(
    tmp_path: Path, lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_encoder", lambda *_: Lengths())
    folder, cards_dir, cache = tmp_path / "mine", tmp_path / "cards", tmp_path / "cache"
    folder.mkdir()
    cards_dir.mkdir()
    frame = pd.DataFrame({"user_id": [k % 3 for k in range(12)], "item_id": range(12)})
    frame.to_csv(folder / "clicks.csv", index=False)
    content = pd.DataFrame({"item_id": [str(k) for k in range(12)], "a": np.arange(1.0, 13.0)})
    content.to_parquet(folder / "textual.parquet")
    import_data(folder, "mine", cards_dir, cache)
    given = [
        "--input",
        str(lines({"item_id": 1, "title": "Heat"})),
        "--fields",
        "title",
        "--cache-dir",
        str(cache),
    ]
    with also_in([cards_dir]):
        before = load_dataset("mine", DataRequest(cache_dir=cache)).modalities[0].matrix.tolist()
        with pytest.raises(UsageError, match=r"imported with a file for the modality 'textual'.*--modality NAME"):
            call("mine", "--modality", "textual", *given)
        assert "entered on" in call("mine", "--modality", "plots", "--kind", "text", *given)
        modalities = load_dataset("mine", DataRequest(cache_dir=cache)).modalities
    assert [each.name for each in modalities] == ["textual", "plots"]
    assert modalities[0].matrix.tolist() == before


def test_a_batch_holds_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["extract", "mine", "--modality", "textual", "--input", "x.jsonl", "--batch-size", "0"]
    assert main(words) == 2
    assert "--batch-size: expected a whole number from 1, not '0'" in capsys.readouterr().err
