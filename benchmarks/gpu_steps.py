"""What `on_gpu.py` does, in order of importance: each step is a function that returns rows."""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "triton", "torchvision", "lightning", "torchmetrics", "timm")
PACKAGES += ("segmentation-models-pytorch", "jsonargparse", "numpy", "scipy", "pysodmetrics")
TESTS = ("tests/mutualformer/ops", "-m", "gpu")
SMALL_TESTS = ("tests/mutualformer/ops/test_diffusion.py",)
KERNEL_TESTS = ("tests/mutualformer/unproven_triton", "-m", "not slow")
SMALL_KERNEL_TESTS = (f"{KERNEL_TESTS[0]}/test_only_when_asked_for.py", "-k", "refused")
EXPERIMENT = ("--config=experiments/synthetic_gpu.yaml", "--model.network.encoder_weights=null")
OVERLAYS = tuple(f"--config=experiments/overlays/{name}.yaml" for name in ("cpu", "smoke"))

Rows = list[dict]


class Step(NamedTuple):
    """One thing to find out.

    Attributes:
        title: of its part of the report; its file has the same name.
        run: takes whether it is to be done on a CPU, at reduced size, and a folder for what it
            leaves there; returns rows of a table.
        minutes: when it is stopped.
        aim: what its numbers have to reach.
    """

    title: str
    run: Callable[[bool, Path], Rows]
    minutes: float
    aim: str = ""


def device_and_versions(small: bool, _: Path) -> Rows:
    import torch

    facts = {"device": "cpu", "python": sys.version.split()[0]}
    if not small:
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "memory, GiB": round(properties.total_memory / 2**30),
            "compute capability": f"{properties.major}.{properties.minor}",
            "CUDA": torch.version.cuda or torch.version.hip,
        }
    for name in PACKAGES:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return [{"what": name, "is": value} for name, value in facts.items()]


def tests(which: tuple[str, ...], small_which: tuple[str, ...], small: bool, folder: Path) -> Rows:
    """Run pytest; a file that cannot be imported is a failed row, and the others run."""
    import pytest

    file = folder / "tests.xml"
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    code = pytest.main([*options, f"--junitxml={file}", *(small_which if small else which)])
    cases = list(ElementTree.parse(file).iter("testcase"))
    bad = [x for x in cases if {"failure", "error"} & {child.tag for child in x}]
    skipped = [x for x in cases if x.find("skipped") is not None]
    passed = len(cases) - len(bad) - len(skipped)
    if passed == 0:
        raise RuntimeError(f"pytest ended with {int(code)}, and no test passed")
    numbers = {"passed": passed, "skipped": len(skipped), "failed": len(bad)}
    rows: Rows = [{"tests": name, "number": number} for name, number in numbers.items()]
    return rows + [{"failed": f"{x.get('classname')}.{x.get('name')}"} for x in bad]


def accuracy(backends: tuple[str, ...], small: bool, _: Path) -> Rows:
    """Compare outputs and gradients of backends with the dense form in float64."""
    import torch

    from mutualformer import cross_diffusion

    device, shape = ("cpu", (1, 2, 33, 16)) if small else ("cuda", (2, 8, 484, 64))
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=generator) for _ in range(10)]

    def run(dtype: torch.dtype, backend: str) -> list[list[torch.Tensor]]:
        # Rounded first, so that the same numbers are computed with; cotangents too.
        tensors = [x.to(device, rounded).to(dtype) for x in given]
        leaves = [x.requires_grad_() for x in tensors[:6]]
        outputs = cross_diffusion(*leaves, backend=backend)
        return [list(outputs), list(torch.autograd.grad(outputs, leaves, tensors[6:]))]

    rows = []
    for rounded in (torch.bfloat16, torch.float16, torch.float32):
        exact = run(torch.float64, "dense")
        for backend in ("matrix_free", "dense") if small else backends:
            row = {"dtype": str(rounded).removeprefix("torch."), "backend": backend}
            try:
                errors = [
                    max(
                        ((x.double() - y).norm() / y.norm()).item()
                        for x, y in zip(*both, strict=True)
                    )
                    for both in zip(run(rounded, backend), exact, strict=True)
                ]
                row |= {"outputs": f"{errors[0]:.1e}", "gradients": f"{errors[1]:.1e}"}
            except Exception as error:  # whatever a compiler or a device may raise
                row["failed"] = first_line(error)
            rows.append(row)
    return rows


def speed(backends: tuple[str, ...], num_tokens: int, small: bool, _: Path) -> Rows:
    """Time backends against joint attention, and take their memory."""
    import cross_diffusion

    options = Namespace(
        device="cpu" if small else "cuda",
        dtype="float32" if small else "bfloat16",
        iterations=[1],
        backend=["matrix_free"] if small else list(backends),
        repeats=1 if small else 10,
    )
    if small:
        return cross_diffusion.measure(options, 8, cross_diffusion.resident_megabytes)
    return cross_diffusion.measure(options, num_tokens)


def training_step(precision: str, is_compiled: bool, small: bool, _: Path) -> Rows:
    import network

    options = ["--precision", precision]
    options += ["--compile", "eager" if small else "inductor"] if is_compiled else []
    if small:
        options += ["--encoder-name", "tu-resnet10t", "--strides", "32", "--image-size", "32"]
        options += ["--repeats", "1", "--batch-size", "2"]
        options += ["--fusions", "concat" if is_compiled else "mutualformer"]
    else:
        options += ["--device", "cuda", "--batch-size", "8", "--repeats", "10"]
    return network.measure(network.parse(options))


def scoring(small: bool, _: Path) -> Rows:
    import scores
    import torch

    device, count, repeats = ("cpu", 2, 1) if small else ("cuda", 64, 10)
    return [
        {
            "scores": name,
            "images per second": round(
                scores.images_per_second(torch.device(device), weighted, repeats, count)
            ),
        }
        for name, weighted in (("S F E MAE", False), ("all nine", True))
    ]


def loading(small: bool, _: Path) -> Rows:
    import data
    import evaluate

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data.make_data_set(folder / "made", 2 if small else 24)
        (folder / "many").mkdir()
        for part in ("RGB", "depth", "GT"):
            number = 16 if small else 3200
            evaluate.repeat(folder / "made" / part, folder / "many" / part, number)
        for workers in (0,) if small else (8, 0):
            module = data.module_for(folder, ["many"], num_workers=workers)
            rate = data.samples_per_second(module)
            rows.append({"workers": workers, "samples per second": round(rate)})
    return rows


def one_epoch(small: bool, folder: Path) -> Rows:
    """Train one epoch of the synthetic experiment, and test it."""
    run = folder / "one_epoch"
    shutil.rmtree(run, ignore_errors=True)  # of an earlier try
    settings = [*EXPERIMENT, *(OVERLAYS if small else ()), "--trainer.max_epochs=1"]
    settings += [f"--trainer.default_root_dir={run}"]
    seconds = {}
    for name, arguments in (("fit", settings), ("test", [f"--config={run}/config.yaml"])):
        start = time.perf_counter()
        code = command(name, *arguments)
        seconds[name] = round(time.perf_counter() - start, 1)
        if code != 0:
            raise RuntimeError(f"{name} ended with {code}")
    results = json.loads((run / "results.json").read_text())
    rows = [{"what": f"seconds of {name}", "is": value} for name, value in seconds.items()]
    for data_set, scores in results["scores"].items():
        rows += [{"what": f"{data_set}: {x}", "is": round(y, 4)} for x, y in scores.items()]
    return rows


def two_processes(small: bool, folder: Path) -> Rows:
    """Ask for two processes where there is one GPU: one line, and exit code 2."""
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    settings = [*EXPERIMENT, "--trainer.devices=2", "--trainer.accelerator=gpu"]
    settings += [f"--trainer.default_root_dir={folder}/two_processes"]
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        code = command("fit", *settings)
    said = stream.getvalue().strip()
    print(said)
    if code != 2 or "Traceback" in said:
        raise RuntimeError(f"it ended with {code}, expected a message and 2")
    return [{"exit code": code, "message": said.splitlines()[-1]}]


def command(*arguments: str) -> int:
    """Run a command of `mutualformer` in this process; returns its exit code."""
    # First what may be missing, which is named here, and which the command has its own words for.
    import mutualformer.network.mutualformer_network  # noqa: F401
    from lightning_modules.main import main

    try:
        return main([*arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]


OURS, UNPROVEN = ("flex", "matrix_free", "dense"), ("triton",)
STEPS = [
    Step("Device and versions", device_and_versions, 1),
    Step("Tests of ops", partial(tests, TESTS, SMALL_TESTS), 6),
    Step("Accuracy against float64", partial(accuracy, OURS), 2),
    Step(
        "Cross-diffusion at N = 7744",
        partial(speed, OURS[:2], 7744),
        3,
        "flex T=1: forward_backward_ratio at most 2",
    ),
    Step("Cross-diffusion at N = 1936", partial(speed, OURS[:2], 1936), 2),
    Step("Cross-diffusion at N = 484", partial(speed, OURS[:2], 484), 2),
    Step("Cross-diffusion at N = 121", partial(speed, OURS[:2], 121), 2),
    Step(
        "Training step in bf16-mixed",
        partial(training_step, "bf16-mixed", False),
        2,
        "mutualformer: ratio at most 1.15",
    ),
    Step("Training step in bf16-mixed, compiled", partial(training_step, "bf16-mixed", True), 4),
    Step("Training step in float32", partial(training_step, "32-true", False), 2),
    Step("Training step in float32, compiled", partial(training_step, "32-true", True), 4),
    Step("Scoring", scoring, 1),
    Step("Loading", loading, 1.5),
    Step("One epoch of synthetic_gpu.yaml", one_epoch, 5),
    Step("Two processes on one GPU are refused", two_processes, 1),
    # Last, as nothing takes them, and each apart: a kernel that fails may take the process along.
    Step("Tests of the Triton kernels", partial(tests, KERNEL_TESTS, SMALL_KERNEL_TESTS), 4),
    Step("Accuracy of the Triton kernels", partial(accuracy, UNPROVEN), 2),
    Step(
        "Triton kernels at N = 7744",
        partial(speed, UNPROVEN, 7744),
        3,
        "1.2 times as fast as flex at some N, or mutualformer/unproven_triton is to be deleted",
    ),
    Step("Triton kernels at N = 1936", partial(speed, UNPROVEN, 1936), 3),
]
"""In order of importance."""
