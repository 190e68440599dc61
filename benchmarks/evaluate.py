"""Time `mutualformer evaluate` as a whole command against a script around PySODMetrics.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/evaluate.py --maps DIR --masks DIR

The script reads with OpenCV and computes the same nine scores. Files are repeated, as links, up to
--num-pairs. Times are of the CPU, of a process and its workers, start-up included; the two take
turns. Wall time is shown for the numbers of workers asked for.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PEER = """
import sys, warnings
from pathlib import Path
import cv2, py_sod_metrics
cv2.setNumThreads(1)
warnings.simplefilter("ignore")
handler = py_sod_metrics.FmeasureHandler(with_dynamic=True, with_adaptive=True)
measures = [py_sod_metrics.Smeasure(), py_sod_metrics.FmeasureV2({"f": handler}),
            py_sod_metrics.Emeasure(), py_sod_metrics.MAE(), py_sod_metrics.WeightedFmeasure()]
for path in sorted(Path(sys.argv[1]).iterdir()):
    prediction = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(next(Path(sys.argv[2]).glob(path.stem + ".*"))), cv2.IMREAD_GRAYSCALE)
    for measure in measures:
        measure.step(prediction, mask)
for measure in measures:
    measure.get_results()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=Path, required=True, help="maps of the masks' sizes")
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--num-pairs", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        maps, masks = Path(folder, "maps"), Path(folder, "masks")
        repeat(options.maps, maps, options.num_pairs)
        repeat(options.masks, masks, options.num_pairs)
        peer = [sys.executable, "-c", _PEER, str(maps), str(masks)]
        ours = [sys.executable, "-m", "lightning_modules.main", "evaluate"]
        ours += ["--predictions", str(maps), "--ground-truth", str(masks)]
        seconds = [(seconds_of(ours)[1], seconds_of(peer)[1]) for _ in range(options.repetitions)]
        print(f"{options.num_pairs} pairs, medians of {options.repetitions}, seconds of CPU:")
        for name, column in zip(
            ("mutualformer evaluate", "script"), zip(*seconds, strict=True), strict=True
        ):
            print(f"  {name:22} {statistics.median(column):6.2f}")
        ratios = sorted(a / b for a, b in seconds)
        print(f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        for workers in options.workers:
            wall, cpu = seconds_of([*ours, "--workers", str(workers)])
            print(f"  --workers {workers}: {wall:.2f} s of wall time, {cpu:.2f} s of CPU")


def repeat(source: Path, target: Path, number: int) -> None:
    target.mkdir()
    files = itertools.cycle(sorted(source.resolve().iterdir()))
    for index, file in enumerate(itertools.islice(files, number)):
        (target / f"{index:06}{file.suffix}").symlink_to(file)


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Run a command; return seconds of wall time and of the CPU, its children's included."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system
    return wall, used - before.children_user - before.children_system


if __name__ == "__main__":
    main()
