"""Errors that a user can meet, and helpers for their wording. Touches nothing.

Every message states what was given, what is allowed, the nearest name and what to do. The command line prints the
message as one paragraph and exits with `exit_code`. A traceback means a bug in this project.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_REASON = 300  # characters of another library's message that are shown


class BenchError(Exception):
    """Base of all errors that are meant to be read by a user."""

    exit_code = 2


class UsageError(BenchError):
    """A command-line argument is wrong or cannot be honoured."""


class ConfigError(BenchError):
    """A data card or a parameter file is incomplete, malformed or contradictory."""


class DataError(BenchError):
    """A data file is missing, malformed, or does not match its card."""


class FetchError(DataError):
    """A file could not be fetched.

    Attributes:
        url: its address.
        reason: why the download failed.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, one_line(reason, None).rstrip(".")
        super().__init__(
            f"{url} could not be fetched: {self.reason}. What arrived is kept: the same command resumes the "
            "download. Or fetch the files by other means, and give the directory above them with --data-dir."
        )


class ResultsError(BenchError):
    """The results directory cannot be written, or holds a file that is not a valid record."""


class TrainingError(BenchError):
    """A run cannot continue, for example because its loss is not finite. The run is recorded as failed."""


def one_line(problem: BaseException | str, most: int | None = MOST_REASON) -> str:
    """Return a text or the message of an error on one line; an error without a message gives its class.

    Args:
        problem: the error or text.
        most: characters that are kept; None keeps all.
    """
    line = " ".join(str(problem).split())[:most]
    return line or (type(problem).__name__ if isinstance(problem, BaseException) else "")


def listed(names: Iterable[str]) -> str:
    """Join names with commas, or return a dash if there are none."""
    return ", ".join(names) or "-"


def nearest_hint(given: str, allowed: Iterable[str]) -> str:
    """Return ' Did you mean X?' for the closest allowed name, or '' if none is close."""
    by_lower = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(given.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def unknown_name(kind: str, given: str, allowed: Iterable[str], fix: str = "") -> UsageError:
    """Build the error for a name that does not exist.

    Args:
        kind: what the name stands for, for example "data set".
        given: the name as the user typed it.
        allowed: every accepted name.
        fix: one more sentence on what to do, if there is one.
    """
    names = list(allowed)
    message = f"Unknown {kind} '{given}'.{nearest_hint(given, names)} Available: {listed(names)}."
    return UsageError(f"{message} {fix}".strip())
