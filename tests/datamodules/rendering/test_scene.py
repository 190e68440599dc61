"""The rule holds in every scene, and a knob does what `docs/rendered.md` says, and that alone."""

import numpy as np
import pytest

pytest.importorskip("pybullet", reason="needs pip install 'mutualformer[render]'")

from datamodules.rendering.objects import list_meshes  # noqa: E402
from datamodules.rendering.scene import _contrasting_colour, _paint, render_scene  # noqa: E402
from datamodules.rendering.sensor import UNIT  # noqa: E402
from datamodules.rendering.settings import RenderSettings  # noqa: E402

SIZE = (64, 80)
IDEAL = {"image_size": SIZE, "likeness": 0.0, "holes_rgb": 0.0, "holes_depth": 0.0, "noise": 0.0}
INDICES = (0, 1, 2)


def render(index=0, split="train", **knobs):
    return render_scene(RenderSettings(**{**IDEAL, **knobs}), split, index)


def objects_of(scene):
    return scene.salient | scene.pictures | scene.plain


def above_ground(scene):
    """Return how far above the ground stored depth is; a plane is linear in inverse depth."""
    rows, columns = np.indices(scene.depth.shape)
    design = np.stack([rows, columns, np.ones_like(rows)], axis=-1).reshape(-1, 3).astype(float)
    ground = ~objects_of(scene).ravel()
    values = scene.depth.ravel().astype(float)
    plane, *_ = np.linalg.lstsq(design[ground], values[ground], rcond=None)
    return (values - design @ plane).reshape(scene.depth.shape)


@pytest.mark.parametrize("index", INDICES)
def test_depth_shows_objects_and_no_pictures(index):
    scene = render(index)
    height = above_ground(scene)
    ground = ~objects_of(scene)
    assert np.abs(height[ground | scene.pictures]).max() < 1.5  # rounding
    for objects in (scene.salient, scene.plain):
        assert np.mean(height[objects] > 30) > 0.9
    # Metric: the camera is about two and a half metres away.
    assert 1.5 < UNIT / scene.depth.max() < UNIT / scene.depth.min() < 6


def test_colour_shows_salient_objects_and_pictures_alone():
    away = {"salient": [], "pictures": [], "plain": []}
    for index in INDICES:
        scene = render(index)
        colours = scene.rgb.astype(float)
        hue = colours / np.linalg.norm(colours, axis=-1, keepdims=True)
        distance = np.linalg.norm(hue - np.median(hue[~objects_of(scene)], axis=0), axis=-1)
        for role, found in away.items():
            found.append(distance[getattr(scene, role)])
    assert np.concatenate(away["plain"]).max() < 0.08
    # A few colours are a lighter or darker one of the same hue.
    for role in ("salient", "pictures"):
        assert np.quantile(np.concatenate(away[role]), 0.75) > 0.15


def test_colours_keep_their_distance_from_the_ground():
    rng = np.random.default_rng(0)
    for ground in rng.uniform(0.3, 0.7, (200, 3)):
        assert 0.35 <= np.linalg.norm(_contrasting_colour(rng, ground) - ground) <= 0.55


@pytest.mark.parametrize("size", [(32, 160), (160, 32)])
def test_ground_fills_pictures_of_any_shape(size):
    scene = render(image_size=size)
    assert scene.depth.min() > UNIT / 7
    assert np.abs(above_ground(scene)[~objects_of(scene)]).max() < 1.5


def test_same_arguments_same_scene_and_others_another():
    for one, other in zip(render(1), render(1), strict=True):
        assert np.array_equal(one, other)
    for other in (render(2), render(1, "test"), render(1, seed=1)):
        assert not np.array_equal(render(1).rgb, other.rgb)


def test_no_object_is_for_training_and_testing():
    train, test = list_meshes("train"), list_meshes("test")
    assert (len(train), len(test)) == (800, 200)
    assert not set(train) & set(test)


def test_holes_are_shares_of_every_region_and_never_meet():
    ideal = render()
    scene = render(holes_rgb=0.3, holes_depth=0.4)
    dark = (scene.rgb != ideal.rgb).any(-1)
    missing = scene.depth == 0
    assert not (dark & missing & objects_of(ideal)).any()
    for role in ("salient", "pictures", "plain"):
        region = getattr(ideal, role)
        assert np.array_equal(region, getattr(scene, role))
        assert dark[region].mean() == pytest.approx(0.3, abs=0.02)
        assert missing[region].mean() == pytest.approx(0.4, abs=0.02)
    assert scene.rgb[dark].max() < 25
    assert np.array_equal(scene.rgb[~dark], ideal.rgb[~dark])
    assert np.array_equal(scene.depth[~missing], ideal.depth[~missing])
    # Holes spill over outlines, and what is far from all objects has none.
    assert (dark & ~objects_of(ideal)).any() and (missing & ~objects_of(ideal)).any()


def test_likeness_gives_pictures_relief_and_objects_colour():
    ideal, alike, more = render(), render(likeness=0.4), render(likeness=0.8)
    change, larger = ((x.rgb.astype(float) - ideal.rgb)[ideal.plain] for x in (alike, more))
    assert np.abs(larger).mean() > 15
    assert larger.sum() == pytest.approx(2 * change.sum(), rel=0.05)
    relief, higher = (above_ground(x)[ideal.pictures] for x in (alike, more))
    assert 20 < np.median(relief) < 0.6 * np.median(higher)
    for scene in (alike, more):
        assert np.array_equal(scene.rgb[~ideal.plain], ideal.rgb[~ideal.plain])
        assert np.array_equal(scene.depth[~ideal.pictures], ideal.depth[~ideal.pictures])


@pytest.mark.parametrize(("gap", "least", "most"), [(0, 0.99, 1), (0.5, 0.6, 0.8), (1, 0, 0.2)])
def test_gap_is_what_pattern_and_height_have_to_do_with_each_other(gap, least, most):
    rng = np.random.default_rng(0)
    world = rng.uniform(-1, 1, (64, 64, 3))
    seen = np.zeros((64, 64), np.int64)
    albedo = _paint(rng, RenderSettings(gap=gap), world, seen, np.zeros_like(seen, bool))
    height = world[..., 2].clip(-2, 2)
    assert least <= abs(np.corrcoef(albedo[..., 0].ravel(), height.ravel())[0, 1]) <= most


@pytest.mark.parametrize("misalignment", [1, 5])
def test_misalignment_displaces_depth_alone(misalignment):
    ideal, shifted = render(), render(misalignment=misalignment)
    assert np.array_equal(ideal.rgb, shifted.rgb)
    assert np.array_equal(ideal.salient, shifted.salient)
    reach = range(-misalignment, misalignment + 1)
    found = [
        (y, x)
        for y in reach
        for x in reach
        if np.array_equal(
            np.roll(ideal.depth, (y, x), (0, 1))[shifted.depth > 0],
            shifted.depth[shifted.depth > 0],
        )
    ]
    assert len(found) == 1 and max(map(abs, found[0])) == misalignment
    # What comes in from outside has no reading.
    rows, columns = SIZE[0] - abs(found[0][0]), SIZE[1] - abs(found[0][1])
    assert np.count_nonzero(shifted.depth) == rows * columns


def test_noise_has_the_strength_asked_for():
    ideal, noisy = render(), render(noise=0.05)
    middle = (ideal.rgb > 60) & (ideal.rgb < 195)
    assert np.std((noisy.rgb.astype(float) - ideal.rgb)[middle] / 255) == pytest.approx(0.05, 0.1)
    ground = ~objects_of(ideal) & (noisy.depth > 0)
    difference = (noisy.depth.astype(float) - ideal.depth)[ground] / np.ptp(ideal.depth)
    # Edges bleed in a few places.
    spread = np.subtract(*np.quantile(difference, [0.75, 0.25])) / 1.349
    assert spread == pytest.approx(0.05, 0.1)


def test_distractors_are_as_many_as_asked_for():
    for number in (1, 5):
        scene = render(num_distractors=number, image_size=128)
        assert scene.salient.mean() > 0.008 and scene.pictures.any() and scene.plain.any()
