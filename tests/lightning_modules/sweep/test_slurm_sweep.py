"""`mutualformer sweep --slurm` with stand-ins for Slurm's commands; its tasks really run."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_modules.sweep.trial_lock import lock_holder

from .conftest import EPSILON, TINY, Mutualformer, read_events, wait_until

pytest.importorskip("submitit", reason="submitit is not installed")

WriteSweep = Callable[..., Path]
COMMANDS = {
    "sbatch": 'cp "$1" "$SLURM_STUB/script.sh"; echo "Submitted batch job 1234"',
    "scontrol": 'echo "$@" >> "$SLURM_STUB/scontrol.txt"',
    "squeue": "",
    "srun": (
        'while :; do case "$1" in --output|--error) shift 2;; -*) shift;; *) break;; esac; done\n'
        'exec "$@"'
    ),
}


class Slurm:
    """Slurm's commands, which record what they are asked, and nodes to run it on."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        for name, text in COMMANDS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        for name in ("bash", "sh", "cp", "git"):
            (folder / name).symlink_to(shutil.which(name) or "/nowhere")
        # Nothing else: a machine that has a Slurm of its own is no other machine.
        environment["PATH"] = str(folder)
        environment["SLURM_STUB"] = str(folder)
        self.folder = folder
        self.environment = environment

    @property
    def script(self) -> str:
        return (self.folder / "script.sh").read_text()

    def start(self, index: int, **environment: str) -> subprocess.Popen[str]:
        """Start one task of the array as a node does."""
        task = {
            "SLURM_JOB_ID": f"{1234 + index}",
            "SLURM_ARRAY_JOB_ID": "1234",
            "SLURM_ARRAY_TASK_ID": f"{index}",
            "SLURM_PROCID": "0",
            "SLURM_NTASKS": "1",
        }
        return subprocess.Popen(
            ["bash", str(self.folder / "script.sh")],
            env={**self.environment, **task, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def slurm(tmp_path: Path, mutualformer: Mutualformer) -> Slurm:
    return Slurm(tmp_path / "bin", mutualformer.environment)


def test_one_array_job_with_a_task_per_trial_that_is_left(
    write_sweep: WriteSweep, mutualformer: Mutualformer, slurm: Slurm, tmp_path: Path
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    mutualformer("trial", "--folder", runs, "--config", TINY, f"--{EPSILON}=0.3")
    parameters = ["time=240", "partition=gpu", "gpus_per_node=1", "array_parallelism=8"]
    parameters += ["comment=for a paper", "setup=echo a module is loaded", "teardown=echo it ends"]
    code, output = mutualformer("sweep", path, "--slurm", "--slurm-parameters", *parameters)
    assert code == 0, output
    assert "Submitted 2 trials as array job 1234" in output
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", slurm.script, flags=re.MULTILINE))
    assert options["array"] == "0-1%2"
    assert "#SBATCH --requeue\n" in slurm.script
    assert options["signal"] == "USR2@90"
    assert options["time"] == "240"
    assert options["partition"] == "gpu"
    assert options["gpus-per-node"] == "1"
    assert re.fullmatch("'mutualformer-[0-9a-f]{12} for a paper'", options["comment"])
    assert options["job-name"] == "mutualformer-sweep"
    assert options["output"].startswith(str(runs / "slurm"))
    assert len(read_events(runs)) == 2

    for task in [slurm.start(index) for index in range(2)]:
        output, _ = task.communicate(timeout=60)
        assert task.returncode == 0, output
        assert "a module is loaded" in output
        assert "it ends" in output
    assert sorted(trial for event, trial in read_events(runs) if event == "start") == [
        *("epsilon=0", "epsilon=0.3", "epsilon=0.6")
    ]
    _, output = mutualformer("sweep", path, "--status")
    assert "3 trials: 3 done" in output
    code, output = mutualformer("sweep", path, "--slurm", "--slurm-parameters", "time=5")
    assert (code, "Nothing to submit" in output) == (0, True)


def test_a_task_that_is_preempted_is_queued_again_and_continues(
    write_sweep: WriteSweep, mutualformer: Mutualformer, slurm: Slurm, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    code, output = mutualformer("sweep", write_sweep(), "--slurm", "--slurm-parameters", "time=99")
    assert code == 0, output
    task = slurm.start(0, FAKE_SECONDS="60")
    wait_until((runs / "epsilon=0" / "config.yaml").exists)
    # Slurm signals every process of a step.
    os.killpg(task.pid, signal.SIGUSR2)
    task.communicate(timeout=60)
    wait_until(lambda: lock_holder(runs / "epsilon=0") is None)
    wait_until((slurm.folder / "scontrol.txt").exists)
    assert (slurm.folder / "scontrol.txt").read_text() == "requeue 1234_0\n"
    assert not (runs / "epsilon=0" / "failure.json").exists()

    task = slurm.start(0)
    output, _ = task.communicate(timeout=60)
    assert task.returncode == 0, output
    assert read_events(runs) == [
        *(("start", "epsilon=0"), ("continue", "epsilon=0"), ("end", "epsilon=0"))
    ]


def test_a_task_whose_trial_fails_has_failed(
    write_sweep: WriteSweep, mutualformer: Mutualformer, slurm: Slurm, tmp_path: Path
) -> None:
    mutualformer("sweep", write_sweep(), "--slurm", "--slurm-parameters", "time=99")
    task = slurm.start(1, FAKE_FAILURE="0.3")
    output, _ = task.communicate(timeout=60)
    assert task.returncode != 0
    assert "a scratch on the disk" in output
    assert (tmp_path / "runs" / "epsilon=0.3" / "failure.json").exists()


@pytest.mark.parametrize(
    ("parameters", "without", "words"),
    [
        (["time=5", "gpu=1"], [], "gpu"),
        (["time=5"], ["srun"], "srun"),
        (["time=5"], ["submitit"], "pip install 'mutualformer[slurm]'"),
    ],
)
def test_what_keeps_it_from_submitting(
    parameters: list[str],
    without: list[str],
    words: str,
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    slurm: Slurm,
    tmp_path: Path,
) -> None:
    if "srun" in without:
        (slurm.folder / "srun").unlink()
    if "submitit" in without:
        with (tmp_path / "site" / "sitecustomize.py").open("a") as file:
            file.write("sys.modules['submitit'] = None\n")
    code, output = mutualformer(
        "sweep", write_sweep(), "--slurm", "--slurm-parameters", *parameters
    )
    assert code == 2
    assert output.count("error: ") == 1
    assert words in output
    assert "Traceback" not in output
    assert not (tmp_path / "runs").exists()
