"""Break something in the process of a command, at a chosen moment; and compare what is left."""

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightning_modules.callbacks.learning_curves import read_curves
from lightning_modules.runs.results import read_results

Injection = Callable[[], None]


def call_at(
    owner: Any,
    name: str,
    number: int,
    action: Callable[..., object],
    counts: Callable[..., bool] = lambda *_: True,
) -> Injection:
    """Do something just before the n-th call of a function, of the calls that count."""

    def inject() -> None:
        original = getattr(owner, name)
        numbers = itertools.count(1)

        def broken(*arguments: Any, **options: Any) -> Any:
            if counts(*arguments) and next(numbers) == number:
                action(*arguments)
            return original(*arguments, **options)

        setattr(owner, name, broken)

    return inject


def signal_at(owner: Any, name: str, number: int, signum: int, **options: Any) -> Injection:
    """Let the process send itself a signal just before the n-th call of a function."""
    return call_at(owner, name, number, lambda *_: os.kill(os.getpid(), signum), **options)


def cut_and_kill_at(number: int) -> Injection:
    """Let the process be killed when it has written half of its n-th checkpoint."""
    save = torch.save

    def cut(checkpoint: Any, file: Any) -> None:
        save(checkpoint, file)
        file.flush()
        os.truncate(file.name, os.path.getsize(file.name) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    return call_at(torch, "save", number, cut)


def load(folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_run(actual: Path, expected: Path) -> None:
    """Check that two runs ended in the same weights, state, curves, choice and scores."""
    for name in ("last", "best"):
        resumed, whole = load(actual, name), load(expected, name)
        assert resumed["global_step"] == whole["global_step"]
        for part in ("state_dict", "optimizer_states", "lr_schedulers"):
            torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)
        choices = [x["callbacks"]["RunCheckpoint"]["best_model_score"] for x in (resumed, whole)]
        assert choices[0] == choices[1]
    assert read_curves(actual / "logs") == read_curves(expected / "logs")
    results = [read_results(folder / "results.json") for folder in (actual, expected)]
    assert results[0].scores == results[1].scores
    tables = [(folder / "per_image_scores.csv").read_bytes() for folder in (actual, expected)]
    assert tables[0] == tables[1]
    # What was killed while it wrote leaves nothing behind.
    assert {x.name for x in (actual / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
