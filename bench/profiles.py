"""Layer 1. How much a call runs by default. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import unknown_name


@dataclass(frozen=True)
class Profile:
    """How much is run by default.

    Attributes:
        n_seeds: repetitions of every run.
        max_epochs: upper bound on epochs; the early stop usually comes first.
        scale: size of a surrogate relative to the paper's data set.
        purpose: one line for `--list`.
    """

    n_seeds: int
    max_epochs: int
    scale: float
    purpose: str


PROFILES = {
    "quick": Profile(
        1, 30, 0.05, "one seed, 30 epochs at most, surrogates a twentieth of the size: minutes on a laptop"
    ),
    "smoke": Profile(1, 10, 0.01, "one seed, 10 epochs, tiny surrogates; with --check, its own data: a minute"),
    "paper": Profile(5, 300, 1.0, "five seeds, at most 300 epochs, surrogates at full size"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return PROFILES[name]
