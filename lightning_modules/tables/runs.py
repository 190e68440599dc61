"""Read the results of the runs that a table needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning_modules.runs.results import Results, ResultsError, read_results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tables.planned_rows import PlannedRow, PlannedRun
from lightning_modules.tables.table import MissingRun


@dataclass(frozen=True)
class Run:
    """A run with results.

    Attributes:
        row: position of its row in the table.
        planned: the run that the table asked for.
        results: what its test wrote.
        is_kept: the results are those of the repository, as the run itself is not here.
    """

    row: int
    planned: PlannedRun
    results: Results
    is_kept: bool = False

    def score(self, dataset: str, metric: str) -> float | None:
        """Return a score by the names of the results file; None if it is not there."""
        return self.results.scores.get(dataset, {}).get(metric)


def read_runs(
    rows: Sequence[PlannedRow], kept: Mapping[str, Results]
) -> tuple[list[Run], list[MissingRun], list[str]]:
    """Read what is there.

    Args:
        rows: of the table.
        kept: results that are part of the repository, by the folder of their run; they take the
            place of a run that is not here.

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
            folder = RunFolder(planned.folder)
            try:
                runs.append(Run(position, planned, read_results(folder.results)))
            except FileNotFoundError:
                failure = _failure(folder)
                if not failure and (shipped := kept.get(planned.folder.as_posix())):
                    runs.append(Run(position, planned, shipped, is_kept=True))
                    continue
                missing.append(MissingRun(what, planned.command, failure))
            except ResultsError as error:
                problems.append(f"{what}: {error}")
                missing.append(MissingRun(what, planned.command, "its results are damaged"))
    return runs, missing, problems


def _failure(run: RunFolder) -> str:
    """Say why a trial failed, as far as it said so itself; empty if it did not fail."""
    failure = run.read_failure()
    if failure is None:
        return ""
    lines = [line for line in failure.reason.splitlines() if line.strip()] or [f"see {run.path}"]
    return f"failed: {''.join(filter(str.isprintable, lines[-1])).strip():.160}"
