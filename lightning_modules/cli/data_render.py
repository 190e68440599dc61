"""`mutualformer data render`: RGB-D scenes whose salient objects need both modalities, as files."""

import os
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator

from lightning_modules.cli.parser import PlainParser, any_path, image_size, integer_of_at_least

_DESCRIPTION = """Render FOLDER/{train,test}/rendered/{RGB,depth,GT}, and FOLDER/scenes.json, which
says how (needs pip install 'mutualformer[render]'; no GPU):

  mutualformer data render data/rendered
  mutualformer fit --config experiments/rendered_cpu.yaml

Salient objects differ from the ground in colour and rise above it. Pictures on the ground have the
colour alone, and objects in the ground's colour the height. docs/rendered.md defines the knobs.

The same options give the same files. The same command again continues after an interruption; FOLDER
appears when all of it is there, and nothing is ever overwritten.
"""
_KNOBS = {
    "likeness": "of distractors to the salient object, in [0, 1)",
    "gap": "0: the pattern on a surface is its height; 1: they are unrelated",
    "holes-rgb": "share of objects and pictures that is dark in RGB, in [0, 1)",
    "holes-depth": "share of them without a reading in depth, in [0, 1)",
    "noise": "standard deviation of both sensors, as a share of their range",
}


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    from datamodules.rendering.settings import RenderSettings

    default = RenderSettings()
    parser = PlainParser("data render", _DESCRIPTION)
    add = parser.add_argument
    add("folder", type=any_path, metavar="FOLDER")
    count, any_count = integer_of_at_least(1), integer_of_at_least(0)
    shown = "(default: %(default)s)"
    add("--num-train", type=count, default=800, metavar="N", help=f"training scenes {shown}")
    add("--num-test", type=count, default=200, metavar="N", help=f"test scenes {shown}")
    add(
        "--image-size",
        type=image_size,
        default=default.size[0],
        metavar="N or H,W",
        help=f"in pixels: the side of a square, or height and width {shown}",
    )
    add("--seed", type=any_count, default=default.seed, help=f"of all scenes {shown}")
    add(
        "--num-distractors",
        type=count,
        default=default.num_distractors,
        metavar="N",
        help=f"pictures, and as many objects in the ground's colour {shown}",
    )
    for name, purpose in _KNOBS.items():
        value = getattr(default, name.replace("-", "_"))
        add(f"--{name}", type=_number, default=value, metavar="X", help=f"{purpose} {shown}")
    add(
        "--misalignment",
        type=any_count,
        default=default.misalignment,
        metavar="N",
        help=f"pixels by which depth is displaced {shown}",
    )
    add(
        "--workers",
        type=any_count,
        default=min(8, os.cpu_count() or 1),
        metavar="N",
        help=f"processes that render beside this one {shown}",
    )
    _render(parser.parse_args(arguments))
    return 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r}, expected a number") from None


def _render(options: Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from datamodules.rendering.settings import SPLITS, RenderSettings

    knobs = {
        name: value
        for name, value in vars(options).items()
        if name in RenderSettings.__dataclass_fields__
    }
    settings = RenderSettings(**knobs)
    counts = {split: getattr(options, f"num_{split}") for split in SPLITS}
    # After the knobs are known to be good: it takes a second.
    from datamodules.rendering.write_scenes import write_scenes

    def track(scenes: Iterable[None], total: int) -> Iterator[None]:
        with Progress(console=Console(stderr=True)) as progress:
            yield from progress.track(scenes, total, description="Rendering")

    written = write_scenes(options.folder, counts, settings, options.workers, track)
    done = "written" if written else "there already"
    print(f"{options.folder}: {counts['train']} training and {counts['test']} test scenes {done}")
