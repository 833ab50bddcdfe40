"""LUDP against a dense version written from the paper's equations, and its identities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch.autograd import gradcheck

from bench.core.types import BenchmarkData, Modality
from bench.engine.recbole import batch

pytestmark = pytest.mark.usefixtures("float64")

SIZE = 4
DATA = toy.random_data(seed=3, n_users=5, n_items=7, dims=(4, 3, 5), per_user=5)
ABSENT = toy.random_data(seed=4, n_users=5, n_items=9, dims=(4, 3, 5), per_user=5, absent=True)
SMALL = {"embedding_size": SIZE, "pref_hidden": 3, "att_dim": 5, "knn_k": 3}


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


class Reference:
    """The whole model on dense numpy arrays without padding, sharing no code with it."""

    def __init__(self, model: Any, data: BenchmarkData) -> None:
        self.p, self.data = model.params, data
        self.state = {key: value.detach().numpy() for key, value in model.state_dict().items()}
        self.eu, self.ei = self.state["user_embedding.weight"][1:], self.state["item_embedding.weight"][1:]
        self.r = np.zeros((data.n_users, data.n_items))
        self.r[data.split.train.users, data.split.train.items] = 1
        chosen = self.p.modalities
        self.modalities = [m for m in data.modalities if chosen == "all" or m.name in chosen]

    def collaborative(self) -> tuple[np.ndarray, np.ndarray]:
        du, di = self.r.sum(1), self.r.sum(0)
        a = np.zeros_like(self.r)
        for u, i in zip(*self.r.nonzero(), strict=True):
            a[u, i] = 1 / np.sqrt(du[u] * di[i])
        users, items, all_users, all_items = self.eu, self.ei, self.eu.copy(), self.ei.copy()
        for _ in range(self.p.n_ui_layers):
            users, items = a @ items, a.T @ users
            all_users, all_items = all_users + users, all_items + items
        n = self.p.n_ui_layers + 1 if self.p.ui_readout == "mean" else 1
        return all_users / n, all_items / n

    def item_matrix(self, m: Modality) -> np.ndarray:
        """Eqs. 3 to 5 for one modality."""
        n, p = self.data.n_items, self.p
        x = m.matrix.astype(np.float64)
        s = np.zeros((n, n))
        for i in np.flatnonzero(m.present):
            cosines = [
                (-round(float(unit(x[i]) @ unit(x[j])), 6), j)
                for j in np.flatnonzero(m.present)
                if j != i or not p.knn_self
            ]
            if p.knn_self:
                cosines = [(-1.0, i), *sorted(c for c in cosines if c[1] != i)]
            else:
                cosines = sorted(c for c in cosines if c[1] != i)
            for _, j in cosines[: p.knn_k]:
                s[i, j] = unit(x[i]) @ unit(x[j])
        b = (s != 0).astype(float)
        r, c = b.sum(1), np.maximum(b.sum(0), 1)
        g = np.zeros((n, n))
        for i, j in zip(*b.nonzero(), strict=True):
            if p.item_graph_norm == "sym_weighted":
                g[i, j] = s[i, j] / np.sqrt(s.sum(1)[i] * s.sum(1)[j])
            else:
                scale = {"rsqrt_row": r[i] ** 0.5, "mean": r[i], "sym_binary": (r[i] * c[j]) ** 0.5}
                g[i, j] = 1 / scale[p.item_graph_norm]
        return g

    def attention(
        self, side: str, values: list[np.ndarray], mask: np.ndarray, inputs: list[np.ndarray]
    ) -> np.ndarray:
        n_modalities = len(values)
        own = self.p.att_share == "none" or self.p.att_dim == "dm"
        logits = np.full(mask.shape, -np.inf)
        for m in range(n_modalities):
            w = self.state[f"{side}_fusion.weights.{0 if self.p.att_share == 'all' else m}"]
            q = self.state[f"{side}_fusion.queries.{m if own else 0}"]
            b = self.state[f"{side}_fusion.biases.{m if own else 0}"]
            for row in range(len(mask)):
                if mask[row, m]:
                    logits[row, m] = q @ np.tanh(w @ inputs[m][row] + b)
        return self.weighted(values, logits)

    @staticmethod
    def weighted(values: list[np.ndarray], logits: np.ndarray) -> np.ndarray:
        result = np.zeros_like(values[0])
        for row, line in enumerate(logits):
            if np.isfinite(line).any():
                weights = np.exp(line - line[np.isfinite(line)].max())
                weights /= weights.sum()
                result[row] = sum(weight * value[row] for weight, value in zip(weights, values, strict=True))
        return result

    def fuse(self, side: str, values: list[np.ndarray], mask: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
        how = self.p.fusion if self.p.fusion_side in ("both", side) else "attention"
        if how == "attention" and side == "user" and self.p.user_att == "global":
            logits = np.where(mask, self.state["user_fusion.modality_logits"], -np.inf)
            return self.weighted(values, logits)
        if how == "attention":
            shared = side == "user" and self.p.user_att == "shared_with_item"
            return self.attention("item" if shared else side, values, mask, inputs)
        if how == "concat_fc":
            w, b = self.state[f"{side}_fusion.weight"], self.state[f"{side}_fusion.bias"]
            parts = np.concatenate([value * mask[:, [m]] for m, value in enumerate(values)], axis=1)
            result = parts @ w.T + b
            act = {"none": lambda x: x, "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}
            act["leaky_relu"] = lambda x: leaky(x, self.p.leaky_slope)
            return act[self.p.fusion_act](result) * mask.any(1, keepdims=True)
        total = sum(value * mask[:, [m]] for m, value in enumerate(values))
        return total / np.maximum(mask.sum(1, keepdims=True), 1) if how == "mean" else total

    def item_content(self, collaborative: np.ndarray) -> np.ndarray:
        views = []
        for m in self.modalities:
            g = self.item_matrix(m)
            layers = [self.ei if self.p.item_graph_input == "ego" else collaborative]
            for _ in range(self.p.n_item_layers):
                layers.append(g @ layers[-1])
            views.append(
                {"last": layers[-1], "sum": sum(layers), "mean": sum(layers) / len(layers)}[
                    self.p.item_graph_readout
                ]
            )
        mask = np.stack([m.present for m in self.modalities], axis=1)
        h = self.fuse("item", views, mask, views)
        return unit(h) if self.p.item_aux_norm == "l2" else h

    def table(self, m: Modality, index: int) -> np.ndarray:
        if self.p.feat_trainable:
            return self.state[f"preferences.{index}.table"][1:]
        x = m.matrix.astype(np.float64)
        if self.p.feat_norm in ("zscore", "center_l2"):
            x = x - x[m.present].mean(0)
        if self.p.feat_norm == "zscore":
            x = x / x[m.present].std(0)
        if self.p.feat_norm in ("l2", "center_l2"):
            x = unit(x)
        return x * m.present[:, None]

    def user_content(self, collaborative: np.ndarray, left_out: dict[int, int]) -> np.ndarray:
        p, n_users = self.p, self.data.n_users
        projected, phats, mask = [], [], np.zeros((n_users, len(self.modalities)), dtype=bool)
        for k, m in enumerate(self.modalities):
            x, rows = self.table(m, k), np.zeros((n_users, SIZE))
            for u in range(n_users):
                own = [i for i in np.flatnonzero(self.r[u]) if m.present[i] and i != left_out.get(u)]
                if own:
                    mask[u, k] = True
                hidden = self.state[f"preferences.{k}.w1"] @ (x[own].mean(0) if own else np.zeros(x.shape[1]))
                hidden = leaky(hidden + self.state.get(f"preferences.{k}.b1", 0.0), p.leaky_slope)
                second = self.state[f"preferences.{k}.w2"] @ hidden + self.state.get(f"preferences.{k}.b2", 0.0)
                rows[u] = leaky(second, p.leaky_slope)
            base = {"ego": self.eu, "propagated": collaborative, "none": np.zeros_like(self.eu)}[p.pref_user_base]
            projected.append(rows)
            if p.pref_combine == "add":
                phats.append(rows + base)
            else:
                phats.append(np.concatenate([rows, base], 1) @ self.state[f"preferences.{k}.mixer"].T)
        return self.fuse("user", phats, mask, phats if p.user_att_input == "phat" else projected)

    def embed(self, left_out: dict[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        users, items = self.collaborative()
        extra_users = self.user_content(users, left_out or {}) if self.p.use_user_pref else None
        extra_items = self.item_content(items) if self.p.use_item_graph else None
        join = (
            (lambda a, b: np.concatenate([a, b], 1)) if self.p.final_combine == "concat" else (lambda a, b: a + b)
        )
        return (
            users if extra_users is None else join(users, extra_users),
            items if extra_items is None else join(items, extra_items),
        )

    def scores(self) -> torch.Tensor:
        users, items = self.embed()
        return torch.from_numpy(users @ items.T)


def perturbed(data: BenchmarkData, **switches: Any) -> Any:
    """A model with every parameter, biases included, away from zero."""
    model = toy.build_model("ludp", data, **{**SMALL, **switches})
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


SWITCHES: list[dict[str, Any]] = [
    {},
    {"ui_readout": "mean", "n_ui_layers": 3},
    {"n_ui_layers": 0},
    {"use_item_graph": False},
    {"use_user_pref": False},
    {"knn_self": False},
    {"knn_k": 1, "knn_self": False},
    {"item_graph_norm": "mean", "n_item_layers": 2},
    {"item_graph_norm": "sym_binary", "n_item_layers": 3},
    {"item_graph_norm": "sym_weighted", "knn_clip_negative": False, "knn_k": 2},
    {"item_graph_input": "propagated"},
    {"item_graph_readout": "sum", "n_item_layers": 2},
    {"item_graph_readout": "mean", "n_item_layers": 2},
    {"item_aux_norm": "l2"},
    {"feat_trainable": True},
    {"feat_norm": "none"},
    {"feat_norm": "zscore"},
    {"feat_norm": "center_l2"},
    {"pref_bias": True},
    {"w2_share": True},
    {"pref_combine": "concat_fc"},
    {"pref_user_base": "propagated"},
    {"pref_user_base": "none"},
    {"leaky_slope": 0.2},
    {"fusion": "sum"},
    {"fusion": "mean"},
    {"fusion": "concat_fc"},
    {"fusion": "concat_fc", "fusion_act": "tanh"},
    {"fusion": "concat_fc", "fusion_act": "relu"},
    {"fusion": "concat_fc", "fusion_act": "leaky_relu"},
    {"fusion": "sum", "fusion_side": "item"},
    {"fusion": "sum", "fusion_side": "user"},
    {"att_dim": "dm"},
    {"att_share": "all"},
    {"att_share": "none"},
    {"user_att": "global"},
    {"user_att": "shared_with_item"},
    {"user_att_input": "proj"},
    {"final_combine": "concat"},
    {"modalities": ["acoustic"]},
    {"modalities": ["textual", "visual"]},
]


@pytest.mark.parametrize("data", [DATA, ABSENT], ids=["complete", "absent"])
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_scores_equal_the_dense_reference(data: BenchmarkData, switches: dict[str, Any]) -> None:
    if switches.get("modalities") == ["textual", "visual"]:
        data = toy.data_of(
            data.split.train, data.split.valid, data.split.test, data.modalities[2], data.modalities[0]
        )
    model = perturbed(data, **switches)
    torch.testing.assert_close(toy.scores(model), Reference(model, data).scores(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_every_switch_changes_the_scores(switches: dict[str, Any]) -> None:
    """A switch that does nothing would make its ablation a copy of the default."""
    plain = perturbed(DATA)
    if switches:
        other = perturbed(DATA, **switches)
        assert not torch.allclose(toy.scores(plain), toy.scores(other))


@pytest.mark.parametrize("data", [DATA, ABSENT], ids=["complete", "absent"])
def test_leaving_the_positive_out_happens_in_training_only(data: BenchmarkData) -> None:
    model = perturbed(data, pref_exclude_pos=True)
    reference = Reference(model, data)
    torch.testing.assert_close(toy.scores(model), reference.scores(), rtol=1e-10, atol=1e-10)
    model.train()
    train = data.split.train
    for user, positive in zip(train.users.tolist(), train.items.tolist(), strict=True):
        ids = [torch.tensor([n]) for n in (user + 1, positive + 1, 1)]
        rows = model.embed_batch(*ids)
        users, items = reference.embed({user: positive})
        torch.testing.assert_close(rows[0][0], torch.from_numpy(users[user]), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(rows[1][0], torch.from_numpy(items[positive]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "switches",
    [
        {"reg_weight": 0.5},
        {"reg_weight": 0.5, "reg_scope": "ego"},
        {"reg_weight": 0.5, "reg_scope": "final"},
        {"reg_weight": 0.5, "reg_scope": "all_params"},
        {"reg_weight": 0.5, "bpr_reduction": "sum"},
        {"reg_weight": 0.5, "use_item_graph": False, "use_user_pref": False},  # it has no matrices then
    ],
    ids=str,
)
def test_loss_equals_the_dense_reference(switches: dict[str, Any]) -> None:
    model, interaction = perturbed(DATA, **switches), toy.triples(DATA, n=7)
    users, items = Reference(model, DATA).embed()
    u, i, j = (interaction[key].numpy() - 1 for key in ("user_id", "item_id", "neg_item_id"))
    gaps = (users[u] * (items[i] - items[j])).sum(1)
    bpr = np.log1p(np.exp(-gaps))
    eu, ei = (model.state_dict()[f"{side}_embedding.weight"].numpy()[1:] for side in ("user", "item"))
    squares = {name: float((value.detach() ** 2).sum()) for name, value in model.named_parameters()}
    ego = (np.square(eu[u]).sum() + np.square(ei[i]).sum() + np.square(ei[j]).sum()) / 14
    final = (np.square(users[u]).sum() + np.square(items[i]).sum() + np.square(items[j]).sum()) / 14
    weights = sum(value for name, value in squares.items() if "embedding" not in name) / 2
    expected = {
        "ego": ego,
        "final": final,
        "ego+weights": ego + weights,
        "all_params": sum(squares.values()),
    }[switches.get("reg_scope", "ego+weights")]
    losses = model.calculate_loss(interaction)
    reduced = bpr.sum() if switches.get("bpr_reduction") == "sum" else bpr.mean()
    torch.testing.assert_close(losses[0], torch.tensor(reduced), rtol=1e-10, atol=0)
    torch.testing.assert_close(losses[1], torch.tensor(0.5 * expected), rtol=1e-10, atol=0)


def losses_of(model: Any, state: dict[str, torch.Tensor], interaction: Any) -> Any:
    """The model's loss as a function of its parameters."""

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Any:
            return self.model.calculate_loss(interaction)

    return torch.func.functional_call(Loss(), {f"model.{key}": value for key, value in state.items()}, ())


def similarity_gap(data: BenchmarkData, k: int) -> float:
    """Smallest distance between the k-th and the next similarity of any list, the item itself in front."""
    gaps = []
    for m in data.modalities:
        cosines = -np.sort(-(unit(m.matrix.astype(float)) @ unit(m.matrix.astype(float)).T), axis=1)
        gaps.append((cosines[:, k - 1] - cosines[:, k]).min())
    return float(min(gaps))


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"feat_trainable": True, "pref_bias": True, "w2_share": True, "att_share": "none"},
        {"fusion": "concat_fc", "fusion_act": "tanh", "pref_combine": "concat_fc", "final_combine": "concat"},
        {"user_att": "global", "item_aux_norm": "l2", "n_item_layers": 2, "item_graph_norm": "sym_weighted"},
        {"pref_exclude_pos": True, "reg_scope": "ego", "item_graph_input": "propagated"},
    ],
    ids=str,
)
def test_gradcheck_of_every_parameter(switches: dict[str, Any]) -> None:
    assert similarity_gap(DATA, 3) > 1e-3
    model = perturbed(DATA, reg_weight=0.1, **switches).train()
    interaction = toy.triples(DATA, n=5)
    names = [name for name, _ in model.named_parameters()]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        bpr, regularisation = losses_of(model, dict(zip(names, values, strict=True)), interaction)
        return bpr + regularisation

    values = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    # with other switches along random directions, which a wrong gradient of any parameter changes as well
    assert gradcheck(loss, values, atol=1e-6, fast_mode=bool(switches))


def same(first: Any, second: Any) -> None:
    torch.testing.assert_close(toy.scores(first), toy.scores(second), rtol=1e-10, atol=1e-10)


def copied(source: Any, target: Any, rename: dict[str, str] | None = None) -> Any:
    """`target` with the parameters of `source` under the same, or the renamed, keys."""
    rename = rename or {}
    target.load_state_dict({key: source.state_dict()[rename.get(key, key)] for key in target.state_dict()})
    return target


def test_without_branches_it_is_lightgcn_with_the_sum_readout() -> None:
    model = perturbed(DATA, use_item_graph=False, use_user_pref=False)
    same(model, copied(model, toy.build_model("lightgcn", DATA, embedding_size=SIZE, ui_readout="sum")))
    mean = copied(model, toy.build_model("lightgcn", DATA, embedding_size=SIZE))
    torch.testing.assert_close(toy.scores(model), 9 * toy.scores(mean))


@pytest.mark.parametrize(
    "switches", [{}, {"feat_norm": "center_l2"}, {"item_graph_norm": "sym_weighted"}], ids=str
)
def test_scaling_a_modality_changes_nothing(switches: dict[str, Any]) -> None:
    scaled = [Modality(m.name, m.matrix * 8, m.present, "scaled", "test") for m in DATA.modalities]
    other = toy.data_of(DATA.split.train, DATA.split.valid, DATA.split.test, *scaled)
    model = perturbed(DATA, **switches)
    same(model, copied(model, perturbed(other, **switches)))


def test_order_of_the_modalities_changes_nothing() -> None:
    forward, backward = (
        perturbed(DATA, modalities=names) for names in (["visual", "textual"], ["textual", "visual"])
    )
    rename = {
        key: key.replace(f".{m}.", f".{1 - m}.") if ".weights." not in key else key[:-1] + str(1 - int(key[-1]))
        for key in forward.state_dict()
        for m in (0, 1)
        if f"preferences.{m}." in key or key.endswith(f"fusion.weights.{m}")
    }
    same(forward, copied(forward, backward, rename))


def test_two_copies_of_a_modality_equal_one() -> None:
    visual = DATA.modalities[0]
    twin = Modality("twin", visual.matrix, visual.present, visual.fingerprint, "test")
    single = perturbed(toy.data_of(DATA.split.train, DATA.split.valid, DATA.split.test, visual))
    pair = toy.build_model(
        "ludp", toy.data_of(DATA.split.train, DATA.split.valid, DATA.split.test, visual, twin), **SMALL
    )
    rename = {
        key: key.replace("preferences.1.", "preferences.0.").replace("weights.1", "weights.0")
        for key in pair.state_dict()
    }
    same(single, copied(single, pair, rename))


def test_sum_is_k_times_mean() -> None:
    by_sum = perturbed(DATA, fusion="sum")
    by_mean = copied(by_sum, toy.build_model("ludp", DATA, **SMALL, fusion="mean"))
    ours, others = (model._collaborative().split([model.n_users, model.n_items]) for model in (by_sum, by_mean))
    for side, table in enumerate(ours):
        torch.testing.assert_close(table, others[side])
        torch.testing.assert_close(by_sum.embed()[side] - table, 3 * (by_mean.embed()[side] - table))


def test_one_modality_leaves_the_attention_without_gradient() -> None:
    model = perturbed(DATA, modalities=["visual"], reg_scope="ego")  # the matrices' L2 term would move it
    sum(model.calculate_loss(toy.triples(DATA))).backward()
    for name, parameter in model.named_parameters():
        silent = "fusion" in name
        assert (parameter.grad.abs().max() < 1e-12) == silent, name


def test_number_of_parameters() -> None:
    """64 N + 64 s + K 64^2 + 2 (K 64^2 + 128), padding rows included."""
    model = toy.build_model("ludp", DATA)
    n, s, k = DATA.n_users + DATA.n_items + 2, sum(m.dim for m in DATA.modalities), 3
    expected = 64 * n + 64 * s + k * 64 * 64 + 2 * (k * 64 * 64 + 128)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    trainable = toy.build_model("ludp", DATA, feat_trainable=True)
    more = sum(parameter.numel() for parameter in trainable.parameters()) - expected
    assert more == (DATA.n_items + 1) * s


def test_refreshing_rebuilds_the_item_graphs_once_an_epoch() -> None:
    model = perturbed(DATA, feat_trainable=True, item_graph_refresh="epoch").train()
    n_pairs = len(DATA.split.train)
    first, last = (batch(*[torch.ones(n, dtype=torch.int64)] * 3) for n in (n_pairs - 1, 1))
    model.calculate_loss(first)
    built = model.item_graphs.first
    model.calculate_loss(last)
    assert model.item_graphs.first is built
    with torch.no_grad():
        model.preferences[0].table.copy_(torch.randn(DATA.n_items + 1, DATA.modalities[0].dim))
    model.calculate_loss(last)
    assert model.item_graphs.first is not built
    assert not torch.equal(model.item_graphs.first.columns, built.columns)


def test_a_restored_state_brings_its_item_graphs_back() -> None:
    """The best epoch is tested after later ones were trained, with the item graphs of its own features."""
    model = perturbed(DATA, feat_trainable=True, item_graph_refresh="epoch")
    best, scores = {key: value.clone() for key, value in model.state_dict().items()}, toy.scores(model).clone()
    with torch.no_grad():
        model.preferences[0].table.copy_(torch.randn(DATA.n_items + 1, DATA.modalities[0].dim))
    model.train().calculate_loss(toy.triples(DATA))
    assert not torch.equal(toy.scores(model.eval()), scores)
    model.load_state_dict(best)
    torch.testing.assert_close(toy.scores(model), scores, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"item_graph_refresh": "epoch"}, "feat_trainable"),
        ({"user_att": "shared_with_item", "use_item_graph": False}, "both branches"),
        ({"user_att": "shared_with_item", "fusion": "sum"}, "fusion: attention"),
        ({"user_att": "shared_with_item", "fusion": "sum", "fusion_side": "user"}, "fusion: attention"),
        ({"final_combine": "concat", "use_user_pref": False}, "both branches"),
        ({"modalities": ["visaul"]}, "'visual'"),
        ({"modalities": []}, "distinct"),
    ],
)
def test_contradictory_switches_are_refused(switches: dict[str, Any], words: str) -> None:
    from bench.core.errors import ConfigError

    with pytest.raises(ConfigError, match=words):
        toy.build_model("ludp", DATA, **switches)
