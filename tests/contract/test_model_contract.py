"""What every model must honour; the subjects are found in the registry, `bench.checks.contract` has the checks."""

from __future__ import annotations

import pytest
import toy

from bench.checks.contract import behaviour, form
from bench.checks.contract.suite import CHECKS
from bench.engine import registry

MODELS, TRAINED, CONTROLS = registry.names(), toy.trained(), toy.controls()
CONTENT = [name for name in MODELS if registry.load(name).card.uses_content]


@pytest.mark.parametrize("name", TRAINED)
def test_shapes_of_tables_and_finite_loss(name: str) -> None:
    form.tables_have_the_right_shape(name)
    form.losses_are_finite_and_two(name)


@pytest.mark.parametrize("name", MODELS)
def test_shapes_of_scores(name: str) -> None:
    form.scores_have_the_right_shape(name)


@pytest.mark.parametrize("name", MODELS)
def test_only_controls_have_nothing_to_train(name: str) -> None:
    form.only_controls_have_nothing_to_train(name)


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_have_no_loss_and_one_epoch(name: str) -> None:
    form.controls_have_one_epoch(name)


@pytest.mark.parametrize("name", TRAINED)
def test_one_step_moves_every_parameter_and_nothing_trainable_is_outside(name: str) -> None:
    behaviour.every_parameter_moves(name)


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_model_scores_the_same(name: str) -> None:
    behaviour.saved_model_scores_the_same(name)


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_twice_is_bit_equal(name: str) -> None:
    behaviour.same_seed_same_bits(name)


@pytest.mark.parametrize("name", MODELS)
def test_another_seed_differs_where_something_is_trained(name: str) -> None:
    behaviour.another_seed_differs(name)


@pytest.mark.parametrize("name", TRAINED)
def test_interrupted_training_goes_on_with_the_same_bits(name: str) -> None:
    behaviour.interrupted_training_goes_on(name)


@pytest.mark.parametrize("name", TRAINED)
def test_batch_path_equals_all_nodes_path(name: str) -> None:
    behaviour.batch_path_equals_all_nodes(name)


@pytest.mark.parametrize("name", TRAINED)
def test_scores_are_taken_after_the_last_step(name: str) -> None:
    behaviour.scores_follow_the_last_step(name)


@pytest.mark.parametrize("name", MODELS)
def test_seen_items_and_padding_are_never_recommended(name: str) -> None:
    behaviour.only_new_items_are_recommended(name)


@pytest.mark.parametrize("name", TRAINED)
def test_padding_plays_no_part_in_real_scores(name: str) -> None:
    behaviour.padding_plays_no_part(name)


@pytest.mark.parametrize("name", CONTENT)
def test_any_number_of_modalities_and_absent_items(name: str) -> None:
    behaviour.any_number_of_modalities(name)


@pytest.mark.parametrize("name", CONTENT)
def test_zero_policy_for_missing_features_runs(name: str) -> None:
    behaviour.missing_features_as_zeros(name)


@pytest.mark.parametrize("name", TRAINED)
def test_last_short_batch_is_normalised_by_its_own_size(name: str) -> None:
    behaviour.short_batch_is_normalised(name)


@pytest.mark.parametrize("name", MODELS)
def test_duplicated_interactions_change_nothing(name: str) -> None:
    behaviour.duplicates_change_nothing(name)


@pytest.mark.parametrize("name", MODELS)
def test_isolated_user_and_item_have_finite_scores(name: str) -> None:
    behaviour.isolated_nodes_are_finite(name)


@pytest.mark.parametrize("name", MODELS)
def test_no_hard_coded_device(name: str) -> None:
    form.no_fixed_device(name)


@pytest.mark.parametrize("name", MODELS)
def test_yaml_gives_exactly_the_declared_parameters(name: str) -> None:
    form.yaml_fits_params(name)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_documented(name: str) -> None:
    form.parameters_are_documented(name)


def test_every_check_is_in_the_suite() -> None:
    """`check-model` asks what the tests ask; a check that is written and not listed is asked by nobody."""
    written = {
        getattr(room, name)
        for room in (behaviour, form, form, behaviour)
        for name in vars(room)
        if getattr(getattr(room, name), "__module__", "") == room.__name__ and not name.startswith("_")
    }
    assert {check.run for check in CHECKS} == {each for each in written if callable(each)}
