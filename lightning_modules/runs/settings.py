"""The settings of an experiment by dotted name, and which of them can change its result."""

from collections.abc import Mapping
from typing import Any

from datamodules.image_size import shortest_spelling
from mutualformer.fusions.spelling import by_short_name

DEFAULT_MODULE = "lightning_modules.SaliencyModule"
OPTIONS_OF_ONE_COMMAND = (
    "ckpt_path",
    "weights_only",
    "verbose",
    "return_predictions",
    "test_after_fit",
    "resume",
)
# Settings that may differ between machines or between attempts, because no weight and no score
# depends on them, rounding aside.
_WITHOUT_EFFECT = {
    *OPTIONS_OF_ONE_COMMAND,
    # how often it is saved
    "checkpoint.minutes",
    # where and how a run is computed
    "trainer.accelerator",
    "trainer.barebones",
    "trainer.benchmark",
    "trainer.default_root_dir",
    "trainer.detect_anomaly",
    "trainer.deterministic",
    "trainer.inference_mode",
    "trainer.strategy",
    "data.cache_dir",
    "data.eval_batch_size",
    "data.num_workers",
    "data.root",
    # whether it stops or goes on where no weight has changed yet
    "model.non_finite_loss",
    "trainer.num_sanity_val_steps",
    # what is shown, logged or written beside the scores
    "data.predict_depth",
    "data.predict_rgb",
    "data.predict_root",
    "trainer.enable_autolog_hparams",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.limit_predict_batches",
    "trainer.log_every_n_steps",
    "trainer.model_registry",
}
_WITHOUT_EFFECT_BELOW = (
    "affinity_maps",
    "contact_sheet",
    "peers",
    "predictions",
    "trainer.callbacks",
    "trainer.logger",
    "trainer.plugins",
    "trainer.profiler",
)
# What a setting means that is not given, as in files of versions that did not have it.
_MEANINGS_OF_NONE = {
    "model.class_path": DEFAULT_MODULE,
    "checkpoint.monitor": "val/held_out/s_measure",
    "data.corruption": "none",
    "data.modality_dropout": "0",
    "model.network.num_classes": 1,
}
# As values, and as the text of a trial.
_NONE = (None, "null", 0, "0")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested settings into dotted ones.

    >>> flatten({"network": {"init_args": {"fusion": {"epsilon": 0.3}}, "class_path": "Net"}})
    {'network.fusion.epsilon': 0.3, 'network.class_path': 'Net'}
    >>> flatten({"fusion": {"class_path": "mutualformer.fusions.Sum", "init_args": {"dropout": 0}}})
    {'fusion.name': 'sum', 'fusion.dropout': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in by_short_name(tree).items():
        name = prefix if key == "init_args" else f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, name))
        else:
            flat[name] = one_spelling(name, value)
    return flat


def one_spelling(name: str, value: Any) -> Any:
    """Spell a value one way, of a setting by its dotted name, of which there are several.

    >>> one_spelling("data.image_size", [352, 352]), one_spelling("lr", 0.1)
    (352, 0.1)
    """
    return shortest_spelling(value) if name.rpartition(".")[2] == "image_size" else value


def has_effect(name: str) -> bool:
    """Tell whether a setting, by its dotted name, can change what is learned or scored.

    >>> has_effect("model.optimizer.lr"), has_effect("data.num_workers")
    (True, False)
    """
    below = tuple(f"{prefix}." for prefix in _WITHOUT_EFFECT_BELOW)
    return name not in {*_WITHOUT_EFFECT, *_WITHOUT_EFFECT_BELOW} and not name.startswith(below)


def settings_with_effect(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that two runs must share to have one result.

    Args:
        flat: by dotted name; not empty. What a former version did not write is filled in.
    """
    kept = {name: value for name, value in flat.items() if has_effect(name)}
    for name, meaning in _MEANINGS_OF_NONE.items():
        if kept.get(name) in _NONE:
            kept[name] = meaning
    return kept
