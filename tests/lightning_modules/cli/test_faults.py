"""Whatever fails around a training, one message says what to do, and what was computed is kept."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import Injection, assert_same_run, call_at, load
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from lightning_modules import SaliencyModule
from lightning_modules.callbacks import ResultsWriter
from lightning_modules.runs.checkpoints import AtomicCheckpointIO

Run = Callable[..., Any]


@pytest.fixture
def data(pairs: Path, tmp_path: Path) -> Path:
    """A copy of the data, to be damaged."""
    return Path(shutil.copytree(pairs, tmp_path / "data"))


@pytest.fixture(scope="module")
def fit(forked: Callable, augmented: list[str]) -> Run:
    """Run `fit` on three batches in each of three epochs; returns its exit code and output."""

    def run(folder: Path, *options: str, inject: Injection | None = None) -> Any:
        arguments = ["fit", *augmented, f"--trainer.default_root_dir={folder}", *options]
        return forked(arguments, inject).wait()

    return run


@pytest.fixture(scope="module")
def whole(fit: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in which nothing failed."""
    folder = tmp_path_factory.mktemp("whole")
    assert fit(folder).code == 0
    return folder


def message(finished: Any, code: int) -> str:
    """Return the one message of a command that failed."""
    assert finished.code == code, finished.output
    assert "Traceback" not in finished.output
    (line,) = (x for x in finished.output.splitlines() if x.startswith("error: "))
    return line


def fill_disk(size: int) -> Callable[..., None]:
    """Let files grow to so many bytes only; writing more fails, as on a full disk."""

    def limit(*_arguments: object) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    return limit


FULL = fill_disk(100)
ROWS = call_at(ExperimentWriter, "save", 6, FULL, counts=lambda writer: bool(writer.metrics))
# What cannot be written, in which words, and the steps that are kept.
FULL_DISK = {
    "checkpoint": (call_at(AtomicCheckpointIO, "save_checkpoint", 4, FULL), "last.ckpt cannot", 6),
    "metrics.csv": (ROWS, "a file of the run: File too large", 3),
    "results.json": (call_at(ResultsWriter, "on_test_end", 1, FULL), "results.json: File too", 9),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FULL_DISK)
def test_a_full_disk(fit: Run, whole: Path, tmp_path: Path, what: str) -> None:
    inject, words, num_steps = FULL_DISK[what]
    finished = fit(tmp_path, inject=inject)
    text = message(finished, 2)
    assert words in text and "ake room" in text and "same command" in text
    assert load(tmp_path)["global_step"] == num_steps
    if what == "results.json":  # they can be read, at least
        assert "│ OTHERS" in finished.output
    assert fit(tmp_path).code == 0
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_a_picture_is_not_worth_a_run(fit: Run, whole: Path, tmp_path: Path) -> None:
    def inject() -> None:
        replace = os.replace

        def replace_unless_picture(source: Any, target: Any) -> None:
            if Path(target).suffix == ".png":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target)

        os.replace = replace_unless_picture

    finished = fit(tmp_path, inject=inject)
    assert finished.code == 0, finished.output
    for name in ("contact_sheet_train", "learning_curves", "contact_sheet_test"):
        assert f"{name}.png cannot be written: No space left" in finished.output
        assert not (tmp_path / f"{name}.png").exists()
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_a_folder_that_cannot_be_written(fit: Run, tmp_path: Path, error: int) -> None:
    folder = tmp_path / "run"
    inject = None
    if error == errno.ENOTDIR:
        (tmp_path / "file").touch()
        folder = tmp_path / "file" / "run"
    else:  # to an administrator, as a test may be run by, every folder is writable

        def refuse(path: Any, *_arguments: object, **_options: object) -> None:
            raise OSError(error, os.strerror(error), str(path))

        inject = call_at(os, "mkdir", 1, refuse, counts=lambda path, *_: "run" in Path(path).parts)
    text = message(fit(folder, inject=inject), 2)
    assert str(folder) in text and "--trainer.default_root_dir" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "held_out"), [(0, False), (0, True), (2, False)])
def test_a_file_that_disappears(
    fit: Run, whole: Path, data: Path, tmp_path: Path, workers: int, held_out: bool
) -> None:
    name = "validation_step" if held_out else "training_step"
    files = sorted((data / "PAIRS" / "depth").iterdir())
    hidden = data / "hidden"

    def hide(*_arguments: object) -> None:
        (data / "PAIRS" / "depth").rename(hidden)

    options = [f"--data.root={data}", f"--data.num_workers={workers}"]
    finished = fit(tmp_path / "run", *options, inject=call_at(SaliencyModule, name, 1, hide))
    text = message(finished, 2)
    assert any(str(file) in text for file in files)
    assert "No such file or directory" in text and "replace the file" in text
    if workers == 0:  # which have read ahead
        assert load(tmp_path / "run")["global_step"] == (3 if held_out else 1)
    hidden.rename(data / "PAIRS" / "depth")
    assert fit(tmp_path / "run", *options).code == 0
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_worker_that_is_killed(fit: Run, whole: Path, tmp_path: Path) -> None:
    def kill_worker(*_arguments: object) -> None:
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    inject = call_at(SaliencyModule, "training_step", 5, kill_worker)
    text = message(fit(tmp_path, "--data.num_workers=2", inject=inject), 1)
    for words in ("DataLoader worker", "memory", "--data.num_workers", "The same command"):
        assert words in text
    assert load(tmp_path)["global_step"] >= 3  # how soon torch notices is a matter of chance
    assert fit(tmp_path, "--data.num_workers=2").code == 0
    assert_same_run(tmp_path, whole)


def too_much(*_arguments: object) -> None:
    torch.empty(2**50)


def too_much_for_python(*_arguments: object) -> None:
    bytearray(2**60)


def too_much_for_a_gpu(*_arguments: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")


@pytest.mark.parametrize("allocate", [too_much, too_much_for_python, too_much_for_a_gpu])
def test_out_of_memory(fit: Run, tmp_path: Path, allocate: Callable[..., None]) -> None:
    inject = call_at(SaliencyModule, "training_step", 5, allocate)
    text = message(fit(tmp_path, inject=inject), 2)
    assert "out of memory" in text
    for setting in (
        *("--data.batch_size", "--trainer.accumulate_grad_batches", "--data.image_size"),
        *("--model.network.fusion_strides", "--trainer.precision=bf16-mixed"),
        *("--data.eval_batch_size", "--ckpt_path"),
    ):
        assert setting in text
    assert load(tmp_path)["global_step"] == 3


@pytest.mark.slow
def test_a_loss_that_is_no_number(fit: Run, whole: Path, tmp_path: Path) -> None:
    def spoil(module: SaliencyModule, batch: dict[str, Any], _number: int) -> None:
        batch["rgb"].fill_(float("nan"))

    inject = call_at(SaliencyModule, "training_step", 5, spoil)
    text = message(fit(tmp_path, inject=inject), 2)
    batch = torch.load(tmp_path / "non_finite_batch.pt", weights_only=True)
    assert all(f"{x}/{y}" in text for x, y in zip(batch["dataset"], batch["name"], strict=True))
    assert "--model.non_finite_loss=skip" in text and "the same command continues" in text
    assert load(tmp_path)["global_step"] == 3
    assert fit(tmp_path).code == 0
    assert_same_run(tmp_path, whole)


def test_a_defect_is_not_taken_for_a_fault(fit: Run, tmp_path: Path) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    finished = fit(tmp_path, inject=call_at(SaliencyModule, "training_step", 1, fail))
    assert "Traceback" in finished.output
    assert not any(line.startswith("error: ") for line in finished.output.splitlines())


def test_a_checkpoint_cut_while_it_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"weight": torch.ones(3)}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill_disk(2**16)()
    try:
        with pytest.raises(ValueError, match="File too large. .*as it was: make room"):
            writer.save_checkpoint({"weight": torch.zeros(2**16)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.load(path)["weight"].tolist() == [1, 1, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]
