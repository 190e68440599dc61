"""Which configurations a command line means, and what they are called."""

from pathlib import Path

import pytest

from lightning_modules.cli.configurations import (
    find_sources,
    labels,
    refuse_for_runs,
    settings_of_result,
)
from lightning_modules.costs.measure_all import settings_of_cost
from mutualformer.errors import UserError


def run(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    return folder


def test_a_run_is_found_by_its_folder_its_file_and_the_folder_above(tmp_path: Path) -> None:
    a, b = run(tmp_path / "sweep" / "a"), run(tmp_path / "sweep" / "b")
    (tmp_path / "sweep" / "logs").mkdir()
    (tmp_path / "net.yaml").write_text("{}")
    for paths in ([a, b], [a / "config.yaml", b], [a.parent], [a, a.parent, b / "config.yaml"]):
        found = find_sources(paths)
        assert [source.run and source.run.path for source in found] == [a, b]
        assert [source.name for source in found] == [str(a), str(b)]
    (experiment,) = find_sources([tmp_path / "net.yaml"])
    assert experiment.run is None and experiment.name == str(tmp_path / "net.yaml")


def test_a_run_with_folders_in_it_is_one_run(tmp_path: Path) -> None:
    run(run(tmp_path / "a") / "copy")
    assert [source.path.parent for source in find_sources([tmp_path / "a"])] == [tmp_path / "a"]


def test_what_is_no_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "results.json").write_text("{}")
    for name, message in (
        ("absent", "absent: no such file or folder"),
        ("empty", "empty holds no config.yaml, nor does a folder in it"),
        ("results.json", "results.json is no YAML file"),
    ):
        with pytest.raises(UserError, match=message):
            find_sources([tmp_path / name])


@pytest.mark.parametrize(
    ("word", "is_refused"),
    [
        ("--model.network.fusion.name=sum", True),
        ("--data.image_size=64", True),
        ("--trainer.precision=bf16-mixed", True),
        ("--trainer.accelerator=cpu", False),
        ("--data.root=elsewhere", False),
    ],
)
def test_a_run_keeps_its_settings(tmp_path: Path, word: str, is_refused: bool) -> None:
    sources = find_sources([run(tmp_path / "a")])
    if is_refused:
        with pytest.raises(UserError, match=rf"{word.split('=')[0]} would change what .*a is"):
            refuse_for_runs(sources, [word])
    else:
        refuse_for_runs(sources, [word])
    (tmp_path / "net.yaml").write_text("{}")
    refuse_for_runs(find_sources([tmp_path / "net.yaml"]), [word])


def resolved(**changes: object) -> dict:
    trainer = {"accelerator": "cpu", "max_epochs": 1, "default_root_dir": "a", "precision": "32"}
    settings = {"seed_everything": 0, "trainer": trainer, "data": {"root": "x", "image_size": 64}}
    for name, value in changes.items():
        holder, _, last = name.rpartition("__")
        (settings[holder] if holder else settings)[last] = value
    return settings


@pytest.mark.parametrize(
    ("change", "same_result", "same_cost"),
    [
        ({"seed_everything": 1}, True, True),
        ({"trainer__default_root_dir": "b"}, True, True),
        ({"data__root": "y"}, True, True),
        ({"data__image_size": [64, 64]}, True, True),
        ({"trainer__max_epochs": 2}, False, True),
        ({"data__image_size": 32}, False, False),
        ({"trainer__precision": "16"}, False, False),
        ({"trainer__accelerator": "gpu"}, False, False),
    ],
)
def test_what_is_measured_once(change: dict, same_result: bool, same_cost: bool) -> None:
    one, other = settings_of_result(resolved()), settings_of_result(resolved(**change))
    assert (one == other) == same_result
    assert (settings_of_cost(one) == settings_of_cost(other)) == same_cost


def test_configurations_are_called_by_as_few_settings_as_tell_them_apart() -> None:
    fusion = "model.network.fusion"
    settings = [
        {f"{fusion}.name": "mutualformer", f"{fusion}.epsilon": 0.3, "data.x": 1},
        {f"{fusion}.name": "mutualformer", f"{fusion}.epsilon": 0.6, "data.x": 1},
        {f"{fusion}.name": "sum", "data.x": 1},
    ]
    assert labels(settings) == ["mutualformer, epsilon=0.3", "mutualformer, epsilon=0.6", "sum"]
