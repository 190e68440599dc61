import errno
import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError, RGBDSaliencyDataModule
from datamodules.reading import depth_maps, image_files
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader


def module_for(folders, cache_dir, **arguments):
    module = RGBDSaliencyDataModule(
        root=str(folders.root),
        train_sets=["NLPR"],
        image_size=32,
        batch_size=2,
        validation_fraction=0.0,
        cache_dir=None if cache_dir is None else str(cache_dir),
        **{"num_workers": 0} | arguments,
    )
    module.setup("fit")
    module.test_sets = ["NLPR"]  # afterwards: nobody is to train on a test set
    module.setup("test")
    return module


def read_depth(path, cache=None):
    return DepthReader()(path, "", cache)


def batches_of(module):
    return [*module.train_dataloader(), *module.test_dataloader()[0]]


def assert_equal(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[key]), key
            elif key == "ground_truth":
                assert all(map(torch.equal, value, other[key]))
            else:
                assert value == other[key]


def arrays_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def no_decoding(monkeypatch):
    def forbid():
        for module, name in (
            (image_files, "_decode_rgb"),
            (depth_maps, "read_values"),
            (image_files, "_decode_mask"),
        ):

            def fail(path, *_arguments, name=name):
                raise AssertionError(f"{path} was decoded")

            fail.__name__ = name
            monkeypatch.setattr(module, name, fail)

    return forbid


@pytest.fixture
def varied(folders):
    """A data set with every kind of array: 8- and 16-bit and float depth, masks of one bit."""
    folder = folders.add("NLPR", ("a", "b", "c", "d"))
    ramp = np.arange(48 * 64).reshape(48, 64)
    Image.fromarray((ramp * 20).astype(np.uint16)).save(folder / "depth/b.png")
    (folder / "depth/c.png").unlink()
    Image.fromarray(ramp.astype(np.float32) / 7).save(folder / "depth/c.tif")
    Image.fromarray(ramp % 64 > 30).save(folder / "GT/d.png")
    return folders


@pytest.mark.parametrize("num_workers", [0, 2])
def test_cached_samples_equal_those_of_files(varied, tmp_path, no_decoding, num_workers):
    cache = tmp_path / "cache"
    expected = batches_of(module_for(varied, None))
    filling = batches_of(module_for(varied, cache, num_workers=num_workers))
    assert_equal(filling, expected)
    assert len(arrays_in(cache)) == 12
    no_decoding()
    assert_equal(batches_of(module_for(varied, cache, num_workers=num_workers)), expected)


def test_changes_of_a_sample_stay_out_of_the_cache(varied, tmp_path):
    cache = DecodedImageCache(tmp_path / "cache")
    path = varied.root / "NLPR/RGB/a.jpg"
    first = image_files.read_rgb(path, cache)
    image_files.read_rgb(path, cache).fill(0)
    assert np.array_equal(image_files.read_rgb(path, cache), first)
    assert first.any()


@pytest.mark.parametrize("keep_time", [True, False])
def test_changed_file_is_decoded_again(folders, tmp_path, keep_time):
    path = folders.add("NLPR", ("a",)) / "depth/a.png"
    cache, folder = DecodedImageCache(tmp_path / "cache"), tmp_path / "cache"
    before, status = read_depth(path, cache), path.stat()
    Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(path)
    assert path.stat().st_size != status.st_size
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = read_depth(path, cache)
    assert np.array_equal(after, read_depth(path))
    assert not np.array_equal(after, before)
    assert len(arrays_in(folder)) == 1  # the outdated array is gone


def test_changed_time_alone(folders, tmp_path):
    path = folders.add("NLPR", ("a",)) / "depth/a.png"
    cache = DecodedImageCache(tmp_path / "cache")
    (before,) = arrays_in_after_reading(path, cache, tmp_path / "cache")
    os.utime(path, ns=(1, 1))
    (after,) = arrays_in_after_reading(path, cache, tmp_path / "cache")
    assert before != after


def arrays_in_after_reading(path, cache, folder):
    read_depth(path, cache)
    return arrays_in(folder)


def test_other_version_of_the_decoder(folders, tmp_path, monkeypatch, no_decoding):
    path = folders.add("NLPR", ("a",)) / "depth/a.png"
    read_depth(path, DecodedImageCache(tmp_path / "cache"))
    no_decoding()
    read_depth(path, DecodedImageCache(tmp_path / "cache"))
    monkeypatch.setattr("PIL.__version__", "99.0")
    with pytest.raises(AssertionError, match="was decoded"):
        read_depth(path, DecodedImageCache(tmp_path / "cache"))


def test_one_file_read_in_two_ways(folders, tmp_path):
    path = folders.add("NLPR", ("a",)) / "GT/a.png"
    cache = DecodedImageCache(tmp_path / "cache")
    for read in (image_files.read_rgb, read_depth, image_files.read_mask) * 2:
        assert np.array_equal(read(path, cache), read(path))


@pytest.mark.parametrize("size", [0, 50, 500])
def test_cut_array_is_made_anew(folders, tmp_path, size):
    path = folders.add("NLPR", ("a",)) / "depth/a.png"
    cache = DecodedImageCache(tmp_path / "cache")
    expected = read_depth(path, cache)
    (stored,) = (tmp_path / "cache").rglob("*.npy")
    whole = stored.read_bytes()
    stored.write_bytes(whole[:size])
    assert np.array_equal(read_depth(path, cache), expected)
    assert stored.read_bytes() == whole


def fill(folders, cache, ready):
    torch.set_num_threads(1)
    ready.wait()
    batches_of(module_for(folders, cache))


def test_processes_that_build_one_cache_at_once(folders, tmp_path, no_decoding):
    folders.add("NLPR", tuple("abcdefgh"))
    context, cache = multiprocessing.get_context("fork"), tmp_path / "cache"
    ready = context.Barrier(3)
    processes = [context.Process(target=fill, args=(folders, cache, ready)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    names = arrays_in(cache)
    assert len(names) == 24 and all(name.endswith(".npy") for name in names)
    expected = batches_of(module_for(folders, None))
    no_decoding()
    assert_equal(batches_of(module_for(folders, cache)), expected)


def test_array_that_is_replaced_while_it_is_in_use(folders, tmp_path):
    path = folders.add("NLPR", ("a",)) / "RGB/a.jpg"
    cache, stop = DecodedImageCache(tmp_path / "cache"), threading.Event()
    expected = image_files.read_rgb(path, cache)

    def touch():
        for number in range(2, 200):
            os.utime(path, ns=(number, number))
            image_files.read_rgb(path, cache)
        stop.set()

    thread = threading.Thread(target=touch)
    thread.start()
    while not stop.is_set():
        assert np.array_equal(image_files.read_rgb(path, cache), expected)
    thread.join()


def test_full_disk(folders, tmp_path, monkeypatch):
    folders.add("NLPR")
    save, saved = np.save, []

    def save_or_fail(file, values, **options):
        saved.append(file)
        if len(saved) > 4:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, values, **options)

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr("numpy.save", save_or_fail)
        with pytest.raises(DataError, match=rf"--data.cache_dir {cache}: .*No space.*free some"):
            batches_of(module_for(folders, cache))
    assert len(arrays_in(cache)) == 4 and all(name.endswith(".npy") for name in arrays_in(cache))
    assert_equal(batches_of(module_for(folders, cache)), batches_of(module_for(folders, None)))


def test_read_only_cache_serves_if_it_is_complete(folders, tmp_path, monkeypatch):
    folders.add("NLPR")
    cache = tmp_path / "cache"
    expected = batches_of(module_for(folders, cache))

    # The permissions of a folder do not hold for an administrator, who may run this.
    def refuse(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("datamodules.reading.decoded_image_cache.write_atomically", refuse)
    assert_equal(batches_of(module_for(folders, cache)), expected)
    folders.add("NLPR", ("new",))
    with pytest.raises(DataError, match=r"cannot store .*new.*Read-only.*fill it where"):
        batches_of(module_for(folders, cache))


def test_cache_that_is_a_file(folders, tmp_path):
    folders.add("NLPR")
    (tmp_path / "cache").touch()
    with pytest.raises(DataError, match="--data.cache_dir .*cache: cannot store"):
        batches_of(module_for(folders, tmp_path / "cache"))


def test_errors_are_those_of_the_files(folders, tmp_path):
    folder = folders.add("NLPR")
    module = module_for(folders, tmp_path / "cache")
    (folder / "GT/a.png").unlink()
    (folder / "depth/b.png").write_text("no image")
    for index, name in enumerate(("GT/a.png", "depth/b.png")):
        for _ in range(2):
            with pytest.raises(DataError, match=f"{name}: cannot be read as an image"):
                module.test_datasets[0][index]
