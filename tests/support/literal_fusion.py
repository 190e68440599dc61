"""Compare a fusion with a slow, literal form of its formulas: outputs and gradients."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer.fusions import Fusion

GRID = (5, 7)  # neither square nor even
Literal = Callable[[Fusion, Tensor, Tensor, tuple[int, int]], Tensor]


def check_against(
    fusion: Fusion, literal: Literal, dim: int, grid: tuple[int, int] = GRID, scale: float = 0.3
) -> None:
    """Require equal outputs and equal gradients of inputs and parameters, one sample or three.

    Parameters and statistics are random, as a zero or a one of the initialisation hides mistakes.
    """
    fusion = fusion.double()
    generator = torch.Generator().manual_seed(7)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.copy_(scale * draw(*parameter.shape))
        for name, buffer in fusion.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(draw(*buffer.shape))
            if name.endswith("running_var"):
                buffer.copy_(draw(*buffer.shape).exp())
    for training in (False, True):
        fusion.train(training)
        for batch in (1, 3):
            streams = [
                draw(batch, grid[0] * grid[1], dim).requires_grad_(),
                draw(batch, grid[0] * grid[1], dim).requires_grad_(),
            ]
            weights = draw(batch, grid[0] * grid[1], dim)
            names, parameters = zip(*fusion.named_parameters(), strict=True)
            names = ("tokens_rgb", "tokens_depth", *names)
            expected = literal(fusion, *streams, grid)
            output = fusion(*streams, grid)
            torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
            gradients = [
                torch.autograd.grad((weights * x).sum(), (*streams, *parameters))
                for x in (output, expected)
            ]
            for name, got, wanted in zip(names, *gradients, strict=True):
                torch.testing.assert_close(
                    got, wanted, rtol=1e-7, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
                )


def linear(layer: nn.Linear | nn.Conv2d, vector: Tensor) -> Tensor:
    """Apply W x + b to the last axis, also of a 1×1 convolution, as a sum over input features."""
    weight = layer.weight.reshape(layer.weight.shape[0], -1)
    product = torch.stack([(row * vector).sum(-1) for row in weight], dim=-1)
    return product if layer.bias is None else product + layer.bias


def layer_norm(layer: nn.LayerNorm, tokens: Tensor) -> Tensor:
    centred = tokens - tokens.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt()
    return layer.weight * centred / deviation + layer.bias


def batch_norm(layer: nn.BatchNorm1d, tokens: Tensor) -> Tensor:
    """Normalise tokens `(B, N, C)` per feature, by the batch in training."""
    mean, variance = layer.running_mean, layer.running_var
    if layer.training:
        mean = tokens.mean((0, 1))
        variance = (tokens - mean).square().mean((0, 1))
    return layer.weight * (tokens - mean) / (variance + layer.eps).sqrt() + layer.bias


def convolve_grid(
    weight: Tensor, bias: Tensor | None, tokens: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Correlate a 3×3 kernel `(out, in, 3, 3)` with tokens `(B, N, C)`, pixel by pixel."""
    batch, dim = tokens.shape[0], tokens.shape[-1]
    padded = F.pad(tokens.reshape(batch, *grid, dim), (0, 0, 1, 1, 1, 1))
    pixels = []
    for y in range(grid[0]):
        for x in range(grid[1]):
            window = padded[:, y : y + 3, x : x + 3]  # B 3 3 C
            pixels.append(torch.einsum("oiyx,byxi->bo", weight, window))
    convolved = torch.stack(pixels, dim=1)
    return convolved if bias is None else convolved + bias


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
