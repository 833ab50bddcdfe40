"""Figure 4: who is drawn, the number under a panel, and what is said where there is nothing to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import build_model, data_of, modality, pairs

from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.report.figure import write_figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.tables.user_map import CSV_HEADER, MAX_ITEMS, MIN_ITEMS, N_USERS, build, choose, cloud_silhouette
from bench.runs.records import DataFacts, RunRecord
from bench.runs.runner import final_vectors
from bench.runs.store import ResultsStore

N, M = 30, 200


@pytest.fixture(scope="module")
def data() -> BenchmarkData:
    """Every second user has 20 items, the others have 5."""
    rng = np.random.default_rng(0)
    edges = [(u, int(i)) for u in range(N) for i in rng.choice(M, 5 if u % 2 else 20, replace=False)]
    held = pairs([(0, 0)], N, M)
    return data_of(pairs(edges, N, M), held, held, modality("visual", rng.normal(size=(M, 4))))


@pytest.fixture
def made(data: BenchmarkData, make_record: Any, tmp_path: Path) -> Any:
    """A finished run whose parameters are those of a model built with another seed."""

    def make(label: str) -> tuple[RunRecord, Any]:
        model = build_model(label, data, seed=7, embedding_size=8)
        params = registry.load(label).params(data.name, overrides={"embedding_size": 8}).model_dump()
        record = make_record(label, facts=DataFacts.of(data), params=params, seeds={"init": 1})
        ResultsStore(tmp_path).write_checkpoint(record.key, model.state_dict(), {})
        return record, model

    return make


def test_users_with_many_items_are_drawn_and_each_item_once(data: BenchmarkData) -> None:
    sample = choose(data, seed=3)
    train = data.split.train
    assert len(sample.users) == N_USERS
    assert (np.diff(train.offsets)[sample.users] >= MIN_ITEMS).all()
    assert len(np.unique(sample.items)) == len(sample.items) <= N_USERS * MAX_ITEMS
    for item, owner in zip(sample.items, sample.owners, strict=True):
        having = [u for u in sample.users if item in train.items[train.offsets[u] : train.offsets[u + 1]]]
        assert (owner == -1) if len(having) > 1 else (having == [sample.users[owner]])


def test_the_draw_depends_on_the_seed_alone(data: BenchmarkData) -> None:
    assert (choose(data, 3).users == choose(data, 3).users).all()
    assert any((choose(data, 3).users != choose(data, seed).users).any() for seed in range(3))


def test_the_silhouette_is_by_direction_and_leaves_shared_items_out() -> None:
    vectors = np.array([[1, 0], [5, 0], [0, 1], [0, 3], [7, 7]], dtype=np.float32)
    assert cloud_silhouette(vectors, np.array([0, 0, 1, 1, -1])) == pytest.approx(1)
    assert cloud_silhouette(vectors, np.array([0, 1, 0, 1, -1])) == pytest.approx(
        -0.5
    )  # (0.5 - 1) / 1 for all four
    assert cloud_silhouette(vectors, np.array([0, 0, 0, 0, -1])) is None
    assert cloud_silhouette(vectors, np.array([0, 1, -1, -1, -1])) is None


def test_every_user_s_cloud_counts_the_same() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert cloud_silhouette(vectors, np.array([0, 0, 0, 0, 1])) == pytest.approx(0.5)  # 1, and 0 for a single item


@pytest.mark.parametrize("label", ["lightgcn", "ludp"])
def test_the_vectors_are_those_of_the_stored_parameters(
    data: BenchmarkData, made: Any, tmp_path: Path, label: str
) -> None:
    record, model = made(label)
    found = final_vectors(record, data, ResultsStore(tmp_path))
    assert found is not None
    for mine, theirs in zip(found, model.embed(), strict=True):
        np.testing.assert_array_equal(mine, theirs.detach().numpy()[1:])


def test_parameters_that_are_gone_or_do_not_fit_are_none(data: BenchmarkData, made: Any, tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    record, model = made("lightgcn")
    (tmp_path / "checkpoints" / f"{record.key}.safetensors").write_bytes(b"damaged")
    assert final_vectors(record, data, store) is None
    store.write_checkpoint(record.key, {"other": next(model.parameters())}, {})
    assert final_vectors(record, data, store) is None


def test_two_panels_with_the_same_users_and_their_numbers(
    data: BenchmarkData, made: Any, paper: Paper, tmp_path: Path
) -> None:
    records = [made("lightgcn")[0], made("ludp")[0]]
    material = Material({"toy": data}, [], records, 1, paper, ResultsStore(tmp_path))
    figure = build(material)
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]
    users, items = (
        [
            [row[kind] for row in rows if row["model"] == label and row["kind"] == kind]
            for label in ("lightgcn", "ludp")
        ]
        for kind in ("user", "item")
    )
    assert users[0] == users[1]
    assert items[0] == items[1]
    assert len(users[0]) == N_USERS
    svg = [write_figure(figure, tmp_path / folder, "fig4")[2] for folder in "ab"]
    assert svg[0].read_bytes() == svg[1].read_bytes()
    text = svg[0].read_text(encoding="utf-8")
    for row in (rows[0], rows[-1]):
        assert f"full space: {row['silhouette']:+.3f}" in text
    assert [row[CSV_HEADER.index("x")] for row in build(material).csv_rows] == [row["x"] for row in rows]


def test_a_panel_that_cannot_be_made_says_why(
    data: BenchmarkData, made: Any, paper: Paper, tmp_path: Path
) -> None:
    record, _ = made("lightgcn")
    (tmp_path / "checkpoints" / f"{record.key}.safetensors").unlink()
    figure = build(Material({"toy": data}, [], [record], 1, paper, ResultsStore(tmp_path)))
    assert [row[CSV_HEADER.index("kind")] for row in figure.csv_rows] == ["missing", "missing"]
    text = write_figure(figure, tmp_path, "fig4")[2].read_text(encoding="utf-8")
    assert "nothing to show" in text
    assert any("LightGCN (the parameters of run key-lightgcn-0 are missing" in note for note in figure.notes)
    assert any("LUDP (its first seed has no finished run)" in note for note in figure.notes)


def test_data_without_active_users_gives_empty_panels(paper: Paper, tmp_path: Path) -> None:
    held = pairs([(0, 0)], 3, 4)
    data = data_of(pairs([(0, 1), (1, 2), (2, 3)], 3, 4), held, held)
    figure = build(Material({"toy": data}, [], [], 1, paper, ResultsStore(tmp_path)))
    assert any("fewer than two users have 10 training items" in note for note in figure.notes)
    write_figure(figure, tmp_path, "fig4")
