"""Two machines, as network namespaces: what one process gives; and one of them is lost."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import Injection, call_at, load
from two_machines import TwoMachines, why_not

from lightning_modules import SaliencyModule
from lightning_modules.callbacks.learning_curves import read_curves

from .test_two_processes import SAME, curve, results, weights

HERE = Path(__file__).parents[1]
TINY = ["--config", str(HERE / "tiny.yaml"), *SAME]
EPOCHS = ("--trainer.max_epochs=2", "--test_after_fit=true")
LIMIT = 6


@pytest.fixture(scope="module")
def machines() -> Iterator[TwoMachines]:
    if reason := why_not():
        pytest.skip(reason)
    two = TwoMachines()
    yield two
    two.remove()


@pytest.fixture(scope="module")
def run(forked: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command in a folder; returns its exit code and output."""

    def start(command: str, folder: Path, *options: str, first: Injection, **more: Any) -> Any:
        def inject() -> None:
            sys.path.insert(0, str(HERE))
            first()

        arguments = [command, *TINY, f"--trainer.default_root_dir={folder}", *options]
        return forked(arguments, inject, **more).wait()

    return start


@pytest.fixture(scope="module")
def fit(machines: TwoMachines, run: Callable[..., Any]) -> Callable[..., list[tuple[Any, float]]]:
    """Run `fit` on both; returns exit codes and outputs, and when each has ended."""

    def on_both(
        folder: Path, *options: str, first: Injection = lambda: None
    ) -> list[tuple[Any, float]]:
        def on_one(rank: int) -> tuple[Any, float]:
            def enter_first() -> None:
                machines.enter(rank)
                if rank == 1:
                    first()

            words = ("--trainer.num_nodes=2", "--data.batch_size=2", *EPOCHS, *options)
            place = machines.place(rank)
            finished = run("fit", folder, *words, first=enter_first, environment=place)
            return finished, time.time()

        machines.plug_in()
        with ThreadPoolExecutor(2) as both:
            return list(both.map(on_one, (0, 1)))

    return on_both


@pytest.mark.slow
def test_two_machines_give_what_one_process_gives_and_one_that_is_lost_is_noticed(
    fit: Callable[..., Any], run: Callable[..., Any], machines: TwoMachines, tmp_path: Path
) -> None:
    one, two, lost = (tmp_path / name for name in ("one", "two", "lost"))
    assert run("fit", one, *EPOCHS, "--data.batch_size=4", first=lambda: None).code == 0
    for finished, _ in fit(two):
        assert finished.code == 0, finished.output
    assert curve(two) == pytest.approx(curve(one), rel=1e-4)
    together = results(two)
    assert run("test", two, first=lambda: None).code == 0
    alone = results(two)
    assert (alone.pop("world_size"), together.pop("world_size")) == (1, 2)
    assert together == alone and alone["num_images"] == {"synthetic": 5}

    cut_at = tmp_path / "cut_at"

    def cut(*_: object) -> None:
        machines.plug_out(1)
        cut_at.write_text(str(time.time()))

    # Who notices nothing would wait for half an hour; so it ends as if nothing had been.
    rescue = threading.Timer(90, machines.plug_in)
    rescue.start()
    ended = fit(
        lost,
        *(f"--peers.limit={LIMIT}", "--checkpoint.minutes=0.00001"),
        first=call_at(SaliencyModule, "training_step", 4, cut),
    )
    rescue.cancel()
    for rank, (finished, at) in enumerate(ended):
        assert finished.code == 1, finished.output
        assert finished.output.count("error: ") == 1
        assert "another process of this run has ended, and no further step" in finished.output
        assert f"process {1 - rank} has not answered for {LIMIT} s" in finished.output
        seconds = at - float(cut_at.read_text())
        print(f"process {rank} said so {seconds:.1f} s after the cut")
        assert LIMIT - 1 < seconds < 2.5 * LIMIT + 5
    assert load(lost)["global_step"] == 3  # in the second epoch

    for finished, _ in fit(lost):
        assert finished.code == 0, finished.output
    assert read_curves(lost / "logs") == read_curves(two / "logs")
    continued = weights(lost)
    for name, weight in weights(two).items():
        assert torch.equal(weight, continued[name])
    assert results(lost) | {"world_size": 1} == alone | {"world_size": 1}
