"""Stochastic depth is torchvision's, whose import the core does without."""

import pytest
import torch
from torchvision.ops import StochasticDepth

from mutualformer.layers import BranchDropout


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(64, 5, 3), (64, 2, 3, 4), (64,)])
def test_equals_that_of_torchvision_in_training(probability: float, shape: tuple[int, ...]) -> None:
    branch = torch.randn(shape)
    torch.manual_seed(1)
    expected = StochasticDepth(probability, mode="row")(branch)
    torch.manual_seed(1)
    assert torch.equal(BranchDropout(drop_path=probability)(branch), expected)


def test_does_nothing_in_evaluation() -> None:
    branch = torch.randn(4, 5, 3)
    assert BranchDropout(0.5, 0.5).eval()(branch) is branch


def test_drops_features_and_whole_samples_and_keeps_the_mean() -> None:
    branch = torch.ones(4000, 10)
    dropped = BranchDropout(0.25, 0.5)(branch)
    whole = (dropped == 0).all(-1)
    assert whole.double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (dropped[~whole] == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("option", "value"), [("dropout", 1), ("drop_path", -0.1)])
def test_what_is_no_probability_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}, expected 0 <= {option} < 1"):
        BranchDropout(**{option: value})
