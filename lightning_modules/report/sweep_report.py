"""What a sweep says about its trials."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_modules.report.escape import escape_terminal
from lightning_modules.runs.results import Results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.sweep.slurm_queue import QueuedTask
from lightning_modules.sweep.sweep_file import Sweep
from lightning_modules.sweep.trial_lock import lock_holder
from lightning_modules.sweep.trial_name import short_names, value_text
from lightning_modules.sweep.trial_state import TrialState, read_state

_STYLES = {
    TrialState.DONE: "green",
    TrialState.RUNNING: "cyan",
    TrialState.FAILED: "red",
    TrialState.INTERRUPTED: "yellow",
    TrialState.QUEUED: "blue",
    TrialState.WAITING: "dim",
}


def print_status(
    sweep: Sweep, console: Console, tasks: Mapping[str, QueuedTask] | None = None
) -> None:
    """Print a table with the state and the scores of every trial.

    Args:
        sweep: whose trials.
        console: where to.
        tasks: of Slurm, by the names of trials.
    """
    names = short_names(sweep.axes)
    table = Table()
    for name in names.values():
        table.add_column(name)
    table.add_column("state")
    of_trials = {x.folder: RunFolder(x.folder).finished_results() for x in sweep.trials}
    finished = [results for results in of_trials.values() if results is not None]
    headings = list(dict.fromkeys(head for results in finished for head in main_scores(results)))
    for heading in headings:
        table.add_column(_shown(heading), justify="right")
    table.add_column("")
    states: Counter[TrialState] = Counter()
    for trial in sweep.trials:
        run = RunFolder(trial.folder)
        task = (tasks or {}).get(trial.folder.name)
        state = read_state(trial.folder, task is not None and not task.has_ended)
        states[state] += 1
        results = of_trials[trial.folder]
        scores = main_scores(results) if results else {}
        cells = [_number(scores[head]) if head in scores else "" for head in headings]
        failure = run.read_failure()
        remark = {
            TrialState.RUNNING: f"{run.read_progress()} on {lock_holder(trial.folder)}",
            TrialState.QUEUED: ", ".join(filter(None, [str(task), run.read_progress()])),
            TrialState.WAITING: str(task or ""),
            TrialState.INTERRUPTED: run.read_progress(),
            TrialState.FAILED: failure.reason if failure else "",
        }.get(state, "")
        parameters = [_shown(value_text(value)) for value in trial.parameters.values()]
        styled = f"[{_STYLES[state]}]{state.value}[/]"
        table.add_row(*parameters, styled, *cells, _shown(remark))
    datasets = {dataset for results in finished for dataset in results.scores}
    if len(datasets) > 1:
        table.caption = _shown(f"scores: mean over {', '.join(sorted(datasets))}")
    # As a title it would be broken to the table's width, within names.
    where = escape_terminal(f"{sweep.path}: trials in {sweep.folder}")
    console.print(where, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    counts = ", ".join(f"{states[state]} {state.value}" for state in TrialState if states[state])
    console.print(f"{sum(states.values())} trials: {counts}", highlight=False)


def print_failures(sweep: Sweep, console: Console) -> None:
    """Print the end of the log of every failed trial."""
    for trial in sweep.trials:
        run = RunFolder(trial.folder)
        failure = run.read_failure()
        if failure is None or read_state(trial.folder) is not TrialState.FAILED:
            continue
        console.rule(_shown(f"{trial.folder.name} failed: {failure.reason}"), style="red")
        log = escape_terminal(run.end_of_log())
        console.print(log, markup=False, highlight=False, soft_wrap=True)
        console.print(f"Run it alone: {trial.command}", markup=False, soft_wrap=True)


def main_scores(results: Results) -> dict[str, float | None]:
    """Return the main scores by heading, averaged over the test sets (None if undefined)."""
    averages: dict[str, float | None] = {}
    for score in (score for score in results.descriptions if score.main):
        values = [scores.get(score.name) for scores in results.scores.values()]
        known = [value for value in values if value is not None]
        averages[score.heading] = statistics.fmean(known) if len(known) == len(values) else None
    return averages


def scores_text(results: Results | None) -> str:
    """Write the main scores in one line, averaged over test sets."""
    scores = main_scores(results) if results else {}
    return "  ".join(f"{_shown(head)} {_number(score)}" for head, score in scores.items())


def duration_text(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds.

    >>> duration_text(185), duration_text(7265)
    ('3:05', '2:01:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shown(text: str) -> str:
    """Return text for a console that reads markup, to be shown as it is."""
    return escape(escape_terminal(text))


def _number(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}"
