"""The list of all contract checks, the models that each applies to, and the function that runs them. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.checks.contract import behaviour, effects, form
from bench.checks.contract.toys import ContractError
from bench.engine import registry
from bench.runs.controls import is_control

Kind = Literal["all", "trained", "control", "content"]


@dataclass(frozen=True)
class Check:
    """One check of the contract.

    Attributes:
        run: takes the name of a model and raises `ContractError`.
        kind: the kind of models that it applies to.
    """

    run: Callable[[str], None]
    kind: Kind = "all"

    @property
    def title(self) -> str:
        """Return the name of the check in words."""
        return self.run.__name__.replace("_", " ")

    def applies_to(self, name: str) -> bool:
        """Return whether the check applies to a model."""
        if self.kind == "content":
            return registry.load(name).card.uses_content
        return self.kind == "all" or (self.kind == "control") == is_control(name)


CHECKS = (
    Check(form.yaml_fits_params),
    Check(form.parameters_are_documented),
    Check(effects.every_parameter_has_an_effect),
    Check(effects.every_switch_is_scored_from_its_state, "trained"),
    Check(form.no_fixed_device),
    Check(form.tables_have_the_right_shape, "trained"),
    Check(form.losses_are_finite_and_two, "trained"),
    Check(form.scores_have_the_right_shape),
    Check(form.only_controls_have_nothing_to_train),
    Check(form.controls_have_one_epoch, "control"),
    Check(behaviour.every_parameter_moves, "trained"),
    Check(behaviour.batch_path_equals_all_nodes, "trained"),
    Check(behaviour.scores_follow_the_last_step, "trained"),
    Check(behaviour.short_batch_is_normalised, "trained"),
    Check(behaviour.same_seed_same_bits),
    Check(behaviour.another_seed_differs),
    Check(behaviour.interrupted_training_goes_on, "trained"),
    Check(form.trains_under_recbole, "trained"),
    Check(behaviour.saved_model_scores_the_same),
    Check(behaviour.only_new_items_are_recommended),
    Check(behaviour.padding_plays_no_part, "trained"),
    Check(behaviour.duplicates_change_nothing),
    Check(behaviour.isolated_nodes_are_finite),
    Check(behaviour.any_number_of_modalities, "content"),
    Check(behaviour.missing_features_as_zeros, "content"),
)


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        check: the check.
        problem: the error that it raised; None if it passed.
    """

    check: Check
    problem: ContractError | None


def run_checks(name: str) -> Iterator[CheckResult]:
    """Run every check that applies to a model, and yield the results."""
    for check in CHECKS:
        if check.applies_to(name):
            yield CheckResult(check, _problem(check, name))


def _problem(check: Check, name: str) -> ContractError | None:
    try:
        check.run(name)
    except ContractError as problem:
        return problem
    except Exception as problem:  # any error of the model's own code
        own = registry.load(name).path.parent
        frames = traceback.extract_tb(problem.__traceback__)
        inside = [frame for frame in frames if Path(frame.filename).parent == own] or list(frames)
        return ContractError(
            f"{type(problem).__name__}: {problem} ({inside[-1].filename}, line {inside[-1].lineno}).",
            "The model's code raised an error before the check was done.",
            "Correct that line, and check again.",
        )
    return None
