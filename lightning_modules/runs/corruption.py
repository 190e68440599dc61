"""Scores of corrupted images say so, and never take the place of those of clean ones."""

import json
from typing import Any

from lightning.pytorch import Trainer
from torch import nn

from datamodules.augmentation.corruption import Corruption
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import flatten
from lightning_modules.runs.yaml_text import read_yaml_mapping
from mutualformer.errors import UserError


def corruption_of(trainer: Trainer) -> str | None:
    """Return what the images of `test` and `predict` are corrupted by; None if they are not."""
    corruption = getattr(getattr(trainer, "datamodule", None), "corruption", None)
    return str(corruption) if isinstance(corruption, Corruption) else None


def remarks_of(network: nn.Module, corruption: str | None) -> list[str]:
    """Return what a table is to say of scores: what the network says, and of the test images."""
    remarks = [*getattr(network, "remarks", ())]
    return [*remarks, f"scores of corrupted test images: {corruption}"] if corruption else remarks


def check_results(run: RunFolder, corruption: str | None) -> None:
    """Refuse a test that would replace the results of a run by those of other images.

    Args:
        run: whose results they would be.
        corruption: of the test.

    Raises:
        UserError: the run's results, or its own settings if it has none yet, are of another
            corruption.
    """
    if run.results.is_file():
        what, recorded = run.results, _in_results(run)
    elif run.config.is_file():
        settings = flatten(read_yaml_mapping(run.config, "the settings of a run"))
        what, recorded = run.config, settings.get("data.corruption")
    else:
        return
    there = _one_spelling(recorded)
    if there != corruption:
        raise UserError(
            f"corruption is {corruption or 'none'}, and {what} is of "
            f"{f'images with {there}' if there else 'clean images'}, expected results of one kind "
            "in a folder: give a new one with --trainer.default_root_dir, and the checkpoint with "
            "--ckpt_path; mutualformer robustness RUN tests many kinds at once"
        )


def _in_results(run: RunFolder) -> Any:
    try:
        content = json.loads(run.results.read_bytes())
        return content.get("corruption") if isinstance(content, dict) else None
    except (OSError, ValueError, RecursionError):
        return None  # damaged: the test is to write it anew


def _one_spelling(recorded: Any) -> str | None:
    try:
        return str(Corruption.parse(recorded))
    except UserError:  # none, or what a data module of the user's means by this name
        return None
