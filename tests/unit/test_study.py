"""A search resumes where it stopped as if it had never stopped, and spends its budget on different settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError, ConfigError, ResultsError, UsageError
from bench.engine import registry
from bench.engine.model_file import ModelEntry, ModelFile
from bench.engine.tuned import TunedEntry, TunedFile
from bench.runs.tuning.space import SearchSpace, search_space
from bench.runs.tuning.study import N_STARTUP, WAVES, Sampler, Study, open_study, wave_of


def score(values: dict[str, Any]) -> float:
    return -abs(values["rate"] - 1.0) - abs(values["depth"] - 3) + (values["kind"] == "a")


def search(path: Path, n_trials: int, sampler: Sampler = "tpe", seed: int = 1) -> list[dict[str, Any]]:
    with open_study(path, "toy", space(), sampler, seed) as study:
        n_made = 0
        while wave := study.wave(n_made, n_trials):
            for trial in wave:
                if trial.state == "running":
                    study.tell(trial, score(trial.values))
            n_made += len(wave)
        return [trial.values for trial in study.trials()]


def space() -> SearchSpace:
    return SearchSpace(
        {"rate": 0.1, "depth": 2, "kind": "b", "other": 7},
        {"rate": (0.01, 0.1, 1.0), "depth": (1, 2, 3, 4), "kind": ("b", "a")},
    )


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_the_default_comes_first_and_no_setting_twice(tmp_path: Path, sampler: Sampler) -> None:
    made = search(tmp_path / "a.journal", 20, sampler)
    assert made[0] == {"rate": 0.1, "depth": 2, "kind": "b"}
    assert len(made) == 20
    assert all(setting not in made[:place] for place, setting in enumerate(made))


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_budget_beyond_the_space_tries_every_setting_once(tmp_path: Path, sampler: Sampler) -> None:
    made = search(tmp_path / "a.journal", 99, sampler)
    assert len(made) == space().size == 24
    assert {tuple(setting.values()) for setting in made} == {
        tuple(space().setting(index).values()) for index in range(24)
    }


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_larger_budget_goes_on_as_if_it_had_been_asked_for_at_once(tmp_path: Path, sampler: Sampler) -> None:
    at_once = search(tmp_path / "a.journal", 18, sampler)
    for n_trials in (3, 12, 18):
        made = search(tmp_path / "b.journal", n_trials, sampler)
        assert made == at_once[:n_trials]


def test_the_seed_matters_and_scores_steer_after_the_start(tmp_path: Path) -> None:
    assert search(tmp_path / "a.journal", 12) != search(tmp_path / "b.journal", 12, seed=2)
    made = search(tmp_path / "c.journal", 16)
    first, later = made[1:N_STARTUP], made[N_STARTUP:]
    assert sum(map(score, later)) / len(later) > sum(map(score, first)) / len(first)


@pytest.mark.parametrize("n_asked", [0, 1, 5, 12])
def test_a_killed_wave_is_proposed_again_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_asked: int
) -> None:
    whole = search(tmp_path / "a.journal", 14)
    path = tmp_path / "b.journal"
    propose = Study._propose
    calls = 0

    def killed(self: Study, number: int) -> None:
        nonlocal calls
        if calls == n_asked:
            raise KeyboardInterrupt
        calls += 1
        propose(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "_propose", killed)
        with pytest.raises(KeyboardInterrupt):
            search(path, 14)
    assert search(path, 14) == whole


def test_a_setting_proposed_twice_before_a_kill_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with open_study(path, "toy", space(), "tpe", 1) as study:
        study.wave(0, 4)
        study._study.enqueue_trial(space().positions(space().default()))
        study._study.ask(space().distributions())  # killed here, before it was found to be the first one again
    with open_study(path, "toy", space(), "tpe", 1) as study:
        assert len(study.trials()) == 4
        assert [trial.state for trial in study.wave(0, 4)] == ["running"] * 4


def test_a_failed_trial_counts_and_is_not_proposed_again(tmp_path: Path) -> None:
    with open_study(tmp_path / "a.journal", "toy", space(), "tpe", 1) as study:
        wave = study.wave(0, 3)
        for trial in wave:
            study.tell(trial, None)
        assert [trial.state for trial in study.trials()] == ["failed"] * 3
        assert study.wave(3, 3) == []


def test_a_torn_last_line_is_survived(tmp_path: Path) -> None:
    whole = search(tmp_path / "a.journal", 14)
    search(tmp_path / "b.journal", 12)
    path = tmp_path / "b.journal"
    path.write_bytes(path.read_bytes()[:-20])
    assert search(path, 14) == whole


def test_a_damaged_journal_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    search(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{not json}\n", *lines[1:]]))
    with pytest.raises(ResultsError, match=r"a\.journal cannot be read.*move the file away"):
        search(path, 4)


@pytest.mark.parametrize("line", ["[1]", "null", '{"op_code": 99}', '"a"', '{"op_code": 0, "worker_id": "x"}'])
def test_json_of_another_form_is_a_damaged_journal(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.journal"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"a\.journal cannot be read.*move the file away"):
        search(path, 4)


def test_an_error_in_a_copy_names_the_original(tmp_path: Path) -> None:
    (tmp_path / "a.journal").write_text("null\n", encoding="utf-8")
    with (
        pytest.raises(ResultsError, match=r"^results/a\.journal cannot be read"),
        open_study(tmp_path / "a.journal", "toy", space(), "tpe", 1, Path("results/a.journal")),
    ):
        pass


def test_a_study_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with (
        open_study(path, "toy", space(), "tpe", 1),
        pytest.raises(ResultsError, match="in use by another process"),
        open_study(path, "toy", space(), "tpe", 1),
    ):
        pass
    assert len(search(path, 2)) == 2


def test_only_errors_of_the_journal_are_errors_of_the_study(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), open_study(tmp_path / "a.journal", "toy", space(), "tpe", 1):
        raise BrokenPipeError
    with open_study(tmp_path / "a.journal", "toy", space(), "tpe", 1) as study:
        (tmp_path / "a.journal").unlink()
        (tmp_path / "a.journal").mkdir()
        with pytest.raises(ResultsError, match=r"The study .*a\.journal cannot be written"):
            study.wave(0, 2)


def test_a_lock_left_by_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    search(tmp_path / "a.journal", 2)
    (tmp_path / "a.journal.lock").touch()
    assert len(search(tmp_path / "a.journal", 3)) == 3


def test_waves_are_small_at_first_and_then_of_one_trial() -> None:
    assert WAVES == (4, 3, 3)
    starts = [wave_of(number).start for number in range(13)]
    assert starts == [0, 0, 0, 0, 4, 4, 4, 7, 7, 7, 10, 11, 12]
    assert [wave_of(number).stop for number in (0, 3, 4, 9, 10)] == [4, 4, 7, 10, 11]


def test_a_budget_that_ends_within_a_wave_does_not_move_the_waves(tmp_path: Path) -> None:
    with open_study(tmp_path / "a.journal", "toy", space(), "tpe", 1) as study:
        assert [trial.number for trial in study.wave(0, 2)] == [0, 1]
        for trial in study.trials():
            study.tell(trial, score(trial.values))
        assert [trial.number for trial in study.wave(2, 20)] == [2, 3]


def test_numbers_have_an_order_for_the_sampler_and_nothing_else_has() -> None:
    values: dict[str, Any] = {
        "rate": (0.0, 0.0001, 0.01), "k": (5, 10), "mixed": (0, 0.5), "kind": ("a", "b"), "flag": (False, True),
    }  # fmt: skip
    found = SearchSpace({}, values).distributions()
    kinds = {name: type(each).__name__ for name, each in found.items()}
    assert kinds == {
        "rate": "IntDistribution", "k": "IntDistribution", "mixed": "IntDistribution",
        "kind": "CategoricalDistribution", "flag": "CategoricalDistribution",
    }  # fmt: skip


@pytest.mark.parametrize("model", [*registry.names(), "recbole:BPR", "recbole:NGCF"])
def test_every_list_of_numbers_is_searched_as_ascending_values(model: str) -> None:
    found = search_space(registry.load(model))
    for name, distribution in found.distributions().items():
        values = found.candidates[name]
        if all(type(value) in (int, float) for value in values):
            assert list(values) == sorted(values), name
            assert (distribution.low, distribution.high) == (0, len(values) - 1)
        else:
            assert distribution.choices == tuple(range(len(values)))


def test_the_sampler_uses_the_order_also_across_zero(tmp_path: Path) -> None:
    """It finds the best of a thousand settings in 24 trials; one to which the values are mere names does not."""
    values = (0.0, *(10.0**power for power in range(-6, 3)))
    best = dict[str, list[int]](ordered=[], unordered=[])
    for kind, each in (("ordered", values), ("unordered", tuple(map(str, values)))):
        toy = SearchSpace(dict.fromkeys("abc", each[8]), dict.fromkeys("abc", each))
        for seed in range(3):
            with open_study(tmp_path / f"{kind}{seed}.journal", "toy", toy, "tpe", seed) as study:
                n_made = 0
                while wave := study.wave(n_made, 24):
                    for trial in wave:  # 0.0 is best for all three
                        study.tell(trial, -float(sum(toy.positions(trial.values).values())))
                    n_made += len(wave)
                best[kind].append(min(sum(toy.positions(trial.values).values()) for trial in study.trials()))
    assert best["ordered"] == [0, 0, 0]
    assert min(best["unordered"]) > 0


@pytest.mark.parametrize("model", registry.names())
def test_every_model_s_space_holds_its_default(model: str) -> None:
    found = search_space(registry.load(model))
    for name, value in found.default().items():
        assert value in found.candidates[name]
        assert found.values(found.positions(found.default()))[name] == value


def test_a_variant_is_tuned_over_what_it_does_not_fix() -> None:
    entry = registry.load("ludp")
    literal = search_space(entry, "literal")
    assert set(literal.candidates) == set(entry.file.search) - set(entry.file.variants["literal"])
    assert literal.fixed["ui_readout"] == entry.file.variants["literal"]["ui_readout"]


def test_what_was_chosen_for_a_data_set_and_what_the_user_set_is_left_out() -> None:
    hand = {"tiktok": {"embedding_size": 8}}
    entry = _with_search({"reg_weight": [0.1, 0.0]}, tuned("tiktok", {"reg_weight": 0.5}), datasets=hand)
    assert entry.params("tiktok@shipped", split_hash="1").reg_weight == 0.5
    found = search_space(entry, dataset="tiktok@shipped")
    assert found.candidates == {"reg_weight": (0.0, entry.file.defaults["reg_weight"], 0.1)}
    assert found.fixed["embedding_size"] == 8  # what people set for the data set holds in its search
    assert search_space(entry).fixed["embedding_size"] == 64
    pinned = search_space(entry, pinned={"reg_weight": 0.3})
    assert pinned.candidates == {}
    assert pinned.fixed["reg_weight"] == 0.3
    assert pinned.size == 1


@pytest.mark.parametrize(
    ("candidates", "problem", "words"),
    [
        ({"reg_weight": [0.1, 0.1]}, ConfigError, "gives a value twice"),
        ({"reg_weight": ["much"]}, ConfigError, "reg_weight.*much"),
        ({"reg_wieght": [0.1]}, UsageError, "Did you mean 'reg_weight'"),
    ],
)
def test_a_wrong_search_list_is_said(
    candidates: dict[str, list[Any]], problem: type[BenchError], words: str
) -> None:
    with pytest.raises(problem, match=words):
        search_space(_with_search(candidates))


def tuned(dataset: str, values: dict[str, Any]) -> TunedFile:
    entry = TunedEntry(
        dataset=dataset, split="shipped", values=values, metric="recall@10", valid=0.1, trials=1,
        sampler="tpe", base_seed=1, max_epochs=1, protocol="p1", data=dataset, split_hash="1", code_hash="2",
        date="2023-01-01",
    )  # fmt: skip
    return TunedFile((entry,))


def _with_search(search: dict[str, list[Any]], tuned: TunedFile | None = None, **sections: Any) -> ModelEntry:
    entry = registry.load("mf")
    file = ModelFile(defaults=entry.file.defaults, search=search, **sections)
    return ModelEntry("mf", entry.model_class, file, entry.path, tuned=tuned or TunedFile())
