"""Layer 8. The tables of the paper, in one place to import from. Pure."""

from bench.report.table2 import table2
from bench.report.table3 import table3

__all__ = ["table2", "table3"]
