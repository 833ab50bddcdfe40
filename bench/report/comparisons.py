"""Pairwise significance tests between the rows of one data set, and the text form of a difference.

Reads the per-user metrics that finished runs stored beside their lists. Writes nothing, trains nothing, and ranks
nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations
from math import comb

import numpy as np

from bench.core.errors import ResultsError, listed
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.statistics import Contrast, FloatArray, Resamples, pair, seed_of_tests
from bench.report.table import CsvValue
from bench.report.wording import model_display, row_order
from bench.runs.list_files import StoredLists, StoredScores
from bench.runs.records import DataFacts, RunRecord

COMPARED = tuple(metric_key(metric, PRIMARY_CUTOFF) for metric in METRICS)
ALL_PAIRS = "all pairs"
STAR = "*"
MIN_SEEDS = 3  # below, a difference of trained models may be the seeds', and nothing is starred
SMALLEST_SHOWN = 0.001
CONTRAST_FIELDS = (
    *("difference", "ci_low", "ci_high", "relative", "relative_low", "relative_high", "cohens_dz"),
    *("p", "p_holm", "p_by_seed", "n_seeds_agreeing"),
    *("ci_low_over_seeds", "ci_high_over_seeds", "relative_low_over_seeds", "relative_high_over_seeds"),
    "detectable",
)
STARRED = (
    f"{STAR} marks p < 0.05 where the 95% interval over users and seeds leaves out 0, too: a difference that "
    f"other seeds could turn around has no star."
)
METHOD = (
    "p: paired permutation test over users, two-sided; a user's difference flips its sign in all seeds at once, "
    "which combines the tests of the seeds under any dependence; corrected by Holm's method in families of "
    "one data set, one metric, {family}. "
    + STARRED
    + " In brackets the 95% percentile bootstrap interval, over users, of the "
    "difference of seed-averaged scores, not corrected."
)
Pair = tuple[str, str]
View = Callable[[StoredLists], StoredScores]


@dataclass(frozen=True, eq=False)
class UserScores:
    """Per-user test scores of the complete rows of one data set.

    Attributes:
        facts: the data set.
        labels: rows with every repetition, in the requested order.
        n_users: users with held-out items, the same for all rows.
        scores: by compared metric, `[n_rows, n_seeds, n_users]`.
        incomplete: by label, what exists of the other rows, for example "2 of 3 seeds"; they are never compared.
    """

    facts: DataFacts
    labels: tuple[str, ...]
    n_users: int
    scores: dict[str, FloatArray]
    incomplete: dict[str, str]

    @property
    def n_seeds(self) -> int:
        """Return the number of seeds of each complete row; 0 without one."""
        return next(iter(self.scores.values())).shape[1] if self.labels else 0

    def resamples(self, n_tests: int = 0) -> Resamples | None:
        """Draw the sign flips and bootstrap resamples of these users; None without a complete row or a user.

        There are enough flips for a test of all pairs, so that all tables of these rows have the same p-values.

        Args:
            n_tests: size of the largest family of tests that will use them, if it is more than all pairs.
        """
        if not (self.labels and self.n_users):
            return None
        n_tests = max(n_tests, comb(len(self.labels), 2))
        return Resamples(self.labels, self.scores, seed_of_tests(self.facts), n_tests)


def read_user_scores(
    material: Material,
    facts: DataFacts,
    labels: Sequence[str],
    metrics: Sequence[str] = COMPARED,
    view: View | None = None,
) -> UserScores:
    """Read the per-user scores of the named rows.

    Args:
        material: the records of a call and the store of their lists.
        facts: the data set.
        labels: rows; a row is complete if it has a finished run for every requested seed.
        metrics: metrics to compare.
        view: computes from the lists what is compared, for example their scores on rare items; None compares the
            stored scores.

    Raises:
        ResultsError: scores are missing or damaged, lack a metric, or cover different users.
    """
    runs = {label: material.runs(facts, label) for label in dict.fromkeys(labels)}
    complete = {label: records for label, records in runs.items() if len(records) == material.n_seeds}
    incomplete = {
        label: f"{len(records)} of {material.n_seeds} seeds" if records else "no finished run"
        for label, records in runs.items()
        if label not in complete
    }
    needed = {record.key: record for records in complete.values() for record in records}
    first: StoredScores | None = None
    by_key: dict[str, dict[str, FloatArray]] = {}
    for key, record in needed.items():  # by key, because several rows can share one run
        scored = material.user_scores(record) if view is None else view(material.lists(record))
        first = first or scored
        by_key[key] = _compared_metrics(record, scored, first, metrics)
    scores = {
        metric: np.array([[by_key[record.key][metric] for record in records] for records in complete.values()])
        for metric in metrics
    }
    n_users = 0 if first is None else len(first.users)
    return UserScores(facts, tuple(complete), n_users, scores, incomplete)


def _compared_metrics(
    record: RunRecord, scored: StoredScores, first: StoredScores, metrics: Sequence[str]
) -> dict[str, FloatArray]:
    """Return the compared metrics of a run, checked to exist and to cover the users of the first run."""
    missing = [metric for metric in metrics if metric not in scored.per_user]
    if missing or not np.array_equal(scored.users, first.users):
        problem = f"lack {listed(missing)}" if missing else "cover other users than those of the other runs"
        raise ResultsError(
            f"The scores of the run {record.key} ({record.spec.dataset} {record.spec.label}) {problem}; paired "
            f"tests need the same users. Give the command that made the runs with --on-existing rerun to make "
            "them again."
        )
    return {metric: scored.per_user[metric] for metric in metrics}


@dataclass(frozen=True, eq=False)
class Comparisons:
    """The tests of one family of pairs on one data set.

    Attributes:
        family: name of the family.
        pairs: all pairs in order, also those that could not be compared.
        contrasts: by metric and pair, without pairs that have an incomplete row.
        scores: the compared scores.
    """

    family: str
    pairs: tuple[Pair, ...]
    contrasts: dict[tuple[str, Pair], Contrast]
    scores: UserScores

    @property
    def size(self) -> int:
        """Return the number of tests that Holm's correction counted in one metric."""
        return len({pair for _, pair in self.contrasts})

    def gap(self, pair: Pair, paper: Paper) -> str:
        """Return why a pair is not compared, or "" if it is."""
        gaps = self.scores.incomplete
        return ", ".join(f"{model_display(label, paper)}: {gaps[label]}" for label in pair if label in gaps)


def untested(n_seeds: int) -> str:
    """Return a caption sentence where there are too few seeds for tests; "" where there are enough."""
    if n_seeds >= MIN_SEEDS:
        return ""
    seeds = "one seed" if n_seeds == 1 else f"{n_seeds} seeds"
    return f"Differences of {seeds} are not tested; --seeds {MIN_SEEDS} or more make it possible."


def compare_with_reference(material: Material, facts: DataFacts) -> Comparisons:
    """Compare the reference row with every other row of the call.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    pairs = _with_reference(row_order(material.labels, material.paper), material.reference)
    return compare_pairs(material, facts, family_name(material), pairs)


def compare_pairs(
    material: Material,
    facts: DataFacts,
    family: str,
    pairs: Sequence[Pair],
    metrics: Sequence[str] = COMPARED,
    view: View | None = None,
) -> Comparisons:
    """Test pairs of rows together as one family.

    Args:
        material: the records of a call and the store of their lists.
        facts: the data set.
        family: name of the family.
        pairs: labels; a difference is the first minus the second.
        metrics: metrics to compare.
        view: computes from the lists what is compared, see `read_user_scores`.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    scores = read_user_scores(material, facts, [label for each in pairs for label in each], metrics, view)
    return _test_pairs(scores, scores.resamples(), family, pairs)


def compare_all(material: Material, facts: DataFacts) -> list[Comparisons]:
    """Compare every pair of rows of the call, preceded by the family of the reference row.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    labels, reference = row_order(material.labels, material.paper), material.reference
    scores = read_user_scores(material, facts, labels)
    ours = _with_reference(labels, reference)
    everything = [*ours, *combinations([label for label in labels if label != reference], 2)]
    families = {family_name(material): ours, ALL_PAIRS: everything}
    resamples = scores.resamples()
    return [
        _test_pairs(scores, resamples, family, pairs)
        for family, pairs in families.items()
        if pairs or family == ALL_PAIRS
    ]


def family_name(material: Material) -> str:
    """Return the name of the family of `compare_with_reference`."""
    return f"{model_display(material.reference, material.paper)} against every other row"


def shown_p(p: float) -> str:
    """Format a p-value, for example `0.013` or `<0.001`."""
    return f"<{SMALLEST_SHOWN}" if p < SMALLEST_SHOWN else f"{p:.3f}"


def shown_difference(contrast: Contrast) -> str:
    """Format the relative difference and interval, `+5.3% [+1.2%, +9.4%]`; absolute if the base may be 0."""
    if contrast.relative is None or contrast.relative_low is None:
        return f"{contrast.difference:+.4f} [{contrast.low:+.4f}, {contrast.high:+.4f}]"
    return f"{contrast.relative:+.1%} [{contrast.relative_low:+.1%}, {contrast.relative_high:+.1%}]"


def shown_over_seeds(contrast: Contrast) -> str:
    """Format the interval over users and seeds as `shown_difference` does; "" for one seed."""
    wide = contrast.over_seeds
    if wide is None:
        return ""
    if contrast.relative is None or wide.relative_low is None or contrast.relative_low is None:
        return f"[{wide.low:+.4f}, {wide.high:+.4f}]"
    return f"[{wide.relative_low:+.1%}, {wide.relative_high:+.1%}]"


def shown_detectable(contrast: Contrast) -> str:
    """Format the detectable difference, relative where the difference is; "" where users do not vary."""
    if contrast.detectable is None:
        return ""
    if contrast.relative_detectable is None or contrast.relative_low is None:
        return f"{contrast.detectable:.4f}"
    return f"{contrast.relative_detectable:.1%}"


def star(contrast: Contrast) -> str:
    """Return a blank and a star for a significant difference over at least `MIN_SEEDS` seeds, else ""."""
    return f" {STAR}" if contrast.sign and len(contrast.p_by_seed) >= MIN_SEEDS else ""


def contrast_values(contrast: Contrast | None) -> tuple[CsvValue, ...]:
    """Return the values of the columns `CONTRAST_FIELDS`, all None without a contrast."""
    if contrast is None:
        return (None,) * len(CONTRAST_FIELDS)
    return (
        *(contrast.difference, contrast.low, contrast.high),
        *(contrast.relative, contrast.relative_low, contrast.relative_high, contrast.effect),
        *(contrast.p, contrast.p_corrected, ";".join(map(repr, contrast.p_by_seed)), contrast.n_agreeing),
        *(astuple(contrast.over_seeds) if contrast.over_seeds else (None,) * 4),
        contrast.detectable,
    )


def _with_reference(labels: Sequence[str], reference: str) -> list[Pair]:
    """Pair the reference row with every other row."""
    return [(reference, label) for label in labels if label != reference]


def _test_pairs(
    scores: UserScores, resamples: Resamples | None, family: str, pairs: Sequence[Pair]
) -> Comparisons:
    """Test the pairs of complete rows; the pairs of one metric are one family."""
    contrasts: dict[tuple[str, Pair], Contrast] = {}
    if resamples is not None:
        complete = [each for each in pairs if not set(each) & set(scores.incomplete)]
        for metric in scores.scores:
            tested = resamples.family(metric, [pair(*each) for each in complete])
            contrasts |= {(metric, each): contrast for each, contrast in zip(complete, tested, strict=True)}
    return Comparisons(family, tuple(pairs), contrasts, scores)
