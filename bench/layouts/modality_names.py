"""Layer 4. What a modality is called: from the name of a file or column to the field's usual word. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.names import LONGEST
from bench.types import Modality

USUAL = {
    "visual": ("visual", "vision", "image", "images", "img", "v"),
    "acoustic": ("acoustic", "audio", "sound", "a"),
    "textual": ("textual", "text", "texts", "txt", "t"),
}
FEATURES = re.compile(r"[_\-. ]*(feat|feats|feature|features|emb|embs|embedding|embeddings|vec|vectors)$")


def modality_name(given: str) -> str:
    """`image_feat` is visual, `trailer-audio_emb` is trailer_audio."""
    name = given.lower()
    while FEATURES.search(name):
        name = FEATURES.sub("", name)
    name = re.sub(r"[^a-z0-9]+", "_", name).strip("_")[:LONGEST].strip("_") or "features"
    return next((usual for usual, words in USUAL.items() if name in words), name)


def in_order(modalities: Iterable[Modality]) -> tuple[Modality, ...]:
    """Visual, acoustic and textual first, then the others by name: one order whatever the layout."""
    usual = list(USUAL)
    rank = {name: position for position, name in enumerate(usual)}
    return tuple(sorted(modalities, key=lambda one: (rank.get(one.name, len(usual)), one.name)))
