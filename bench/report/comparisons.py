"""Users' own test scores by row and repetition. Reads the stored lists of finished runs.

Nothing is trained and nothing is ranked again: the metrics of every user lie beside the lists.

Pairs of rows tested against each other on one data set, and how a difference is put.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.core.errors import ResultsError, listed
from bench.core.hashing import derive_seed
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.statistics import Contrast, FloatArray, Resamples, pair
from bench.report.table import CsvValue
from bench.report.wording import model_display, row_order
from bench.runs.list_files import StoredLists
from bench.runs.records import DataFacts, RunRecord

COMPARED = tuple(metric_key(metric, PRIMARY_CUTOFF) for metric in METRICS)


@dataclass(frozen=True, eq=False)
class UserScores:
    """The scores of the rows that have every repetition, on one data set.

    Attributes:
        facts: the data set.
        labels: complete rows, in the order asked for.
        n_users: users with held-out items, the same for all rows.
        scores: by compared metric, `[n_rows, n_seeds, n_users]`.
        gaps: what there is of the other rows, for example "2 of 3 seeds", by label; they are never compared.
    """

    facts: DataFacts
    labels: tuple[str, ...]
    n_users: int
    scores: dict[str, FloatArray]
    gaps: dict[str, str]

    def resamples(self, n_tests: int) -> Resamples | None:
        """Flips and resamples of these users, the same in every table; None where no row is complete.

        Args:
            n_tests: the largest family of tests that will be asked for.
        """
        if not self.labels:
            return None
        seed = derive_seed(0, "significance", self.facts.data_hash, self.facts.split_hash)
        return Resamples(self.labels, self.scores, seed, n_tests)


def read_user_scores(
    material: Material, facts: DataFacts, labels: Sequence[str], metrics: Sequence[str] = COMPARED
) -> UserScores:
    """Read the users' scores of the named rows.

    Args:
        material: the records of a call and where their lists lie.
        facts: the data set.
        labels: rows; one is complete if it has as many finished runs as seeds were asked for.
        metrics: what is compared.

    Raises:
        ResultsError: lists are missing or damaged, lack a metric, or are about different users.
    """
    runs = {label: material.runs(facts, label) for label in dict.fromkeys(labels)}
    complete = {label: found for label, found in runs.items() if len(found) == material.n_seeds}
    gaps = {
        label: f"{len(found)} of {material.n_seeds} seeds" if found else "no finished run"
        for label, found in runs.items()
        if label not in complete
    }
    needed = {record.key: record for found in complete.values() for record in found}
    first: StoredLists | None = None
    by_key: dict[str, dict[str, FloatArray]] = {}
    for key, record in needed.items():  # one run can be several rows
        lists = material.lists(record)
        first = first or lists
        by_key[key] = _checked(record, lists, first, metrics)
    scores = {
        metric: np.array([[by_key[record.key][metric] for record in found] for found in complete.values()])
        for metric in metrics
    }
    n_users = 0 if first is None else len(first.users)
    return UserScores(facts, tuple(complete), n_users, scores, gaps)


def _checked(
    record: RunRecord, lists: StoredLists, first: StoredLists, metrics: Sequence[str]
) -> dict[str, FloatArray]:
    """The compared metrics, which must be there and about the same users as those of the first run."""
    missing = [metric for metric in metrics if metric not in lists.per_user]
    if missing or not np.array_equal(lists.users, first.users):
        what = f"lack {listed(missing)}" if missing else "are about other users than those of the other runs"
        raise ResultsError(
            f"The lists of the run {record.key} ({record.spec.dataset} {record.spec.label}) {what}; tests compare "
            f"the same users. Give the same command with --on-existing rerun to make them again."
        )
    return {metric: lists.per_user[metric] for metric in metrics}


ALL_PAIRS = "all pairs"
STAR = "*"
SMALLEST_SHOWN = 0.001
CONTRAST_FIELDS = (
    *("difference", "ci_low", "ci_high", "relative", "relative_low", "relative_high", "cohens_dz"),
    *("p", "p_holm", "p_by_seed", "n_seeds_agreeing"),
)
METHOD = (
    "p: paired permutation test over users, two-sided; a user's difference turns its sign in all seeds at once, "
    "which combines the tests of the seeds whatever their dependence; corrected by Holm's method in families of "
    "one data set, one metric, {family}. In brackets the 95% percentile bootstrap interval, over users, of the "
    "difference of seed-averaged scores, not corrected."
)
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Comparisons:
    """The tests of one family of pairs on one data set.

    Attributes:
        family: its name.
        pairs: in order, whether they could be compared or not.
        found: contrasts by metric and pair; pairs with an incomplete row are not among them.
        scores: what was compared.
    """

    family: str
    pairs: tuple[Pair, ...]
    found: dict[tuple[str, Pair], Contrast]
    scores: UserScores

    @property
    def size(self) -> int:
        """Tests that Holm's correction counted in one metric."""
        return len({pair for _, pair in self.found})

    def gap(self, pair: Pair, paper: Paper) -> str:
        """Why a pair is not compared; empty if it is."""
        gaps = self.scores.gaps
        return ", ".join(f"{model_display(label, paper)}: {gaps[label]}" for label in pair if label in gaps)


def against_proposed(material: Material, facts: DataFacts) -> Comparisons:
    """The proposed model against every other row of the call.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    pairs = _with_proposed(row_order(material.labels, material.paper), material.paper)
    return compared(material, facts, family_name(material.paper), pairs)


def compared(
    material: Material,
    facts: DataFacts,
    family: str,
    pairs: Sequence[Pair],
    metrics: Sequence[str] = COMPARED,
) -> Comparisons:
    """Pairs of any rows, tested together.

    Args:
        material: the records of a call and where their lists lie.
        facts: the data set.
        family: its name.
        pairs: labels, the first minus the second.
        metrics: to compare them in.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    scores = read_user_scores(material, facts, [label for each in pairs for label in each], metrics)
    return _compared(scores, scores.resamples(len(pairs)), family, pairs)


def all_comparisons(material: Material, facts: DataFacts) -> list[Comparisons]:
    """Every pair of rows of the call; before it the pairs with the proposed model, if it is among the rows.

    Raises:
        ResultsError: see `read_user_scores`.
    """
    paper = material.paper
    labels = row_order(material.labels, paper)
    scores = read_user_scores(material, facts, labels)
    ours = _with_proposed(labels, paper)
    everything = [*ours, *combinations([label for label in labels if label != paper.proposed], 2)]
    families = {family_name(paper): ours, ALL_PAIRS: everything}
    resamples = scores.resamples(len(everything))
    return [
        _compared(scores, resamples, family, pairs)
        for family, pairs in families.items()
        if pairs or family == ALL_PAIRS
    ]


def family_name(paper: Paper) -> str:
    """The family of `against_proposed`."""
    return f"{paper.display(paper.proposed)} against every other row"


def shown_p(p: float) -> str:
    """A p-value as readers expect it, for example `0.013` or `<0.001`."""
    return f"<{SMALLEST_SHOWN}" if p < SMALLEST_SHOWN else f"{p:.3f}"


def shown_difference(contrast: Contrast) -> str:
    """The relative difference with its interval, for example `+5.3% [+1.2%, +9.4%]`; absolute without a base."""
    if contrast.relative is None or contrast.relative_low is None:
        return f"{contrast.difference:+.4f} [{contrast.low:+.4f}, {contrast.high:+.4f}]"
    return f"{contrast.relative:+.1%} [{contrast.relative_low:+.1%}, {contrast.relative_high:+.1%}]"


def star(contrast: Contrast) -> str:
    """What follows a number whose difference is significant, with a blank before it; else nothing."""
    return f" {STAR}" if contrast.sign else ""


def contrast_values(contrast: Contrast | None) -> tuple[CsvValue, ...]:
    """The columns `CONTRAST_FIELDS`; nothing where nothing was compared."""
    if contrast is None:
        return (None,) * len(CONTRAST_FIELDS)
    return (
        *(contrast.difference, contrast.low, contrast.high),
        *(contrast.relative, contrast.relative_low, contrast.relative_high, contrast.effect),
        *(contrast.p, contrast.p_holm, ";".join(map(repr, contrast.p_by_seed)), contrast.n_agreeing),
    )


def _with_proposed(labels: Sequence[str], paper: Paper) -> list[Pair]:
    proposed = paper.proposed
    return [(proposed, label) for label in labels if label != proposed] if proposed in labels else []


def _compared(scores: UserScores, resamples: Resamples | None, family: str, pairs: Sequence[Pair]) -> Comparisons:
    """Test the pairs of complete rows, those of one metric as one family."""
    found: dict[tuple[str, Pair], Contrast] = {}
    if resamples is not None:
        possible = [each for each in pairs if not set(each) & set(scores.gaps)]
        for metric in scores.scores:
            contrasts = resamples.family(metric, [pair(*each) for each in possible])
            found |= {(metric, each): contrast for each, contrast in zip(possible, contrasts, strict=True)}
    return Comparisons(family, tuple(pairs), found, scores)
