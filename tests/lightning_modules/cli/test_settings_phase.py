"""A library's refusal of settings is one line that names them; a defect keeps its traceback."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own_parts
import pytest
import timm
import torch
from break_at import call_at
from lightning.pytorch import Trainer

from lightning_modules import SaliencyModule
from lightning_modules.callbacks import LearningCurves
from lightning_modules.cli.errors import explain, text_of
from lightning_modules.cli.settings_phase import SettingsPhase, refused_by_class
from mutualformer.errors import UserError

CALLBACK = "--trainer.callbacks+=lightning.pytorch.callbacks"
PLUGIN = "--trainer.plugins=lightning.pytorch.plugins"
SLURM = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x", "SLURM_PROCID": "0"}
# What a user gave, and what the one line must say of it.
REFUSED = {
    "slurm": ([], ["trainer: ", "--ntasks-per-node"]),
    "too few batches": (["--trainer.val_check_interval=50"], ["trainer.val_check_interval is 50"]),
    "callback": ([f"{CALLBACK}.BackboneFinetuning"], ["BackboneFinetuning", "'backbone'"]),
    "no text": ([f"{CALLBACK}.BaseFinetuning"], ["(BaseFinetuning): NotImplementedError"]),
    "late": ([f"{CALLBACK}.EarlyStopping", "--trainer.callbacks.monitor=x"], ["(EarlyStopping)"]),
    "accelerator": (["--trainer.accelerator=tpu"], ["torch_xla"]),
    "profiler": (["--trainer.profiler=xla"], ["torch_xla"]),
    "union": ([f"{PLUGIN}.environments.LSFEnvironment"], ["LSFEnvironment", "LSB_DJOB_RANKFILE"]),
    "encoder": (
        ["--model.network.encoder_name=tu-vit_tiny_patch16_224"],
        ["tu-vit_tiny_patch16_224", "Unsupported model downsampling pattern"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_that_names_the_setting(
    case: str, forked: Callable[..., Any], small: list[str], tmp_path: Path
) -> None:
    options, words = REFUSED[case]
    environment = SLURM if case == "slurm" else {}
    arguments = ["fit", *small, f"--trainer.default_root_dir={tmp_path / 'run'}", *options]
    finished = forked(arguments, environment=environment).wait()
    assert finished.code == 2, finished.output
    assert "Traceback" not in finished.output
    (line,) = (x for x in finished.output.splitlines() if x.startswith("error: "))
    assert all(word in line for word in words), line


def read_nothing(*_arguments: object) -> None:
    json.loads("no JSON")  # raised in the standard library, for us


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (SaliencyModule, "configure_optimizers"),
        (LearningCurves, "on_train_batch_start"),
        (SaliencyModule, "training_step"),
    ],
)
def test_a_defect_keeps_its_traceback(
    owner: type, name: str, forked: Callable[..., Any], small: list[str], tmp_path: Path
) -> None:
    inject = call_at(owner, name, 1, read_nothing)
    arguments = ["fit", *small, f"--trainer.default_root_dir={tmp_path}", "--trainer.precision=64"]
    finished = forked(arguments, inject).wait()
    assert "JSONDecodeError" in finished.output and "Traceback" in finished.output
    assert "error: " not in finished.output


def test_what_a_library_raises_is_told_and_what_passes_through_others_is_not() -> None:
    with pytest.raises(UserError, match="^here: Expecting.*TRACEBACK=1"), SettingsPhase("here"):
        json.loads("x")
    given = {"max_time": "x", "devices": 1}
    with pytest.raises(UserError, match="^trainer.max_time is x: "), SettingsPhase("here", given):
        Trainer(max_time="x", logger=False)
    with pytest.raises(json.JSONDecodeError), SettingsPhase("here"):
        read_nothing()
    with pytest.raises(KeyError), SettingsPhase("here"):  # what the body itself does is ours
        {}["x"]
    with pytest.raises(UserError, match="^ours"), SettingsPhase("here"):
        raise UserError("ours")


def test_what_a_library_makes_of_our_exception_is_a_defect() -> None:
    def broken(_value: str) -> float:
        raise KeyError("a typing mistake")

    with pytest.raises(KeyError), SettingsPhase("here"):
        json.loads("1.0", parse_float=broken)
    trace = f'Traceback (most recent call last):\n  File "{own_parts.__file__}", line 3\n    f()'
    text = f"Caught KeyError in worker process 0.\n{trace}\nKeyError: 3"
    with pytest.raises(RuntimeError), SettingsPhase("here"):
        torch._utils.ExceptionWrapper((RuntimeError, RuntimeError(text), None)).reraise()


def test_after_the_first_step_it_is_a_defect() -> None:
    with pytest.raises(json.JSONDecodeError), SettingsPhase("here", is_over=lambda: True):
        json.loads("x")


def test_what_a_library_of_networks_refuses_is_a_setting_whoever_calls_it() -> None:
    def call() -> None:
        timm.layers.PatchEmbed(img_size=224)(torch.zeros(1, 3, 64, 64))

    with pytest.raises(UserError, match="^network: .*224"), SettingsPhase("network", networks=True):
        call()
    with pytest.raises(AssertionError), SettingsPhase("network"):
        call()


class Picky:
    """A class of the user's."""

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError(f"width is {width}")
        self.share = 1 / (width - 1)


def test_a_class_of_the_user_s_may_refuse_its_arguments_by_a_value_error() -> None:
    with pytest.raises(UserError, match="Picky: width is 0"), refused_by_class(Picky):
        Picky(0)
    with pytest.raises(ZeroDivisionError), refused_by_class(Picky):
        Picky(1)


def test_a_mistake_that_another_process_tells_of_is_told_in_its_words() -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py", line 3, in f\n    f()'
    text = f"\n\n-- Process 1 terminated:\n{trace}\nmutualformer.errors.UserError: seed is -1\n"
    assert explain(RuntimeError(text)) == ("seed is -1", 2)
    assert explain(RuntimeError(text.replace("UserError", "KeyError"))) is None
    assert text_of(RuntimeError(text)) == "mutualformer.errors.UserError: seed is -1"


def test_the_traceback_of_a_refusal_can_be_asked_for(
    forked: Callable[..., Any], small: list[str], tmp_path: Path
) -> None:
    arguments = ["fit", *small, f"--trainer.default_root_dir={tmp_path}", "--trainer.profiler=xla"]
    output = forked(arguments, environment={"MUTUALFORMER_TRACEBACK": "1"}).wait().output
    assert "Traceback" in output and f"profilers{os.sep}xla.py" in output
