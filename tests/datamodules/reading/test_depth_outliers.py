import numpy as np
import pytest
from PIL import Image

from datamodules.check import check_root
from datamodules.reading.depth_maps import DepthReader
from datamodules.reading.depth_outliers import find_outliers

SCENE = np.add.outer(np.arange(48), np.arange(64))  # 0 to 110, all levels in between


def with_values(base, dtype, *, values=(), pixels=9):
    image = base.astype(dtype)
    for row, value in enumerate(values):
        image[row, :pixels] = value
    return image


def found(image):
    return find_outliers(image, np.ones(image.shape, bool))


@pytest.mark.parametrize(
    ("image", "low", "high"),
    [
        (with_values(SCENE + 2000, np.uint16, values=[65535]), None, 65535),
        (with_values(SCENE + 2000, np.uint16, values=[65535], pixels=64), None, 65535),
        (with_values(SCENE + 2000, np.uint16, values=[65535] * 20, pixels=64), None, 65535),
        (with_values(SCENE + 2000, np.uint16, values=[4095] * 9, pixels=64), None, 4095),
        (with_values(SCENE + 2000, np.uint16, values=[9000], pixels=1), None, 9000),
        (with_values(SCENE + 2000, np.uint16, values=[1], pixels=2), 1, None),
        (with_values(SCENE + 2000, np.uint16, values=[1, 4500], pixels=2), 1, 4500),
        (with_values(SCENE, np.uint8, values=[255]), None, 255),
        (with_values(SCENE // 2 + 150, np.uint8, values=[0]), 0, None),
        (with_values(SCENE // 2 + 150, np.uint8, values=[0] * 20, pixels=64), 0, None),
        (with_values(SCENE + 2000.5, np.float32, values=[1e9] * 9, pixels=64), None, 1e9),
        (with_values(SCENE / 100 + 5, np.float32, values=[-1000.0]), -1000, None),
    ],
)
def test_both_ends_whatever_the_values(image, low, high):
    outliers = found(image)
    assert (outliers.low, outliers.high) == (low, high)
    assert (
        outliers.share < 0.5 and outliers.bulk[0] > (low or 0) and outliers.bulk[1] < (high or 1e9)
    )


@pytest.mark.parametrize(
    "image",
    [
        SCENE.astype(np.uint16),
        with_values(SCENE * 2, np.uint8, values=[255]),  # the scene reaches up to it
        with_values(SCENE * 2 + 30, np.uint8, values=[0]),
        np.where(SCENE > 60, 200, SCENE // 2).astype(
            np.uint8
        ),  # a flat object before a remote wall
        np.where(SCENE > 60, 255, 0).astype(np.uint8),
        np.full((48, 64), 7, np.uint16),
    ],
)
def test_scenes_that_are_as_they_should_be(image):
    assert found(image) is None


def test_holes_and_a_given_range_are_no_outliers():
    image = with_values(SCENE + 2000, np.uint16, values=[65535, 0])[None]
    assert DepthReader().find_outliers(image, "x").high == 65535
    assert DepthReader(invalid_depth="both").find_outliers(image, "x") is None
    assert DepthReader(invalid_depth="max").find_outliers(image, "x").low == 0
    assert DepthReader(depth_range=(2000, 3000)).find_outliers(image, "x") is None


@pytest.mark.parametrize(
    ("dtype", "values", "remedy", "is_error"),
    [
        (np.uint16, [65535, 0], "--data.invalid_depth=both", True),
        (np.uint8, [255], "--data.invalid_depth=max", False),
        (np.uint16, [30000], "--data.depth_range=[", True),
    ],
)
def test_data_check_names_maps_and_remedy(folders, dtype, values, remedy, is_error):
    folder = folders.add("mine", stems=tuple("abcde"))
    for stem in "bcde":
        image = with_values(SCENE + (2000 if dtype == np.uint16 else 0), dtype, values=values)
        Image.fromarray(image).save(folder / "depth" / f"{stem}.png")
    (finding,) = [f for f in check_root(folders.root).findings if f.kind == "range"]
    assert "in 4 of 5 maps (b.png, c.png, d.png and 1 more)" in finding.message
    assert remedy in finding.message and finding.is_error == is_error
    assert finding.files == ("b.png", "c.png", "d.png", "e.png")


def test_the_remedy_gives_the_scene_its_range_back(folders):
    image = with_values(SCENE + 2000, np.uint16, values=[65535, 0])
    path = folders.root / "a.png"
    Image.fromarray(image).save(path)
    spoilt = DepthReader()(path, "x")[0, 4:]
    mended = DepthReader(invalid_depth="both")(path, "x")[0, 4:]
    assert np.quantile(spoilt, 0.99) < 0.01 and mended.max() == 1


def test_the_case_and_the_real_sets(shared):
    report = check_root(shared / "cases" / "saturated_depth")
    (finding,) = [f for f in report.findings if f.kind == "range"]
    assert finding.is_error and "65535" in finding.message and len(finding.files) == 4
    assert "--data.invalid_depth=both" in finding.message and "keep 2.2% of" in finding.message
    for name in ("rgbd_sod", "rgbt_sod"):
        assert "range" not in {f.kind for f in check_root(shared / "data" / name).findings}
    # Some wild pixels at the rims of holes, which may be seen in the maps.
    report = check_root(shared / "data" / "rgbd_seg" / "potholes")
    (finding,) = [f for f in report.findings if f.kind == "range"]
    assert not finding.is_error
    assert "27 of 55 maps" in finding.message and "--data.depth_range" in finding.message
