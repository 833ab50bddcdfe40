"""The last lines of a call: one sorted list per data set, warnings, and the paths of report and leaderboard.

Prints only. This is the first place of the console that shows test scores: every choice has been made by then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.cli.opening import SYNTHETIC
from bench.core.protocol import PRIMARY_CUTOFF, metric_key, short_metric
from bench.core.text import counted, in_seconds
from bench.data.split_audit import audit
from bench.data.split_audit import warnings as split_warnings
from bench.report.comparisons import MIN_SEEDS
from bench.report.material import Material
from bench.report.ranking import standings
from bench.report.scores import Score
from bench.report.wording import mean_over, model_display
from bench.runs.records import DataFacts, RunRecord

WIDEST = 1000  # columns of a list for which there would be no limit
MOST_NAMED = 6  # failed runs that the last line names


@dataclass(frozen=True)
class Ranked:
    """One row of a list.

    Attributes:
        place: 1 for the best, as in the report; equal scores share a place.
        name: displayed name of the model.
        kind: kind of model in a word.
        scores: by metric, in the order of the list.
        seconds: mean seconds of a finished run; None without one.
    """

    place: int
    name: str
    kind: str
    scores: Sequence[Score]
    seconds: float | None


def ranking_metrics(selection_metric: str) -> list[str]:
    """Return the metrics of a list: the one that ranks, as in report and leaderboard, then Recall and NDCG."""
    usual = (metric_key(name, PRIMARY_CUTOFF) for name in ("recall", "ndcg"))
    return [*dict.fromkeys((selection_metric, *usual))]


def ranked(material: Material, facts: DataFacts, metrics: Sequence[str]) -> list[Ranked]:
    """Return the models of the call that ran on a data set, best first, and last those that lack runs."""
    ran = {record.spec.label for record in material.records if record.spec.dataset == facts.name}
    return [
        Ranked(
            each.place,
            each.name,
            each.kind,
            [material.scores.get(facts, each.label, metric) for metric in metrics],
            each.seconds,
        )
        for each in standings(material, facts, with_incomplete=True)
        if each.label in ran
    ]


def show_ranking(material: Material, facts: DataFacts, console: Console) -> None:
    """Print the sorted list of one data set; of its columns as many as fit, and every name and number in full."""
    metrics = ranking_metrics(material.protocol.selection_metric)
    rows = ranked(material, facts, metrics)
    if not rows:
        return
    synthetic = f", {SYNTHETIC}" if facts.source == "surrogate" else ""
    title = f"{facts.name}{synthetic}: test, {mean_over(material.n_seeds)}, ranked by {short_metric(metrics[0])}"
    console.print(f"\n{title}", style="bold", markup=False)
    console.print(ranking_table(rows, metrics, material.n_seeds > 1, console))


def ranking_table(rows: Sequence[Ranked], metrics: Sequence[str], has_deviation: bool, console: Console) -> Table:
    """Return the list with as many columns as fit a console; the model and the ranking metric stay.

    Args:
        rows: best first.
        metrics: the metrics of their scores.
        has_deviation: whether to show the deviation over seeds.
        console: sets the width.
    """
    # what can be left out, the least important first
    for left_out in (
        (),
        ("kind",),
        ("kind", "time"),
        ("kind", "time", metrics[-1]),
        ("kind", "time", *metrics[1:]),
    ):
        table = _table(rows, metrics, left_out, has_deviation)
        wanted = Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
        if wanted <= console.width:
            break
    return table


def _table(rows: Sequence[Ranked], metrics: Sequence[str], left_out: Sequence[str], has_deviation: bool) -> Table:
    """Build a list without frames. Only the column of names may wrap, which keeps every number whole."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    shown = [name for name in ("kind", *metrics, "time") if name not in left_out]
    for name in shown:
        title = short_metric(name) if name in metrics else name
        table.add_column(title, justify="left" if name == "kind" else "right", no_wrap=True)
    for row in rows:
        cells = {"kind": row.kind, "time": "" if row.seconds is None else in_seconds(row.seconds)}
        # the deviation stands beside the ranking metric alone, for want of room
        for place, (metric, score) in enumerate(zip(metrics, row.scores, strict=True)):
            cells[metric] = _number(score, has_deviation and place == 0)
        if row.scores[0].mean is None:
            cells[metrics[0]] = _gap(row.scores[0])
        rank = "-" if row.scores[0].mean is None else str(row.place)
        table.add_row(rank, Text(row.name), *(Text(cells[name]) for name in shown))
    return table


def _number(score: Score, has_deviation: bool) -> str:
    """Return a mean over all requested seeds; "" where a run is missing, because no mean covers the rest."""
    if score.mean is None:
        return ""
    deviation = f" ± {score.sd:.4f}" if has_deviation and score.sd is not None else ""
    return f"{score.mean:.4f}{deviation}"


def _gap(score: Score) -> str:
    if score.n_asked == 1:
        return "failed" if score.n_failed else "missing"
    return f"{score.progress} seeds"


def warnings(material: Material) -> Iterator[str]:
    """Yield what a reader of the lists must know, one sentence each."""
    if material.records and material.n_seeds < MIN_SEEDS:
        yield f"{counted(material.n_seeds, 'seed')}: differences may be chance. --seeds 5 tells more."
    capped = [record for record in material.each_run if record.stop_reason == "cap"]
    if capped:
        limit, bound = max(record.spec.max_epochs for record in capped), material.protocol.max_epochs
        ended = counted(len(capped), "run ended", "runs ended")
        more = f" --epochs {bound} is the protocol's limit." if limit < bound else ""  # the report says the same
        yield f"{ended} at the limit of {counted(limit, 'epoch')} and might have improved.{more}"
    for name, data in material.data.items():
        for sentence in split_warnings(audit(data.split)):
            yield f"{name}: {sentence}"
    synthetic = [facts.name for facts in material.facts if facts.source == "surrogate"]
    if synthetic:
        yield f"{SYNTHETIC} says nothing of real users: {', '.join(synthetic)}."


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed here: relative to the working directory unless that is longer."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive of Windows
        return str(path)
    return relative if len(relative) <= len(str(path.absolute())) else str(path.absolute())


def show_ending(
    material: Material, pages: Sequence[Path], boards: Sequence[Path], seconds: float, console: Console
) -> None:
    """Print the sorted lists, the warnings and the last lines; a quiet console prints the last lines alone.

    Args:
        material: records and scores of the call.
        pages: files of the report.
        boards: files of the leaderboard, empty if there is none.
        seconds: what the call took.
        console: to print on.
    """
    for facts in material.facts:
        show_ranking(material, facts, console)
    console.print()
    for sentence in warnings(material):
        console.print(sentence, style="yellow", markup=False)
    console.quiet = False
    failed = [record for record in material.each_run if record.status == "failed"]
    if not failed:
        n_runs = counted(len(material.each_run), "run")
        minutes, rest = divmod(round(seconds), 60)
        console.print(f"{n_runs}, {minutes}:{rest:02d} min. All tables here: --verbose", markup=False)
    for name, paths in (("Report", pages), ("Leaderboard", boards)):
        for path in (each for each in paths if each.suffix == ".html"):
            # soft_wrap: a path that is broken over lines cannot be copied
            console.print(f"{name}: {shown_path(path)}", markup=False, soft_wrap=True)
    if failed:
        console.print(_failures(failed, material), style="red", markup=False)


def _failures(failed: Sequence[RunRecord], material: Material) -> str:
    """Return the sentence that names the failed runs and says how to see why."""
    names = [
        f"{each.spec.dataset} {model_display(each.spec.label, material.paper)}"
        + (f" seed {each.spec.repetition + 1}" if material.n_seeds > 1 else "")
        for each in failed
    ]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    n_runs = len(material.each_run)
    return (
        f"{len(failed)} of {counted(n_runs, 'run')} failed: {', '.join(names[:MOST_NAMED])}{more}. "
        "Why: the same command with --status"
    )
