"""Probes: each knob does to the scenes what it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from datamodules.token_probes import NOT_ASKED, ProbeScene, ProbeSettings, generate_probe
from mutualformer.errors import UserError

PLAIN = ProbeSettings(noise=0.0)


def scenes(settings: ProbeSettings, number: int = 20) -> list[ProbeScene]:
    return [generate_probe(settings, seed=3, split="train", index=i) for i in range(number)]


def features(tokens: np.ndarray, scene: ProbeScene) -> np.ndarray:
    """Return a feature per region, of its first token that has one."""
    rows = []
    for region in range(scene.region.max() + 1):
        own = tokens[scene.region == region][:, :16]
        rows.append(own[np.abs(own).sum(1) > 0][0])
    return np.stack(rows)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_a_scene_depends_on_seed_split_and_index_alone() -> None:
    one = generate_probe(PLAIN, 0, "train", 0)
    assert all(
        np.array_equal(getattr(one, name), getattr(generate_probe(PLAIN, 0, "train", 0), name))
        for name in ("rgb", "depth", "target", "region")
    )
    for other in ((1, "train", 0), (0, "test", 0), (0, "train", 1)):
        assert not np.array_equal(one.rgb, generate_probe(PLAIN, *other).rgb)


@pytest.mark.parametrize(("gap", "expected"), [(0.0, 1.0), (0.5, np.sqrt(0.5)), (1.0, 0.0)])
def test_gap_is_the_cosine_between_modalities(gap: float, expected: float) -> None:
    found = [
        cosine(features(s.rgb, s), features(s.depth, s)) for s in scenes(replace(PLAIN, gap=gap))
    ]
    assert np.mean(found) == pytest.approx(expected, abs=0.06)


def test_neighbours_in_a_chain_alone_are_similar() -> None:
    settings = replace(PLAIN, num_chains=3, chain_length=4, grid_size=10)
    similar = np.zeros((12, 12))
    for scene in scenes(settings, 100):
        rgb = features(scene.rgb, scene)
        similar += cosine(rgb[:, None], rgb[None]) / 100
    chain, link = np.divmod(np.arange(12), 4)
    apart = np.abs(link[:, None] - link)
    expected = np.where(chain[:, None] == chain, np.select([apart == 0, apart == 1], [1, 0.5]), 0)
    assert np.abs(similar - expected).max() < 0.1


def test_labels_lie_in_the_first_region_and_questions_in_the_last() -> None:
    settings = replace(PLAIN, num_chains=3, chain_length=3, grid_size=8, num_labels=4)
    for scene in scenes(settings):
        chain, link = np.divmod(scene.region, 3)
        shown = scene.depth[:, 16:]
        carriers = shown.any(1)
        assert set(link[carriers]) == {0} and set(chain[carriers]) == {0, 1, 2}
        asked = scene.target != NOT_ASKED
        assert asked.any() and set(link[asked]) == {2}
        label = {c: shown[(chain == c) & carriers][0].argmax() for c in range(3)}
        assert [label[c] for c in chain[asked]] == scene.target[asked].tolist()


def test_holes_have_no_feature_and_do_not_overlap() -> None:
    for scene in scenes(replace(PLAIN, holes_rgb=0.25, holes_depth=0.4)):
        dark, hole = ~scene.rgb.any(1), ~scene.depth.any(1)
        assert (dark.sum(), hole.sum()) == (16, 26) and not (dark & hole).any()
        assert not (scene.target[~hole] != NOT_ASKED).any()


def test_complementary_labels_are_where_rgb_is_dark() -> None:
    for scene in scenes(replace(PLAIN, holes_rgb=0.35, holes_depth=0.35, complementary=True)):
        assert not scene.rgb[scene.depth[:, 16:].any(1)].any()
        assert (scene.target != NOT_ASKED).any()


@pytest.mark.parametrize("misalignment", [1, 3])
def test_misalignment_displaces_depth_by_so_many_tokens(misalignment: int) -> None:
    shifts = set()
    for scene in scenes(replace(PLAIN, misalignment=misalignment)):
        rgb, depth = (x[:, :16].reshape(8, 8, 16) for x in (scene.rgb, scene.depth))
        reach = range(-3, 4)
        found = [
            (y, x) for y in reach for x in reach if np.allclose(np.roll(rgb, (y, x), (0, 1)), depth)
        ]
        assert len(found) == 1 and max(map(abs, found[0])) == misalignment
        shifts.add(found[0])
    assert len(shifts) > 3


def test_hubs_alone_change_and_are_similar_to_every_region() -> None:
    similar = np.zeros(6)
    for one, without in zip(scenes(replace(PLAIN, num_hubs=3)), scenes(PLAIN), strict=True):
        hubs = np.flatnonzero((one.rgb != without.rgb).any(1))
        assert len(hubs) == 3
        regions = features(without.rgb, without)
        similar += cosine(one.rgb[hubs[0]][None], regions) / 20
    assert similar == pytest.approx(np.full(6, 6**-0.5), abs=0.15)


def test_noise_has_its_standard_deviation() -> None:
    noisy, clean = (scenes(replace(PLAIN, noise=noise)) for noise in (0.2, 0.0))
    difference = np.stack([a.rgb - b.rgb for a, b in zip(noisy, clean, strict=True)])
    assert difference.std() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_labelled_share_is_of_the_tokens_that_may_carry_one(share: float) -> None:
    counts = [
        (s.depth[:, 16:].any(1).sum(), len(s.region))
        for s in scenes(replace(PLAIN, labelled_share=share), 100)
    ]
    carrying, tokens = np.array(counts).sum(0)
    # At least one per chain raises the small share: six of 64 tokens.
    assert carrying / tokens == pytest.approx(max(share, 0.15), abs=0.05)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"gap": 1.5}, r"gap is 1.5, expected a number in \[0, 1\]"),
        ({"holes_depth": 1.0}, r"holes_depth is 1.0, expected a number in \[0, 1\)"),
        ({"holes_rgb": 0.6, "holes_depth": 0.6}, "at most .9 together"),
        ({"labelled_share": 0.0}, "a label that no token shows"),
        ({"complementary": True}, "no holes in one modality"),
        ({"complementary": True, "holes_rgb": 0.3}, "no holes in one modality"),
        ({"num_labels": 1}, "num_labels is 1, expected an integer >= 2"),
        ({"chain_length": 0}, "chain_length is 0"),
        ({"num_chains": 30}, "30 regions"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"num_hubs": 40}, "num_hubs is 40"),
        ({"misalignment": 8}, "misalignment 8"),
    ],
)
def test_contradictory_knobs_are_refused_by_name(knobs: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ProbeSettings(**knobs)
