r"""A table in LaTeX with booktabs, to be read with `\input` inside a table environment."""

from collections.abc import Sequence

from lightning_modules.report.escape import escape_latex
from lightning_modules.tables.table import Cell, Row, Table

_RANKS = {0: "{}", 1: "\\textbf{{{}}}", 2: "\\underline{{{}}}"}


def render_latex(table: Table) -> str:
    """Return a tabular with its notes as last rows; commands that fill it are in comments."""
    width = len(table.label_headings) + len(table.columns)
    lines = [
        f"% {_comment(table.title)}",
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{'l' * len(table.label_headings)}{'r' * len(table.columns)}}}",
        "  \\toprule",
        *_head(table),
        "  \\midrule",
    ]
    published = table.rows[0].published
    for row in table.rows:
        if row.published != published:
            lines.append("  \\midrule")
            published = row.published
        lines += _row(row, table.digits)
    lines.append("  \\bottomrule")
    notes = [
        f"\\textsuperscript{{{escape_latex(m)}}} {escape_latex(t)}" for m, t in table.footnotes
    ]
    if any(cell.rank for row in table.rows for cell in row.cells):
        notes.append("Best of a column in bold, second best underlined.")
    notes += [escape_latex(note) for note in (*table.notes, *table.problems)]
    for note in notes:
        lines.append(
            f"  \\multicolumn{{{width}}}{{p{{\\linewidth}}}}{{\\footnotesize {note}}} \\\\"
        )
    lines.append("\\end{tabular}")
    if table.missing:
        lines.append("% Missing runs:")
        lines += [f"%   {_comment(line)}" for line in table.lines_on_missing()]
    return "\n".join([*lines, ""])


def _head(table: Table) -> list[str]:
    num_labels = len(table.label_headings)
    groups, rules = [""] * num_labels, []
    start = num_labels + 1
    for dataset, metrics in table.datasets:
        groups.append(f"\\multicolumn{{{len(metrics)}}}{{c}}{{{escape_latex(dataset)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + len(metrics) - 1}}}")
        start += len(metrics)
    names = [escape_latex(name) for name in table.label_headings]
    names += [escape_latex(table.heading(column)) for column in range(len(table.columns))]
    if not any(dataset for dataset, _ in table.columns):
        return [_line(names)]
    return [_line(groups), f"  {''.join(rules)}", _line(names)]


def _row(row: Row, digits: int) -> list[str]:
    labels = [escape_latex(label) for label in row.labels]
    labels[0] += "".join(f"\\textsuperscript{{{escape_latex(mark)}}}" for mark in row.marks)
    lines = [_line([*labels, *(_cell(cell, digits) for cell in row.cells)])]
    differences = [escape_latex(cell.difference_text(digits)) for cell in row.cells]
    if any(differences):
        small = [f"{{\\scriptsize {text}}}" if text else "" for text in differences]
        lines.append(_line([*[""] * len(labels), *small]))
    return lines


def _cell(cell: Cell, digits: int) -> str:
    return _RANKS[cell.rank].format(escape_latex(cell.text(digits)))


def _line(cells: Sequence[str]) -> str:
    return f"  {' & '.join(cells)} \\\\"


def _comment(text: str) -> str:
    return " ".join(text.splitlines())
