"""Scores published for ICON on SOC, "appearance change", from maps beside the repository."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.metrics import PairHistograms, SaliencyScores

PUBLISHED = {
    "s_measure": 0.832,
    "f_weighted": 0.767,
    "mae": 0.066,
    "e_adaptive": 0.872,
    "e_mean": 0.885,
    "e_max": 0.895,
    "f_adaptive": 0.782,
    "f_mean": 0.793,
    "f_max": 0.814,
}


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L")))


@pytest.fixture(scope="module")
def pairs(shared):
    folder = shared / "data/metric_check/soc_ac"
    pairs = [
        (read(folder / "ICON" / path.name), read(path) > 128)
        for path in sorted((folder / "GT").iterdir())
    ]
    assert len(pairs) == 79
    return pairs


def test_published_scores_to_the_third_decimal(pairs):
    scores = SaliencyScores()
    scores.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    actual = {name: round(value.item(), 3) for name, value in scores.compute().items()}
    actual.pop("f_max_dataset")  # not published
    assert actual == PUBLISHED


def test_real_maps_equal_oracle_per_image(oracle, pairs):
    expected = oracle(pairs).values
    histograms = PairHistograms.from_pairs([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    for name, value in SaliencyScores().per_image(histograms).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9, err_msg=name)
