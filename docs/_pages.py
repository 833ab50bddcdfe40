"""Write the pages that are made of files elsewhere in the repository.

One page per model: what it is, its scores in the committed results, its hyperparameters, and its equations. The
command reference is made from the parsers, the notebook's page from the notebook. The texts that stand beside what
they explain are copied.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mkdocs_gen_files
from tabulate import tabulate

from bench.cli import commands
from bench.cli.main import NAME, RUN
from bench.cli.options import parser as run_parser
from bench.cli.parser import Parser
from bench.engine import registry
from bench.report.ranking import KINDS

ROOT = Path(__file__).resolve().parent.parent
REFERENCES = {  # folders of results/reference, and the data of their tables; with the protocol if it is an old one
    "tiktok-random": "TikTok, split at random",
    "tiktok-shipped": "TikTok, publisher's split",
    "movielens-100k": "MovieLens-100K, five kinds of content",
    "tiktok": "TikTok, publisher's split, protocol 1",
}
SHOWN = {"precision@10": "Precision@10", "recall@10": "Recall@10", "ndcg@10": "NDCG@10"}
SOURCES: dict[str, str] = mkdocs_gen_files.config["extra"]["sources"]  # name of a page: file that it is made of
COMMANDS, NOTEBOOK, MODELS = "commands.md", "notebooks/first-steps.md", "models/index.md"


def shown(value: Any) -> str:
    """Return a value as it stands in a YAML file."""
    return f"`{value}`" if not isinstance(value, list) else ", ".join(f"`{one}`" for one in value)


def table(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """Return a Markdown table."""
    escaped = [[each.replace("|", "\\|") for each in row] for row in rows]
    return tabulate(escaped, head, tablefmt="pipe", disable_numparse=True)


def hyperparameters(entry: registry.ModelEntry) -> str:
    """Return the table of all parameters with default, candidates and meaning."""
    rows = [
        (f"`{name}`", shown(entry.file.defaults[name]), shown(entry.file.search.get(name, [])), field.description)
        for name, field in entry.model_class.Params.model_fields.items()
    ]
    return table(rows, ("hyperparameter", "default", "values tried by `--tune`", "meaning"))


def variants(entry: registry.ModelEntry) -> str:
    """Return the list of named variants with what they change."""
    lines = [
        f"- `{entry.name}@{name}`: {', '.join(f'`{key}: {value}`' for key, value in values.items())}"
        for name, values in entry.file.variants.items()
    ]
    return "\n".join(["### Variants", "", *lines, ""]) if lines else ""


def committed() -> list[dict[str, str]]:
    """Return the rows of the committed accuracy tables, each with the displayed name of its data set."""
    rows: list[dict[str, str]] = []
    for folder, title in REFERENCES.items():
        with (ROOT / "results" / "reference" / folder / "tables" / "table3.csv").open(encoding="utf-8") as file:
            rows += [{**row, "title": title} for row in csv.DictReader(file) if row["metric"] in SHOWN]
    return rows


def scores(entry: registry.ModelEntry, rows: list[dict[str, str]]) -> str:
    """Return the committed scores of a model and its variants beside the best row of their data set."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        if row["model"].partition("@")[0] == entry.name and row["mean"]:
            sd = f" ± {float(row['sd']):.4f}" if row["sd"] else ""
            found.setdefault((row["title"], row["model"]), {"seeds": row["n_runs"]})[row["metric"]] = (
                f"{float(row['mean']):.4f}{sd}"
            )
    if not found:
        return "There is no committed result of this model yet. See [results](../results.md)."
    lines = [
        (title, f"`{label}`", *(own.get(metric, "") for metric in SHOWN), own["seeds"])
        for (title, label), own in found.items()
    ]
    best = [f"{title} {_best(title, rows)}" for title in dict.fromkeys(title for title, _ in found)]
    return "\n".join(
        [
            table(lines, ("data set", "row", *SHOWN.values(), "seeds")),
            "",
            f"Test scores, mean ± standard deviation over seeds. Best Recall@10 on this data: {', '.join(best)}."
            " The [results](../results.md) say under which protocol, split and tuning they were made.",
        ]
    )


def _best(title: str, rows: list[dict[str, str]]) -> str:
    own = [row for row in rows if (row["title"], row["metric"]) == (title, "recall@10") and row["mean"]]
    first = max(own, key=lambda row: float(row["mean"]))
    return f"{float(first['mean']):.4f} (`{first['model']}`)"


def page(entry: registry.ModelEntry, rows: list[dict[str, str]]) -> str:
    """Return the page of a model."""
    card, doc = entry.card, sys.modules[entry.model_class.__module__].__doc__ or ""
    summary = doc.splitlines()[0].partition(": ")[2]
    content = "uses item content" if card.uses_content else "no item content"
    cited = f"[{card.paper}]({card.url})" if card.url else card.paper
    return "\n".join(
        [
            f"# {card.title}",
            "",
            f"**{summary[:1].upper()}{summary[1:]}** {KINDS[card.family].capitalize()}, {content}. {cited}.",
            "",
            "```",
            f"{NAME} run --datasets movielens --models {entry.name} ease",
            "```",
            "",
            f"## Recall and NDCG of {card.title}",
            "",
            scores(entry, rows),
            "",
            f"## Hyperparameters of {card.title}",
            "",
            hyperparameters(entry),
            "",
            variants(entry),
            "## Equations and code",
            "",
            f"::: models.{entry.name}",
            "",
        ]
    )


def reference() -> Iterator[str]:
    """Yield the lines of the command reference: every command with all its options, from the parsers."""
    yield "# Command reference\n"
    yield f"Every command of `{NAME}` (also `python -m bench`) with its options; the same texts as `--help` shows."
    yield f"`python run_all.py` is `{NAME} {RUN}`. The [guide](guide.md) explains how they are used.\n"
    yield from command(RUN, "train, evaluate and write tables, report and leaderboard", run_parser())
    for name in commands.modules():
        module = commands.load(name)
        parser = Parser(prog=f"{NAME} {name}", allow_abbrev=False)
        module.add_arguments(parser)
        yield from command(name, module.SUMMARY, parser)


def command(name: str, summary: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the section of a command."""
    yield f"## {NAME} {name}\n"
    yield f"{summary[:1].upper()}{summary[1:]}.\n"
    formatter = parser._get_formatter()  # argparse has no public way to a help text with its values filled in
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if each.dest != "help" and each.help != argparse.SUPPRESS]
        if not actions:
            continue
        usual = group.title in ("positional arguments", "options")
        yield "" if usual else f"### {name}: {group.title}\n"
        yield table(
            [(f"`{_invocation(each)}`", formatter._expand_help(each) if each.help else "") for each in actions],
            ("option", "meaning"),
        )
        yield ""


def _invocation(action: argparse.Action) -> str:
    value = action.metavar or (action.dest if not action.option_strings else action.dest.upper())
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def notebook() -> Iterator[str]:
    """Yield the cells of the notebook as Markdown."""
    cells = json.loads((ROOT / SOURCES[NOTEBOOK]).read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        text = "".join(cell["source"])
        yield text + "\n" if cell["cell_type"] == "markdown" else f"```python\n{text}\n```\n"
    yield f"This page is the notebook `{SOURCES[NOTEBOOK]}`; the tests run it.\n"


def write(name: str, text: str, source: str) -> None:
    """Write a page and name the file that it is made of."""
    with mkdocs_gen_files.open(name, "w") as file:
        file.write(text)
    mkdocs_gen_files.set_edit_path(name, f"../{source}")


def main() -> None:
    """Write all generated pages and the index of the models."""
    rows, models = committed(), []
    for name in registry.names():
        entry = registry.load(name)
        write(f"models/{name}.md", page(entry, rows), f"models/{name}.py")
        models.append(
            (f"[{entry.card.title}]({name}.md)", f"`{name}`", KINDS[entry.card.family], entry.card.paper)
        )
    head = (
        "# Models\n\nEach page says what the model is, with its scores, its hyperparameters and its equations.\n\n"
    )
    made = {
        COMMANDS: "\n".join(reference()) + "\n",
        NOTEBOOK: "\n".join(notebook()),
        MODELS: head + table(models, ("model", "name", "family", "paper")) + "\n",
    }
    for name, source in SOURCES.items():
        write(name, made[name] if name in made else (ROOT / source).read_text(encoding="utf-8"), source)


main()
