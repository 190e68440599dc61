"""Damaged and hostile YAML, through everything that reads it."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mutations import YAML_FRAGMENTS, alias_bomb, fuzz, mutate_tree, mutate_yaml, time_limit

from lightning_modules.cli.trial import parse_parameters
from lightning_modules.report.formats import RENDERERS
from lightning_modules.runs.checkpoints import checkpoint_to_continue
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.yaml_text import load_yaml
from lightning_modules.sweep.check_trials import _TrialChecker
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_name import trial_name
from lightning_modules.sweep.trial_settings import read_settings
from lightning_modules.tables.build_table import build_table
from lightning_modules.tables.table_file import read_table_file
from mutualformer.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]
TINY = Path(__file__).parents[1] / "tiny.yaml"
SWEEPS = sorted((REPOSITORY / "experiments" / "ablations").glob("*.yaml"))
TABLES = sorted((REPOSITORY / "experiments" / "tables").glob("*.yaml"))


def is_mistake(error: Exception) -> bool:
    return isinstance(error, UserError)


def mutated(paths: list[Path]) -> Callable[[random.Random], bytes]:
    texts = [path.read_text(encoding="utf-8") for path in paths]

    def content(rng: random.Random) -> bytes:
        text = rng.choice(texts)
        if rng.random() < 0.6:
            return mutate_yaml(text, rng)
        tree = mutate_tree(yaml.safe_load(text), rng)
        for _ in range(rng.choice((0, 0, 2))):
            tree = mutate_tree(tree, rng)
        return yaml.safe_dump(tree, allow_unicode=True).encode()

    return content


def test_sweep_files(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        sweep = read_sweep(path)
        trials = sweep.trials
        names = {trial.folder.name for trial in trials}
        assert len(names) == len(trials)
        for trial in trials:
            assert trial.folder.parent == sweep.folder and trial.folder.name not in ("", ".", "..")
            assert trial.command.isprintable()

    num_read, num_refused = fuzz(500, tmp_path / "sweep.yaml", mutated(SWEEPS), read, is_mistake)
    assert min(num_read, num_refused) > 50


def test_configurations_of_a_sweep(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        settings = read_settings([TINY, path], {"seed_everything": 1})
        assert all(isinstance(text, str) for text in settings.values())

    num_read, _ = fuzz(150, tmp_path / "overlay.yaml", mutated([TINY]), read, is_mistake)
    assert num_read > 15


def test_table_files(tmp_path: Path) -> None:
    (tmp_path / "ablations").mkdir()
    (tmp_path / "tables").mkdir()
    for source in (*SWEEPS, *TABLES, *TABLES[0].parent.glob("*.csv")):
        (tmp_path / source.parent.name / source.name).write_bytes(source.read_bytes())

    def read(path: Path) -> None:
        table = build_table(read_table_file(path), 100)
        for render in RENDERERS.values():
            lines = render(table).encode().decode().split("\n")
            assert all(line.isprintable() for line in lines)

    num_read, num_refused = fuzz(
        400,
        tmp_path / "tables" / "mine.yaml",
        mutated(TABLES),
        read,
        is_mistake,
        str(tmp_path.parent),
    )
    assert min(num_read, num_refused) > 40


@pytest.fixture(scope="module")
def checker() -> _TrialChecker:
    return _TrialChecker(["fit", f"--config={TINY}"])


@pytest.mark.slow
def test_experiments(tmp_path: Path, checker: _TrialChecker) -> None:
    def read(path: Path) -> None:
        checker.parse_arguments(checker.parser, ["fit", f"--config={path}"])
        assert checker.config.fit.trainer is not None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The parser names the setting, and the file only if it is no mapping.
        num_read, num_refused = fuzz(
            400, tmp_path / "experiment.yaml", mutated([TINY]), read, is_mistake, ""
        )
    assert min(num_read, num_refused) > 30


def test_the_configuration_of_a_run_that_is_continued(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    config = yaml.safe_load(TINY.read_text())

    def read(path: Path) -> None:
        RunFolder(path.parent).read_progress()
        assert checkpoint_to_continue(path.parent, config, "auto") is not None

    num_read, num_refused = fuzz(
        150, tmp_path / "config.yaml", mutated([TINY]), read, is_mistake, str(tmp_path)
    )
    assert min(num_read, num_refused) > 15


def test_parameters_of_a_trial() -> None:
    for text in (fragment + end for fragment in YAML_FRAGMENTS for end in ("", "x", "]", " ")):
        with time_limit():
            try:
                name = trial_name(parse_parameters([f"--a.b={text}"]))
            except UserError:
                continue
            assert name.startswith("b=") and "/" not in name and name.isprintable()


@pytest.mark.parametrize("fragment", YAML_FRAGMENTS)
def test_one_class_of_error(fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (fragment, f"a: {fragment}", f"a: {fragment}\nb: [{fragment}]"):
        try:
            load_yaml(text)
        except yaml.YAMLError as error:
            assert str(error)
    assert not (tmp_path / "PWNED").exists()


def test_aliases_that_stand_for_billions_of_values_are_refused_at_once() -> None:
    with time_limit(2), pytest.raises(yaml.YAMLError, match="more than 20000 values"):
        load_yaml(alias_bomb())
    assert len(load_yaml("a: &a [1, 2]\nb: *a\nc: *a")) == 3
