"""A table in the terminal, in as many parts as its width asks for."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lightning_modules.report.escape import escape_terminal
from lightning_modules.tables.table import Cell, Table

# A style alone is lost in a file or a pipe.
_RANKS = {0: (" ", ""), 1: ("¹", "bold"), 2: ("²", "underline")}
_GAP = 3  # between columns, of which the box draws one


def print_table(table: Table, console: Console) -> None:
    """Print the table, what is to be said about it, and the commands that fill it."""

    def say(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    console.print(Text(table.title, style="bold"), soft_wrap=True)
    for part in _parts(table, console.width):
        console.print(_part(table, part))
    for mark, text in table.footnotes:
        say(f"{_mark(mark)} {text}")
    if any(cell.rank for row in table.rows for cell in row.cells):
        say("¹ best, ² second best of a column.")
    for note in table.notes:
        say(note)
    if table.problems:
        say("\nNot used, or not fully:")
        for problem in table.problems:
            say(f"  {problem}")
    if table.missing:
        say("\nMissing runs:")
        for line in table.lines_on_missing():
            say(f"  {line}")


def _mark(mark: str) -> str:
    return f"({mark})" if mark.isascii() else mark


def _labels(table: Table, position: int) -> list[str]:
    row = table.rows[position]
    first, *others = map(escape_terminal, row.labels)
    return [" ".join([first, *map(_mark, row.marks)]), *others]


def _cell_lines(cell: Cell, digits: int) -> list[str]:
    lines = [f"{cell.text(digits)}{_RANKS[cell.rank][0]}"]
    difference = cell.difference_text(digits)
    return [*lines, difference] if difference else lines


def _widths(table: Table) -> list[int]:
    """Return how many characters each column of scores needs."""
    widths = []
    for column, (dataset, _) in enumerate(table.columns):
        cells = [row.cells[column] for row in table.rows]
        lines = [line for cell in cells for line in _cell_lines(cell, table.digits)]
        lines.append(f"{table.heading(column)} ")
        if column == 0 or dataset != table.columns[column - 1][0]:
            # Its name stands over the first column of a data set.
            lines.append(dataset)
        widths.append(max(map(len, lines)))
    return widths


def _parts(table: Table, width: int) -> list[list[int]]:
    """Share the columns out over tables that fit, data sets whole where that is possible."""
    for_labels = sum(
        _GAP + max(len(name), *(len(_labels(table, row)[index]) for row in range(len(table.rows))))
        for index, name in enumerate(table.label_headings)
    )
    available = width - for_labels - _GAP
    widths = [_GAP + needed for needed in _widths(table)]
    groups: dict[str, list[int]] = {}
    for column, (dataset, _) in enumerate(table.columns):
        groups.setdefault(dataset, []).append(column)
    units = []
    for columns in groups.values():
        whole = sum(widths[column] for column in columns) <= available
        units += [columns] if whole else [[column] for column in columns]
    parts: list[list[int]] = []
    left = 0
    for unit in units:
        needed = sum(widths[column] for column in unit)
        if not parts or needed > left:
            parts.append([])
            left = available
        parts[-1] += unit
        left -= needed
    return parts


def _part(table: Table, columns: list[int]) -> RichTable:
    part = RichTable(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    # The upper line of the headings is for the names of data sets.
    line = "\n" if any(dataset for dataset, _ in table.columns) else ""
    for name in table.label_headings:
        part.add_column(Text(f"{line}{name}"), no_wrap=True)
    widths = _widths(table)
    shown = ""
    for column in columns:
        dataset, width = table.columns[column][0], widths[column]
        name = "" if dataset == shown else dataset
        part.add_column(Text(f"{name}{line}{table.heading(column):>{width - 1}}"), no_wrap=True)
        shown = dataset
    previous = None
    for position, row in enumerate(table.rows):
        if previous is not None and row.published != previous:
            part.add_section()
        previous = row.published
        cells = []
        for column in columns:
            width = widths[column]
            value, *difference = _cell_lines(row.cells[column], table.digits)
            text = Text(" " * (width - len(value)))
            text.append(value, style=_RANKS[row.cells[column].rank][1])
            for line in difference:
                text.append(f"\n{line:>{width}}", style="dim")
            cells.append(text)
        part.add_row(*map(Text, _labels(table, position)), *cells)
    return part
