"""Layer 6. Which runs of a plan their data has the content for; the others are left out by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import registry
from bench.errors import ConfigError, UsageError, listed, nearest_hint
from bench.records import RunSpec

LeftOut = dict[tuple[str, str], str]
Content = Mapping[str, Sequence[str]]


def why_not(model: str, params: Mapping[str, Any], modalities: Sequence[str]) -> str | None:
    """Why a model cannot be trained on data with these modalities; None where it can.

    Args:
        model: its name.
        params: its parameter values, or those that were given.
        modalities: names of those that the data has.
    """
    if registry.load(model).card.uses_content and not modalities:
        return "it uses item content, and this data has none"
    lacking = _lacking(params, modalities)
    if lacking:
        return f"it is to use the modality {listed(lacking)}, and this data has {listed(modalities)}"
    return None


def suited(specs: Sequence[RunSpec], content: Content) -> tuple[list[RunSpec], LeftOut]:
    """The runs that their data has the content for, and why others are left out, by data set and label.

    Args:
        specs: the plan.
        content: names of the modalities of every data set.

    Raises:
        ConfigError: a run is to use a modality that no data set of the call has.
    """
    kept, left_out = [], LeftOut()
    every = sorted({name for names in content.values() for name in names})
    for spec in specs:
        reason = why_not(spec.model, spec.params, content[spec.dataset])
        if reason is None:
            kept.append(spec)
            continue
        unknown = _lacking(spec.params, every)
        if every and unknown:
            raise ConfigError(
                f"{spec.label} is to use the modality '{unknown[0]}', which no data set of the call has."
                f"{nearest_hint(unknown[0], every)} Available: {listed(every)}."
            )
        left_out[spec.dataset, spec.label] = reason
    return kept, left_out


def _lacking(params: Mapping[str, Any], modalities: Sequence[str]) -> list[str]:
    wanted = params.get("modalities", "all")
    return [name for name in wanted if name not in modalities] if isinstance(wanted, list) else []


def said(left_out: LeftOut) -> list[str]:
    """One sentence for every data set and reason, with the labels."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (dataset, label), reason in left_out.items():
        by_reason.setdefault((dataset, reason), []).append(label)
    return [
        f"Left out on {dataset}: {listed(_named(labels))}; {reason}."
        for (dataset, reason), labels in by_reason.items()
    ]


def _named(labels: Sequence[str]) -> list[str]:
    """The labels, all variations of one model in few words."""
    by_model: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        by_model.setdefault(label.partition("@")[0], []).append(label)
    return [
        same[0] if len(same) == 1 else f"{model} with {len(same) - (model in same)} variations"
        for model, same in by_model.items()
    ]


def refuse_nothing(kept: Sequence[RunSpec], left_out: LeftOut) -> None:
    """Refuse a call that has no run left.

    Raises:
        UsageError: none is left although some were asked for.
    """
    if left_out and not kept:
        free = [name for name in registry.names() if not registry.load(name).card.uses_content]
        raise UsageError(
            f"{' '.join(said(left_out))} Nothing is left to run. Name models without content, such as "
            f"{listed(free[:4])}, or give the data item features, see datasets/README.md."
        )
