"""Time the saliency scores against PySODMetrics, on the same pairs in the same run, one CPU thread.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/scores.py --output scores.csv

Pairs are made here: discs and bars, blurred, with noise on every second map (a black background
lets weighted F skip what is far away, noise does not). Each repetition times every contestant on
every pair, in turn; a ratio is the median of the ratios within repetitions.

With --device cuda, the images per second at 352 x 352, batch 64, are timed too, without a peer.
"""

import argparse
import csv
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from lightning_modules.metrics import PairHistograms
from lightning_modules.metrics.per_image_values import per_image_values

Pair = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--num-pairs", type=int, default=6)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="CSV file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peer warns of divisions that it handles

    pairs = [make_pair(tuple(options.size), seed) for seed in range(options.num_pairs)]
    contestants = {
        "S F E MAE": (score_ours(pairs, False), score_peer(pairs, False)),
        "all nine": (score_ours(pairs, True), score_peer(pairs, True)),
    }
    seconds = time_in_turn(
        {(name, side): run for name, both in contestants.items() for side, run in enumerate(both)},
        options.repetitions,
    )
    height, width = options.size
    print(f"{machine()}; {height} x {width}; median of {options.repetitions} repetitions")
    rows = []
    for name in contestants:
        ours, peer = (1000 * statistics.median(seconds[name, side]) / len(pairs) for side in (0, 1))
        ratios = sorted(b / a for a, b in zip(seconds[name, 0], seconds[name, 1], strict=True))
        rows.append(
            {
                "scores": name,
                "size": f"{height}x{width}",
                "ours_ms": f"{ours:.2f}",
                "pysodmetrics_ms": f"{peer:.2f}",
                "ratio": f"{statistics.median(ratios):.1f}",
                "lowest_ratio": f"{ratios[0]:.1f}",
                "highest_ratio": f"{ratios[-1]:.1f}",
                "machine": machine(),
            }
        )
        print(
            f"{name:10} ours {ours:6.2f} ms, PySODMetrics {peer:6.2f} ms per pair: "
            f"{statistics.median(ratios):.1f} x "
            f"(single repetitions {ratios[0]:.1f} to {ratios[-1]:.1f})"
        )
    if options.device != "cpu":
        for name, weighted in (("S F E MAE", False), ("all nine", True)):
            rate = images_per_second(torch.device(options.device), weighted, options.repetitions)
            print(
                f"{name:10} {rate:.0f} images per second on {options.device}, 352 x 352, batch 64"
            )
    if options.output:
        with options.output.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def make_pair(size: tuple[int, int], seed: int) -> Pair:
    """Return an 8-bit map and its 0/255 mask."""
    generator = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.ogrid[:height, :width]
    centre = generator.uniform(0.35, 0.65, 2) * size
    radius = generator.uniform(0.15, 0.35) * min(size)
    mask = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    mask |= (abs(rows - centre[0]) < radius / 4) & (abs(columns - centre[1]) < 1.5 * radius)
    values = 240 * ndimage.gaussian_filter(mask.astype(float), 4)
    if seed % 2:
        values += generator.integers(0, 16, size)
    return values.clip(0, 255).astype(np.uint8), mask.astype(np.uint8) * 255


def score_ours(pairs: list[Pair], weighted: bool) -> Callable[[], None]:
    tensors = [(torch.from_numpy(a), torch.from_numpy(b > 0)) for a, b in pairs]

    def run() -> None:
        for prediction, mask in tensors:
            per_image_values(PairHistograms.from_pairs([prediction], [mask]), weighted)

    return run


def score_peer(pairs: list[Pair], weighted: bool) -> Callable[[], None]:
    import py_sod_metrics  # which images_per_second does without

    def run() -> None:
        f_handler = py_sod_metrics.FmeasureHandler(with_dynamic=True, with_adaptive=True)
        measures = [
            py_sod_metrics.Smeasure(),
            py_sod_metrics.FmeasureV2({"f": f_handler}),
            py_sod_metrics.Emeasure(),
            py_sod_metrics.MAE(),
        ]
        if weighted:
            measures.append(py_sod_metrics.WeightedFmeasure())
        for pair in pairs:
            for measure in measures:
                measure.step(*pair)

    return run


def time_in_turn(
    runs: dict[tuple[str, int], Callable[[], None]], repetitions: int
) -> dict[tuple[str, int], list[float]]:
    """Time every run once per repetition, so that a busy machine slows all of them alike."""
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for run in runs.values():
        run()
    for _ in range(repetitions):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - start)
    return seconds


def images_per_second(
    device: torch.device, weighted: bool, repetitions: int, count: int = 64
) -> float:
    pairs = [make_pair((352, 352), seed) for seed in range(count)]
    predictions = [torch.from_numpy(a).to(device) for a, _ in pairs]
    masks = [torch.from_numpy(b > 0).to(device) for _, b in pairs]

    def run() -> None:
        # Its result is on the CPU, so the time includes waiting for the device.
        per_image_values(PairHistograms.from_pairs(predictions, masks), weighted)

    seconds = time_in_turn({("", 0): run}, repetitions)
    return count / statistics.median(seconds["", 0])


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x.split(":")[1] for x in cpuinfo.read_text().splitlines() if "model name" in x]
        model = names[0].strip() if names else model
    return f"{model}, torch {torch.__version__}, numpy {np.__version__}"


if __name__ == "__main__":
    main()
