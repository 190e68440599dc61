"""The pages of `mutualformer fit|validate|test|predict --help`: the settings of a working day."""

from mutualformer.fusions import FUSIONS

_PURPOSES = {
    "fit": "Train, and keep the checkpoint that is best on held-out training data.",
    "validate": "Score a checkpoint on the held-out training data.",
    "test": "Score a checkpoint on the test sets, and write the scores beside it.",
    "predict": "Write a map per pair of a folder, or of --data.predict_rgb and predict_depth.",
}
_EXAMPLES = {
    "fit": "--config experiments/synthetic_cpu.yaml --model.network.fusion.epsilon 0.3",
    "validate": "--config runs/synthetic_cpu/config.yaml",
    "test": "--config runs/synthetic_cpu/config.yaml --data.test_sets [SIP,DES]",
    "predict": "--config runs/synthetic_cpu/config.yaml --data.predict_root FOLDER",
}
_OPTIONS = (
    ("--config FILE", "settings, or a name as synthetic_cpu; repeat for overlays, the last counts"),
    ("--seed_everything N", "seed of weights, order, augmentation and dropout"),
    ("--ckpt_path FILE", "a checkpoint, or best or last of the run; by default the run's"),
    ("--trainer.default_root_dir FOLDER", "the folder of the run"),
    ("--trainer.accelerator NAME", "cpu, gpu or auto"),
    ("--trainer.devices N", "processes, one per GPU"),
    ("--trainer.precision NAME", "32-true or bf16-mixed"),
    ("--model.network.fusion.name NAME", ", ".join(FUSIONS)),
    ("--model.network.fusion.epsilon X", "strength of the diffusion, in [0, 1)"),
    ("--model.network.fusion.num_iterations T", "its steps: a number or inf"),
    ("--model.network.fusion.initial_affinity NAME", "identity, average or cross"),
    ("--data CLASS_PATH", "another data module"),
    ("--data.num_workers N", "processes that load data"),
)
_OPTIONS_OF_FIT = (
    ("--trainer.max_epochs N", "how long to train"),
    ("--model.optimizer.lr X", "learning rate, where the YAML names an optimiser"),
    ("--model.init_from WEIGHTS", "begin with those of a run, a checkpoint or an export"),
    ("--data.batch_size N", "samples per step and process"),
    ("--resume auto|never", "continue the run in the folder (auto), or refuse to"),
    ("--test_after_fit true", "test the best checkpoint afterwards"),
)


def brief_help(command: str) -> str:
    """Return the page of a training command.

    >>> print(brief_help("validate").splitlines()[0])
    usage: mutualformer validate --config FILE [--SETTING VALUE ...]
    """
    options = _OPTIONS + (_OPTIONS_OF_FIT if command == "fit" else ())
    width = max(len(option) for option, _ in options) + 2
    return "\n".join(
        [
            f"usage: mutualformer {command} --config FILE [--SETTING VALUE ...]",
            "",
            _PURPOSES[command],
            "",
            f"  mutualformer {command} {_EXAMPLES[command]}",
            "",
            "Every setting of a YAML file is an option under its dotted name. Those of every day:",
            "",
            *(f"  {option:<{width}}{meaning}" for option, meaning in options),
            "",
            "--print_config lists all settings with their values, --help_all what they mean,",
            "--data.help CLASS_PATH and --model.network.help CLASS_PATH those of a class.",
        ]
    )
