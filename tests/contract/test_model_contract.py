"""What every model must honour: each check of `bench.checks.contract` on each model that it applies to."""

from __future__ import annotations

import inspect

import pytest

from bench.checks.contract import behaviour, effects, form
from bench.checks.contract.suite import CHECKS, Check
from bench.engine import registry

CASES = [(check, name) for check in CHECKS for name in registry.names() if check.applies_to(name)]


@pytest.mark.parametrize(("check", "name"), CASES, ids=[f"{check.run.__name__}-{name}" for check, name in CASES])
def test_a_model_honours_the_contract(check: Check, name: str) -> None:
    check.run(name)


def test_every_check_is_in_the_suite() -> None:
    """`check-model` runs what the tests run; a check that is written and not listed would never run."""
    written = {
        each
        for room in (behaviour, effects, form)
        for name, each in vars(room).items()
        if inspect.isfunction(each) and each.__module__ == room.__name__ and not name.startswith("_")
        if [*inspect.signature(each).parameters] == ["name"]
    }
    assert {check.run for check in CHECKS} == written
