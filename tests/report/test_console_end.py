"""The sorted list of the console: numbers whole at any width, no mean over missing seeds; paths; warnings."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from report.conftest import failed_of, record_of
from rich.console import Console

from bench.cli.ending import Ranked, ranked, ranking_metrics, ranking_table, shown_path
from bench.core.protocol import PROTOCOLS
from bench.report.material import Material
from bench.report.paper import load_paper
from bench.report.ranking import standings
from bench.report.scores import Score
from bench.runs.store import ResultsStore

METRICS = ["recall@20", "recall@10", "ndcg@10"]
LONG = "A model whose name is as long as names of variants can become (reference)"


def score(mean: float, n_asked: int = 1) -> Score:
    return Score(mean, 0.0123, n_asked, 0, n_asked)


def rows() -> list[Ranked]:
    names = ("EASE", "MMGCN (reference)", LONG)
    return [
        Ranked(n + 1, name, "multimodal", [score(0.3123 - n / 100)] * 3, 171.0 * (n + 1))
        for n, name in enumerate(names)
    ]


def shown(width: int, has_deviation: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(ranking_table(rows(), METRICS, has_deviation, console))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("has_deviation", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_name_and_number_is_whole_at_any_width(width: int, has_deviation: bool) -> None:
    told = shown(width, has_deviation)
    assert max(map(len, told)) <= width
    assert "…" not in "".join(told)
    for n in range(3):
        number = f"{0.3123 - n / 100:.4f}" + (" ± 0.0123" if has_deviation else "")
        assert any(number in line for line in told)
    assert "MMGCN" in "".join(told)
    assert "variants can become" in " ".join("".join(told).split()) or width < 120


def test_columns_give_way_to_the_name() -> None:
    assert shown(200, False)[0].split() == ["#", "model", "kind", "R@20", "R@10", "NDCG@10", "time"]
    assert shown(40, False)[0].split() == ["#", "model", "R@20"]


def test_the_ranking_metric_is_that_of_the_protocol() -> None:
    assert ranking_metrics(PROTOCOLS["field"].selection_metric) == METRICS
    assert ranking_metrics(PROTOCOLS["paper"].selection_metric) == ["recall@10", "ndcg@10"]


def test_incomplete_rows_have_no_mean_and_come_last(tmp_path: Path) -> None:
    records = [
        *(record_of("mf", n, 0.1) for n in range(2)),
        *(record_of("lightgcn", n, 0.3) for n in range(2)),
        record_of("ludp", 0, 0.9),
        failed_of("ludp", 1),
    ]
    labels = ["ludp", "mf", "lightgcn", "vbpr"]
    material = Material({}, labels, records, 2, load_paper(), ResultsStore(tmp_path))
    order = ranked(material, records[0].data, METRICS)
    assert [row.name for row in order] == ["LightGCN", "MF", "LUDP"]
    console = Console(file=io.StringIO(), width=80)
    console.print(ranking_table(order, METRICS, True, console))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "0.9000" not in said
    assert "1 of 2 seeds" in said
    last = said.splitlines()[-1].split()
    assert last[:2] == ["-", "LUDP"]


def test_equal_scores_share_a_place_as_in_the_report(tmp_path: Path) -> None:
    given = {"mf": 0.1, "lightgcn": 0.3, "vbpr": 0.3, "ludp": 0.2}
    records = [record_of(label, 0, mean) for label, mean in given.items()]
    material = Material({}, [*given], records, 1, load_paper(), ResultsStore(tmp_path))
    order = ranked(material, records[0].data, METRICS)
    assert [(row.place, row.name) for row in order] == [(1, "LightGCN"), (1, "VBPR"), (3, "LUDP"), (4, "MF")]
    assert [row.place for row in order] == [each.place for each in standings(material, records[0].data)]
    console = Console(file=io.StringIO(), width=80)
    console.print(ranking_table(order, METRICS, False, console))
    assert isinstance(console.file, io.StringIO)
    assert [line.split()[0] for line in console.file.getvalue().splitlines()[1:]] == ["1", "1", "3", "4"]


def test_paths_are_short_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "results" / "report.html") == "results/report.html"
    assert shown_path(Path("/r.html")) == "/r.html"
