"""Training step of the whole network with MutualFormer fusion against the baselines, in one run.

python benchmarks/network.py --image-size 352 --batch-size 2
python benchmarks/network.py --device cuda --precision bf16-mixed --compile inductor
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch

from mutualformer import MutualFormerNetwork
from mutualformer.fusions.spelling import read_fusion
from mutualformer.losses import weighted_bce_iou

PEER = "concat"


def measure(options: argparse.Namespace) -> list[dict]:
    """Time the training step of every fusion, all taking turns."""
    torch.manual_seed(0)
    shape = (options.batch_size, 1, options.image_size, options.image_size)
    depth, mask = torch.rand(shape), (torch.rand(shape) > 0.5).float()
    rgb, depth, mask = (x.to(options.device) for x in (torch.cat([depth] * 3, 1), depth, mask))
    mixed = options.precision == "bf16-mixed"
    networks = {
        name: MutualFormerNetwork(
            options.encoder_name, fusion=read_fusion(name), fusion_strides=options.strides
        ).to(options.device)
        for name in dict.fromkeys([*options.fusions, PEER])
    }
    if options.compile:
        for network in networks.values():
            network.compile(backend=options.compile)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(options.repeats + 1):
        for name, network in networks.items():
            begin = time.perf_counter()
            with torch.autocast(options.device, torch.bfloat16, enabled=mixed):
                logits = network(rgb, depth)
            weighted_bce_iou(logits.float(), mask).backward()
            network.zero_grad(set_to_none=True)
            if options.device == "cuda":
                torch.cuda.synchronize()
            if repeat > 0:  # the first round warms up
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return [
        {"fusion": name, "ms": round(1e3 * x, 1), "ratio": round(x / medians[PEER], 2)}
        for name, x in medians.items()
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fusions", nargs="+", default=["mutualformer", PEER, "cross_attention"])
    parser.add_argument("--encoder-name", default="mit_b2")
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--image-size", type=int, default=352)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--compile", metavar="BACKEND", help="of torch.compile, such as inductor")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    for row in measure(options):
        print(f"{row['fusion']:<16} {row['ms']:>9.1f} ms per step   {row['ratio']:.2f} × {PEER}")


if __name__ == "__main__":
    main()
