"""The settings of an experiment by dotted name, and which of them can change its result."""

from collections.abc import Mapping
from typing import Any

from mutualformer.fusions.spelling import by_short_name

# These may differ between machines or between attempts: they change no score.
_WITHOUT_EFFECT = {
    "trainer.accelerator",
    "trainer.default_root_dir",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.strategy",
    "data.eval_batch_size",
    "data.num_workers",
    "data.root",
}
_WITHOUT_EFFECT_BELOW = ("trainer.logger", "trainer.callbacks", "trainer.plugins")


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
            flat[name] = value
    return flat


def has_effect(name: str) -> bool:
    """Tell whether a setting, by its dotted name, can change what is learned."""
    return name not in _WITHOUT_EFFECT and not name.startswith(_WITHOUT_EFFECT_BELOW)
