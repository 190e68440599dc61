"""One list says which settings change no result: to resume, to a sweep and to a table alike."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from resolved_settings import resolved_settings

from lightning_modules.runs.checkpoints import checkpoint_to_continue
from lightning_modules.runs.results import read_results
from lightning_modules.runs.settings import flatten, has_effect
from lightning_modules.sweep.trial_name import value_text
from lightning_modules.sweep.trial_settings import check_settings, write_settings
from lightning_modules.tables.planned_rows import PlannedRun
from lightning_modules.tables.provenance import find_deviations
from lightning_modules.tables.runs import Run
from mutualformer.errors import UserError

TINY = Path(__file__).parents[1] / "tiny.yaml"
FORMER_RESULTS = Path(__file__).parent / "former_run" / "results.json"
WITHOUT_EFFECT = {
    "affinity_maps.num_samples": 0,
    "affinity_maps.stride": 8,
    "checkpoint.minutes": 3,
    "contact_sheet.num_samples": 3,
    "data.cache_dir": "elsewhere",
    "data.eval_batch_size": 1,
    "data.num_workers": 7,
    "data.predict_depth": "elsewhere.png",
    "data.predict_rgb": "elsewhere.jpg",
    "data.predict_root": "elsewhere",
    "data.root": "elsewhere",
    "model.non_finite_loss": "skip",
    "peers.limit": 5,
    "predictions.output_dir": "elsewhere",
    "resume": "never",
    "test_after_fit": True,
    "ckpt_path": "a.ckpt",
    "weights_only": False,
    "trainer.accelerator": "gpu",
    "trainer.barebones": True,
    "trainer.benchmark": True,
    "trainer.callbacks": [{"class_path": "mine.Callback"}],
    "trainer.default_root_dir": "elsewhere",
    "trainer.detect_anomaly": True,
    "trainer.deterministic": True,
    "trainer.enable_autolog_hparams": False,
    "trainer.enable_model_summary": True,
    "trainer.enable_progress_bar": True,
    "trainer.inference_mode": False,
    "trainer.limit_predict_batches": 3,
    "trainer.log_every_n_steps": 7,
    "trainer.logger": {"class_path": "lightning_modules.tracking.WandbRunLogger"},
    "trainer.model_registry": "mine",
    "trainer.num_sanity_val_steps": 2,
    "trainer.plugins": ["mine"],
    "trainer.profiler": "simple",
    "trainer.strategy": "ddp",
}
WITH_EFFECT = {
    "checkpoint.monitor": "val/held_out/mae",
    "data.batch_size": 3,
    "data.corruption": "depth:noise:0.5",
    "data.image_size": 96,
    "data.modality_dropout": 0.3,
    "data.train_sets": ["OTHER"],
    "data.validation_fraction": 0.5,
    "model.class_path": "mine.Module",
    "model.loss": "bce",
    "model.network.encoder_name": "resnet34",
    "model.network.fusion.epsilon": 0.1,
    "model.optimizer.lr": 0.5,
    "seed_everything": 9,
    "trainer.devices": 2,
    "trainer.max_epochs": 0,  # a higher one goes on
    "trainer.precision": "bf16-mixed",
}


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    """Return what `fit --print_config` prints of a run on folders of images."""
    data = ["--data=datamodules.RGBDSaliencyDataModule", "--data.train_sets=[PAIRS]"]
    return resolved_settings("--config", str(TINY), *data)


def changed(config: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a configuration with one setting, by its dotted name, replaced."""
    config = copy.deepcopy(config)
    inner = config
    *parents, last = name.split(".")
    for parent in parents:
        inner = inner[parent]
        inner = inner.get("init_args", inner) if last != "class_path" else inner
    inner[last] = value
    return config


def test_every_setting_of_a_run_was_decided(resolved: dict[str, Any]) -> None:
    """A new one counts as one with an effect, until it is added to both lists."""
    names = set(flatten(resolved)) - {"config"}
    assert {name for name in names if not has_effect(name)} == set(WITHOUT_EFFECT)
    assert set(WITH_EFFECT) <= names


@pytest.fixture
def continues(tmp_path: Path, resolved: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(resolved))

    def of(config: dict[str, Any]) -> bool:
        try:
            return checkpoint_to_continue(tmp_path, config, "auto") is not None
        except UserError:
            return False

    return of


@pytest.fixture
def same_trial(tmp_path: Path, resolved: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    write_settings(tmp_path, {name: value_text(x) for name, x in flatten(resolved).items()})

    def of(config: dict[str, Any]) -> bool:
        try:
            check_settings(tmp_path, {name: value_text(x) for name, x in flatten(config).items()})
        except UserError:
            return False
        return True

    return of


@pytest.fixture
def one_row(tmp_path: Path, resolved: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    content = json.loads(FORMER_RESULTS.read_text())

    def run(number: int, config: dict[str, Any]) -> Run:
        path = tmp_path / str(number) / "results.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content | {"config": config, "seed": None}))
        return Run(0, PlannedRun(path.parent, None, "command"), read_results(path))

    def of(config: dict[str, Any]) -> bool:
        runs = [run(0, resolved), run(1, resolved), run(2, config)]
        return not any(find_deviations(runs, [], settings_per_row=True))

    return of


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_setting_without_effect_is_free_to_change(
    name: str, resolved: dict[str, Any], continues, same_trial, one_row
) -> None:
    config = changed(resolved, name, WITHOUT_EFFECT[name])
    assert config != resolved
    assert continues(config) and same_trial(config) and one_row(config)


@pytest.mark.parametrize("name", WITH_EFFECT)
def test_a_setting_with_an_effect_is_not(
    name: str, resolved: dict[str, Any], continues, same_trial, one_row
) -> None:
    config = changed(resolved, name, WITH_EFFECT[name])
    assert not continues(config) and not same_trial(config)
    # The seeds of a row differ; that is what they are for.
    assert one_row(config) is (name == "seed_everything")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("model.class_path", "lightning_modules.SaliencyModule"),
        ("checkpoint.monitor", "val/held_out/s_measure"),
        ("data.corruption", None),
        ("data.modality_dropout", 0.0),
        ("model.network.num_classes", 1),
    ],
)
def test_what_former_versions_did_not_say_means_what_they_did(
    name: str, meaning: str, resolved: dict[str, Any], continues, same_trial, one_row
) -> None:
    assert all(of(changed(resolved, name, meaning)) for of in (continues, one_row))
    former = copy.deepcopy(resolved)
    former["model"] = former["model"]["init_args"]
    former["checkpoint"]["monitor"] = "val/held_out/s_measure"
    for later in ("corruption", "modality_dropout"):
        del former["data"]["init_args"][later]
    del former["model"]["network"]["init_args"]["num_classes"]
    assert all(of(former) for of in (continues, one_row))


def test_options_that_only_some_classes_have_flag_no_row(tmp_path: Path) -> None:
    content = json.loads(FORMER_RESULTS.read_text())
    runs = []
    for row, fusion in enumerate(
        ({"name": "a", "epsilon": 0.6, "dim": 1}, {"name": "b", "dim": 1}, {"name": "b", "dim": 2})
    ):
        network = {"fusion": fusion, "width": 3}
        path = tmp_path / f"{row}.json"
        path.write_text(json.dumps(content | {"config": {"model": {"network": network}}}))
        parameters = {"model.network.fusion.name": fusion["name"]}
        planned = PlannedRun(tmp_path, None, "command", parameters)
        runs.append(Run(row, planned, read_results(path)))
    assert find_deviations(runs, [], settings_per_row=False) == [
        [],
        [],
        ["model.network.fusion.dim is 2, elsewhere 1"],
    ]


def test_a_square_is_one_run_whether_one_number_says_so_or_two(
    resolved: dict[str, Any], continues, one_row, tmp_path: Path
) -> None:
    square = changed(resolved, "data.image_size", [resolved["data"]["init_args"]["image_size"]] * 2)
    assert square != resolved and continues(square) and one_row(square)
    wide = changed(resolved, "data.image_size", [64, 96])
    assert not continues(wide) and not one_row(wide)
    # Two equal numbers of another setting are no size.
    assert flatten({"betas": [0.9, 0.9]}) == {"betas": [0.9, 0.9]}
