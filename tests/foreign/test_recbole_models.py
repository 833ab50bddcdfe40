"""RecBole's own recommenders by name: the same split, loop, evaluator and records as ours."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from foreign_models import CPU, DATA, built, trained

from bench.cli import run
from bench.cli.main import main
from bench.core.errors import ConfigError, UsageError
from bench.engine import registry
from bench.engine.recbole import batches
from bench.engine.recbole_catalogue import shipped, unusable, usable
from bench.engine.recbole_models import PointSampler, UserSampler

FOUR = ("EASE", "BPR", "NeuMF", "MultiVAE")  # fitted, pairs, points, users
CALL = ["--datasets", "movielens", "--source", "surrogate", "--scale", "0.02", "--seeds", "1", "--epochs", "2"]


def scores(model: Any) -> torch.Tensor:
    return toy.scores(model).to(torch.float32)


def test_at_least_twenty_run_and_the_others_have_a_reason() -> None:
    assert len(usable()) >= 20
    assert set(unusable()) <= set(shipped())
    assert all(len(reason) > 40 for reason in unusable().values())
    assert {"recbole:EASE", "recbole:ItemKNN", "recbole:SimpleX", "recbole:DGCF", "recbole:BPR"} <= set(usable())


def test_ease_scores_as_ours_does_item_by_item() -> None:
    """Users and items keep their places, though RecBole numbers both otherwise: it meets a cold user last."""
    part = DATA.split.train
    data = toy.data_of(part.take(part.users != 3), DATA.split.valid, DATA.split.test)
    theirs = built(registry.load("recbole:EASE"), data=data, reg_weight=20.0)
    ours = toy.build_model("ease", data, reg_weight=20.0)
    assert not torch.equal(theirs.item_ids, torch.arange(data.n_items + 1))
    assert theirs.user_ids[4] == data.n_users
    torch.testing.assert_close(scores(theirs), scores(ours), rtol=1e-4, atol=1e-5)


def test_bpr_with_our_weights_scores_and_learns_as_ours_does() -> None:
    theirs = built(registry.load("recbole:BPR"))
    ours = toy.build_model("mf", DATA, embedding_size=8, reg_weight=0.0)
    with torch.no_grad():
        theirs.theirs.user_embedding.weight[theirs.user_ids] = ours.user_embedding.weight
        theirs.theirs.item_embedding.weight[theirs.item_ids] = ours.item_embedding.weight
    torch.testing.assert_close(scores(theirs), scores(ours))
    interaction = toy.triples(DATA)
    torch.testing.assert_close(theirs.predict(interaction), ours.predict(interaction))
    torch.testing.assert_close(theirs.calculate_loss(interaction)[0], ours.calculate_loss(interaction)[0])
    one_by_one = theirs._score_pairs(theirs.user_ids[torch.arange(1, DATA.n_users + 1)])
    columns = one_by_one.reshape(DATA.n_users, -1)[:, theirs.item_ids][:, 1:]
    torch.testing.assert_close(columns, scores(ours))


def test_popularity_counts_every_interaction() -> None:
    theirs, ours = built(registry.load("recbole:Pop")), toy.build_model("popularity", DATA)
    counts = torch.bincount(torch.from_numpy(DATA.split.train.items), minlength=DATA.n_items)
    torch.testing.assert_close(scores(theirs), (counts / counts.max()).expand(DATA.n_users, -1).float())
    assert torch.equal(scores(theirs).argmax(1), scores(ours).argmax(1))


def test_points_hold_every_positive_once_with_a_free_negative_beside_it() -> None:
    users, items, labels = PointSampler(DATA.split.train, CPU).epoch(torch.Generator().manual_seed(0))
    positive = labels == 1
    keys = users * DATA.n_items + items
    assert sorted(keys[positive].tolist()) == DATA.split.train.keys.tolist()
    assert not set(keys[~positive].tolist()) & set(DATA.split.train.keys.tolist())
    for batch in batches((users, items, labels), 64):
        assert (batch["neg_item_id"] - 1).sum() * 2 == len(batch["neg_item_id"])
        assert torch.equal(batch["user_id"][::2], batch["user_id"][1::2])


def test_users_come_once_an_epoch_if_they_have_a_history() -> None:
    train = toy.pairs([(0, 0), (0, 1), (2, 1), (4, 0)], 5, 3)
    users, _, _ = UserSampler(train, CPU).epoch(torch.Generator().manual_seed(0))
    assert sorted(users.tolist()) == [0, 2, 4]


@pytest.mark.parametrize("name", FOUR)
def test_the_same_seed_gives_the_same_bits_and_leaves_other_generators_alone(name: str) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    (one, test, _), (two, again, _) = trained(name, 2), trained(name, 2)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    assert [facts.loss for facts in one.curve] == [facts.loss for facts in two.curve]
    assert test.metrics == again.metrics
    np.testing.assert_array_equal(test.topk.items, again.topk.items)
    assert len(one.curve) == (1 if name == "EASE" else 2)


def as_in_process(number: int) -> None:
    """Other global generators, as another process has."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def check_resumed(name: str) -> None:
    as_in_process(1)
    whole, test, states = trained(name, 4)
    if not states:  # fitted at once: made anew
        assert len(whole.curve) == 1
        return
    as_in_process(2)
    resumed, again, _ = trained(name, 4, resume=states[1])
    assert [facts.loss for facts in resumed.curve] == [facts.loss for facts in whole.curve]
    assert all(torch.equal(value, resumed.best_state[key]) for key, value in whole.best_state.items())
    np.testing.assert_array_equal(again.topk.items, test.topk.items)


@pytest.mark.parametrize("name", [*FOUR, "LINE", "SGL"])
def test_an_interrupted_training_goes_on_with_the_same_bits(name: str) -> None:
    """MultiVAE counts its steps, LINE walks through a shuffled list, SGL draws new graphs with numpy."""
    check_resumed(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name.partition(":")[2] for name in usable()])
def test_any_interrupted_training_goes_on_with_the_same_bits(name: str) -> None:
    check_resumed(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_try_of_every_model_agrees_with_the_table(name: str) -> None:
    """A model runs unless its epoch fails, or RecBole trains it with a trainer of its own."""
    import recbole.trainer

    reason = f"RecBole trains it with a trainer of its own ({name}Trainer)"
    if hasattr(recbole.trainer, f"{name}Trainer"):
        assert unusable()[name].startswith(reason)
    if name in ("NCL", "RecVAE"):
        with pytest.raises(TypeError):
            trained(name, 1)
    else:
        _, test, _ = trained(name, 1)
        assert (test.topk.items >= -1).all()
        assert all(np.isfinite(value) for value in test.metrics.values.values())
        assert (name in unusable()) == hasattr(recbole.trainer, f"{name}Trainer")


def test_parameters_are_recboles_and_may_be_set() -> None:
    entry = registry.load("recbole:NeuMF")
    params = entry.params("toy", overrides={"dropout_prob": 0.3}).model_dump()
    assert params["mlp_hidden_size"] == [128, 64]
    assert (params["dropout_prob"], params["learning_rate"], params["train_batch_size"]) == (0.3, 0.001, 2048)
    assert registry.load("recbole:SGL").params("toy").model_dump()["reg_weight"] == 1e-5  # a string in YAML 1.1
    assert registry.load("recbole:EASE").params("toy", overrides={"reg_weight": 100}).model_dump() == {
        "reg_weight": 100
    }
    with pytest.raises(UsageError, match="Did you mean 'reg_weight'"):
        registry.load("recbole:EASE").params("toy", overrides={"reg_wieght": 1.0})
    with pytest.raises(ConfigError, match="reg_weight"):
        registry.load("recbole:EASE").params("toy", overrides={"reg_weight": "much"})


def test_a_value_that_recbole_would_read_otherwise_is_refused() -> None:
    with pytest.raises(ConfigError, match="'aggregator' of SimpleX, given as '1', as 1"):
        built(registry.load("recbole:SimpleX"), aggregator="1")


def test_the_hash_is_of_recboles_release_and_the_models_source(monkeypatch: pytest.MonkeyPatch) -> None:
    import recbole

    first, other = registry.code_hash("recbole:EASE"), registry.code_hash("recbole:BPR")
    assert first == registry.code_hash("recbole:EASE") != other
    monkeypatch.setattr(recbole, "__version__", "9.9")
    from bench.engine.recbole_entries import recbole_hash

    assert recbole_hash.__wrapped__("recbole:EASE") != first


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("recbole:EASY", ["Unknown model 'recbole:EASY'", "Did you mean 'recbole:EASE'"]),
        ("recbole:RecVAE", ["cannot be run here", "RecVAETrainer", "list-recbole"]),
        ("EASE", ["Unknown model 'EASE'", "Did you mean 'ease'"]),
    ],
)
def test_a_model_that_is_not_there_is_told(
    name: str, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*CALL, "--models", name, "--dry-run"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert all(part in said for part in parts), said


def test_the_list_names_those_that_run_and_why_others_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-recbole"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert " SimpleX " in said
    assert "NCLTrainer" in said
    assert f"{len(usable())} of {len(shipped())} general recommenders of RecBole run, as recbole:NAME" in said
    assert run.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "recbole:NAME" in listed
    assert "SimpleX" in listed


def test_four_run_beside_ours_and_are_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    models = ["lightgcn", "ease", *(f"recbole:{name}" for name in FOUR)]
    sets = ["recbole:EASE.reg_weight=250.0", "ease.reg_weight=250.0", "recbole:MultiVAE.mlp_hidden_size=[16]"]
    call = [
        *CALL,
        *places,
        "--workers",
        "1",
        "--models",
        *models,
        *(part for each in sets for part in ("--set", each)),
    ]
    assert run.main([*call, "--artifacts", "table3", "cost", "curves", "significance"]) == 0
    runs = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "results" / "runs").rglob("*.json")
    }
    assert set(runs) == {"lightgcn", "ease", *(f"recbole-{name}" for name in FOUR)}
    assert all(run["status"] == "finished" for run in runs.values()), [run["error"] for run in runs.values()]
    assert runs["recbole-MultiVAE"]["spec"]["params"]["mlp_hidden_size"] == [16]
    assert runs["recbole-MultiVAE"]["spec"]["model"] == "recbole:MultiVAE"
    assert runs["recbole-EASE"]["cost"]["n_parameters"] == 0
    assert runs["recbole-EASE"]["metrics"] == runs["ease"]["metrics"]  # one evaluator, one order of ties
    table = (tmp_path / "results" / "tables" / "table3.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" †‡") for line in table.splitlines() if line.startswith("|")]
    shown = [row for row in rows if row in ("LightGCN", "EASE", *(f"{name} (RecBole)" for name in FOUR))]
    assert shown == ["LightGCN", *(f"{name} (RecBole)" for name in FOUR), "EASE"]
    assert "RecBole's own implementations" in table
    with (tmp_path / "results" / "tables" / "table3.csv").open(encoding="utf-8") as file:
        assert {row["model"] for row in csv.DictReader(file)} == set(models)
    capsys.readouterr()
    assert run.main([*call, "--status"]) == 0
    assert "6 runs: 6 done" in capsys.readouterr().out


@pytest.mark.parametrize("name", usable())
def test_candidates_for_tuning_fit_the_parameters(name: str) -> None:
    entry = registry.load(name)
    assert set(entry.file.search) <= set(entry.file.defaults)
    for key, candidates in entry.file.search.items():
        for value in candidates:
            assert entry.params("toy", overrides={key: value}).model_dump()[key] == value


def test_tuning_a_model_of_recboles_leaves_its_files_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runs.tuning.search.may_be_kept", lambda result: True)  # though drawn at random
    path = registry.load("recbole:EASE").path
    before = path.read_bytes()
    places = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    tune = ["--models", "recbole:EASE", "--tune", "2", "--artifacts", "tuning", "--workers", "1"]
    assert run.main([*CALL, *places, *tune]) == 0
    assert "so no file is written beside it. The chosen values hold for this call" in " ".join(
        capsys.readouterr().out.split()
    )
    assert path.read_bytes() == before
    assert not [each for each in (tmp_path / "results").rglob("*") if ":" in each.name]
