"""Corruption reaches test and prediction alone, dropout of a modality training alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from datamodules import RGBDSaliencyDataModule, SyntheticRGBDDataModule
from datamodules.augmentation.corruption import Corruption
from datamodules.batch import to_floats
from datamodules.paired_modality_data_module import PairedModalityDataModule
from mutualformer.errors import UserError

SMALL = dict(image_size=32, num_train=8, num_val=2, num_test=5, batch_size=2, eval_batch_size=3)
STEMS = tuple("abcdefgh")


def synthetic(**options: Any) -> SyntheticRGBDDataModule:
    return SyntheticRGBDDataModule(**{**SMALL, **options})


@pytest.fixture(params=["folders", "synthetic"])
def make(request: pytest.FixtureRequest, folders: Any) -> Callable[..., PairedModalityDataModule]:
    """Return what makes a data module that is ready."""
    if request.param == "synthetic":
        return synthetic
    folder = folders.add("A", STEMS)
    folders.add("B", ("a", "z"))

    def module(**options: Any) -> RGBDSaliencyDataModule:
        sets: dict[str, Any] = dict(train_sets=["A"], test_sets=["B"], predict_root=str(folder))
        sets |= dict(root=str(folders.root), image_size=32, batch_size=2, num_workers=0)
        made = RGBDSaliencyDataModule(**sets, **options)
        for stage in ("fit", "test", "predict"):
            made.setup(stage)
        return made

    return module


def items(loader: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Return images by name, as the network sees them."""
    return {
        name: {key: batch[key][index] for key in ("rgb", "depth", "mask")}
        for batch in map(to_floats, loader)
        for index, name in enumerate(batch["name"])
    }


def same(a: dict[str, dict[str, torch.Tensor]], b: dict[str, dict[str, torch.Tensor]]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name][key], b[name][key]) for name in a for key in a[name]
    )


@pytest.mark.parametrize("text", ["depth:noise:0.5", "rgb:holes:0.5", "rgb:blank:1"])
def test_what_the_network_sees(make: Callable[..., PairedModalityDataModule], text: str) -> None:
    clean, corrupted = make(), make(corruption=text)
    corruption = Corruption.parse(text)
    for before, after in (
        (clean.test_dataloader()[0], corrupted.test_dataloader()[0]),
        (clean.predict_dataloader(), corrupted.predict_dataloader()),
    ):
        expected = items(before)
        for name, item in expected.items():
            item[corruption.modality] = corruption(item[corruption.modality], name)
        assert same(items(after), expected) and not same(items(after), items(before))
    assert same(items(corrupted.train_dataloader()), items(clean.train_dataloader()))
    assert same(items(corrupted.val_dataloader()), items(clean.val_dataloader()))


def test_batches_and_workers_change_nothing() -> None:
    one = synthetic(corruption="depth:shift:1", eval_batch_size=1)
    other = synthetic(corruption="depth:shift:1", eval_batch_size=4, num_workers=2)
    assert same(items(one.test_dataloader()[0]), items(other.test_dataloader()[0]))


def test_a_corruption_of_what_is_not_read_is_refused(folders: Any) -> None:
    module = synthetic(corruption="depth:noise:0.5")
    module.modalities = ("rgb",)
    module.setup("fit")
    for stage in ("test", "predict"):
        with pytest.raises(UserError, match="depth:noise:0.5, but the network reads rgb alone"):
            module.setup(stage)
    folders.add("B")
    thermal = RGBDSaliencyDataModule(
        root=str(folders.root),
        test_sets=["B"],
        second_modality="thermal",
        corruption="depth:polarity:1",
    )
    with pytest.raises(UserError, match="thermal, which has no polarity, expected another kind"):
        thermal.setup("test")


def blanks(module: PairedModalityDataModule, epochs: range) -> list[tuple[str, bool, bool]]:
    """Return which modalities are blank, sample by sample."""
    loader, found = module.train_dataloader(), []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        for batch in loader:
            dark = [~batch[key].flatten(1).any(1) for key in ("rgb", "depth")]
            found += zip(batch["name"], *(x.tolist() for x in dark), strict=True)
    return found


def test_a_modality_is_dropped_with_the_probability_given() -> None:
    found = blanks(synthetic(modality_dropout=0.5), range(40))
    rgb, depth = (sum(sample[i] for sample in found) / len(found) for i in (1, 2))
    assert rgb == pytest.approx(0.25, abs=0.08) and depth == pytest.approx(0.25, abs=0.08)
    assert not any(sample[1] and sample[2] for sample in found)
    always = blanks(synthetic(modality_dropout=1.0), range(2))
    assert all(sample[1] != sample[2] for sample in always)
    assert not any(sample[1] or sample[2] for sample in blanks(synthetic(), range(2)))


def test_what_is_left_is_what_it_would_have_been(
    make: Callable[..., PairedModalityDataModule],
) -> None:
    plain, dropped = (items(make(modality_dropout=p).train_dataloader()) for p in (0.0, 0.5))
    is_blank = []
    for name, item in dropped.items():
        for key in ("rgb", "depth", "mask"):
            is_blank.append(not item[key].any())
            assert torch.equal(item[key], plain[name][key]) or is_blank[-1]
    assert any(is_blank)


def test_a_continued_training_drops_the_same() -> None:
    whole = blanks(synthetic(modality_dropout=0.5), range(4))
    assert len({sample[1:] for sample in whole}) == 3
    resumed = synthetic(modality_dropout=0.5, num_workers=1)
    resumed.load_state_dict({"epoch": 1, "num_batches": 2, "seeds_are_hashed": True})
    assert blanks(resumed, range(1, 4)) == whole[8 + 4 :]
    other = synthetic(modality_dropout=0.5, seed=1)
    assert [x[1:] for x in blanks(other, range(4))] != [x[1:] for x in whole]


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(UserError, match=r"modality_dropout is .*, expected a probability"):
        synthetic(modality_dropout=probability)


def test_dropping_the_only_modality_is_refused() -> None:
    module = synthetic(modality_dropout=0.5)
    module.modalities = ("depth",)
    module.setup("test")
    with pytest.raises(UserError, match="reads depth alone, of which it would leave nothing"):
        module.setup("fit")
