"""Run the trials of a sweep on this machine."""

import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lightning_modules.report.sweep_report import duration_text, scores_text
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.sweep.stop_request import StopRequest
from lightning_modules.sweep.sweep_file import Trial
from lightning_modules.sweep.trial_lock import lock_holder
from lightning_modules.sweep.trial_process import (
    POLL_INTERVAL,
    Outcome,
    TrialProcess,
    start_trial,
)
from lightning_modules.sweep.trial_state import TrialState, read_state
from mutualformer.errors import UserError

_HELD_INTERVAL = 2.0  # seconds between looks at a trial that another process runs


class LocalSweep:
    """Run trials, as many at once as there are slots.

    Trials that another process is running are left to it; after all others, this one waits for
    them, and runs those that were interrupted there.

    Args:
        trials: those that are to be run.
        environments: one per slot: the variables of its trainings.
        console: where progress is shown.
    """

    def __init__(
        self, trials: Sequence[Trial], environments: Sequence[dict[str, str]], console: Console
    ) -> None:
        self._pending = deque(trials)
        self._held: list[Trial] = []
        self._seen_held: set[str] = set()
        self._look_again = 0.0
        self._running: dict[int, TrialProcess] = {}
        self._environments = environments
        self._console = console
        self._total = len(trials)
        self._finished = 0
        self._num_failed = 0
        self._durations: list[float] = []
        self._progress = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=self._total)

    def run(self, stop: StopRequest) -> int:
        """Run them all, or until asked to stop; returns how many failed.

        What is running when that is asked ends, and can be continued.
        """
        with self._progress:
            while stop.signum is None and (self._pending or self._held or self._running):
                self._fill_slots()
                for slot, running in list(self._running.items()):
                    if (outcome := running.poll()) is not None:
                        del self._running[slot]
                        self._report(running.trial, outcome, running.seconds)
                self._progress.update(self._bar, description=self._description())
                time.sleep(POLL_INTERVAL)
            for running in self._running.values():
                running.ask_to_stop()
            for running in self._running.values():
                running.stop()
        return self._num_failed

    def _fill_slots(self) -> None:
        if self._held and not self._pending and time.monotonic() >= self._look_again:
            self._pending.extend(self._held)
            self._held.clear()
            self._look_again = time.monotonic() + _HELD_INTERVAL
        for slot, environment in enumerate(self._environments):
            while slot not in self._running and self._pending:
                self._start(slot, self._pending.popleft(), environment)

    def _start(self, slot: int, trial: Trial, environment: dict[str, str]) -> None:
        name = trial.folder.name
        if name in self._seen_held and read_state(trial.folder) is TrialState.FAILED:
            self._report(trial, Outcome.FAILED, None)
            return
        try:
            started = start_trial(trial, environment)
        except (UserError, OSError) as error:
            self._say(f"[red]failed[/]  {escape(f'{name}: {error}')}")
            self._num_failed += 1
            self._advance()
            return
        if isinstance(started, TrialProcess):
            self._running[slot] = started
        elif started is Outcome.HELD:
            if name not in self._seen_held:
                self._say(
                    f"[cyan]running elsewhere[/]  {escape(f'{name}: {lock_holder(trial.folder)}')}"
                )
            self._seen_held.add(name)
            self._held.append(trial)
        else:
            self._report(trial, started, None)

    def _report(self, trial: Trial, outcome: Outcome, seconds: float | None) -> None:
        name = trial.folder.name
        if outcome is Outcome.STOPPED:
            # Whoever stopped the trial, not this sweep, may want the machine: no second attempt.
            self._say(f"[yellow]stopped[/]  {escape(name)}: by a signal from outside")
            self._num_failed += 1
        elif outcome is Outcome.FAILED:
            failure = RunFolder(trial.folder).read_failure()
            self._say(f"[red]failed[/]  {escape(name)}: {failure.reason if failure else ''}")
            self._num_failed += 1
        else:
            if seconds is not None:
                self._durations.append(seconds)
            took = "elsewhere" if seconds is None else f"in {duration_text(seconds)}"
            scores = scores_text(RunFolder(trial.folder).finished_results())
            self._say(f"[green]done[/]  {escape(name)}  {scores}  {took}")
        self._advance()

    def _advance(self) -> None:
        self._finished += 1
        self._progress.update(self._bar, completed=self._finished)
        if not self._console.is_terminal and (left := self._time_left()):
            self._say(f"{self._finished} of {self._total} trials, {left}")

    def _description(self) -> str:
        running = f"{len(self._running)} running"
        return ", ".join(filter(None, [running, self._time_left()]))

    def _time_left(self) -> str:
        """Estimate from the trials that were finished here; empty before the first."""
        if not self._durations or self._finished == self._total:
            return ""
        mean = sum(self._durations) / len(self._durations)
        spent = sum(min(running.seconds, mean) for running in self._running.values())
        remaining = (self._total - self._finished) * mean - spent
        return f"about {duration_text(max(0.0, remaining) / len(self._environments))} left"

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
