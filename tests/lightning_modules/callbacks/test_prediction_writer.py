"""Files written by PredictionWriter."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.files import write_atomically
from lightning_modules.callbacks import PredictionWriter
from lightning_modules.metrics import quantise


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_map_per_pair_at_the_original_size(tmp_path, trainer, module, loader, caplog):
    caplog.set_level(logging.INFO)
    loaders = [loader("A", 3, (30, 40), has_mask=False), loader("B", 1, (7, 50), has_mask=False)]
    writer = PredictionWriter()
    returned = trainer(writer).predict(module, loaders)

    assert not returned
    assert writer.directory == tmp_path / "predictions"
    assert files(writer.directory) == [
        "A/image_0.png",
        "A/image_1.png",
        "A/image_2.png",
        "B/image_0.png",
    ]
    with Image.open(writer.directory / "B/image_0.png") as image:
        assert (image.mode, image.size) == ("L", (50, 7))
    assert f"Wrote 4 predictions to {writer.directory}" in caplog.text


def test_saved_map_is_what_is_scored(tmp_path, trainer, module, loader):
    data = loader("A", 2, (45, 61))
    trainer(PredictionWriter(str(tmp_path / "maps"))).predict(module, data)
    saliency = next(iter(data))["rgb"].mean(dim=1, keepdim=True)
    saved = np.array(Image.open(tmp_path / "maps/A/image_1.png"))
    assert torch.equal(torch.from_numpy(saved)[None], quantise(saliency[1], (45, 61)))


def test_a_second_run_replaces_the_files(tmp_path, trainer, module, loader):
    target = tmp_path / "predictions/A/image_0.png"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    run = trainer(PredictionWriter())
    for _ in range(2):
        run.predict(module, loader("A", 1))
    assert Image.open(target).size == (40, 30)


def test_two_pairs_with_one_file_are_an_error(trainer, module, loader):
    data = loader("A", 2, names=["same", "same"])
    with pytest.raises(ValueError, match="two pairs would be written to .*same.png"):
        trainer(PredictionWriter()).predict(module, data)


@pytest.mark.parametrize("name", ["", "..", "../outside", "/etc/outside"])
def test_names_cannot_leave_the_folder(tmp_path, trainer, module, loader, name):
    with pytest.raises(ValueError, match="plain file name"):
        trainer(PredictionWriter()).predict(module, loader("A", 1, names=[name]))
    assert files(tmp_path) == []


def test_a_failing_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "folder" / "file"
    write_atomically(path, lambda file: file.write(b"whole"))

    def fail(file):
        file.write(b"ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"whole"
    assert files(tmp_path) == ["folder/file"]
