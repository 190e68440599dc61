"""`mutualformer robustness` tests nothing twice, and takes nothing that may be of another run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_pairs import write_pairs
from PIL import Image
from small_fit import fit

import lightning_modules.main as command_line
from datamodules import RGBDSaliencyDataModule
from datamodules.augmentation.corruption import Corruption
from lightning_modules.robustness import measure_runs, robustness_file

WORDS = ["--corruption=depth:noise", "--severities=0.5"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with scores of clean images and of one corruption."""
    run = tmp_path_factory.mktemp("once") / "run"
    assert fit(run, "--data.num_test=3") == 0
    assert command_line.main(["robustness", str(run), *WORDS]) == 0
    return run


@pytest.fixture
def run(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "run"))


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that what is tested will be added to."""
    found: list[str] = []
    original = measure_runs._RunTester._scores

    def scores(self: object, data: object, corruption: Corruption | None) -> object:
        found.append(str(corruption or "clean"))
        if len(found) == 3:
            raise KeyboardInterrupt
        return original(self, data, corruption)  # type: ignore[arg-type]

    monkeypatch.setattr(measure_runs._RunTester, "_scores", scores)
    return found


def read(run: Path) -> dict[str, dict[str, object]]:
    return json.loads((run / "robustness.json").read_text())["scores"]


def test_a_second_call_draws_without_testing(
    run: Path, tested: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = run.rename(tmp_path / "renamed")  # a run is where it lies now
    kept = elsewhere / "robustness.json"
    before = kept.read_bytes()
    more = [f"--plot={tmp_path / 'a.png'}", "--data.num_workers=0", "--data.eval_batch_size=1"]
    assert command_line.main(["robustness", str(elsewhere), *WORDS, *more]) == 0
    shown = capsys.readouterr()
    assert tested == [] and kept.read_bytes() == before
    (line,) = shown.err.splitlines()
    assert line == (f"Nothing to test of {elsewhere} (1 of 1): all 2 kinds of images are in {kept}")
    assert (tmp_path / "a.png").is_file() and "robustness.json" not in shown.out
    score = read(elsewhere)["depth:noise:0.5"]["synthetic"]["s_measure"]  # type: ignore[index]
    assert f"{score:.3f}".lstrip("0") in shown.out


def test_only_what_is_missing_is_tested_and_the_rest_stays(
    run: Path, tested: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = read(run)
    words = ["--corruption", "depth:noise", "--severities=0.25,0.5"]
    assert command_line.main(["robustness", str(run), *words]) == 0
    assert tested == ["depth:noise:0.25"]
    assert "(1 of 1): 2 of 3 kinds of images are in" in capsys.readouterr().err
    assert command_line.main(["robustness", str(run), "--corruption=rgb:blank", WORDS[1]]) == 0
    assert tested == ["depth:noise:0.25", "rgb:blank:0.5"]
    after = read(run)
    assert list(after) == ["clean", "depth:noise:0.5", *tested]
    assert {key: after[key] for key in before} == before


def test_an_interrupted_call_goes_on(run: Path, tested: list[str]) -> None:
    before = read(run)
    (run / "robustness.json").unlink()
    words = ["robustness", str(run), "--corruption=depth:noise", "--severities=0.5,1"]
    with pytest.raises(KeyboardInterrupt):
        command_line.main(words)
    assert read(run) == before
    assert command_line.main(words) == 0
    assert tested[3:] == ["depth:noise:1"]
    assert set(read(run)) == {*before, "depth:noise:1"}


def test_another_checkpoint_is_tested_anew(
    run: Path, tested: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "checkpoints/best.ckpt"
    checkpoint = torch.load(path)
    next(iter(checkpoint["state_dict"].values())).mul_(2)
    torch.save(checkpoint, path)
    assert command_line.main(["robustness", str(run), *WORDS, "--trainer.accelerator=auto"]) == 0
    assert tested == ["clean", "depth:noise:0.5"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"Testing {run} (1 of 1), all of it: {run / 'robustness.json'} is of before a change of "
        "the checkpoint and of the settings"
    )


def edit_score(text: str) -> str:
    content = json.loads(text)
    content["scores"]["clean"]["synthetic"]["s_measure"] = 0.999
    return json.dumps(content)


def of_earlier_version(text: str) -> str:
    content = json.loads(text)
    return json.dumps({x: content[x] for x in content if x not in ("measured_of", "digest")})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[:300], "is damaged ("),
        (lambda _: "[]", "does not say what it was measured of"),
        (of_earlier_version, "does not say what it was measured of"),
        (edit_score, "was edited"),
        (lambda text: text.replace("synthetic", "SIP"), "was edited"),
        (lambda text: text.replace('"digest"', '"digests"'), "was edited"),
    ],
)
def test_nothing_is_taken_from_a_file_that_is_not_as_it_was_written(
    change: Callable[[str], str], reason: str, measured: Path, tmp_path: Path
) -> None:
    before = (measured / "robustness.json").read_text()
    path = tmp_path / "robustness.json"
    path.write_text(before)
    origin = json.loads(before)["measured_of"]
    known, why_not = robustness_file.read_known(path, origin)
    assert set(known) == {"clean", "depth:noise:0.5"} and why_not == ""
    path.write_text(change(before))
    known, why_not = robustness_file.read_known(path, origin)
    assert known == {} and why_not.startswith(f"{path} {reason}")


@pytest.mark.parametrize("part", ["checkpoint", "settings", "images", "code", "packages"])
def test_every_part_of_the_origin_counts(part: str, measured: Path) -> None:
    path = measured / "robustness.json"
    origin = json.loads(path.read_text())["measured_of"]
    assert [*origin] == [*robustness_file._IN_WORDS]
    known, why_not = robustness_file.read_known(path, origin | {part: "another"})
    assert known == {} and robustness_file._IN_WORDS[part] in why_not


def test_images_in_folders_count_by_their_content(tmp_path: Path) -> None:
    def digest(root: Path) -> str:
        data = RGBDSaliencyDataModule(root=str(root), test_sets=["A"], image_size=32)
        data.setup("test")
        return robustness_file._digest_of_images(data.test_datasets)

    root = write_pairs(tmp_path / "here", ["A"])
    before = digest(root)
    assert digest(Path(shutil.copytree(root, tmp_path / "there"))) == before
    seen = {before}
    for kind in ("RGB", "depth", "GT"):
        path = root / "A" / kind / "1.png"
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        seen.add(digest(root))
    for kind in ("RGB", "depth", "GT"):
        (root / "A" / kind / "2.png").unlink()
    seen.add(digest(root))
    assert len(seen) == 5
