"""The audit of a split: every measure by hand, against brute force, and where it must speak or be silent."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest

from bench.core.types import Interactions, Split
from bench.data import split_audit
from bench.data.split import make_split
from bench.data.split_audit import (
    Measure,
    SplitAudit,
    audit,
    audit_lines,
    chance_above,
    counts,
    remarks,
    verdict,
    warnings,
)

Edge = tuple[int, ...]


def part(*edges: Edge, n_users: int = 3, n_items: int = 6) -> Interactions:
    """Interactions from (user, item) or (user, item, time)."""
    rows = np.array(edges, dtype=np.float64)
    users, items = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    return Interactions.from_pairs(users, items, n_users, n_items, rows[:, 2] if rows.shape[1] == 3 else None)


def by_hand(name: str = "shipped") -> Split:
    """User 0 has items 0 and 2 in training, user 1 item 1, user 2 none."""
    train, valid = part((0, 0), (0, 2), (1, 1)), part((0, 1), (1, 0))
    return Split(name, train, valid, part((0, 5), (1, 3), (1, 4), (2, 2)))


def one(found: SplitAudit, name: str, of: str = "test") -> Measure:
    """The measure of a part."""
    return next(each for each in found.of(name) if each.part in (of, "validation and test"))


def made(seed: int, n_users: int = 300, n_items: int = 200, mean: int = 12) -> Interactions:
    """Interactions with long tails, times whose order says nothing of the items, some of them equal."""
    rng = np.random.default_rng(seed)
    counts = np.minimum(1 + rng.geometric(1 / mean, n_users), n_items - 1)
    weights = 1 / (1 + rng.permutation(n_items))
    chosen = [rng.choice(n_items, count, False, weights / weights.sum()) for count in counts]
    users, items = np.repeat(np.arange(n_users), counts), np.concatenate(chosen)
    return Interactions.from_pairs(users, items, n_users, n_items, rng.integers(0, 500, len(users)).astype(float))


def last_out(whole: Interactions, values: np.ndarray, name: str = "shipped") -> Split:
    """Each user's interaction with the highest value is for test, the one before for validation."""
    order = np.lexsort((values, whole.users))
    n_later = np.empty(len(whole), dtype=np.int64)
    n_later[order] = whole.offsets[whole.users[order] + 1] - 1 - np.arange(len(whole))
    few = np.diff(whole.offsets)[whole.users] < 3
    train, valid, test = (
        whole.take(chosen) for chosen in ((n_later > 1) | few, (n_later == 1) & ~few, (n_later == 0) & ~few)
    )
    return Split(name, train, valid, test)  # fmt: skip


# --- every measure by hand ---------------------------------------------------------------------------------------


def test_above_index_by_hand() -> None:
    """5 > 2 of user 0; 3 and 4 > 1 of user 1; user 2 is left out. Random: (1 / 3 + 2 / 2) / 3."""
    found = audit(by_hand())
    test, valid = one(found, "above_index"), one(found, "above_index", "validation")
    assert (test.n, test.value, found.left_out) == (3, 1.0, {"validation": 0, "test": 1})
    assert test.expected == pytest.approx(4 / 9)
    assert test.error == pytest.approx(np.sqrt(2 / 9 + 2 / 3) / 3)  # 1*2*4 / (9*4) and 2*1*4 / (4*3)
    assert (valid.n, valid.value) == (2, 0.0)  # 1 < 2, 0 < 1
    assert valid.expected == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_latest_by_hand_with_ties() -> None:
    """User 0: 6 > 5, and 5 ties with one; user 1: 7 ties with two; user 2: 3 < 4: (1 + 1/2 + 1/3) of 4."""
    train = part((0, 0, 1), (0, 1, 5), (1, 0, 7), (1, 1, 7), (2, 0, 4))
    test = part((0, 2, 6), (0, 3, 5), (1, 2, 7), (2, 1, 3))
    found = one(audit(Split("shipped", train, part((0, 4, 2)), test)), "latest")
    assert found.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert found.expected == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 4)
    assert audit(by_hand()).of("latest") == []  # no times


def test_latest_needs_times_of_both_parts() -> None:
    found = audit(Split("shipped", part((0, 0, 1), (1, 1, 2)), part((0, 2, 3)), part((1, 0))))
    assert [each.part for each in found.of("latest")] == ["validation"]
    assert not found.is_later


def test_popularity_by_hand() -> None:
    """Counts 111000 and 001111: ranks 5 5 5 2 2 2 and 1.5 1.5 4.5 4.5 4.5 4.5; r = -9 / sqrt(13.5 * 12)."""
    found = one(audit(by_hand()), "popularity")
    assert (found.n, found.value) == (6, pytest.approx(-9 / np.sqrt(13.5 * 12)))


def test_popularity_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    split = make_split(made(1), "random", 1)
    train, test = (np.bincount(each.items, minlength=200) for each in (split.train, split.test))
    any_pair = train + test > 0
    expected = stats.spearmanr(train[any_pair], test[any_pair]).statistic
    assert one(audit(split), "popularity").value == pytest.approx(expected, abs=1e-12)


def test_a_constant_side_has_no_correlation() -> None:
    split = Split("shipped", part((0, 0), (1, 1)), part((0, 1), (1, 0)), part((0, 2)))
    assert one(audit(split), "popularity", "validation").value == 0


def test_unseen_by_hand() -> None:
    found = audit(by_hand())
    assert (one(found, "unseen").value, one(found, "unseen").n) == (3 / 4, 4)  # items 3, 4 and 5
    assert one(found, "unseen", "validation").value == 0
    assert found.unseen_items == {"validation": 0, "test": 3}
    assert counts(found)[0] == "Items that training never sees: 3 in test (3 pairs)."


def test_head_by_hand() -> None:
    """Item 0 has three test pairs and 21 others one each: the first 20 hold 3 + 19 of 24."""
    edges = [(user, 0) for user in range(3)] + [(0, item) for item in range(1, 22)]
    valid = part((1, 23), n_items=25)
    split = Split("shipped", part((0, 22), (1, 22), (2, 24), n_items=25), valid, part(*edges, n_items=25))
    assert one(audit(split), "head").value == pytest.approx(22 / 24)
    assert one(audit(split), "head", "validation").value == 1  # fewer items than 20


def test_user_counts_by_hand() -> None:
    """9 pairs, 3 / 2 / 4; users have 4, 4 and 1. None of 4 in training: 6*5*4*3 / (9*8*7*6); of 1: 6 / 9."""
    found = audit(by_hand())
    silent, both = one(found, "no_training"), one(found, "in_both")
    none = 6 * 5 * 4 * 3 / (9 * 8 * 7 * 6)
    assert (silent.value, silent.n, both.value) == (1, 3, 2)
    assert silent.expected == pytest.approx(2 * none + 2 / 3)
    assert silent.error == pytest.approx(np.sqrt(2 * none * (1 - none) + 2 / 9))
    no_valid, no_test = 7 * 6 * 5 * 4 / (9 * 8 * 7 * 6), 5 * 4 * 3 * 2 / (9 * 8 * 7 * 6)
    assert both.expected == pytest.approx(2 * (1 - no_valid - no_test))  # 3 training pairs cannot be all of 4


def test_deviation_counts_at_least_one_pair() -> None:
    assert Measure("unseen", "test", 50, 0.1, 0.0, 0.0).deviation == pytest.approx(
        5
    )  # 5 pairs where none is drawn
    assert Measure("unseen", "test", 50, 0.1, 0.0, 0.05).deviation == pytest.approx(2)
    assert Measure("no_training", "validation and test", 50, 7.0, 0.5, 0.1).deviation == pytest.approx(6.5)
    assert Measure("head", "test", 50, 1.0, 1.0, 0.0).deviation == 0


def test_fewer_users_without_training_are_no_deviation() -> None:
    assert Measure("no_training", "validation and test", 900, 0, 500, 20).is_random
    assert not Measure("no_training", "validation and test", 900, 900, 500, 20).is_random
    assert Measure("in_both", "validation and test", 900, 900, 500, 20).is_random


# --- what a random split gives, against brute force --------------------------------------------------------------


@pytest.mark.parametrize(("n", "h"), [(1, 1), (1, 3), (4, 1), (3, 2), (2, 4), (5, 3)])
def test_chance_above_against_all_choices(n: int, h: int) -> None:
    counts = []
    for held in combinations(range(n + h), h):
        highest = max(set(range(n + h)) - set(held))
        counts.append(sum(item > highest for item in held))
    mean, variance = chance_above(np.array([n]), np.array([h]))
    assert mean[0] == pytest.approx(np.mean(counts))
    assert variance[0] == pytest.approx(np.var(counts))


def test_draws_against_all_choices_within_users() -> None:
    """Users of 4, 3 and 3 pairs that hold out 2, 1 and 1: 6 * 3 * 3 splits, each as likely as any other."""
    held_out = part((0, 5), (0, 1), (1, 3), (2, 0))
    train = part((0, 0), (0, 2), (1, 1), (1, 0), (2, 4), (2, 0 + 3))
    pool = [[0, 1, 2, 5], [0, 1, 3], [0, 3, 4]]
    found: dict[str, list[float]] = {"popularity": [], "unseen": [], "head": []}
    total = np.bincount(np.concatenate(pool), minlength=6)
    for first in combinations(pool[0], 2):
        for second in pool[1]:
            for third in pool[2]:
                counts = np.bincount([*first, second, third], minlength=6)
                for name, value in zip(found, split_audit._statistics(total[None], counts[None])[0], strict=True):
                    found[name].append(value)
    result = audit(Split("shipped", train, part((0, 3)), held_out))
    for name, values in found.items():
        measure = one(result, name)
        sd = np.std(values)
        assert abs(measure.expected - np.mean(values)) <= 4 * sd / np.sqrt(split_audit.N_DRAWS), name
        assert measure.error == pytest.approx(sd, rel=0.2), name


def test_draws_take_every_pair_alike_and_keep_each_users_number() -> None:
    """One user of 5 pairs with 2 held out: each item in two fifths of the draws, each pair of items in a tenth."""
    train, held_out = part((0, 0), (0, 1), (0, 2), n_users=1), part((0, 3), (0, 4), n_users=1)
    place = np.concatenate([train.items, held_out.items])
    drawn = []
    for _ in range(20):
        drawn += [*split_audit._drawn(train, held_out, place, 5)]
        split_audit.SEED += 1
    split_audit.SEED -= 20
    rows = np.concatenate(drawn)
    assert (rows.sum(1) == 2).all()
    assert np.abs(rows.mean(0) - 0.4).max() < 4 * np.sqrt(0.24 / len(rows))
    together = rows.T @ rows / len(rows)
    off = together[~np.eye(5, dtype=bool)]
    assert np.abs(off - 0.1).max() < 0.06  # pairs of items share the 100 orders, so that these are fewer draws


def test_standard_errors_are_those_of_random_splits() -> None:
    """Over 100 user splits of the same data, values lie around their expectations as the errors say."""
    whole = made(3, n_items=900)  # many rare items, so that some are unseen in every split
    audits = [audit(make_split(whole, "user", seed)) for seed in range(100)]
    for name in ("above_index", "popularity", "unseen", "head"):
        values = np.array([one(each, name).value for each in audits])
        expected = np.array([one(each, name).expected for each in audits])
        error = np.sqrt(np.mean([one(each, name).error ** 2 for each in audits]))
        assert np.std(values - expected) == pytest.approx(error, rel=0.25), name
        assert abs(np.mean(values - expected)) < 4 * np.std(values - expected) / 10, name


def test_user_counts_against_all_orders() -> None:
    """Users of 2, 2 and 1 pairs, parts of 2, 1 and 2: all ways to hand out the parts."""
    split = Split("shipped", part((0, 0), (1, 0)), part((1, 1)), part((0, 1), (2, 0)))
    owner = np.array([0, 0, 1, 1, 2])
    silent, both = [], []
    for labels in set(permutations("ttvee")):
        of = [{label for label, user in zip(labels, owner, strict=True) if user == each} for each in range(3)]
        silent.append(sum("t" not in each for each in of))
        both.append(sum({"v", "e"} <= each for each in of))
    found = audit(split)
    assert one(found, "no_training").expected == pytest.approx(np.mean(silent))
    assert one(found, "in_both").expected == pytest.approx(np.mean(both))


# --- where it speaks, and where it must not ----------------------------------------------------------------------


def test_a_split_by_index_is_told() -> None:
    whole = made(5)
    said = warnings(audit(last_out(whole, whole.items.astype(float))))
    assert said[0].startswith(
        "Validation and test items have the highest index of their user in 100.0% and 100.0%"
    )
    assert said[0].endswith("The split was made by index, not at random.")
    assert not any("time" in each for each in said)


def test_a_partial_split_by_index_is_told_with_less() -> None:
    """Half of the users by index, the others at random."""
    whole = made(6)
    values = np.where(whole.users % 2 == 0, whole.items, np.random.default_rng(0).random(len(whole)))
    said = warnings(audit(last_out(whole, values)))
    assert any(each.endswith("The split follows the item index; it was not drawn at random.") for each in said)


def test_leave_last_out_by_time_is_told_as_what_it_is() -> None:
    whole = made(7, mean=20)
    assert whole.timestamps is not None
    found = audit(last_out(whole, whole.timestamps + np.random.default_rng(1).random(len(whole)) / 10))
    said = warnings(found)
    assert len(said) == 1
    assert said[0].startswith("Validation and test pairs are the latest of their user in 9")
    assert "This is a split by time, which is right where recommendations are for the future" in said[0]
    assert verdict(found, one(found, "latest")) == "by time"
    assert not found.is_later


def test_an_index_that_follows_time_is_no_split_by_index() -> None:
    whole = made(8)
    times = whole.items.astype(float)
    split = last_out(Interactions(whole.n_users, whole.n_items, whole.users, whole.items, times), times)
    said = warnings(audit(split))
    assert any("This is a split by time" in each for each in said)
    assert any(each.endswith("Items whose index grows with time give this in a split by time.") for each in said)
    assert not any("made by index" in each for each in said)


def test_a_split_at_one_point_in_time_is_as_its_name_says() -> None:
    split = make_split(made(9), "global_time", 0)
    found = audit(split)
    assert warnings(found) == []
    assert "The split is by time, as its name 'global_time' says." in remarks(found)[0]
    assert remarks(found)[0].endswith("Every held-out pair is later than every training pair.")
    under_another_name = audit(Split("shipped", split.train, split.valid, split.test))
    assert remarks(under_another_name) == []
    assert any("Every held-out pair is later" in each for each in warnings(under_another_name))


def test_users_held_out_whole_are_told() -> None:
    whole = made(10)
    of_user = whole.users % 10
    split = Split("shipped", *(whole.take(chosen) for chosen in (of_user < 8, of_user == 8, of_user == 9)))
    found = audit(split)
    assert found.of("above_index") == []
    assert any(each.startswith("60 users have held-out pairs and none in training") for each in warnings(found))


@pytest.mark.parametrize("rule", ["random", "user"])
@pytest.mark.parametrize(("n_users", "n_items", "mean"), [(20, 30, 5), (60, 25, 8), (300, 200, 12)])
def test_no_false_alarm(rule: str, n_users: int, n_items: int, mean: int) -> None:
    for seed in range(12):
        split = make_split(made(seed, n_users, n_items, mean), rule, seed)
        assert warnings(audit(split)) == remarks(audit(split)) == []


def test_it_is_the_same_every_time_and_kept_with_the_split() -> None:
    split, again = by_hand(), by_hand()
    assert audit(split) is audit(split)
    assert audit(split) == audit(again)


def test_lines_for_a_console() -> None:
    told = audit_lines(audit(by_hand()))
    assert told[0].startswith("Pairs with the highest item index of their user: validation 0.0% (random 41.7% ± ")
    assert told[4] == "Users with held-out pairs and none in training: 1 (random 0.9 ± 0.7)"
    assert told[-1].startswith("1 test pairs are of users without training items, and left out")
    assert not any(each.startswith("Pairs that are the latest") for each in told)


# --- real data ---------------------------------------------------------------------------------------------------


def tiktok(folder: Path, split: str) -> Split:
    from bench.core.types import DataRequest
    from bench.data.load import load_dataset

    return load_dataset("tiktok", DataRequest(data_dirs=(folder,), split=split)).split


def test_the_shipped_tiktok_was_split_by_index(real_data_dir: Path) -> None:
    split = tiktok(real_data_dir, "shipped")
    found = audit(split)
    for name, n in (("validation", 3046), ("test", 6125)):
        above = one(found, "above_index", name)
        assert (above.n, above.value) == (n, 1.0)
        assert above.expected == pytest.approx(0.37, abs=0.005)
    assert found.left_out == {"validation": 5, "test": 5}
    assert one(found, "head").value == pytest.approx(0.185, abs=5e-4)
    assert one(found, "unseen").value * 6130 == pytest.approx(449)
    assert (one(found, "in_both").value, one(found, "no_training").value) == (0, 10)
    said = warnings(found)
    assert said[0] == (
        "Validation and test items have the highest index of their user in 100.0% and 100.0% of pairs; a random "
        "split gives 37.4% and 36.9%. The split was made by index, not at random."
    )
    parts = (split.train, split.test)
    shares = [np.bincount(each.items * 10 // each.n_items, minlength=10) / len(each) for each in parts]
    ends = [f"{share[place]:.1%}" for share in shares for place in (0, 9)]
    assert ends == ["19.4%", "4.6%", "1.1%", "20.5%"]


@pytest.mark.parametrize("rule", ["random", "user"])
def test_tiktok_split_anew_is_random(real_data_dir: Path, rule: str) -> None:
    assert warnings(audit(tiktok(real_data_dir, rule))) == []
