"""Steps of `benchmarks/on_gpu.py` that end in every way a step can end."""

import os
import subprocess
import time
from pathlib import Path


def counted(small: bool, folder: Path) -> list[dict]:
    with (folder / "runs.txt").open("a") as file:
        file.write("x")
    return [{"what": "a | b", "ms": 1.5}]


def half(small: bool, folder: Path) -> list[dict]:
    return [{"backend": "flex", "failed": "OutOfResources"}, {"backend": "matrix_free", "ms": 2}]


def lacking(small: bool, folder: Path) -> list[dict]:
    raise ModuleNotFoundError("No module named 'made_up'", name="made_up")


def wrong(small: bool, folder: Path) -> list[dict]:
    raise RuntimeError("CUDA error: an illegal memory access\nand more")


def dying(small: bool, folder: Path) -> list[dict]:
    os.abort()


def hanging(small: bool, folder: Path) -> list[dict]:
    child = subprocess.Popen(["sleep", "600"])
    (folder / "child.txt").write_text(str(child.pid))
    time.sleep(600)
    return []
