"""Downloads of the files of a data card into the cache; the only code that uses the network."""

from __future__ import annotations

from bench.data.fetch.collect import FileReport, examine, fetch, missing_files
from bench.data.fetch.transfer import LONG_TIMEOUTS, SHORT_TIMEOUTS, Timeouts, Watch

__all__ = [
    "LONG_TIMEOUTS",
    "SHORT_TIMEOUTS",
    "FileReport",
    "Timeouts",
    "Watch",
    "examine",
    "fetch",
    "missing_files",
]
