"""Entry point of the command `mutualformer`: picks the command, and turns errors into text."""

import sys
from importlib import import_module, metadata

from lightning_modules.cli.errors import exit_on_error
from lightning_modules.cli.first_signals import ended_by_signals
from lightning_modules.cli.plain_output import forgive_outputs
from lightning_modules.cli.training_help import brief_help

USAGE = """usage: mutualformer <command> [options]

commands:
  fit       train, validate and keep the best checkpoint      mutualformer fit --config FILE
  validate  score a checkpoint on the held-out training data
  test      score a checkpoint on the test sets               mutualformer test --config RUN/config.yaml
  predict   write predicted maps for a folder of pairs        mutualformer predict --config RUN/config.yaml
                                                                --data.predict_root FOLDER
  export    write weights and an ONNX graph for inference     mutualformer export RUN
  demo      try an exported network in a browser              mutualformer demo RUN/export
  data      list public data sets, check or pack those here   mutualformer data check FOLDER
  evaluate  score predictions on disk                         mutualformer evaluate --predictions DIR
                                                                --ground-truth DIR
  compare   say whether two runs or sets of maps differ       mutualformer compare RUN_A RUN_B
  cost      measure FLOPs, time and memory of networks        mutualformer cost RUN
  robustness
            score with one modality missing, noisy, shifted   mutualformer robustness RUN
  draw      affinities, convergence, predictions side by side
  sweep     run all trials of an ablation                     mutualformer sweep FILE
  trial     run one of them, as wandb agent does
  table     set runs beside published numbers                 mutualformer table experiments/tables/FILE

mutualformer <command> --help lists the options of a command. MUTUALFORMER_TRACEBACK=1 shows where an error was raised.
"""  # noqa: E501

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
OTHER_COMMANDS = (
    "export",
    "demo",
    "data",
    "evaluate",
    "compare",
    "cost",
    "robustness",
    "draw",
    "sweep",
    "trial",
    "table",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for the user's mistakes)."""
    forgive_outputs()
    code = _run(sys.argv[1:] if arguments is None else arguments)
    sys.stdout.flush()
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    command, options = arguments[0], arguments[1:]
    if command == "--version":
        print(f"mutualformer {metadata.version('mutualformer')}")
        return 0
    if command not in TRAINER_COMMANDS + OTHER_COMMANDS:
        print(
            f"error: the command is {command!r}, expected one of "
            f"{', '.join(TRAINER_COMMANDS + OTHER_COMMANDS)}: try mutualformer --help",
            file=sys.stderr,
        )
        return 2
    # The one place where a command's code is imported, so that none waits for another's libraries.
    with exit_on_error():
        if command in TRAINER_COMMANDS:
            if {"-h", "--help"} & {*options}:
                print(brief_help(command))
                return 0
            with ended_by_signals():
                return import_module("lightning_modules.cli.training").run(arguments)
        return import_module(f"lightning_modules.cli.{command}").run(options)


if __name__ == "__main__":
    sys.exit(main())
