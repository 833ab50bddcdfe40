"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job, whose children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
os.environ["LUDP_BENCH_OFFLINE"] = (
    "1"  # no test touches the network; those of downloads have a server of their own
)


@pytest.fixture
def float64() -> Iterator[None]:
    """Models built inside compute in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def heard_workers(capfd: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Captures what worker processes print as well: the server that forks them starts anew and writes to it."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # the standard library's own tests do so
    return capfd


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """A directory with real data, or a skip that says how to give one."""
    candidates = [Path(part) for part in os.environ.get("LUDP_BENCH_DATA", "").split(os.pathsep) if part]
    candidates.append(ROOT.parent / "shared" / "data")
    for folder in candidates:
        if (folder / "tiktok" / "trnMat.pkl").is_file():
            return folder
    pytest.skip("no real data: set LUDP_BENCH_DATA to a directory that holds tiktok/trnMat.pkl")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser without a window: that of the system, or playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    own = next(filter(None, map(shutil.which, BROWSERS)), None)
    with api.sync_playwright() as driver:
        try:
            started = driver.chromium.launch(executable_path=own)
        except api.Error:
            pytest.skip("no browser: playwright install chromium, or chromium from the system's packages")
        yield started
        started.close()
