"""Figures of affinities, through a real network and a real Trainer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule
from lightning_modules.callbacks import AffinityMaps, affinity_maps
from lightning_modules.report.affinity_figure import choose_points
from mutualformer import MutualFormerNetwork
from mutualformer.fusions.spelling import read_fusion
from mutualformer.ops import cross_diffusion


def network_module(**fusion):
    return SaliencyModule(
        MutualFormerNetwork(
            "resnet18",
            fusion=read_fusion({"num_heads": 2, **fusion}),
            fusion_strides=[16, 32],
            fusion_dim=16,
            decoder_dim=32,
        )
    )


def data(**arguments):
    return SyntheticRGBDDataModule(
        **{"image_size": 80, "num_train": 1, "num_test": 3, "eval_batch_size": 2} | arguments
    )


@pytest.fixture
def drawn(monkeypatch):
    """Collect what would be drawn."""
    calls = []

    def draw(samples, attention, modality):
        calls.append(list(samples))
        return b"picture"

    monkeypatch.setattr(affinity_maps, "draw_affinities", draw)
    return calls


def test_the_figure_lies_in_the_folder_of_the_run(trainer, tmp_path):
    module = network_module(num_iterations="inf")
    trainer(AffinityMaps()).test(module, data(), verbose=False)
    with Image.open(tmp_path / "affinity_maps" / "synthetic.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    # Seven tiles side by side, in two lines for each of two images.
    assert pixels.shape[1] > 1500 and pixels.shape[0] > 800
    assert (np.ptp(pixels, axis=-1) > 100).any()  # in colour
    layers = list(module.modules())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)


@pytest.mark.parametrize("stride", [None, 32])
def test_maps_are_the_rows_of_the_networks_own_affinities(trainer, drawn, stride):
    module = network_module(num_iterations=2, epsilon=0.7).eval()
    trainer(AffinityMaps(num_samples=3, stride=stride)).test(module, data(), verbose=False)
    ((first, second, third),) = drawn
    assert [x.name for x in (first, second, third)] == ["test_00000", "test_00001", "test_00002"]

    # The third image is alone in its batch: let its tokens read a value that all heads share.
    side = stride or 16
    grid = 96 // side  # 80 pixels are padded to 96
    mixing = module.network.blocks["5" if stride else "4"].mixing
    seen = []
    mixing.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[:2]))
    item = data().test_datasets[0][2]
    with torch.inference_mode():
        module(item["rgb"][None], item["depth"][None])
        ((tokens_rgb, tokens_depth),) = seen
        query_rgb, key_rgb, value = mixing.attention.qkv_rgb(mixing.norm_rgb(tokens_rgb))
        query_depth, key_depth, _ = mixing.attention.qkv_depth(mixing.norm_depth(tokens_depth))
        value = torch.randn_like(value[:, :1]).expand_as(value)
        outputs = cross_diffusion(
            *(query_rgb, key_rgb, value, query_depth, key_depth, value),
            epsilon=0.7,
            num_iterations=2,
            backend="dense",
        )
    assert list(third.points) == ["object", "background"]
    for index, (name, (row, column)) in enumerate(third.points.items()):
        assert item["mask"][0, row, column] == (name == "object")
        token = row // side * grid + column // side
        for maps, output in zip(third.maps, outputs, strict=True):
            read = torch.from_numpy(maps[index]).flatten() @ value[0, 0]
            torch.testing.assert_close(read, output[0, :, token].mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["concat", "cross_attention", "sum", "rgb", "depth"])
def test_other_fusions_have_no_figure(trainer, drawn, tmp_path, name):
    trainer(AffinityMaps()).test(network_module(name=name), data(num_test=1), verbose=False)
    assert not drawn and not (tmp_path / "affinity_maps").exists()


def test_neither_has_the_block_of_the_release_nor_another_module(trainer, drawn, module, loader):
    trainer(AffinityMaps()).test(network_module(variant="release"), data(num_test=1), verbose=False)
    trainer(AffinityMaps()).test(module, loader("A", 2), verbose=False)
    assert not drawn


def test_none_on_request(trainer, drawn):
    trainer(AffinityMaps(num_samples=0)).test(network_module(), data(), verbose=False)
    assert not drawn


def test_names_that_matplotlib_would_read_as_formulas_are_drawn(trainer, tmp_path, monkeypatch):
    name = "$x_{" + "long" * 20
    original = AffinityMaps._sample
    monkeypatch.setattr(
        AffinityMaps, "_sample", lambda self, *a: replace(original(self, *a), name=name)
    )
    trainer(AffinityMaps(1)).test(network_module(), data(num_test=1), verbose=False)
    assert (tmp_path / "affinity_maps" / "synthetic.png").is_file()


def test_a_stride_without_fusion_is_refused(trainer):
    with pytest.raises(ValueError, match="affinity_maps.stride is 8, expected .*: 16, 32"):
        trainer(AffinityMaps(stride=8)).test(network_module(), data(), verbose=False)


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="num_samples is -1, expected at least 0"):
        AffinityMaps(num_samples=-1)


@pytest.mark.parametrize(("fill", "names"), [(False, ["background"]), (True, ["object"])])
def test_masks_that_are_empty_or_full_have_one_point(fill, names):
    points = choose_points(np.full((20, 30), fill))
    assert list(points) == names
    assert all(0 <= row < 20 and 0 <= column < 30 for row, column in points.values())
