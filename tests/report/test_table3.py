"""Table 3: marks, improvements and gaps."""

import csv
import io

import pytest

from bench.core.errors import ResultsError, UsageError
from bench.report.render import to_csv, to_markdown
from bench.report.scores import Scores
from bench.report.table import improvement, marks
from bench.report.tables.models import table3

# Underlined in print, by column; bold is LUDP in each.
UNDERLINED = {
    "tiktok": ["GRCN", "LATTICE", "GRCN"],
    "movielens": ["LATTICE", "LATTICE", "LATTICE"],
}
IMPROVEMENTS = {"tiktok": ["+4.08%", "+5.33%", "+5.32%"], "movielens": ["+6.16%", "+6.77%", "+8.44%"]}


def column(table, index, block=0):
    """Model name to cell."""
    return {row.cells[0].text: row.cells[index] for row in table.blocks[block].rows}


def marked(table, index, block=0):
    return {
        mark: [name for name, cell in column(table, index, block).items() if cell.mark == mark]
        for mark in ("best", "second")
    }


def recall(records, labels, facts, paper, n_asked=1):
    """Recall@10 column of one data set."""
    return table3(Scores(records, n_asked), labels, facts, paper)


@pytest.fixture
def published(paper, make_facts, make_record):
    """Our own records, fed with the paper's values."""
    facts = [make_facts(name) for name in paper.datasets]
    records = [
        make_record(model, 0, paper.table3[each.name][model], each) for each in facts for model in paper.models
    ]
    return table3(Scores(records, 1), list(reversed(paper.models)), facts, paper)


def test_the_papers_values_give_the_papers_marks(published):
    for block, underlined in enumerate(UNDERLINED.values()):
        for offset, second in enumerate(underlined):
            for index in (1 + offset, 4 + offset):  # ours, then the published block
                assert marked(published, index, block) == {"best": ["LUDP"], "second": [second]}


def test_the_papers_values_give_the_papers_improvements_but_for_the_truncated_one(published, paper):
    for block, (dataset, expected) in enumerate(IMPROVEMENTS.items()):
        cells = published.blocks[block].rows[-1].cells
        assert cells[0].text == "%Improv."
        assert [cell.text for cell in cells[1:4]] == expected
        printed = [f"{paper.improvement(dataset, metric):.2f}%" for metric in paper.metrics]
        assert [cell.text for cell in cells[4:]] == printed
    first = published.blocks[0].rows[-1].cells[1]
    assert first.value == pytest.approx(0.040760869, abs=1e-9)
    assert paper.improvement("tiktok", "precision@10") == 4.07
    agree = [
        (f"+{p:.2f}%" == e)
        for d in IMPROVEMENTS
        for p, e in zip(paper.table3_improvement_percent[d].values(), IMPROVEMENTS[d], strict=True)
    ]
    assert agree == [False, True, True, True, True, True]


def test_rows_stand_in_the_papers_order_then_the_others(make_facts, make_record, paper):
    labels = ["zeta", "ludp@literal", "ludp", "alpha", "mf", "mmgcn@reference", "mmgcn"]
    table = recall([make_record()], labels, [make_facts()], paper)
    names = [row.cells[0].text for row in table.blocks[0].rows]
    assert names == ["MF", "MMGCN", "MMGCN (reference)", "LUDP", "LUDP (literal)", "zeta", "alpha", "%Improv."]


def test_marks_compare_before_rounding(make_facts, make_record, paper):
    records = [
        make_record("mf", scores=0.05000011),
        make_record("vbpr", scores=0.05000012),
        make_record("ludp", scores=0.05000010),
    ]
    table = recall(records, ["mf", "vbpr", "ludp"], [make_facts()], paper)
    assert {cell.text for name, cell in column(table, 2).items() if name != "%Improv."} == {"0.0500"}
    assert marked(table, 2) == {"best": ["VBPR"], "second": ["MF"]}


def test_ties_are_all_marked(make_facts, make_record, paper):
    values = {"mf": 0.3, "vbpr": 0.3, "acf": 0.2, "ngcf": 0.2, "ludp": 0.1}
    records = [make_record(label, scores=value) for label, value in values.items()]
    table = recall(records, list(values), [make_facts()], paper)
    assert marked(table, 2) == {"best": ["MF", "VBPR"], "second": ["ACF", "NGCF"]}
    assert marks([0.1, None]) == ["best", ""]


def test_improvement_is_signed_and_needs_both_sides(make_facts, make_record, make_failed, paper):
    facts = [make_facts()]
    lost = recall([make_record("mf", scores=0.4), make_record("ludp", scores=0.3)], ["mf", "ludp"], facts, paper)
    assert column(lost, 2)["%Improv."].text == "-25.00%"
    alone = recall([make_record("ludp")], ["mf", "ludp"], facts, paper)
    assert column(alone, 2)["%Improv."].text == ""
    absent = recall([make_record("mf"), make_failed("ludp")], ["mf", "ludp"], facts, paper)
    assert column(absent, 2)["%Improv."].text == ""
    assert improvement(0.1, [0.0]) is None


def test_variants_of_the_proposed_model_are_no_others(make_facts, make_record, paper):
    values = {"mf": 0.2, "ludp": 0.3, "ludp@literal": 0.6}
    records = [make_record(label, scores=value) for label, value in values.items()]
    table = recall(records, list(values), [make_facts()], paper)
    assert column(table, 2)["%Improv."].text == "+50.00%"
    assert marked(table, 2)["best"] == ["LUDP (literal)"]
    assert column(table, 5)["LUDP (literal)"].text == "–"


def test_a_partial_cell_says_so_and_is_not_compared(make_facts, make_record, make_failed, paper):
    records = [make_record("mf", i, 0.2) for i in range(3)] + [make_record("ludp", i, 0.1) for i in range(3)]
    records += [make_record("grcn", 0, 0.0567), make_record("grcn", 1, 0.0567), make_failed("grcn", 2)]
    records += [make_record("acf", 1, 0.9)]
    table = recall(records, ["mf", "acf", "grcn", "ludp"], [make_facts()], paper, n_asked=3)
    cells = column(table, 2)
    assert cells["GRCN"].text == "– (2 of 3 seeds)"
    assert cells["ACF"].text == "– (1 of 3 seeds)"
    assert cells["MF"].text == "0.2000 ± 0.0000"
    assert marked(table, 2) == {"best": ["MF"], "second": ["LUDP"]}
    assert cells["%Improv."].text == "-50.00%"
    (gaps,) = [note for note in table.notes if "not compared in marks" in note]
    assert gaps.endswith(": ACF (1 of 3 seeds, 0 failed), GRCN (2 of 3 seeds, 1 failed).")


def test_a_missing_model_keeps_its_row(make_facts, make_record, make_failed, paper):
    table = recall([make_record("mf"), make_failed("acf")], ["mf", "acf", "vbpr"], [make_facts()], paper)
    assert column(table, 2)["VBPR"].text == column(table, 2)["ACF"].text == "– (no finished run)"
    empty = table3(Scores([], 3), ["mf"], [make_facts()], paper)
    assert column(empty, 2)["MF"].text == "– (no finished run)"
    assert "No run has been made yet" in empty.caption


def test_two_data_hashes_never_share_a_cell(make_facts, make_record, paper):
    first, second = make_facts(data_hash="firsthash"), make_facts(data_hash="secondhash")
    records = [make_record("mf", 0, 0.1, first), make_record("mf", 1, 0.3, second)]
    table = recall(records, ["mf"], [first, second], paper, n_asked=2)
    assert [column(table, 2, block)["MF"].text for block in (0, 1)] == [
        "– (1 of 2 seeds)",
        "– (1 of 2 seeds)",
    ]
    heads = [block.columns[1].group for block in table.blocks]
    assert len(set(heads)) == 2
    assert all(head.startswith("tiktok [real, random split], ") for head in heads)
    only = recall(records, ["mf"], [make_facts(data_hash="third")], paper, n_asked=2)
    assert column(only, 2)["MF"].text == "– (no finished run)"


def test_protocols_never_share_a_table(make_facts, make_record, paper):
    records = [make_record("mf"), make_record("ludp", hide_at_test="train")]
    with pytest.raises(ResultsError, match="differ in protocol: p2-field, p2-field-hide-train"):
        recall(records, ["mf", "ludp"], [make_facts()], paper)
    chosen = recall(records[1:], ["mf", "ludp"], [make_facts()], paper)
    place = chosen.csv_header.index("protocol")
    assert {row[place] for row in chosen.csv_rows} == {"p2-field-hide-train"}
    assert column(chosen, 2)["MF"].text == "– (no finished run)"


def test_validation_scores_stay_out(make_facts, make_record, paper):
    dump = make_record("mf", scores=0.2).model_dump()
    dump["metrics"]["valid"]["values"]["recall@10"] = 0.9
    table = recall([type(make_record()).model_validate(dump)], ["mf"], [make_facts()], paper)
    assert column(table, 2)["MF"].text == "0.2000"


def test_data_the_paper_lacks_has_no_published_columns(make_facts, make_record, paper):
    facts = make_facts("baby")
    table = recall([make_record("mf", facts=facts)], ["mf"], [facts], paper)
    assert len(table.blocks[0].columns) == 4


def test_caption_tells_one_seed_from_many(make_facts, make_record, paper):
    one = recall([make_record("mf")], ["mf"], [make_facts()], paper)
    assert "n=1" in one.caption
    assert "±" not in to_markdown(one)
    two = recall([make_record("mf", i, 0.1 + i) for i in range(2)], ["mf"], [make_facts()], paper, n_asked=2)
    assert "n=2" in two.caption
    assert column(two, 2)["MF"].text == "0.6000 ± 0.7071"


def test_csv_holds_every_bit(make_facts, make_record, paper):
    values = [0.1234567890123456, 0.30000000000000004]
    records = [make_record("mf", i, value) for i, value in enumerate(values)]
    scores = Scores(records, 2)
    table = table3(scores, ["mf", "ludp"], [make_facts()], paper)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == 2 * 3
    row = next(row for row in rows if (row["model"], row["metric"]) == ("mf", "recall@10"))
    expected = scores.get(make_facts(), "mf", "recall@10")
    assert float(row["mean"]) == expected.mean != round(expected.mean, 10)
    assert float(row["sd"]) == expected.sd
    assert (row["n_runs"], row["n_asked"], row["mark"]) == ("2", "2", "best")
    assert (row["dataset"], row["source"], row["data_hash"]) == ("tiktok", "real", "aaaabbbbccccdddd")
    assert float(row["paper_value"]) == 0.0466
    missing = next(row for row in rows if row["model"] == "ludp")
    assert (missing["mean"], missing["sd"], missing["n_runs"], missing["n_asked"]) == ("", "", "0", "2")


def test_names_given_twice_or_not_at_all_are_refused(make_facts, make_record, paper):
    scores = Scores([make_record()], 1)
    with pytest.raises(UsageError, match="'mf' is listed twice"):
        table3(scores, ["mf", "mf"], [make_facts()], paper)
    with pytest.raises(UsageError, match="No model"):
        table3(scores, [], [make_facts()], paper)
    with pytest.raises(UsageError, match="No data set"):
        table3(scores, ["mf"], [], paper)
    with pytest.raises(UsageError, match=r"tiktok \[real, random split\] is listed twice"):
        table3(scores, ["mf"], [make_facts(), make_facts()], paper)


def test_controls_stand_below_the_models_under_their_titles(make_facts, make_record, paper):
    values = {"ease": 0.5, "mf": 0.2, "popularity": 0.25, "ludp": 0.3, "zeta": 0.1}
    records = [make_record(label, scores=value) for label, value in values.items()]
    table = recall(records, list(values), [make_facts()], paper)
    rows = table.blocks[0].rows
    assert [(row.cells[0].text, row.ruled) for row in rows] == [
        ("MF", False), ("LUDP", False), ("zeta", False), ("EASE", True), ("Popularity", False),
        ("%Improv.", True), ("%Improv. over baselines", False),
    ]  # fmt: skip
    cells = column(table, 2)
    assert (cells["%Improv."].text, cells["%Improv. over baselines"].text) == ("+50.00%", "-40.00%")
    assert column(table, 5)["%Improv. over baselines"].text == "–"
    assert marked(table, 2) == {"best": ["EASE"], "second": ["LUDP"]}
    assert "Baselines (EASE, Popularity) are simple methods" in table.caption


def test_the_papers_values_stand_only_beside_real_data_of_a_call_with_its_model(make_facts, make_record, paper):
    real, drawn = make_facts(), make_facts(source="surrogate", scale=0.1)
    for labels, facts, n_columns in (
        (["mf", "ludp"], real, 7), (["mf", "ludp@literal"], real, 7), (["mf", "vbpr"], real, 4),
        (["mf", "ludp"], drawn, 4), (["mf", "ludp"], make_facts(source="embedded"), 4),
    ):  # fmt: skip
        table = recall([make_record(label, facts=facts) for label in labels], labels, [facts], paper)
        assert len(table.blocks[0].columns) == n_columns
        assert ("Columns headed 'paper'" in table.caption) == (n_columns == 7)
        values = {row["paper_value"] for row in csv.DictReader(io.StringIO(to_csv(table)))}
        assert (values == {""}) == (facts is not real)
        if "vbpr" in labels:
            assert (table.name, "LUDP" in table.caption) == ("Accuracy", False)


def test_the_reference_row_is_chosen(make_facts, make_record, paper):
    records = [make_record(label, scores=value) for label, value in {"mf": 0.2, "ludp": 0.3, "ease": 0.4}.items()]
    scores, labels = Scores(records, 1), ["mf", "ludp", "ease"]
    by_mf = table3(scores, labels, [make_facts()], paper, reference="mf")
    cells = column(by_mf, 2)
    assert (cells["%Improv."].text, cells["%Improv. over baselines"].text) == ("-33.33%", "-50.00%")
    assert "%Improv. is MF against the best other model, the simple baselines aside." in by_mf.caption
    assert column(by_mf, 5)["%Improv."].text == "–"  # the paper printed that of LUDP alone
    by_ease = table3(scores, labels, [make_facts()], paper, reference="ease")
    assert column(by_ease, 2)["%Improv."].text == "+33.33%"
    assert "%Improv. over baselines" not in column(by_ease, 2)
    assert "LUDP against the best" in table3(scores, labels, [make_facts()], paper).caption
    assert "differences of one seed are not tested" in by_mf.caption.lower()


def test_without_controls_nothing_is_said_of_them(make_facts, make_record, paper):
    table = recall([make_record("mf")], ["mf", "ludp"], [make_facts()], paper)
    assert [row.ruled for row in table.blocks[0].rows] == [False, False, True]
    assert "ontrol" not in table.caption


def test_controls_alone_are_shown_too(make_facts, make_record, paper):
    table = recall([make_record("popularity")], ["popularity"], [make_facts()], paper)
    assert [(row.cells[0].text, row.ruled) for row in table.blocks[0].rows] == [("Popularity", False)]
    assert "%Improv." not in table.caption  # with nothing to compare the one row with
