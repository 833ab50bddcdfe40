"""The summary of a call in three sentences, and what the call reduces against a full run. Pure.

The sentences name the best model, the rank of the proposed model, and the limits of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.material import Material
from bench.report.scores import Score
from bench.report.stops import stops_of
from bench.report.wording import data_headings, data_notes, is_control, metric_name, model_display, model_of
from bench.runs.plan import PROFILES
from bench.runs.records import DataFacts

FULL = PROFILES["full"]
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


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


def data_footnotes(material: Material) -> list[str]:
    """Return the footnotes on the data, which belong to every table and figure."""
    headings = data_headings(material.facts)
    return [
        note
        for facts, heading in zip(material.facts, headings, strict=True)
        for note in data_notes(facts, heading, material.paper)
    ]


def left_out(material: Material, about: About) -> list[str]:
    """Return sentences on what this call reduces against the profile `full` on real data with tuning."""
    reductions = []
    if material.n_seeds < FULL.n_seeds:
        reductions.append(f"Seeds: {material.n_seeds} of the {FULL.n_seeds} of the profile 'full'.")
    bound = material.protocol.max_epochs
    if about.max_epochs < bound:
        cut = sum(record.stop_reason == "cap" for record in material.records)
        reductions.append(
            f"Epochs: at most {about.max_epochs:,}, {bound:,} in the profile 'full'; {_runs(cut)} ended at that "
            f"bound and not by the early stop."
        )
    for facts in material.facts:
        if facts.scale is not None and facts.scale < FULL.scale:
            reductions.append(
                f"Size: {facts.label} has {facts.scale:g} times the users and items of the paper's data set."
            )
    return [*reductions, *_grid(material, about)]


def _grid(material: Material, about: About) -> list[str]:
    if about.budget is None:
        return ["Grid: no search in this call (--tune N makes one); the values are those of the models' files."]
    partial = [study for study in material.studies if len(study.records) < study.space.size]
    if not partial:
        return []
    largest = max(study.space.size for study in partial)
    return [
        f"Grid: {about.budget} per model and data set; the largest grid has {largest:,} settings, and "
        f"{len(partial)} of {len(material.studies)} searches tried only a part of theirs."
    ]


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n:,} runs"


def summarise(material: Material, about: About) -> list[str]:
    """Return three sentences that compare the complete models of the call by the protocol's metric."""
    return [_best(material), _proposed(material), _caveats(material, about)]


def join_phrases(parts: Sequence[str], last: str = " and ") -> str:
    """Join parts as an enumeration in a sentence."""
    return last.join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def ranking(material: Material, facts: DataFacts) -> list[tuple[str, Score]]:
    """Return the models with all their runs, best first; ties keep the order of the call."""
    scores = [
        (label, material.scores.get(facts, label, material.protocol.selection_metric)) for label in material.labels
    ]
    return sorted((each for each in scores if each[1].complete is not None), key=lambda each: -_mean(each[1]))


def _mean(score: Score) -> float:
    return score.mean or 0.0


def _best(material: Material) -> str:
    best, without = [], []
    for facts in material.facts:
        ranked = ranking(material, facts)
        if not ranked:
            without.append(facts.label)
            continue
        alone = "" if len(ranked) > 1 else ", with nothing to compare it with"
        best.append(f"{_named(ranked[0][0], material)} on {facts.label} ({_number(ranked[0][1])}{alone})")
    spread = f", mean ± standard deviation over {material.n_seeds} seeds" if material.n_seeds > 1 else ""
    phrases = [f"the best is {join_phrases(best)}"] if best else []
    phrases += [f"no model has all its runs on {join_phrases(without)}"] if without else []
    return f"By test {metric_name(material.protocol.selection_metric)}{spread}, {join_phrases(phrases)}."


def _named(label: str, material: Material) -> str:
    return ("the control " if is_control(label) else "") + model_display(label, material.paper)


def _number(score: Score) -> str:
    return f"{_mean(score):.4f}" + (f" ± {score.sd:.4f}" if score.sd is not None else "")


def _proposed(material: Material) -> str:
    proposed = material.paper.proposed
    name = model_display(proposed, material.paper)
    if proposed not in material.labels:
        return f"{name} was not among the models of this call."
    standings = {facts.label: _standing(material, facts) for facts in material.facts}
    ranked = [standing for standing in standings.values() if standing]
    unranked = [label for label, standing in standings.items() if not standing]
    phrases = [f"comes {join_phrases(ranked)}"] if ranked else []
    phrases += [f"has not finished all its runs on {join_phrases(unranked)}"] if unranked else []
    return f"{name} {join_phrases(phrases)}."


def _standing(material: Material, facts: DataFacts) -> str:
    """Return the rank of the proposed model and its distance to the best other model and control, or ""."""
    proposed, ranked = material.paper.proposed, ranking(material, facts)
    labels = [label for label, _ in ranked]
    if proposed not in labels:
        return ""
    place = labels.index(proposed)
    own = ranked[place][1]
    others = [each for each in ranked if model_of(each[0]) != proposed]
    controls = [each for each in others if is_control(each[0])]
    ordinal = ORDINALS[place] if place < len(ORDINALS) else f"number {place + 1}"
    comparisons = [_against(own, others[0][1], _named(others[0][0], material))] if others else []
    if controls and controls[0] is not others[0]:
        tuned = any(study.label == controls[0][0] for study in material.studies)
        name = f"the best{' tuned' if tuned else ''} control, {model_display(controls[0][0], material.paper)}"
        comparisons.append(_against(own, controls[0][1], name))
    return f"{ordinal} of {len(labels)} on {facts.label}" + (f" ({'; '.join(comparisons)})" if comparisons else "")


def _against(own: Score, other: Score, name: str) -> str:
    gap = _mean(own) - _mean(other)
    if gap == 0:
        return f"level with {name}"
    size = f"{abs(gap) / _mean(other):.1%} " if other.mean else ""
    deviations = [each.sd for each in (own, other) if each.sd is not None]
    small = ", less than a standard deviation of the seeds" if deviations and abs(gap) < max(deviations) else ""
    return f"{size}{'above' if gap > 0 else 'below'} {name}{small}"


def _caveats(material: Material, about: About) -> str:
    """Return a sentence on the limits of the numbers, or on their completeness if there are none."""
    generated, shipped = (
        list(dict.fromkeys(facts.card for facts in material.facts if facts.source == source))
        for source in ("surrogate", "embedded")
    )
    n_failed = sum(record.status == "failed" for record in material.records)
    limits = []
    if generated:
        limits.append(
            f"the data of {join_phrases(generated)} {'is' if len(generated) == 1 else 'are'} drawn at random by a "
            f"program, so that these numbers say nothing about real users"
        )
    if shipped:
        limits.append(
            f"the data of {join_phrases(shipped)} {'is' if len(shipped) == 1 else 'are'} not the paper's"
        )
    if material.n_seeds == 1:
        limits.append("one seed does not tell a difference from chance")
    ends = stops_of(material.records)
    if ends.n_cap:
        limits.append(f"the cap of epochs ended {ends.n_cap:,} of {ends.n_runs:,} trainings before their patience")
    if n_failed:
        limits.append(f"{n_failed:,} of {len(material.records):,} runs failed")
    if about.budget is None:
        limits.append("no parameter was searched in this call")
    if limits:
        return f"Mind that {join_phrases(limits, ', and ')}."
    return (
        f"All {len(material.records):,} runs finished, over {material.n_seeds} seeds on real data, with "
        f"{about.budget} of tuning per model and data set."
    )
