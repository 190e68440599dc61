"""`mutualformer cost`: costs by hand, one measurement for all seeds, mistakes in a line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from own_parts import TwoLayers
from small_fit import CONFIG, fit

from lightning_modules.cli.cost import _X
from lightning_modules.costs import builder, measure
from lightning_modules.costs.columns import COST_COLUMNS
from lightning_modules.costs.cost_file import read_cost
from lightning_modules.main import main
from mutualformer import MutualFormerNetwork

NO_DATA = (
    "--data=datamodules.RGBDSaliencyDataModule",
    "--data.root=nowhere",
    "--data.train_sets=[A]",
    "--data.test_sets=[A]",
)
SCORES = {"s_measure": 0.9, "f_max": 0.8, "e_max": 0.9, "mae": 0.1}


@pytest.fixture(autouse=True)
def _no_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_SECONDS", 0.0)


class FailsInForward(TwoLayers):
    """A network of a user's with a defect."""

    def forward(self, rgb: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        return self.first(rgb)


class WithItsEncoder(MutualFormerNetwork):
    """A network of a user's that is ours, and always has the same encoder."""

    def __init__(self, width: int) -> None:
        super().__init__("tu-test_efficientnet", fusion_dim=width, decoder_dim=width)


class TakesFourier(TwoLayers):
    """A network of a user's that runs an operator without a count."""

    def forward(self, rgb: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        return super().forward(rgb, depth) + torch.fft.rfft2(depth).abs().mean()


def experiment(path: Path, network: str = "own_parts.TwoLayers", width: int = 4) -> Path:
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    content["model"]["network"] = {"class_path": network, "init_args": {"width": width}}
    content["data"]["init_args"] |= {"num_train": 3, "num_val": 1, "num_test": 1, "image_size": 32}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def run_of(folder: Path, width: int = 4, seed: int = 0, results: bool = True) -> Path:
    path = experiment(folder / "config.yaml", width=width)
    path.write_text(path.read_text().replace("seed_everything: 0", f"seed_everything: {seed}"))
    content = {"scores": {"SET": SCORES}, "num_images": {"SET": 1}, "protocol": "by hand"}
    if results:
        (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_a_network_that_takes_no_weights_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    path = experiment(tmp_path / "own.yaml", "test_cost_command.WithItsEncoder", width=32)
    assert main(["cost", str(path), "--data.image_size=64"]) == 0


def test_costs_of_two_convolutions(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    assert main(["cost", str(run)]) == 0
    cost = read_cost(run / "cost.json")
    assert cost.parameters == cost.trainable_parameters == 4 * 4 * 9 + 4 + 4 + 1
    pixels, multiply_adds = 32 * 32, 4 * 4 * 9 + 4
    assert cost.forward_flops == 2 * pixels * multiply_adds
    # The images have no gradient.
    assert cost.step_flops == 2 * pixels * (3 * multiply_adds - 4 * 4 * 9)
    assert (cost.batch_size, cost.image_size, cost.precision) == (2, "32 × 32", "32-true")
    # At least the two images as one of four channels, and the four channels made of it.
    assert 8 * 4 * pixels / 2**20 < cost.forward_mib < 1
    assert cost.step_mib > 16 * 4 * pixels / 2**20
    assert min(cost.forward_ms, cost.step_ms) > 0
    assert sorted(path.name for path in run.iterdir()) == [
        "config.yaml",
        "cost.json",
        "results.json",
    ]


def test_every_cost_can_be_the_axis_of_the_plot() -> None:
    assert tuple(column.name for column in COST_COLUMNS) == _X


def test_seeds_are_measured_once_and_other_networks_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = []
    original = builder.measure_cost

    def spy(module: Any, *arguments: Any) -> Any:
        measured.append(module.network.first.out_channels)
        return original(module, *arguments)

    monkeypatch.setattr(builder, "measure_cost", spy)
    for width in (4, 8):
        for seed in (0, 1):
            run_of(tmp_path / "runs" / f"{width},{seed}", width, seed, results=seed == 0)
    plot, page = tmp_path / "cost.png", tmp_path / "cost.csv"
    words = ["--plot", str(plot), "--x=params_m", "--output", str(page)]
    assert main(["cost", str(tmp_path / "runs"), *words]) == 0
    assert measured == [4, 8]
    for width in (4, 8):
        costs = [read_cost(tmp_path / "runs" / f"{width},{seed}/cost.json") for seed in (0, 1)]
        assert costs[0] == costs[1]
        assert costs[0].parameters == 4 * width * 9 + width + width + 1
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"width=8,Cost: one image,params_m,{costs[0].parameters / 1e6}," in page.read_text()
    shown = capsys.readouterr()
    assert "width=4" in shown.out and "width=8" in shown.out
    assert "runs/8,1 has no results: not in the plot" in shown.err


def test_the_run_of_a_real_training(tmp_path: Path) -> None:
    assert fit(tmp_path / "run") == 0
    assert main(["cost", str(tmp_path / "run" / "config.yaml"), "--trainer.accelerator=cpu"]) == 0
    assert read_cost(tmp_path / "run" / "cost.json").parameters == 4 * 4 * 9 + 4 + 4 + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.yaml"], "absent.yaml: no such file or folder"),
        (["."], "expected the folder of a run, or one with several of them"),
        (["fails.yaml"], r"fails.yaml: model: .*channels"),
        (["fourier.yaml"], r"fourier.yaml: the operator aten._fft_r2c.default has no count"),
        (["fine.yaml", *NO_DATA], "fine.yaml: .*nowhere"),
        (["broken.yaml"], "broken.yaml"),
        (["run", "--model.network.width=8"], "--model.network.width would change what run is"),
        (["fine.yaml", "--plot=cost.png"], "no CONFIG is a run with results"),
        (["fine.yaml", "--plot=cost.pdf"], "expected a file ending in .png .svg"),
        (["fine.yaml", "--x=price"], "params_m"),
        (["fine.yaml", "--x=ms"], "--x is ms without a plot"),
        (["fine.yaml", "--model.network.width", "8"], "--model.network.width has no value"),
        (["fine.yaml", "--speed"], "--speed"),
        ([], "CONFIG"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    experiment(Path("fine.yaml"))
    experiment(Path("fails.yaml"), "test_cost_command.FailsInForward")
    experiment(Path("fourier.yaml"), "test_cost_command.TakesFourier")
    Path("broken.yaml").write_text("model: [")
    run_of(tmp_path / "run" if words[:1] == ["run"] else tmp_path / "below" / "other" / "run")
    try:
        code = main(["cost", *words])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    told = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("Measuring")]
    assert re.search(message, told[-1]), told
    assert "Traceback" not in "".join(told)
    assert not list(tmp_path.rglob("cost.*"))
