"""Tracking of runs in Weights & Biases, for those who ask for it.

The ``send_*`` functions do nothing in a run that is not tracked. They are for the first process.
"""

from lightning_modules.tracking.wandb_run_logger import (
    WandbRunLogger,
    say_what_follows,
    send_configuration,
    send_file,
    send_picture,
    send_table,
)

__all__ = [
    "WandbRunLogger",
    "say_what_follows",
    "send_configuration",
    "send_file",
    "send_picture",
    "send_table",
]
