"""Extraction of item features from texts, images or sounds by pretrained encoders.

Texts come from a file of JSON lines, images and sounds from a folder. Each kind of content needs an optional extra
of this project. Weights are read from this machine and never fetched; no pickle is executed. Writes a feature file
and its description.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from bench.core.errors import DataError, UsageError, listed, nearest_hint, one_line, unknown_name
from bench.core.files import check_plain, os_errors, write_bytes, write_text
from bench.core.types import FloatArray
from bench.data.columns import id_text
from bench.data.extraction import Extraction, Extractor, description_path
from bench.data.pins import git_blob

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".m4a"),
}
Contents = dict[int, Any]
SENTENCES, IMAGES, SOUNDS = "all-MiniLM-L6-v2", "resnet50", "mfcc"
SECONDS, SAMPLE_RATE, N_MFCC = 30.0, 22_050, 40


@dataclass(frozen=True, eq=False)
class ItemRows:
    """Rows of the feature matrix by item id.

    Attributes:
        rows: row of each item, by its id as text.
        numbered: whether the ids are plain numbers, because the data has no original ids.
    """

    rows: dict[str, int]
    numbered: bool

    @classmethod
    def of_ids(cls, ids: Iterable[str]) -> ItemRows:
        """Build the rows of items with original ids, given in the order of their rows."""
        return cls({text: row for row, text in enumerate(ids)}, numbered=False)

    @classmethod
    def from_number(cls, first: int, n_items: int) -> ItemRows:
        """Build the rows of items without original ids, numbered from `first`."""
        return cls({str(first + row): row for row in range(n_items)}, numbered=True)

    def row(self, item_id: Any, where: str) -> int | None:
        """Return the row of an item, or None if a data set with original ids does not have it.

        Raises:
            DataError: the value is not an id, or not the number of an item.
        """
        text = id_text(item_id)
        row = None if text is None else self.rows.get(text)
        if row is None and self.numbered:
            first, last = next(iter(self.rows)), next(reversed(self.rows))
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a number from {first} to {last}. "
                "Correct it, or give the number of the first item with --first-id."
            )
        if text is None:
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a whole number or a text, as in the data set's own "
                f"files, such as '{next(iter(self.rows))}'. Correct it."
            )
        return row


def read_texts(path: Path, fields: Sequence[str], items: ItemRows) -> tuple[Contents, int]:
    """Read the text of each item, its fields joined by full stops; items without any text are left out.

    Args:
        path: file with one JSON object per line: `item_id` and the fields, each a text or a list of texts.
        fields: names of the fields, in order.
        items: rows of the items.

    Returns:
        The texts by row, and the number of lines whose item is not in the data set.

    Raises:
        DataError: the file cannot be read, a line is malformed or repeats an item, or no item is in the data set.
        UsageError: no line has one of the fields.
    """
    texts: Contents = {}
    unknown: list[Any] = []
    seen: set[str] = set()
    advice = "Give a file with one JSON object a line, in UTF-8, with --input."
    with os_errors(f"{path} cannot be read", advice, DataError, UnicodeDecodeError):
        check_plain(path)
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{path}, line {number}"
                record = _parse_object(line, where)
                seen |= set(record)
                row = items.row(record.get("item_id"), where)
                if row is None:
                    unknown.append(record["item_id"])
                    continue
                if row in texts:
                    raise DataError(f"{where}: the item {record['item_id']} occurs twice. Remove one of them.")
                texts[row] = ". ".join(
                    part for field in fields for part in _field_texts(record.get(field), f"{where}: {field}")
                )
    for field in fields:
        if field not in seen:
            hint = nearest_hint(field, seen)
            raise UsageError(
                f"No line of {path} has the field '{field}'.{hint} The fields are: {listed(sorted(seen))}. "
                "Name those of the text with --fields."
            )
    _require_known_items(path, len(texts), unknown, items)
    return {row: text for row, text in sorted(texts.items()) if text}, len(unknown)


def _require_known_items(path: Path, n_known: int, unknown: Sequence[Any], items: ItemRows) -> None:
    """Raise a DataError if all contents belong to items that are not in the data set."""
    if unknown and not n_known:
        raise DataError(
            f"{path} has items such as '{unknown[0]}', none of which is in the data set, whose items are such as "
            f"'{next(iter(items.rows))}'. Give the contents under the ids of the data set's own files."
        )


def _parse_object(line: str, where: str) -> dict[str, Any]:
    """Parse a line as a JSON object; a DataError if it is not one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{where} is not JSON ({problem}). Write one object per line.") from problem
    if not isinstance(record, dict):
        raise DataError(f"{where} is not a JSON object. Write one object with 'item_id' per line.")
    return record


def _field_texts(value: Any, where: str) -> list[str]:
    """Return the non-empty texts of a field, without final full stops; a DataError if it holds anything else."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in values):
        raise DataError(f"{where} is neither a text nor a list of texts. Correct the line.")
    return [text.strip().rstrip(".") for text in values if text.strip()]


def find_files(folder: Path, kind: str, items: ItemRows) -> tuple[Contents, int]:
    """Find the file of each item, which is named by the item's id and a suffix of its kind.

    Returns:
        The files by row, and the number of files whose item is not in the data set.

    Raises:
        DataError: the folder cannot be read, two files belong to one item, or no item is in the data set.
    """
    files: Contents = {}
    unknown: list[str] = []
    with os_errors(f"{folder} is not a readable folder", "Name another with --input.", DataError):
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[kind])
    if not paths:
        raise DataError(f"{folder} holds no {kind} files: none ends with {listed(SUFFIXES[kind])}.")
    for path in paths:
        check_plain(path)
        row = items.row(path.stem, str(path))
        if row is None:
            unknown.append(path.stem)
        elif row in files:
            raise DataError(f"{path} and {files[row]} belong to the same item. Remove one of them.")
        else:
            files[row] = path
    _require_known_items(folder, len(files), unknown, items)
    return dict(sorted(files.items())), len(unknown)


class Encoder(Protocol):
    """Encoder of contents into rows of numbers.

    Attributes:
        facts: description of the library, model and weights.
    """

    facts: Extractor

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return one row per content, which is a text or the path of a file, `[n, d]`."""


def load_encoder(kind: str, name: str | None, device: str) -> Encoder:
    """Load the encoder of a kind of content.

    Args:
        kind: "text", "image" or "audio".
        name: name or directory of the model; None takes the default.
        device: "cpu" or "cuda".

    Raises:
        UsageError: the kind does not exist, its extra is not installed, or the weights are not on this machine.
    """
    makers: dict[str, Callable[[str, str], Encoder]] = {
        "text": SentenceEncoder,
        "image": ImageEncoder,
        "audio": SoundEncoder,
    }
    if kind not in makers:
        raise unknown_name("kind of content", kind, makers)
    defaults = {"text": SENTENCES, "image": IMAGES, "audio": SOUNDS}
    return makers[kind](name or defaults[kind], device)


class SentenceEncoder:
    """Encoder of texts by a model of sentence-transformers; rows have length one."""

    def __init__(self, name: str, device: str) -> None:
        library = import_extra("sentence_transformers", "text")
        try:
            self._model = library.SentenceTransformer(
                name, device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError) as problem:
            raise UsageError(
                f"The weights of the sentence encoder '{name}' are not on this machine ({one_line(problem)}). "
                f"Fetch them once with: huggingface-cli download sentence-transformers/{name}; or name their "
                "directory with --encoder DIR."
            ) from problem
        self.facts = Extractor(
            library="sentence-transformers",
            version=str(library.__version__),
            model=Path(name).name,
            weights=weights_hash(self._model.state_dict()),
        )

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return one row per text, `[n, d]`."""
        rows = self._model.encode(
            list(contents), convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(rows, dtype=np.float32)


class ImageEncoder:
    """Encoder of images by a classifier of torchvision without its last layer."""

    def __init__(self, name: str, device: str) -> None:
        import torch

        library = import_extra("torchvision", "image")
        zoo = importlib.import_module("torchvision.models")
        known = zoo.list_models(module=zoo)
        if name not in known:
            raise unknown_name("image encoder", name, known)
        weights = zoo.get_model_weights(name).DEFAULT
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(weights.url).path).name
        if not file.is_file():
            raise UsageError(
                f"The weights of the image encoder '{name}' are not on this machine. Fetch {weights.url} to "
                f"{file}."
            )
        self._model = zoo.get_model(name)
        self._model.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
        last = next((part for part in ("fc", "heads", "classifier") if hasattr(self._model, part)), None)
        if last is None:
            raise UsageError(f"The image encoder '{name}' has no last layer that can be removed. Take {IMAGES}.")
        digest = weights_hash(self._model.state_dict())  # with the last layer, as published
        setattr(self._model, last, torch.nn.Identity())
        self._model.eval().to(device)
        self._device, self._transform = device, weights.transforms()
        version = str(library.__version__)
        self.facts = Extractor(library="torchvision", version=version, model=name, weights=digest)

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return one row for the image at each path, `[n, d]`."""
        import torch

        images = torch.stack([self._transform(self._read_image(path)) for path in contents])
        with torch.inference_mode():
            rows = self._model(images.to(self._device)).flatten(1).float().cpu().numpy()
        return np.asarray(rows, dtype=np.float32)

    @staticmethod
    def _read_image(path: Path) -> Any:
        """Read an image as RGB; a DataError if it is damaged."""
        image = import_extra("PIL.Image", "image")
        try:
            with image.open(path) as opened:
                return opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as problem:
            raise DataError(
                f"{path} is not a valid image ({one_line(problem)}). Replace or remove it."
            ) from problem


class SoundEncoder:
    """Encoder of sounds: mean and deviation of librosa's mel cepstrum over the first 30 seconds; no weights."""

    def __init__(self, name: str, device: str) -> None:
        if name != SOUNDS:
            raise unknown_name("sound encoder", name, [SOUNDS])
        self._library = import_extra("librosa", "audio")
        recipe = f"{name}, {N_MFCC} coefficients, {SECONDS:g} s at {SAMPLE_RATE:,} Hz"
        version = str(self._library.__version__)
        self.facts = Extractor(library="librosa", version=version, model=recipe, weights="none")

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return one row for the sound at each path, `[n, 80]`."""
        return np.stack([self._encode_file(path) for path in contents])

    def _encode_file(self, path: Path) -> FloatArray:
        """Return mean and deviation of each coefficient, `[80]`; a DataError if the file cannot be decoded."""
        try:
            wave, rate = self._library.load(path, sr=SAMPLE_RATE, mono=True, duration=SECONDS)
            coefficients = self._library.feature.mfcc(y=wave, sr=rate, n_mfcc=N_MFCC)
        except Exception as problem:  # librosa's decoders document no closed list of errors
            raise DataError(
                f"{path} is not a readable sound file ({one_line(problem)}). Replace or remove it."
            ) from problem
        return np.asarray(np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)]), dtype=np.float32)


def import_extra(module: str, extra: str) -> Any:
    """Import a module of an optional extra.

    Raises:
        UsageError: the module is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UsageError(
            f"Extracting features needs {module.partition('.')[0]}, which is not installed ({problem}). "
            f"Install it with its extra: pip install 'ludp-bench[{extra}]'."
        ) from problem


def weights_hash(state: Mapping[str, Any]) -> str:
    """Return a hash of named tensors, which does not depend on the file format that held them."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def encode_items(
    contents: Contents, n_items: int, encoder: Encoder, batch_size: int, on_progress: Callable[[int], None]
) -> FloatArray:
    """Encode the content of all items, `[n_items, d]`; items without content get a row of zeros.

    Args:
        contents: contents by row.
        n_items: number of rows.
        encoder: the encoder.
        batch_size: contents per call of the encoder.
        on_progress: called with the number of contents encoded so far.

    Raises:
        DataError: there is no content, or the encoder does not return one finite row per content.
    """
    if not contents:
        raise DataError("No item has any content to extract features from. Check --input and --fields.")
    rows, parts = np.fromiter(contents, dtype=np.int64), list[FloatArray]()
    values = list(contents.values())
    for start in range(0, len(values), batch_size):
        batch = values[start : start + batch_size]
        part = np.asarray(encoder.encode(batch), dtype=np.float32)
        width = parts[0].shape[1:] if parts else part.shape[1:]
        if part.ndim != 2 or part.shape != (len(batch), *width) or not np.isfinite(part).all():
            raise DataError(
                f"The encoder {encoder.facts.model} gave an array of shape {part.shape} for {len(batch)} "
                "contents, expected one finite row each. Take another encoder."
            )
        parts.append(part)
        on_progress(start + len(batch))
    matrix = np.zeros((n_items, parts[0].shape[1]), dtype=np.float32)
    matrix[rows] = np.concatenate(parts)
    return matrix


def write(path: Path, matrix: FloatArray, modality: str, encoder: Encoder, made_of: str) -> Extraction:
    """Write the matrix as .npy and, beside it, a description of the extraction.

    Raises:
        ResultsError: a file cannot be written.
    """
    stream = io.BytesIO()
    np.save(stream, matrix, allow_pickle=False)
    with os_errors(f"{path} cannot be written", "Free some space, or name another file with --output."):
        description_path(path).unlink(
            missing_ok=True
        )  # else a failure below would leave the old description beside the new matrix
        write_bytes(path, stream.getvalue())
        extraction = Extraction(
            modality=modality,
            extractor=encoder.facts,
            made_of=made_of,
            n_items=len(matrix),
            n_described=int(matrix.any(axis=1).sum()),
            features=git_blob(path),
        )
        write_text(description_path(path), extraction.model_dump_json(indent=2) + "\n")
    return extraction
