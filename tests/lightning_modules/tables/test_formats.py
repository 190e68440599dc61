"""Every format shows the same table, whatever the names in it."""

import csv
import io
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import pytest
from rich.console import Console

from lightning_modules.report.formats import (
    print_table,
    render_csv,
    render_html,
    render_latex,
    render_markdown,
)
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.tables.table import (
    Cell,
    Interval,
    MissingRun,
    Row,
    Table,
    decimal,
    rank_columns,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "$x$",
    r"\input{x}",
    "50 % & more_of #1 ~^",
    "[red]bold[/red]",
    "*a* `b` _c_",
    "{[}]",
]
SCORES = {score.name: score for score in SALIENCY_SCORES}
COLUMNS = (("SET|1", SCORES["s_measure"]), ("SET|1", SCORES["mae"]))


def hostile_table() -> Table:
    rows = [
        Row((name, "1"), (Cell(0.5 + index / 100, 0.01, 3), Cell(0.2, None, 1, False)))
        for index, name in enumerate(HOSTILE)
    ]
    interval = Interval(-0.0123, -0.02, 0.004)
    cell = Cell(0.9, 0.01, 3, interval=interval)
    rows.append(Row(("published", "2"), (cell, Cell()), ("†",), ("from $where$",), True))
    return Table(
        title="Title with $x$ & <b>",
        label_headings=("Method_1", "size"),
        columns=COLUMNS,
        rows=tuple(rank_columns(rows, COLUMNS, 3)),
        footnotes=(("†", "from $where$ <i>"),),
        notes=("100 % of it", "# no heading"),
        problems=("bad <file> & co",),
        missing=(MissingRun("row", "run --x '<y>' ```"),),
    )


class Collector(HTMLParser):
    """Collect the cells of tables and check that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_html_reads_back_to_the_same_names_and_numbers() -> None:
    page = Collector()
    page.feed(render_html(hostile_table()))
    assert not page.open and "script" not in page.tags and "i" not in page.tags
    assert [row[0] for row in page.rows[2:]] == [*HOSTILE, "published†"]
    assert page.rows[0][2] == "SET|1"
    assert page.rows[2][2] == ".500 ± .010"
    assert page.rows[-1][2:] == [".900 ± .010−.012 [−.020, +.004]", "–"]


def test_csv_reads_back_to_the_same_names_and_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(hostile_table()))))
    assert [row["Method_1"] for row in rows[::2]] == [*HOSTILE, "published"]
    assert float(rows[0]["value"]) == 0.5 and float(rows[0]["std"]) == 0.01
    assert [rows[-2][name] for name in ("difference", "difference_low", "difference_high")] == [
        *("-0.0123", "-0.02", "0.004")
    ]
    assert (rows[-1]["value"], rows[-1]["num_seeds"], rows[-1]["published"]) == ("", "", "yes")
    assert rows[-1]["note"] == "from $where$"


def test_latex_is_balanced_and_escapes_every_name() -> None:
    text = render_latex(hostile_table())
    code = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(code)
    # What is left without escaped characters is markup: balanced, and with as many cells per row.
    bare = re.sub(r"\\[&%$#_{}]", "", body)
    assert bare.count("{") == bare.count("}")
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert bare.count("$") % 2 == 0 and "<" not in bare and "%" not in bare and "#" not in bare
    rows = [line for line in re.sub(r"\\&", "", body).splitlines() if line.endswith("\\\\")]
    assert [row.count("&") for row in rows if "multicolumn" not in row] == [3] * (len(rows) - 6)
    for line in code:
        assert not line.strip().startswith(("[", "*"))
    assert r"\textbackslash{}input\{x\} & 1" in body
    assert r"a\textbar{}b" in body and r"\$x\$" in body
    assert r"\textless{}script\textgreater{}" in body
    assert r"50 \% \& more\_of \#1 \textasciitilde{}\textasciicircum{}" in body
    assert r"\toprule" in body and r"\bottomrule" in body
    assert r"\cmidrule(lr){3-4}" in body
    assert r"{\scriptsize $-$.012 {[}$-$.020, +.004]}" in body
    assert "%   run --x '<y>' ```" in text


def test_markdown_has_as_many_cells_in_every_row() -> None:
    text = render_markdown(hostile_table())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(HOSTILE) + 1
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert "<script>" not in text and r"\<script\>" in text
    assert r"- \# no heading" in text
    assert "````sh\n# row\nrun --x '<y>' ```\n````" in text


def test_the_terminal_cuts_no_number_whatever_its_width() -> None:
    score = SCORES["s_measure"]
    columns = [(dataset, score) for dataset in ("rgb:blank", "depth:blank") for _ in range(3)]
    cells = [Cell(0.8 + column / 1000, std=0.012, num_seeds=3) for column in range(len(columns))]
    row = Row(("cross_attention, modality_dropout=0.3",), tuple(cells))
    table = Table("title", ("Configuration",), tuple(columns), (row,))
    for width in range(56, 160):
        output = io.StringIO()
        print_table(table, Console(file=output, width=width))
        printed = output.getvalue()
        assert all(cell.text(table.digits) in printed for cell in cells) and "…" not in printed
        assert max(map(len, printed.splitlines())) <= width


def test_the_terminal_shows_names_as_they_are_and_fits_its_width() -> None:
    output = io.StringIO()
    print_table(hostile_table(), Console(file=output, width=64))
    text = output.getvalue()
    for name in HOSTILE:
        assert name in text
    table = text.split("† from")[0]
    assert max(map(len, table.splitlines())) <= 64
    # Both columns do not fit beside the names: the second one makes a table of its own.
    assert table.count("Method_1") == 2
    output = io.StringIO()
    print_table(hostile_table(), Console(file=output, width=140))
    assert output.getvalue().count("Method_1") == 1


@pytest.mark.parametrize("render", [render_markdown, render_html, render_latex])
def test_best_and_second_best_are_marked(render) -> None:
    rows = [Row((str(value),), (Cell(value),)) for value in (0.9, 0.95, 0.85)]
    column = (("SET", SCORES["f_max"]),)
    table = Table("t", ("name",), column, tuple(rank_columns(rows, column, 3)))
    text = render(table)
    best, second = {
        render_markdown: ("**.950**", "<u>.900</u>"),
        render_html: ("<b>.950</b>", '<span class="second">.900</span>'),
        render_latex: (r"\textbf{.950}", r"\underline{.900}"),
    }[render]
    assert text.count(best) == text.count(second) == 1
    assert "second best underlined" in text


def ranks(values: list[float | None], metric: str, digits: int = 3) -> list[int]:
    rows = [Row(("x",), (Cell(value),)) for value in values]
    return [row.cells[0].rank for row in rank_columns(rows, [("SET", SCORES[metric])], digits)]


def test_ranks_share_ties_of_the_shown_digits_and_know_which_side_is_better() -> None:
    assert ranks([0.9, 0.8, 0.7], "s_measure") == [1, 2, 0]
    assert ranks([0.9, 0.8, 0.7], "mae") == [0, 2, 1]
    assert ranks([0.9001, 0.9004, 0.8, 0.8004, 0.7], "f_max") == [1, 1, 2, 2, 0]
    assert ranks([0.9001, 0.9004, 0.8], "f_max", digits=4) == [2, 1, 0]
    assert ranks([None, 0.5], "f_max") == [0, 0]
    assert ranks([0.5, 0.5], "f_max") == [0, 0]


def test_numbers_are_written_without_the_zero_before_the_point() -> None:
    assert decimal(0.97849, 3) == ".978"
    assert decimal(1.0, 3) == "1.000"
    assert decimal(0.0004, 3, signed=True) == ".000"
    assert decimal(-0.0006, 3, signed=True) == "−.001"


def test_html_is_well_formed_but_for_its_doctype() -> None:
    page = render_html(hostile_table()).replace('<meta charset="utf-8">', "")
    xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])
