"""Protocols by name: tags, keys, options, what they select, how a run ended, and records of version 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from bench.cli.options import parse
from bench.core.errors import UsageError
from bench.core.protocol import PROTOCOL_1, PROTOCOLS, Protocol, get_protocol
from bench.core.types import EpochFacts
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainSettings, train
from bench.runs.plan import make_plan
from bench.runs.record_files import run_key, seeds_of
from bench.runs.records import DataFacts, Failure, ProtocolFacts, RunRecord
from bench.runs.store import ResultsStore

FACTS = DataFacts.of(toy.random_data())
VERSION_1 = {
    "version": "1", "hide_at_test": "train+valid", "patience": 10, "cutoffs": [5, 10, 20, 50],
    "selection_metric": "recall@10", "topk_depth": 50,
}  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "tag"),
    [
        (Protocol(), "p2-field"),
        (get_protocol("paper"), "p2-paper"),
        (get_protocol("field", patience=40), "p2-field-patience40"),
        (get_protocol("field", max_epochs=200), "p2-field-epochs200"),
        (get_protocol("field", selection_metric="ndcg@10"), "p2-field-select-ndcg@10"),
        (get_protocol("paper", hide_at_test="train"), "p2-paper-hide-train"),
        (
            get_protocol("paper", patience=20, max_epochs=9, hide_at_test="train"),
            "p2-paper-patience20-epochs9-hide-train",
        ),
        (PROTOCOL_1, "p1"),
        (Protocol("paper", "1", "train", 40, "recall@10", 300), "p1-hide-train-patience40"),
    ],
)
def test_a_tag_names_the_protocol_and_each_changed_choice(protocol: Protocol, tag: str) -> None:
    assert protocol.tag == tag


def test_the_named_protocols_are_those_of_the_field_and_of_the_paper() -> None:
    field, paper = PROTOCOLS["field"], PROTOCOLS["paper"]
    assert (field.selection_metric, field.patience, field.max_epochs) == ("recall@20", 20, 1000)
    assert (paper.selection_metric, paper.patience, paper.max_epochs) == ("recall@10", 10, 300)
    assert Protocol() == field
    assert {each.version for each in PROTOCOLS.values()} == {"2"}


def test_every_choice_of_the_protocol_is_in_the_key() -> None:
    (spec,) = make_plan(["toy"], ["mf"], 1, 9, 2023, {})
    changed = [
        *(
            Protocol(),
            get_protocol("paper"),
            get_protocol("field", patience=10),
            get_protocol("field", max_epochs=9),
        ),
        *(
            get_protocol("field", selection_metric="ndcg@10"),
            get_protocol("field", hide_at_test="train"),
            PROTOCOL_1,
        ),
    ]
    keys = [run_key(spec, FACTS, protocol, "code") for protocol in changed]
    assert len(set(keys)) == len(keys)
    assert len({each.tag for each in changed}) == len(changed)


def test_a_key_of_version_1_stays_what_it_was() -> None:
    (spec,) = make_plan(["toy"], ["mf"], 1, 9, 2023, {})
    spec = spec.model_copy(update={"params": {"reg_weight": 0.1}})
    facts = FACTS.model_copy(update={"data_hash": "d", "split_hash": "s"})
    assert run_key(spec, facts, PROTOCOL_1, "code") == "8173d88b416a09b1"


@pytest.mark.parametrize(
    ("words", "protocol", "epochs"),
    [
        ([], Protocol(), 10),
        (["--profile", "full"], Protocol(), 1000),
        (["--protocol", "paper", "--profile", "full"], get_protocol("paper"), 300),
        (["--epochs", "200"], get_protocol("field", max_epochs=200), 200),
        (["--epochs", "1000"], Protocol(), 1000),
        (["--protocol", "paper", "--patience", "5", "--select", "ndcg@20"],
         get_protocol("paper", patience=5, selection_metric="ndcg@20"), 10),
        (["--hide-at-test", "train", "--profile", "smoke"], get_protocol("field", hide_at_test="train"), 10),
    ],
)  # fmt: skip
def test_a_call_names_its_protocol_and_a_profile_only_caps_it(
    words: list[str], protocol: Protocol, epochs: int
) -> None:
    options = parse(words)
    assert options.protocol == protocol
    assert options.epochs_at_most == epochs


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["--protocol", "feild"], ["protocol 'feild'", "'field'", "paper"]),
        (["--select", "recal@20"], ["--select metric 'recal@20'", "'recall@20'", "ndcg@5"]),
        (["--select", "recall@21"], ["--select metric 'recall@21'", "'recall@20'"]),
        (["--select", "recall"], ["--select metric 'recall'", "recall@10"]),
        (["--check", "b.json", "--protocol", "paper"], ["--protocol does not go with --check"]),
        (["--check", "b.json", "--select", "ndcg@10"], ["--select does not go with --check"]),
    ],
)
def test_wrong_choices_are_answered_with_the_nearest_name(words: list[str], answers: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert all(answer in str(caught.value) for answer in answers), str(caught.value)


SCRIPT = [(0.30, 0.10), (0.20, 0.20), (0.25, 0.20), (0.29, 0.40), (0.30, 0.30), (0.30, 0.30)]  # Recall@10 and @20


def trained(protocol: Protocol) -> Any:
    """A training whose validation scores are those of `SCRIPT`."""
    script = iter(SCRIPT)
    settings = TrainSettings(len(SCRIPT), protocol.patience, 1, 2, protocol.selection_metric)
    sampler = TripleSampler(toy.random_data().split.train, torch.device("cpu"))
    model = toy.build_model("mf", toy.random_data(), embedding_size=4)
    return train(
        model, sampler, lambda: dict(zip(("recall@10", "recall@20"), next(script), strict=True)), settings
    )


def test_field_and_paper_choose_other_epochs_on_the_same_curve() -> None:
    paper, field = trained(get_protocol("paper", patience=5)), trained(get_protocol("field", patience=5))
    assert (paper.best_epoch, paper.best_score, len(paper.curve)) == (1, 0.30, 6)  # later 0.30s are ties
    assert (field.best_epoch, field.best_score, len(field.curve)) == (4, 0.40, 6)


def record(*scores: float, used: Protocol, max_epochs: int = 30, **changes: Any) -> RunRecord:
    """A finished run with these scores in the metric that selects; `loss` None makes it a control."""
    (spec,) = make_plan(["toy"], ["mf"], 1, max_epochs, 2023, {})
    loss = changes.pop("loss", 0.5)
    curve = [
        EpochFacts(epoch=n, loss=loss, train_seconds=1, valid_seconds=1, valid={used.selection_metric: score})
        for n, score in enumerate(scores, 1)
    ]
    fields = {
        "key": "k", "status": "finished", "spec": spec, "data": FACTS, "protocol": ProtocolFacts.of(used),
        "code_hash": "c", "seeds": {}, "command": "", "started": "", "environment": {}, "curve": curve,
        "best_epoch": scores.index(max(scores)) + 1 if scores else None,
    }  # fmt: skip
    return RunRecord(**(fields | changes))


USED = get_protocol("field", patience=3)


@pytest.mark.parametrize(
    ("run", "reason", "is_best_at_start"),
    [
        (record(0.1, 0.2, 0.3, used=USED, max_epochs=3), "cap", False),  # the last epoch is the best
        (record(0.1, 0.2, 0.3, 0.2, 0.1, used=USED, max_epochs=5), "cap", True),  # patience was not used up
        (record(0.1, 0.2, 0.3, 0.4, 0.1, 0.1, used=USED, max_epochs=6), "cap", False),
        (record(0.1, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, used=USED, max_epochs=7), "patience", False),  # and the cap
        (record(0.3, 0.3, 0.3, 0.3, used=USED), "patience", True),  # ties
        (record(0.1, 0.2, 0.3, 0.4, used=USED, max_epochs=30), "pruned", False),
        (record(0.1, used=USED, max_epochs=1), "cap", False),  # no later epoch was worse
        (record(0.4, loss=None, used=USED, max_epochs=1), None, False),  # a control
        (record(0.1, 0.2, status="failed", best_epoch=None, used=USED, max_epochs=2), None, False),
        (record(status="failed", used=USED), None, False),
    ],
)
def test_why_a_training_stopped(run: RunRecord, reason: str | None, is_best_at_start: bool) -> None:
    assert (run.stop_reason, run.is_best_at_start) == (reason, is_best_at_start)


def test_a_record_of_version_1_is_the_papers_and_lies_apart(tmp_path: Path) -> None:
    new = record(used=Protocol(), status="failed", error=Failure(kind="x", message="y"))
    new = new.model_copy(update={"key": run_key(new.spec, new.data, Protocol(), "c"), "seeds": seeds_of(new.spec)})
    old = RunRecord.model_validate(new.model_dump() | {"protocol": VERSION_1})
    old = old.model_copy(update={"key": run_key(old.spec, old.data, PROTOCOL_1, "c")})
    used = old.protocol.protocol
    assert (used, used.name, used.tag) == (PROTOCOL_1, "paper", "p1")
    store = ResultsStore(tmp_path)
    for each in (old, new):
        path = store.record_path(each.key, each.protocol.protocol, "toy", "surrogate", each.spec)
        store.write_record(path, each)
        assert store.read(path) == each
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["p1", "p2-field"]


def test_only_records_of_version_1_may_lack_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        ProtocolFacts.model_validate(VERSION_1 | {"version": "2"})
