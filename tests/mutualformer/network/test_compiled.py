"""torch.compile of a whole network around the block, at images of many sizes."""

from functools import partial

import pytest
import torch
from flex_on_cpu import allow_gradients, allow_whole_graphs
from torch._dynamo.utils import counters

from mutualformer import MutualFormerBlock, MutualFormerNetwork

# The first has no two sides alike, which torch would take for the same one.
SIZES = [(2, 96, 64), (3, 64, 64), (2, 64, 128), (4, 128, 160)]


def build(backend: str) -> MutualFormerNetwork:
    torch.manual_seed(0)
    return MutualFormerNetwork(
        "resnet18",
        fusion=partial(MutualFormerBlock, num_heads=2, mlp_ratio=1.0, backend=backend),
        fusion_strides=[32],
        fusion_dim=32,
        decoder_dim=32,
    ).eval()


@pytest.mark.slow
def test_images_of_many_sizes_share_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    allow_gradients(monkeypatch)
    allow_whole_graphs(monkeypatch)
    network, expected = build("flex"), build("dense")
    # As torch would after it has seen two sizes, in one compilation instead of three.
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=True)
    before = counters["stats"]["unique_graphs"]
    for count, *size in SIZES:
        images = torch.rand(count, 3, *size), torch.rand(count, 1, *size)
        outputs = compiled(*images), expected(*images)
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        gradients = (
            torch.autograd.grad(output.sin().mean(), list(module.blocks.parameters()))
            for output, module in zip(outputs, (network, expected), strict=True)
        )
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)
    assert counters["stats"]["unique_graphs"] - before == 1
