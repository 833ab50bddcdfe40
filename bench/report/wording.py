"""How data, models and doubts are called in every table and figure. Pure.

Scores as cells and sentences, in the words that all tables and figures share. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.core.errors import UsageError, listed
from bench.core.protocol import PRIMARY_CUTOFF, Protocol
from bench.engine import registry
from bench.engine.recbole_catalogue import is_recbole
from bench.report.paper import Paper
from bench.report.scores import DataKey, Score, Scores, data_key
from bench.report.table import Cell, CsvValue, Mark
from bench.runs.records import DataFacts

DASH = "–"
SHORT_HASH = 8
SHORT_METRICS = {"precision": "P", "recall": "R", "ndcg": "NDCG"}
LONG_METRICS = {"precision": "Precision", "recall": "Recall", "ndcg": "NDCG"}
CONTROL = "control"
PAPER_SPLIT = "random"  # section 5.1.3: 8:1:1 at random
DATA_FIELDS = ("dataset", "source", "scale", "data", "split", "data_hash", "split_hash")


def model_display(label: str, paper: Paper) -> str:
    """The shown name of a model label, for example `LUDP (literal)` for `ludp@literal`.

    A model that the paper does not have is called what its card says, or, without a file, by its label.
    """
    model, _, variant = label.partition("@")
    if paper.has_model(model):
        name = paper.display(model)
    else:
        card = registry.card_of(model)
        name = model if card is None else card.title
    return f"{name} ({variant})" if variant else name


def is_control(label: str) -> bool:
    """Whether this is a simple method beside the models that are compared, with nothing to train."""
    card = registry.card_of(label.partition("@")[0])
    return card is not None and card.family == CONTROL


def is_of_recbole(label: str) -> bool:
    """Whether this is a model that RecBole ships, with RecBole's code and default parameters."""
    return is_recbole(label)


def row_order(labels: Iterable[str], paper: Paper) -> list[str]:
    """Labels in the paper's order, variants after their model, then others as given, RecBole's, and controls last.

    Raises:
        UsageError: there is no label, or one is given twice.
    """
    given = list(labels)
    if not given:
        raise UsageError("No model was given for the table; allowed is one or more. Name at least one model.")
    twice = [label for label, count in Counter(given).items() if count > 1]
    if twice:
        raise UsageError(f"The model '{twice[0]}' is listed twice; allowed is one row a model. Name it once.")
    rank = {model: position for position, model in enumerate(paper.models)}
    return sorted(given, key=lambda label: _rank(label, rank))


def _rank(label: str, rank: dict[str, int]) -> tuple[int, int]:
    model, _, variant = label.partition("@")
    group = 2 if is_control(label) else int(is_of_recbole(label))
    return (rank[model], int(bool(variant))) if model in rank else (len(rank), group)


def metric_title(metric: str) -> str:
    """The short name of a metric key, for example `P@10` for `precision@10`."""
    name, _, cutoff = metric.partition("@")
    return f"{SHORT_METRICS.get(name, name)}@{cutoff}"


def metric_name(metric: str) -> str:
    """The name of a metric key on an axis, for example `Recall@10` for `recall@10`."""
    name, _, cutoff = metric.partition("@")
    return f"{LONG_METRICS.get(name, name)}@{cutoff}"


def protocol_sentence(used: Protocol) -> str:
    """The protocol with its choices, for captions."""
    name = "" if used.name in used.tag else f" ({used.name}, version {used.version})"
    return (
        f"Protocol {used.tag}{name}: validation {metric_name(used.selection_metric)} selects, patience "
        f"{used.patience}, at most {used.max_epochs:,} epochs; hidden at test: {used.hide_at_test} items."
    )


def seeds(n: int | None) -> str:
    """How many repetitions stand behind a number, for example `n=3 seeds`."""
    return "no run yet" if n is None else f"n={n} seed{'' if n == 1 else 's'}"


def data_headings(facts: Sequence[DataFacts]) -> list[str]:
    """One heading a data set: its label, with split and hash where two would otherwise read the same.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    if not facts:
        raise UsageError(
            "No data set was given for the table; allowed is one or more. Name at least one data set."
        )
    keys = Counter(data_key(each) for each in facts)
    for each in facts:
        if keys[data_key(each)] > 1:
            raise UsageError(f"The data set {each.label} is listed twice; allowed is once. Name it once.")
    counts = Counter(each.label for each in facts)
    return [each.label if counts[each.label] == 1 else f"{each.label}, {_split_and_hash(each)}" for each in facts]


def beside_random(facts: Sequence[DataFacts]) -> dict[DataKey, DataFacts]:
    """Find data that is there on the paper's split as well: by key, the same data on that split.

    Two splits of the same interactions are not two data sets: what counts data sets, or decides a claim of the
    paper, takes the split that the paper makes.
    """
    decisive = {(each.card, each.data_hash): each for each in facts if each.split == PAPER_SPLIT}
    return {
        data_key(each): decisive[each.card, each.data_hash]
        for each in facts
        if each.split != PAPER_SPLIT and (each.card, each.data_hash) in decisive
    }


def paper_heading(dataset: str, paper: Paper) -> str:
    """The heading of published values, which cannot be taken for ours."""
    return f"paper, on its own {paper.dataset_display(dataset)}"


def data_values(facts: DataFacts) -> tuple[CsvValue, ...]:
    """The columns `DATA_FIELDS` of every CSV row: no number is written without its source."""
    return (
        *(facts.name, facts.source, facts.scale, facts.label),
        *(facts.split, facts.data_hash, facts.split_hash),
    )


def data_notes(facts: DataFacts, heading: str, paper: Paper) -> list[str]:
    """Footnotes that every table about this data carries: what it is, whether it compares, what it lacks."""
    sizes = f"{facts.n_train:,} training, {facts.n_valid:,} validation and {facts.n_test:,} test interactions"
    notes = [f"{heading}: {_split_and_hash(facts)}; {sizes}."]
    notes += [_comparability(facts, heading, paper)]
    notes += [f"{heading}: no {name} modality ({_bare(why)})." for name, why in facts.missing.items()]
    notes += [_few_candidates(facts, heading)]
    return [note for note in notes if note]


def _few_candidates(facts: DataFacts, heading: str) -> str:
    """Say that a list of the first K holds all that could be recommended; empty where it does not."""
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
            f"{heading} is {facts.source} data ({_bare(facts.origin)}): its numbers cannot be compared with the "
            f"paper's data set.{advice}"
        )
    if not paper.has_dataset(facts.card):
        return ""
    theirs = paper.statistics(facts.card)
    here = (facts.n_users, facts.n_items, facts.n_interactions)
    there = (theirs.n_users, theirs.n_items, theirs.n_interactions)
    if here == there:
        return ""
    return (
        f"{heading} has {here[0]:,} users, {here[1]:,} items and {here[2]:,} interactions, the paper's own "
        f"{paper.dataset_display(facts.card)} {there[0]:,}, {there[1]:,} and {there[2]:,}: another data set, of "
        f"which only the order of the models can be compared."
    )


def _split_and_hash(facts: DataFacts) -> str:
    return f"split {facts.split} {facts.split_hash[:SHORT_HASH]}, data {facts.data_hash[:SHORT_HASH]}"


def _bare(sentence: str) -> str:
    return sentence.strip().rstrip(".")


NO_RUN = Cell(words=f"{DASH} (no finished run)")
NOTHING = Cell(words=DASH)


def score_cell(score: Score, mark: Mark = "") -> Cell:
    """Mean and deviation; a mean of fewer repetitions than were asked for says of how many."""
    if score.mean is None:
        return NO_RUN
    if score.complete is None:
        return Cell(score.mean, words=f"({score.n_runs} of {score.n_asked} seeds)")
    return Cell(score.mean, score.sd, mark=mark)


def made_by(scores: Scores) -> str:
    """One sentence for a caption: what the deviations are of."""
    if scores.n_asked is None:
        return "No run has been made yet."
    return _spread(scores.n_asked)


def incomplete(by_name: Iterable[tuple[str, Score]]) -> str:
    """Names without all their runs, each with what it has and lacks; empty if there is none."""
    gaps: Mapping[str, Score] = {name: score for name, score in by_name if score.complete is None}
    if not gaps:
        return ""
    return listed(
        f"{name} ({score.n_runs} of {score.n_asked or '?'} seeds, {score.n_failed} failed)"
        for name, score in gaps.items()
    )


def _spread(n_asked: int) -> str:
    if n_asked == 1:
        return "One seed a cell (n=1), hence no standard deviation."
    return f"Mean ± sample standard deviation over n={n_asked} seeds."
