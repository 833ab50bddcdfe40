"""`PYTHONPATH=tests:. python -m tuning`: what pruning costs and saves, how often a choice is the best.

Prints only.

replay RESULTS...                 trials that `run_all.py --tune N --no-pruning` left in results directories
selection TRIALS.csv SEEDS.csv    a table `tuning` or `trials`, and a table `table3` with the spread over seeds
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from tuning.replay import RULES, replay, searches
from tuning.selection import Choice, seed_spreads, shrunk, simulate, trial_scores

WAYS = {"one seed": (0, 0), "3 x 3": (3, 3), "5 x 3": (5, 3), "5 x 5": (5, 5), "10 x 3": (10, 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for: 0, or 2 where there is nothing to measure."""
    parser = argparse.ArgumentParser(prog="python -m tuning", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("replay", help="what pruning rules would have done to whole trials")
    one.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    one.add_argument("--orders", type=int, default=50, metavar="N", help="the order as made and N - 1 random ones")
    two = commands.add_parser("selection", help="one seed against means over fresh seeds")
    two.add_argument("trials", type=Path, metavar="TRIALS.csv")
    two.add_argument("seeds", type=Path, metavar="SEEDS.csv")
    two.add_argument("--metric", default="recall@10", help="of the spread over seeds")
    options = parser.parse_args(arguments)
    lines = _replay(options.results, options.orders) if options.command == "replay" else _selection(options)
    print("\n".join(lines))
    return 0 if lines else 2


def _replay(folders: Sequence[Path], n_orders: int) -> list[str]:
    found = {name: trials for folder in folders for name, trials in searches(folder).items() if len(trials) > 4}
    if not found:
        print(
            "No search with more than four whole trials is there. Make one with --tune N --no-pruning.",
            file=sys.stderr,
        )
        return []
    head = ("rule", "loss", "loss / best", "best pruned", "of best 5 left", "pruned", "steps saved", "time saved")
    lines, means = [], dict[str, list[tuple[float, ...]]]()
    for (data, label), trials in found.items():
        rows = []
        for name, rule in RULES.items():
            done = replay(trials, rule, n_orders)
            metric = trials[0].protocol.selection_metric
            best = max(max(epoch.valid[metric] for epoch in trial.curve) for trial in trials)
            row = (done.loss, done.loss / best, done.is_missed, done.kept, done.pruned, done.steps, done.seconds)
            rows.append((name, *row))
            means.setdefault(name, []).append(row)
        lines += [f"\n{label} on {data}: {len(trials)} trials, best {best:.4f}", _table(head, rows)]
    over_all = [(name, *map(statistics.fmean, zip(*all_rows, strict=True))) for name, all_rows in means.items()]
    return [*lines, f"\nMean over {len(found)} searches", _table(head, over_all)]


def _selection(options: argparse.Namespace) -> list[str]:
    scores, spreads = trial_scores(options.trials), seed_spreads(options.seeds, options.metric)
    shared = [model for model in scores if spreads.get(model, 0.0) > 0 and len(scores[model]) > 1]
    if not shared:
        print("No model has trials and a spread over seeds in these tables.", file=sys.stderr)
        return []
    head = ("model", "trials", "spread", "choice", "best chosen", "loss", "loss / best", "optimism", "runs more")
    rows, sums = [], dict[str, list[tuple[float, float, float]]]()
    alike = [model for model in shared if len(set(shrunk(scores[model], spreads[model]))) == 1]
    for model in (model for model in shared if model not in alike):
        truth = shrunk(scores[model], spreads[model])
        for way, (n_settings, n_seeds) in WAYS.items():
            found: Choice = simulate(truth, spreads[model], n_settings, n_seeds)
            relative = found.loss / max(truth)
            row = (found.hits, found.loss, relative, found.optimism, found.runs)
            rows.append((model, len(truth), spreads[model], way, *row))
            sums.setdefault(way, []).append((found.hits, relative, found.optimism / max(truth)))
    ends = [(way, *map(statistics.fmean, zip(*each, strict=True))) for way, each in sums.items()]
    said = f"\nMean over {len(shared) - len(alike)} models"
    if alike:
        said += f"; left out, as their trials differ no more than seeds do: {', '.join(alike)}"
    return [_table(head, rows), said, _table(("choice", "best chosen", "loss / best", "optimism / best"), ends)]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return str(tabulate(rows, head, tablefmt="github", floatfmt=".4f"))


if __name__ == "__main__":
    sys.exit(main())
