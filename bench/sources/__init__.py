"""Layer 3. Every way to obtain a data set; the rest of the project calls these two functions."""

from bench.sources.describe import describe_source, describe_split
from bench.sources.load import load_dataset, load_from_card

__all__ = ["describe_source", "describe_split", "load_dataset", "load_from_card"]
