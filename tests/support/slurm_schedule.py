"""A sweep on a Slurm that preempts, requeues, limits and loses nodes at random, by number.

As a program: `python tests/support/slurm_schedule.py FOLDER SECONDS SEED` runs eight trials for so
long, says what was done to them, and compares them with a local run.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from real_slurm import NODES, RealSlurm


class Schedule:
    """What is done to a sweep's jobs.

    Args:
        slurm: whose jobs, all of them.
        seed: of the choices.
    """

    def __init__(self, slurm: RealSlurm, seed: int) -> None:
        self._slurm = slurm
        self._random = random.Random(seed)
        self._lost: str | None = None
        self.done: Counter[str] = Counter()
        self._next: list[Callable[[], bool]] = []
        self._actions: list[Callable[[], bool]] = [
            self.requeue,
            self.preempt,
            self.near_its_limit,
            self.lose_a_node,
        ]

    def step(self) -> None:
        """Do something to a running job."""
        if not self._next:  # each comes up as often as the others
            self._next = self._random.sample(self._actions, len(self._actions))
        action = self._next.pop()
        if action():
            self.done[action.__name__] += 1

    def end(self) -> None:
        """Bring a lost node back."""
        if self._lost is not None:
            self._slurm.start_node(self._lost)
            self._lost = None

    def requeue(self) -> bool:
        """Requeue a running job, as an administrator does."""
        return self._tell_one("scontrol", "requeue")

    def preempt(self) -> bool:
        """Send a job of a higher partition to a node."""
        node = self._random.choice(NODES)
        self._slurm("sbatch", "-phigh", f"-w{node}", "-t1", "-o/dev/null", "--wrap=sleep 2")
        return bool(self._running())

    def near_its_limit(self) -> bool:
        """Tell a running job of its time limit, which is near."""
        return self._tell_one("scancel", "--signal=USR2")

    def lose_a_node(self) -> bool:
        """Kill a node's daemon, whose task runs on; or start the one again that was killed."""
        if self._lost is not None:
            self.end()
            return False
        self._lost = self._random.choice(NODES)
        self._slurm.kill(self._lost)
        return True

    def _tell_one(self, *command: str) -> bool:
        """Run a command on a running job; returns whether there is one, and Slurm did it."""
        running = self._running()
        try:
            # For minutes, Slurm would try again on a job that has just begun or ended.
            self._slurm("timeout", "5", *command, self._random.choice(running))
        except (AssertionError, IndexError):
            return False
        return True

    def _running(self) -> list[str]:
        lines = self._slurm("squeue", "-hr", "-tRUNNING", "-o", "%i %P").splitlines()
        return [line.split()[0] for line in lines if not line.endswith("high")]


def most_at_once(runs: Path) -> int:
    """Return how many trainings write into the folder of one trial at this moment, at most."""
    trainings: dict[str, str] = {}
    parents: dict[str, str] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for word in (path / "cmdline").read_text().split("\0"):
                if word.startswith(f"--trainer.default_root_dir={runs}/"):
                    trainings[path.name] = word
                    parents[path.name] = (path / "stat").read_text().rpartition(")")[2].split()[1]
    # A child of a training that has not become another program yet is none.
    own = [word for pid, word in trainings.items() if parents.get(pid) not in trainings]
    return max(Counter(own).values(), default=0)


def submit(slurm: RealSlurm, command: list[str], environment: dict[str, str]) -> None:
    """Submit a sweep once, every other task to the partition with grace time."""
    slurm.drain()
    words = [*command, "--slurm", "--slurm-parameters", "time=2"]
    subprocess.run(words, env={**environment, **slurm.environment}, check=True)
    for job in list(slurm.jobs())[::2]:
        slurm("scontrol", "update", f"JobId={job}", "Partition=grace")
    slurm.resume()


def run(
    slurm: RealSlurm,
    runs: Path,
    seed: int,
    pause: float,
    is_enough: Callable[[Counter[str]], bool],
    waits: bool,
) -> tuple[Counter[str], int]:
    """Let the schedule do its worst.

    Args:
        slurm: with a sweep in its queue, and nothing else.
        runs: the folder of the sweep.
        seed: of the choices.
        pause: seconds between two of them, on average.
        is_enough: whether to stop, after what was done so often.
        waits: whether what was queued again waits for its two minutes.

    Returns:
        What was done how often, and how many trainings of one trial there were at once, at most.
    """
    schedule = Schedule(slurm, seed)
    chance, most = random.Random(seed), 0
    while not is_enough(schedule.done) and slurm.jobs():
        until = time.monotonic() + chance.expovariate(1 / pause)
        schedule.step()
        while time.monotonic() < until:
            most = max(most, most_at_once(runs))
            slurm.repair()
            if not waits:
                slurm.let_requeued_start()
            time.sleep(0.5)
    schedule.end()
    return schedule.done, most


def let_all_end(slurm: RealSlurm, runs: Path, seconds: float) -> int:
    """Wait for the end of all jobs; returns as above how many trainings there were at once."""
    most = 0

    def has_ended() -> bool:
        nonlocal most
        most = max(most, most_at_once(runs))
        slurm.repair()
        slurm.let_requeued_start()
        return not slurm.jobs()

    slurm.wait_for(has_ended, seconds, "the end of all trials")
    return most


SWEEP = """
method: grid
parameters:
  model.network.fusion.epsilon: {{values: [0.0, 0.3]}}
  seed_everything: {{values: [1, 2, 3, 4]}}
command:
  ["${{env}}", mutualformer, trial, --folder, {folder}, --config, {config}, --config, {more},
   "${{args}}"]
"""
LONGER = """
trainer: {max_epochs: 40}
model: {network: {init_args: {encoder_name: tu-test_efficientnet}}}
data: {init_args: {num_train: 40}}
"""


def main() -> None:
    """Run the long schedule, and compare."""
    from break_at import assert_same_run

    folder, seconds, seed = Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True)
    tiny = Path(__file__).parents[1] / "lightning_modules" / "tiny.yaml"
    (folder / "longer.yaml").write_text(LONGER)
    commands = {}
    for name in ("cluster", "local"):
        path = folder / f"{name}.yaml"
        more = folder / "longer.yaml"
        path.write_text(SWEEP.format(folder=folder / name, config=tiny, more=more))
        commands[name] = [sys.executable, "-m", "lightning_modules.main", "sweep", str(path)]
    repository = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="slurm-") as daemons:
        slurm = RealSlurm(Path(daemons))
        try:
            slurm.start()
            submit(slurm, commands["cluster"], environment)
            start = time.monotonic()
            runs, end = folder / "cluster", start + seconds
            done, most = run(slurm, runs, seed, 12, lambda _: time.monotonic() > end, waits=True)
            most = max(most, let_all_end(slurm, runs, 1800))
            print(f"{dict(done)}; {most} training of a trial at once at most")
            print(f"all ended after {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
        finally:
            slurm.stop()
    subprocess.run(commands["local"], env=environment, check=True)
    trials = sorted(path.name for path in (folder / "local").iterdir() if path.is_dir())
    for trial in trials:
        assert_same_run(folder / "cluster" / trial, folder / "local" / trial)
        attempts = (folder / "cluster" / trial / "trial.log").read_text().count("\n--- ") + 1
        print(f"{trial}: {attempts} attempts, equal bit for bit")


if __name__ == "__main__":
    main()
