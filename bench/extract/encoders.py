"""Layer 4. Encoders: texts, images or sounds -> one row each. Weights are read where they lie, never fetched.

Each kind needs an optional extra of this project. Weights are taken from safetensors files, or from checkpoints
that are read as plain tensors: no pickle is executed.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from bench.errors import DataError, UsageError, unknown_name
from bench.sources.extracted import Extractor
from bench.types import FloatArray

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
