"""Every fusion learns four pairs by heart, in the network, by one recipe."""

import pytest
import torch
import torch.nn.functional as F

from mutualformer import MutualFormerNetwork
from mutualformer.fusions import FUSIONS
from mutualformer.fusions.spelling import read_fusion

# The fusions of other papers, of which there are many, when there is time.
NAMES = [
    name if index < 6 else pytest.param(name, marks=pytest.mark.slow)
    for index, name in enumerate(FUSIONS)
]


@pytest.mark.parametrize("name", NAMES)
def test_overfits_four_pairs(name: str) -> None:
    torch.manual_seed(0)
    mask = torch.zeros(4, 1, 64, 64)
    for index, (y, x) in enumerate([(0, 0), (8, 32), (24, 8), (32, 24)]):
        mask[index, :, y : y + 32, x : x + 24] = 1
    # Noise nearly hides the object in either modality.
    rgb, depth = (0.3 * mask + 0.7 * torch.rand(4, size, 64, 64) for size in (3, 1))
    network = MutualFormerNetwork(
        "tu-test_efficientnet",
        fusion=read_fusion(name),
        fusion_dim=32,
        fusion_strides=(4, 8, 16, 32),  # so that nothing passes the fusions by
        decoder_dim=32,
    ).train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(50):
        optimizer.zero_grad()
        logits = network(rgb, depth)
        loss = F.binary_cross_entropy_with_logits(logits, mask)
        loss.backward()
        optimizer.step()
    right = ((logits > 0) == (mask > 0)).flatten(1).float().mean(1)
    assert right.min() > 0.92, right  # background is 0.81 of every mask
