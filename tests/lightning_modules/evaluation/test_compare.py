"""Paired bootstrap: honest statistics, and the command around it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.evaluation.paired_bootstrap import SEED, compare_scores
from lightning_modules.main import main
from lightning_modules.metrics import PairHistograms, PerImageScores, SaliencyScores
from lightning_modules.metrics.per_image_files import write_per_image_scores
from lightning_modules.metrics.per_image_values import per_image_values


def score(maps: dict, masks: dict, dataset: str = "SET") -> PerImageScores:
    histograms = PairHistograms.from_pairs(
        [torch.from_numpy(maps[name]) for name in masks],
        [torch.from_numpy(mask > 0) for mask in masks.values()],
    )
    return PerImageScores.from_values(
        dataset, list(masks), histograms, per_image_values(histograms)
    )


@pytest.fixture
def two_methods(fabricate):
    """Return scores of two methods on twelve images: A has more noise than B."""
    noisy, masks = fabricate(12, noise=165)
    clean, _ = fabricate(12, noise=110, seed=1)
    return noisy, clean, masks


def test_the_interval_is_that_of_scoring_every_resample_anew(two_methods) -> None:
    """Straightforward: draw images, score the drawn ones with the metric, take quantiles."""
    noisy, clean, masks = two_methods
    num_resamples = 60
    actual = compare_scores(score(noisy, masks), score(clean, masks), num_resamples)["SET"]
    drawn = np.random.default_rng(SEED).integers(12, size=(num_resamples, 12))
    names = list(masks)
    differences = []
    for draw in drawn:
        of_method = []
        for maps in (noisy, clean):
            metric = SaliencyScores()
            metric.update(
                [torch.from_numpy(maps[names[index]]) for index in draw],
                [torch.from_numpy(masks[names[index]] > 0) for index in draw],
            )
            of_method.append(metric.compute())
        differences.append(
            {name: (of_method[1][name] - of_method[0][name]).item() for name in actual}
        )
    assert list(actual) == list(of_method[0])
    assert 0.5 < actual["f_max"].a < actual["f_max"].b < 0.99
    for name, difference in actual.items():
        sample = np.array([resample[name] for resample in differences])
        expected = np.quantile(sample, [0.025, 0.975])
        assert [difference.low, difference.high] == pytest.approx(expected, abs=1e-9), name


def test_identical_methods_do_not_differ(two_methods) -> None:
    noisy, _, masks = two_methods
    for difference in compare_scores(score(noisy, masks), score(noisy, masks), 500)["SET"].values():
        assert (difference.low, difference.high, difference.better) == (0, 0, None)


def test_a_clear_difference_is_real_and_changes_sides(two_methods) -> None:
    noisy, clean, masks = two_methods
    a, b = score(noisy, masks), score(clean, masks)
    there, back = compare_scores(a, b, 1000)["SET"], compare_scores(b, a, 1000)["SET"]
    for name in ("s_measure", "mae", "f_weighted"):
        assert (there[name].better, back[name].better) == ("b", "a")
        assert there[name].low == pytest.approx(-back[name].high, abs=1e-12)
    assert there["mae"].high < 0 < there["s_measure"].low


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """MAE of methods whose images differ by N(0.01, 0.05): the true difference is 0.01."""
    generator = torch.Generator().manual_seed(0)
    names = [str(index) for index in range(80)]
    num_trials, covered = 200, 0
    for _ in range(num_trials):
        base = torch.rand(80, generator=generator, dtype=torch.float64)
        change = 0.01 + 0.05 * torch.randn(80, generator=generator, dtype=torch.float64)
        a, b = (PerImageScores(["X"] * 80, names, {"mae": x}, {}) for x in (base, base + change))
        difference = compare_scores(a, b, 400)["X"]["mae"]
        covered += difference.low <= 0.01 <= difference.high
    assert 0.88 <= covered / num_trials <= 0.99


def test_the_order_of_images_does_not_matter(two_methods) -> None:
    noisy, clean, masks = two_methods
    b = score(clean, masks)
    shuffled = b.select(list(reversed(range(12))))
    assert compare_scores(score(noisy, masks), shuffled, 200) == compare_scores(
        score(noisy, masks), b, 200
    )


@pytest.fixture
def files(two_methods, tmp_path: Path) -> Path:
    """Return a folder with `run/per_image_scores.csv` and `b.csv`, of two data sets."""
    noisy, clean, masks = two_methods
    for path, maps in (("run/per_image_scores.csv", noisy), ("b.csv", clean)):
        only = "ONLY_A" if maps is noisy else "ONLY_B"
        parts = [score(maps, masks, dataset) for dataset in ("SET", only)]
        write_per_image_scores(tmp_path / path, PerImageScores.concatenate(parts))
    return tmp_path


def test_the_command_compares_a_run_with_a_table(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = files / "out" / "comparison.json"
    arguments = [str(files / "run"), str(files / "b.csv"), "--output", str(output)]
    assert main(["compare", *arguments, "--resamples", "300"]) == 0
    comparison = json.loads(output.read_text())
    assert comparison["num_images"] == {"SET": 12}
    assert (comparison["only_in_a"], comparison["only_in_b"]) == (["ONLY_A"], ["ONLY_B"])
    assert comparison["num_resamples"] == 300 and comparison["curves"]
    assert "PySODMetrics 1.6" in comparison["protocol"]
    scores = comparison["differences"]["SET"]
    assert len(scores) == 10 and scores["mae"]["better"] == "b"
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("mae"))
    a, b = (f"{scores['mae'][side]:.4f}".removeprefix("0") for side in "ab")
    assert lines[at].split() == ["mae", "B", a, b]
    low, high = (f"−{abs(scores['mae'][end]):.4f}".replace("−0", "−") for end in ("low", "high"))
    assert f"[{low}, {high}]" in lines[at + 1]
    assert "12 images are few" in printed and "Only in A: ONLY_A" in printed

    before = output.read_text()
    assert main(["compare", *arguments, "--resamples", "300"]) == 0
    assert output.read_text() == before


def test_without_curves_the_averaged_scores_are_compared(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "b.npz").unlink()
    assert main(["compare", str(files / "run"), str(files / "b.csv"), "--resamples", "100"]) == 0
    printed = capsys.readouterr().out
    assert "Max and mean F and E are left out" in printed
    assert "s_measure" in printed and "f_max" not in printed


def break_names(folder: Path) -> None:
    text = (folder / "b.csv").read_text().replace("SET,image_3,", "SET,image_x,")
    (folder / "b.csv").write_text(text)
    (folder / "b.npz").unlink()


def replace(old: str, new: str):
    def change(folder: Path) -> None:
        (folder / "b.csv").write_text((folder / "b.csv").read_text().replace(old, new))

    return change


def other_ground_truth(folder: Path) -> None:
    maps = {f"image_{i}": np.full((20, 20), i, np.uint8) for i in range(12)}
    masks = {name: np.eye(20, dtype=np.uint8) for name in maps}
    write_per_image_scores(folder / "b.csv", score(maps, masks))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "b.csv").unlink(), "b.csv: no such file"),
        (lambda folder: (folder / "b.csv").write_text("a,b\n1,2\n"), "not a table of per-image"),
        (lambda folder: (folder / "b.csv").write_bytes(b"\xff\xfe\x00"), "not a table"),
        (lambda folder: (folder / "b.csv").write_text("dataset,name,status\n"), "no scored image"),
        (lambda folder: (folder / "b.npz").write_bytes(b"broken"), "b.npz: cannot be read"),
        (replace("scored,0.", "scored,0.0"), "belongs to another table"),
        (replace("scored,0.", "scored,x"), "not a table of per-image"),
        (replace("pysodmetrics-1.6", "other-2"), "protocol other-2"),
        (replace("image_3", "image_2"), "image_2 is there more than once"),
        (replace("SET,", "OTHER,"), "belongs to another table"),
        (break_names, "2 image(s) are scored in only one of A and B (image_3 in A)"),
        (other_ground_truth, "12 image(s) have another ground truth"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    change, words: str, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change(files)
    output = files / "comparison.json"
    with pytest.raises(SystemExit) as error:
        main(["compare", str(files / "run"), str(files / "b.csv"), "--output", str(output)])
    assert error.value.code == 2
    message = capfd.readouterr().err
    assert words in message and "Traceback" not in message
    assert not output.exists()


def test_other_mistakes(files: Path, capfd: pytest.CaptureFixture[str], fabricate) -> None:
    one = score(*fabricate(1))
    with pytest.raises(ValueError, match="one image, expected 2"):
        compare_scores(one, one, 100)
    with pytest.raises(ValueError, match="no data set in common"):
        compare_scores(one, score(*fabricate(1), "OTHER"), 100)
    for arguments, words in (
        ([str(files), str(files)], "no per_image_scores.csv in this folder"),
        (["a", "b", "--resamples", "9"], "--resamples"),
        (["a", "b", "--output", "c.csv"], "ending in .json"),
        (["a"], "RUN_B"),
    ):
        with pytest.raises(SystemExit) as error:
            main(["compare", *arguments])
        assert error.value.code == 2
        assert words in capfd.readouterr().err
