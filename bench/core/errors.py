"""The errors a user can meet, and how they are worded. Touches nothing.

Every error says what was given, what is allowed, the nearest name and what to do. The command line
prints the message as one paragraph and ends with `exit_code`; a traceback means a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of all errors that are meant to be read by a user."""

    exit_code = 2


class UsageError(BenchError):
    """A command-line argument cannot be honoured."""


class ConfigError(BenchError):
    """A card or a parameter file does not say what it must."""


class DataError(BenchError):
    """A data file is missing, malformed, or not what its card promises."""


class FetchError(DataError):
    """A file could not be fetched; `url` and `reason` say which and why."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, " ".join(reason.split()).rstrip(".")
        super().__init__(
            f"{url} could not be fetched: {self.reason}. What arrived is kept: the same command goes on from "
            "there. Or fetch the files by other means, and name the directory above them with --data-dir."
        )


class ResultsError(BenchError):
    """The results directory cannot be written, or holds something that is no valid record."""


class TrainingError(BenchError):
    """A run cannot go on, for example because its loss is not finite. The run is recorded as failed."""


def listed(names: Iterable[str]) -> str:
    """Names as one readable enumeration, or a dash when there are none."""
    return ", ".join(names) or "-"


def nearest_hint(given: str, allowed: Iterable[str]) -> str:
    """' Did you mean X?' for the closest allowed name, or nothing when none is close."""
    by_lower = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(given.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def unknown_name(kind: str, given: str, allowed: Iterable[str], fix: str = "") -> UsageError:
    """The error for a name that does not exist.

    Args:
        kind: what the name stands for, for example "data set".
        given: the name as it was typed.
        allowed: every name that would have been accepted.
        fix: one more sentence on what to do, when there is one.
    """
    names = list(allowed)
    message = f"Unknown {kind} '{given}'.{nearest_hint(given, names)} Available: {listed(names)}."
    return UsageError(f"{message} {fix}".strip())
