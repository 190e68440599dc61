"""A table in Markdown, as code forges show it."""

import re
from collections.abc import Sequence

from lightning_modules.report.escape import escape_markdown
from lightning_modules.tables.table import Cell, Table

_RANKS = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}


def render_markdown(table: Table) -> str:
    """Return the table, its notes as a list, and the commands that fill it in a code block."""
    headings = [escape_markdown(name) for name in table.label_headings]
    for column, (dataset, _) in enumerate(table.columns):
        above = f"{escape_markdown(dataset)}<br>" if dataset else ""
        headings.append(f"{above}{table.heading(column)}")
    rule = ["---"] * len(table.label_headings) + ["---:"] * len(table.columns)
    lines = [f"**{escape_markdown(table.title)}**", "", _line(headings), _line(rule)]
    for row in table.rows:
        labels = [escape_markdown(label) for label in row.labels]
        labels[0] += "".join(f"<sup>{mark}</sup>" for mark in row.marks)
        lines.append(_line([*labels, *(_cell(cell, table.digits) for cell in row.cells)]))
    lines.append("")
    lines += [f"- <sup>{mark}</sup> {escape_markdown(text)}" for mark, text in table.footnotes]
    if any(cell.rank for row in table.rows for cell in row.cells):
        lines.append("- Best of a column in bold, second best underlined.")
    lines += [f"- {escape_markdown(note)}" for note in table.notes]
    if table.problems:
        lines += ["", "Not used, or not fully:", ""]
        lines += [f"- {escape_markdown(problem)}" for problem in table.problems]
    if table.missing:
        block = "\n".join(table.lines_on_missing())
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block)), default=0))
        lines += ["", "Missing runs:", "", f"{fence}sh", block, fence]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, digits: int) -> str:
    text = _RANKS[cell.rank].format(cell.text(digits))
    difference = cell.difference_text(digits)
    return f"{text}<br>{difference}" if difference else text
