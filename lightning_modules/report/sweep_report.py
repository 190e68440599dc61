"""What a sweep says about its trials. Importing this does not import torch."""

import math
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_modules.report.escape import escape_terminal
from lightning_modules.runs.results import Results
from lightning_modules.sweep.sweep_file import Sweep
from lightning_modules.sweep.trial_folder import (
    KEY_SCORES,
    TrialState,
    end_of_log,
    finished_results,
    key_scores,
    read_failure,
    read_progress,
    read_state,
)
from lightning_modules.sweep.trial_lock import lock_holder
from lightning_modules.sweep.trial_name import short_names, value_text

_STYLES = {
    TrialState.DONE: "green",
    TrialState.RUNNING: "cyan",
    TrialState.FAILED: "red",
    TrialState.INTERRUPTED: "yellow",
    TrialState.WAITING: "dim",
}


def print_status(sweep: Sweep, console: Console) -> None:
    """Print a table with the state and the scores of every trial."""
    names = short_names(sweep.axes)
    table = Table(title=_shown(f"{sweep.path}: trials in {sweep.folder}"))
    for name in names.values():
        table.add_column(name)
    table.add_column("state")
    for heading in KEY_SCORES.values():
        table.add_column(heading, justify="right")
    table.add_column("")
    states: Counter[TrialState] = Counter()
    datasets: set[str] = set()
    for trial in sweep.trials:
        state = read_state(trial.folder)
        states[state] += 1
        results = finished_results(trial.folder)
        if results is not None:
            datasets |= results.scores.keys()
            cells = [_number(score) for score in key_scores(results).values()]
        else:
            cells = [""] * len(KEY_SCORES)
        failure = read_failure(trial.folder)
        remark = {
            TrialState.RUNNING: f"{read_progress(trial.folder)} on {lock_holder(trial.folder)}",
            TrialState.INTERRUPTED: read_progress(trial.folder),
            TrialState.FAILED: failure.reason if failure else "",
        }.get(state, "")
        parameters = [_shown(value_text(value)) for value in trial.parameters.values()]
        styled = f"[{_STYLES[state]}]{state.value}[/]"
        table.add_row(*parameters, styled, *cells, _shown(remark))
    if len(datasets) > 1:
        table.caption = _shown(f"scores: mean over {', '.join(sorted(datasets))}")
    console.print(table)
    counts = ", ".join(f"{states[state]} {state.value}" for state in TrialState if states[state])
    console.print(f"{sum(states.values())} trials: {counts}", highlight=False)


def print_failures(sweep: Sweep, console: Console) -> None:
    """Print the end of the log of every failed trial."""
    for trial in sweep.trials:
        failure = read_failure(trial.folder)
        if failure is None or read_state(trial.folder) is not TrialState.FAILED:
            continue
        console.rule(_shown(f"{trial.folder.name} failed: {failure.reason}"), style="red")
        log = escape_terminal(end_of_log(trial.folder))
        console.print(log, markup=False, highlight=False, soft_wrap=True)
        console.print(f"Run it alone: {trial.command}", markup=False, soft_wrap=True)


def scores_text(results: Results | None) -> str:
    """Write the key scores in one line, averaged over test sets."""
    if results is None:
        return ""
    scores = key_scores(results)
    return "  ".join(f"{KEY_SCORES[name]} {_number(score)}" for name, score in scores.items())


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
