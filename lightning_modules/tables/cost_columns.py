"""What the runs of a table cost, in columns beside their scores."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_modules.costs.columns import cost_cells, describe_facts, facts_of, table_columns
from lightning_modules.costs.cost_file import Cost, CostError, read_cost
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tables.planned_rows import PlannedRow
from lightning_modules.tables.provenance import differing_values, usual_values
from lightning_modules.tables.table import Table, letter_mark

_MOST_FOLDERS = 6


def add_costs(table: Table) -> Table:
    """Return the table with columns of costs, if a run has been measured; otherwise say how to.

    The cost of a row is that of its first run that has one. A row is marked whose runs differ in
    what they cost, or that was measured on another machine, at another size or by other code than
    most rows, or than its scores.

    Args:
        table: as `build_table` made it.
    """
    of_row: list[list[Cost]] = []
    problems = []
    for plan in table.planned:
        costs = []
        for run in plan.runs:
            try:
                costs.append(read_cost(RunFolder(run.folder).cost))
            except FileNotFoundError:
                continue
            except CostError as error:
                problems.append(f"{plan.name}: {error}")
        of_row.append(costs)
    if not any(of_row):
        folders = [run.folder for plan in table.planned for run in plan.runs]
        tested = [folder for folder in folders if RunFolder(folder).results.exists()]
        note = (f"No costs yet; to measure them: {_command(tested)}",) if tested else ()
        return replace(table, notes=table.notes + note, problems=(*table.problems, *problems))
    columns, headings = table_columns()
    usual = usual_values([facts_of(costs[0]) for costs in of_row if costs])
    letters: dict[str, str] = {}
    num_letters = sum(mark.isascii() and len(mark) < 3 for mark, _ in table.footnotes)
    rows = []
    for scored, plan, costs in zip(table.rows, table.planned, of_row, strict=True):
        cells = cost_cells(next(iter(costs), None), len(costs))
        row = replace(scored, cells=scored.cells + cells)
        if costs and (different := _differences(plan, costs, usual)):
            text = "Cost measured otherwise: " + "; ".join(different)
            mark = letters.setdefault(text, letter_mark(num_letters + len(letters)))
            row = replace(row, marks=(*row.marks, mark), notes=(*row.notes, text))
        rows.append(row)
    return replace(
        table,
        columns=table.columns + columns,
        headings=tuple(table.heading(i) for i in range(len(table.columns))) + headings,
        rows=tuple(rows),
        footnotes=(*table.footnotes, *((letter, text) for text, letter in letters.items())),
        notes=(*table.notes, describe_facts(usual)),
        problems=(*table.problems, *problems),
    )


def _differences(planned: PlannedRow, costs: Sequence[Cost], usual: dict[str, str]) -> list[str]:
    found = differing_values(facts_of(costs[0]), usual)
    exact = {(x.parameters, x.forward_flops, x.step_flops) for x in costs}
    if len(exact) > 1:
        found.append("its runs differ in parameters or FLOPs, those of the first are shown")
    tested = [RunFolder(run.folder).finished_results() for run in planned.runs]
    commits = {str((x.git or {}).get("commit", "unknown"))[:7] for x in tested if x is not None}
    measured_at = costs[0].commit.split()[0]
    if commits - {measured_at}:
        found.append(f"at commit {measured_at}, its scores at {', '.join(sorted(commits))}")
    return found


def _command(folders: Sequence[Path]) -> str:
    above = {folder.parent for folder in folders}
    if len(folders) > 1 and len(above) == 1:
        return shlex.join(["mutualformer", "cost", os.fspath(above.pop())])
    words = ["mutualformer", "cost", *map(os.fspath, folders[:_MOST_FOLDERS])]
    return shlex.join(words) + (" …" if len(folders) > _MOST_FOLDERS else "")
