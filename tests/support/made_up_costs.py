"""A cost as one that was measured."""

from typing import Any

from lightning_modules.costs.cost_file import Cost


def made_up(**changes: Any) -> Cost:
    values: dict[str, Any] = {
        "parameters": 12_345_678,
        "trainable_parameters": 12_000_000,
        "forward_flops": 4_561_000_000,
        "forward_ms": 7.891,
        "forward_mib": 12.5,
        "step_flops": 13_700_000_000,
        "step_ms": 654.3,
        "step_mib": 3210.7,
        "batch_size": 16,
        "image_size": "128 × 128",
        "precision": "32-true",
        "device": "cpu (Some CPU)",
        "num_threads": 2,
        "torch": "2.14.1",
        "git": {"commit": "c0ffee1" * 5 + "c0ffe", "dirty": False},
    }
    return Cost(**values | changes)
