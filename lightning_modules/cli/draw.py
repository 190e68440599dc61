"""`mutualformer draw`: pictures of what the method does, and of what trained runs do."""

import sys
from argparse import Namespace
from typing import Any

from lightning_modules.cli.output import write_output
from lightning_modules.cli.parser import (
    PlainParser,
    any_path,
    integer_of_at_least,
    path_ending_in,
    split_settings,
)
from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
from mutualformer.errors import UserError

_AFFINITIES = """Draw what two tokens of an image attend to across the modalities after T = 0, 1, 2, … steps and
in the limit, with the queries and keys of a trained run: one of the object, and the farthest from it.

  mutualformer draw affinities runs/quickstart --output affinities.png --output affinities.gif
  mutualformer draw affinities runs/mine --output a.png --data.predict_rgb=A.jpg --data.predict_depth=A.png

RUN is the folder of a run. The image is one of its first test set, or a pair of files; without a
mask, what the run predicts is taken for the object. Of a probe, it is a scene of tokens, and the two
are one that asks for a label and one that has it. Settings of data and trainer may follow, as flags of
test with = before the value.
"""  # noqa: E501
_CONVERGENCE = """Draw how fast cross-diffusion comes to its limit: measured errors over T, for several ε, against
the rate ε^T of the theory.

  mutualformer draw convergence --output convergence.png
"""  # noqa: E501
_FUSIONS = """Draw what several runs predict for the same test images, side by side, with their errors.

  mutualformer draw fusions runs/quickstart runs/concat --output fusions.png
  mutualformer draw fusions runs/ablations/fusion --images 6 --output fusions.png

RUN is the folder of a run, or of several. The images are the first of the first test set. Settings of data
and trainer may follow, as flags of test with = before the value.
"""  # noqa: E501


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] not in SUBCOMMANDS:
        print(
            f"error: unknown subcommand {arguments[0]!r}, expected one of "
            f"{', '.join(SUBCOMMANDS)}; try mutualformer draw --help",
            file=sys.stderr,
        )
        return 2
    SUBCOMMANDS[arguments[0]][0](arguments[1:])
    return 0


def _usage() -> str:
    lines = [f"  {name:<12} {purpose}" for name, (_, purpose) in SUBCOMMANDS.items()]
    return (
        "usage: mutualformer draw <subcommand> [options]\n\nsubcommands:\n"
        + "\n".join(lines)
        + "\n\nScores over a varied parameter: mutualformer table FILE --plot FIGURE; over costs: "
        "mutualformer cost.\nmutualformer draw <subcommand> --help lists the options of one."
    )


def _draw_affinities(arguments: list[str]) -> None:
    parser = PlainParser("draw affinities", _AFFINITIES)
    parser.add_argument("run", type=any_path, metavar="RUN")
    _add_output(parser, ".png", ".svg", ".gif")
    positive = integer_of_at_least(1)
    add = parser.add_argument
    add("--image", type=positive, default=1, metavar="N", help="its number (default: 1)")
    add("--steps", type=positive, default=4, metavar="T", help="before the limit (default: 4)")
    add("--stride", type=positive, metavar="N", help="of the fusion (default: the smallest)")
    settings, others = split_settings(parser, arguments)
    options = parser.parse_args(others)

    from lightning_modules.cli.first_scenes import look_at_first
    from lightning_modules.report.affinity_steps_figure import AffinityLook, draw_affinity_steps
    from lightning_modules.report.token_affinities import TokenLook
    from mutualformer.network.token_network import TokenNetwork

    silence_what_users_cannot_act_on()

    def prepare(module: Any) -> AffinityLook | TokenLook:
        look = TokenLook if isinstance(module.network, TokenNetwork) else AffinityLook
        return look(module.network, options.stride, options.steps, options.image)

    *_, found = look_at_first(_only_run(options), settings, options.image, prepare)
    assert found is not None
    _write(options, lambda suffix: draw_affinity_steps(found, suffix))


def _draw_convergence(arguments: list[str]) -> None:
    parser = PlainParser("draw convergence", _CONVERGENCE)
    _add_output(parser, ".png", ".svg")
    options = parser.parse_args(arguments)

    from lightning_modules.report.convergence_figure import draw_convergence, measure_convergence

    errors = measure_convergence()
    _write(options, lambda suffix: draw_convergence(errors, suffix))


def _draw_fusions(arguments: list[str]) -> None:
    parser = PlainParser("draw fusions", _FUSIONS)
    parser.add_argument("runs", type=any_path, nargs="+", metavar="RUN")
    _add_output(parser, ".png", ".svg")
    add = parser.add_argument
    add("--images", type=integer_of_at_least(1), default=4, metavar="N", help="(default: 4)")
    settings, others = split_settings(parser, arguments)
    options = parser.parse_args(others)

    from lightning_modules.cli.configurations import find_sources, names_of_runs
    from lightning_modules.cli.first_scenes import look_at_first
    from lightning_modules.report.fusions_figure import draw_fusions, look_at_prediction

    silence_what_users_cannot_act_on()
    sources = find_sources(options.runs)
    found = {}
    for name, source in zip(names_of_runs(sources), sources, strict=True):
        print(f"Applying {source.name}", file=sys.stderr, flush=True)
        found[name] = look_at_first(source, settings, options.images, lambda _: look_at_prediction)
    _write(options, lambda suffix: draw_fusions(found, suffix))


def _only_run(options: Namespace) -> Any:
    from lightning_modules.cli.configurations import find_sources

    sources = find_sources([options.run])
    if len(sources) > 1:
        raise UserError(f"{options.run} holds {len(sources)} runs, expected one: give its folder")
    return sources[0]


def _add_output(parser: PlainParser, *suffixes: str) -> None:
    parser.add_argument(
        "--output",
        type=path_ending_in(*suffixes),
        action="append",
        required=True,
        metavar="FILE",
        help=f"by suffix: {' '.join(suffixes)}; repeat for several",
    )


def _write(options: Namespace, draw: Any) -> None:
    # All are made before any is written.
    pictures = [(path, draw(path.suffix)) for path in options.output]
    for path, picture in pictures:
        write_output(path, picture)


SUBCOMMANDS = {
    "affinities": (_draw_affinities, "what tokens of an image attend to, step by step"),
    "convergence": (_draw_convergence, "how fast the diffusion comes to its limit"),
    "fusions": (_draw_fusions, "what several runs predict for the same images, and their errors"),
}
