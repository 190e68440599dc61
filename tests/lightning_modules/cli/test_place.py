"""A run is where its folder lies now, and nothing is written into the folder of another."""

import shutil
from pathlib import Path

import pytest
import yaml

from lightning_modules.main import main

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


def fit(folder: str, *options: str) -> int:
    words = ["fit", f"--config={CONFIG}", f"--trainer.default_root_dir={folder}"]
    return main([*words, *options])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs, each trained from it by a relative path."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert fit("runs/one") == fit("runs/two", "--seed_everything=1") == 0
    return root


@pytest.fixture
def runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the two, and go to its folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_the_saved_configuration_says_no_folder(runs: Path) -> None:
    assert (
        "default_root_dir" not in yaml.safe_load((runs / "one/config.yaml").read_text())["trainer"]
    )


@pytest.mark.parametrize("command", ["test", "predict"])
def test_a_renamed_run_is_found_where_it_lies(runs: Path, command: str) -> None:
    (runs / "one").rename(runs / "renamed")
    assert main([command, "--config", "runs/renamed/config.yaml"]) == 0
    made = {"test": "results.json", "predict": "predictions"}[command]
    assert (runs / "renamed" / made).exists()
    assert not (runs / "one").exists()


def test_a_renamed_run_of_former_versions_too(runs: Path) -> None:
    path = runs / "one/config.yaml"
    content = yaml.safe_load(path.read_text())
    content["trainer"]["default_root_dir"] = "runs/two"  # as if it had been called so
    path.write_text(yaml.safe_dump(content))
    before = sorted(p.name for p in (runs / "two").iterdir())
    assert main(["test", f"--config={path}"]) == 0
    assert (runs / "one/results.json").exists()
    assert sorted(p.name for p in (runs / "two").iterdir()) == before


def test_from_another_directory_it_is_the_same_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = runs.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["test", "--config", "../runs/one/config.yaml"]) == 0
    assert (runs / "one/results.json").exists() and list(elsewhere.iterdir()) == []


def test_a_renamed_run_goes_on_where_it_lies(runs: Path) -> None:
    (runs / "one").rename(runs / "renamed")
    assert main(["fit", "--config", "runs/renamed/config.yaml", "--trainer.max_epochs=2"]) == 0
    assert not (runs / "one").exists() and not (runs / "unnamed").exists()


def test_a_folder_that_is_typed_counts(runs: Path) -> None:
    words = [
        "test",
        "--config",
        "runs/one/config.yaml",
        "--ckpt_path=runs/one/checkpoints/best.ckpt",
    ]
    assert main([*words, "--trainer.default_root_dir=runs/new"]) == 0
    assert (runs / "new/results.json").exists() and not (runs / "one/results.json").exists()


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_nothing_is_written_into_another_run(
    runs: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    with pytest.raises(SystemExit) as caught:
        main(
            [
                *(command, "--config", "runs/one/config.yaml"),
                "--ckpt_path=runs/two/checkpoints/best.ckpt",
            ]
        )
    assert caught.value.code == 2
    assert "of another run than the one in runs/one" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
