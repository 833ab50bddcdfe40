"""The paper's experiments as rows: the model variations that tables and figures show. Pure.

A variation changes the parameters that it studies and keeps the values chosen for the data set elsewhere. Rows
with equal parameters share one run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.runs.plan import Variant

if TYPE_CHECKING:
    from bench.core.types import Features
    from bench.runs.records import DataFacts

LUDP = "ludp"
MAPPED_MODELS = ("lightgcn", LUDP)
N_ITEM_LAYERS, N_UI_LAYERS = (1, 2, 3), 2
KNN_K = (5, 10, 20, 50)
FUSIONS = ("attention", "sum", "concat_fc")
LUDP_PARTS: dict[str, dict[str, Any]] = {
    "base": {"use_item_graph": False, "use_user_pref": False},
    "item graph": {"use_item_graph": True, "use_user_pref": False},
    "user preference": {"use_item_graph": False, "use_user_pref": True},
    "full": {"use_item_graph": True, "use_user_pref": True},
}
# the variants in LUDP's YAML that are these rows as models, with a setting of their own
OWN_PARTS = {"base": "base", "item graph": "item_graph", "user preference": "user_pref"}
OWN_MODALITIES = ("visual", "acoustic", "textual")
READINGS: dict[str, dict[str, Any]] = {
    "Eq. 5 literal": {"item_graph_norm": "rsqrt_row"},
    "Eq. 5 mean": {"item_graph_norm": "mean"},
    "Eq. 5 sym_weighted": {"item_graph_norm": "sym_weighted"},
    "not its own neighbour": {"knn_self": False},
    "features trained": {"feat_trainable": True},
    "auxiliary l2": {"item_aux_norm": "l2"},
    "positives left out": {"pref_exclude_pos": True},
    "layers averaged": {"ui_readout": "mean"},
}
CONTENT_MODELS = ("ludp", "lattice", "vbpr", "grcn", "mmgcn", "acf")
CONTENT_ABLATIONS: tuple[Features, ...] = ("shuffled", "noise", "constant")


def modality_rows(facts: DataFacts) -> dict[str, Variant]:
    """Return the rows of Table 4 by modality: LUDP on each modality of the data, and on all."""
    names = [modality.name for modality in facts.modalities]
    rows = {name: Variant(LUDP, name=f"modality={name}", values={"modalities": [name]}) for name in names}
    return {**rows, "all": Variant(LUDP, name="modality=all", values={"modalities": "all"})}


def layer_rows() -> dict[int, Variant]:
    """Return the rows of Table 5 by number of item-item layers, with a fixed number of user-item layers."""
    shared = {"n_ui_layers": N_UI_LAYERS}
    return {
        n: Variant(LUDP, name=f"item layers={n}", values=_on_graph(**shared, n_item_layers=n))
        for n in N_ITEM_LAYERS
    }


def part_rows() -> dict[str, Variant]:
    """Return the rows of Figure 3 by the parts that are kept: LUDP with neither, one, or both."""
    return {name: Variant(LUDP, name=f"parts={name}", values=values) for name, values in LUDP_PARTS.items()}


def own_part_labels() -> dict[str, str]:
    """Return the labels of the rows of Figure 3 as models of their own, by the parts that are kept."""
    return {name: Variant(LUDP, variant).label for name, variant in OWN_PARTS.items()}


def own_modality_labels() -> dict[str, str]:
    """Return the labels of the rows of Table 4 as models of their own, by modality."""
    return {name: Variant(LUDP, name).label for name in OWN_MODALITIES}


def map_rows() -> dict[str, Variant]:
    """Return the rows of Figure 4: the models whose vectors it shows."""
    return {model: Variant(model) for model in MAPPED_MODELS}


def fusion_rows() -> dict[str, Variant]:
    """Return the rows of Figure 5 by kind of fusion."""
    return {fusion: Variant(LUDP, name=f"fusion={fusion}", values={"fusion": fusion}) for fusion in FUSIONS}


def neighbour_rows() -> dict[int, Variant]:
    """Return the rows of Figure 6 by number of neighbours in the item-item graphs."""
    return {k: Variant(LUDP, name=f"k={k}", values=_on_graph(knn_k=k)) for k in KNN_K}


def reading_rows() -> dict[str, Variant]:
    """Return one row per reading of an ambiguous LUDP equation, each a single change to variant `literal`."""
    return {
        name: Variant(LUDP, variant="literal", name=f"reading={name}", values=values)
        for name, values in READINGS.items()
    }


def ablation_rows() -> dict[tuple[str, Features], Variant]:
    """Return the content ablation by model and kind of features; kind "given" is the unchanged model."""
    rows = {
        (model, kind): Variant(model, name=f"features={kind}", features=kind)
        for model in CONTENT_MODELS
        for kind in CONTENT_ABLATIONS
    }
    return {**{(model, "given"): Variant(model) for model in CONTENT_MODELS}, **rows}


def _on_graph(**values: Any) -> dict[str, Any]:
    # The tuned values may switch the item graph off, and the variation would then change nothing.
    return {"use_item_graph": True, **values}
