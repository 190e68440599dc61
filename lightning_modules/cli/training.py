"""The training commands `fit`, `validate`, `test` and `predict`, through LightningCLI."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import set_loader
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from datamodules.batch import collate, to_floats
from datamodules.paired_modality_data_module import PairedModalityDataModule
from lightning_modules.base_module import BaseModule
from lightning_modules.callbacks import requeue_if_asked, was_stopped
from lightning_modules.callbacks.run_config_writer import RunConfigWriter
from lightning_modules.cli.beginning import check_beginning, mark_beginning
from lightning_modules.cli.brief_parser import BriefParser
from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
from lightning_modules.cli.run_parts import WITH_SETTINGS, callbacks_of_every_run
from lightning_modules.cli.settings_phase import (
    FirstStep,
    SettingsPhase,
    given_to_trainer,
    parts_of,
    refused_by_class,
)
from lightning_modules.cli.short_names import (
    configuration_files,
    expand_configuration,
    find_configurations,
    take_flags,
)
from lightning_modules.cli.sockets import OUR_NETWORK, check_classes
from lightning_modules.cli.trainer_settings import check_settings, check_trainer, loggers_for, plain
from lightning_modules.runs.checkpoints import (
    AtomicCheckpointIO,
    Resume,
    check_checkpoint,
    checkpoint_to_continue,
)
from lightning_modules.runs.place import check_place, folder_of_saved
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import DEFAULT_MODULE, flatten
from lightning_modules.runs.yaml_text import load_yaml, read_yaml_mapping
from lightning_modules.tracking import say_what_follows
from mutualformer.errors import UserError
from mutualformer.network import MutualFormerNetwork

DEFAULT_RUN_FOLDER = "runs/unnamed"


class MutualFormerCLI(LightningCLI):
    """Lightning's command line with one folder per run.

    The run folder is `trainer.default_root_dir`: configuration, checkpoints, logs, results and
    maps all land there.

    Args:
        arguments: the command and its options.
    """

    def __init__(self, arguments: list[str]) -> None:
        set_loader("yaml", _load_yaml, exceptions=(yaml.YAMLError,))
        self._first_step = FirstStep()
        self._refused: list[UserError] = []
        super().__init__(
            BaseModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=RunConfigWriter,
            seed_everything_default=0,
            trainer_defaults={"callbacks": callbacks_of_every_run(self._first_step)},
            auto_configure_optimizers=False,
            parser_class=BriefParser,
            parser_kwargs={"allow_abbrev": False},
            args=arguments,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Spell settings as the parser knows them, and name a file that cannot be read."""
        words, typed = take_flags(find_configurations(args))
        configurations: list[Any] = []
        for index, path in reversed(configuration_files(words)):
            content = read_yaml_mapping(path, "settings", "--config")
            try:
                configurations.insert(0, expand_configuration(content))
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
            if folder := folder_of_saved(path):
                words.insert(index, f"--trainer.default_root_dir={folder}")
        check_classes([*configurations, expand_configuration(typed)])
        try:
            layer = [f"--config={json.dumps(typed)}"] if typed else []
            with SettingsPhase("settings"):
                super().parse_arguments(parser, [*words, *layer])
        except UserError as error:
            flags = ", ".join(f"--{name}" for name in flatten(typed))
            raise UserError(f"{error} (given: {flags})" if flags else str(error)) from error
        plain(self.config)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the outputs of a run, each configurable under its own name."""
        # Settings without a class_path are of these classes.
        network = {"class_path": OUR_NETWORK}
        model = {"class_path": DEFAULT_MODULE, "init_args": {"network": network}}
        parser.set_defaults({"trainer.default_root_dir": DEFAULT_RUN_FOLDER, "model": model})
        for name, callback in WITH_SETTINGS.items():
            parser.add_lightning_class_args(callback, name)

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        """Add what only one command has."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "fit":
            parser.add_argument(
                "--test_after_fit",
                type=bool,
                default=False,
                help="Afterwards, score the best checkpoint on the test sets.",
            )
            parser.add_argument(
                "--resume",
                type=Resume,
                default="auto",
                help="auto: continue the run in the folder, if there is one; never: refuse to.",
            )
        return parser

    def _parse_ckpt_path(self) -> None:
        """Keep what the user typed: Lightning would let the checkpoint's settings win over it."""

    def _set_seed(self) -> None:
        """Refuse a seed that is none, and set it."""
        self.check_seed()
        super()._set_seed()

    def check_seed(self) -> None:
        """Raise ``ValueError`` for a seed outside the range of the libraries' generators."""
        seed = self._get(self.config, "seed_everything")
        if not 0 <= seed < 2**32:
            raise UserError(f"seed_everything is {seed}, expected an integer in [0, 2^32)")

    def before_instantiate_classes(self) -> None:
        """Check the run folder and the checkpoint before anything expensive is built."""
        config = self.config[self.config.subcommand]
        check_settings(vars(config.trainer), self.config.subcommand)
        if self.config.subcommand in ("validate", "predict"):
            config.trainer.logger = False  # these have nothing to keep
        run = RunFolder(config.trainer.default_root_dir)
        if config.ckpt_path:
            config.ckpt_path = str(run.named_checkpoint(str(config.ckpt_path)))
            if self.config.subcommand != "validate":  # which writes nothing
                check_place(run, Path(config.ckpt_path))
        elif self.config.subcommand == "fit":
            found = checkpoint_to_continue(run.path, self._resolved_config(), config.resume)
            config.ckpt_path = None if found is None else str(found)
        else:
            config.ckpt_path = str(run.find_checkpoint())
        self._checkpoint = None
        if config.ckpt_path:
            may_run_code = config.weights_only is False
            self._checkpoint = check_checkpoint(Path(config.ckpt_path), may_run_code)
        if self.config.subcommand == "test":
            config.verbose = False  # ResultsWriter prints the table

    def _resolved_config(self) -> dict[str, Any]:
        command = self.config.subcommand
        return load_yaml(self._parser(command).dump(self.config[command], skip_none=False))

    def before_fit(self) -> None:
        """Check checkpoint and data before the trainer creates anything in the run folder."""
        in_fit = self.subcommand == "fit"
        steps = 0 if in_fit or not self._checkpoint else self._checkpoint.get("global_step")
        say_what_follows(self.trainer, self._tests_after_fit, steps)
        if self._checkpoint is not None:
            # Lightning asks the model too late under FSDP, when it has loaded the weights.
            self.model.on_load_checkpoint(self._checkpoint)
        if in_fit:
            path, settings = self.config[self.subcommand].ckpt_path, self._resolved_config()
            ended = check_beginning(self.trainer, self.model, path, self._checkpoint, settings)
        self._checkpoint = None  # Lightning reads it anew: two at once may be much
        if isinstance(self.datamodule, PairedModalityDataModule):
            # The trainer, which knows the model later, does not know it yet.
            self.datamodule.modalities = self.model.modalities
        self.datamodule.setup(self.subcommand)
        self.model.prepare_for(self.datamodule)
        if in_fit and isinstance(self.datamodule, PairedModalityDataModule):
            with torch.random.fork_rng(devices=[]):
                batch = to_floats(collate([self.datamodule.train_dataset[0]]))
            with SettingsPhase("model.network", networks=True):
                self.model.check_batch(batch)
        if self._tests_after_fit:
            self.datamodule.setup("test")
            # Sharding changes a model for good: what is tested later has to be another one.
            sharded = isinstance(self.trainer.strategy, FSDPStrategy | ModelParallelStrategy)
            self._model_to_test = copy.deepcopy(self.model) if sharded else self.model
        if in_fit:
            mark_beginning(self.trainer, ended)

    before_validate = before_test = before_predict = before_fit

    def after_fit(self) -> None:
        """Test in the same process, so that the scores reach the same logger, if asked to."""
        if self._tests_after_fit:
            say_what_follows(self.trainer, False, self.trainer.global_step)
            self.trainer.test(
                self._model_to_test,
                datamodule=self.datamodule,
                ckpt_path=RunFolder(self.trainer.default_root_dir).find_checkpoint(),
                weights_only=True,
                verbose=False,  # ResultsWriter prints the table
            )

    @property
    def _tests_after_fit(self) -> bool:
        return bool(self.config[self.subcommand].get("test_after_fit"))

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; a Slurm job that a signal stopped is queued again, if it has to ask for that."""
        given = given_to_trainer(vars(self.config[subcommand].trainer))
        parts, is_over = lambda: parts_of(self.trainer), lambda: self._first_step.is_done
        try:
            with SettingsPhase("settings", given, parts, is_over):
                super()._run_subcommand(subcommand)
        except (SIGTERMException, RuntimeError) as error:
            if not was_stopped(self.trainer, error):
                raise
            requeue_if_asked(self.trainer)
            raise SIGTERMException from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer, with the loggers and the way of writing that every run has."""
        settings = vars(self.config_init[self.config.subcommand].trainer)
        loggers = loggers_for(settings, self.config.subcommand)
        plugins = settings["plugins"] or []
        plugins = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        with SettingsPhase("trainer", given_to_trainer(settings)):
            built = super().instantiate_trainer(**kwargs, logger=loggers or False, plugins=plugins)
        check_trainer(built, settings)
        return built

    def instantiate_classes(self) -> None:
        """Build what the settings name; tell of the first class that refused its arguments."""
        with SettingsPhase("settings"):
            try:
                super().instantiate_classes()
            except ValueError:
                if self._refused:
                    # The parser tries every type that a setting may have, and reports on them all.
                    raise self._refused[0]  # noqa: B904, which would be its own cause
                raise

    def _add_instantiators(self) -> None:
        """Name the class where one that is not ours refuses its arguments."""
        super()._add_instantiators()
        self.parser.add_instantiator(self._instantiate, object)

    def _weights_follow(self) -> bool:
        """Return whether all weights of the network will come from a checkpoint.

        Pretrained ones, which would be replaced, may be out of reach then.
        """
        return bool(self.config[self.config.subcommand].ckpt_path)

    def _instantiate(self, class_type: type, *arguments: Any, **options: Any) -> Any:
        if issubclass(class_type, Optimizer | LRScheduler):  # which the module builds, later
            return class_type(*arguments, **options)
        is_ours = issubclass(class_type, MutualFormerNetwork) and "encoder_weights" in options
        if is_ours and self._weights_follow():
            options["encoder_weights"] = None
        try:
            with refused_by_class(class_type):
                return class_type(*arguments, **options)
        except UserError as error:
            self._refused.append(error)
            raise


def _load_yaml(text: str) -> Any:
    return expand_configuration(load_yaml(text))


def run(arguments: list[str]) -> int:
    """Run one training command; returns its exit code."""
    silence_what_users_cannot_act_on()
    MutualFormerCLI(["--help" if word == "--help_all" else word for word in arguments])
    return 0
