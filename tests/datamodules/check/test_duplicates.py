import numpy as np
from PIL import Image

from datamodules.check.duplicates import find_duplicates, fingerprint


def test_no_images():
    assert list(find_duplicates([])) == []


def test_each_pair_of_copies_once_and_in_order():
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 256, (30, 40, 3), np.uint8)) for _ in range(3)]
    prints = [fingerprint(images[index]) for index in (0, 1, 0, 2, 0)]
    assert sorted(find_duplicates(prints)) == [(0, 2), (0, 4), (2, 4)]


def test_images_without_texture_are_not_called_copies():
    prints = [fingerprint(Image.new("RGB", (40, 30), colour)) for colour in ("red", "blue")]
    assert list(find_duplicates(prints)) == []


def test_a_mirror_image_is_another_image():
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1)))
    mirrored = ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert list(find_duplicates([fingerprint(ramp), fingerprint(mirrored)])) == []
