"""Table 2: counts, any modalities, and what is missing."""

import csv
import io

import pytest

from bench.report.render import to_csv, to_markdown
from bench.report.tables.data import table2
from bench.runs.records import ModalityFacts


def modality(name, dim, coverage=1.0):
    return ModalityFacts(name=name, dim=dim, coverage=coverage, origin="file", fingerprint="f")


def as_dict(table, row):
    return {
        column.title: cell.text
        for column, cell in zip(table.blocks[0].columns, table.blocks[0].rows[row].cells, strict=True)
    }


def test_ours_above_the_papers(make_facts, paper):
    facts = make_facts(missing={"textual": "text_feat.npy is not here"}, notes=["449 cold test items"])
    table = table2([facts], paper)
    ours, theirs = as_dict(table, 0), as_dict(table, 1)
    assert ours["Data set"] == "tiktok [real, random split]"
    assert ours["#Interactions"] == "68,722"
    assert ours["Sparsity"] == "99.89%"  # 1 - 68722 / (9308 * 6710) = 0.998900
    assert (ours["visual"], ours["acoustic"], ours["textual"]) == ("128", "–", "missing")
    assert (ours["Split"], ours["Training"], ours["Validation"], ours["Test"]) == (
        "random",
        "59,541",
        "3,051",
        "6,130",
    )
    assert ours["Data hash"] == "aaaabbbb"
    assert theirs["Data set"] == "paper, on its own TikTok"
    assert (theirs["#Interactions"], theirs["#Items"], theirs["#Users"]) == ("1,493,532", "34,756", "18,855")
    assert (theirs["Sparsity"], theirs["acoustic"], theirs["Test"]) == ("99.77%", "256", "–")
    notes = "\n".join(table.notes)
    assert "no textual modality (text_feat.npy is not here)" in notes
    assert "449 cold test items" in notes
    assert "only the order of the models can be compared" in notes


def test_any_number_of_modalities(make_facts, paper):
    facts = [
        make_facts("baby", modalities=[modality("smell", 3, 0.5), modality("textual", 384, 1671 / 1682)]),
        make_facts("movielens", source="embedded", origin="shipped.", advice="Download it.", modalities=[]),
    ]
    table = table2(facts, paper)
    names = [column.title for column in table.blocks[0].columns if column.group]
    assert names == ["smell", "textual"]
    baby = as_dict(table, 0)
    assert (baby["smell"], baby["textual"]) == ("3 (50.00%)", "384 (99.35%)")
    assert len(table.blocks[0].rows) == 2  # none of the paper's, beside data that is not its own
    assert table.caption == "Data sets."
    assert (
        "movielens \\[embedded, random split] is embedded data (shipped): its numbers cannot be compared"
        in to_markdown(table)
    )
    assert "Download it." in to_markdown(table)


def test_the_papers_rows_stand_only_beside_real_data_of_a_call_with_its_model(make_facts, paper):
    with_paper = table2([make_facts()], paper)
    assert len(with_paper.blocks[0].rows) == 2
    assert (with_paper.name, "Rows headed 'paper'" in with_paper.caption) == ("Data (the paper's Table 2)", True)
    for table in (
        table2([make_facts()], paper, has_paper=False),
        table2([make_facts(source="surrogate", scale=0.1)], paper),
    ):
        assert len(table.blocks[0].rows) == 1
        assert "'paper'" not in table.caption
        assert {row["paper_value"] for row in csv.DictReader(io.StringIO(to_csv(table)))} == {""}
    assert table2([make_facts()], paper, has_paper=False).name == "Data"


def test_two_splits_share_the_papers_row_and_encoders_are_told(make_facts, paper):
    visual = modality("visual", 128, 0.5).model_copy(update={"origin": "read from FILE, made by ResNet-50"})
    facts = [
        make_facts(modalities=[visual]),
        make_facts("tiktok@shipped", split="shipped", split_hash="9" * 16, modalities=[visual]),
    ]
    table = table2(facts, paper)
    assert [row.cells[0].text for row in table.blocks[0].rows] == [
        "tiktok [real, random split]",
        "tiktok [real, shipped split]",
        "paper, on its own TikTok",
    ]
    assert "tiktok [real, shipped split]: visual is read from FILE, made by ResNet-50." in table.notes
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(table))) if row["quantity"] == "n_users"]
    assert [row["dataset"] for row in rows] == ["tiktok", "tiktok@shipped"]
    assert len({row["paper_value"] for row in rows}) == 1


def test_the_papers_own_data_would_carry_no_warning(make_facts, paper):
    facts = make_facts(n_users=18855, n_items=34756, n_interactions=1493532)
    assert not any("compared" in note for note in table2([facts], paper).notes)


def test_csv_is_tidy_and_unrounded(make_facts, paper):
    facts = make_facts(modalities=[modality("visual", 128, 1671 / 1682)])
    rows = {row["quantity"]: row for row in csv.DictReader(io.StringIO(to_csv(table2([facts], paper))))}
    assert float(rows["sparsity_percent"]["value"]) == 100 * (1 - 68722 / (9308 * 6710))
    assert float(rows["sparsity_percent"]["paper_value"]) == 99.77
    assert float(rows["coverage:visual"]["value"]) == 1671 / 1682
    assert (rows["dim:acoustic"]["value"], rows["dim:acoustic"]["paper_value"]) == ("", "256")
    assert {row["data"] for row in rows.values()} == {"tiktok [real, random split]"}


@pytest.mark.parametrize("field", ["n_users", "n_items", "n_interactions"])
def test_one_different_count_is_another_data_set(make_facts, paper, field):
    counts = {"n_users": 18855, "n_items": 34756, "n_interactions": 1493532}
    facts = make_facts(**(counts | {field: counts[field] - 1}))
    assert any("another data set" in note for note in table2([facts], paper).notes)
