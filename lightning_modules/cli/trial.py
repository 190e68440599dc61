"""`mutualformer trial`: run one trial of a sweep."""

import re
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from lightning_modules.cli.parser import PlainParser, any_path, file_or_name
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import one_spelling
from lightning_modules.sweep.stop_request import StopRequest
from lightning_modules.sweep.sweep_file import Trial
from lightning_modules.sweep.trial_lock import lock_holder
from lightning_modules.sweep.trial_name import read_value, trial_name
from lightning_modules.sweep.trial_process import POLL_INTERVAL, Outcome, start_trial
from mutualformer.errors import UserError

_DESCRIPTION = """Train and test one trial of a sweep, in the folder below FOLDER that its
parameters name. What wandb agent runs, and every line of mutualformer sweep --dry-run:

  mutualformer trial --folder runs/ablations/epsilon --config experiments/synthetic_cpu.yaml \\
                     --model.network.fusion.epsilon=0.3 --seed_everything=1

A trial that is done is not run again; one that was interrupted continues from its last checkpoint;
one that another process is running is left to it (exit code 75).
"""
HELD_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again later


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    return run_trial(_parse(arguments))


def run_trial(trial: Trial) -> int:
    """Run one trial to its end and say what became of it; returns the exit code.

    SIGINT and SIGTERM end the training too; the trial can then be continued.

    Raises:
        UserError: a configuration cannot be read, or the folder holds another trial.
        OSError: the folder cannot be written.
    """
    with StopRequest() as stop:
        started = start_trial(trial)
        if started is Outcome.ALREADY_DONE:
            print(f"{trial.folder} is done already")
            return 0
        if isinstance(started, Outcome):
            holder = lock_holder(trial.folder)
            print(f"{trial.folder} is being run elsewhere: {holder}", file=sys.stderr)
            return HELD_EXIT_CODE
        while (outcome := started.poll()) is None:
            if stop.signum is not None:
                outcome = started.stop()
                break
            time.sleep(POLL_INTERVAL)
    if outcome is Outcome.FAILED:
        folder = RunFolder(trial.folder)
        failure = folder.read_failure()
        print(folder.end_of_log(), file=sys.stderr)
        print(
            f"error: {trial.folder} failed: {failure.reason if failure else 'unknown'}",
            file=sys.stderr,
        )
        # What the training refused is the user's mistake here too, and not worth another attempt.
        return 2 if started.process.returncode == 2 else 1
    print(f"{trial.folder} is {outcome.value}")
    if outcome is Outcome.DONE:
        return 0
    return stop.exit_code if stop.signum else 128 + signal.SIGTERM


def _parse(arguments: list[str]) -> Trial:
    parser = PlainParser("trial", _DESCRIPTION)
    add = parser.add_argument
    add("--folder", type=any_path, required=True, help="folder of the sweep")
    add(
        "--config",
        type=file_or_name(),
        action="append",
        required=True,
        metavar="FILE",
        help="the experiment; repeat it for overlays",
    )
    options, others = parser.parse_known_args(arguments)
    try:
        parameters = parse_parameters(others)
    except UserError as error:
        parser.error(str(error))
    folder = options.folder / trial_name(parameters)
    return Trial(parameters, folder, tuple(options.config))


def parse_parameters(words: Sequence[str]) -> dict[str, Any]:
    """Read what Weights & Biases' agent writes for `${args}`.

    >>> parse_parameters(["--model.network.fusion.epsilon=0.3", "--seed_everything=1"])
    {'model.network.fusion.epsilon': 0.3, 'seed_everything': 1}

    Raises:
        UserError: a word is not `--name=value`, or there is none.
    """
    parameters: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"--([\w.]+)=(.+)", word, flags=re.DOTALL)
        if match is None:
            raise UserError(f"{word!r} is no parameter, expected --name=value")
        name, text = match.groups()
        if name in parameters:
            raise UserError(f"--{name} is given twice")
        parameters[name] = one_spelling(name, read_value(text))
    if not parameters:
        raise UserError("no parameters, expected --name=value")
    return parameters
