"""Sweep files: which trials they mean, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_modules.cli.trial import parse_parameters
from lightning_modules.main import main
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_name import trial_name
from lightning_modules.sweep.trial_settings import check_settings, read_settings, write_settings

WriteSweep = Callable[..., Path]


def test_all_combinations_with_the_last_axis_fastest(write_sweep: WriteSweep) -> None:
    path = write_sweep({"a.x": {"values": [1, "inf"]}, "b": {"value": 5}, "c": {"values": [0, 1]}})
    sweep = read_sweep(path)
    assert [list(trial.parameters.values()) for trial in sweep.trials] == [
        *([1, 5, 0], [1, 5, 1]),
        *(["inf", 5, 0], ["inf", 5, 1]),
    ]
    assert sweep.trials[2].arguments == ["--a.x=inf", "--b=5", "--c=0"]
    assert sweep.trials[2].folder == sweep.folder / "x=inf,b=5,c=0"


def test_folder_and_configurations_can_be_replaced(write_sweep: WriteSweep) -> None:
    sweep = read_sweep(write_sweep(), folder=Path("f"), configs=[Path("one"), Path("two")])
    assert sweep.trials[0].words == [
        *("mutualformer", "trial", "--folder", "f", "--config", "one", "--config", "two"),
        "--model.network.fusion.epsilon=0.0",
    ]


def test_a_sweep_is_found_with_its_configuration_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_sweep: WriteSweep
) -> None:
    """What lies in the working directory comes first; what is nowhere stays as it is written."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "experiments").mkdir(parents=True)
    elsewhere.mkdir()
    (project / "experiments" / "one.yaml").touch()
    command = ["mutualformer", "trial", "--folder", "runs", "--config", "experiments/one.yaml"]
    written = write_sweep(command=[*command, "--config", "two.yaml", "${args}"])
    path = written.rename(project / "experiments" / "sweep.yaml")
    monkeypatch.chdir(elsewhere)
    assert read_sweep(path).configs == (project / "experiments" / "one.yaml", Path("two.yaml"))
    assert read_sweep(Path("../project/experiments/sweep.yaml")).configs[0].is_file()
    (elsewhere / "experiments").mkdir()
    (elsewhere / "experiments" / "one.yaml").touch()
    assert read_sweep(path).configs[0] == Path("experiments/one.yaml")
    assert read_sweep(path).folder == Path("runs")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "random"}, "wandb sweep"),
        ({"method": "bayes"}, "wandb sweep"),
        ({"method": "grdi"}, "method is 'grdi', expected grid"),
        ({"parameters": {}}, "parameters is {}, expected a non-empty mapping"),
        ({"parameters": {"a": {"values": []}}}, "values of a is [], expected a non-empty list"),
        ({"parameters": {"a": {"min": 0, "max": 1}}}, "parameter a is"),
        ({"parameters": {"a": {"parameters": {"b": {"value": 1}}}}}, "with dots"),
        ({"parameters": {"a": {"values": [1, None]}}}, "a has the value None"),
        ({"parameters": {"a": {"values": [0, 0.0]}}}, "a has the value 0 twice"),
        ({"parameters": {"a": {"values": [1, "1"]}}}, "a has the value 1 twice"),
        ({"parameters": {"data.image_size": {"values": [64, [64, 64]]}}}, "has the value 64 twice"),
        ({"parameters": {"a b": {"values": [1]}}}, "'a b', expected a dotted name"),
        ({"parameters": {"trainer.default_root_dir": {"value": "x"}}}, "cannot be swept"),
        ({"command": None}, "command is None, expected [mutualformer, trial"),
        ({"command": ["mutualformer", "fit", "${args}"]}, "expected [mutualformer, trial"),
        ({"command": ["mutualformer", "trial", "--folder", "f", "${args}"]}, "--config"),
    ],
)
def test_what_cannot_be_run_is_named(
    settings: dict[str, object],
    words: str,
    write_sweep: WriteSweep,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_sweep(**settings)
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(path)])
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}")
    assert words in message
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("a: [", "not valid YAML"), ("[]", "holds a list")],
)
def test_what_is_no_sweep_file_is_named(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(path), "--status"])
    assert words in capsys.readouterr().err


AWKWARD = [
    *(0, 1e-5, 0.1 + 0.2, True, "inf", "a b", "a  b", "a,b", "a, b", "x=1", "[1]", "é", "a/b"),
    *([8, 16], ["a,b"], ["a", "b"], [[1], [2]], "x" * 300, "x" * 299 + "y"),
]


def test_a_folder_per_set_of_parameters() -> None:
    names = [trial_name({"m.value": value}) for value in AWKWARD]
    assert len(set(names)) == len(AWKWARD)
    assert all(len(name) <= 200 and "/" not in name and " " not in name for name in names)
    assert trial_name({"a.name": 1, "b.name": 2}) == "a.name=1,b.name=2"
    assert trial_name({"a.x": 1, "b.x": 2}) == "a.x=1,b.x=2"


@pytest.mark.parametrize("value", [x for x in AWKWARD if x != "[1]"])
def test_a_trial_has_one_folder_whoever_starts_it(value: object) -> None:
    parameters = {"m.value": value, "a": 0.0}
    read_back = parse_parameters(["--a=0", f"--m.value={value}"])
    assert trial_name(read_back) == trial_name(parameters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--a", "1"], "'--a' is no parameter"),
        (["--a="], "'--a=' is no parameter"),
        (["--a=1", "--a=2"], "--a is given twice"),
        ([], "no parameters"),
    ],
)
def test_a_trial_needs_parameters(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["trial", "--folder", "f", "--config", "c", *words])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["yes", " a", "[1]", "a: b", "1.0", "null", "a\x1b[2J"])
def test_text_that_a_command_reads_as_something_else_is_refused(
    write_sweep: WriteSweep, value: str
) -> None:
    """Or the agent of W&B would run the trial in another folder than mutualformer sweep."""
    with pytest.raises(match="reads as|printable text"):
        read_sweep(write_sweep({"model.loss": {"values": ["bce", value]}}))


def test_a_grid_that_nobody_can_run_is_refused_at_once(write_sweep: WriteSweep) -> None:
    axes = {f"model.a{axis}": {"values": list(range(100))} for axis in range(9)}
    with pytest.raises(match="1000000000000000000 combinations, expected at most"):
        read_sweep(write_sweep(axes))


def test_a_number_is_one_value_however_it_is_written(tmp_path: Path) -> None:
    command = "[mutualformer, trial, --folder, sci, --config, tiny.yaml, '${args}']"
    path = tmp_path / "sweep.yaml"
    text = "method: grid\ncommand: {}\nparameters:\n  model.optimizer.lr: {{values: [{}]}}\n"
    path.write_text(text.format(command, "1e-4, 2.5e3"))
    sweep = read_sweep(path)
    assert sweep.axes == {"model.optimizer.lr": [0.0001, 2500.0]}
    assert sweep.trials[0].folder.name == "lr=0.0001" == trial_name(sweep.trials[0].parameters)
    for text_of_command in ("1e-4", "0.0001", "1.0e-4"):
        parameters = parse_parameters([f"--model.optimizer.lr={text_of_command}"])
        assert trial_name(parameters) == "lr=0.0001"
    path.write_text(text.format(command, "1e-4, 0.0001"))
    with pytest.raises(match=r"lr has the value 0\.0001 twice"):
        read_sweep(path)


def test_a_trial_that_an_earlier_version_named_otherwise_is_found(
    tmp_path: Path, write_sweep: WriteSweep
) -> None:
    parameters = {"model.lr": {"values": [0.0001, 0.3]}, "seed": {"value": 1}}
    earlier = tmp_path / "old" / "lr=1e-4,seed=1"
    earlier.mkdir(parents=True)
    write_settings(earlier, {"model.lr": "1e-4", "seed": "1"})
    trials = read_sweep(write_sweep(parameters), folder=tmp_path / "old").trials
    assert [trial.folder.name for trial in trials] == ["lr=1e-4,seed=1", "lr=0.3,seed=1"]
    check_settings(trials[0].folder, read_settings([], trials[0].parameters))
    with pytest.raises(match=r"lr = 1e-4, now it is 0\.3"):
        check_settings(trials[0].folder, read_settings([], trials[1].parameters))
    (tmp_path / "old" / "lr=0.0001,seed=1").mkdir()
    trials = read_sweep(write_sweep(parameters), folder=tmp_path / "old").trials
    assert trials[0].folder.name == "lr=0.0001,seed=1"


def test_a_square_is_one_trial_whether_one_number_says_so_or_two(write_sweep: WriteSweep) -> None:
    sweep = read_sweep(write_sweep({"data.image_size": {"values": [[64, 64], [64, 96]]}}))
    assert [trial.folder.name[:18] for trial in sweep.trials] == [
        "image_size=64",
        "image_size=[64,96]",
    ]
    for trial, words in zip(
        sweep.trials, (["[64, 64]", "64"], ["[64, 96]", "[64,96]"]), strict=True
    ):
        for text in words:
            typed = parse_parameters([f"--data.image_size={text}"])
            assert typed == trial.parameters
            assert sweep.folder / trial_name(typed) == trial.folder
