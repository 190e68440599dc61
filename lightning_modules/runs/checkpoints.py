"""Checkpoints of a run: written whole, checked before they are used, continued on request."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from datamodules.files import write_atomically
from lightning_modules.runs.completion import is_raised
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import flatten, settings_with_effect
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.runs.zip_checksums import describe_damage
from mutualformer import __version__
from mutualformer.errors import UserError
from mutualformer.network.pretrained import check_version, describe_mismatch, why_unreadable

Resume = Literal["auto", "never"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, then rename it: a kill meanwhile keeps the old one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the file, or leave an earlier one as it was.

        Raises:
            ValueError: the file cannot be written: no space, or no permission.
        """
        try:
            write_atomically(Path(path), lambda file: torch.save(checkpoint, file))
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError when a write fails
            raise UserError(
                f"{path} cannot be written: {_first_cause(error)}. An earlier checkpoint is as it "
                "was: make room, then run the same command again"
            ) from error


def _first_cause(error: BaseException) -> str:
    """Tell what was raised first: of a full disk, torch reports only an "unexpected pos"."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def check_checkpoint(path: Path, may_run_code: bool = False) -> dict[str, Any] | None:
    """Refuse what is no readable checkpoint, or one of a newer version.

    Args:
        path: a file, or the folder of a sharded checkpoint, which is not looked into: only the
            strategy that wrote it can read it.
        may_run_code: whether the user trusts a sharded checkpoint, which torch unpickles.

    Returns:
        The checkpoint; None if it is sharded.

    Raises:
        ValueError: see :func:`read_checkpoint`; or it is sharded, and not trusted.
    """
    if not path.exists():
        raise UserError(f"--ckpt_path is {path}, but there is no such file")
    if not (path / "meta.pt").is_file():  # which Lightning, too, knows a sharded one by
        return read_checkpoint(path)
    if not may_run_code:
        raise UserError(
            f"{path} is a sharded checkpoint, which can run code when it is read: if it is your "
            "own, or of somebody whose scripts you would run, give --weights_only=false"
        )
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything that it may hold.

    Raises:
        ValueError: it is none, cut, or of a newer version; names another one if there is.
    """
    checkpoint = read_tensors(path)
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise UserError(f"{path} is not a checkpoint of mutualformer fit")
    # A checkpoint that a script wrote, or 0.1.0 early on, has no provenance.
    if isinstance(checkpoint.get("provenance"), dict):
        check_version(f"checkpoint {path}", checkpoint["provenance"].get("version"), __version__)
    return checkpoint


def read_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote, of tensors and plain values only.

    Raises:
        ValueError: it is damaged, or holds anything else; names another checkpoint if there is.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, expected the file of a checkpoint")
    try:
        if damage := describe_damage(path):
            raise UserError(damage)
        # The file is not mapped into memory: that would not notice that a tensor is cut.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything for a damaged file
        run = RunFolder(path.parent.parent)
        last = path.name == run.last_checkpoint.name
        other = path.with_name((run.best_checkpoint if last else run.last_checkpoint).name)
        hint = f". Beside it lies {other}: try --ckpt_path {other}" if other.exists() else ""
        raise UserError(
            f"checkpoint {path} cannot be read: {why_unreadable(error)}{hint}"
        ) from error


def match_compiled(stored: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Name parameters as a module does, whether it or the one that was stored is compiled.

    `torch.compile` puts a network into another, whose name becomes part of all names.

    >>> match_compiled({"network._orig_mod.a": 0, "b": 1}, ["network.a", "b"])
    {'network.a': 0, 'b': 1}
    >>> match_compiled({"network.a": 0}, ["network._orig_mod.a"])
    {'network._orig_mod.a': 0}
    """
    spelled = {_uncompiled(name): name for name in names}
    return {spelled.get(_uncompiled(name), name): value for name, value in stored.items()}


def _uncompiled(name: str) -> str:
    return name.replace("_orig_mod.", "")


def check_architecture(
    checkpoint: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    hyper_parameters: Mapping[str, Any],
) -> None:
    """Refuse a checkpoint of another architecture than a module's.

    Args:
        checkpoint: what :func:`read_checkpoint` returned.
        state_dict: of the module.
        hyper_parameters: of the module.

    Raises:
        UserError: parameters are missing, unknown or of another shape; says which, and which
            settings of the network differ.
    """
    mismatch = describe_mismatch(checkpoint["state_dict"], state_dict)
    if not mismatch:
        return
    specs = [x.get("network") for x in (checkpoint.get("hyper_parameters", {}), hyper_parameters)]
    # Without the command line there is a module in place of its settings.
    there, here = (flatten(spec) if isinstance(spec, Mapping) else {} for spec in specs)
    differing = [
        f"{name} ({there[name]} there, {here[name]} here)"
        for name in here
        # What the encoders were initialised with is not their architecture.
        if name in there and name != "encoder_weights" and there[name] != here[name]
    ]
    settings = f". Settings that differ: {'; '.join(differing)}" if differing else ""
    raise UserError(
        f"the checkpoint is of another architecture: of its parameters, {mismatch}{settings}. "
        "Give the config.yaml that was saved beside the checkpoint"
    )


def checkpoint_to_continue(folder: Path, config: Mapping[str, Any], resume: Resume) -> Path | None:
    """Return the checkpoint that `fit` continues from in this folder, and say so.

    It may train longer than planned: a limit (`max_epochs`, `max_steps`, `max_time`) that is raised
    is no other setting.

    Args:
        folder: of the run.
        config: resolved configuration that `fit` was called with.
        resume: ``"auto"``: continue what is there; ``"never"``: refuse to.

    Returns:
        The last checkpoint, or else the best one; None for a new run.

    Raises:
        UserError: the folder holds a run, and ``resume`` is ``"never"``, or its settings differ in
            what can change a result.
    """
    run = RunFolder(folder)
    last = run.last_checkpoint
    if not any(run.checkpoints.glob("*.ckpt")):
        return None
    # Other processes are started while the first may already be writing.
    first_process = int(os.environ.get("LOCAL_RANK", 0)) == 0
    elsewhere = "choose another folder with --trainer.default_root_dir, or delete it"
    if resume == "never" and first_process:
        raise UserError(
            f"{folder} already holds a run, and --resume is never: {elsewhere}, or continue it "
            "with --resume auto"
        )
    if run.config.exists():
        there, here = (
            settings_with_effect(flatten(settings))
            for settings in (read_yaml_mapping(run.config, "the settings of a run"), config)
        )
        differing = [
            f"{name} ({there[name]} there, {here[name]} now)"
            for name in here
            if name in there
            and there[name] != here[name]
            and not is_raised(name, there[name], here[name])
        ]
        if differing:
            raise UserError(
                f"{folder} holds a run with other settings: {'; '.join(differing)}. To start a new "
                f"one, {elsewhere}; to continue it all the same, give --ckpt_path {last}"
            )
    found = last if last.exists() else run.best_checkpoint
    if first_process:
        print(f"Continuing the run in {folder} from {found.name}", file=sys.stderr)
    return found
