"""Our models equal their plain formulations in float64: final tables, losses and every gradient."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import toy

from plain import PLAIN, batch_loss, lattice

CASES: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in sorted(PLAIN)],
    ("lightgcn", {"n_layers": 3, "ui_readout": "sum"}),
    ("ngcf", {"hidden_sizes": [4, 2]}),
    ("mmgcn", {"mmgcn_latent": 2, "n_layers": 3}),
    ("mmgcn", {"mmgcn_combine": "ele", "mm_readout": "sum", "feat_norm": "none"}),
    ("grcn", {"n_routings": 0}),
    ("lattice", {"n_item_layers": 2, "feat_trainable": False}),
    ("ludp", {"n_item_layers": 2, "item_graph_norm": "mean", "ui_readout": "mean", "knn_k": 3}),
]


def close(ours: torch.Tensor, plain: torch.Tensor, what: str) -> None:
    """Equal to 1e-12 of the largest entry."""
    scale = float(plain.detach().abs().max())
    torch.testing.assert_close(
        ours, plain, rtol=1e-12, atol=1e-12 * max(scale, 1e-3), msg=lambda m: f"{what}: {m}"
    )


def test_every_trained_model_has_a_plain_formulation() -> None:
    assert sorted(PLAIN) == toy.trained()


@pytest.mark.parametrize("absent", [True, False], ids=["items lack modalities", "all modalities"])
@pytest.mark.parametrize(("name", "overrides"), CASES, ids=lambda value: str(value))
def test_tables_loss_and_gradients_agree(
    float64: None, name: str, overrides: dict[str, Any], absent: bool
) -> None:
    data = dense.small_data(absent=dense.ABSENT if absent else ((), (), ()))
    model = dense.build(name, data, **overrides)
    with torch.no_grad():
        for what, ours, plain in zip(("users", "items"), model.embed(), PLAIN[name](model), strict=True):
            close(ours[1:], plain[1:], what)
    expected = batch_loss(model, PLAIN[name](model), dense.BATCH)
    own = dense.loss_of(model)
    close(own, expected, "loss")
    found, wanted = dense.gradients(own, model), dense.gradients(expected, model)
    assert sum(float(gradient.abs().sum()) > 0 for gradient in wanted.values()) > len(wanted) / 2
    for key, gradient in found.items():
        close(gradient, wanted[key], key)


def test_lattice_normalises_alike_with_written_out_degree_matrices(float64: None) -> None:
    model = dense.build("lattice", dense.small_data())
    given = lattice.constants(model)
    close(lattice.item_graph(model, given, released=True), lattice.item_graph(model, given), "graph")


def test_a_switch_without_plain_formulation_is_refused(float64: None) -> None:
    model = dense.build("ngcf", dense.small_data(), ngcf_variant="official")
    with pytest.raises(NotImplementedError, match="ngcf_variant: official"):
        PLAIN["ngcf"](model)
