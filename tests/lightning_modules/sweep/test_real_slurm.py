"""`mutualformer sweep --slurm` on a Slurm that runs, with a stand-in for the training."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from real_slurm import RealSlurm
from slurm_schedule import let_all_end
from slurm_schedule import run as run_schedule

from lightning_modules.sweep.trial_lock import lock_holder

from .conftest import Mutualformer, read_events

pytest.importorskip("submitit", reason="submitit is not installed")

WriteSweep = Callable[..., Path]
LONG = {"FAKE_SECONDS": "300"}
ONE = {"model.network.fusion.epsilon": {"values": [0.3]}}


@pytest.fixture
def submit(
    write_sweep: WriteSweep, mutualformer: Mutualformer, real_slurm: RealSlurm
) -> Callable[..., str]:
    """Submit a sweep; returns what the command printed."""

    def run(path: Path, *parameters: str, returncode: int = 0, **environment: str) -> str:
        words = ("--slurm", "--slurm-parameters", "time=5", *parameters)
        code, output = mutualformer("sweep", path, *words, **environment)
        assert code == returncode, output
        return output

    return run


def wait_for_end(slurm: RealSlurm) -> None:
    """Let all jobs come to their ends, those that were queued again included."""

    def have_ended() -> bool:
        slurm.let_requeued_start()
        return not slurm.jobs()

    slurm.wait_for(have_ended, 90, "the end of all jobs")


def logs(runs: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((runs / "slurm").glob("*_log.*")))


def running(runs: Path, name: str = "epsilon=0.3") -> Callable[[], object]:
    """Return whether a trial has trained for a while in this attempt."""
    return lambda: lock_holder(runs / name) and (runs / name / "config.yaml").exists()


def test_what_is_queued_is_not_submitted_again(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    path, runs = write_sweep(), tmp_path / "runs"
    real_slurm.drain()
    assert "Submitted 3 trials" in submit(path)
    assert "Nothing to submit: every trial is done, running or queued" in submit(path)
    _, status = mutualformer("sweep", path, "--status")
    assert "3 trials: 3 queued" in status
    assert status.count(": PENDING") == 3

    # One is cancelled, one held, as after a requeue that failed.
    first = min(int(job.partition("_")[0]) for job in real_slurm.jobs())
    real_slurm("scancel", f"{first}_1")
    real_slurm("scontrol", "hold", f"{first}_2")
    real_slurm.wait_for(lambda: f"{first}_1" not in real_slurm.jobs(), 20, "the end of a task")
    output = submit(path)
    assert "Submitted 1 trials" in output
    assert "2 are running or queued already" in output
    assert "3 trials: 3 queued" in mutualformer("sweep", path, "--status")[1]
    real_slurm("scontrol", "release", f"{first}_2")
    real_slurm.resume()
    wait_for_end(real_slurm)
    assert "3 trials: 3 done" in mutualformer("sweep", path, "--status")[1]
    assert sorted(read_events(runs)) == sorted(
        (event, f"epsilon={x}") for x in ("0", "0.3", "0.6") for event in ("start", "end")
    )


@pytest.mark.parametrize("partition", ["grace", "normal"])
def test_what_is_preempted_comes_back_with_and_without_grace_time(
    partition: str,
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs"
    submit(write_sweep(ONE), f"partition={partition}", "exclude=n2", **LONG)
    real_slurm.wait_for(running(runs), 60, "a running trial")
    real_slurm("sbatch", "-phigh", "-wn1", "-o/dev/null", "--wrap=sleep 1")
    real_slurm.wait_for(
        lambda: list(real_slurm.jobs().values()) == ["PENDING"], 60, "the preemption"
    )
    (runs / "epsilon=0.3" / "short").touch()
    wait_for_end(real_slurm)
    assert [event for event, _ in read_events(runs)] == ["start", "continue", "end"]
    assert "Traceback" not in logs(runs)
    assert not (runs / "epsilon=0.3" / "failure.json").exists()


def test_what_is_cancelled_stays_away_and_leaves_no_traceback(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    path, runs = write_sweep(ONE), tmp_path / "runs"
    submit(path, "partition=grace", "exclude=n2", **LONG)
    real_slurm.wait_for(running(runs), 60, "a running trial")
    real_slurm("scancel", "--user=root")
    real_slurm.wait_for(lambda: not real_slurm.jobs(), 60, "the end of the job")
    assert "Traceback" not in logs(runs)
    assert "queued again" not in logs(runs)
    assert lock_holder(runs / "epsilon=0.3") is None
    assert "1 trials: 1 interrupted" in mutualformer("sweep", path, "--status")[1]


def test_ahead_of_its_time_limit_it_is_queued_again_however_often(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs"
    submit(write_sweep(ONE), **LONG)
    for attempt in range(5):

        def has_begun(number: int = attempt + 1) -> bool:
            real_slurm.let_requeued_start()
            return logs(runs).count("Starting with") == number

        real_slurm.wait_for(has_begun, 60, "a task")
        if attempt > 1:  # else in the first moment, when nothing but the shell listens
            real_slurm.wait_for(running(runs), 60, "a running trial")
        # What Slurm does ahead of a limit, for `--signal=USR2@90`: to all processes of all steps.
        real_slurm("scancel", "--signal=USR2", "--user=root")
        real_slurm.wait_for(
            lambda: "PENDING" in real_slurm.jobs().values(), 60, f"requeue {attempt}"
        )
    (runs / "epsilon=0.3" / "short").touch()
    wait_for_end(real_slurm)
    assert [event for event, _ in read_events(runs)][-2:] == ["continue", "end"]
    assert "Traceback" not in logs(runs)


@pytest.mark.slow
def test_a_node_that_is_lost_has_its_trial_run_once(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    """Its task lives on for a while, and holds the lock; the one in its place comes back."""
    runs = tmp_path / "runs"
    submit(write_sweep(ONE), **LONG)
    real_slurm.wait_for(running(runs), 60, "a running trial")
    (node,) = set(real_slurm("squeue", "-h", "-o", "%N").split())
    real_slurm.kill(node)
    try:

        def has_moved() -> bool:
            real_slurm.let_requeued_start()
            return "run elsewhere" in logs(runs)

        real_slurm.wait_for(has_moved, 90, "another task")
        (runs / "epsilon=0.3" / "short").touch()
        wait_for_end(real_slurm)
    finally:
        real_slurm.start_node(node)
        real_slurm.wait_for_nodes()
    assert [event for event, _ in read_events(runs)] == ["start", "end"]


def test_a_partition_that_slurm_refuses(
    submit: Callable[..., str], write_sweep: WriteSweep, tmp_path: Path
) -> None:
    output = submit(write_sweep(), "partition=nowhere", returncode=2)
    assert output.count("error: --slurm: ") == 1
    assert "Invalid partition name" in output
    assert not (tmp_path / "runs").exists()


def test_a_slurm_that_does_not_answer(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    path, other = write_sweep(ONE), tmp_path / "other"
    real_slurm.drain()
    submit(path)
    real_slurm.kill("slurmctld", signal.SIGTERM)  # so that it keeps what it knows
    try:
        for words in ((), ("--folder", other)):  # one was submitted before, the other was not
            code, output = mutualformer(
                "sweep", path, "--slurm", *words, "--slurm-parameters", "time=5"
            )
            assert code == 2, output
            assert len([x for x in output.splitlines() if x.startswith("error: ")]) == 1, output
            assert "Traceback" not in output
        assert not other.exists()
        code, output = mutualformer("sweep", path, "--status")
        assert (code, "1 trials: 1 waiting" in output) == (0, True)
        assert "warning: which trials Slurm has queued is not known" in output
    finally:
        real_slurm.start_controller()
        real_slurm.resume()
    assert "Nothing to submit" in submit(path)


def test_a_folder_that_a_node_does_not_see(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    path, runs = write_sweep(ONE), tmp_path / "runs"
    runs.mkdir()
    real_slurm.kill("n1")
    hidden = f'mount -t tmpfs none {runs} && exec "$@"'
    real_slurm.start_node("n1", "unshare", "--mount", "sh", "-c", hidden, "sh")
    try:
        real_slurm.wait_for_nodes()
        submit(path, "exclude=n2")
        real_slurm.wait_for(lambda: not real_slurm.jobs(), 60, "the end of the job")
        for words in (("--slurm", "--slurm-parameters", "time=5"), ("--status",)):
            code, output = mutualformer("sweep", path, *words)
            assert code == (2 if "--slurm" in words else 0)
            assert "FAILED" in output
            assert ("the node seems not to see that folder" in output) == ("--slurm" in words)
        assert "1 trials: 1 waiting" in output
    finally:
        real_slurm.kill("n1")
        real_slurm.start_node("n1")
        real_slurm.wait_for_nodes()


@pytest.mark.slow
def test_a_random_schedule(
    submit: Callable[..., str],
    write_sweep: WriteSweep,
    mutualformer: Mutualformer,
    real_slurm: RealSlurm,
    tmp_path: Path,
) -> None:
    """The long one, with trainings, is `tests/support/slurm_schedule.py` as a program."""
    path = write_sweep({"model.network.fusion.epsilon": {"values": [x / 8 for x in range(8)]}})
    submit(path, "partition=normal", **LONG)
    runs, kinds = tmp_path / "runs", 4
    deadline = time.monotonic() + 90
    done, most = run_schedule(
        real_slurm,
        *(runs, 2, 2),
        is_enough=lambda done: len(done) == kinds or time.monotonic() > deadline,
        waits=False,
    )
    assert len(done) == kinds, done
    (runs / "short").touch()
    most = max(most, let_all_end(real_slurm, runs, 120))
    assert most == 1
    assert "8 trials: 8 done" in mutualformer("sweep", path, "--status")[1]
    assert Counter(event for event, _ in read_events(runs))["end"] == 8
    real_slurm.wait_for_nodes()
