"""The `robustness.json` of a run: scores, and what they were measured of."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from datamodules.files import write_atomically
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.pair_files import PairedFiles
from lightning_modules.cli.configurations import settings_of_result
from lightning_modules.runs.json_file import read_json
from lightning_modules.runs.provenance import PACKAGES, package_version
from lightning_modules.tables.stale import code_digest
from mutualformer.errors import UserError

# By data set, then by score; None where one is not finite.
Scores = dict[str, dict[str, float | None]]

_ORIGIN, _SCORES, _DIGEST = "measured_of", "scores", "digest"
_IN_WORDS = {
    "checkpoint": "the checkpoint",
    "settings": "the settings",
    "images": "the test images",
    "code": "the code",
    "packages": f"the version of one of {', '.join(PACKAGES)}",
}


def describe_origin(
    checkpoint: Path, resolved: Mapping[str, Any], datasets: Iterable[PairedModalityDataset]
) -> dict[str, Any]:
    """Return all that scores are of: what is equal in it has the same scores, rounding aside.

    Args:
        checkpoint: that is tested; its content counts, wherever it lies.
        resolved: the configuration, with what was typed over it.
        datasets: to test on; likewise.
    """
    settings = settings_of_result(resolved)
    settings.pop("data.corruption", None)
    return {
        "checkpoint": _digest_of(checkpoint),
        "settings": {
            name: json.dumps(value, sort_keys=True, default=str)
            for name, value in sorted(settings.items())
        },
        "images": _digest_of_images(datasets),
        "code": code_digest(resolved),
        "packages": {package: package_version(package) for package in PACKAGES},
    }


def read_known(path: Path, origin: Mapping[str, Any]) -> tuple[dict[str, Scores], str]:
    """Return the scores that a file has of this origin, and why it has none although it is there.

    Args:
        path: of the file.
        origin: see `describe_origin`.
    """
    try:
        content = read_json(path, UserError, "it is replaced")
    except FileNotFoundError:
        return {}, ""
    except UserError as error:
        return {}, str(error)
    if not isinstance(content, dict) or _ORIGIN not in content:
        return {}, f"{path} does not say what it was measured of"
    stated = content.pop(_DIGEST, None)
    if stated != digest_of_content(content):
        return {}, f"{path} was edited"
    there = content[_ORIGIN]
    differing = [words for name, words in _IN_WORDS.items() if there[name] != origin[name]]
    if differing:
        return {}, f"{path} is of before a change of {' and of '.join(differing)}"
    return content[_SCORES], ""


def write_robustness(
    path: Path, scores: Mapping[str, Scores], origin: Mapping[str, Any], **more: Any
) -> None:
    """Write a file whole.

    Args:
        path: of the file.
        scores: by corruption.
        origin: see `describe_origin`.
        more: to be said beside them.
    """
    content = {_SCORES: scores, _ORIGIN: origin, **more}
    content[_DIGEST] = digest_of_content(content)
    write_atomically(path, f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode())


def digest_of_content(content: Mapping[str, Any]) -> str:
    """Return what tells a file that was edited: it changes with anything that one holds."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _digest_of_images(datasets: Iterable[PairedModalityDataset]) -> str:
    """Digest the files of data sets that are read from pairs, and the items of others."""
    digest = hashlib.sha256()
    for dataset in datasets:
        digest.update(repr(getattr(dataset, "label_map", None)).encode())
        samples = getattr(dataset, "samples", ())
        if samples and all(isinstance(sample, PairedFiles) for sample in samples):
            for x in samples:
                files = [path and _digest_of(path) for path in (x.rgb, x.depth, x.mask)]
                digest.update(repr((x.dataset, x.name, *files)).encode())
            continue
        for index in range(len(dataset)):
            for name, value in sorted(dataset[index].items()):
                is_tensor = isinstance(value, Tensor)
                content = value.numpy().tobytes() if is_tensor else repr(value).encode()
                digest.update(name.encode() + content)
    return digest.hexdigest()


def _digest_of(path: Path) -> str:
    state = path.stat()
    return _digest_of_file(path, state.st_size, state.st_mtime_ns)


@cache  # several runs are tested on the same files
def _digest_of_file(path: Path, *_: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
