"""Divide this machine among trials that run at once."""

import os
import subprocess
from collections.abc import Mapping

from mutualformer.errors import UserError


def divide_machine(num_slots: int, settings: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the environment variables of each slot: a GPU where there are any, and its cores.

    A single slot has the whole machine.

    Args:
        num_slots: how many trials run at once.
        settings: of the trials; those on ``trainer.accelerator = cpu`` need no GPU.

    Raises:
        UserError: there are GPUs, but fewer than slots.
    """
    if num_slots == 1:
        return [{}]
    environments: list[dict[str, str]] = [{} for _ in range(num_slots)]
    if "OMP_NUM_THREADS" not in os.environ:
        # Trainings that each use all cores wait for each other most of the time.
        num_threads = max(1, _num_cores() // num_slots)
        for environment in environments:
            environment["OMP_NUM_THREADS"] = str(num_threads)
    gpus = [] if settings.get("trainer.accelerator") == "cpu" else visible_gpus()
    if not gpus:
        return environments
    if len(gpus) < num_slots:
        raise UserError(
            f"--slots is {num_slots}, but {len(gpus)} GPU(s) can be seen ({', '.join(gpus)}) and "
            f"every slot needs one: use --slots {len(gpus)}, or --trainer.accelerator cpu in a "
            "--config"
        )
    for environment, gpu in zip(environments, gpus, strict=False):
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    return environments


def visible_gpus() -> list[str]:
    """Return the GPUs that a training would see, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu.strip() for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line for line in listing.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))]


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
