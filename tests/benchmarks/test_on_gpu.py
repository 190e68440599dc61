"""`benchmarks/on_gpu.py`: all of it at reduced sizes on a CPU, and steps that end badly."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import Any

import gpu_steps_of_tests as made
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(ForkServerContext, "set_forkserver_preload", lambda *_: None)
    handler = signal.getsignal(signal.SIGTERM)
    import on_gpu

    yield on_gpu
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def run(
    on_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run steps by the names of their functions; returns what is on disk."""

    def run(code: int, *names: str, minutes: float = 5) -> dict[str, Any]:
        functions = [made.counted, *(getattr(made, name) for name in names)]
        titles = ["The device", *names]
        steps = [
            on_gpu.Step(title, function, 0.005 if title == "hanging" else 1)  # × 10 on a CPU
            for title, function in zip(titles, functions, strict=True)
        ]
        monkeypatch.setattr(on_gpu, "STEPS", steps)
        options = ["--device", "cpu", "--minutes", str(minutes), "--output", str(tmp_path)]
        assert on_gpu.main(options) == code
        files = {name: tmp_path / f"{name}.json" for name in names}
        return {name: json.loads(file.read_text()) for name, file in files.items()}

    return run


@pytest.mark.slow
def test_everything_at_reduced_sizes(on_gpu: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "on_gpu.py", "--device", "cpu", "--output", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = (tmp_path / "report.md").read_text()
    assert ended.stdout.endswith(report)
    assert "Not run" not in report
    for step in on_gpu.STEPS:
        record = json.loads((tmp_path / f"{on_gpu.slug(step)}.json").read_text())
        assert record["status"] == "done" and record["rows"], step.title
        assert f"### {step.title}\n" in report
    assert "| matrix_free T=1 |" in report and "s_measure" in report


def test_what_a_step_ended_with_is_told_and_the_next_runs(run: Any, tmp_path: Path) -> None:
    records = run(1, "half", "lacking", "wrong", "dying", "counted")
    found = {name: (record["status"], record["reason"]) for name, record in records.items()}
    assert found == {
        "half": ("failed", "1 failed"),
        "lacking": ("not run", "the package made_up is missing"),
        "wrong": ("failed", "RuntimeError: CUDA error: an illegal memory access"),
        "dying": ("failed", "its process ended with -6: see dying.log"),
        "counted": ("done", ""),
    }
    report = (tmp_path / "report.md").read_text()
    assert "### counted\n\n| what | ms |\n| --- | --- |\n| a \\| b | 1.5 |" in report
    assert "| flex | OutOfResources |" in report  # what a failed step has found is there, too
    assert "| lacking | not run: the package made_up is missing |" in report
    assert "Traceback" in (tmp_path / "wrong.log").read_text()


def test_a_step_that_hangs_ends_with_all_that_it_started(run: Any, tmp_path: Path) -> None:
    record = run(1, "hanging")["hanging"]
    assert (record["status"], record["reason"]) == ("failed", "stopped after 3 s")
    child = int((tmp_path / "child.txt").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_what_is_done_is_kept_until_the_code_changes(
    run: Any, on_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def times() -> int:
        return len((tmp_path / "runs.txt").read_text())

    run(0, "counted")
    assert times() == 2  # the device and the step
    first = run(0, "counted")
    assert times() == 3  # the device is asked each time
    (tmp_path / "counted.json").write_text('{"status": "do')
    assert run(0, "counted")["counted"]["rows"] == first["counted"]["rows"]
    assert times() == 5
    monkeypatch.setattr(on_gpu, "fingerprint", lambda: "other code")
    run(0, "counted")
    assert times() == 7


def test_what_there_is_no_time_for_is_named(run: Any, tmp_path: Path) -> None:
    run(2, minutes=0)
    assert "| The device | not run: no time was left |" in (tmp_path / "report.md").read_text()


def test_without_a_gpu_it_says_so(
    on_gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert on_gpu.main(["--output", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert "Device and versions: failed" in output.out
    assert "without a device nothing else runs" in output.err
