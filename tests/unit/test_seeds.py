"""Seeds and hashes depend on what they should and on nothing else."""

from __future__ import annotations

import numpy as np

from bench.core.hashing import derive_seed, hash_array, hash_value


def test_seed_is_fixed_for_ever() -> None:
    """A changed value would change every published number."""
    assert derive_seed(2023, "tiktok", "ludp", 0, "init") == 3099517803944240548


def test_every_coordinate_matters_and_their_borders_too() -> None:
    seeds = {
        derive_seed(2023, "tiktok", "ludp", 0, "init"),
        derive_seed(2024, "tiktok", "ludp", 0, "init"),
        derive_seed(2023, "movielens", "ludp", 0, "init"),
        derive_seed(2023, "tiktok", "mf", 0, "init"),
        derive_seed(2023, "tiktok", "ludp", 1, "init"),
        derive_seed(2023, "tiktok", "ludp", 0, "triples"),
        derive_seed(2023, "tiktokludp", "", 0, "init"),
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_hash_of_a_value_ignores_the_order_of_keys() -> None:
    assert hash_value({"a": 1, "b": [1, 2]}) == hash_value({"b": [1, 2], "a": 1})
    assert hash_value([1, 2]) != hash_value([2, 1])


def test_hash_of_an_array_sees_type_shape_and_content() -> None:
    array = np.arange(6)
    hashes = {
        hash_array(array),
        hash_array(array.astype(np.int32)),
        hash_array(array.reshape(2, 3)),
        hash_array(array[::-1]),
    }
    assert len(hashes) == 4
    assert hash_array(array.reshape(2, 3).T) == hash_array(np.ascontiguousarray(array.reshape(2, 3).T))
