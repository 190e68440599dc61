"""Find mistakes in the trials of a sweep before the first of them starts."""

from typing import Any

import yaml
from lightning.pytorch import Trainer

from lightning_modules.cli.errors import explain
from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
from lightning_modules.cli.training import MutualFormerCLI
from lightning_modules.sweep.sweep_file import Sweep, Trial
from mutualformer.errors import UserError, refused_setting


class _TrialChecker(MutualFormerCLI):
    """Parse arguments of ``fit``, build model and data, and neither trainer nor run folder.

    The trainer's devices are the node's that will run the trial: a cluster's login node has none.
    """

    def _set_seed(self) -> None:
        """Check it; leave that of this process, which trials would inherit, as it is."""
        self.check_seed()

    def before_instantiate_classes(self) -> None:
        """Look at no run folder: the trials have their own."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer | None:  # type: ignore[override]
        """Build none."""
        return None

    def _run_subcommand(self, subcommand: str) -> None:
        """Find the data, and let the optimiser check its options."""
        self.datamodule.setup("fit")
        self.datamodule.setup("test")
        with refused_setting("model.optimizer", ValueError):
            self.model.optimizer_factory(self.model.parameters())


def check_trials(sweep: Sweep, trials: list[Trial]) -> None:
    """Parse the arguments of every trial, and build its model and data as the training will.

    Trials that differ only in what neither of them sees, such as the seed, share what is built;
    of several seeds, each is looked at once.

    Args:
        sweep: the file, to name it.
        trials: its trials, or those of them that are still to be run.

    Raises:
        UserError: names the trial and the parameter, or what is wrong with the data.
    """
    silence_what_users_cannot_act_on()
    checker: _TrialChecker | None = None
    built: set[str] = set()
    checked: set[str] = set()
    for trial in trials:
        others = {name: x for name, x in trial.parameters.items() if name != "seed_everything"}
        parts = {repr(others), f"seed {trial.parameters.get('seed_everything')!r}"}
        if parts <= checked:
            continue
        checked |= parts
        arguments = ["fit", *(f"--config={path}" for path in trial.configs), *trial.arguments]
        try:
            if checker is None:
                checker = _TrialChecker(arguments)
                built.add(_what_is_built(checker))
                continue
            checker.parse_arguments(checker.parser, arguments)
            checker.check_seed()
            if (what := _what_is_built(checker)) not in built:
                checker.instantiate_classes()
                checker._run_subcommand("fit")
                built.add(what)
        except Exception as error:
            explanation = explain(error)
            if explanation is None:
                raise
            reason = explanation.message
            raise UserError(f"{sweep.path}: trial {trial.folder.name}: {reason}") from error


def _what_is_built(checker: _TrialChecker) -> str:
    config = yaml.safe_load(checker.parser.dump(checker.config, skip_none=False))
    not_built = ("seed_everything", "trainer")
    parts = {key: value for key, value in config["fit"].items() if key not in not_built}
    return yaml.safe_dump(parts)
