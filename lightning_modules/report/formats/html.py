"""A table as an HTML page that needs no other file."""

from html import escape

from lightning_modules.tables.table import Cell, Row, Table

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #1e2024; margin: 2em; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; }
caption { font-weight: bold; text-align: left; padding-bottom: .5em; }
th, td { padding: .2em .7em; text-align: right; white-space: nowrap; }
th.label, td.label { text-align: left; }
thead tr:last-child th { border-bottom: 1px solid; }
tbody + tbody { border-top: 1px solid; }
td small { display: block; color: #5a5e66; }
.second { text-decoration: underline; }
.problems { color: #a02020; }
pre { background: #f4f4f6; padding: .7em; overflow-x: auto; }
"""


def render_html(table: Table) -> str:
    """Return a page with the table, what is to be said about it, and the commands that fill it."""
    title = escape(table.title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>',
        "<body>",
        f"<table><caption>{title}</caption>",
        *_head(table),
    ]
    published = None
    for row in table.rows:
        if row.published != published:
            lines += ["<tbody>"] if published is None else ["</tbody>", "<tbody>"]
            published = row.published
        lines.append(_row(row, table.digits))
    lines += ["</tbody>", "</table>"]
    notes = [f"<sup>{escape(mark)}</sup> {escape(text)}" for mark, text in table.footnotes]
    if any(cell.rank for row in table.rows for cell in row.cells):
        notes.append("Best of a column in bold, second best underlined.")
    notes += [escape(note) for note in table.notes]
    lines += [f"<p>{note}</p>" for note in notes]
    if table.problems:
        items = "".join(f"<li>{escape(problem)}</li>" for problem in table.problems)
        lines.append(f'<div class="problems"><p>Not used, or not fully:</p><ul>{items}</ul></div>')
    if table.missing:
        block = escape("\n".join(table.lines_on_missing()))
        lines += ["<p>Missing runs:</p>", f"<pre><code>{block}</code></pre>"]
    return "\n".join([*lines, "</body>", "</html>", ""])


def _head(table: Table) -> list[str]:
    labels = "".join(
        f'<th class="label" rowspan="2">{escape(name)}</th>' for name in table.label_headings
    )
    datasets = "".join(
        f'<th colspan="{len(metrics)}">{escape(dataset)}</th>'
        for dataset, metrics in table.datasets
    )
    metrics = "".join(f"<th>{table.heading(i)}</th>" for i in range(len(table.columns)))
    return [f"<thead><tr>{labels}{datasets}</tr>", f"<tr>{metrics}</tr></thead>"]


def _row(row: Row, digits: int) -> str:
    labels = [escape(label) for label in row.labels]
    labels[0] += "".join(f"<sup>{escape(mark)}</sup>" for mark in row.marks)
    cells = "".join(f'<td class="label">{label}</td>' for label in labels)
    cells += "".join(f"<td>{_cell(cell, digits)}</td>" for cell in row.cells)
    return f"<tr>{cells}</tr>"


def _cell(cell: Cell, digits: int) -> str:
    text = cell.text(digits)
    ranked = {0: text, 1: f"<b>{text}</b>", 2: f'<span class="second">{text}</span>'}[cell.rank]
    difference = cell.difference_text(digits)
    return f"{ranked}<small>{difference}</small>" if difference else ranked
