"""Stands in for `mutualformer fit` where the control of processes is tested, not the training.

Leaves what a training leaves, and a line in `events.txt` of the sweep's folder when it starts,
continues or ends. The environment says how long it takes and which trial fails; a file `short` in
its folder, or that of the sweep, ends it sooner.
"""

import json
import os
import sys
import time
import zipfile
from pathlib import Path


def note(folder: Path, event: str) -> None:
    threads = os.environ.get("OMP_NUM_THREADS")
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    with (folder.parent / "events.txt").open("a") as file:
        file.write(f"{event} {folder.name} threads={threads} gpus={gpus}\n")


def train() -> None:
    options = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:])
    folder = Path(options["trainer.default_root_dir"])
    note(folder, "continue" if "ckpt_path" in options else "start")
    print("fake training", *sys.argv[1:], flush=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "checkpoints" / "last.ckpt", "w") as archive:
        archive.writestr("epoch", "1")
    (folder / "logs" / "version_0").mkdir(parents=True, exist_ok=True)
    (folder / "logs" / "version_0" / "metrics.csv").write_text("epoch,step\n0,1\n1,2\n")
    (folder / "config.yaml").write_text("trainer: {max_epochs: 4}\n")
    end = time.monotonic() + float(os.environ.get("FAKE_SECONDS", "0"))
    while time.monotonic() < end and not any(
        (x / "short").exists() for x in (folder, folder.parent)
    ):
        time.sleep(0.05)
    if os.environ.get("FAKE_FAILURE", "no trial") in folder.name:
        print("RuntimeError: a scratch on the disk", flush=True)
        sys.exit(int(os.environ.get("FAKE_EXIT_CODE", "3")))
    scores = {"s_measure": 0.9, "f_max": 0.8, "e_max": 0.7, "mae": 0.1}
    results = {"scores": {"synthetic": scores}, "num_images": {"synthetic": 5}, "protocol": "fake"}
    (folder / "results.json").write_text(json.dumps(results))
    note(folder, "end")


if __name__ == "__main__":
    train()
