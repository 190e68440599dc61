"""The real pairs of docs/real_pairs.md: laid out as it says, they train as the experiments say."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.main import main

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def laid_out(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = shared / "data" / "rgbd_seg"
    if not (source / "potholes").is_dir():
        pytest.skip("pipes and potholes do not lie beside the repository")
    for name in ("pipes", "potholes"):
        (tmp_path / name).symlink_to(source / name)
    monkeypatch.chdir(tmp_path)
    page = (REPOSITORY / "docs" / "real_pairs.md").read_text()
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.M):
        exec(compile(code, "real_pairs.md", "exec"), {})
    return tmp_path / "data"


def test_they_are_split_as_described(laid_out: Path) -> None:
    counts = {
        f"{split}/{name}": len(list((laid_out / split / name / part).iterdir()))
        for split in ("train", "test")
        for name in ("pipes", "potholes")
        for part in ("RGB", "depth", "GT")
    }
    expected = {"train/pipes": 44, "train/potholes": 28, "test/pipes": 27, "test/potholes": 27}
    assert counts == expected


def test_their_depth_is_taken_away_or_another(laid_out: Path) -> None:
    for split in ("train", "test"):
        own, blank, other = (
            {
                path.name: np.asarray(Image.open(path))
                for path in (root / split / "pipes/depth").iterdir()
            }
            for root in (laid_out, laid_out / "blank", laid_out / "unrelated")
        )
        assert own.keys() == blank.keys() == other.keys()
        assert not any(blank[name].any() for name in own)
        assert not any(np.array_equal(own[name], other[name]) for name in own)
        assert {x.tobytes() for x in own.values()} == {x.tobytes() for x in other.values()}


@pytest.mark.parametrize("name", ["pipes", "potholes"])
def test_they_train_and_test(laid_out: Path, name: str) -> None:
    configs = [f"--config=experiments/{name}.yaml", "--config=overlays/smoke"]
    assert main(["fit", *configs, "--test_after_fit=true"]) == 0
    assert (laid_out.parent / "runs" / "smoke" / "results.json").is_file()
