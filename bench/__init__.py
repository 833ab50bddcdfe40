"""ludp-bench: one data protocol, one full-ranking evaluator, nine trained models and five baselines.

From Python, four functions do what the commands do: `from bench import run, evaluate, load_data, load_results`.
They are described in `bench.cli.api` and imported when first used, so that `import bench` loads nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.cli.api import evaluate, load_data, load_results, run

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load_data", "load_results", "run"]


def __getattr__(name: str) -> Any:
    """Import a function of the Python entry when it is first used."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'; it has {', '.join(__all__[1:])}")
    return getattr(importlib.import_module("bench.cli.api"), name)
