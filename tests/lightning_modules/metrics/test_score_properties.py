"""What holds of scores for any maps and masks."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.metrics import SaliencyScores

many = settings(max_examples=40, deadline=None, derandomize=True)
Pair = tuple[Tensor, Tensor]
# What counts pixels and not places; S and weighted F round the centre and ties to one side.
WITHOUT_PLACES = ("f_max", "f_mean", "f_adaptive", "e_max", "e_mean", "e_adaptive", "mae")


def make_pair(height: int, width: int, levels: int, density: float, seed: int) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    palette = torch.randint(0, 256, (levels,), generator=generator).byte()
    prediction = palette[torch.randint(0, levels, (height, width), generator=generator)]
    return prediction, torch.rand(height, width, generator=generator) < density


pairs = st.builds(
    make_pair,
    *(st.integers(2, 12), st.integers(2, 12), st.integers(1, 30)),
    *(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.integers(0, 2**32)),
)


def scores_of(batches: list[list[Pair]]) -> dict[str, float]:
    metric = SaliencyScores()
    for batch in batches:
        predictions, masks = zip(*batch, strict=True)
        metric.update(list(predictions), list(masks))
    return {name: value.item() for name, value in metric.compute().items()}


@many
@given(pairs)
def test_scores_are_numbers_from_zero_to_one(pair) -> None:
    # E divides by the number of pixels less one, as its oracle does.
    most_e = 1 + 1 / (pair[0].numel() - 1)
    for name, score in scores_of([[pair]]).items():
        assert -1e-12 <= score <= (most_e if name.startswith("e_") else 1) + 1e-12, name


@many
@given(pairs)
def test_a_perfect_map_has_the_best_scores(pair) -> None:
    mask = pair[1]
    assume(mask.any() and not mask.all())
    best = scores_of([[(mask.byte() * 255, mask)]])
    assert best["mae"] == 0
    for name, score in best.items():
        if name != "mae":
            assert score >= scores_of([[pair]])[name] - 1e-12, name
    for name in ("s_measure", "f_max", "f_adaptive", "f_weighted"):
        assert best[name] == pytest.approx(1, abs=0.01), name
    for name in ("e_max", "e_adaptive"):
        assert best[name] == pytest.approx(1 + 1 / (mask.numel() - 1)), name


@many
@given(st.lists(pairs, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_batches_make_no_difference(several, random) -> None:
    expected = scores_of([several])
    shuffled = random.sample(several, len(several))
    cut = random.randrange(1, len(several))
    assert scores_of([shuffled[:cut], shuffled[cut:]]) == expected
    assert scores_of([[pair] for pair in shuffled]) == expected


@many
@given(pairs)
def test_a_mirror_changes_no_count(pair) -> None:
    expected = scores_of([[pair]])
    for axes in ((0,), (1,), (0, 1)):
        mirrored = scores_of([[(pair[0].flip(axes), pair[1].flip(axes))]])
        for name in WITHOUT_PLACES:
            assert mirrored[name] == pytest.approx(expected[name], abs=1e-12), name


@many
@given(pairs, st.integers(0, 2**32))
def test_the_absolute_error_is_symmetric(pair, seed) -> None:
    first = pair[1]
    second = torch.rand(first.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    # A map of one value is not stretched, an empty one stays zero.
    assume(all(0 < mask.sum() < mask.numel() for mask in (first, second)))

    def error(one: Tensor, other: Tensor) -> float:
        return scores_of([[(one.byte() * 255, other)]])["mae"]

    expected = pytest.approx((first != second).double().mean().item(), abs=1e-11)
    assert error(first, second) == expected
    assert error(second, first) == expected
    assert error(~first, ~second) == expected
    inverted = scores_of([[(255 - pair[0], ~first)]])["mae"]
    assume(pair[0].min() < pair[0].max())
    assert inverted == pytest.approx(scores_of([[pair]])["mae"], abs=1e-11)
