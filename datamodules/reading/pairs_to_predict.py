"""The pairs that `predict` is asked for: of a folder, or two files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.named_folders import name_of_owner, not_given
from datamodules.reading.image_files import holds_fourth_channel
from datamodules.reading.pair_files import PairedFiles


def pairs_to_predict(
    predict_root: str | None,
    predict_files: Mapping[str, str | None],
    modalities: Sequence[str],
    pair_folder: Callable[[Path], list[PairedFiles]],
) -> list[PairedFiles]:
    """Return the samples to predict, ground truths not needed.

    Args:
        predict_root: `--data.predict_root`.
        predict_files: `--data.predict_rgb` and `--data.predict_depth` under `rgb` and `depth`.
        modalities: which of the two the network reads.
        pair_folder: returns the samples of a folder.

    Raises:
        DataError: nothing was given, both were, or a file that is needed or not read.
    """
    files = {name: Path(path) for name, path in predict_files.items() if path is not None}
    if not files:
        if predict_root is None:
            raise not_given("predict_root", "FOLDER")
        return pair_folder(Path(predict_root))
    if predict_root is not None:
        raise DataError(
            f"predict_root is {predict_root}, but two files are to be predicted, expected "
            "one of the two: give --data.predict_root=null"
        )
    if "depth" not in files and "rgb" in files and holds_fourth_channel(files["rgb"]):
        files["depth"] = files["rgb"]
    for name in files.keys() - set(modalities):
        if files[name] != files.get("rgb") or name == "rgb":
            raise DataError(
                f"predict_{name} is {files[name]}, which the network does not read, expected "
                f"{' and '.join(modalities)} alone: leave it out"
            )
    for name in modalities:
        if name not in files:
            raise not_given(f"predict_{name}", "FILE")
    paths = [files[name] for name in modalities]
    rgb, depth = (files[x] if x in modalities else None for x in ("rgb", "depth"))
    return [PairedFiles(name_of_owner(*paths), paths[0].stem, rgb, depth, None)]
