"""ludp-bench: one data protocol, one full-ranking evaluator, nine multimodal recommenders."""

from __future__ import annotations

__version__ = "0.1.0"
