"""`mutualformer export`: a trained network for inference."""

from argparse import Namespace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datamodules.catalogue import is_near_dark
from datamodules.image_size import height_and_width
from datamodules.named_folders import name_of
from lightning_modules.cli.parser import PlainParser, any_path, image_size
from lightning_modules.runs.results import Results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import one_spelling
from lightning_modules.tasks import TASKS
from mutualformer.errors import UserError, refused_setting

_DESCRIPTION = """Write a trained network as files that other programs read.

config.json         settings, input and output conventions, version, commit and data settings
model.safetensors   weights: MutualFormerNetwork.from_pretrained(FOLDER) loads them; of a network of
                    your own, build it and load them with safetensors.torch.load_file
README.md           a model card: what is known of the network, its scores, and blanks to fill in
model.onnx          the network as a graph from (rgb, depth) to logits, for any batch size and one
                    image size; compared with PyTorch in onnxruntime before anything is written

RUN is the folder of a run, of which the best checkpoint is taken as test does, or a checkpoint:

  mutualformer export runs/quickstart
  mutualformer export runs/quickstart/checkpoints/last.ckpt --output exported --format safetensors
"""
# What a network that is used elsewhere must be given; folders on this machine are left out.
_DATA_SETTINGS = (
    *("image_size", "second_modality", "depth_channels", "depth_range", "invalid_depth"),
    *("near_dark", "rotated_bits"),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _export(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("export", _DESCRIPTION)
    add = parser.add_argument
    add("run", type=any_path, metavar="RUN", help="folder of a run, or a checkpoint")
    add(
        "--output",
        type=any_path,
        metavar="FOLDER",
        help="a new folder (default: export in the folder of the run)",
    )
    add(
        "--format",
        choices=("all", "safetensors", "onnx"),
        default="all",
        help="which of the two, beside config.json (default: %(default)s)",
    )
    add(
        "--image-size",
        type=image_size,
        metavar="N|H,W",
        help="of the images that the ONNX graph takes, in pixels: the side of a square, or height "
        "and width, as 352,480 (default: that of training)",
    )
    add(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="of a network or fusion of your own, whose code is run; repeat it for several",
    )
    options = parser.parse_args(arguments)
    if options.output is None:
        if options.run.is_file():
            parser.error(f"{options.run} is a checkpoint, expected --output FOLDER with it")
        options.output = RunFolder(options.run).export
    missing = [x for x in ("onnx", "onnxscript", "onnxruntime") if find_spec(x) is None]
    if options.format != "safetensors" and missing:
        parser.error(
            f"ONNX needs {', '.join(missing)}: pip install 'mutualformer[export]', or give "
            "--format safetensors"
        )
    return options


def _export(options: Namespace) -> None:
    from lightning_modules.runs.checkpoints import read_checkpoint
    from lightning_modules.runs.exported_network import build_network, describe_network
    from lightning_modules.runs.model_card import model_card
    from lightning_modules.runs.onnx_graph import write_onnx
    from lightning_modules.runs.provenance import git_state
    from mutualformer.network.pretrained import new_folder, write_config, write_weights

    if not options.run.exists():
        raise UserError(f"{options.run}: no such folder or file, expected the folder of a run")
    for module in options.modules:
        with refused_setting(f"--import {module}", ImportError):
            import_module(module)
    path = RunFolder(options.run).find_checkpoint() if options.run.is_dir() else options.run
    with new_folder(options.output) as folder:
        checkpoint = read_checkpoint(path)
        network = build_network(checkpoint, path, options.modules)
        training = _describe_training(checkpoint, path)
        depth_channels = training["data"].get("depth_channels")
        description = describe_network(network, depth_channels or 1)
        config = {**description, "git": git_state(), "training": training}
        for task in TASKS.values():
            config |= task.describe_checkpoint(checkpoint)
        if options.format != "onnx":
            write_weights(folder, network.state_dict())
        if options.format != "safetensors":
            image_size = options.image_size or training["data"].get("image_size")
            if image_size is None:
                raise UserError(f"{path} does not say its image size: give it with --image-size")
            height, width = height_and_width(image_size, smallest=1)
            print(f"Writing an ONNX graph for {height} × {width} pixels: a minute or more")
            config["onnx"] = write_onnx(
                network, folder / "model.onnx", (height, width), depth_channels
            )
        write_config(folder, config)
        name = options.run.resolve().name if options.run.is_dir() else path.stem
        card = model_card(name, config, _results_of(path, options.run))
        (folder / "README.md").write_text(card, encoding="utf-8")
        written = sorted(file.name for file in folder.iterdir())
    print(f"Wrote {', '.join(written)} to {options.output}, of {path}")
    if "onnx" in config:
        print(
            f"ONNX: {height} × {width} pixels; logits differ from PyTorch's by at most "
            f"{config['onnx']['max_difference']:.1e}"
        )


def _results_of(checkpoint: Path, run: Path) -> Results | None:
    """Return the results of a run if they are of this checkpoint, and not of another."""
    results = RunFolder(run).finished_results() if run.is_dir() else None
    return results if results and Path(results.checkpoint).name == checkpoint.name else None


def _describe_training(checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Collect what the checkpoint says of its training, without names of folders."""
    from lightning_modules.runs.exported_network import PREDICTION_SETTINGS

    provenance = checkpoint.get("provenance", {})
    config = provenance.get("config", {})
    data = config.get("data", {}).get("init_args", {})
    model = checkpoint.get("hyper_parameters", {})
    if "near_dark" in data and data["near_dark"] is None:
        data = {**data, "near_dark": is_near_dark(name_of(data.get("root", ".")))}
    return {
        "checkpoint": path.name,
        "epoch": checkpoint.get("epoch"),
        "step": checkpoint.get("global_step"),
        "seed": config.get("seed_everything"),
        "version": provenance.get("version"),
        "git": provenance.get("git"),
        "packages": provenance.get("packages"),
        "data": {x: one_spelling(x, data[x]) for x in _DATA_SETTINGS if x in data},
        "model": {x: model[x] for x in PREDICTION_SETTINGS if x in model},
    }
