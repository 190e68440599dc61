"""What a tracked run leaves, with nobody logged in: real commands, and the files of real W&B."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_modules.main import main


def value_at(items, *keys):
    """Return what a record holds under a nested key; W&B writes it whole or in parts."""
    for item in items:
        path = list(item.nested_key) or [item.key]
        if path == list(keys[: len(path)]):
            value = json.loads(item.value_json)
            for key in keys[len(path) :]:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return value
    return None


def logged(records, *names):
    """Return the values that the history has under a name."""
    values = [value_at(r.history.item, *names) for r in records if r.HasField("history")]
    return [value for value in values if value is not None]


@pytest.mark.slow
def test_all_commands_on_a_folder_are_one_offline_run(track, read_records, tmp_path, caplog):
    folder = tmp_path / "some run"
    assert track("fit", folder) == 0
    resume = f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"
    time.sleep(1.1)  # W&B names the folders of its parts by the second
    assert track("fit", folder, resume, "--trainer.max_epochs=2") == 0
    time.sleep(1.1)
    assert main(["test", "--config", str(folder / "config.yaml")]) == 0
    assert main(["validate", "--config", str(folder / "config.yaml")]) == 0

    said = caplog.text
    assert said.count("W&B: no API key is configured") == 3
    assert said.count(f"Upload it with: wandb sync '{folder / 'wandb'}'") == 3

    run_id = (folder / "wandb_run_id.txt").read_text().strip()
    parts = sorted((folder / "wandb").glob(f"offline-run-*-{run_id}"))
    assert parts == sorted((folder / "wandb").glob("*run-*-*"))
    fit, resumed, test = (read_records(part / f"run-{run_id}.wandb") for part in parts)

    # The command that was printed finds all parts.
    sync = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(folder / "wandb")]
    dry_run = subprocess.run(sync, cwd=folder, capture_output=True, text=True, timeout=60).stderr
    assert "Would sync 3 run(s)" in dry_run

    run = next(r.run for r in fit if r.HasField("run"))
    assert (run.project, run.display_name, run.run_id) == ("mutualformer", "some run", run_id)
    config = [item for r in fit if r.HasField("config") for item in r.config.update]
    config += run.config.update
    # Spelled as flags and sweeps spell them.
    assert value_at(config, "model.network.fusion.epsilon") == 0.6
    assert value_at(config, "seed_everything") == 0
    assert value_at(config, "packages", "torch")
    assert value_at(config, "device").startswith("cpu (")
    assert value_at(config, "git", "commit") is not None
    assert (parts[0] / "files" / "code.diff").is_file() == value_at(config, "git", "dirty")

    for name in ("train/loss", "train/learning_rate"):
        assert len(logged(fit, name)) == len(logged(resumed, name)) == 2
    assert len(logged(fit, "val/held_out/s_measure")) == 1
    assert logged(resumed, "trainer/global_step")[0] == 2

    results = json.loads((folder / "results.json").read_text())
    for name, score in results["scores"]["synthetic"].items():
        assert logged(test, f"test/synthetic/{name}") == [pytest.approx(score)]
    assert (parts[2] / "files" / "results.json").read_text() == (
        folder / "results.json"
    ).read_text()

    pictures = {
        "learning_curves": (fit, parts[0]),
        "contact_sheet_train": (fit, parts[0]),
        "contact_sheet_test": (test, parts[2]),
        "affinity_maps/synthetic": (test, parts[2]),
    }
    for key, (records, part) in pictures.items():
        ((name,),) = logged(records, key, "filenames")
        local = folder / f"{key}.png"
        if part != parts[0]:  # the curves have been drawn again since
            assert (part / "files" / name).read_bytes() == local.read_bytes()
        assert (part / "files" / name).is_file() and local.is_file()


def test_the_mode_that_the_user_gave_is_honoured(track, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert track("fit", tmp_path / "run") == 0
    assert not list((tmp_path / "run").glob("wandb*"))
    assert (tmp_path / "run" / "learning_curves.png").is_file()


def test_an_agents_run_is_used(track, tmp_path, monkeypatch, read_records):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_RUN_ID", "fromagent")
    monkeypatch.setenv("WANDB_SWEEP_ID", "asweep")
    monkeypatch.setenv("WANDB_PROJECT", "of the sweep")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "wandb_run_id.txt").write_text("fromearlier")
    assert track("fit", folder, "--trainer.limit_train_batches=1") == 0
    (part,) = (folder / "wandb").glob("offline-run-*")
    run = next(r.run for r in read_records(part / "run-fromagent.wandb") if r.HasField("run"))
    assert (run.run_id, run.sweep_id) == ("fromagent", "asweep")
    assert run.project == "of the sweep"
    assert (folder / "wandb_run_id.txt").read_text().strip() == "fromagent"


def test_without_wandb_the_overlay_says_what_to_install(track, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SystemExit) as error:
        track("fit", tmp_path / "run")
    assert error.value.code == 2
    message = capfd.readouterr().err
    assert "error: trainer.logger is WandbRunLogger" in message
    assert "pip install 'mutualformer[wandb]'" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_the_overlay_nothing_of_wandb_is_needed_or_asked_for(tmp_path):
    tiny = Path(__file__).parents[1] / "tiny.yaml"
    program = f"""
import sys, traceback

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "wandb":
            files = [frame.filename for frame in traceback.extract_stack()]
            asking.append([file for file in files if "importlib" not in file][-2])
            raise ImportError("hidden")

asking = []
sys.meta_path.insert(0, Guard())
import lightning_modules
from lightning_modules.main import main
assert main(["fit", "--config", {str(tiny)!r}, "--trainer.default_root_dir", "run"]) == 0
assert main(["test", "--config", "run/config.yaml"]) == 0
# timm tries, whenever it is imported.
assert all("timm" in file for file in asking), asking
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "learning_curves.png").is_file()
    assert (tmp_path / "run" / "affinity_maps" / "synthetic.png").is_file()
    assert not list((tmp_path / "run").glob("wandb*"))
