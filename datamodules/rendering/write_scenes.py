"""Rendered scenes as a folder that the data module for folders reads: whole, or not there."""

import fcntl
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from datamodules.errors import DataError, check_at_least
from datamodules.files import remove_leftovers, write_atomically
from datamodules.reading.dataset_folder import show
from datamodules.rendering.objects import import_pybullet, list_meshes
from datamodules.rendering.scene import render_scene
from datamodules.rendering.settings import SPLITS, RenderSettings

NAME = "rendered"
SETTINGS_FILE = "scenes.json"
# Counts changes of what the same settings render.
_VERSION = 1
_FOLDERS = ("RGB", "depth", "GT")

Track = Callable[[Iterable[None], int], Iterable[None]]


def write_scenes(
    folder: Path,
    counts: dict[str, int],
    settings: RenderSettings,
    num_workers: int = 0,
    track: Track | None = None,
) -> bool:
    """Render `folder/{train,test}/rendered/{RGB,depth,GT}` and `folder/scenes.json`.

    Scenes are written to a hidden folder beside it, which takes its name once all are there. The
    same call again goes on with what an interrupted one left.

    Args:
        folder: where they go; absent, empty, or written by the same call before.
        counts: number of scenes of each split, at least 1.
        settings: the knobs.
        num_workers: processes that render beside this one; with 0, this one does it.
        track: is given what happens scene by scene, and their number; for a progress bar.

    Returns:
        Whether anything was written; false where all was there already.

    Raises:
        UserError: a number is out of range, pybullet is missing, or the folder holds something
            else.
    """
    check_at_least(1, **{f"num_{split}": counts[split] for split in SPLITS})
    import_pybullet()
    list_meshes("train")
    description = _describe(counts, settings)
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check_same(folder, description)
        _check_complete(folder, counts)
        return False
    partial_folder = folder.with_name(f".{folder.name}.partial")
    if not partial_folder.exists():
        write_atomically(partial_folder / SETTINGS_FILE, _to_bytes(description))
    _check_same(partial_folder, description)
    with _alone(partial_folder):
        remove_leftovers(partial_folder)
        _write_missing(partial_folder, counts, settings, num_workers, track)
        os.replace(partial_folder, folder)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out; the lock ends with the process."""
    with (folder / SETTINGS_FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{show(folder)}: another process renders into it, expected none: wait for it"
            ) from error
        yield


def _write_missing(
    folder: Path,
    counts: dict[str, int],
    settings: RenderSettings,
    num_workers: int,
    track: Track | None,
) -> None:
    missing = [
        (split, index)
        for split in SPLITS
        for index in range(counts[split])
        if not all(path.is_file() for path in _paths(folder, split, index))
    ]
    with _mapper(num_workers) as mapper:
        results = mapper(partial(_write_scene, folder, settings), missing)
        for _ in track(results, len(missing)) if track else results:
            pass


def _describe(counts: dict[str, int], settings: RenderSettings) -> dict[str, Any]:
    knobs = asdict(settings) | {"image_size": list(settings.size)}
    return {
        "made_by": "mutualformer data render",
        "definition": "docs/rendered.md",
        "version": _VERSION,
        "pybullet": metadata.version("pybullet"),
        **{f"num_{split}": counts[split] for split in SPLITS},
        **knobs,
    }


def _to_bytes(description: dict[str, Any]) -> bytes:
    return (json.dumps(description, indent=2) + "\n").encode()


def _check_same(folder: Path, description: dict[str, Any]) -> None:
    """Refuse a folder that holds other things, or scenes of other settings."""
    path = folder / SETTINGS_FILE
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{show(folder)}: there is something else than rendered scenes, or {SETTINGS_FILE} is "
            "damaged, expected an empty folder or none: choose another, or delete it"
        ) from error
    found = found if isinstance(found, dict) else {}
    for name in [*description, *(found.keys() - description.keys())]:
        if found.get(name) != description.get(name):
            raise DataError(
                f"{show(folder)}: its scenes have {name} {found.get(name)}, expected "
                f"{description.get(name)}: choose another folder, or delete it"
            )


def _check_complete(folder: Path, counts: dict[str, int]) -> None:
    for split in SPLITS:
        for index in range(counts[split]):
            for path in _paths(folder, split, index):
                if not path.is_file():
                    raise DataError(
                        f"{show(path)}: it was rendered and is gone, expected what "
                        f"{SETTINGS_FILE} says: delete the folder and render it again"
                    )


def _paths(folder: Path, split: str, index: int) -> list[Path]:
    return [folder / split / NAME / kind / f"{split}_{index:05d}.png" for kind in _FOLDERS]


def _write_scene(folder: Path, settings: RenderSettings, scene: tuple[str, int]) -> None:
    rendered = render_scene(settings, *scene)
    mask = rendered.salient.astype(np.uint8) * 255
    pictures = [Image.fromarray(rendered.rgb), Image.fromarray(rendered.depth)]
    pictures.append(Image.fromarray(mask))
    for path, picture in zip(_paths(folder, *scene), pictures, strict=True):
        write_atomically(path, partial(picture.save, format="PNG"), durable=False)


@contextmanager
def _mapper(num_workers: int) -> Iterator[Callable[..., Iterable[None]]]:
    if num_workers == 0:
        yield map
        return
    executor = ProcessPoolExecutor(num_workers, initializer=_begin_worker)
    try:
        yield partial(executor.map, chunksize=4)
    finally:
        executor.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    # One thread each: workers are the parallelism.
    cv2.setNumThreads(1)
    # A killed command must not leave workers behind, which wait for ever and keep its lock.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
