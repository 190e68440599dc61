"""Every flag of Lightning's Trainer and every callback of its own: it works, or is refused by name.

A value that is refused says so before training; what works makes its steps.
"""

import inspect
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks
import pytest
from lightning.pytorch import Trainer

from lightning_modules.cli.trainer_settings import check_settings
from mutualformer.errors import UserError

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Trainer.__init__).parameters.items()
    if name != "self"
}
# Flags whose values are tried one by one elsewhere, and where.
ELSEWHERE = {
    "default_root_dir": "every test of the command",
    "overfit_batches": "test_overfit_batches.py",
    "num_nodes": "test_two_processes.py",
}
# By flag: values that train, tried together where they do not exclude each other; values that are
# refused, each in one line that has these words.
WORKING: list[dict[str, str]] = [
    {
        "accelerator": "cpu",
        "strategy": "single_device",
        "devices": "1",
        "precision": "64-true",
        "max_steps": "2",
        "min_steps": "1",
        "min_epochs": "1",
        "max_time": "00:01:00:00",
        "limit_train_batches": "1.0",
        "limit_val_batches": "1",
        "limit_test_batches": "2",
        "limit_predict_batches": "1",
        "val_check_interval": "1",
        "check_val_every_n_epoch": "1",
        "num_sanity_val_steps": "2",
        "log_every_n_steps": "0",
        "enable_progress_bar": "true",
        "enable_model_summary": "true",
        "enable_checkpointing": "true",
        "accumulate_grad_batches": "2",
        "gradient_clip_val": "0.5",
        "gradient_clip_algorithm": "value",
        "deterministic": "true",
        "benchmark": "false",
        "inference_mode": "false",
        "use_distributed_sampler": "false",
        "profiler": "simple",
        "detect_anomaly": "true",
        "reload_dataloaders_every_n_epochs": "1",
        "enable_autolog_hparams": "false",
        "sync_batchnorm": "true",
        "plugins": "lightning.pytorch.plugins.environments.LightningEnvironment",
        "logger": "true",
        "callbacks": "[]",
    },
    {
        "accelerator": "auto",
        "strategy": "auto",
        "devices": "auto",
        "precision": "bf16-mixed",
        "max_epochs": "-1",
        "max_steps": "1",
        "limit_train_batches": "1",
        "num_sanity_val_steps": "-1",
        "val_check_interval": "0.5",
        "gradient_clip_val": "0.5",
        "gradient_clip_algorithm": "norm",
        "deterministic": "warn",
        "benchmark": "true",
        "logger": "false",
        "profiler": "advanced",
    },
    {"precision": "16-mixed", "fast_dev_run": "1", "deterministic": "false"},
    {"precision": "32-true", "val_check_interval": "00:00:00:01", "max_time": "00:00:00:02"},
]
REFUSED: dict[str, dict[str, str]] = {
    "accelerator": {"cuda": "CUDA", "mps": "MPS", "tpu": "torch_xla", "hpu": "accelerator is hpu"},
    "strategy": {
        "fsdp": "requires a GPU",
        "deepspeed": "pip install",
        "xla": "torch_xla",
        "nonsense": "strategy is nonsense",
    },
    "devices": {"0": "devices is 0", "-1": "devices is -1", "[3]": "devices"},
    "precision": {
        "transformer-engine": "transformer_engine",
        "16-true": "precision is 16-true",
        "bf16-true": "precision is bf16-true",
        "half": "trainer.precision",
    },
    "logger": {
        "lightning.pytorch.loggers.MLFlowLogger": "mlflow",
        "lightning.pytorch.loggers.CometLogger": "comet-ml",
        "lightning.pytorch.loggers.NeptuneLogger": "NeptuneLogger",
        "{class_path: TensorBoardLogger, init_args: {save_dir: x}}": "tensorboard",
    },
    "plugins": {
        "{class_path: BitsandbytesPrecision, init_args: {mode: nf4}}": "bitsandbytes",
        "lightning.pytorch.plugins.environments.MPIEnvironment": "mpi4py",
        "lightning.pytorch.plugins.io.TorchCheckpointIO": "CheckpointIO",
    },
    "profiler": {"xla": "torch_xla", "nonsense": "profiler"},
    "max_time": {"soon": "max_time is soon"},
    "fast_dev_run": {"-1": "fast_dev_run is -1"},
    "gradient_clip_algorithm": {"nonsense": "gradient_clip_algorithm"},
    "limit_train_batches": {"0.1": "limit_train_batches", "1.5": "limit_train_batches"},
    "val_check_interval": {"50": "val_check_interval is 50", "never": "val_check_interval"},
    "reload_dataloaders_every_n_epochs": {"-1": "reload_dataloaders_every_n_epochs is -1"},
    "max_epochs": {"-2": "max_epochs is -2"},
    "max_steps": {"-2": "max_steps is -2"},
    "num_nodes": {"2": "nothing says where the other machines are"},
}
# What Lightning would take without a word.
IMPOSSIBLE: list[dict[str, Any]] = [
    {"accumulate_grad_batches": 0},
    {"accumulate_grad_batches": -1},
    {"check_val_every_n_epoch": 0},
    {"val_check_interval": 0},
    {"gradient_clip_val": -1},
    {"gradient_clip_algorithm": "norm"},
    {"log_every_n_steps": -1},
    {"limit_train_batches": 0},
    {"max_epochs": 0},
    {"max_steps": 0},
    {"min_epochs": 2, "max_epochs": 1},
    {"min_steps": 2, "max_steps": 1},
    {"barebones": True},
    {"enable_checkpointing": False},
    {"model_registry": "x"},
]
# By callback: what it needs, and what is said if it is refused.
CALLBACKS: dict[str, tuple[str, str | None]] = {
    "BackboneFinetuning": ("", "'backbone'"),
    "BaseFinetuning": ("", "NotImplementedError"),
    "BasePredictionWriter": ("", None),
    "BatchSizeFinder": ("", "--data.batch_size"),
    "Callback": ("", None),
    "Checkpoint": ("", None),
    "DeviceStatsMonitor": ("cpu_stats: true", None if find_spec("psutil") else "psutil"),
    "EMAWeightAveraging": ("", None),
    "EarlyStopping": ("monitor: train/loss", None),
    "GradientAccumulationScheduler": ("scheduling: {0: 2}", None),
    "LambdaCallback": ("", None),
    "LearningRateFinder": ("", "--model.optimizer.lr"),
    "LearningRateMonitor": ("", None),
    "ModelCheckpoint": ("", None),
    "ModelPruning": ("pruning_fn: l1_unstructured", "pruned"),
    "ModelSummary": ("", None),
    "OnExceptionCheckpoint": ("dirpath: x", None),
    "ProgressBar": ("", None),
    "RichModelSummary": ("", None),
    "RichProgressBar": ("", None),
    "SpikeDetection": ("", None),
    "StochasticWeightAveraging": ("swa_lrs: 0.1", "WeightAveraging"),
    "TQDMProgressBar": ("", None),
    "ThroughputMonitor": ("batch_size_fn: builtins.len", None),
    "Timer": ("duration: '00:01:00:00'", None),
    "WeightAveraging": ("", None),
}
# They show a bar each, of which there can be one.
BARS = {"ProgressBar", "RichProgressBar", "TQDMProgressBar"}


@pytest.fixture
def fit(forked: Callable[..., Any], small: list[str], tmp_path: Path) -> Callable[..., Any]:
    def run(*options: str) -> Any:
        folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
        return forked(["fit", *small, folder, *options]).wait()

    return run


def assert_refused(finished: Any, words: str) -> None:
    assert finished.code == 2, finished.output
    assert "Traceback" not in finished.output
    (line,) = (x for x in finished.output.splitlines() if x.startswith("error: "))
    assert words in line


def test_no_flag_and_no_callback_is_left_out() -> None:
    tried = {name for together in WORKING + IMPOSSIBLE for name in together}
    assert {*DEFAULTS} == tried | {*REFUSED} | {*ELSEWHERE}
    assert sorted(lightning.pytorch.callbacks.__all__) == sorted(CALLBACKS)


@pytest.mark.parametrize("number", range(len(WORKING)))
def test_a_flag_s_values_train(number: int, fit: Callable[..., Any], tmp_path: Path) -> None:
    finished = fit(*(f"--trainer.{name}={value}" for name, value in WORKING[number].items()))
    assert finished.code == 0, finished.output
    if "fast_dev_run" not in WORKING[number]:
        assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [(flag, value, words) for flag, values in REFUSED.items() for value, words in values.items()],
)
def test_a_flag_s_value_is_refused(
    flag: str, value: str, words: str, fit: Callable[..., Any], tmp_path: Path
) -> None:
    assert_refused(fit(f"--trainer.{flag}={value}"), words)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("settings", IMPOSSIBLE)
def test_what_lightning_would_ignore_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{next(iter(settings))} is "):
        check_settings(DEFAULTS | settings, "fit")


def test_what_is_off_by_default_is_not_refused() -> None:
    check_settings(DEFAULTS, "fit")
    check_settings(DEFAULTS | {"max_epochs": 0, "limit_train_batches": 0}, "test")


@pytest.mark.parametrize("bar", sorted(BARS))
def test_callbacks_train_together(bar: str, fit: Callable[..., Any], tmp_path: Path) -> None:
    those = [x for x, (_, words) in CALLBACKS.items() if words is None and x not in BARS - {bar}]
    if bar != "RichProgressBar":
        those = [bar]
    specs = ", ".join(f"{{class_path: {x}, init_args: {{{CALLBACKS[x][0]}}}}}" for x in those)
    finished = fit(f"--trainer.callbacks=[{specs}]", "--trainer.enable_progress_bar=true")
    assert finished.code == 0, finished.output
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", [x for x, (_, words) in CALLBACKS.items() if words])
def test_a_callback_is_refused(name: str, fit: Callable[..., Any]) -> None:
    options, words = CALLBACKS[name]
    finished = fit(f"--trainer.callbacks=[{{class_path: {name}, init_args: {{{options}}}}}]")
    assert_refused(finished, str(words))
    assert name in finished.output


def test_batch_normalisation_between_cpus_is_refused(fit: Callable[..., Any]) -> None:
    options = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.sync_batchnorm=true"]
    assert_refused(fit(*options), "trainer.sync_batchnorm is true, expected false on CPUs")
