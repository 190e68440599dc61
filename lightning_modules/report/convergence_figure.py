"""How fast cross-diffusion comes to its limit, against the rate ε^T of the theory."""

import io
from collections.abc import Mapping, Sequence

import torch

from lightning_modules.report.figure_style import INK, PALE_INK, style
from mutualformer.ops.diffusion import diffuse, diffusion_limit

EPSILONS = (0.3, 0.6, 0.9)
_NUM_TOKENS = 24  # the exact limit is a system of N² unknowns
_DIM = 8
_NUM_STEPS = 40
_SMALLEST = 1e-14  # beyond, float64 shows its own noise


def measure_convergence(
    epsilons: Sequence[float] = EPSILONS, num_steps: int = _NUM_STEPS
) -> dict[float, list[float]]:
    """Return max |S_rd^(T) − S_rd^(∞)| by ε, from T = 0 on, of random queries and keys.

    Between affinities whose rows sum to one, every step shrinks this largest error by ε at least.

    >>> errors = measure_convergence([0.5], num_steps=2)[0.5]
    >>> all(after <= 0.5 * before for before, after in zip(errors, errors[1:]))
    True
    """
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(4, _NUM_TOKENS, _DIM, dtype=torch.float64, generator=generator)
    query_rgb, key_rgb, query_depth, key_depth = tokens
    rgb = (query_rgb @ key_rgb.mT / _DIM**0.5).softmax(-1)
    depth = (query_depth @ key_depth.mT / _DIM**0.5).softmax(-1)
    target = (rgb + depth) / 2
    errors: dict[float, list[float]] = {}
    for epsilon in epsilons:
        limit = diffusion_limit(rgb, depth, target, epsilon=epsilon)
        state = torch.eye(_NUM_TOKENS, dtype=torch.float64)
        errors[epsilon] = [float((state - limit).abs().max())]
        for _ in range(num_steps):
            state = diffuse(rgb, depth, target, state, epsilon=epsilon, num_iterations=1)
            errors[epsilon].append(float((state - limit).abs().max()))
    return errors


def draw_convergence(errors: Mapping[float, Sequence[float]], suffix: str) -> bytes:
    """Draw measured errors as points, and the theory's rate through T = 0 as lines.

    Args:
        errors: see :func:`measure_convergence`.
        suffix: ``.png`` or ``.svg``.
    """
    # Not pyplot, which keeps figures.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "text.color": INK}):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        for number, (epsilon, measured) in enumerate(errors.items()):
            steps = range(len(measured))
            looks = style(number)
            shown = [(t, x) for t, x in zip(steps, measured, strict=True) if x > _SMALLEST]
            axes.semilogy(
                *zip(*shown, strict=True), linestyle="", label=f"ε = {epsilon:g}", **looks
            )
            bound = [measured[0] * epsilon**t for t in steps]
            axes.semilogy(steps, bound, color=looks["color"], linewidth=1)
        axes.set(
            xlabel="steps T",
            ylabel=r"$\max\,|S_{rd}^{(T)} - S_{rd}^{(\infty)}|$",
            ylim=(_SMALLEST, 3),
        )
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.supxlabel(
            rf"Points: measured, N = {_NUM_TOKENS} random tokens, float64. Lines: $\varepsilon^T$ "
            "times the error at T = 0.",
            fontsize=7,
            color=PALE_INK,
        )
        file = io.BytesIO()
        figure.savefig(file, format=suffix.removeprefix("."), dpi=160)
    return file.getvalue()
