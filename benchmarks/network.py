"""Training step of the whole network with MutualFormer fusion against the baselines, in one run.

python benchmarks/network.py --image-size 352 --batch-size 2
"""

import argparse
import statistics
import time

import torch

from mutualformer import MutualFormerNetwork
from mutualformer.fusions.spelling import read_fusion
from mutualformer.losses import weighted_bce_iou

PEER = "concat"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fusions", nargs="+", default=["mutualformer", PEER, "cross_attention"])
    parser.add_argument("--encoder-name", default="mit_b2")
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--image-size", type=int, default=352)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = (options.batch_size, 1, options.image_size, options.image_size)
    depth, mask = torch.rand(shape), (torch.rand(shape) > 0.5).float()
    batch = [x.to(options.device) for x in (torch.cat([depth] * 3, 1), depth, mask)]
    networks = {
        name: MutualFormerNetwork(
            options.encoder_name, fusion=read_fusion(name), fusion_strides=options.strides
        ).to(options.device)
        for name in dict.fromkeys([*options.fusions, PEER])
    }
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(options.repeats + 1):
        for name, network in networks.items():
            begin = time.perf_counter()
            rgb, depth, mask = batch
            with torch.autocast("cuda", torch.bfloat16, enabled=options.device == "cuda"):
                logits = network(rgb, depth)
            weighted_bce_iou(logits.float(), mask).backward()
            network.zero_grad(set_to_none=True)
            if options.device == "cuda":
                torch.cuda.synchronize()
            if repeat > 0:  # the first round warms up
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(
            f"{name:<16} {1e3 * median:>9.1f} ms per step   {median / medians[PEER]:.2f} × {PEER}"
        )


if __name__ == "__main__":
    main()
