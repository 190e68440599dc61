"""Every score against PySODMetrics, per image and over a dataset."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_modules.metrics import (
    EMeasure,
    FMeasure,
    PairHistograms,
    PerImageScores,
    SaliencyScores,
    SMeasure,
    WeightedFMeasure,
)
from lightning_modules.metrics.per_image_scores import dataset_scores
from lightning_modules.metrics.saliency_metric import sum_dtype

KEYS = [
    *("s_measure", "f_max", "f_mean", "f_adaptive", "f_weighted"),
    *("e_max", "e_mean", "e_adaptive", "mae", "f_max_dataset"),
]
SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (7, 500), (63, 65), (48, 64)]


def random_pair(size, levels=256, density=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    palette = torch.randint(0, 256, (levels,), generator=generator).byte()
    prediction = palette[torch.randint(0, levels, size, generator=generator)]
    return prediction, torch.rand(size, generator=generator) < density


def object_pair(size, seed=0):
    """A noisy rectangle: unlike noise, scores high, and leaves quadrants without object."""
    prediction, _ = random_pair(size, seed=seed)
    height, width = size
    ground_truth = torch.zeros(size, dtype=torch.bool)
    ground_truth[height // 3 : 2 * height // 3 + 1, width // 4 : width // 2 + 1] = True
    return (prediction // 4 + ground_truth * 180).byte(), ground_truth


def assert_equals_oracle(oracle, prediction, ground_truth):
    expected = oracle([(prediction, ground_truth)]).values
    histograms = PairHistograms.from_pairs([prediction], [ground_truth])
    actual = SaliencyScores().per_image(histograms)
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        assert torch.isfinite(value).all(), name
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("density", [0.002, 0.01, 0.05, 0.2, 0.6])
def test_the_oracle_decides_which_of_the_nearest_mask_pixels_counts(oracle, density):
    for seed in range(5):
        assert_equals_oracle(oracle, *random_pair((60, 71), density=density, seed=seed))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make_pair", [random_pair, object_pair])
def test_equals_oracle_at_awkward_sizes(oracle, size, make_pair):
    for seed in range(3):
        assert_equals_oracle(oracle, *make_pair(size, seed=seed))


@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("level", [0, 1, 77, 127, 128, 200, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (48, 64)])
def test_equals_oracle_on_constant_predictions(oracle, size, level, density):
    prediction = torch.full(size, level, dtype=torch.uint8)
    assert_equals_oracle(oracle, prediction, random_pair(size, density=density)[1])
    assert_equals_oracle(oracle, prediction, object_pair(size)[1])


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_equals_oracle_on_empty_and_full_masks(oracle, density):
    assert_equals_oracle(oracle, *random_pair((33, 20), density=density))


@pytest.mark.parametrize("level", [10, 15, 30, 34, 51, 85, 102, 170])
@pytest.mark.parametrize("num_level", [2, 8, 20, 40])
def test_rounding_of_the_oracle_decides_ties_at_the_adaptive_threshold(oracle, level, num_level):
    # One pixel at 255, zeros, and so many at the level that the level is twice the mean.
    num_zero = 510 // level + num_level - 1
    pixels = torch.tensor([255] + [level] * num_level + [0] * num_zero, dtype=torch.uint8)
    assert pixels.double().mean() * 2 == pytest.approx(level)
    for _ in range(3):
        shuffled = pixels[torch.randperm(len(pixels))][None]
        assert_equals_oracle(oracle, shuffled, shuffled > 0)


def test_rounding_of_the_oracle_decides_whether_a_quadrant_is_flat(oracle):
    # Two opposite quadrants hold no object; in them S_region is 0 or 1 by rounding alone.
    ground_truth = torch.zeros(20, 31, dtype=torch.bool)
    ground_truth[:5, :5] = ground_truth[-5:, -5:] = True
    for level in range(1, 255):
        assert_equals_oracle(oracle, torch.full((20, 31), level).byte(), ground_truth)


def test_centroid_on_the_last_row_or_column_gives_a_score():
    ground_truth = torch.zeros(5, 5, dtype=torch.bool)
    ground_truth[:, 4] = True
    metric = score(SMeasure(), [(ground_truth.byte() * 255, ground_truth)])
    assert metric.compute() == pytest.approx(1.0)


# The oracle fixture is a plain function: examples share nothing through it.
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_equals_oracle_property(oracle, data):
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    palette = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    num_pixels = size[0] * size[1]
    pixels = data.draw(st.lists(st.sampled_from(palette), min_size=num_pixels, max_size=num_pixels))
    mask = data.draw(st.lists(st.booleans(), min_size=num_pixels, max_size=num_pixels))
    prediction = torch.tensor(pixels, dtype=torch.uint8).view(size)
    assert_equals_oracle(oracle, prediction, torch.tensor(mask).view(size))


@pytest.fixture
def pairs():
    sizes = [(20, 31), (48, 64), (7, 50), (33, 33), (9, 9)]
    return [object_pair(size, seed) for seed, size in enumerate(sizes)] + [
        random_pair((16, 16), density=0.0),
        (torch.zeros(16, 24, dtype=torch.uint8), object_pair((16, 24))[1]),
    ]


def score(metric, pairs):
    metric.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return metric


def test_dataset_scores_equal_oracle(oracle, pairs):
    actual = score(SaliencyScores(), pairs).compute()
    assert list(actual) == KEYS
    assert {value.dtype for value in actual.values()} == {torch.float64}
    for name, expected in oracle(pairs).scores.items():
        assert actual[name].item() == pytest.approx(expected, abs=1e-9), name


def test_single_metrics_agree_with_the_collection(pairs):
    expected = score(SaliencyScores(), pairs).compute()
    actual = {
        "s_measure": score(SMeasure(), pairs).compute(),
        **score(FMeasure(), pairs).compute(),
        **score(EMeasure(), pairs).compute(),
        "f_weighted": score(WeightedFMeasure(), pairs).compute(),
    }
    assert actual == {name: expected[name] for name in actual}
    assert expected.keys() - actual.keys() == {"mae", "f_max_dataset"}


def test_curves_of_one_image(pairs):
    prediction, mask = pairs[0]
    metric = score(SaliencyScores(), [(prediction, mask)])
    scores, means = metric.compute(), metric.means()
    for measure in ("e", "f"):
        assert scores[f"{measure}_max"] == means[f"{measure}_curve"].max()
        assert scores[f"{measure}_mean"] == means[f"{measure}_curve"].mean()
    # With one image, both conventions are one.
    assert scores["f_max_dataset"].item() == pytest.approx(scores["f_max"].item(), abs=1e-10)
    precision, recall = means["precision_curve"], means["recall_curve"]
    f_curve = 1.3 * precision * recall / (0.3 * precision + recall)
    assert f_curve.max().item() == pytest.approx(scores["f_max"].item(), abs=1e-10)
    assert precision[0] == pytest.approx(mask.double().mean()) and recall[0] == 1
    normalised = (prediction.double() - prediction.min()) / (prediction.max() - prediction.min())
    assert scores["mae"].item() == pytest.approx((normalised - mask.double()).abs().mean().item())


def test_the_two_conventions_of_max_f_differ():
    pairs = [object_pair((20, 20)), random_pair((20, 20))]
    scores = score(SaliencyScores(), pairs).compute()
    assert abs(scores["f_max"] - scores["f_max_dataset"]) > 1e-3


def test_scores_do_not_depend_on_the_order_of_images_to_the_last_bit():
    pairs = [random_pair((9, 11), seed=seed) for seed in range(40)]
    expected = score(SaliencyScores(), pairs).compute()
    for _ in range(3):
        shuffled = [pairs[index] for index in torch.randperm(len(pairs))]
        metric = SaliencyScores()
        for start in range(0, len(pairs), 7):
            score(metric, shuffled[start : start + 7])
        assert metric.compute() == expected


def test_without_weighted_f_the_other_scores_are_the_same(pairs):
    expected = score(SaliencyScores(), pairs).compute()
    expected.pop("f_weighted")
    assert score(SaliencyScores(weighted=False), pairs).compute() == expected


def test_per_image_scores_average_to_those_of_the_data_set(pairs):
    metric = SaliencyScores()
    parts = []
    for dataset, chosen in (("A", pairs[:3]), ("A", pairs[3:]), ("B", pairs[:2])):
        score(metric, chosen)
        parts.append(metric.latest_per_image(dataset, [str(i) for i in range(len(chosen))]))
    per_image = PerImageScores.concatenate(parts)
    assert len(per_image) == len(pairs) + 2
    expected = score(SaliencyScores(), pairs).compute()
    of_dataset = per_image.of_dataset("A")
    assert dataset_scores(of_dataset.means()) == expected
    image_scores = of_dataset.image_scores()
    for name in ("s_measure", "f_mean", "e_mean", "f_weighted", "mae"):
        assert image_scores[name].mean().item() == pytest.approx(expected[name].item(), abs=1e-10)
    assert image_scores["f_max_image"].mean() > expected["f_max"] + 1e-3


@pytest.mark.parametrize("size", [(1, 90), (60, 80)])
def test_weighted_f_far_from_the_object(oracle, size):
    """The crop around object and prediction, and the end of the table of weights."""
    for rows, columns in ((slice(0, 1), slice(0, 2)), (slice(-1, None), slice(-2, None))):
        ground_truth = torch.zeros(size, dtype=torch.bool)
        ground_truth[rows, columns] = True
        for prediction in (torch.zeros(size).byte(), ground_truth.byte() * 200):
            prediction[0, -1] = prediction[-1, 0] = 99
            assert_equals_oracle(oracle, prediction, ground_truth)
    wide = torch.zeros(1, 700, dtype=torch.bool)
    wide[0, 0] = True
    assert_equals_oracle(oracle, torch.full((1, 700), 9).byte() + wide.byte(), wide)


def test_two_halves_merged_equal_one_pass(pairs):
    whole = score(SaliencyScores(), pairs)
    first, second = score(SaliencyScores(), pairs[:3]), score(SaliencyScores(), pairs[3:])
    assert set(whole._reductions) == set(whole._defaults)
    for name in whole._defaults:
        assert whole._reductions[name].__name__ == "dim_zero_sum"
        setattr(first, name, getattr(first, name) + getattr(second, name))
    merged = first.compute()
    assert merged == whole.compute()


def test_channel_dimension_and_batched_tensors_are_accepted():
    pairs = [object_pair((24, 24), seed) for seed in range(3)]
    listed = score(SaliencyScores(), pairs).compute()
    batched = SaliencyScores()
    batched.update(
        torch.stack([pair[0] for pair in pairs])[:, None],
        torch.stack([pair[1] for pair in pairs])[:, None],
    )
    assert batched.compute() == listed


def test_forward_gives_the_batch_score_and_accumulates(pairs):
    metric = SaliencyScores()
    batch = metric([pairs[0][0]], [pairs[0][1]])
    assert batch == score(SaliencyScores(), pairs[:1]).compute()
    metric([pairs[1][0]], [pairs[1][1]])
    assert metric.num_images == 2
    metric.reset()
    assert metric.num_images == 0 and metric.sum_f_curve.abs().sum() == 0


def test_sums_stay_float64_when_the_module_is_cast(pairs):
    module = torch.nn.Sequential(score(SaliencyScores(), pairs))
    module.to(torch.bfloat16).half()
    assert module[0].sum_f_curve.dtype == torch.float64
    assert module[0].compute() == score(SaliencyScores(), pairs).compute()
    assert sum_dtype(torch.device("mps")) == torch.float32


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_image_is_an_error():
    with pytest.raises(RuntimeError, match="has seen no image"):
        SaliencyScores().compute()


@pytest.mark.parametrize(
    ("prediction", "ground_truth", "error", "message"),
    [
        (torch.rand(4, 4), torch.ones(4, 4).bool(), TypeError, "quantise"),
        (torch.ones(4, 4).byte(), torch.ones(4, 4), TypeError, "torch.bool"),
        (
            torch.ones(4, 4).byte(),
            torch.ones(4, 5).bool(),
            ValueError,
            r"\(4, 4\), expected .*\(4, 5\)",
        ),
        (torch.ones(3, 4, 4).byte(), torch.ones(3, 4, 4).bool(), ValueError, "give one map"),
        (torch.ones(0, 4).byte(), torch.ones(0, 4).bool(), ValueError, "give one map"),
    ],
)
def test_bad_pair_is_a_clear_error(prediction, ground_truth, error, message):
    with pytest.raises(error, match=message):
        SaliencyScores().update([prediction], [ground_truth])


def test_lists_of_different_lengths_are_an_error(pairs):
    with pytest.raises(ValueError, match="predictions has 1 maps and ground_truths 2"):
        SaliencyScores().update([pairs[0][0]], [pair[1] for pair in pairs[:2]])
