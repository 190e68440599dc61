"""Scenes whose classes are a colour and a relief together: what each modality tells of them."""

import numpy as np
import pytest
import torch

from datamodules import SyntheticSegmentationDataModule
from datamodules.synthetic_class_scenes import LABEL_MAP, generate_class_scene
from mutualformer.errors import UserError

WARM, COLD, BUMP, DENT = (1, 2), (3, 4), (1, 3), (2, 4)


def regions(difficulty: float, count: int = 40) -> dict[int, list[tuple[float, float]]]:
    """Return colour and relief of each class against the ground, scene by scene."""
    found: dict[int, list[tuple[float, float]]] = {x: [] for x in range(1, 5)}
    for index in range(count):
        scene = generate_class_scene(0, "train", index, 64, difficulty)
        warmth = scene.rgb[..., 0] - scene.rgb[..., 2]
        valid = scene.depth > 0
        ground = scene.label == 0
        for each in found:
            region = scene.label == each
            if region.any():
                found[each].append(
                    (
                        float(warmth[region].mean() - warmth[ground].mean()),
                        float(
                            scene.depth[region & valid].mean() - scene.depth[ground & valid].mean()
                        ),
                    )
                )
    return found


@pytest.mark.parametrize("difficulty", [0.0, 0.5])
def test_a_class_is_a_colour_and_a_relief_together(difficulty: float) -> None:
    found = regions(difficulty)
    assert all(len(values) > 10 for values in found.values())
    for each, values in found.items():
        warmth, relief = np.array(values).T
        assert ((warmth > 0) == (each in WARM)).mean() > 0.95
        assert ((relief > 0) == (each in BUMP)).mean() > 0.95


def test_one_modality_alone_leaves_two_classes() -> None:
    """Of one colour, bumps and dents look alike; of one relief, warm and cold do."""
    found = regions(0.5)
    for pair, axis in ((WARM, 0), (COLD, 0), (BUMP, 1), (DENT, 1)):
        one, other = (np.array(found[each])[:, axis] for each in pair)
        spread = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert abs(one.mean() - other.mean()) < 4 * spread


def test_scenes_are_a_function_of_their_number_and_void_is_on_outlines_alone() -> None:
    first, again = (generate_class_scene(3, "val", 7, 64) for _ in range(2))
    assert (first.label == again.label).all() and (first.rgb == again.rgb).all()
    other = generate_class_scene(3, "test", 7, 64)
    assert (first.label != other.label).any()
    assert set(np.unique(first.label)) <= {0, 1, 2, 3, 4, 255}
    assert 0 < (first.label == 255).mean() < 0.1
    assert first.depth.min() == 0 and first.rgb.max() <= 1
    assert first.rgb.dtype == first.depth.dtype == np.float32


def test_the_data_module_names_the_classes() -> None:
    module = SyntheticSegmentationDataModule(image_size=64, num_train=4, num_val=2, num_test=3)
    assert module.label_map == LABEL_MAP and LABEL_MAP.num_classes == 5
    batch = next(iter(module.train_dataloader()))
    assert batch["label"].shape == (4, 64, 64) and batch["label"].dtype == torch.uint8
    (loader,) = module.test_dataloader()
    batch = next(iter(loader))
    assert batch["dataset"] == ["synthetic"] * 3 and len(batch["ground_truth"]) == 3
    with pytest.raises(UserError, match="difficulty is 2"):
        SyntheticSegmentationDataModule(difficulty=2)
