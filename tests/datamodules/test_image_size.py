import pytest

from datamodules.image_size import height_and_width, shortest_spelling
from datamodules.synthetic_rgbd_data_module import SyntheticRGBDDataModule
from mutualformer.errors import UserError


@pytest.mark.parametrize(
    ("given", "sides"),
    [(352, (352, 352)), ([352, 480], (352, 480)), ((32, 64), (32, 64)), ([64, 64], (64, 64))],
)
def test_one_number_is_a_square_and_two_are_height_and_width(given, sides):
    assert height_and_width(given) == sides


@pytest.mark.parametrize(
    "given", ["352", "352,480", [352, 480, 3], [352], [], ["352", "480"], 352.0, [352.5, 480], True]
)
def test_what_is_neither_is_refused(given):
    with pytest.raises(
        UserError, match="^image_size is .*, expected one whole number of pixels, or"
    ):
        height_and_width(given)


@pytest.mark.parametrize("given", [0, -352, 31, [352, 0], (31, 352), [-352, 480]])
def test_what_is_too_small_is_refused(given):
    with pytest.raises(UserError, match="^image_size is .*, expected at least 32 pixels$"):
        height_and_width(given)


def test_a_square_has_one_spelling():
    assert shortest_spelling([64, 64]) == shortest_spelling((64, 64)) == shortest_spelling(64) == 64
    assert shortest_spelling((64, 96)) == [64, 96] != shortest_spelling([96, 64])


def test_synthetic_scenes_of_two_sides():
    module = SyntheticRGBDDataModule([32, 64], num_train=2, num_val=1, num_test=1, batch_size=2)
    batch = next(iter(module.train_dataloader()))
    assert batch["rgb"].shape == (2, 3, 32, 64) and batch["original_size"] == [(32, 64)] * 2
