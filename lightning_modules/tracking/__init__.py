"""Tracking of runs in Weights & Biases, which is imported only when a run asks for it."""

from lightning_modules.tracking.wandb_run_logger import WandbRunLogger, send_picture

__all__ = ["WandbRunLogger", "send_picture"]
