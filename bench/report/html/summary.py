"""What a call asked for, and what the whole programme would have been. Pure.

Three sentences from the numbers: who is best, where the proposed model stands, what to mind. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.material import Material
from bench.report.scores import Score
from bench.report.stops import stops_of
from bench.report.wording import data_headings, data_notes, is_control, metric_name, model_display
from bench.runs.plan import PROFILES
from bench.runs.records import DataFacts

FULL = PROFILES["full"]


@dataclass(frozen=True)
class About:
    """What the records of a call do not tell.

    Attributes:
        command: the command line of the call.
        profile: name of its profile.
        max_epochs: upper bound on epochs.
        budget: of the search for a model and data set, in words; None without a search.
    """

    command: str
    profile: str
    max_epochs: int
    budget: str | None = None


def about_data(material: Material) -> list[str]:
    """Footnotes on the data that belong to every table and figure."""
    headings = data_headings(material.facts)
    return [
        note
        for facts, heading in zip(material.facts, headings, strict=True)
        for note in data_notes(facts, heading, material.paper)
    ]


def left_out(material: Material, about: About) -> list[str]:
    """What this call has less of than the profile `full` on real data with tuning; empty if nothing."""
    said = []
    if material.n_seeds < FULL.n_seeds:
        said.append(f"Seeds: {material.n_seeds} of the {FULL.n_seeds} of the profile 'full'.")
    bound = material.protocol.max_epochs
    if about.max_epochs < bound:
        cut = sum(record.stop_reason == "cap" for record in material.records)
        said.append(
            f"Epochs: at most {about.max_epochs:,}, {bound:,} in the profile 'full'; {_runs(cut)} ended at that "
            f"bound and not by the early stop."
        )
    for facts in material.facts:
        if facts.scale is not None and facts.scale < FULL.scale:
            said.append(
                f"Size: {facts.label} has {facts.scale:g} times the users and items of the paper's data set."
            )
    return [*said, *_grid(material, about)]


def _grid(material: Material, about: About) -> list[str]:
    if about.budget is None:
        return ["Grid: no search in this call (--tune N makes one); the values are those of the models' files."]
    part = [study for study in material.studies if len(study.records) < study.space.size]
    if not part:
        return []
    largest = max(study.space.size for study in part)
    return [
        f"Grid: {about.budget} a model and data set; the largest grid has {largest:,} settings, and "
        f"{len(part)} of {len(material.studies)} searches saw a part of theirs."
    ]


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n:,} runs"


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def summarise(material: Material, about: About) -> list[str]:
    """Three sentences; only models of the call with all their runs are compared, by the protocol's metric."""
    return [_best(material), _proposed(material), _caveats(material, about)]


def joined(parts: Sequence[str], last: str = " and ") -> str:
    """Parts as an enumeration in a sentence."""
    return last.join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def ranking(material: Material, facts: DataFacts) -> list[tuple[str, Score]]:
    """The models with all their runs, best first; equal ones in the order of the call."""
    found = [
        (label, material.scores.get(facts, label, material.protocol.selection_metric)) for label in material.labels
    ]
    return sorted((each for each in found if each[1].complete is not None), key=lambda each: -_mean(each[1]))


def _mean(score: Score) -> float:
    return score.mean or 0.0


def _best(material: Material) -> str:
    best, none = [], []
    for facts in material.facts:
        ranked = ranking(material, facts)
        if not ranked:
            none.append(facts.label)
            continue
        alone = "" if len(ranked) > 1 else ", with nothing to compare it with"
        best.append(f"{_named(ranked[0][0], material)} on {facts.label} ({_number(ranked[0][1])}{alone})")
    spread = f", mean ± standard deviation over {material.n_seeds} seeds" if material.n_seeds > 1 else ""
    said = [f"the best is {joined(best)}"] if best else []
    said += [f"no model has all its runs on {joined(none)}"] if none else []
    return f"By test {metric_name(material.protocol.selection_metric)}{spread}, {joined(said)}."


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
    there = [standing for standing in standings.values() if standing]
    none = [label for label, standing in standings.items() if not standing]
    said = [f"comes {joined(there)}"] if there else []
    said += [f"has not finished all its runs on {joined(none)}"] if none else []
    return f"{name} {joined(said)}."


def _standing(material: Material, facts: DataFacts) -> str:
    """Place of the proposed model, and its distance to the best other and the best control; empty without it."""
    proposed, ranked = material.paper.proposed, ranking(material, facts)
    labels = [label for label, _ in ranked]
    if proposed not in labels:
        return ""
    place = labels.index(proposed)
    own = ranked[place][1]
    others = [each for each in ranked if each[0].partition("@")[0] != proposed]
    controls = [each for each in others if is_control(each[0])]
    ordinal = ORDINALS[place] if place < len(ORDINALS) else f"number {place + 1}"
    said = [_against(own, others[0][1], _named(others[0][0], material))] if others else []
    if controls and controls[0] is not others[0]:
        tuned = any(study.label == controls[0][0] for study in material.studies)
        name = f"the best{' tuned' if tuned else ''} control, {model_display(controls[0][0], material.paper)}"
        said.append(_against(own, controls[0][1], name))
    return f"{ordinal} of {len(labels)} on {facts.label}" + (f" ({'; '.join(said)})" if said else "")


def _against(own: Score, other: Score, name: str) -> str:
    gap = _mean(own) - _mean(other)
    if gap == 0:
        return f"level with {name}"
    size = f"{abs(gap) / _mean(other):.1%} " if other.mean else ""
    deviations = [each.sd for each in (own, other) if each.sd is not None]
    small = ", less than a standard deviation of the seeds" if deviations and abs(gap) < max(deviations) else ""
    return f"{size}{'above' if gap > 0 else 'below'} {name}{small}"


def _caveats(material: Material, about: About) -> str:
    """What limits the numbers; if nothing does, that they are whole."""
    drawn, shipped = (
        list(dict.fromkeys(facts.card for facts in material.facts if facts.source == source))
        for source in ("surrogate", "embedded")
    )
    n_failed = sum(record.status == "failed" for record in material.records)
    mind = []
    if drawn:
        mind.append(
            f"the data of {joined(drawn)} {'is' if len(drawn) == 1 else 'are'} drawn at random by a program, so "
            f"that these numbers say nothing about real users"
        )
    if shipped:
        mind.append(f"the data of {joined(shipped)} {'is' if len(shipped) == 1 else 'are'} not the paper's")
    if material.n_seeds == 1:
        mind.append("one seed does not tell a difference from chance")
    ends = stops_of(material.records)
    if ends.n_cap:
        mind.append(f"the cap of epochs ended {ends.n_cap:,} of {ends.n_runs:,} trainings before their patience")
    if n_failed:
        mind.append(f"{n_failed:,} of {len(material.records):,} runs failed")
    if about.budget is None:
        mind.append("no parameter was searched in this call")
    if mind:
        return f"Mind that {joined(mind, ', and ')}."
    return (
        f"All {len(material.records):,} runs finished, over {material.n_seeds} seeds on real data, with "
        f"{about.budget} of tuning a model and data set."
    )
