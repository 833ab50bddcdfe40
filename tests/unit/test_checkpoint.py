"""Kept states: what is read is what was written; what is not whole, or not of this run, is said and set aside."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from safetensors.torch import load_file, save_file

from bench.core.errors import ResultsError
from bench.core.protocol import Protocol
from bench.core.types import EpochFacts
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import StateMismatchError, TrainingState, TrainResult, TrainSettings, train
from bench.runs import checkpoint as module
from bench.runs.checkpoint import Checkpoint, drop_finished
from bench.runs.plan import make_plan
from bench.runs.records import DataFacts, RunRecord
from bench.runs.runner import blank_record

DATA = toy.random_data()
CPU = torch.device("cpu")
KEY = "0123456789abcdef"


def blank(**changed: Any) -> RunRecord:
    return unchanged().model_copy(update=changed)


@cache
def unchanged() -> RunRecord:
    (spec,) = make_plan(["toy"], ["mf"], 1, 9, 2023, {})
    return blank_record(spec, KEY, DataFacts.of(DATA), "code", Protocol(), "a test", CPU)


def state(n_epochs: int, best_epoch: int) -> TrainingState:
    """A state with an awkward tensor of each kind, and scores that rounding would change."""
    curve = [
        EpochFacts(epoch=n, loss=1 / 3, train_seconds=1.5, valid_seconds=0.5, valid={"recall@20": n / 7})
        for n in range(1, n_epochs + 1)
    ]
    tables = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor([True]), "empty": torch.zeros(0, 2)}
    best = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tables.items()}
    if best_epoch == n_epochs:
        best = tables
    tensors = {f"model/{name}": tensor for name, tensor in tables.items()}
    tensors |= {"adam/a/step": torch.tensor(7.0), "random/cpu": torch.arange(5, dtype=torch.uint8)}
    tensors["model/shared"] = tensors["model/b"]
    return TrainingState(TrainResult(best_epoch, best_epoch / 7, best, curve), tensors)


def checkpoint(folder: Path, told: list[str] | None = None, n_threads: int = 1, **changed: Any) -> Checkpoint:
    return Checkpoint(folder, blank(**changed), n_threads, pytest.fail if told is None else told.append)


@pytest.mark.parametrize(("n_epochs", "best_epoch"), [(1, 1), (4, 2)])
def test_a_state_comes_back_bit_by_bit(tmp_path: Path, n_epochs: int, best_epoch: int) -> None:
    written = state(n_epochs, best_epoch)
    checkpoint(tmp_path, n_threads=3).keep(written)
    found = checkpoint(tmp_path)
    found.load()
    assert found.state is not None
    assert found.n_threads == 3
    assert found.seconds == 2 * n_epochs
    result = found.state.result
    assert (result.best_epoch, result.best_score) == (best_epoch, best_epoch / 7)
    assert result.curve == written.result.curve
    best = (
        written.result.best_state
        if best_epoch < n_epochs
        else {"shared": torch.tensor([True]), **written.result.best_state}
    )
    for one, two in ((found.state.tensors, written.tensors), (result.best_state, best)):
        assert one.keys() == two.keys()
        for name in two:
            assert one[name].dtype == two[name].dtype
            assert torch.equal(one[name], two[name])


def test_the_last_epoch_is_kept_and_goes_with_the_record(tmp_path: Path) -> None:
    (tmp_path / "f-0000001.safetensors").write_bytes(b"of another run")
    kept = checkpoint(tmp_path)
    for n_epochs in (1, 2, 10):
        kept.keep(state(n_epochs, 1))
        (file,) = tmp_path.glob(f"{KEY}*")
        assert file.name == f"{KEY}-{n_epochs:07}.safetensors"
    kept.drop()
    assert [path.name for path in tmp_path.iterdir()] == ["f-0000001.safetensors"]


def test_once_a_minute_a_state_is_written_out_and_stays_until_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, flushed = [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("bench.core.files.os.fsync", flushed.append)
    kept = checkpoint(tmp_path)
    epochs = []
    for epoch in range(1, 8):
        now[0] = 25.0 * epoch
        kept.keep(state(epoch, 1))
        epochs.append(sorted(int(path.stem[-7:]) for path in tmp_path.iterdir()))
    assert epochs == [[1], [2], [3], [3, 4], [3, 5], [6], [6, 7]]
    assert len(flushed) == 2
    (tmp_path / f"{KEY}-0000007.safetensors").write_bytes(b"")  # as a power cut may leave it
    told: list[str] = []
    found = checkpoint(tmp_path, told)
    found.load()
    assert found.state is not None
    assert len(found.state.result.curve) == 6
    assert len(told) == 1


def test_any_flipped_bit_and_any_cut_is_noticed(tmp_path: Path) -> None:
    checkpoint(tmp_path).keep(state(2, 1))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    changes = [whole[:end] for end in range(0, len(whole), 97)]
    for place in range(0, len(whole), 3):
        changes.append(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
    for changed in changes:
        path.write_bytes(changed)
        told: list[str] = []
        found = checkpoint(tmp_path, told)
        found.load()
        assert found.state is None
        assert len(told) == 1
        assert "damaged" in told[0]
        kept = path.with_suffix(".damaged")
        assert kept.read_bytes() == changed
        kept.unlink()
    path.write_bytes(whole)
    found = checkpoint(tmp_path)
    found.load()
    assert found.state is not None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"key": "f" * 16}, "key"),
        (
            {"environment": {"device": "another", "packages": {"torch": torch.__version__}}},
            "device is cpu, not another",
        ),
        ({"environment": {"device": "cpu", "packages": {"torch": "9.9"}}}, "not 9.9"),
    ],
)
def test_a_state_of_other_circumstances_is_said_and_set_aside(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    checkpoint(tmp_path).keep(state(2, 1))
    (path,) = tmp_path.iterdir()
    path = path.rename(tmp_path / f"{changed.get('key', KEY)}-0000002.safetensors")
    told: list[str] = []
    found = checkpoint(tmp_path, told, **changed)
    found.load()
    assert found.state is None
    assert words in told[0]
    assert [file.name for file in tmp_path.iterdir()] == [path.with_suffix(".damaged").name]


def test_a_state_of_another_schema_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path).keep(state(1, 1))
    monkeypatch.setattr(module, "SCHEMA", 99)
    told: list[str] = []
    found = checkpoint(tmp_path, told)
    found.load()
    assert found.state is None
    assert "its schema is 1, not 99" in told[0]


def test_the_time_of_a_state_that_is_not_used_does_not_count(tmp_path: Path) -> None:
    kept = checkpoint(tmp_path)
    kept._cpu_before = 1000.0
    kept.keep(state(4, 2))
    found = checkpoint(tmp_path, [])
    found.load()
    assert (found.seconds, found.cpu_seconds() >= 1000) == (8, True)
    found.reject("of another model")
    assert found.seconds == 0
    assert found.cpu_seconds() < 1000


def test_the_time_of_a_state_of_another_form_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint(tmp_path)
    kept._cpu_before = 1000.0
    kept.keep(state(4, 2))
    monkeypatch.setattr(module, "TrainResult", lambda *parts: parts[9])  # an error after the facts were read
    found = checkpoint(tmp_path, [])
    found.load()
    assert (found.state, found.seconds) == (None, 0)
    assert found.cpu_seconds() < 1000


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / f"{KEY}-0000001.safetensors").mkdir()
    with pytest.raises(ResultsError, match="cannot be read"):
        checkpoint(tmp_path).load()
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="Free some space or make the directory writable"):
        checkpoint(tmp_path / "file").keep(state(1, 1))


def test_a_model_written_elsewhere_is_no_state(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / f"{KEY}-0000001.safetensors")
    told: list[str] = []
    found = checkpoint(tmp_path, told)
    found.load()
    assert found.state is None
    assert len(told) == 1


def test_states_of_finished_runs_are_dropped_and_claimed_ones_are_not(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        (tmp_path / f"{key}-0000001.safetensors").touch()
    with module.claim(tmp_path / "b.lock"):
        drop_finished(tmp_path, {"a", "b"}, lambda key: tmp_path / f"{key}.lock")
        assert sorted(path.name[0] for path in tmp_path.glob("*.safetensors")) == ["b", "c"]


# --- taken up by a training ------------------------------------------------------------------------------------


def trained(resume: TrainingState | None = None, **parameters: Any) -> tuple[Any, TrainingState]:
    model = toy.build_model("mf", DATA, embedding_size=4, **parameters)
    states: list[TrainingState] = []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = TrainSettings(max_epochs=2, patience=9, triples_seed=1, model_seed=2)
    sampler = TripleSampler(DATA.split.train, CPU)
    try:
        train(model, sampler, lambda: {"recall@20": 0.1}, settings, resume=resume, keep=states.append)
    except StateMismatchError:
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        raise
    return model, states[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("model/user_embedding.weight"),
        lambda tensors: tensors.pop("random/triples"),
        lambda tensors: tensors.update({"model/another": torch.zeros(1)}),
        lambda tensors: tensors.update({"model/user_embedding.weight": torch.zeros(3, 4)}),
        lambda tensors: tensors.update(
            {"model/user_embedding.weight": tensors["model/user_embedding.weight"].double()}
        ),
        lambda tensors: tensors.update({"adam/user_embedding.weight/exp_avg": torch.zeros(1)}),
        lambda tensors: tensors.update({"replaced/nothing": torch.zeros(1)}),
        lambda tensors: tensors.update({"random/cpu": torch.zeros(3, dtype=torch.uint8)}),
    ],
)
def test_a_state_of_another_training_is_refused_before_anything_is_taken_from_it(change: Any) -> None:
    _, good = trained()
    change(good.tensors)
    with pytest.raises(StateMismatchError):
        trained(good)


def test_a_best_state_of_another_model_is_refused() -> None:
    _, good = trained()
    good.result.best_state.popitem()
    with pytest.raises(StateMismatchError, match="missing"):
        trained(good)


def test_the_file_holds_the_curve_as_text_and_names_of_tensors(tmp_path: Path) -> None:
    _, found = trained()
    checkpoint(tmp_path).keep(found)
    (path,) = tmp_path.iterdir()
    names = load_file(path).keys()
    assert {"model/user_embedding.weight", "adam/user_embedding.weight/exp_avg_sq", "random/triples"} <= names
    length = int.from_bytes(path.read_bytes()[:8], "little")
    texts = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    assert json.loads(texts["facts"])["key"] == KEY
    assert json.loads(texts["curve"])[0]["epoch"] == 1
