"""The scores of every image of a test run."""

from lightning_modules.callbacks import PerImageScoresWriter, ResultsWriter
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.metrics.per_image_scores import dataset_scores


def test_every_image_once_and_the_averages_are_those_logged(tmp_path, trainer, module, loader):
    writer = PerImageScoresWriter()
    run = trainer(writer)
    loaders = [loader("B", 3), loader("A", 2, (20, 33), names=["z", "a"])]
    run.test(module, loaders, verbose=False)
    assert writer.path == tmp_path / "per_image_scores.csv"
    scores = read_per_image_scores(writer.path)
    images = list(zip(scores.datasets, scores.names, strict=True))
    assert images == [("A", "a"), ("A", "z"), ("B", "image_0"), ("B", "image_1"), ("B", "image_2")]
    for dataset in ("A", "B"):
        for name, value in dataset_scores(scores.of_dataset(dataset).means()).items():
            assert value == run.callback_metrics[f"test/{dataset}/{name}"], name


def test_repeated_images_and_repeated_runs_count_once(trainer, module, loader):
    writer = PerImageScoresWriter()
    run = trainer(writer)
    for _ in range(2):
        run.test(module, [loader("A", 3), loader("A", 3)], verbose=False)
    assert read_per_image_scores(writer.path).names == ["image_0", "image_1", "image_2"]


def test_a_module_without_per_image_scores_leaves_no_file(
    tmp_path, trainer, module, loader, monkeypatch
):
    step = type(module).test_step
    monkeypatch.setattr(
        type(module),
        "test_step",
        lambda self, *arguments: {"saliency": step(self, *arguments)["saliency"]},
    )
    trainer(PerImageScoresWriter(), ResultsWriter()).test(module, loader("A", 2), verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
