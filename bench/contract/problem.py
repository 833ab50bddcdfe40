"""Layer 5. The error of a model that breaks its contract. Touches nothing."""

from __future__ import annotations

from bench.errors import BenchError


class ContractError(BenchError):
    """A model does not do what every model must.

    Attributes:
        what: what was found.
        means: why that matters.
        mend: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, means: str, mend: str) -> None:
        self.what, self.means, self.mend = what, means, mend
        super().__init__(f"{what} {means} {mend}")


def require(holds: object, what: str, means: str, mend: str) -> None:
    """Go on only if something holds.

    Raises:
        ContractError: it does not.
    """
    if not holds:
        raise ContractError(what, means, mend)
