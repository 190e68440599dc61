"""Measure which share of a validation step goes into scores, without weighted F and with it.

    python benchmarks/validation_share.py

The step is that of SaliencyModule with an EfficientNet-Lite0 per modality, fused at strides 16 and
32, untrained, on random images; loading of images is left out, so the share in a real validation is
smaller. The step is timed with the network and with a stand-in that returns its maps at once.
"""

import argparse
import statistics
import time

import torch

from lightning_modules import SaliencyModule
from mutualformer import MutualFormerNetwork

# Input size, ground-truth size, batch size: the synthetic experiment, and a usual RGB-D setting.
SETTINGS = (((128, 128), (128, 128), 16), ((352, 352), (480, 640), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    network = MutualFormerNetwork(encoder_name="tu-tf_efficientnet_lite0", fusion_strides=[16, 32])
    torch.set_grad_enabled(False)
    module = SaliencyModule(network).to(options.device).eval()
    for input_size, truth_size, batch_size in SETTINGS:
        batch = make_batch(input_size, truth_size, batch_size, options.device)
        # A difference of two long times would be lost in their noise.
        network_maps = module.predict_step(batch, 0)
        scores_only = [SaliencyModule(network).to(options.device).eval() for _ in range(2)]
        for stand_in in scores_only:
            stand_in.predict_step = lambda *_arguments, maps=network_maps: maps
        steps = {
            "network": lambda batch=batch: module.predict_step(batch, 0),
            "validation": lambda batch=batch, m=scores_only[0]: m.validation_step(batch, 0),
            "test": lambda batch=batch, m=scores_only[1]: m.test_step(batch, 0),
        }
        seconds = time_in_turn(steps, options.repetitions, options.device)
        print(f"input {input_size}, ground truth {truth_size}, batch {batch_size}:")
        for step in ("validation", "test"):
            share = seconds[step] / (seconds["network"] + seconds[step])
            print(
                f"  {step:10} network {1000 * seconds['network'] / batch_size:7.2f} ms and scores "
                f"{1000 * seconds[step] / batch_size:5.2f} ms per image: scores {share:.1%}"
            )


def make_batch(input_size, truth_size, batch_size, device):
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in truth_size), indexing="ij")
    truth = ((rows - 60) ** 2 + (columns - 60) ** 2 < 45**2)[None].to(device)
    return {
        "rgb": torch.rand(batch_size, 3, *input_size, device=device),
        "depth": torch.rand(batch_size, 1, *input_size, device=device),
        "ground_truth": [truth] * batch_size,
        "dataset": ["random"] * batch_size,
        "name": [str(index) for index in range(batch_size)],
    }


def time_in_turn(steps, repetitions, device):
    seconds = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(repetitions):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device != "cpu":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
