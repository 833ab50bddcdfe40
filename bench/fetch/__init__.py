"""Layer 2. The only network code: files of a data card from their servers into the cache."""

from bench.fetch.collect import FileReport, absent, examine, fetch
from bench.fetch.transfer import HASTE, PATIENCE, Patience
from bench.fetch.watch import Watch

__all__ = ["HASTE", "PATIENCE", "FileReport", "Patience", "Watch", "absent", "examine", "fetch"]
