"""Warnings of libraries about what is as it should be."""

import logging
import os
import warnings


def silence_what_users_cannot_act_on() -> None:
    """Hide the warnings of libraries about what is as it should be."""
    # Scores are already reduced over processes when they are logged.
    warnings.filterwarnings("ignore", message=r".*recommended to use `self.log.*sync_dist=True")
    # How many cores to load data with is the user's decision, and 0 is right for small scenes.
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
    # The entry point hands over the very arguments of the process.
    warnings.filterwarnings("ignore", message=r"LightningCLI's args parameter is intended")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated")
    # The data module resumes exactly, in a way that Lightning does not know.
    warnings.filterwarnings("ignore", message=r".*your dataloader is not resumable")
    # A run without validation is the user's choice.
    warnings.filterwarnings("ignore", message=r"Total length of `list` across ranks is zero")
    # A module is told of its network once more, which only whoever saves it without would miss.
    warnings.filterwarnings("ignore", message=r"Attribute 'network' is an instance of `nn.Module`")
    # Continuing a run in its own folder is what --ckpt_path last.ckpt is for.
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
    if "SLURM_JOB_ID" not in os.environ:
        # On a cluster's login node, and on any machine that has Slurm, nothing is wrong without it.
        warnings.filterwarnings("ignore", message=r"The `srun` command is available")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
