"""Corruptions do what their formulas say, and depend on the image's name alone."""

import numpy as np
import pytest
import torch

from datamodules.augmentation.corruption import KINDS, MODALITIES, Corruption, kinds_of
from mutualformer.errors import UserError

EVERY = [(modality, kind) for modality in MODALITIES for kind in kinds_of(modality)]
SIZES = {"rgb": (3, 40, 64), "depth": (1, 40, 64)}


def image_of(modality: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.2 + 0.6 * torch.rand(SIZES[modality], generator=generator)


def share_of(kind: str, severity: float) -> float:
    """Return the share of 400 images that a corruption changes."""
    image = image_of("depth")
    corruption = Corruption("depth", kind, severity)
    return sum(not torch.equal(corruption(image, f"{i}"), image) for i in range(400)) / 400


def test_each_modality_has_its_kinds() -> None:
    assert kinds_of("depth") == list(KINDS)
    assert kinds_of("rgb") == ["blank", "noise", "holes", "blur", "shift"]


@pytest.mark.parametrize(("modality", "kind"), EVERY)
def test_the_name_decides_and_nothing_else(modality: str, kind: str) -> None:
    image = image_of(modality)
    before, corruption = image.clone(), Corruption(modality, kind, 0.5)
    first = corruption(image, "a")
    torch.manual_seed(1)
    np.random.seed(1)
    corruption(image, "b")
    assert torch.equal(corruption(image, "a"), first)
    assert torch.equal(image, before)
    assert first.dtype == torch.float32 and first.shape == image.shape
    assert first.min() >= 0 and first.max() <= 1
    others = [corruption(image, f"{i}") for i in range(20)]
    assert (kind == "blur") == all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize(("modality", "kind"), EVERY)
def test_a_higher_severity_is_further_from_the_image(modality: str, kind: str) -> None:
    image = image_of(modality)
    away = [
        sum(
            float((Corruption(modality, kind, severity)(image, f"{i}") - image).abs().mean())
            for i in range(20)
        )
        for severity in (0.01, 0.25, 0.5, 1.0)
    ]
    assert away == sorted(away) and away[-1] > 1.1 * away[1] > 0


def test_blank_and_polarity_are_of_a_share_of_the_images() -> None:
    for kind in ("blank", "polarity"):
        assert share_of(kind, 0.25) == pytest.approx(0.25, abs=0.06)
        assert share_of(kind, 1.0) == 1
    chosen = {
        severity: {
            i
            for i in range(50)
            if not Corruption("rgb", "blank", severity)(image_of("rgb"), f"{i}").any()
        }
        for severity in (0.25, 0.5)
    }
    assert chosen[0.25] < chosen[0.5]


def test_a_wrong_polarity_keeps_holes() -> None:
    inverted = Corruption("depth", "polarity", 1.0)(torch.tensor([[[0.0, 0.25, 1.0]]]), "a")
    assert inverted.tolist() == [[[0.0, 0.75, 0.0]]]


def test_noise_has_half_the_severity_as_its_deviation() -> None:
    grey = torch.full((1, 300, 300), 0.5)
    changed = Corruption("depth", "noise", 0.1)(grey, "a") - grey
    assert float(changed.std()) == pytest.approx(0.05, rel=0.02)
    stronger = Corruption("depth", "noise", 0.15)(grey, "a") - grey
    assert torch.allclose(1.5 * changed, stronger, atol=1e-6)


def test_holes_are_a_share_of_the_pixels_in_all_channels_and_grow() -> None:
    image = image_of("rgb")
    few, many = (Corruption("rgb", "holes", severity)(image, "a") for severity in (0.25, 0.5))
    assert int((few == 0).all(0).sum()) == 40 * 64 // 4 == int((few == 0).any(0).sum())
    assert int((many == 0).all(0).sum()) == 40 * 64 // 2
    assert not many[few == 0].any()
    is_hole = few[0] == 0  # in patches: most neighbours of a hole are holes
    assert float(is_hole[:, 1:][is_hole[:, :-1]].float().mean()) > 0.9


def test_blur_is_a_gaussian_of_a_twentieth_of_the_longer_side() -> None:
    point = torch.zeros(1, 101, 201)
    point[0, 50, 100] = 1
    spread = Corruption("depth", "blur", 0.4)(point, "a")[0]
    rows, columns = torch.arange(101) - 50, torch.arange(201) - 100
    assert float(spread.sum()) == pytest.approx(1, abs=1e-3)
    for positions, axis in ((rows, 1), (columns, 0)):
        variance = float((spread.sum(axis) * positions**2).sum())
        assert variance**0.5 == pytest.approx(0.05 * 0.4 * 201, rel=0.03)


def test_a_shift_moves_everything_by_a_tenth_of_the_longer_side() -> None:
    image = torch.zeros(1, 100, 200)
    image[0, 45:55, 95:105] = 1
    rows, columns = torch.meshgrid(torch.arange(100), torch.arange(200), indexing="ij")

    def centre(of: torch.Tensor) -> torch.Tensor:
        return torch.stack([(of[0] * x).sum() / of.sum() for x in (rows, columns)])

    moves = [
        centre(Corruption("depth", "shift", 0.5)(image, name)) - centre(image) for name in "abc"
    ]
    for move in moves:
        assert float(move.norm()) == pytest.approx(0.1 * 0.5 * 200, abs=0.1)
    assert len({tuple(move.round().tolist()) for move in moves}) == 3
    full = Corruption("depth", "shift", 0.5)(torch.ones(1, 100, 200), "a")
    assert float((full == 0).float().mean()) > 0.03


@pytest.mark.parametrize(
    "text",
    [
        *("depth", "depth:noise", "depth:noise:0.5:1", "depth:fog:0.5", "thermal:noise:0.5", ""),
        *("rgb:polarity:1", "depth:noise:0", "depth:noise:1.01", "depth:noise:nan"),
        *("depth:noise:-1", "depth:noise:half", 3, None),
    ],
)
def test_what_is_no_corruption_is_refused(text: object) -> None:
    with pytest.raises(UserError, match=r"^corruption is .* such as depth:noise:0\.5: .*\(0, 1\]"):
        Corruption.parse(text)  # type: ignore[arg-type]


def test_one_spelling() -> None:
    assert str(Corruption.parse("depth:noise:0.50")) == "depth:noise:0.5"
    assert str(Corruption.parse("rgb:blank:1e0")) == "rgb:blank:1"
