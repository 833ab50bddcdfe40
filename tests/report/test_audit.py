"""The table of the split audit: what is measured, beside a random split, with a verdict."""

import csv
import io

import pytest
from toy import data_of, pairs, random_data

from bench.core.types import Split
from bench.data.split_audit import Measure, SplitAudit, audit
from bench.report.artifacts import ARTIFACTS, check_names
from bench.report.render import to_csv, to_markdown
from bench.report.tables.data import audit_table, table2
from bench.runs.records import DataFacts

MEASURES = (
    Measure("above_index", "validation", 300, 0.5, 0.3, 0.025),
    Measure("above_index", "test", 600, 1.0, 0.371, 0.0061),
    Measure("popularity", "test", 400, 0.147, 0.336, 0.0085),
    Measure("no_training", "validation and test", 900, 10, 73.04, 8.5),
    Measure("in_both", "validation and test", 900, 0, 305.66, 14),
)


def found(split="shipped", measures=MEASURES):
    return SplitAudit(split, measures, {"validation": 0, "test": 5}, {"validation": 0, "test": 0}, False)


def test_rows_as_measured(make_facts):
    table = audit_table([make_facts()], [found()])
    rows = [[cell.text for cell in row.cells] for row in table.blocks[0].rows]
    assert rows == [
        [
            "Pairs with the highest item index of their user",
            *("validation", "50.0%", "30.0% ± 2.5%", "+8.0", "as random"),
        ],
        [
            "Pairs with the highest item index of their user",
            *("test", "100.0%", "37.1% ± 0.6%", "+103.1", "not random"),
        ],
        [
            "Rank correlation of item counts with training",
            *("test", "0.147", "0.336 ± 0.009", "-22.2", "not random"),
        ],
        [
            "Users with held-out pairs and none in training",
            *("validation and test", "10", "73.0 ± 8.5", "-7.4", "as random"),
        ],
        [
            "Users with validation and test pairs",
            *("validation and test", "0", "305.7 ± 14.0", "-21.8", "not judged"),
        ],
    ]
    assert "tiktok [real" in table.blocks[0].columns[2].group


def test_notes_carry_the_warnings_with_their_data(make_facts):
    table = audit_table([make_facts(), make_facts("baby")], [found(), found(measures=MEASURES[:1])])
    heading = table.blocks[0].columns[2].group
    assert table.notes[0] == (
        f"{heading}: Test items have the highest index of their user in 100.0% of pairs; a random split gives "
        "37.1%. The split was made by index, not at random."
    )
    assert table.notes[1].startswith(f"{heading}: Item counts of test have the rank correlation 0.147 with those")
    assert not any("baby" in note and "random split gives" in note for note in table.notes)
    assert "100.0%" in to_markdown(table)


def test_what_deviates_under_a_split_by_time_is_by_time(make_facts):
    table = audit_table([make_facts()], [found("global_time")])
    assert [row.cells[-1].text for row in table.blocks[0].rows] == [
        *("as random", "by time", "by time", "as random", "not judged")
    ]


def test_csv_is_unrounded(make_facts):
    rows = [*csv.DictReader(io.StringIO(to_csv(audit_table([make_facts()], [found()]))))]
    assert (rows[1]["measure"], rows[1]["part"], rows[1]["n"]) == ("above_index", "test", "600")
    assert float(rows[1]["deviation"]) == (1.0 - 0.371) / 0.0061
    assert float(rows[3]["expected"]) == 73.04
    assert rows[0]["dataset"] == "tiktok"


def test_it_is_made_by_default_and_trains_nothing():
    assert check_names(["all"], ["mf"], False)[:2] == ["table2", "audit"]
    assert "audit" not in check_names([], ["mf"], False)
    assert ARTIFACTS["audit"].needs == "nothing"


def test_table2_shows_the_warnings_of_the_data(make_facts, paper):
    facts = make_facts(notes=["Test items have the highest index"])
    assert any("Test items have the highest index" in note for note in table2([facts], paper).notes)


@pytest.mark.parametrize("name", ["random", "shipped"])
def test_made_data_is_audited_as_it_is(name):
    data = random_data()
    split = Split(name, data.split.train, data.split.valid, data.split.test)
    facts = DataFacts.of(data)
    table = audit_table([facts], [audit(split)])
    assert {row.cells[-1].text for row in table.blocks[0].rows} == {"as random", "not judged"}


def test_the_least_data_can_be_audited():
    data = data_of(pairs([(0, 0)], 2, 2), pairs([(1, 0)], 2, 2), pairs([(1, 1)], 2, 2))
    table = audit_table([DataFacts.of(data)], [audit(data.split)])
    assert len(table.blocks[0].rows) == 3 + 3 + 2
