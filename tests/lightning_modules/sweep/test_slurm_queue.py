"""What Slurm's queue says of a sweep's trials, in its own words."""

from pathlib import Path

import pytest

from lightning_modules.runs.slurm import SlurmError
from lightning_modules.sweep import end_of_task, slurm_queue
from lightning_modules.sweep.slurm_queue import QueuedTask, SlurmFolder, check_shared
from mutualformer.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> SlurmFolder:
    return SlurmFolder(tmp_path / "runs")


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(slurm_queue, "ask_slurm", lambda _: "".join(f"{x}\n" for x in lines))


def test_the_tasks_of_a_sweep(folder: SlurmFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_queue, "ask_slurm", None)  # nobody is asked of nothing
    assert folder.tasks() == {}
    first, second = folder.begin_submission(["a", "b", "c"]), folder.begin_submission(["b"])
    answer(
        monkeypatch,
        f"9|PENDING|JobHeldUser|{second} of mine | with a bar",
        f"7_0|RUNNING|None|{first}",
        f"7_1|FAILED|NonZeroExitCode|{first}",
        f"7_2|CANCELLED|None|{first}",
        "8|RUNNING|None|(null)",
        "10_3|RUNNING|None|mutualformer-of-another-sweep",
        "11|RUNNING|None|mutualformer-../../etc",
        f"7_[4-5]|PENDING|Resources|{first}",  # whose tasks are listed one by one, too
    )
    tasks = folder.tasks()
    assert {name: (x.job, x.has_ended) for name, x in tasks.items()} == {
        "a": ("7_0", False),
        "b": ("9", False),
        "c": ("7_2", True),
    }
    assert [str(tasks[name]) for name in "ab"] == [
        *("Slurm job 7_0: RUNNING", "Slurm job 9: PENDING, JobHeldUser")
    ]


def test_a_submission_that_was_refused_leaves_nothing(folder: SlurmFolder) -> None:
    with folder.locked():
        with pytest.raises(UserError, match="another process is submitting"), folder.locked():
            pass
        folder.begin_submission(["a"])
        (folder.path / ".submission_file_0.sh").touch()
        (folder.path / f"{'0a' * 16}.pkl").touch()
        folder.give_submission_up()
    assert not folder.path.parent.exists()
    with folder.locked():
        folder.begin_submission(["a"])
    assert folder.path.exists()


@pytest.mark.parametrize(
    ("state", "left_nothing", "is_refused"),
    [
        *(("FAILED", True, True), ("NODE_FAIL", True, False), ("CANCELLED", True, False)),
        *(("FAILED", False, False), ("PENDING", True, False)),
    ],
)
def test_a_task_without_output_tells_of_a_folder_that_is_not_shared(
    state: str, left_nothing: bool, is_refused: bool, folder: SlurmFolder
) -> None:
    tasks = [QueuedTask("7_1", state, "None", left_nothing)]
    if is_refused:
        with pytest.raises(UserError, match="7_1: .*seems not to see that folder"):
            check_shared(folder, tasks)
    else:
        check_shared(folder, tasks)


def test_a_slurm_that_does_not_answer_is_named(
    folder: SlurmFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> str:
        raise SlurmError("squeue has not answered in 60 s")

    folder.begin_submission(["a"])
    monkeypatch.setattr(slurm_queue, "ask_slurm", refuse)
    with pytest.raises(UserError, match="not known: squeue has not answered"):
        folder.tasks()


@pytest.mark.parametrize(
    ("code", "has_to_ask", "at_limit", "comes_back"),
    [
        *((0, True, True, False), (1, True, True, False), (75, False, False, True)),
        *((140, True, False, True), (143, False, False, False), (143, False, True, True)),
        *((137, True, True, False), (143, True, False, True)),  # out of memory; preempted
    ],
)
def test_which_tasks_come_back(
    code: int,
    has_to_ask: bool,
    at_limit: bool,
    comes_back: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(end_of_task, "has_to_ask", lambda _: has_to_ask)
    monkeypatch.setattr(end_of_task, "reached_its_limit", lambda: at_limit)
    assert end_of_task.comes_back(code) == comes_back
