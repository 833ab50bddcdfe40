"""The only network code: files of a data card from their servers into the cache."""

from __future__ import annotations

from bench.data.fetch.collect import FileReport, absent, examine, fetch
from bench.data.fetch.transfer import HASTE, PATIENCE, Patience, Watch

__all__ = ["HASTE", "PATIENCE", "FileReport", "Patience", "Watch", "absent", "examine", "fetch"]
