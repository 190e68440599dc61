"""Scores and maps of corrupted images say so and replace none of clean ones."""

import json
import shutil
from pathlib import Path

import pytest
from small_fit import fit

import lightning_modules.main as command_line

NOISE = "--data.corruption=depth:noise:0.50"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert fit(folder, "--test_after_fit=true") == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def main(words: list[str]) -> int:
    try:
        return command_line.main(words)
    except SystemExit as error:
        return int(str(error.code))


def on(run: Path, command: str, *options: str) -> int:
    return main([command, f"--config={run / 'config.yaml'}", *options])


def elsewhere(run: Path, folder: Path, *options: str) -> int:
    place = [f"--trainer.default_root_dir={folder}"]
    place += [f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]
    return on(run, "test", *place, *options)


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    return line


@pytest.mark.parametrize("is_tested", [True, False])
def test_results_of_clean_images_stay(
    run: Path, is_tested: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_tested:  # the run's own test, still to come, would meet those of corrupted images
        (run / "results.json").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert on(run, "test", NOISE) == 2
    line = error_of(capsys)
    what = "results.json" if is_tested else "config.yaml"
    assert f"corruption is depth:noise:0.5, and {run / what} is of clean images" in line
    assert "--trainer.default_root_dir" in line and "--ckpt_path" in line
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert on(run, "test") == 0


def test_scores_of_corrupted_images_say_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = tmp_path / "noisy"
    assert elsewhere(run, noisy, NOISE) == 0
    assert "Scores, depth:noise:0.5" in capsys.readouterr().out
    clean, corrupted = (json.loads((x / "results.json").read_text()) for x in (run, noisy))
    assert corrupted["scores"] != clean["scores"]
    assert corrupted["data_digest"] == clean["data_digest"]
    assert (clean["remarks"], clean["corruption"]) == ([], None)
    assert corrupted["remarks"] == ["scores of corrupted test images: depth:noise:0.5"]
    assert corrupted["corruption"] == "depth:noise:0.5"
    # The same corruption again, in another spelling, is no other one; anything else is.
    assert elsewhere(run, noisy, "--data.corruption=depth:noise:5e-1") == 0
    for other in ("--data.corruption=null", "--data.corruption=depth:noise:0.6"):
        assert elsewhere(run, noisy, other) == 2
        assert "is of images with depth:noise:0.5, expected results of one kind" in error_of(capsys)
    assert json.loads((noisy / "results.json").read_text())["scores"] == corrupted["scores"]


def test_maps_of_corrupted_images_lie_elsewhere(run: Path) -> None:
    assert on(run, "predict") == on(run, "predict", NOISE) == 0
    clean, noisy = (
        (run / name / "synthetic/test_00000.png").read_bytes()
        for name in ("predictions", "predictions_depth_noise_0.5")
    )
    assert clean != noisy


def test_a_run_may_be_of_corrupted_test_images(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert fit(run, "--test_after_fit=true", "--data.corruption=rgb:blank:1") == 0
    of_clean, of_corrupted = (json.loads((x / "results.json").read_text()) for x in (trained, run))
    assert of_corrupted["remarks"] == ["scores of corrupted test images: rgb:blank:1"]
    # It trains and selects on clean images.
    assert of_corrupted["validation"] == of_clean["validation"]
    assert on(run, "test") == 0
    assert on(run, "test", "--data.corruption=null") == 2
    assert "images with rgb:blank:1" in error_of(capsys)


def test_a_table_marks_them(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert elsewhere(run, Path("noisy"), NOISE) == 0
    rows = [
        {"name": name, "seeds": [0], "folder": name, "command": "none"} for name in ("run", "noisy")
    ]
    Path("table.yaml").write_text(json.dumps({"title": "Two", "rows": rows}))
    assert main(["table", "table.yaml", "--output", "table.md"]) == 0
    lines = Path("table.md").read_text().splitlines()
    (clean,) = [line for line in lines if line.startswith("| run")]
    (noisy,) = [line for line in lines if line.startswith("| noisy")]
    assert "<sup>" not in clean and "noisy<sup>" in noisy
    assert any("Scores of corrupted test images: depth:noise:0.5" in line for line in lines)


@pytest.mark.parametrize("setting", ["corruption=depth:blank:1", "modality_dropout=0.5"])
def test_probes_have_knobs_of_their_own(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    probe = Path(__file__).parents[3] / "experiments/probes/probe.yaml"
    assert main(["fit", f"--config={probe}", f"--data.{setting}"]) == 2
    line = error_of(capsys)
    assert f"TokenProbeDataModule has no option {setting.partition('=')[0]}" in line
    assert "holes_depth" in line and "noise" in line
