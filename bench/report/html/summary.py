"""The message of a report: its sentences, a sorted list per data set, and how far to trust both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from bench.core.names import model_of
from bench.core.protocol import short_metric
from bench.core.text import counted
from bench.report.comparisons import MIN_SEEDS
from bench.report.html.searches import from_searches, set_in_call
from bench.report.material import Material
from bench.report.ranking import Standing, second_metric, seed_interval, standings
from bench.report.scores import Score
from bench.report.stops import stops_of
from bench.report.table import Block, Cell, Column, Row, marks
from bench.report.wording import DASH, data_headings, data_notes, metric_name, model_display
from bench.runs.controls import is_control
from bench.runs.plan import PROFILES
from bench.runs.records import DataFacts

FULL = PROFILES["full"]
POPULARITY = "popularity"
Tone = Literal["good", "warn", "bad"]


@dataclass(frozen=True)
class About:
    """Facts of a call that its records do not contain.

    Attributes:
        command: the command line.
        profile: name of the profile.
        max_epochs: upper bound on epochs.
        budget: budget of the search per model and data set, in words; None without a search.
    """

    command: str
    profile: str
    max_epochs: int
    budget: str | None = None


@dataclass(frozen=True)
class Trust:
    """A reason for or against trusting the numbers, with its tone for colours and signs."""

    tone: Tone
    topic: str
    words: str


def data_footnotes(material: Material) -> list[str]:
    """Return the footnotes on the data, which belong to every table and figure."""
    headings = data_headings(material.facts)
    return [
        note
        for facts, heading in zip(material.facts, headings, strict=True)
        for note in data_notes(facts, heading, material.paper)
    ]


def join_phrases(parts: Sequence[str]) -> str:
    """Join parts as an enumeration in a sentence."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def summarise(material: Material) -> list[str]:
    """Return one sentence per data set, and one on the model that all others are compared with."""
    sentences = [_best(material, facts) for facts in material.facts]
    label = _followed(material)
    return sentences if label is None else [*sentences, _standing(material, label)]


def _best(material: Material, facts: DataFacts) -> str:
    """Name the best model of a data set, and its distance to the best simple baseline, or to the next model."""
    ranked, metric = standings(material, facts), metric_name(material.protocol.selection_metric)
    if not ranked:
        return f"No model has all its runs on {_short(facts)}."
    best, *others = ranked
    start = f"On {_short(facts)}, {_named(best)} has the highest test {metric}, {best.mean:.4f}"
    if not others:
        return f"{start}; no other model has all its runs."
    baseline = next((each for each in others if is_control(each.label)), None)
    if baseline is not None and not is_control(best.label):
        return f"{start}, {_against(best.score, baseline.score, f'the best simple baseline, {baseline.name}')}."
    trained = next((each for each in others if not is_control(each.label)), None)
    if trained is None or not is_control(best.label):
        return f"{start}; {_behind(others[0], best)} comes next."
    return f"{start}; the best trained model is {_behind(trained, best)}."


def _short(facts: DataFacts) -> str:
    """Name a data set for a sentence; its label is above and below it."""
    return f"{facts.name} (synthetic)" if facts.source == "surrogate" else facts.name


def _behind(each: Standing, best: Standing) -> str:
    return f"{each.name} ({each.mean:.4f}, {_against(each.score, best.score, best.name)})"


def _named(each: Standing) -> str:
    return f"{each.name}, a simple baseline," if is_control(each.label) else each.name


def _followed(material: Material) -> str | None:
    """Return the row that the summary follows: that of `--reference`, or the proposed model if it ran."""
    proposed = material.paper.proposed
    return material.asked_reference or (proposed if proposed in material.labels else None)


def _standing(material: Material, label: str) -> str:
    placed = {_short(facts): _place(material, facts, label) for facts in material.facts}
    phrases = [f"is {words} on {name}" for name, words in placed.items() if words]
    without = [name for name, words in placed.items() if not words]
    phrases += [f"has not finished all its runs on {join_phrases(without)}"] if without else []
    return f"{model_display(label, material.paper)} {join_phrases(phrases)}."


def _place(material: Material, facts: DataFacts, label: str) -> str:
    """Return the place of a model and its distance to the best other one, or ""."""
    ranked = standings(material, facts)
    own = next((each for each in ranked if each.label == label), None)
    if own is None:
        return ""
    others = [each for each in ranked if model_of(each.label) != model_of(label)]
    distance = f", {_against(own.score, others[0].score, others[0].name)}" if others else ""
    return f"number {own.place} of {len(ranked)}{distance}"


def _against(own: Score, other: Score, name: str) -> str:
    gap = (own.mean or 0.0) - (other.mean or 0.0)
    if gap == 0:
        return f"level with {name}"
    size = f"{abs(gap) / other.mean:.1%} " if other.mean else ""
    deviations = [each.sd for each in (own, other) if each.sd is not None]
    small = ", which is within one standard deviation over seeds" if abs(gap) < max(deviations, default=0) else ""
    return f"{size}{'above' if gap > 0 else 'below'} {name}{small}"


def boards(material: Material) -> list[Block]:
    """Return one sorted list per data set: place, model, kind, both metrics and the time of a run."""
    headings = data_headings(material.facts)
    return [_board(material, facts, heading) for facts, heading in zip(material.facts, headings, strict=True)]


def _board(material: Material, facts: DataFacts, heading: str) -> Block:
    metric, ranked = material.protocol.selection_metric, standings(material, facts)
    has_interval = material.n_seeds >= MIN_SEEDS
    interval_head = ["95% interval"] if has_interval else []
    heads = [
        "#",
        "Model",
        "Kind",
        short_metric(metric),
        *interval_head,
        short_metric(second_metric(metric)),
        "Time",
    ]
    columns = tuple(Column(head, heading, "left" if head in {"Model", "Kind"} else "right") for head in heads)
    firsts, seconds = marks([each.mean for each in ranked]), marks([each.second.mean for each in ranked])
    rows = []
    for each, first, second in zip(ranked, firsts, seconds, strict=True):
        interval = seed_interval(each.score)
        shown = DASH if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
        cells = [
            Cell(each.place, form="d"), Cell(words=each.name), Cell(words=each.kind), Cell(each.mean, mark=first),
            *([Cell(words=shown)] if has_interval else []), Cell(each.second.mean, mark=second),
            _time(each.seconds),
        ]  # fmt: skip
        rows.append(Row(tuple(cells)))
    return Block(columns, tuple(rows))


def _time(seconds: float | None) -> Cell:
    if seconds is None:
        return Cell()
    return Cell(seconds, form=",.0f" if seconds >= 10 else ".1f", words="s")


def trust(material: Material, about: About) -> list[Trust]:
    """Return how far the numbers can be trusted, topic by topic."""
    return [
        *_on_data(material),
        _on_seeds(material),
        _on_epochs(material, about),
        *_on_learning(material),
        _on_tuning(material, about),
        _on_failures(material),
    ]


def _on_data(material: Material) -> list[Trust]:
    found = []
    for facts in material.facts:
        if facts.source == "surrogate":
            size = "" if facts.scale in (None, 1) else f" of {facts.scale:.0%} of the paper's size"
            words = f"{facts.label} is synthetic data{size}: it says nothing about real users."
            found.append(Trust("bad", "Data", f"{words} Provenance says how to get the real data."))
        elif facts.source == "embedded":
            found.append(
                Trust("warn", "Data", f"{facts.label} ships inside a package and is not the paper's data.")
            )
        else:
            found.append(Trust("good", "Data", f"{facts.label}: real data."))
    return found


def _on_seeds(material: Material) -> Trust:
    n = material.n_seeds
    if n >= MIN_SEEDS:
        return Trust("good", "Seeds", f"{n} per model.")
    few = counted(n, "seed does", "seeds do")
    return Trust(
        "warn", "Seeds", f"{few} not tell a difference between models from chance. Use --seeds {FULL.n_seeds}."
    )


def _on_epochs(material: Material, about: About) -> Trust:
    ends, bound = stops_of(material.each_run), material.protocol.max_epochs
    has_failed = any(run.status == "failed" for run in material.each_run)
    if not ends.n_runs:
        words = "No training is finished." if has_failed else "Nothing was trained by epochs."
        return Trust("warn" if has_failed else "good", "Epochs", words)
    if not ends.n_cap:
        return Trust("good", "Epochs", f"Early stopping ended every {'finished ' if has_failed else ''}training.")
    more = f" --epochs {bound} is the protocol's limit." if about.max_epochs < bound else ""
    return Trust(
        "warn",
        "Epochs",
        f"The limit of {about.max_epochs:,} epochs ended {ends.n_cap:,} of {ends.n_runs:,} trainings before early "
        f"stopping; their scores may still have been rising.{_without_epochs(material)}{more}",
    )


def _without_epochs(material: Material) -> str:
    """Return a sentence on the finished runs that are no trainings, or ""."""
    n = sum(run.status == "finished" and run.stop_reason is None for run in material.each_run)
    more = counted(n, "more run is", "more runs are")
    return f" {more} of simple baselines, which have no epochs." if n else ""


def _on_learning(material: Material) -> list[Trust]:
    """Say which trained models validation does not place above popularity; nothing without its runs."""
    found = []
    for facts, heading in zip(material.facts, data_headings(material.facts), strict=True):
        scores = _on_validation(material, facts)
        if POPULARITY not in scores:
            continue
        below = [
            model_display(label, material.paper)
            for label, score in scores.items()
            if not is_control(label) and score <= scores[POPULARITY]
        ]
        if below:
            found.append(f"{join_phrases(below)} on {heading}")
    if found:
        metric = metric_name(material.protocol.selection_metric)
        words = f"Not above popularity in validation {metric}: {'; '.join(found)}. Differences between such models"
        return [Trust("warn", "Learning", f"{words} say little about what they can learn.")]
    return []


def _on_validation(material: Material, facts: DataFacts) -> dict[str, float]:
    """Return the mean validation score of every model with a finished run on a data set, by label."""
    metric, means = material.protocol.selection_metric, {}
    for label in material.labels:
        runs = material.runs(facts, label)
        values = [run.metrics.valid.values[metric] for run in runs if run.metrics is not None]
        if values:
            means[label] = fmean(values)
    return means


def _on_tuning(material: Material, about: About) -> Trust:
    earlier = from_searches(material)
    if about.budget is not None:
        tuned = {study.label for study in material.studies}
        others = [model_display(label, material.paper) for label in material.labels if label not in tuned]
        given = [name for name in set_in_call(material) if name in others]
        by_hand = f" The call gave values (--set) for {join_phrases(given)}." if given else ""
        partial = f" Not searched: {join_phrases(others)}.{by_hand}" if others else ""
        words = f"{about.budget} per model and data set, on the validation part.{partial}"
        return Trust("warn" if others else "good", "Hyperparameters", words)
    if earlier:
        return Trust("warn" if earlier.others else "good", "Hyperparameters", earlier.words)
    if given := set_in_call(material):
        words = f"No search was made in this call, which gave values (--set) for {join_phrases(given)}."
        return Trust(
            "warn",
            "Hyperparameters",
            f"{words} The leaderboard names their search in 'Parameters from'.",
        )
    return Trust(
        "warn", "Hyperparameters", "The models' defaults: no search was made for this data. --tune N makes one."
    )


def _on_failures(material: Material) -> Trust:
    n_runs, n_failed = len(material.each_run), sum(run.status == "failed" for run in material.each_run)
    if n_failed:
        return Trust("bad", "Runs", f"{n_failed:,} of {n_runs:,} runs failed; Provenance lists them.")
    return Trust("good", "Runs", f"All {n_runs:,} runs finished.")
