"""Layer 9. What a call asked for, and what the whole programme would have been. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.profiles import PROFILES
from bench.report.material import Material
from bench.report.wording import data_headings, data_notes

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
