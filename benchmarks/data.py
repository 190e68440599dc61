"""Time the training loader against bare decoding of the same files, in the same run, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/data.py
    OMP_NUM_THREADS=1 python benchmarks/data.py --root DATA --sets DES SSD

What is timed is what one worker does: a DataLoader without workers, with augmentation, at
352 x 352, batch 8, from files and from the cache. RGB images and masks leave it in 8 bits; floats
are made of them on the device of the model (on a CPU, in a tenth of a millisecond per sample). The
peer is Pillow, which opens and loads the three files of every sample and does nothing else; "to
arrays" is the same with the copy into NumPy that any loader needs. All take turns in every
repetition; a ratio is the median of the ratios within repetitions. Times are those that the process
had on the CPU, since other work on the machine would count otherwise; the files are in memory.

Without --root, samples are made here: 640 x 480, RGB as JPEG, depth and mask as PNG. A stage of the
augmentation is timed on images as it gets them.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from PIL import Image
from scipy import ndimage

from datamodules import RGBDSaliencyDataModule
from datamodules.augmentation.depth_augmentation import augment_depth
from datamodules.augmentation.transforms import TrainTransform, jitter_colours
from datamodules.reading.pair_files import PairedFiles

IMAGE_SIZE = 352


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="real data sets, instead of made ones")
    parser.add_argument("--sets", nargs="+", default=["made"], metavar="NAME")
    parser.add_argument("--num-samples", type=int, default=24, help="of those that are made")
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder)
        if options.root is None:
            make_data_set(root / "made", options.num_samples)
        report(root, options.sets, Path(folder) / "cache", options.repetitions)


def report(root: Path, sets: list[str], cache: Path, repetitions: int) -> None:
    loaders = {
        name: module_for(root, sets, **arguments)
        for name, arguments in {
            "loader, from files": {},
            "loader, from the cache": {"cache_dir": str(cache)},
            "without augmentation, from files": {"augment": False},
            "without augmentation, from the cache": {"augment": False, "cache_dir": str(cache)},
        }.items()
    }
    samples = loaders["loader, from files"].train_dataset.samples
    runs: dict[str, Callable[[], object]] = {
        "bare decoding": partial(for_each, partial(decode, to_arrays=False), samples),
        "bare decoding, to arrays": partial(for_each, partial(decode, to_arrays=True), samples),
    }
    for name, module in loaders.items():
        runs[name] = partial(for_each, type, module.train_dataloader())
    for name, module in loaders.items():
        if name.startswith("loader"):
            reading = partial(read, module.train_dataset)
            runs[f"reading alone, {name[8:]}"] = partial(for_each, reading, samples)
    runs |= stages(loaders["loader, from files"].train_dataset)
    seconds = time_in_turn(runs, repetitions)

    sizes = sorted({f"{rgb.height} x {rgb.width}" for rgb in map(open_rgb, samples)})
    num_bytes = sum(path.stat().st_size for sample in samples for path in sample[2:])
    print(f"{machine()}; one thread")
    print(
        f"{len(samples)} samples of {', '.join(sizes)}, {num_bytes / len(samples) / 1024:.0f} KiB "
        f"each, to {IMAGE_SIZE} x {IMAGE_SIZE}; median of {repetitions} repetitions"
    )
    for name, times in seconds.items():
        ratios = sorted(a / b for a, b in zip(seconds["bare decoding"], times, strict=True))
        per_sample = statistics.median(times) / len(samples)
        print(
            f"{name:38} {1000 * per_sample:6.2f} ms {1 / per_sample:7.0f} samples/s   "
            f"{statistics.median(ratios):5.2f} x bare decoding "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def module_for(root: Path, sets: list[str], **arguments) -> RGBDSaliencyDataModule:
    module = RGBDSaliencyDataModule(
        root=str(root),
        train_sets=sets,
        image_size=IMAGE_SIZE,
        validation_fraction=0.0,
        **{"num_workers": 0, **arguments},
    )
    module.setup("fit")
    return module


def samples_per_second(module: RGBDSaliencyDataModule) -> float:
    """Time an epoch of the training loader, from when its workers have delivered a batch."""
    batches = iter(module.train_dataloader())
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch["rgb"]) for batch in batches)
    return count / (time.perf_counter() - start)


def decode(sample: PairedFiles, to_arrays: bool) -> None:
    for path in (sample.rgb, sample.depth, sample.mask):
        with Image.open(path) as image:
            image.load()
            if to_arrays:
                np.array(image)


def read(dataset, sample: PairedFiles):
    """Return the item before any transform."""
    transform, dataset.transform = dataset.transform, lambda *images: images
    try:
        return dataset[dataset.samples.index(sample)]
    finally:
        dataset.transform = transform


def stages(dataset) -> dict[str, Callable[[], object]]:
    """Return the stages of the augmentation, each on images as it gets them."""
    transform = dataset.transform
    items = [read(dataset, sample) for sample in dataset.samples]
    images = [(item["rgb"], item["depth"], item["mask"]) for item in items]
    geometry = TrainTransform(IMAGE_SIZE, change_depth=lambda depth: depth)
    rendered = [geometry(*three) for three in images]
    colours = [rgb.permute(1, 2, 0).contiguous().numpy() for rgb, _, _ in rendered]
    depths = [depth for _, depth, _ in rendered]
    return {
        "stage: all transforms": partial(for_each, lambda three: transform(*three), images),
        "stage: without those of depth": partial(for_each, lambda three: geometry(*three), images),
        "stage: colours alone": partial(for_each, jitter_colours, colours),
        "stage: values of depth alone": partial(for_each, augment_depth, depths),
    }


def for_each(run: Callable, items: Iterable) -> None:
    """Run something on every item, and keep nothing."""
    for item in items:
        run(item)


def open_rgb(sample: PairedFiles) -> Image.Image:
    return Image.open(sample.rgb)


def make_data_set(folder: Path, num_samples: int) -> None:
    """Write samples whose files compress about as those of photographs and depth sensors do."""
    generator = np.random.default_rng(0)
    for name in ("RGB", "depth", "GT"):
        (folder / name).mkdir(parents=True)
    for number in range(num_samples):
        layers = [smooth_noise(generator, 480, 640, cells) for cells in (4, 16, 64)]
        surface = layers[0] + 0.3 * layers[1]
        mask = surface > np.quantile(surface, 0.8)
        grey = surface + 0.3 * layers[2] + mask
        colours = np.stack([grey, grey + 0.5 * layers[1], grey - 0.5 * layers[0]], axis=-1)
        rgb = 40 * colours + 110 + generator.normal(0, 4, colours.shape)
        depth = 35 * (surface + mask) + 110 + generator.normal(0, 0.5, surface.shape)
        stem = f"{number:03d}"
        for image, path in (
            (rgb, folder / "RGB" / f"{stem}.jpg"),
            (depth, folder / "depth" / f"{stem}.png"),
            (mask * 255, folder / "GT" / f"{stem}.png"),
        ):
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def smooth_noise(generator: np.random.Generator, height: int, width: int, cells: int):
    coarse = generator.standard_normal((cells, cells * 4 // 3 + 1))
    return ndimage.zoom(coarse, (height / cells, width / coarse.shape[1]), order=3)


def time_in_turn(runs: dict[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Time every run once per repetition, so that a busy machine slows all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repetitions):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x.split(":")[1] for x in cpuinfo.read_text().splitlines() if "model name" in x]
        model = names[0].strip() if names else model
    return f"{model}, torch {torch.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}"


if __name__ == "__main__":
    main()
