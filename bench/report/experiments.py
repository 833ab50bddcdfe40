"""The paper's experiments as rows: which variations of which models tables and figures are made of. Pure.

A variation changes what it is about and leaves the rest as chosen for the data set. Where it is about the item
graph, that is switched on, whatever was chosen. Rows with equal parameters are one run.
"""

from __future__ import annotations

from typing import Any

from bench.core.types import Features
from bench.runs.plan import Row
from bench.runs.records import DataFacts

LUDP = "ludp"
N_ITEM_LAYERS, N_UI_LAYERS = (1, 2, 3), 2
KNN_K = (5, 10, 20, 50)
FUSIONS = ("attention", "sum", "concat_fc")
PARTS: dict[str, dict[str, Any]] = {
    "base": {"use_item_graph": False, "use_user_pref": False},
    "item graph": {"use_item_graph": True, "use_user_pref": False},
    "user preference": {"use_item_graph": False, "use_user_pref": True},
    "full": {"use_item_graph": True, "use_user_pref": True},
}
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
CONTENT_MODELS = ("ludp", "vbpr", "lattice")
FEATURE_CONTROLS: tuple[Features, ...] = ("shuffled", "noise", "constant")


def modality_rows(facts: DataFacts) -> dict[str, Row]:
    """Table 4: LUDP on each modality that the data has, and on all, by modality."""
    names = [modality.name for modality in facts.modalities]
    rows = {name: Row(LUDP, name=f"modality={name}", values={"modalities": [name]}) for name in names}
    return {**rows, "all": Row(LUDP, name="modality=all", values={"modalities": "all"})}


def layer_rows() -> dict[int, Row]:
    """Table 5: LUDP by number of layers on the item-item graphs, beside a fixed number on the user-item graph."""
    shared = {"n_ui_layers": N_UI_LAYERS}
    return {
        n: Row(LUDP, name=f"item layers={n}", values=_on_graph(**shared, n_item_layers=n)) for n in N_ITEM_LAYERS
    }


def part_rows() -> dict[str, Row]:
    """Figure 3: LUDP without its parts, by what is there."""
    return {name: Row(LUDP, name=f"parts={name}", values=values) for name, values in PARTS.items()}


def fusion_rows() -> dict[str, Row]:
    """Figure 5: LUDP by kind of fusion."""
    return {fusion: Row(LUDP, name=f"fusion={fusion}", values={"fusion": fusion}) for fusion in FUSIONS}


def neighbour_rows() -> dict[int, Row]:
    """Figure 6: LUDP by number of neighbours in the item-item graphs."""
    return {k: Row(LUDP, name=f"k={k}", values=_on_graph(knn_k=k)) for k in KNN_K}


def reading_rows() -> dict[str, Row]:
    """Readings of LUDP's equations that the text leaves open, each alone, from the literal one."""
    return {
        name: Row(LUDP, variant="literal", name=f"reading={name}", values=values)
        for name, values in READINGS.items()
    }


def control_rows() -> dict[tuple[str, Features], Row]:
    """Content models with content that says nothing, by model and kind; "given" is the model itself."""
    rows = {
        (model, kind): Row(model, name=f"features={kind}", features=kind)
        for model in CONTENT_MODELS
        for kind in FEATURE_CONTROLS
    }
    return {**{(model, "given"): Row(model) for model in CONTENT_MODELS}, **rows}


def _on_graph(**values: Any) -> dict[str, Any]:
    return {"use_item_graph": True, **values}
