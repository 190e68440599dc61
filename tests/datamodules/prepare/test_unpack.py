"""Writing: whole files only, continued after a kill, never over anything."""

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from datamodules import DataError, RGBDSaliencyDataModule
from datamodules.prepare.unpack import make_plan, write_dataset

NAMES = {f"test/NLPR/{kind}/{stem}" for kind in ("RGB", "depth", "GT") for stem in "abc"}


@pytest.fixture
def source(write, rows):
    return write(rows("a", "b", "c"), "NLPR/test.parquet")


def stems(files):
    return {name.rpartition(".")[0] for name in files}


def test_prepared_folder_is_a_data_set(source, prepare, tmp_path):
    assert stems(prepare(source, dataset="NLPR")) == NAMES
    module = RGBDSaliencyDataModule(
        root=str(tmp_path / "prepared"), test_sets=["test/NLPR"], image_size=32
    )
    module.setup("test")
    assert [sample.name for sample in module.test_datasets[0].samples] == ["a", "b", "c"]


def test_second_time_compares_and_writes_nothing(source, prepare, tmp_path):
    first = prepare(source, dataset="NLPR")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared").rglob("*")}
    assert prepare(source, dataset="NLPR") == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def prepare_and_die(source: Path, root: Path, moment: int) -> None:
    """Be killed between the writing of a file and its renaming."""
    replace, calls = os.replace, []

    def replace_or_die(*paths):
        calls.append(paths)
        if len(calls) > moment:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = replace_or_die
    (planned,) = make_plan(source, dataset="NLPR", split="test")
    write_dataset(planned, root)


@pytest.mark.parametrize("moment", [0, 4, 8])
def test_killed_at_any_moment_it_is_continued(source, prepare, contents_of, tmp_path, moment):
    root = tmp_path / "prepared"
    process = multiprocessing.get_context("fork").Process(
        target=prepare_and_die, args=(source, root, moment)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    left = contents_of(root)
    hidden = [name for name in left if Path(name).name.startswith(".")]
    assert len(hidden) == 1 and len(left) == moment + 1
    visible = {name: content for name, content in left.items() if name not in hidden}
    whole = prepare(source, dataset="NLPR")
    assert stems(whole) == NAMES
    assert visible.items() <= whole.items()


@pytest.mark.parametrize("stem", ["a", "c"])
def test_nothing_is_overwritten_or_written_beside_it(source, prepare, contents_of, tmp_path, stem):
    taken = tmp_path / f"prepared/test/NLPR/depth/{stem}.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"precious")
    with pytest.raises(DataError, match=rf"depth/{stem}\.png exists and differs from .*--output"):
        prepare(source, dataset="NLPR")
    assert contents_of(tmp_path / "prepared") == {f"test/NLPR/depth/{stem}.png": b"precious"}


def test_files_of_another_source(source, write, rows, prepare, contents_of, tmp_path):
    prepare(source, dataset="NLPR")
    before = contents_of(tmp_path / "prepared")
    with pytest.raises(DataError, match=r"a\.png is no file of this source"):
        prepare(write(rows("b", "c", "d"), "other.parquet"), dataset="NLPR")
    assert contents_of(tmp_path / "prepared") == before


def test_a_source_that_changes_after_it_was_planned(source, write, rows, tmp_path):
    (planned,) = make_plan(source, dataset="NLPR", split="test")
    write(rows("a", "c", "b"), "NLPR/test.parquet")
    with pytest.raises(DataError, match="row 1 changed meanwhile: give the same command again"):
        write_dataset(planned, tmp_path / "prepared")


def test_a_disk_that_is_full(source, prepare, contents_of, tmp_path, monkeypatch):
    writes = []

    def replace(source, target):
        writes.append(target)
        if len(writes) == 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        os.rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", replace)
        with pytest.raises(DataError, match=r"cannot be written \(No space left on device\).*rest"):
            prepare(source, dataset="NLPR")
    left = contents_of(tmp_path / "prepared")
    assert len(left) == 4 and not any(".tmp" in name for name in left)
    assert left.items() <= prepare(source, dataset="NLPR").items()
