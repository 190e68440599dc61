"""Sweeps as a user starts, kills and repeats them; the trainings are stand-ins."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_modules.sweep.trial_lock import lock_holder

from .conftest import EPSILON, TINY, Mutualformer, read_events, wait_until

WriteSweep = Callable[..., Path]
NAMES = ["epsilon=0", "epsilon=0.3", "epsilon=0.6"]


def started(runs: Path) -> list[str]:
    return [trial for event, trial in read_events(runs) if event in ("start", "continue")]


def test_runs_every_trial_and_shows_their_scores(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep()
    code, output = mutualformer("sweep", path)
    assert code == 0, output
    assert read_events(tmp_path / "runs") == [
        (event, name) for name in NAMES for event in ("start", "end")
    ]
    assert output.count("S 0.900  max F 0.800  max E 0.700  MAE 0.100  in 0:") == 3
    assert "2 of 3 trials, about" in output
    assert "3 trials: 3 done" in output

    code, output = mutualformer("sweep", path)
    assert code == 0
    assert "3 trials in" in output
    assert "3 done" in output
    assert len(started(tmp_path / "runs")) == 3


def test_a_failing_trial_stops_no_other_and_is_reported_with_its_log(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep()
    code, output = mutualformer("sweep", path, FAKE_FAILURE="0.3")
    assert code == 1
    assert "failed  epsilon=0.3: exit code 3" in output
    assert "RuntimeError: a scratch on the disk" in output
    assert "3 trials: 1 failed, 2 done" in output
    assert f"mutualformer trial --folder {tmp_path / 'runs'} --config {TINY}" in output

    code, output = mutualformer("sweep", path)
    assert code == 0
    assert started(tmp_path / "runs") == [*NAMES, "epsilon=0.3"]


def test_killed_at_once_with_everything_and_continued(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    code, _ = mutualformer("trial", "--folder", runs, "--config", TINY, f"--{EPSILON}=0")
    assert code == 0
    results = runs / "epsilon=0" / "results.json"
    finished = results.stat().st_mtime_ns

    process = mutualformer.start("sweep", path, FAKE_SECONDS="60")
    wait_until((runs / "epsilon=0.3" / "config.yaml").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: lock_holder(runs / "epsilon=0.3") is None)
    _, table = mutualformer("sweep", path, "--status")
    assert "3 trials: 1 waiting, 1 interrupted, 1 done" in table
    assert "epoch 2 of 4" in table

    code, output = mutualformer("sweep", path)
    assert code == 0, output
    assert results.stat().st_mtime_ns == finished
    assert read_events(runs)[2:] == [
        ("start", "epsilon=0.3"),
        ("continue", "epsilon=0.3"),
        ("end", "epsilon=0.3"),
        ("start", "epsilon=0.6"),
        ("end", "epsilon=0.6"),
    ]


def test_a_training_that_outlives_its_sweep_is_not_started_again(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    process = mutualformer.start("sweep", path, FAKE_SECONDS="6")
    wait_until((runs / "epsilon=0" / "config.yaml").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = mutualformer("sweep", path)
    assert code == 0, output
    assert "running elsewhere  epsilon=0" in output
    assert sorted(started(runs)) == NAMES


def test_two_sweeps_at_once_never_run_the_same_trial(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep({EPSILON: {"values": [i / 10 for i in range(8)]}})
    sweeps = [mutualformer.start("sweep", path, FAKE_SECONDS="0.3") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in sweeps]
    assert [process.returncode for process in sweeps] == [0, 0], outputs
    events = read_events(tmp_path / "runs")
    assert sorted(trial for event, trial in events if event == "start") == sorted(
        {trial for _, trial in events}
    )
    assert len(events) == 16
    # Both had a share.
    assert all("in 0:" in output for output in outputs)
    assert all("8 trials: 8 done" in output for output in outputs)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_ends_its_trainings(
    signum: signal.Signals, write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    process = mutualformer.start("sweep", path, "--slots", 2, FAKE_SECONDS="60")
    wait_until(lambda: len(list(runs.glob("*/config.yaml"))) == 2)
    os.kill(process.pid, signum)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert "The same command again continues" in output
    assert "Traceback" not in output
    assert [lock_holder(folder) for folder in runs.iterdir() if folder.is_dir()] == [None, None]
    assert list(runs.glob("*/failure.json")) == []


def test_a_trial_passes_a_signal_on(mutualformer: Mutualformer, tmp_path: Path) -> None:
    arguments = ["trial", "--folder", tmp_path, "--config", TINY, "--a=1"]
    process = mutualformer.start(*arguments, FAKE_SECONDS="60")
    wait_until((tmp_path / "a=1" / "config.yaml").exists)
    code, output = mutualformer(*arguments)
    assert (code, "is being run elsewhere" in output) == (75, True)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert lock_holder(tmp_path / "a=1") is None
    code, output = mutualformer(*arguments, FAKE_FAILURE="a=1")
    assert code == 1
    assert output.rstrip().endswith("a=1 failed: exit code 3")
    code, output = mutualformer(*arguments, FAKE_FAILURE="a=1", FAKE_EXIT_CODE="2")
    assert (code, "a=1 failed: exit code 2" in output) == (2, True)  # the user's mistake
    code, output = mutualformer(*arguments)
    assert (code, "a=1 is done" in output) == (0, True)


def test_slots_share_the_machine(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep({EPSILON: {"values": [0.1, 0.2, 0.3, 0.4]}})
    gpus = tmp_path / "gpu.yaml"
    gpus.write_text(TINY.read_text().replace("accelerator: cpu", "accelerator: gpu"))
    arguments = ["sweep", path, "--config", gpus, "--slots"]
    code, output = mutualformer(*arguments, 3, CUDA_VISIBLE_DEVICES="4,6")
    assert code == 2
    assert "--slots is 3, but 2 GPU(s) can be seen (4, 6)" in output
    assert not (tmp_path / "runs").exists()

    code, output = mutualformer(*arguments, 2, CUDA_VISIBLE_DEVICES="4,6", FAKE_SECONDS="2")
    assert code == 0, output
    assert [event for event, _ in read_events(tmp_path / "runs")[:2]] == ["start", "start"]
    events = (tmp_path / "runs" / "events.txt").read_text()
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert events.count(f"threads={threads} gpus=4") == 4
    assert events.count(f"threads={threads} gpus=6") == 4


def test_a_dry_run_prints_the_commands_that_are_left(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep()
    code, output = mutualformer("sweep", path, "--dry-run")
    assert code == 0
    assert not (tmp_path / "runs").exists()
    lines = [line for line in output.splitlines() if line.startswith("mutualformer trial")]
    assert len(lines) == 3
    code, _ = mutualformer(*lines[1].split()[1:])
    assert code == 0
    _, output = mutualformer("sweep", path, "--dry-run")
    assert [line for line in output.splitlines() if line in lines] == [lines[0], lines[2]]


def test_the_status_of_every_kind_of_trial(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    mutualformer("sweep", path, FAKE_FAILURE="0.3")
    results = runs / "epsilon=0" / "results.json"
    content = json.loads(results.read_text())
    content["scores"]["other"] = {**content["scores"]["synthetic"], "mae": None}
    content["num_images"]["other"] = 7
    results.write_text(json.dumps(content))
    code, table = mutualformer("sweep", path, "--status")
    assert code == 0
    assert "exit code 3" in table
    assert "scores: mean over other, synthetic" in table
    assert "–" in table
    assert "3 trials: 1 failed, 2 done" in table


def test_a_folder_of_another_experiment_is_refused_before_anything_runs(
    write_sweep: WriteSweep, mutualformer: Mutualformer, tmp_path: Path
) -> None:
    path = write_sweep()
    mutualformer("sweep", path)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data: {num_train: 9}\n")
    code, output = mutualformer("sweep", path, "--config", TINY, "--config", overlay)
    assert code == 2
    assert "data.num_train = 4, now it is 9" in output
    assert len(started(tmp_path / "runs")) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config", "nowhere.yaml"], "--config nowhere.yaml cannot be read: No such file"),
        (["--slots", "0"], "'0', expected an integer >= 1"),
        (["--status", "--dry-run"], "not allowed with"),
        (["--slurm"], "--slurm-parameters time=N"),
        (["--slurm", "--slurm-parameters", "time=4:00:00"], "time=N"),
        (["--slurm", "--slots", "2", "--slurm-parameters", "time=5"], "array_parallelism=N"),
        (["--slurm-parameters", "time=5"], "without --slurm"),
        (["--slurm", "--slurm-parameters", "partition"], "'partition', expected KEY=VALUE"),
    ],
)
def test_mistakes_on_the_command_line(
    options: list[str],
    words: str,
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    tmp_path: Path,
) -> None:
    code, output = mutualformer("sweep", write_sweep(), *options)
    assert code == 2
    assert output.count("error: ") == 1
    assert words in output
    assert not (tmp_path / "runs").exists()
