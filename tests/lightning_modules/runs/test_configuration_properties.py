"""What holds of settings: their round trip, their overlays, the grid of a sweep."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_modules.cli.trial import parse_parameters
from lightning_modules.runs.settings import flatten, has_effect
from lightning_modules.sweep.check_trials import _TrialChecker
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_name import read_value, trial_name, value_text
from lightning_modules.sweep.trial_settings import read_settings

TINY = Path(__file__).parents[1] / "tiny.yaml"
many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
few = settings(many, max_examples=10)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda name: name != "init_args")
LEAVES = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans())
TREES = st.recursive(
    st.dictionaries(NAMES, LEAVES, min_size=1, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | LEAVES, min_size=1, max_size=4),
    max_leaves=20,
)
# What an experiment may say, each with values that the parser takes.
EXPERIMENT = st.fixed_dictionaries(
    {},
    optional={
        "model.network.fusion.epsilon": st.floats(0, 0.99),
        "model.network.fusion.num_iterations": st.one_of(st.integers(0, 9), st.just("inf")),
        "model.network.fusion.initial_affinity": st.sampled_from(["identity", "average", "cross"]),
        "model.warmup_steps": st.integers(0, 10**6),
        "model.loss": st.sampled_from(["bce", "weighted_bce_iou"]),
        "seed_everything": st.integers(0, 2**32 - 1),
        "trainer.max_epochs": st.integers(1, 10**6),
        "data.init_args.image_size": st.integers(32, 1000),
        "data.init_args.batch_size": st.integers(1, 1000),
    },
)


@pytest.fixture(scope="module")
def checker() -> _TrialChecker:
    return _TrialChecker(["fit", f"--config={TINY}"])


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        inner = tree
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return tree


def resolved(checker: _TrialChecker, *configs: Path) -> dict[str, Any]:
    checker.parse_arguments(checker.parser, ["fit", *(f"--config={path}" for path in configs)])
    text = checker._parser("fit").dump(checker.config["fit"], skip_none=False)
    config = yaml.safe_load(text)
    config.pop("config", None)
    return config


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@few
@given(EXPERIMENT)
def test_a_resolved_configuration_resolves_to_itself(tmp_path, checker, flat) -> None:
    once = resolved(checker, TINY, write(tmp_path / "overlay.yaml", nested(flat)))
    for name, value in flat.items():
        assert flatten(once)[name.replace("init_args.", "")] == value, name
    assert resolved(checker, write(tmp_path / "config.yaml", once)) == once


@few
@given(EXPERIMENT, EXPERIMENT)
def test_overlays_compose_and_the_last_one_wins(tmp_path, checker, first, second) -> None:
    one, two = write(tmp_path / "1.yaml", nested(first)), write(tmp_path / "2.yaml", nested(second))
    both = write(tmp_path / "both.yaml", nested({**first, **second}))
    expected = resolved(checker, TINY, both)
    assert resolved(checker, TINY, one, two) == expected
    assert resolved(checker, TINY, one, two, two) == expected
    # What a sweep compares folders by lays them over each other likewise.
    assert read_settings([TINY, one, two], {}) == read_settings([TINY, both], {})


@many
@given(TREES)
def test_flattened_settings_keep_every_value_under_its_own_name(tree) -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        return [value]

    flat = flatten(tree)
    assert list(flat.values()) == leaves(tree)
    assert nested(flat) == tree
    # Names of classes' arguments leave no trace.
    assert flatten({"a": {"class_path": "A", "init_args": tree}}) == {
        "a.class_path": "A",
        **{f"a.{name}": value for name, value in flat.items()},
    }


@many
@given(NAMES, NAMES)
def test_where_and_how_a_run_is_made_has_no_effect_and_all_else_has(name, other) -> None:
    for parent in ("trainer.logger", "trainer.callbacks", "trainer.plugins"):
        assert not has_effect(f"{parent}.{name}.{other}")
    assert not has_effect("trainer.default_root_dir") and not has_effect("data.num_workers")
    assert has_effect(f"model.{name}") and has_effect(f"model.network.{name}.{other}")


VALUES = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, width=32),
    st.from_regex(r"[a-z/ .,=\[\]%&<]{1,12}", fullmatch=True).filter(str.strip),
    st.lists(st.integers(0, 99), min_size=1, max_size=3),
)


@settings(many, max_examples=200)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,2}", fullmatch=True).filter(
            lambda name: name not in ("config", "ckpt_path")
        ),
        st.lists(VALUES, min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
def test_a_grid_has_all_combinations_and_no_folder_twice(
    tmp_path: Path, axes: dict[str, list[Any]], rng: random.Random
) -> None:
    for name, values in axes.items():
        # What a sweep file may hold: no value twice, none that a command reads as another.
        kept = {value_text(x): x for x in values if value_text(read_value(str(x))) == value_text(x)}
        axes[name] = list(kept.values()) or [0]
    content = {
        "method": "grid",
        "parameters": {name: {"values": values} for name, values in axes.items()},
        "command": ["mutualformer", "trial", "--folder", "runs", "--config", "a", "${args}"],
    }
    trials = read_sweep(write(tmp_path / "sweep.yaml", content)).trials
    assert len(trials) == math.prod(map(len, axes.values()))
    names = [trial.folder.name for trial in trials]
    assert len(set(names)) == len(names)
    for trial in rng.sample(trials, min(3, len(trials))):
        assert len(trial.folder.name.encode()) <= 255 and "/" not in trial.folder.name
        shuffled = dict(rng.sample(list(trial.parameters.items()), len(trial.parameters)))
        assert trial_name(shuffled) == trial.folder.name
        # What the agent of W&B hands to a trial leads to the same folder.
        assert trial_name(parse_parameters(trial.arguments)) == trial.folder.name
