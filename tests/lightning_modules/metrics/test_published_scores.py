"""Scores published for ICON on SOC, "appearance change", from maps beside the repository."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.metrics import PairHistograms, SaliencyScores

FOLDER = Path(__file__).resolve().parents[3] / "../shared/data/metric_check/soc_ac"
PUBLISHED = {
    "s_measure": 0.832,
    "mae": 0.066,
    "e_adaptive": 0.872,
    "e_mean": 0.885,
    "e_max": 0.895,
    "f_adaptive": 0.782,
    "f_mean": 0.793,
    "f_max": 0.814,
}

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no ../shared/data/metric_check/soc_ac beside the repository"
)


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L")))


@pytest.fixture(scope="module")
def pairs():
    pairs = [
        (read(FOLDER / "ICON" / path.name), read(path) > 128)
        for path in sorted((FOLDER / "GT").iterdir())
    ]
    assert len(pairs) == 79
    return pairs


def test_published_scores_to_the_third_decimal(pairs):
    scores = SaliencyScores()
    scores.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    actual = {name: round(value.item(), 3) for name, value in scores.compute().items()}
    assert actual == PUBLISHED


def test_real_maps_equal_oracle_per_image(oracle, pairs):
    pairs = pairs[::8]
    expected = oracle(pairs).values
    histograms = PairHistograms.from_pairs([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    for name, value in SaliencyScores().per_image(histograms).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9, err_msg=name)
