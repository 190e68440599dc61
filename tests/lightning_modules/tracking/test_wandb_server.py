"""One run, one history, steps that go on, nothing sent twice: against a real server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from break_at import signal_at

from lightning_modules import SaliencyModule

OVERLAY = Path(__file__).parents[3] / "experiments" / "overlays" / "wandb.yaml"
# Three epochs of two batches each: rows of the history are in the order of steps.
STEPS = [0, 1, 2, 3, 4, 5]


@pytest.fixture
def fit(forked, small, wandb_server):
    """Run `fit` with a test after it, tracked."""

    def run(folder, *options, inject=None, **environment):
        arguments = ["fit", *small, f"--config={OVERLAY}", f"--trainer.default_root_dir={folder}"]
        arguments += ["--trainer.max_epochs=3", "--test_after_fit=true", *options]
        variables = wandb_server.environment | {"HOME": os.environ["HOME"]} | environment
        return forked(arguments, inject, variables).wait()

    return run


def read(server, folder):
    return server.read_run((folder / "wandb_run_id.txt").read_text().strip())


def sync(server, folder):
    """Do what the printed advice says."""
    command = [sys.executable, "-m", "wandb", "sync", str(folder / "wandb")]
    environment = os.environ | server.environment
    # It leaves a log where it is called.
    subprocess.run(
        command, env=environment, cwd=folder, check=True, capture_output=True, timeout=60
    )


def assert_whole(run):
    """Check that every value is there once, at steps that go on."""
    rows = dict(run.history["trainer/global_step"])
    assert len(rows) == len(run.history["trainer/global_step"])
    assert sorted(rows) == [*range(len(rows))]
    assert [rows[step] for step in sorted(rows)] == sorted(rows.values())
    assert [rows[step] for step, _ in sorted(run.history["train/loss"])] == STEPS
    assert [rows[step] for step, _ in sorted(run.history["val/held_out/mae"])] == [1, 3, 5]
    ((step, _),) = run.history["test/synthetic/mae"]
    assert rows[step] == 6


def test_an_online_run_is_one_run_with_all_that_users_look_for(fit, wandb_server, tmp_path):
    options = ["--trainer.logger.tags=[a,b]", "--trainer.logger.notes=why"]
    finished = fit(tmp_path / "run", *options, "--trainer.logger.keep_checkpoint=true")
    assert finished.code == 0, finished.output
    run = read(wandb_server, tmp_path / "run")
    assert_whole(run)
    assert (run.row["state"], run.row["display_name"]) == ("finished", "run")
    assert (run.row["tags_json"], run.row["notes"]) == (["a", "b"], "why")
    assert "model.network.fusion.epsilon" in str(run.row["config_json"])
    assert "test/synthetic/s_measure" in run.row["summary_json"]
    media = {name.rpartition("/")[2].rpartition("_")[0].rpartition("_")[0] for name in run.files}
    assert {"learning_curves", "contact_sheet_train", "contact_sheet_test"} <= media
    assert "per_image_scores" in media and "results.json" in run.files
    assert {kind for _, kind in run.artifacts} >= {"model", "run_table"}


@pytest.mark.slow
def test_a_run_of_classes_sends_its_scores_and_pictures(fit, wandb_server, tmp_path):
    options = ["--model=lightning_modules.SegmentationModule", "--model.network.num_classes=5"]
    options += ["--data=datamodules.SyntheticSegmentationDataModule", "--data.image_size=64"]
    options += ["--model.network.encoder_name=tu-test_efficientnet"]
    finished = fit(tmp_path / "run", *options)
    assert finished.code == 0, finished.output
    run = read(wandb_server, tmp_path / "run")
    assert len(run.history["val/held_out/miou"]) == 3
    assert {"test/synthetic/miou", "test/synthetic/iou_warm_bump"} <= run.row["summary_json"].keys()
    media = {name.rpartition("/")[2].rpartition("_")[0].rpartition("_")[0] for name in run.files}
    pictures = {"learning_curves", "contact_sheet_train", "contact_sheet_test"}
    assert pictures | {"per_image_scores"} <= media


def test_a_killed_run_goes_on_as_one(fit, wandb_server, tmp_path):
    kill = signal_at(SaliencyModule, "training_step", 6, signal.SIGKILL)
    assert fit(tmp_path, inject=kill).code == -signal.SIGKILL
    assert fit(tmp_path).code == 0
    assert_whole(read(wandb_server, tmp_path))


def test_an_offline_run_that_was_killed_is_whole_after_its_sync(fit, wandb_server, tmp_path):
    kill = signal_at(SaliencyModule, "training_step", 6, signal.SIGKILL)
    assert fit(tmp_path, inject=kill, WANDB_MODE="offline").code == -signal.SIGKILL
    finished = fit(tmp_path, WANDB_MODE="offline")
    assert f"Upload it with: wandb sync {tmp_path / 'wandb'}" in finished.output
    sync(wandb_server, tmp_path)
    assert_whole(read(wandb_server, tmp_path))


@pytest.mark.slow
def test_parts_kept_offline_become_one_history(fit, wandb_server, tmp_path):
    stop = signal_at(SaliencyModule, "training_step", 4, signal.SIGTERM)
    assert fit(tmp_path, inject=stop, WANDB_MODE="offline").code != 2
    assert fit(tmp_path, WANDB_MODE="offline").code == 0
    assert len([*(tmp_path / "wandb").glob("offline-run-*")]) == 2
    sync(wandb_server, tmp_path)
    assert_whole(read(wandb_server, tmp_path))


@pytest.mark.slow
def test_two_processes_are_one_run(mutualformer, small, wandb_server, tmp_path, monkeypatch):
    for name, value in wandb_server.environment.items():
        monkeypatch.setenv(name, value)
    options = [*small[2:], f"--config={OVERLAY}", "--trainer.max_epochs=3", "--data.batch_size=1"]
    mutualformer(
        *("fit", tmp_path / "run", *options, "--test_after_fit=true"),
        *("--trainer.devices=2", "--trainer.strategy=ddp"),
    )
    assert_whole(read(wandb_server, tmp_path / "run"))
