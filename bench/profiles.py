"""Layer 1. How much a call runs by default. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Profile:
    """How much is run by default.

    Attributes:
        n_seeds: repetitions of every run.
        max_epochs: a lower bound on epochs than the protocol's, None to leave it at that. It saves time and is no
            choice of the evaluation: every caption counts the runs that it stopped.
        scale: size of a surrogate relative to the paper's data set.
        purpose: one line for `--list`.
    """

    n_seeds: int
    max_epochs: int | None
    scale: float
    purpose: str


PROFILES = {
    "quick": Profile(
        1, 30, 0.05, "one seed, 30 epochs at most, surrogates a twentieth of the size: minutes on a laptop"
    ),
    "smoke": Profile(1, 10, 0.01, "one seed, 10 epochs, tiny surrogates; with --check, its own data: a minute"),
    "full": Profile(5, None, 1.0, "five seeds, epochs up to the protocol's bound, surrogates at full size"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name == "paper":
        raise UsageError(
            "The profile 'paper' is called 'full' now, because 'paper' names a protocol: give --profile full, and "
            "--protocol paper beside it to stop and select as the paper does."
        )
    if name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return PROFILES[name]
