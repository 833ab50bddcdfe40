"""Layer 5. What becomes of runs that were made before: the `--on-existing` policies. Pure."""

from __future__ import annotations

from typing import Literal, cast

from bench.errors import unknown_name
from bench.record_files import Damaged
from bench.records import RunRecord

OnExisting = Literal["skip", "rerun", "only-missing"]
ON_EXISTING: dict[str, str] = {
    "skip": "keep finished runs, try failed ones again",
    "rerun": "make every run again",
    "only-missing": "keep finished and failed runs, make those without a record",
}


def check_on_existing(name: str) -> OnExisting:
    """The policy of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ON_EXISTING:
        raise unknown_name("--on-existing policy", name, ON_EXISTING)
    return cast(OnExisting, name)


def is_kept(existing: RunRecord | Damaged | None, policy: OnExisting) -> bool:
    """Whether a record stands, so that its run is not made."""
    if policy == "rerun" or not isinstance(existing, RunRecord):
        return False
    return existing.status == "finished" or policy == "only-missing"


def state_of(existing: RunRecord | Damaged | None, policy: OnExisting) -> str:
    """What is there of a run and what a policy does about it, in words."""
    if existing is None:
        return "to do"
    found = "damaged" if isinstance(existing, Damaged) else existing.status
    return f"{found}, kept" if is_kept(existing, policy) else f"{found}, made again"
