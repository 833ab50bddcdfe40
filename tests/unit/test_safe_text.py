"""Names with markup, escapes and formulas, and paths of a user, in what is shown and published."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bench.cli import parser
from bench.cli.opening import announce
from bench.core import text
from bench.core.errors import MOST_REASON, one_line
from bench.core.text import for_csv, for_markdown, for_terminal, shorten_below, shorten_paths
from bench.report.render import to_csv, to_markdown
from bench.report.table import Block, Cell, Column, Row
from bench.report.table import Table as Results

HOSTILE = "a\x1b[31mRED\x1b[0m\x07 [bold]b[/bold] [/docs] \x9b2J \u202egnp.exe \ud800"


def table_of(name: str) -> Results:
    block = Block((Column("Model", align="left"),), (Row((Cell(words=name),)),))
    return Results(name, name, (block,), (name,), ("model",), ((name,),))


def test_a_reason_is_one_short_line() -> None:
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert one_line(ValueError()) == "ValueError"
    assert one_line("") == ""
    assert (len(one_line("x" * 999)), len(one_line("x" * 999, None))) == (MOST_REASON, 999)


def test_no_control_character_reaches_a_terminal() -> None:
    shown = for_terminal(HOSTILE)
    assert shown.isprintable()
    assert r"a\x1b[31mRED\x1b[0m\x07 [bold]b[/bold]" in shown
    assert for_terminal("two\nlines\tand é") == "two\nlines\tand é"
    shown.encode()


@pytest.mark.parametrize("wrap", [str, Text, Panel, lambda text: Panel(Text("x"), title=Text(text))])
def test_a_console_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch, wrap: object) -> None:
    console = parser.make_console()
    console.file = io.StringIO()
    grid = Table(title=HOSTILE)
    grid.add_column(HOSTILE)
    grid.add_row(HOSTILE)
    console.print(wrap(HOSTILE) if callable(wrap) else "", soft_wrap=True)
    console.print(grid)
    shown = console.file.getvalue()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert r"\x1b[31mRED" in shown
    assert "[bold]b[/bold]" in shown.replace("\n", "")
    shown.encode()


def test_the_panel_of_a_data_set_shows_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    console = parser.make_console()
    announce(console, "data [v2] [bold] x", "a note with [/docs] and [v2]", "real")
    assert capsys.readouterr().out == "a note with [/docs] and [v2]\n"
    console._force_terminal = True
    announce(console, "data [v2] [bold] x", "a note with [/docs] and [v2]", "real")
    out = capsys.readouterr().out
    assert "data [v2] [bold] x" in out
    assert "[/docs] and [v2]" in out


@pytest.mark.parametrize(
    "name",
    [
        *(
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "![i](http://x/y)",
        ),
        *(
            "a|b",
            "*b*",
            "`c`",
            "x\n\n# heading",
            "x\r\r<b>",
            "# heading",
            "- item",
            "1. item",
            "[x]: http://e",
            "&lt;b>",
        ),
    ],
)
def test_no_name_is_markup_in_markdown(name: str) -> None:
    markdown = pytest.importorskip("markdown")
    html = markdown.markdown(to_markdown(table_of(name)), extensions=["tables"])
    for part in ("<script", "<img", "<a ", "<b>", "<h1", "<code", "<ol", "<em"):
        assert part not in html, html
    assert html.count("<li>") == 1
    assert html.count("<td") == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("+1+cmd", "'+1+cmd"), ("-2+3", "'-2+3"), ("@sum", "'@sum"),
        ("-0.25", "-0.25"), ("+1e-3", "+1e-3"), ("a=b", "a=b"), ("-", "-"), ("", ""), ("\tx", "'\tx"),
    ],
)  # fmt: skip
def test_a_text_is_no_formula_in_a_spreadsheet(given: str, shown: str) -> None:
    assert for_csv(given) == shown


def test_numbers_in_a_csv_stay_numbers() -> None:
    table = Results("t", "", (), (), ("a", "b", "c"), ((-1.5, "=1+1", None),))
    assert to_csv(table) == "a,b,c\n-1.5,'=1+1,\n"


def test_paths_are_shortened_to_what_lies_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    checkout = text.WORK
    data = Path("/mnt/disk 7/data")
    cases = {
        f"python run_all.py --plugin {checkout}/own/mf.py": "python run_all.py --plugin own/mf.py",
        "read from /home/alice/sets/tiktok/trnMat.pkl, as npz": "read from ~/sets/tiktok/trnMat.pkl, as npz",
        f"read from {data}/tiktok/trnMat.pkl": "read from tiktok/trnMat.pkl",
        f"--data-dir '{data}' --results-dir /scratch/bob/r": "--data-dir '…/data' --results-dir …/r",
        "/home/alice and /home/alicia/x": "~ and …/x",
        f"cd {checkout}; ls {checkout}/": "cd .; ls .",
        "https://example.org/a/b, a/b, 1/2, /dev/null": "https://example.org/a/b, a/b, 1/2, /dev/null",
    }
    with shorten_below([data]):
        assert {given: shorten_paths(given) for given in cases} == cases
    assert shorten_paths("python run_all.py") == "python run_all.py"


def test_markdown_of_plain_words_is_plain() -> None:
    assert for_markdown("LUDP is 5.2% above MF, p 0.012.") == "LUDP is 5.2% above MF, p 0.012."
