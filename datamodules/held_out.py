"""The part of the training data that validation uses."""

import hashlib
from collections.abc import Sequence

from datamodules.errors import DataError
from datamodules.reading.pair_files import PairedFiles


def split_held_out(
    samples: Sequence[PairedFiles], fraction: float
) -> tuple[list[PairedFiles], list[PairedFiles]]:
    """Split training samples into those to train on and those held out for validation.

    A sample is held out if the hash of its data set's name and its stem, as a number in [0, 1),
    is below `fraction`: on every machine the same, and whatever other samples there are. Only
    where that would leave one side empty, the sample with the smallest (largest) hash is moved.

    Args:
        samples: at least one sample; two where `fraction` exceeds 0.
        fraction: expected part that is held out, in [0, 1). 0 holds nothing out.

    Returns:
        The samples to train on and the samples held out, in the order given.

    Raises:
        DataError: there is a single sample and `fraction` exceeds 0.
    """
    if fraction == 0.0:
        return list(samples), []
    if len(samples) < 2:
        raise DataError(
            f"{samples[0].dataset}: {len(samples)} training sample, expected at least 2 "
            "to hold one out: add samples, or give --data.validation_fraction=0"
        )
    hashes = sorted(_hash_to_unit_interval(sample) for sample in samples)
    threshold = min(max(fraction, hashes[0]), hashes[-2])
    training: list[PairedFiles] = []
    held_out: list[PairedFiles] = []
    for sample in samples:
        below = _hash_to_unit_interval(sample) <= threshold
        (held_out if below else training).append(sample)
    return training, held_out


def _hash_to_unit_interval(sample: PairedFiles) -> float:
    digest = hashlib.sha256(f"{sample.dataset}/{sample.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
