"""The same command gives the same run, and the seed decides all that is drawn in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import Injection, assert_same_run, load

from datamodules import RGBDSaliencyDataModule, SyntheticRGBDDataModule
from datamodules.paired_modality_data_module import PairedModalityDataModule
from lightning_modules import SaliencyModule
from lightning_modules.main import main

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def fit(forked: Callable, augmented: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `fit` in a process of its own; returns its folder."""

    def run(*options: str, inject: Injection | None = None) -> Path:
        folder = tmp_path_factory.mktemp("run")
        arguments = ["fit", *augmented, f"--trainer.default_root_dir={folder}", *options]
        finished = forked(arguments, inject).wait()
        assert finished.code == 0, finished.output
        return folder

    return run


@pytest.mark.slow
def test_the_same_command_twice(fit: Run) -> None:
    def draw_first() -> None:
        torch.rand(7)

    first = fit()
    for options in ([], ["--data.num_workers=2"]):
        assert_same_run(fit(*options, inject=draw_first), first)
    other = load(fit("--seed_everything=1"))
    assert not torch.equal(
        load(first)["optimizer_states"][0]["state"][0]["exp_avg"],
        other["optimizer_states"][0]["state"][0]["exp_avg"],
    )


def initialise(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Return a weight of the network before the first step."""
    weights: list[torch.Tensor] = []

    def stop(module: SaliencyModule) -> None:
        weights.append(module.network.head.weight.detach().clone())
        raise SystemExit(0)

    monkeypatch.setattr(SaliencyModule, "configure_optimizers", stop)
    config = Path(__file__).parents[1] / "tiny.yaml"
    with pytest.raises(SystemExit):
        main(
            [
                *("fit", "--config", str(config), "--trainer.default_root_dir", str(folder)),
                f"--seed_everything={seed}",
            ]
        )
    return weights[0]


def test_the_seed_decides_the_initial_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again, other = (initialise(seed, tmp_path, monkeypatch) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def read(module: PairedModalityDataModule, run_seed: int) -> tuple[list[str], dict[str, Any]]:
    """Return the names of an epoch in their order, and what the network sees of each image."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PL_GLOBAL_SEED", str(run_seed))
        batches = list(module.train_dataloader())
    names = [name for batch in batches for name in batch["name"]]
    return names, dict(zip(names, torch.cat([batch["rgb"] for batch in batches]), strict=True))


def seeded(pairs: Path, kind: str, seed: int) -> PairedModalityDataModule:
    if kind == "scenes":
        return SyntheticRGBDDataModule(64, num_train=6, batch_size=2, seed=seed)
    module = RGBDSaliencyDataModule(
        str(pairs), ["PAIRS"], image_size=64, batch_size=2, num_workers=0, seed=seed
    )
    module.setup("fit")
    return module


@pytest.mark.parametrize("seeds", [((0, 0), (0, 1)), ((0, 0), (1, 0))], ids=["run", "data"])
def test_either_seed_decides_order_and_augmentation(
    pairs: Path, seeds: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    (data_seed, run_seed), (other_data_seed, other_run_seed) = seeds
    names, images = read(seeded(pairs, "pairs", data_seed), run_seed)
    again, same = read(seeded(pairs, "pairs", data_seed), run_seed)
    assert again == names and all(torch.equal(same[name], images[name]) for name in names)
    others, different = read(seeded(pairs, "pairs", other_data_seed), other_run_seed)
    assert others != names
    assert not any(torch.equal(different[x], images[x]) for x in set(names) & set(others))


def test_the_seed_of_the_data_decides_the_synthetic_scenes() -> None:
    first, again, other = (
        SyntheticRGBDDataModule(64, num_train=2, seed=seed).train_dataset for seed in (0, 0, 1)
    )
    for index in range(2):
        assert torch.equal(first[index]["rgb"], again[index]["rgb"])
        assert not torch.equal(first[index]["rgb"], other[index]["rgb"])


def test_the_seed_of_the_run_decides_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_modules.callbacks import StepSeed

    class Here:
        current_epoch = global_rank = 0

    def drop(seed: int) -> torch.Tensor:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        StepSeed().on_train_batch_start(Here, None, None, 0)  # type: ignore[arg-type]
        return torch.nn.functional.dropout(torch.ones(100), 0.5)

    assert torch.equal(drop(0), drop(0)) and not torch.equal(drop(0), drop(1))
