"""Layer 8. Users' own test scores by row and repetition. Reads the stored lists of finished runs.

Nothing is trained and nothing is ranked again: the metrics of every user lie beside the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import ResultsError, listed
from bench.list_files import StoredLists
from bench.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.records import DataFacts, RunRecord
from bench.report.material import Material
from bench.report.resampling import FloatArray, Resamples
from bench.seeds import derive_seed

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
