import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.check import check_root
from datamodules.check.shift import estimate_shift, shift_scores
from datamodules.reading.depth_maps import ImageReader
from datamodules.reading.image_files import read_rgb

GENERATOR = np.random.default_rng(0)


def scene(size=(120, 160)):
    """Return grey levels and depths of overlapping boxes, each with a texture of its own."""
    rgb, depth = np.zeros(size), np.zeros(size)
    for near in np.linspace(0.2, 1, 12):
        top, left = (int(GENERATOR.integers(0, side - 20)) for side in size)
        box = np.s_[top : top + int(GENERATOR.integers(15, 50)), left : left + 30]
        rgb[box] = GENERATOR.integers(40, 255) + GENERATOR.normal(0, 6, rgb[box].shape)
        depth[box] = near
    return rgb.clip(0, 255).astype(np.uint8), depth.astype(np.float32)


def move(image, right, down):
    matrix = np.float32([[1, 0, right], [0, 1, down]])
    return cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -3), (3, 2), (-8, 0), (8, -5)])
def test_shifts_are_found_to_the_pixel(shift):
    votes = [shift_scores(rgb, move(depth, *shift)) for rgb, depth in [scene() for _ in range(5)]]
    found = estimate_shift(votes)
    assert (found.right, found.down) == shift
    assert found.num_agreeing >= 4 and found.num_votes == 5


def test_images_of_several_sizes_vote_together():
    sizes = [(120, 160), (200, 180), (64, 90), (100, 400)]
    votes = [shift_scores(rgb, move(depth, 4, 0)) for rgb, depth in map(scene, sizes)]
    assert estimate_shift(votes)[:2] == (4, 0)


@pytest.mark.parametrize("what", ["noise", "shifts of their own", "two images", "beyond reach"])
def test_no_answer_where_images_do_not_tell(what):
    pairs = [scene() for _ in range(2 if what == "two images" else 6)]
    moved = [move(depth, 5, 0) for _, depth in pairs]
    if what == "noise":
        moved = [GENERATOR.random(depth.shape, np.float32) for depth in moved]
    if what == "shifts of their own":
        moves = [(-9, 3), (8, 5), (0, -8), (-3, -9), (9, -2), (2, 9)]
        moved = [move(depth, *by) for (_, depth), by in zip(pairs, moves, strict=True)]
    if what == "beyond reach":
        moved = [move(depth, 40, 0) for _, depth in pairs]
    votes = [shift_scores(rgb, depth) for (rgb, _), depth in zip(pairs, moved, strict=True)]
    assert estimate_shift(votes).right is None


def test_images_without_edges_or_too_small_do_not_vote():
    rgb, depth = scene()
    assert shift_scores(rgb, np.zeros_like(depth)) is None
    assert shift_scores(rgb[:6, :6], depth[:6, :6]) is None
    assert estimate_shift([]) == (None, None, 0, 0)


@pytest.mark.parametrize(
    ("name", "shift", "found"),
    [
        ("rgbd_sod/SSD", (0, 0), (0, 0)),
        ("rgbd_sod/SSD", (1, 0), (1, 0)),
        ("rgbd_sod/SSD", (3, -8), (3, -8)),
        ("rgbd_sod/DES", (0, 0), None),  # their parallax differs from image to image
        ("rgbt_sod/VT5000", (0, 0), None),
        ("rgbt_sod/VT5000", (9, 0), (9, 1)),
    ],
)
def test_real_sets(shared, name, shift, found):
    folder = shared / "data" / name
    second = next(folder / x for x in ("depth", "T") if (folder / x).is_dir())
    votes = []
    for path in sorted((folder / "RGB").iterdir()):
        grey = np.asarray(Image.fromarray(read_rgb(path).transpose(1, 2, 0)).convert("L"))
        other = ImageReader(3)(next(second.glob(f"{path.stem}.*")), "").mean(0)
        votes.append(shift_scores(grey, move(other, *shift)))
    estimate = estimate_shift(votes)
    # The images of VT5000 are shifted by some pixels of their own.
    assert (None if estimate.right is None else estimate[:2]) == (
        found and pytest.approx(found, abs=1)
    )


def test_a_shift_is_a_notice_of_the_set(tmp_path):
    for number in range(4):
        rgb, depth = scene()
        mask = move(depth, 0, 0) > 0.6
        images = {"RGB": rgb, "T": (move(depth, 6, -2) * 255).astype(np.uint8), "GT": mask}
        for name, image in images.items():
            (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "mine" / name / f"{number}.png")
    (finding,) = [f for f in check_root(tmp_path).findings if f.kind == "shift"]
    assert not finding.is_error
    assert (
        "about 6 pixel(s) to the right and 2 pixel(s) up, as the edges of 4 of 4" in finding.message
    )
