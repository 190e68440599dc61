"""`mutualformer sweep`: run all trials of an ablation."""

import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from lightning_modules.cli.output import wide_console
from lightning_modules.cli.parser import PlainParser, any_path, file_or_name, integer_of_at_least
from lightning_modules.sweep.sweep_file import Sweep, Trial, read_sweep
from lightning_modules.sweep.trial_settings import check_settings, read_settings
from lightning_modules.sweep.trial_state import TrialState, read_state
from mutualformer.errors import UserError

_DESCRIPTION = """Train and test every combination of the values in a sweep file (Weights & Biases'
format, method grid), each in a folder of its own:

  mutualformer sweep experiments/ablations/epsilon.yaml
  mutualformer sweep experiments/ablations/epsilon.yaml --status

FILE may be the name alone of one that comes with the package: epsilon, or probes/quick.

The same command again continues after whatever happened: trials that are done are not repeated,
one that was interrupted continues from its last checkpoint, one that failed is tried again, and one
that another process or machine is running is left to it: this command waits for it, and takes over
if it stops there. A folder keeps the settings it was run with, and refuses others. Exit code 1 if a
trial failed, 2 for a mistake, which is looked for in every trial before the first one starts.

The same file runs with wandb sweep FILE and wandb agent. On Slurm, submitit's files are in slurm/
below the trials; a task that runs out of time or is preempted is queued again and continues. The
same command again submits what neither runs nor is queued.
"""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    sweep = read_sweep(options.file, folder=options.folder, configs=options.config)
    try:
        return _status(sweep) if options.status else _sweep(sweep, options)
    except KeyboardInterrupt:  # before the first trial has started
        return 128 + signal.SIGINT


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("sweep", _DESCRIPTION)
    add = parser.add_argument
    add("file", type=file_or_name("ablations"), metavar="FILE")
    add("--folder", type=any_path, help="where the trials go, instead of the file's folder")
    add(
        "--config",
        type=file_or_name(),
        action="append",
        metavar="FILE",
        help="the experiment, instead of the file's; repeat it for overlays",
    )
    add(
        "--slots",
        type=integer_of_at_least(1),
        default=1,
        metavar="N",
        help="trials at once, each with a GPU and its share of the cores (default: %(default)s)",
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--status", action="store_true", help="show how far the trials are")
    modes.add_argument(
        "--dry-run",
        action="store_true",
        help="check the trials that are still to be run, and print their commands",
    )
    modes.add_argument(
        "--slurm", action="store_true", help="submit the trials to Slurm as one array job"
    )
    add(
        "--slurm-parameters",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="of sbatch, with underscores; time in minutes is required: time=240 partition=gpu "
        "gpus_per_node=1 cpus_per_task=8 array_parallelism=16",
    )
    options = parser.parse_args(arguments)
    if options.slurm_parameters and not options.slurm:
        parser.error("--slurm-parameters is given without --slurm")
    if options.slurm and options.slots != 1:
        parser.error("--slots is for this machine: with --slurm, use array_parallelism=N")
    pairs = [word.partition("=") for word in options.slurm_parameters]
    for key, separator, value in pairs:
        if not (key.isidentifier() and separator and value):
            parser.error(f"--slurm-parameters has {key + separator + value!r}, expected KEY=VALUE")
    options.slurm_parameters = {key: _slurm_value(value) for key, _, value in pairs}
    if options.slurm and not isinstance(options.slurm_parameters.get("time"), int):
        parser.error(
            "--slurm needs the time limit of a trial in minutes: --slurm-parameters time=N"
        )
    return options


def _slurm_value(text: str) -> Any:
    # Not YAML: to it, 4:00:00 is a number.
    return int(text) if text.isdecimal() else text


def _status(sweep: Sweep) -> int:
    from lightning_modules.report.sweep_report import print_status
    from lightning_modules.sweep.slurm_queue import SlurmFolder

    tasks = {}
    try:
        tasks = SlurmFolder(sweep.folder).tasks()
    except UserError as error:  # the rest stands in the folders
        print(f"warning: {error}", file=sys.stderr)
    print_status(sweep, wide_console(160), tasks)
    return 0


def _sweep(sweep: Sweep, options: Namespace) -> int:
    from lightning_modules.sweep.slots import divide_machine

    trials = sweep.trials
    settings = [read_settings(trial.configs, trial.parameters) for trial in trials]
    for trial, setting in zip(trials, settings, strict=True):
        check_settings(trial.folder, setting)
    environments = divide_machine(options.slots, settings[0])
    todo = [trial for trial in trials if read_state(trial.folder) is not TrialState.DONE]
    # What a dry run prints can be piped on.
    print(
        f"{sweep.path}: {len(trials)} trials in {sweep.folder}, {len(trials) - len(todo)} done",
        file=sys.stderr,
    )
    _check(sweep, todo)
    if options.dry_run:
        print("\n".join(trial.command for trial in todo))
        return 0
    if options.slurm:
        return _submit(sweep, todo, options.slurm_parameters)
    return _run_here(sweep, todo, environments)


def _check(sweep: Sweep, trials: list[Trial]) -> None:
    if not trials:
        return
    from lightning_modules.sweep.check_trials import check_trials

    check_trials(sweep, trials)


def _run_here(sweep: Sweep, trials: list[Trial], environments: Sequence[dict[str, str]]) -> int:
    from lightning_modules.report.sweep_report import print_failures, print_status
    from lightning_modules.sweep.local_sweep import LocalSweep
    from lightning_modules.sweep.stop_request import StopRequest

    console = wide_console(160)
    with StopRequest() as stop:
        num_failed = LocalSweep(trials, environments, console).run(stop)
    if stop.signum is not None:
        print(
            "Stopped. The same command again continues: what is done is kept, and what was "
            "interrupted continues from its last checkpoint.",
            file=sys.stderr,
        )
        return stop.exit_code
    print_status(sweep, console)
    print_failures(sweep, console)
    return 1 if num_failed else 0


def _submit(sweep: Sweep, trials: list[Trial], parameters: dict[str, Any]) -> int:
    from lightning_modules.sweep.slurm_queue import SlurmFolder, check_shared
    from lightning_modules.sweep.slurm_sweep import submit_trials

    if not trials:
        print("Nothing to submit: every trial is done")
        return 0
    folder = SlurmFolder(sweep.folder)
    with folder.locked():
        tasks = folder.tasks()
        check_shared(folder, [tasks[x.folder.name] for x in trials if x.folder.name in tasks])
        queued = {name for name, task in tasks.items() if not task.has_ended}
        states = [read_state(trial.folder, trial.folder.name in queued) for trial in trials]
        taken = (TrialState.RUNNING, TrialState.QUEUED)
        waiting = [x for x, state in zip(trials, states, strict=True) if state not in taken]
        if not waiting:
            print("Nothing to submit: every trial is done, running or queued")
            return 0
        job = submit_trials(sweep, waiting, parameters)
    left = len(trials) - len(waiting)
    print(f"Submitted {len(waiting)} trials as array job {job}")
    if left:
        print(f"{left} are running or queued already")
    print(f"How far they are: mutualformer sweep {sweep.path} --status")
    return 0
