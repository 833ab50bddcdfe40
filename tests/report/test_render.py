"""The formats: nothing lost, nothing unescaped, no source left out."""

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from bench.core.errors import ResultsError, UsageError
from bench.report.render import console_table, escape, to_csv, to_latex, to_markdown, write_table
from bench.report.scores import Scores
from bench.report.table import Block, Cell, Column, Row, Table
from bench.report.tables.data import table2
from bench.report.tables.models import table3
from bench.runs.records import RunRecord

NASTY = r"50% of A&B_c #1 {x} $y$ ~z ^w \textbf <i> | ±"
RESULTS_README = Path(__file__).resolve().parents[2] / "results" / "README.md"


@pytest.fixture
def surrogate(make_facts):
    return make_facts(source="surrogate", scale=0.1, origin="drawn, 50% & more_", advice="Get the real one.")


@pytest.fixture
def tables(surrogate, make_facts, make_record, paper):
    """Tables 2 and 3 on a surrogate and on real data."""
    facts = [surrogate, make_facts("movielens")]
    records = [
        make_record(label, i, value + i / 10, each)
        for label, value in {"mf": 0.1, "ludp": 0.2, "ludp@lit_eral": 0.3}.items()
        for each in facts
        for i in range(2)
    ]
    labels = ["mf", "vbpr", "ludp", "ludp@lit_eral"]
    return [table2(facts, paper), table3(Scores(records, 2), labels, facts, paper)]


def nasty_table():
    columns = (Column(NASTY, align="left"), Column("value", group=NASTY))
    rows = (
        Row((Cell(words="[" + NASTY), Cell(0.5, 0.1, mark="best"))),
        Row((Cell(words=NASTY), Cell()), ruled=True),
    )
    return Table("T", NASTY, (Block(columns, rows),), (NASTY,), ("a", "b"), ((NASTY, 0.1 + 0.2), (None, 3)))


def check_latex(text):
    """Balanced, environments closed in order, one cell a column, and no special character left alone."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[{}%&#_$]", "", body)
    assert bare.count("{") == bare.count("}")
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    open_ones = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert open_ones == []
    outside = bare.replace(r"$\pm$", "").replace(r"\ifdim\wd0>\linewidth", "")
    assert not re.search(r"[%#_$~^<>|±–]", outside)
    for alignment, inside in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", body, re.S):
        lines = [line for line in inside.splitlines() if line.endswith(r"\\")]
        assert lines
        for line in lines:
            cells = re.sub(r"\\&", "", line).count("&") + 1
            spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert cells + spanned == len(alignment)
            assert not line.startswith("[")


def test_latex_is_well_formed(tables):
    for table in [*tables, nasty_table()]:
        check_latex(to_latex(table))


def test_the_latex_check_can_fail():
    good = to_latex(nasty_table())
    damages = ((r"\%", "%"), (r"\end{tabular}", ""), (r"\multicolumn{1}", r"\multicolumn{2}"), ("{}[", "["))
    for old, new in damages:
        assert old in good
        with pytest.raises(AssertionError):
            check_latex(good.replace(old, new, 1))


def test_every_special_character_is_escaped():
    assert escape("&%_#$") == r"\&\%\_\#\$"
    assert escape("{\\}") == r"\{\textbackslash{}\}"
    assert escape("~^<>|") == r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"
    assert escape("0.1 ± 0.2 – x") == r"0.1 $\pm$ 0.2 -- x"


def test_marks_and_spans(tables):
    markdown, latex = to_markdown(tables[1]), to_latex(tables[1])
    assert "**0.3500 ± 0.0707**" in markdown
    assert "<u>0.2500 ± 0.0707</u>" in markdown
    assert r"\textbf{0.3500 $\pm$ 0.0707}" in latex
    assert r"\underline{0.2500 $\pm$ 0.0707}" in latex
    assert r"\multicolumn{3}{c}{tiktok [surrogate x0.1, random split]}" in latex
    assert r"\multicolumn{3}{c}{paper, on its own MovieLens}" in latex
    assert "paper, on its own TikTok" not in latex  # beside generated data
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in latex
    assert r"LUDP (lit\_eral)" in latex
    assert latex.count(r"\begin{tabular}{lrrrrrr}") == latex.count(r"\begin{tabular}{lrrr}") == 1


def test_no_surrogate_column_without_its_source(tables, surrogate):
    label = "tiktok [surrogate x0.1, random split]"
    assert surrogate.label == label
    for table in tables:
        for row in to_csv(table).splitlines()[1:]:
            if row.startswith("tiktok"):
                assert f',surrogate,0.1,"{label}",' in row
        for text in (to_markdown(table).replace("\\[", "["), to_latex(table)):
            assert re.search(r"tiktok(?! \[surrogate x0\.1, random split\])", text) is None
            assert "cannot be compared with published ones" in text
            assert "drawn, 50" in text
    heads = [line for line in to_markdown(tables[1]).replace("\\[", "[").splitlines() if "P@10" in line]
    titles = [cell.strip() for cell in heads[0].strip("|").split("|")]
    assert titles[1:] == [f"{label}<br>{name}" for name in ("P@10", "R@10", "NDCG@10")]
    assert to_latex(tables[1]).count(rf"{{{label}}}") == 1
    assert len(re.findall(rf"^{re.escape(label)} & 68,722", to_latex(tables[0]), re.M)) == 1


def test_markdown_survives_nasty_names():
    lines = [line for line in to_markdown(nasty_table()).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert "&lt;i&gt;" in to_markdown(nasty_table())


def test_console_table_shows_the_labels(tables):
    out = io.StringIO()
    Console(file=out, width=220).print(console_table(tables[1]))
    text = out.getvalue()
    assert (
        text.count("tiktok [surrogate x0.1, random split]\n")
        + text.count("tiktok [surrogate x0.1, random split] ")
        >= 3
    )
    assert "0.3500 ± 0.0707" in text
    assert "cannot be compared" in text


def test_write_table_leaves_three_whole_files(tables, tmp_path):
    for _ in range(2):
        paths = write_table(tables[1], tmp_path / "new", "table3")
    assert [path.name for path in paths] == ["table3.md", "table3.csv", "table3.tex"]
    expected = [to_markdown(tables[1]), to_csv(tables[1]), to_latex(tables[1])]
    assert [path.read_text(encoding="utf-8") for path in paths] == expected
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["table3.csv", "table3.md", "table3.tex"]


def test_a_failed_write_keeps_the_old_file(tables, tmp_path, monkeypatch):
    (path, *_) = write_table(tables[1], tmp_path, "table3")
    before = path.read_bytes()

    def full(*_args, **_options):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResultsError, match="disk full"):
        write_table(tables[0], tmp_path, "table3")
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["", "../table3", "a/b"])
def test_a_table_name_is_a_file_name(tables, tmp_path, name):
    with pytest.raises(UsageError, match="not a file name"):
        write_table(tables[0], tmp_path, name)


def test_a_row_must_fit_its_columns():
    with pytest.raises(ValueError, match="does not fit"):
        Block((Column("a"),), (Row((Cell(), Cell())),))


def test_every_field_of_a_record_is_documented():
    text = RESULTS_README.read_text(encoding="utf-8")
    names, pending = set(), [RunRecord.model_json_schema()]
    while pending:
        node = pending.pop()
        names |= set(node.get("properties", {}))
        pending += list(node.get("$defs", {}).values())
    assert names >= {"key", "data_hash", "peak_memory_scope"}
    assert sorted(name for name in names if f"`{name}`" not in text) == []


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_is_typeset_within_the_page(tables, tmp_path):
    tables = [*tables, nasty_table()]
    for number, table in enumerate(tables):
        text = to_latex(table)
        packages = re.search(r"usepackage\{(.*?)\}", text).group(1)
        (tmp_path / f"{number}.tex").write_text(
            rf"\documentclass{{article}}\usepackage{{{packages}}}\usepackage[T1]{{fontenc}}"
            rf"\usepackage[utf8]{{inputenc}}\begin{{document}}{text}\end{{document}}",
            encoding="utf-8",
        )
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{number}.tex"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout[-2000:]
        assert not re.search(r"Overfull \\hbox .* (in alignment|in paragraph at lines 6)", made.stdout)
