"""Read the results of the runs that a table needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.runs.results import RESULTS_NAME, Results, ResultsError, read_results
from lightning_modules.tables.planned_rows import PlannedRow, PlannedRun
from lightning_modules.tables.table import MissingRun

_FAILURE_NAME = "failure.json"


@dataclass(frozen=True)
class Run:
    """A run with results.

    Attributes:
        row: position of its row in the table.
        planned: the run that the table asked for.
        results: what its test wrote.
    """

    row: int
    planned: PlannedRun
    results: Results

    def score(self, dataset: str, metric: str) -> float | None:
        """Return a score by the names of the results file; None if it is not there."""
        return self.results.scores.get(dataset, {}).get(metric)


def read_runs(rows: Sequence[PlannedRow]) -> tuple[list[Run], list[MissingRun], list[str]]:
    """Read what is there.

    Returns:
        The runs with results, those still to be made, and what is wrong with damaged ones, which
        count as still to be made.
    """
    runs: list[Run] = []
    missing: list[MissingRun] = []
    problems: list[str] = []
    for position, row in enumerate(rows):
        for planned in row.runs:
            what = row.name if planned.seed is None else f"{row.name}, seed {planned.seed}"
            try:
                runs.append(Run(position, planned, read_results(planned.folder / RESULTS_NAME)))
            except FileNotFoundError:
                missing.append(MissingRun(what, planned.command, _failure(planned.folder)))
            except ResultsError as error:
                problems.append(f"{what}: {error}")
                missing.append(MissingRun(what, planned.command, "its results are damaged"))
    return runs, missing, problems


def _failure(folder: Path) -> str:
    """Say why a trial failed, as far as it said so itself; empty if it did not fail."""
    path = folder / _FAILURE_NAME
    if not path.is_file():
        return ""
    try:
        content = json.loads(path.read_bytes())
        reason = str(content["reason"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"failed, see {folder}"
    lines = [line for line in reason.splitlines() if line.strip()]
    last = "".join(filter(str.isprintable, lines[-1])) if lines else ""
    return f"failed: {last.strip():.160}" if last else f"failed, see {folder}"
