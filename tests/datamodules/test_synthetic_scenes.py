import numpy as np
import pytest
from scipy import ndimage

from datamodules.synthetic_scenes import generate_scene

SCENES = [generate_scene(seed=1, split="train", index=index) for index in range(30)]


def regions_of(scene):
    return {"salient": scene.salient, "poster": scene.posters, "bump": scene.bumps}


def background_of(scene):
    return ~(scene.salient | scene.posters | scene.bumps)


def colour_contrast(scene, region):
    background = np.median(scene.rgb[background_of(scene)], axis=0)
    return np.linalg.norm(np.median(scene.rgb[region], axis=0) - background)


def relief(scene, region):
    """Median height of a region over the plane fitted to the background, holes left out."""
    rows, columns = np.indices(scene.depth.shape)
    valid = scene.depth > 0
    terms = np.stack([rows, columns, np.ones_like(rows)], axis=-1).astype(float)
    background = background_of(scene) & valid
    plane, *_ = np.linalg.lstsq(terms[background], scene.depth[background], rcond=None)
    return np.median((scene.depth - terms @ plane)[region & valid])


def test_same_arguments_give_the_same_scene():
    for first, second in zip(SCENES[2], generate_scene(1, "train", 2), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "other", [dict(seed=2), dict(split="val"), dict(split="test"), dict(index=3)], ids=str
)
def test_seed_split_and_index_each_change_the_scene(other):
    scene = generate_scene(**{"seed": 1, "split": "train", "index": 2, **other})
    assert not np.array_equal(scene.rgb, SCENES[2].rgb)
    assert not np.array_equal(scene.salient, SCENES[2].salient)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("image_size", "sides"), [(32, (32, 32)), (97, (97, 97)), ((33, 80), (33, 80))]
)
def test_types_shapes_and_ranges(difficulty, image_size, sides):
    scene = generate_scene(0, "val", 0, image_size, difficulty)
    assert scene.rgb.shape == (*sides, 3)
    assert scene.depth.shape == scene.salient.shape == sides
    for image in (scene.rgb, scene.depth):
        assert image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1
    for region in regions_of(scene).values():
        assert region.dtype == bool and region.any()


def test_regions_do_not_overlap():
    for scene in SCENES:
        overlap = sum(region.astype(int) for region in regions_of(scene).values())
        assert overlap.max() == 1


def test_salient_object_has_colour_and_relief_posters_only_colour_bumps_only_relief():
    contrasts = {role: [] for role in ("salient", "poster", "bump")}
    reliefs = {role: [] for role in ("salient", "poster", "bump")}
    for scene in SCENES:
        for role, region in regions_of(scene).items():
            contrasts[role].append(colour_contrast(scene, region))
            reliefs[role].append(relief(scene, region))
    # The median over several posters mixes their colours, hence the weaker bound on them.
    assert min(contrasts["salient"]) > 0.15 > max(contrasts["bump"])
    assert np.mean(contrasts["poster"]) > 0.15
    assert min(reliefs["salient"]) > 0.1 > max(map(abs, reliefs["poster"]))
    assert min(reliefs["bump"]) > 0.1


def chance_of_exceeding(ones, others):
    """Return the probability that one of `ones` exceeds one of `others`, ties counting half."""
    return (1 + np.mean(np.sign(np.subtract.outer(ones, others)))) / 2


def test_one_modality_cannot_tell_the_salient_object_from_its_distractors():
    """What a modality sees must be distributed alike in the object and in its distractors."""
    measures = {
        "area": lambda scene, region: region.sum(),
        "row": lambda scene, region: np.nonzero(region)[0].mean(),
        "column": lambda scene, region: np.nonzero(region)[1].mean(),
        "elongation": lambda scene, region: np.linalg.cond(np.cov(np.nonzero(region))),
        "centrality": lambda scene, region: np.hypot(*(np.mean(np.nonzero(region), 1) - 64)),
        "contrast": colour_contrast,
        "relief": relief,
        "texture": lambda scene, region: scene.rgb[region].std(),
        "holes": lambda scene, region: np.mean(scene.depth[region] == 0),
    }
    values = {(name, role): [] for name in measures for role in ("salient", "poster", "bump")}
    for index in range(150):
        scene = generate_scene(seed=5, split="test", index=index)
        for role, mask in regions_of(scene).items():
            labels, num_regions = ndimage.label(mask)
            for number in range(1, num_regions + 1):
                region = labels == number
                if region.sum() > 30:  # not a corner of a star cut off by the frame
                    for name, measure in measures.items():
                        values[name, role].append(measure(scene, region))
    for name in measures:
        for role, invisible in (("poster", {"relief", "holes"}), ("bump", {"contrast", "texture"})):
            if name not in invisible:
                chance = chance_of_exceeding(values[name, "salient"], values[name, role])
                assert 0.42 < chance < 0.58, (name, role)


def test_distractors_of_each_kind_are_several_times_the_object_at_the_default():
    areas = {
        role: np.mean([regions_of(scene)[role].sum() for scene in SCENES])
        for role in ("salient", "poster", "bump")
    }
    assert 2 < areas["poster"] / areas["salient"] < 4.5
    assert 2 < areas["bump"] / areas["salient"] < 4.5


def test_salient_object_lies_anywhere():
    rows, columns = np.indices(SCENES[0].salient.shape)
    centres = np.array([[rows[s.salient].mean(), columns[s.salient].mean()] for s in SCENES])
    assert (centres.min(axis=0) < 40).all() and (centres.max(axis=0) > 88).all()


def test_difficulty_weakens_contrast_and_adds_holes_and_noise():
    easy, hard = ([generate_scene(0, "train", i, 64, d) for i in range(20)] for d in (0.0, 1.0))

    def mean(scenes, measure):
        return np.mean([measure(scene) for scene in scenes])

    for measure in (
        lambda s: colour_contrast(s, s.salient),
        lambda s: relief(s, s.salient),
        lambda s: -np.mean(s.depth == 0),
        lambda s: -np.abs(np.diff(s.rgb, axis=0)).mean(),
        lambda s: len(np.unique(s.depth)),
        lambda s: -(s.posters | s.bumps).sum(),
    ):
        assert mean(easy, measure) > mean(hard, measure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(seed=-1), "seed is -1"),
        (dict(split="validation"), "'validation', expected one of train, val, test"),
        (dict(index=-2), "index is -2"),
        (dict(image_size=8), "at least 32 pixels"),
        (dict(difficulty=1.5), "difficulty is 1.5"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_scene(**{"seed": 0, "split": "train", "index": 0, **arguments})


def test_a_scene_of_two_sides_is_that_of_a_square_stretched():
    for index in range(5):
        square = generate_scene(0, "test", index, 96)
        wide = generate_scene(0, "test", index, (96, 192))
        for one, other in ((square.salient, wide.salient), (square.posters, wide.posters)):
            assert (one != other.reshape(96, 96, 2).any(-1)).mean() < 0.02
