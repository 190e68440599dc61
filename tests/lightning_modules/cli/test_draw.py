"""`mutualformer draw`: pictures hold what the runs compute, and mistakes are said in a line."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.label_map import LabelMap
from lightning_modules.cli.configurations import Source
from lightning_modules.cli.first_scenes import look_at_first
from lightning_modules.main import main
from lightning_modules.report.affinity_steps_figure import AffinityLook, AffinitySteps
from lightning_modules.report.class_overlay import colour_classes
from lightning_modules.report.convergence_figure import measure_convergence
from lightning_modules.report.fusions_figure import (
    PredictedScene,
    draw_fusions,
    look_at_prediction,
)
from lightning_modules.runs.run_folder import RunFolder

TINY = Path(__file__).parents[1] / "tiny.yaml"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    """Two runs of one step on the same pairs."""
    folder = tmp_path_factory.mktemp("runs")
    for fusion in ("mutualformer", "depth"):
        options = [
            f"--config={TINY}",
            *(f"--model.network.fusion.name={fusion}", "--affinity_maps.num_samples=0"),
            *("--data=datamodules.RGBDSaliencyDataModule", f"--data.root={pairs}"),
            *("--data.train_sets=[PAIRS]", "--data.test_sets=[OTHERS]", "--data.num_workers=0"),
            *("--data.image_size=64", "--trainer.limit_train_batches=1"),
        ]
        assert main(["fit", *options, f"--trainer.default_root_dir={folder / fusion}"]) == 0
    return folder


def source_of(run: Path) -> Source:
    return Source(run / "config.yaml", RunFolder(run))


def error_of(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command, which must fail as a mistake of the user; returns its message."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as error:
        main(["draw", *map(str, words)])
    assert error.value.code == 2
    text = capfd.readouterr().err  # with what libraries warn of the machine that tests run on
    assert "Traceback" not in text
    (message,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return message


def steps_of(run: Path, settings: list[str], number: int = 1, steps: int = 2) -> AffinitySteps:
    *before, found = look_at_first(
        source_of(run),
        settings,
        number,
        lambda module: AffinityLook(module.network, None, steps, number),
    )
    assert before == [None] * (number - 1) and found is not None
    return found


def test_a_strip_and_an_animation_of_one_image(runs: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.png", tmp_path / "a.gif"]
    words = ["draw", "affinities", str(runs / "mutualformer"), "--steps=3", "--image=2"]
    before = sorted(runs.rglob("*"))
    assert main([*words, *(f"--output={path}" for path in outputs)]) == 0
    strip, animation = map(Image.open, outputs)
    assert animation.n_frames == 5  # T = 0, 1, 2, 3 and the limit
    assert sorted(runs.rglob("*")) == before  # the run is as it was
    assert strip.width > 1.5 * animation.width


def test_steps_are_those_of_the_recurrence(runs: Path) -> None:
    found = steps_of(runs / "mutualformer", [], number=2)
    assert found.name == "9" and found.size == (48, 64) and found.stride == 16
    assert list(found.maps) == [0, 1, 2, "inf"] and list(found.points) == ["object", "background"]
    side = 4  # 64 pixels at stride 16
    for index, (y, x) in enumerate(found.points.values()):
        own = np.zeros((side, side))
        own[y // 16, x // 16] = 1
        np.testing.assert_allclose(found.maps[0][0, index], own)  # from the identity
    far, near, nearer = (np.abs(found.maps[t] - found.maps["inf"]).max() for t in (0, 1, 2))
    assert 0 < nearer < near < far


def test_a_pair_of_files_is_drawn_without_a_mask(runs: Path, pairs: Path) -> None:
    folder = pairs / "PAIRS"
    files = [
        f"--data.predict_{x}={folder / y}"
        for x, y in (("rgb", "RGB/0.png"), ("depth", "depth/0.png"))
    ]
    found = steps_of(runs / "mutualformer", files)
    assert found.name == "0" and found.points


def test_predictions_lie_beside_their_errors(runs: Path, tmp_path: Path) -> None:
    output = tmp_path / "fusions.svg"
    assert main(["draw", "fusions", str(runs), "--images=2", f"--output={output}"]) == 0
    text = output.read_text()
    found = {
        name: look_at_first(source_of(runs / name), [], 2, lambda _: look_at_prediction)
        for name in ("mutualformer", "depth")
    }
    assert [list(x[0].inputs) for x in found.values()] == [["RGB", "Depth"], ["Depth"]]
    first, second = (found[name][1] for name in found)
    assert first.name == second.name == "9" and first.truth is not None
    np.testing.assert_array_equal(first.truth[1], second.truth[1])
    assert not np.array_equal(first.prediction, second.prediction)
    expected = np.abs(first.prediction - first.truth[1])[..., 0]
    np.testing.assert_array_equal(first.error, expected)
    assert f"{expected.mean():.3f}" and "<svg" in text


def test_runs_on_other_images_are_not_set_side_by_side(
    runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def scene(name: str, value: float) -> PredictedScene:
        picture = np.full((4, 4, 1), value)
        return PredictedScene(
            name, (4, 4), {"RGB": picture}, picture, ("Mask", picture), picture[..., 0]
        )

    with pytest.raises(ValueError, match="b shows 2, and a 1, of other data"):
        draw_fusions({"a": [scene("1", 0)], "b": [scene("2", 0)]}, ".png")
    with pytest.raises(ValueError, match="of other data"):
        draw_fusions({"a": [scene("1", 0)], "b": [scene("1", 1)]}, ".png")


def test_void_is_no_error() -> None:
    label_map = LabelMap(("a", "b"), void=(255,))
    label, predicted = torch.tensor([[[0, 1, 255]]]), torch.tensor([[[0, 0, 1]]])
    pictures = {
        "RGB": torch.zeros(1, 3, 1, 3),
        "Prediction": colour_classes(predicted, label_map),
        "Label": colour_classes(label, label_map),
    }
    module: Any = SimpleNamespace(pictures=lambda batch, outputs: pictures)
    batch = {"name": ["x"], "original_size": [(1, 3)], "label": label}
    error = look_at_prediction(module, batch, None, 0).error
    assert error is not None and error.tolist() == [[0, 1, 0]]


def test_errors_shrink_at_the_rate_of_the_theory(tmp_path: Path) -> None:
    for epsilon, errors in measure_convergence([0.3, 0.9], 20).items():
        bound = [errors[0] * epsilon**t for t in range(21)]
        assert all(x <= y * (1 + 1e-9) for x, y in zip(errors, bound, strict=True))
        assert math.isclose(errors[-1] / errors[-2], epsilon, rel_tol=0.02)
    output = tmp_path / "convergence.png"
    assert main(["draw", "convergence", f"--output={output}"]) == 0
    assert Image.open(output).width > 500


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["convergence"], "required: --output"),
        (["convergence", "--output=a.gif"], "expected a file ending in .png .svg"),
        (["affinities", "RUNS/mutualformer", "--output=a.pdf"], "ending in .png .svg .gif"),
        (["affinities", "RUNS/none", "--output=a.png"], "no such file or folder"),
        (["affinities", str(TINY), "--output=a.png"], "is an experiment, expected the folder"),
        (["affinities", "RUNS", "--output=a.png"], "holds 2 runs, expected one"),
        (["affinities", "RUNS/depth", "--output=a.png"], "no cross-diffusion attention"),
        (
            ["affinities", "RUNS/mutualformer", "--output=a.png", "--stride=8"],
            "stride is 8, expected",
        ),
        (["affinities", "RUNS/mutualformer", "--output=a.png", "--image=9"], "at most the 2 there"),
        (["fusions", "RUNS/depth", "--output=a.png", "--images=0"], "expected an integer >= 1"),
        (
            ["fusions", "RUNS/depth", "--output=a.png", "--model.network.fusion_dim=8"],
            "would change what",
        ),
        (["fusions", "RUNS/depth", "--output=a.png", "--data.root"], "--data.root has no value"),
        (["fusions", "RUNS/depth", "--output=a.png", "--data.root=/none"], "/none: no such folder"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    words: list[str],
    message: str,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capfd, *(x.replace("RUNS", str(runs)) for x in words))
    assert not [*tmp_path.iterdir()]


def test_a_run_without_checkpoint_and_an_unknown_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps({"seed_everything": 0}))
    assert "train first" in error_of(capfd, "fusions", tmp_path, f"--output={tmp_path}/a.png")
    assert main(["draw", "cats"]) == 2
    assert "expected one of affinities, convergence, fusions" in capfd.readouterr().err
