"""A run is where its folder lies now, whatever its saved configuration says of it."""

from pathlib import Path

from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError


def folder_of_saved(config: Path) -> Path | None:
    """Return the folder of the run whose saved configuration a file is; None for other files.

    The folder may have been renamed since, or the current directory may be another.
    """
    run = RunFolder(config.parent)
    is_saved = config.name == run.config.name and (run.checkpoints.is_dir() or run.logs.is_dir())
    return run.path if is_saved else None


def check_place(run: RunFolder, checkpoint: Path) -> None:
    """Refuse to write what a run's checkpoint gives into the folder of another run.

    Args:
        run: folder that is written to.
        checkpoint: that is continued or tested.

    Raises:
        UserError: the checkpoint lies in another run's folder, and this one holds a run too.
    """
    if checkpoint.parent.name != run.checkpoints.name:
        return  # of no run's folder
    owner = checkpoint.parent.parent.resolve()
    holds_a_run = run.config.exists() or run.checkpoints.exists()
    if holds_a_run and owner != run.path.resolve():
        raise UserError(
            f"ckpt_path is {checkpoint}, of another run than the one in {run.path}, whose files "
            "would be replaced: give a new folder with --trainer.default_root_dir, or the "
            f"checkpoint's own, {checkpoint.parent.parent}"
        )
