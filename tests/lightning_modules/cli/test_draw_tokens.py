"""`mutualformer draw affinities` of a probe: rows of its tokens, on the regions of its scene."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from datamodules.token_probe_data_module import TokenProbeDataset
from datamodules.token_probes import NOT_ASKED, ProbeSettings, generate_probe
from lightning_modules.report.affinity_steps_figure import AffinitySteps, draw_affinity_steps
from lightning_modules.report.token_affinities import TokenLook
from mutualformer.errors import UserError
from mutualformer.fusions import Concat, MutualFormerBlock
from mutualformer.network.token_network import TokenNetwork


def look(settings: ProbeSettings, number: int = 2, **options: Any) -> AffinitySteps:
    torch.manual_seed(0)
    network = TokenNetwork(
        fusion=lambda dim: MutualFormerBlock(dim, num_heads=2, **options), dim=8
    ).eval()
    seen = TokenLook(network, None, 2, number)
    dataset = TokenProbeDataset(settings, 3, seed=0, split="test")
    items = [dataset[index] for index in range(3)]
    batch = {x: torch.stack([item[x] for item in items]) for x in ("rgb", "depth")}
    batch["name"] = [item["name"] for item in items]
    module: Any = SimpleNamespace(
        trainer=SimpleNamespace(datamodule=SimpleNamespace(test_datasets=[dataset]))
    )
    with torch.no_grad():
        network(batch["rgb"], batch["depth"])
    *before, found = [seen(module, batch, {}, index) for index in range(number)]
    assert before == [None] * (number - 1) and found is not None
    return found


def test_rows_are_those_of_a_token_that_asks_and_of_one_that_has_a_label() -> None:
    settings = ProbeSettings(gap=1.0, holes_depth=0.4)
    found, scene = look(settings), generate_probe(settings, 0, "test", 1)
    assert found.name == "test_00001" and list(found.maps) == [0, 1, 2, "inf"]
    token = {name: 8 * y + x for name, (y, x) in found.points.items()}
    assert scene.target[token["asking"]] != NOT_ASKED
    assert scene.depth[token["labelled"], settings.feature_dim :].any()
    for index, (y, x) in enumerate(found.points.values()):
        own = np.zeros((8, 8))
        own[y, x] = 1
        np.testing.assert_allclose(found.maps[0][0, index], own)  # from the identity
    np.testing.assert_allclose(found.within.sum((-2, -1)), 1, rtol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_array_equal(found.regions[0].ravel(), scene.region)  # type: ignore[index]
    black = found.second.reshape(64, 3).any(1) == scene.depth.any(1)
    assert black.all() and 0 < (found.second.sum(-1) == 0).sum() < 64


def test_regions_of_depth_move_with_it() -> None:
    settings = ProbeSettings(misalignment=2, noise=0.0)
    found = look(settings)
    assert found.regions is not None
    rgb, depth = found.regions
    tokens = generate_probe(settings, 0, "test", 1).depth[:, : settings.feature_dim]
    of_region = [np.unique(tokens[depth.ravel() == x], axis=0) for x in np.unique(rgb)]
    assert all(len(x) == 1 for x in of_region)  # one feature in each
    assert not np.array_equal(rgb, depth)


def test_it_is_drawn_with_the_token_ringed_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **o: (figures.append(self), original(self, *a, **o))
    )
    found = look(ProbeSettings(chain_length=2))
    picture = Image.open(io.BytesIO(draw_affinity_steps(found, ".png")))
    (figure,) = figures
    first = figure.axes[:8]
    titles = ["RGB", "Depth", "$S_r$", "$S_d$", *(f"$S_{{rd}}^{{({t})}}$" for t in (0, 1, 2))]
    assert [axes.get_title() for axes in first[:-1]] == titles
    y, x = found.points["asking"]
    assert first[0].lines[-1].get_xydata().tolist() == [[x, y]]
    assert len(first[1].lines) == len(found.dots) + 2  # and the ring
    assert picture.width > 800


@pytest.mark.parametrize(
    ("fusion", "stride", "message"),
    [
        (lambda dim: Concat(dim, num_heads=2), None, "the fusion is mutualformer.fusions.concat"),
        (
            lambda dim: MutualFormerBlock(dim, num_heads=2, variant="release"),
            None,
            "no cross-diffusion attention",
        ),
        (lambda dim: MutualFormerBlock(dim, num_heads=2), 16, "stride is 16, expected"),
    ],
)
def test_what_has_no_such_affinities_is_refused(fusion: Any, stride: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TokenLook(TokenNetwork(fusion=fusion, dim=8), stride, 2, 1)
