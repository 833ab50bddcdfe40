"""Shared labels, headings, cells and footnotes of all tables and figures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.core.errors import UsageError, listed
from bench.core.names import FOREIGN, is_foreign, model_of, split_label
from bench.core.protocol import PRIMARY_CUTOFF, Protocol, metric_parts
from bench.core.text import counted
from bench.engine import registry
from bench.engine.recbole_catalogue import is_recbole
from bench.report.paper import Paper
from bench.report.scores import DataKey, Score, Scores, data_key
from bench.report.table import Cell, CsvValue, Mark
from bench.runs.controls import is_control
from bench.runs.records import DataFacts

DASH = "–"
SHORT_HASH = 8
LONG_METRICS = {"precision": "Precision", "recall": "Recall", "ndcg": "NDCG"}
OTHER_PROGRAM = "another program"  # marks a row whose lists were not made here
PAPER_SPLIT = "random"  # section 5.1.3: 8:1:1 at random
DATA_FIELDS = ("dataset", "source", "scale", "data", "split", "data_hash", "split_hash")
MARKED = "Bold is the best of a column and underlined the second best, among complete cells."
PUBLISHED = "Columns headed 'paper' are the paper's numbers on its own data."
NO_RUN = Cell(words=f"{DASH} (no finished run)")
NOTHING = Cell(words=DASH)


def model_display(label: str, paper: Paper) -> str:
    """Return the displayed name of a model label, for example `LUDP (literal)` for `ludp@literal`.

    A model outside the paper has the title of its card, or its own name without a card. The lists of another
    program have its name and say so.
    """
    model, variant = split_label(label)
    if is_foreign(model):
        return f"{model.removeprefix(FOREIGN)} ({OTHER_PROGRAM})"
    if paper.has_model(model):
        name = paper.display(model)
    else:
        card = registry.card_of(model)
        name = model if card is None else card.title
    return f"{name} ({variant})" if variant else name


def is_about_paper(labels: Iterable[str], paper: Paper) -> bool:
    """Return whether the paper's model is among the rows; only then do tables speak of the paper."""
    return any(model_of(label) == paper.proposed for label in labels)


def shows_published(facts: DataFacts, paper: Paper) -> bool:
    """Return whether the paper's values may stand beside results on this data: real, and one of the paper's."""
    return facts.source == "real" and paper.has_dataset(facts.card)


def row_order(labels: Iterable[str], paper: Paper) -> list[str]:
    """Sort labels: the paper's order with variants after their model, other models, RecBole's, then controls.

    Raises:
        UsageError: there is no label, or one is given twice.
    """
    given = list(labels)
    if not given:
        raise UsageError("No model was given for the table; allowed are one or more. Name at least one model.")
    twice = [label for label, count in Counter(given).items() if count > 1]
    if twice:
        raise UsageError(f"The model '{twice[0]}' is listed twice; allowed is one row per model. Name it once.")
    rank = {model: position for position, model in enumerate(paper.models)}
    return sorted(given, key=lambda label: _sort_key(label, rank))


def _sort_key(label: str, rank: dict[str, int]) -> tuple[int, int]:
    model, variant = split_label(label)
    group = 2 if is_control(label) else int(is_recbole(label))
    return (rank[model], int(bool(variant))) if model in rank else (len(rank), group)


def metric_name(metric: str) -> str:
    """Return the name of a metric key for an axis or sentence, for example `Recall@10` for `recall@10`."""
    name, cutoff = metric_parts(metric)
    return f"{LONG_METRICS.get(name, name)}@{cutoff}"


def protocol_sentence(used: Protocol) -> str:
    """Return a caption sentence on the protocol and its choices."""
    name = "" if used.name in used.tag else f" ({used.name}, version {used.version})"
    return (
        f"Protocol {used.tag}{name}: validation {metric_name(used.selection_metric)} selects, patience "
        f"{used.patience}, at most {used.max_epochs:,} epochs; hidden at test: {used.hide_at_test} items."
    )


def seeds(n: int | None) -> str:
    """Return the number of repetitions as text, for example `n=3 seeds`."""
    return "no run yet" if n is None else f"n={counted(n, 'seed')}"


def mean_over(n_seeds: int) -> str:
    """Return what a value of several seeds is: `1 seed` or `mean of 5 seeds`."""
    return "1 seed" if n_seeds == 1 else f"mean of {n_seeds} seeds"


def data_headings(facts: Sequence[DataFacts]) -> list[str]:
    """Return one heading per data set: its label, with split and hash if two labels are equal.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    if not facts:
        raise UsageError(
            "No data set was given for the table; allowed are one or more. Name at least one data set."
        )
    keys = Counter(data_key(each) for each in facts)
    for each in facts:
        if keys[data_key(each)] > 1:
            raise UsageError(f"The data set {each.label} is listed twice. Name it once.")
    counts = Counter(each.label for each in facts)
    return [each.label if counts[each.label] == 1 else f"{each.label}, {_difference(each)}" for each in facts]


def random_split_counterparts(facts: Sequence[DataFacts]) -> dict[DataKey, DataFacts]:
    """Find data on another split that is also present on the paper's split: by key, the same data on that split.

    Two splits of the same interactions are not two data sets. A count of data sets, or a verdict on a claim of the
    paper, uses the paper's split only.
    """
    on_paper_split = {(each.card, each.data_hash): each for each in facts if each.split == PAPER_SPLIT}
    return {
        data_key(each): on_paper_split[each.card, each.data_hash]
        for each in facts
        if each.split != PAPER_SPLIT and (each.card, each.data_hash) in on_paper_split
    }


def paper_heading(dataset: str, paper: Paper) -> str:
    """Return the heading of published values, worded so that they are not taken for ours."""
    return f"paper, on its own {paper.dataset_display(dataset)}"


def data_values(facts: DataFacts) -> tuple[CsvValue, ...]:
    """Return the values of the columns `DATA_FIELDS`, by which every CSV row names its data."""
    return (
        *(facts.name, facts.source, facts.scale, facts.label),
        *(facts.split, facts.data_hash, facts.split_hash),
    )


def data_notes(facts: DataFacts, heading: str, paper: Paper) -> list[str]:
    """Return footnotes on a data set: its identity, whether it compares with the paper, and what it lacks."""
    sizes = f"{facts.n_train:,} training, {facts.n_valid:,} validation and {facts.n_test:,} test interactions"
    notes = [f"{heading}: {_split_and_hash(facts)}; {sizes}."]
    notes += [_comparability(facts, heading, paper)]
    notes += [f"{heading}: no {name} modality ({_bare(why)})." for name, why in facts.missing.items()]
    notes += [_few_candidates(facts, heading)]
    return [note for note in notes if note]


def _few_candidates(facts: DataFacts, heading: str) -> str:
    """Return a footnote if a top-K list holds all candidate items, else ""."""
    n_candidates = facts.n_items - (facts.n_train + facts.n_valid) / max(facts.n_users, 1)
    if n_candidates > PRIMARY_CUTOFF:
        return ""
    return (
        f"{heading}: a user has {n_candidates:.1f} candidates on average, and a list of {PRIMARY_CUTOFF} holds "
        f"them all: metrics at {PRIMARY_CUTOFF} can hardly tell models apart."
    )


def _comparability(facts: DataFacts, heading: str, paper: Paper) -> str:
    if facts.source != "real":
        advice = f" {_bare(facts.advice)}." if facts.advice else ""
        return (
            f"{heading} is {facts.source} data ({_bare(facts.origin)}): its numbers cannot be compared with "
            f"published ones.{advice}"
        )
    if not paper.has_dataset(facts.card):
        return ""
    published = paper.statistics(facts.card)
    ours = (facts.n_users, facts.n_items, facts.n_interactions)
    theirs = (published.n_users, published.n_items, published.n_interactions)
    if ours == theirs:
        return ""
    return (
        f"{heading} has {ours[0]:,} users, {ours[1]:,} items and {ours[2]:,} interactions, the paper's own "
        f"{paper.dataset_display(facts.card)} {theirs[0]:,}, {theirs[1]:,} and {theirs[2]:,}: another data set, "
        f"of which only the order of the models can be compared."
    )


def _split_and_hash(facts: DataFacts) -> str:
    return f"split {facts.split} {facts.split_hash[:SHORT_HASH]}, data {facts.data_hash[:SHORT_HASH]}"


def _difference(facts: DataFacts) -> str:
    """Say by what data of one label may differ: its content, split and hashes."""
    content = f"with {listed(each.name for each in facts.modalities)}" if facts.modalities else "without content"
    return f"{content}, {_split_and_hash(facts)}"


def _bare(sentence: str) -> str:
    return sentence.strip().rstrip(".")


def score_cell(score: Score, mark: Mark = "") -> Cell:
    """Return a cell with mean and deviation, or with the number of seeds alone if repetitions are missing."""
    if score.mean is None:
        return Cell(words=f"{DASH} ({score.progress} seeds)") if score.n_runs else NO_RUN
    return Cell(score.mean, score.sd, mark=mark)


def repetitions_sentence(scores: Scores) -> str:
    """Return a caption sentence on the repetitions behind means and deviations."""
    if scores.n_asked is None:
        return "No run has been made yet."
    if scores.n_asked == 1:
        return "One seed per cell (n=1), hence no standard deviation."
    return f"Mean ± sample standard deviation over n={scores.n_asked} seeds."


def list_incomplete(by_name: Iterable[tuple[str, Score]]) -> str:
    """List the rows with missing repetitions, each with its counts; "" if all are complete."""
    gaps: Mapping[str, Score] = {name: score for name, score in by_name if score.mean is None}
    if not gaps:
        return ""
    return listed(
        f"{name} ({score.n_runs} of {score.n_asked or '?'} seeds, {score.n_failed} failed)"
        for name, score in gaps.items()
    )
