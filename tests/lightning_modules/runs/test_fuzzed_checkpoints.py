"""Damaged and foreign checkpoints, through the check that every command makes first."""

import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from mutations import fuzz, mutate_bytes, mutate_tree

from lightning_modules.cli.training import MutualFormerCLI
from lightning_modules.runs.checkpoints import check_checkpoint
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError

TINY = Path(__file__).parents[1] / "tiny.yaml"


class Execute:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def is_mistake(error: Exception) -> bool:
    return isinstance(error, UserError)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a checkpoint as a training writes it, of the smallest parameters alone."""
    folder = tmp_path_factory.mktemp("run")
    MutualFormerCLI(
        [
            *("fit", "--config", str(TINY), f"--trainer.default_root_dir={folder}"),
            *("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.logger=false"),
        ]
    )
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    small = {name: x for name, x in checkpoint["state_dict"].items() if x.numel() < 100}
    checkpoint["state_dict"] = small
    checkpoint["optimizer_states"] = []
    file = io.BytesIO()
    torch.save(checkpoint, file)
    return file.getvalue()


def edit_archive(content: bytes, rng: random.Random) -> bytes:
    """Drop, rename, damage or repeat a member of the zip file, whose checksums stay right."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as new,
    ):
        names = old.namelist()
        chosen = rng.choice([*names, next(name for name in names if name.endswith("data.pkl"))])
        kind = rng.randrange(4)
        for name in names:
            member = old.read(name)
            if name == chosen and kind == 0:
                continue
            if name == chosen and kind == 1:
                name = rng.choice(("../up", "/root", name + "x", "archive/data.pkl"))
            if name == chosen and kind >= 2:
                member = mutate_bytes(member, rng)
            new.writestr(name, member)
    return file.getvalue()


def save_changed(content: bytes, rng: random.Random) -> bytes:
    checkpoint = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(rng.choice((1, 3))):
        checkpoint = mutate_tree(checkpoint, rng)
    file = io.BytesIO()
    torch.save(checkpoint, file)
    return file.getvalue()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "whole.ckpt").write_bytes(whole)
    check_checkpoint(tmp_path / "whole.ckpt")

    def change(rng: random.Random) -> bytes:
        return rng.choice((mutate_bytes, mutate_bytes, edit_archive, save_changed))(whole, rng)

    def read(path: Path) -> None:
        check_checkpoint(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        assert isinstance(checkpoint["state_dict"], dict)

    num_read, num_refused = fuzz(500, tmp_path / "a.ckpt", change, read, is_mistake)
    assert min(num_read, num_refused) > 50


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    file = io.BytesIO()
    torch.save({"state_dict": Execute(trace)}, file)
    saved = file.getvalue()
    file = io.BytesIO()
    torch.save({"state_dict": Execute(trace)}, file, _use_new_zipfile_serialization=False)
    foreign = [
        *(pickle.dumps({"state_dict": Execute(trace)}, protocol) for protocol in range(6)),
        *(saved, file.getvalue(), b"", b"PK", b"\x80\x02.", b"{}", b"<html>", b"\x93NUMPY"),
    ]
    for number, content in enumerate(foreign):
        path = tmp_path / f"{number}.ckpt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{number}\.ckpt"):
            check_checkpoint(path)
    assert not trace.exists()
    pickle.loads(foreign[0])
    assert trace.exists()  # or this would prove nothing


def test_a_trial_deletes_a_checkpoint_that_is_cut_and_keeps_one_that_is_whole(
    tmp_path: Path,
) -> None:
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.arange(1000.0)}}, file)
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    kept = 0
    for number in range(300):
        content = mutate_bytes(file.getvalue(), random.Random(number))
        path.write_bytes(content)
        usable = RunFolder(tmp_path).usable_checkpoint()
        assert usable in (None, path) and path.exists() == (usable == path), number
        if usable:
            kept += 1
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
    assert 0 < kept < 300
