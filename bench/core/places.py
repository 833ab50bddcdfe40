"""Where the project's folders are, in a checkout and in an installed package. Touches no file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the packages `bench` and `models`
PACKED = ROOT / "bench" / "shipped"  # in a wheel only: a folder `datasets` beside `bench` would be Hugging Face's
IN_CHECKOUT = not PACKED.is_dir()
SHARED = "models"  # package of our models; every model may import from it
WORK = ROOT if IN_CHECKOUT else Path.cwd()  # for data, imported cards and results


def shipped(folder: str) -> Path:
    """Return a folder of files that come with the project.

    Args:
        folder: its place in the checkout, "datasets" or "results/reference".
    """
    return ROOT / folder if IN_CHECKOUT else PACKED / Path(folder).name


def shared_folder() -> Path:
    """Return the folder of the package `models`."""
    return ROOT / SHARED
