"""Where the content of items lies: texts in a file of JSON lines, images and sounds as files. Reads.

Encoders: texts, images or sounds -> one row each. Weights are read where they lie, never fetched.

Each kind needs an optional extra of this project. Weights are taken from safetensors files, or from checkpoints
that are read as plain tensors: no pickle is executed.

Contents and an encoder -> a feature file and the description beside it. Writes those two only.
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

from bench.core.errors import DataError, ResultsError, UsageError, listed, nearest_hint, unknown_name
from bench.core.files import check_plain, write_bytes, write_text
from bench.core.types import FloatArray
from bench.data.columns import id_text
from bench.data.features import Extraction, Extractor, beside
from bench.data.pins import git_blob

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".m4a"),
}
Contents = dict[int, Any]


@dataclass(frozen=True, eq=False)
class ItemRows:
    """Which row of the feature matrix an item has.

    Attributes:
        rows: row of each item by its id as text.
        numbered: whether these ids are mere numbers, since the data has no ids of its own.
    """

    rows: dict[str, int]
    numbered: bool

    @classmethod
    def of_ids(cls, ids: Iterable[str]) -> ItemRows:
        """Items with ids of their own, in the order of their rows."""
        return cls({text: row for row, text in enumerate(ids)}, numbered=False)

    @classmethod
    def from_number(cls, first: int, n_items: int) -> ItemRows:
        """Items without ids, numbered from `first`."""
        return cls({str(first + row): row for row in range(n_items)}, numbered=True)

    def row(self, item_id: Any, where: str) -> int | None:
        """The row of an item; None where the data set, which has ids of its own, does not have it.

        Raises:
            DataError: this is no id, or no number of an item.
        """
        text = id_text(item_id)
        found = None if text is None else self.rows.get(text)
        if found is None and self.numbered:
            first, last = next(iter(self.rows)), next(reversed(self.rows))
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a number from {first} to {last}. "
                "--first-id says which number the first item has."
            )
        if text is None:
            raise DataError(
                f"{where}: 'item_id' is {item_id!r}, expected a whole number or a text, as in the data set's own "
                f"files, such as '{next(iter(self.rows))}'. Correct it."
            )
        return found


def texts(path: Path, fields: Sequence[str], items: ItemRows) -> tuple[Contents, int]:
    """The text of each item, its fields joined by full stops; an item without any text is left out.

    Args:
        path: one JSON object a line, with `item_id` and the fields, each a text or a list of texts.
        fields: in order.
        items: their rows.

    Returns:
        The texts by row, and the number of lines whose item is not in the data set.

    Raises:
        DataError: the file cannot be read, or a line is no item or has one twice, or none is of the data set.
    """
    found: Contents = {}
    others: list[Any] = []
    seen: set[str] = set()
    try:
        check_plain(path)
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{path}, line {number}"
                record = _object(line, where)
                seen |= set(record)
                row = items.row(record.get("item_id"), where)
                if row is None:
                    others.append(record["item_id"])
                    continue
                if row in found:
                    raise DataError(f"{where}: the item {record['item_id']} is there twice. Remove one of them.")
                text = ". ".join(
                    part for field in fields for part in _parts(record.get(field), f"{where}: {field}")
                )
                found[row] = text
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Name another file with --input.") from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} cannot be read as text ({problem}). Save it as UTF-8.") from problem
    for field in fields:
        if field not in seen:
            hint = nearest_hint(field, seen)
            raise UsageError(
                f"No line of {path} has the field '{field}'.{hint} There are: {listed(sorted(seen))}."
            )
    _refuse_strangers(path, len(found), others, items)
    return {row: text for row, text in sorted(found.items()) if text}, len(others)


def _refuse_strangers(path: Path, n_found: int, others: Sequence[Any], items: ItemRows) -> None:
    """Refuse contents of which none is of an item of the data set."""
    if others and not n_found:
        raise DataError(
            f"{path} has the items '{others[0]}' and the like, none of which is in the data set; its items are "
            f"such as '{next(iter(items.rows))}'. Give the contents under the ids of the data set's own files."
        )


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{where} is no JSON ({problem}). Write one object a line.") from problem
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object. Write one object with 'item_id' a line.")
    return record


def _parts(value: Any, where: str) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, str) for one in values):
        raise DataError(f"{where} is neither a text nor a list of texts. Correct the line.")
    return [one.strip().rstrip(".") for one in values if one.strip()]


def files(folder: Path, kind: str, items: ItemRows) -> tuple[Contents, int]:
    """The file of each item, named by the item's id and a suffix of its kind.

    Returns:
        The files by row, and the number of those whose item is not in the data set.

    Raises:
        DataError: the folder cannot be read, or a file is of the same item as another, or none is of the data set.
    """
    found: Contents = {}
    others: list[str] = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[kind])
    except OSError as problem:
        raise DataError(
            f"{folder} is no folder that can be read ({problem.strerror}). Name another with --input."
        ) from problem
    if not paths:
        raise DataError(f"{folder} holds no {kind} files: none ends with {listed(SUFFIXES[kind])}.")
    for path in paths:
        check_plain(path)
        row = items.row(path.stem, str(path))
        if row is None:
            others.append(path.stem)
        elif row in found:
            raise DataError(f"{path} and {found[row]} are of the same item. Remove one of them.")
        else:
            found[row] = path
    _refuse_strangers(folder, len(found), others, items)
    return dict(sorted(found.items())), len(others)


SENTENCES, IMAGES, SOUNDS = "all-MiniLM-L6-v2", "resnet50", "mfcc"
SECONDS, SAMPLE_RATE, N_MFCC = 30.0, 22_050, 40


class Encoder(Protocol):
    """What turns contents into rows."""

    facts: Extractor

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """One row for each text, or for the file at each path, `[n, d]`."""


def encoder_of(kind: str, name: str | None, device: str) -> Encoder:
    """The encoder of a kind of content.

    Args:
        kind: "text", "image" or "audio".
        name: of the model, or its directory; None takes the default.
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
    """Texts, by a model of sentence-transformers; rows have length one."""

    def __init__(self, name: str, device: str) -> None:
        library = imported("sentence_transformers", "text")
        try:
            self._model = library.SentenceTransformer(
                name, device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError) as problem:
            raise UsageError(
                f"The weights of the sentence encoder '{name}' are not on this machine ({_short(problem)}). Fetch "
                f"them once with: huggingface-cli download sentence-transformers/{name}; or name their directory "
                "with --encoder DIR."
            ) from problem
        self.facts = Extractor(
            library="sentence-transformers",
            version=str(library.__version__),
            model=Path(name).name,
            weights=weights_hash(self._model.state_dict()),
        )

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """One row a text, `[n, d]`."""
        rows = self._model.encode(
            list(contents), convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(rows, dtype=np.float32)


class ImageEncoder:
    """Images, by a classifier of torchvision without its last layer."""

    def __init__(self, name: str, device: str) -> None:
        import torch

        library = imported("torchvision", "image")
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
            raise UsageError(f"The image encoder '{name}' has no last layer to take off. Take {IMAGES}.")
        digest = weights_hash(self._model.state_dict())
        setattr(self._model, last, torch.nn.Identity())
        self._model.eval().to(device)
        self._device, self._transform = device, weights.transforms()
        version = str(library.__version__)
        self.facts = Extractor(library="torchvision", version=version, model=name, weights=digest)

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """One row for the image at each path, `[n, d]`."""
        import torch

        images = torch.stack([self._transform(self._opened(path)) for path in contents])
        with torch.inference_mode():
            rows = self._model(images.to(self._device)).flatten(1).float().cpu().numpy()
        return np.asarray(rows, dtype=np.float32)

    @staticmethod
    def _opened(path: Path) -> Any:
        image = imported("PIL.Image", "image")
        try:
            with image.open(path) as opened:
                return opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as problem:
            raise DataError(f"{path} is no sound image ({_short(problem)}). Replace or remove it.") from problem


class SoundEncoder:
    """Sounds, by mean and deviation of librosa's mel cepstrum over their first 30 seconds; without weights."""

    def __init__(self, name: str, device: str) -> None:
        if name != SOUNDS:
            raise unknown_name("sound encoder", name, [SOUNDS])
        self._library = imported("librosa", "audio")
        recipe = f"{name}, {N_MFCC} coefficients, {SECONDS:g} s at {SAMPLE_RATE:,} Hz"
        version = str(self._library.__version__)
        self.facts = Extractor(library="librosa", version=version, model=recipe, weights="none")

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """One row for the sound at each path, `[n, 80]`."""
        return np.stack([self._row(path) for path in contents])

    def _row(self, path: Path) -> FloatArray:
        try:
            wave, rate = self._library.load(path, sr=SAMPLE_RATE, mono=True, duration=SECONDS)
            found = self._library.feature.mfcc(y=wave, sr=rate, n_mfcc=N_MFCC)
        except Exception as problem:  # its decoders document no closed list of errors
            raise DataError(
                f"{path} is no sound that can be read ({_short(problem)}). Replace or remove it."
            ) from problem
        return np.asarray(np.concatenate([found.mean(axis=1), found.std(axis=1)]), dtype=np.float32)


def imported(module: str, extra: str) -> Any:
    """A module of an optional extra.

    Raises:
        UsageError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UsageError(
            f"Extracting features needs {module.partition('.')[0]}, which is not installed ({problem}). "
            f"Install the extra [{extra}]: .venv/bin/pip install -e '.[{extra}]'."
        ) from problem


def weights_hash(state: Mapping[str, Any]) -> str:
    """Hash of named tensors; the same wherever they were read from."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _short(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__


def encoded(
    contents: Contents, n_items: int, encoder: Encoder, batch_size: int, tell: Callable[[int], None]
) -> FloatArray:
    """One row an item, `[n_items, d]`; items without content have a row of zeros.

    Args:
        contents: by row.
        n_items: number of rows.
        encoder: makes the rows.
        batch_size: contents a call of it.
        tell: told of the rows made so far.

    Raises:
        DataError: there is no content, or the encoder gives something else than one finite row a content.
    """
    if not contents:
        raise DataError("No item has any content to extract features from. Check --input and --fields.")
    rows, parts = np.fromiter(contents, dtype=np.int64), list[FloatArray]()
    values = list(contents.values())
    for start in range(0, len(values), batch_size):
        some = values[start : start + batch_size]
        part = np.asarray(encoder.encode(some), dtype=np.float32)
        width = parts[0].shape[1:] if parts else part.shape[1:]
        if part.ndim != 2 or part.shape != (len(some), *width) or not np.isfinite(part).all():
            raise DataError(
                f"The encoder {encoder.facts.model} gave an array of shape {part.shape} for {len(some)} contents, "
                "expected one finite row each. Take another encoder."
            )
        parts.append(part)
        tell(start + len(some))
    matrix = np.zeros((n_items, parts[0].shape[1]), dtype=np.float32)
    matrix[rows] = np.concatenate(parts)
    return matrix


def write(path: Path, matrix: FloatArray, modality: str, encoder: Encoder, made_of: str) -> Extraction:
    """Write the matrix as .npy, and beside it what made it.

    Raises:
        ResultsError: they cannot be written.
    """
    stream = io.BytesIO()
    np.save(stream, matrix, allow_pickle=False)
    try:
        beside(path).unlink(missing_ok=True)  # it would speak of the old matrix beside the new one
        write_bytes(path, stream.getvalue())
        made = Extraction(
            modality=modality,
            extractor=encoder.facts,
            made_of=made_of,
            n_items=len(matrix),
            n_described=int(matrix.any(axis=1).sum()),
            features=git_blob(path),
        )
        write_text(beside(path), made.model_dump_json(indent=2) + "\n")
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be written ({problem.strerror or problem}). Free some space, or name another file "
            "with --output."
        ) from problem
    return made
