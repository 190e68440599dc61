"""A Slurm of its own on the loopback: Debian's packages, two nodes, nothing outside its folder.

Partitions: `normal` and `grace` (twenty seconds) are preempted by `high`; what is preempted is
queued again.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
NODES = ("n1", "n2")
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=12
KillWait=5
MessageTimeout=5
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000
PartitionName=normal Nodes=n1,n2 Default=YES PriorityTier=1 MaxTime=INFINITE
PartitionName=grace Nodes=n1,n2 PriorityTier=1 GraceTime=20 MaxTime=INFINITE
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE
"""


def why_not() -> str:
    """Say why no Slurm can be started here; empty if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed: no {', '.join(missing)} (.ci/run installs it)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root only"


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.25)


class RealSlurm:
    """Slurm's daemons, each a process of this one.

    Args:
        folder: for all their files; its path must be short, since it holds sockets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        configuration = folder / "slurm.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                folder=folder,
                user="root",
                ports=_free_ports(1 + len(NODES)),
            )
        )
        self.environment = {"SLURM_CONF": str(configuration)}

    def start(self) -> None:
        """Start all daemons, and wait until both nodes take jobs."""
        files = {
            f"--{name}": self.folder / f"munge.{ending}"
            for name, ending in {
                **{"key-file": "key", "socket": "socket", "pid-file": "pid"},
                **{"log-file": "log", "seed-file": "seed"},
            }.items()
        }
        # As root, and in a folder that others may read, munged does nothing without --force.
        words = [f"{option}={path}" for option, path in files.items()]
        self._start("munged", "munged", "--foreground", "--force", "--num-threads=2", *words)
        wait_for((self.folder / "munge.socket").exists, 20, "munged")
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def drain(self) -> None:
        """Let no node take a job."""
        self("scontrol", "update", f"NodeName={','.join(NODES)}", "State=DRAIN", "Reason=repairs")

    def resume(self) -> None:
        """Let all nodes take jobs again."""
        for node in NODES:  # one that Slurm already counts on refuses
            self("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)

    def repair(self) -> None:
        """Do what is left to an administrator.

        Slurm takes a node out of service, and holds the job, where a daemon that was gone comes
        back with a job that was queued again since.
        """
        if "drain" in self("sinfo", "-hN", "-o", "%T"):
            self.resume()
        for line in self("squeue", "-hr", "-t", "PENDING", "-o", "%i|%r").splitlines():
            job, _, reason = line.partition("|")
            if reason.endswith("held"):
                self("scontrol", "release", job, check=False)

    def wait_for_nodes(self) -> None:
        """Wait until both nodes take jobs."""
        wait_for(lambda: self("sinfo", "-h", "-t", "idle", "-o", "%D").startswith("2"), 40, "nodes")

    def start_controller(self) -> None:
        """Start the daemon that knows the queue."""
        self._start("slurmctld", "slurmctld", "-D")
        wait_for(lambda: self("scontrol", "ping", check=False).count("UP"), 40, "slurmctld")

    def start_node(self, node: str, *prefix: str) -> None:
        """Start the daemon of a node, by a command that starts others if one is given."""
        self._start(node, *prefix, "slurmd", "-D", "-N", node)

    def kill(self, name: str, signum: int = signal.SIGKILL) -> None:
        """Kill a daemon, by the name of its program or node."""
        daemon = self._daemons.pop(name)
        daemon.send_signal(signum)
        daemon.wait()

    def empty_the_queue(self) -> None:
        """Cancel what runs or waits, and wait for its end."""
        self("scancel", "--user=root")
        wait_for(lambda: not self.jobs(), 60, "an empty queue")

    def stop(self) -> None:
        """End all daemons."""
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def __call__(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands; returns what it printed."""
        finished = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert finished.returncode == 0 or not check, finished.stdout + finished.stderr
        return finished.stdout

    def wait_for(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait until a condition holds; fail with what Slurm did if that takes too long."""
        try:
            wait_for(condition, seconds, what)
        except AssertionError as error:
            jobs = self("squeue", "-r", "--states=all", check=False)
            log = (self.folder / "slurmctld.log").read_text()[-3000:]
            raise AssertionError(f"{error}\n{jobs}\n{log}") from error

    def jobs(self) -> dict[str, str]:
        """Return the state of every job in the queue, by its id as of a task."""
        lines = self("squeue", "-hr", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def let_requeued_start(self) -> None:
        """Let what was queued again start in three seconds, in place of two minutes.

        In the second in which it was queued, a node takes it for the former attempt, and refuses.
        """
        for line in self("squeue", "-hr", "-t", "PENDING", "-o", "%i|%r|%S").splitlines():
            job, reason, start = line.split("|")
            # Again and again, it would keep the scheduler from coming to the job.
            soon = (datetime.now() + timedelta(seconds=10)).isoformat(timespec="seconds")
            if reason == "BeginTime" and start != "N/A" and start > soon:
                self("scontrol", "update", f"JobId={job}", "StartTime=now+3", check=False)

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            # A group of its own: what the terminal sends to the tests is not for daemons.
            self._daemons[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports
