import errno
import hashlib
import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError, RGBDSaliencyDataModule
from datamodules.prepare import make_plan, open_source, write_plan

NAMES = {f"test/NLPR/{kind}/{stem}" for kind in ("RGB", "depth", "GT") for stem in "abc"}


def stems(files):
    return {name.rpartition(".")[0] for name in files if not name.endswith(".json")}


def test_files_are_kept_byte_for_byte_under_our_names(folders, prepare, contents_of):
    folder = folders.add("NLPR")
    before = contents_of(folder)
    for ours, theirs in (("RGB", "Imgs"), ("depth", "depths"), ("GT", "masks")):
        (folder / ours).rename(folder / theirs)
    (folder / "readme.txt").write_text("ignored")
    (folder / "Imgs" / "._a.jpg").write_text("ignored")
    files = prepare(folder)
    manifest = json.loads(files.pop("test/NLPR/prepared.json"))
    assert files == {f"test/NLPR/{name}": content for name, content in before.items()}
    assert stems(files) == NAMES
    assert manifest["num_samples"] == 3
    assert manifest["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in before.items()
    }


def test_prepared_folder_is_a_data_set(folders, prepare, tmp_path):
    prepare(folders.add("NLPR"), split="train")
    module = RGBDSaliencyDataModule(
        root=str(tmp_path / "prepared"), test_sets=["train/NLPR"], image_size=32
    )
    module.setup("test")
    assert [sample.name for sample in module.test_datasets[0].samples] == ["a", "b", "c"]


def test_second_time_compares_and_writes_nothing(folders, prepare, tmp_path):
    folder = folders.add("NLPR")
    first = prepare(folder)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared").rglob("*")}
    assert prepare(folder) == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_hard_links_on_request(folders, prepare, tmp_path):
    folder = folders.add("NLPR")
    copied = prepare(folder)
    for path in (tmp_path / "prepared").rglob("*.*"):
        path.unlink()
    assert prepare(folder, link=True) == copied
    linked = tmp_path / "prepared/test/NLPR/RGB/a.jpg"
    assert os.path.samefile(linked, folder / "RGB/a.jpg")


def prepare_and_die(source: Path, root: Path, moment: int) -> None:
    """Be killed between the writing of a file and its renaming."""
    replace, calls = os.replace, []

    def replace_or_die(*paths):
        calls.append(paths)
        if len(calls) > moment:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = replace_or_die
    opened = open_source(source, root)
    (prepared,) = make_plan(opened.list_files(), "SOURCE", split="test")
    write_plan(prepared, opened, root, "SOURCE")


@pytest.mark.parametrize("moment", [0, 4, 9])
def test_killed_at_any_moment_it_is_continued(folders, prepare, contents_of, tmp_path, moment):
    folder, root = folders.add("NLPR"), tmp_path / "prepared"
    process = multiprocessing.get_context("fork").Process(
        target=prepare_and_die, args=(folder, root, moment)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    left = contents_of(root)
    hidden = [name for name in left if Path(name).name.startswith(".")]
    assert len(hidden) == 1 and len(left) == moment + 1
    visible = {name: content for name, content in left.items() if name not in hidden}
    # Ten files: nine images, and the list of them last.
    assert "test/NLPR/prepared.json" not in visible
    whole = prepare(folder)
    assert stems(whole) == NAMES and len(whole) == 10
    assert visible.items() <= whole.items()


@pytest.mark.parametrize("stem", ["a", "c"])
def test_nothing_is_overwritten_or_written_beside_it(folders, prepare, contents_of, tmp_path, stem):
    folder = folders.add("NLPR")
    taken = tmp_path / f"prepared/test/NLPR/depth/{stem}.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"precious")
    with pytest.raises(DataError, match=rf"depth/{stem}\.png exists and differs from .*--output"):
        prepare(folder)
    assert contents_of(tmp_path / "prepared") == {f"test/NLPR/depth/{stem}.png": b"precious"}


def test_files_of_another_source(folders, prepare, contents_of, tmp_path):
    prepare(folders.add("NLPR", ("a", "b")))
    before = contents_of(tmp_path / "prepared")
    with pytest.raises(DataError, match=r"a\.png is no file of this source|a\.jpg is no file of"):
        prepare(folders.add("other/NLPR", ("b", "c")))
    with pytest.raises(DataError, match="prepared.json lists 6 files, and this source has 9"):
        prepare(folders.add("more/NLPR", ("a", "b", "c")))
    assert contents_of(tmp_path / "prepared") == before


def test_damaged_list(folders, prepare, tmp_path):
    folder = folders.add("NLPR")
    prepare(folder)
    (tmp_path / "prepared/test/NLPR/prepared.json").write_text("{")
    with pytest.raises(DataError, match="prepared.json: cannot be read"):
        prepare(folder)


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("404 not found")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(damage_cut, "truncated"), (damage_empty, "the file is empty"), (damage_text, "no image")],
)
def test_images_that_cannot_be_decoded(folders, prepare, contents_of, tmp_path, damage, reason):
    folder = folders.add("NLPR")
    noise = np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "depth/b.png")
    damage(folder / "depth/b.png")
    with pytest.raises(DataError, match=rf"depth/b\.png: cannot be decoded \(.*{reason}"):
        prepare(folder)
    assert not any("prepared.json" in name or "depth/b" in name for name in contents_of(tmp_path
        / "prepared"))  # fmt: skip


def test_header_that_claims_too_many_pixels(folders, prepare):
    folder = folders.add("NLPR")
    Image.new("1", (20000, 20000)).save(folder / "GT/b.png")
    with pytest.raises(DataError, match=r"GT/b\.png: cannot be decoded \(.*decompression bomb"):
        prepare(folder)


def test_disk_that_is_full_at_once_or_later(folders, prepare, contents_of, tmp_path, monkeypatch):
    folder, root = folders.add("NLPR"), tmp_path / "prepared"
    usage = type("Usage", (), {"free": 100})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(DataError, match="NLPR: 0 MiB to be written, and 0 MiB free"):
            prepare(folder)
    assert contents_of(root) == {}
    writes = []

    def replace(source, target):
        writes.append(target)
        if len(writes) == 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        os.rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", replace)
        with pytest.raises(DataError, match=r"cannot be written \(No space left on device\).*rest"):
            prepare(folder)
    left = contents_of(root)
    assert len(left) == 4 and not any(".part" in name for name in left)
    assert left.items() <= prepare(folder).items()


def test_one_process_at_a_time(folders, prepare, tmp_path):
    folder, root = folders.add("NLPR"), tmp_path / "prepared"
    opened = open_source(folder, root)
    (prepared,) = make_plan(opened.list_files(), "SOURCE", split="test")

    def advance():
        with pytest.raises(DataError, match="NLPR: another process is preparing this data set"):
            write_plan(prepared, opened, root, "SOURCE")

    assert write_plan(prepared, opened, root, "SOURCE", advance=advance) == 9
