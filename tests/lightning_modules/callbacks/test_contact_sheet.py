"""Pages drawn by ContactSheet."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from PIL import Image

from lightning_modules.callbacks import ContactSheet

TILE_COLUMN = 240 + 8


def page_of(sheet):
    return np.array(Image.open(sheet.path))


def test_test_page_has_four_columns(tmp_path, trainer, module, loader):
    sheet = ContactSheet()
    trainer(sheet).test(module, loader("A", 1), verbose=False)
    assert sheet.path == tmp_path / "contact_sheet_test.png"
    page = page_of(sheet)
    assert page.shape[1] == 2 * 24 + 4 * TILE_COLUMN - 8

    row = page[24 + 34 + 28 + 90]
    tiles = [row[24 + column * TILE_COLUMN :][:240] for column in range(4)]
    rgb, depth, prediction, mask = tiles
    # Brightness .8 inside and .2 outside; depth rises to the right; the mask is black and white.
    assert {int(rgb.min()), int(rgb.max())} == {51, 204}
    assert np.array_equal(prediction, rgb)
    assert depth[0].max() < 20 and depth[-1].min() > 235
    assert {int(mask.min()), int(mask.max())} == {0, 255}
    assert np.array_equal(mask[:, 0] > 128, prediction[:, 0] > 128)


def test_predict_page_without_masks_has_three_columns(tmp_path, trainer, module, loader):
    sheet = ContactSheet()
    trainer(sheet).predict(module, loader("A", 2, has_mask=False))
    assert sheet.path == tmp_path / "contact_sheet_predict.png"
    assert page_of(sheet).shape[1] == 2 * 24 + 3 * TILE_COLUMN - 8


class Thermal(LightningDataModule):
    second_modality = "thermal"

    def __init__(self, loader):
        super().__init__()
        self.train_dataloader = lambda: loader


def test_train_page_shows_the_first_batch_as_the_network_sees_it(
    tmp_path, trainer, module, loader, monkeypatch
):
    pages = []
    draw_page = "lightning_modules.callbacks.contact_sheet.draw_page"
    monkeypatch.setattr(draw_page, lambda samples: pages.append(samples) or Image.new("L", (1, 1)))
    sheet = ContactSheet()
    run = trainer(sheet)
    run.fit_loop.max_epochs = 2
    run.fit(module, loader("A", 5))
    assert sheet.path == tmp_path / "contact_sheet_train.png" and sheet.path.is_file()
    (samples,) = pages
    assert [sample.caption for sample in samples] == [f"A / image_{i}   32 x 32" for i in (0, 1)]
    for number, sample in enumerate(samples):
        assert list(sample.tiles) == ["RGB", "Depth", "Mask"]
        mask = np.array(sample.tiles["Mask"].convert("L").resize((32, 32))) > 128
        expected = np.zeros((32, 32), bool)
        expected[8:24, 4 + number : 20 + number] = True
        assert np.array_equal(mask, expected)


def test_pages_name_another_second_modality(trainer, loader, monkeypatch, module):
    pages = []
    draw_page = "lightning_modules.callbacks.contact_sheet.draw_page"
    monkeypatch.setattr(draw_page, lambda samples: pages.append(samples) or Image.new("L", (1, 1)))
    run = trainer(ContactSheet(num_samples=1))
    run.fit_loop.max_epochs = 1
    run.fit(module, datamodule=Thermal(loader("A", 2)))
    ((sample,),) = pages
    assert list(sample.tiles) == ["RGB", "Thermal", "Mask"]


def test_a_second_modality_in_colour_is_shown_in_colour(trainer, module, loader):
    batches = loader("A", 1)
    batches.dataset[0]["depth"] = torch.stack([torch.full((32, 32), x) for x in (1.0, 0.5, 0.0)])
    sheet = ContactSheet()
    trainer(sheet).test(module, batches, verbose=False)
    page = page_of(sheet)
    assert page[24 + 34 + 28 + 90, 24 + TILE_COLUMN + 120].tolist() == [255, 128, 0]


def test_rows_are_shared_out_over_datasets(trainer, module, loader, monkeypatch):
    pages = []
    draw_page = "lightning_modules.callbacks.contact_sheet.draw_page"
    monkeypatch.setattr(draw_page, lambda samples: pages.append(samples) or Image.new("L", (1, 1)))
    loaders = [loader("A", 5), loader("B", 1), loader("C", 5, (400, 100))]
    run = trainer(ContactSheet(num_samples=6))
    for _ in range(2):
        run.test(module, loaders, verbose=False)
    captions = [sample.caption for sample in pages[0]]
    assert captions == [
        "A / image_0   40 x 30",
        "A / image_1   40 x 30",
        "A / image_2   40 x 30",
        "B / image_0   40 x 30",
        "C / image_0   100 x 400",
        "C / image_1   100 x 400",
    ]
    assert [sample.caption for sample in pages[1]] == captions


def test_many_rows_are_set_in_two_blocks(trainer, module, loader):
    sheet = ContactSheet()
    trainer(sheet).test(module, loader("A", 12), verbose=False)
    height, width, _ = page_of(sheet).shape
    assert width == 2 * (2 * 24 + 4 * TILE_COLUMN - 8)
    assert height == 2 * 24 + 34 + 6 * (28 + 180 + 8) - 8


def test_extreme_shapes_and_long_names_stay_on_the_page(trainer, module, loader):
    sheet = ContactSheet()
    loaders = [loader("A", 1, (7, 500), names=["x" * 300]), loader("B", 1, (500, 7))]
    trainer(sheet).test(module, loaders, verbose=False)
    page = page_of(sheet)
    assert page.shape[1] == 2 * 24 + 4 * TILE_COLUMN - 8
    assert (page[:, -24:] == 255).all()


def test_no_sample_is_an_error_at_construction():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ContactSheet(num_samples=0)
