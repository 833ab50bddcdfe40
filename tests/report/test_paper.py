"""The published values against a second transcription, and the refusal of anything else."""

from pathlib import Path

import pytest

from bench.core.errors import ConfigError, UsageError
from bench.report.paper import PAPER_FILE, load_paper

# Transcribed from the printed tables a second time, row by row; columns as printed.
TABLE2 = """
tiktok 1493532 34756 18855 99.77 128 256 128
movielens 896006 10698 23018 99.64 2048 256 768
"""
TABLE3 = """
MF       0.0306 0.0466 0.0432 0.0813 0.1511 0.1369
VBPR     0.0339 0.0526 0.0484 0.0876 0.1641 0.1561
ACF      0.0298 0.0433 0.0414 0.0792 0.1408 0.1221
NGCF     0.0332 0.0513 0.0481 0.1021 0.1804 0.1676
MMGCN    0.0352 0.0536 0.0493 0.1194 0.1917 0.1759
LightGCN 0.0357 0.0561 0.0501 0.1207 0.1978 0.1793
GRCN     0.0368 0.0577 0.0526 0.1232 0.1948 0.1843
LATTICE  0.0361 0.0582 0.0512 0.1266 0.2054 0.1872
LUDP     0.0383 0.0613 0.0554 0.1344 0.2193 0.2030
%Improv. 4.07   5.33   5.32   6.16   6.77   8.44
"""
TABLE4 = """
visual   0.0377 0.0602 0.0549 0.1298 0.2097 0.1932
acoustic 0.0368 0.0591 0.0542 0.1189 0.1901 0.1744
textual  0.0362 0.0584 0.0531 0.1285 0.1988 0.1842
all      0.0383 0.0613 0.0554 0.1344 0.2193 0.2030
"""
TABLE5 = """
1 0.0383 0.0613 0.0554 0.1288 0.2015 0.1892
2 0.0376 0.0602 0.0547 0.1344 0.2193 0.2030
3 0.0366 0.0588 0.0532 0.1298 0.2088 0.1927
"""
COLUMNS = [
    (dataset, metric) for dataset in ("tiktok", "movielens") for metric in ("precision@10", "recall@10", "ndcg@10")
]


def rows(text):
    return [(line.split()[0], [float(part) for part in line.split()[1:]]) for line in text.strip().splitlines()]


def test_table2_as_printed(paper):
    for name, values in rows(TABLE2):
        row = paper.statistics(name)
        counts = [row.n_interactions, row.n_items, row.n_users, row.sparsity_percent]
        assert counts + [row.dims[name] for name in ("visual", "acoustic", "textual")] == values


def test_table3_as_printed_and_in_the_printed_order(paper):
    printed = rows(TABLE3)
    assert list(paper.models.values()) == [name for name, _ in printed[:-1]]
    for name, values in printed[:-1]:
        assert paper.display(name.lower()) == name
        assert [paper.score(dataset, name.lower(), metric) for dataset, metric in COLUMNS] == values
    assert [paper.improvement(dataset, metric) for dataset, metric in COLUMNS] == printed[-1][1]


def test_tables_4_and_5_as_printed(paper):
    for name, values in rows(TABLE4):
        assert [paper.modality_score(dataset, name, metric) for dataset, metric in COLUMNS] == values
    for name, values in rows(TABLE5):
        assert [paper.layer_score(dataset, int(name), metric) for dataset, metric in COLUMNS] == values


def test_one_result_is_published_three_times_alike(paper):
    for dataset, n_layers in (("tiktok", 1), ("movielens", 2)):
        for metric in paper.metrics:
            value = paper.score(dataset, "ludp", metric)
            assert value == paper.modality_score(dataset, "all", metric)
            assert value == paper.layer_score(dataset, n_layers, metric)


def test_printed_sparsity_follows_from_the_counts(paper):
    for dataset in paper.datasets:
        row = paper.statistics(dataset)
        exact = 100 * (1 - row.n_interactions / (row.n_users * row.n_items))
        assert round(exact, 2) == row.sparsity_percent


def test_a_typo_raises_and_names_the_nearest(paper):
    with pytest.raises(UsageError, match=r"Unknown model of the paper 'latice'\. Did you mean 'lattice'\?"):
        paper.score("tiktok", "latice", "recall@10")
    with pytest.raises(UsageError, match="'tiktok'"):
        paper.statistics("tiktk")
    with pytest.raises(UsageError, match="Available: precision@10, recall@10, ndcg@10"):
        paper.improvement("tiktok", "recall@20")
    with pytest.raises(UsageError, match="Available: 1, 2, 3"):
        paper.layer_score("tiktok", 4, "recall@10")
    with pytest.raises(UsageError, match="modality"):
        paper.modality_score("tiktok", "Visual!", "recall@10")
    assert not paper.has_model("ludp@literal")
    assert not paper.has_dataset("ml-100k")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    mf: {precision@10: 0.0306, recall@10: 0.0466, ndcg@10: 0.0432}\n", "", "table3.tiktok' lacks mf"),
        ("recall@10: 0.0466", "recall@20: 0.0466", "unexpected recall@20"),
        ("0.0466", "4.66", "between 0 and 1"),
        ("0.0466", "none", "valid number"),
        ("proposed: ludp", "proposed: ludb", "ludb"),
        ("doi:", "doy:", "'source.doy' is an unknown key. Did you mean 'doi'"),
        ("datasets:", "datasets: [", "cannot be read as YAML"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, old, new, complaint):
    text = PAPER_FILE.read_text(encoding="utf-8")
    assert old in text
    damaged = tmp_path / "paper.yaml"
    damaged.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        load_paper(damaged)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match="nowhere"):
        load_paper(Path("nowhere.yaml"))
