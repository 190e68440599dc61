"""Normalisation of tokens: what it computes, in every memory layout."""

import pytest
import torch
from torch import Tensor, nn

from mutualformer.layers.token_batch_norm import TokenBatchNorm


@pytest.mark.parametrize("training", [False, True])
def test_is_that_of_the_feature_map(training: bool) -> None:
    ours, theirs = TokenBatchNorm(4).double(), nn.BatchNorm2d(4).double()
    for _ in range(2):
        tokens = 3 * torch.randn(2, 6, 4, dtype=torch.float64) + 1
        maps = theirs(tokens.mT.unflatten(-1, (2, 3)))
        torch.testing.assert_close(ours(tokens), maps.flatten(2).mT)
    assert ours.norm.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.norm.state_dict()[name], value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_gradients_are_right_for_one_sample_too(training: bool, before: bool, after: bool) -> None:
    norm = TokenBatchNorm(4).double().train(training)
    weights = torch.randn(1, 6, 4, dtype=torch.float64)

    def by_columns(tokens: Tensor, wanted: bool) -> Tensor:
        return tokens.mT.contiguous().mT if wanted else tokens

    def function(tokens: Tensor) -> Tensor:
        return weights * by_columns(norm(by_columns(tokens, before)), after)

    assert torch.autograd.gradcheck(function, weights.cos().requires_grad_())
