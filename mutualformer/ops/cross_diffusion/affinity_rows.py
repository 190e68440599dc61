"""Single rows of the affinities of cross-diffusion: what one token attends to."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mutualformer.errors import UserError
from mutualformer.ops.cross_diffusion.cross_diffusion import cross_diffusion


class AffinityRows(NamedTuple):
    """Rows of the four affinities for K tokens, each `(..., K, N)`."""

    rgb: Tensor
    """Of S_r: what the RGB token reads from RGB."""
    depth: Tensor
    """Of S_d: what the depth token reads from depth."""
    rgb_from_depth: Tensor
    """Of S_rd^(T): what the RGB token reads from depth."""
    depth_from_rgb: Tensor
    """Of S_dr^(T): what the depth token reads from RGB."""


def affinity_rows(
    query_rgb: Tensor,
    key_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    tokens: Sequence[int],
    **options: Any,
) -> AffinityRows:
    """Compute the rows of S_r, S_d, S_rd^(T) and S_dr^(T) that belong to chosen tokens.

    No N × N matrix is formed: M_rd = S_rd^(T) V_d is linear in V_d, hence row i of S_rd^(T) is the
    gradient of M_rd,i with respect to V_d, and so for the others.

    Args:
        query_rgb: Q_r, `(..., N, D)`.
        key_rgb: K_r, as ``query_rgb``.
        query_depth: Q_d, as ``query_rgb``.
        key_depth: K_d, as ``query_rgb``.
        tokens: indices of K tokens, each in [0, N).
        options: ``epsilon``, ``num_iterations`` and further options of
            :func:`mutualformer.cross_diffusion`.

    Returns:
        Rows in the order of ``tokens``, each `(..., K, N)`, in float32 at least. They work in
        inference mode too, and have no gradients.

    Raises:
        ValueError: an option or a shape that ``cross_diffusion`` refuses, or a token outside its
            range.

    Cost: a forward and two backward passes per D tokens, O(T N² D) time, O(N D) memory.

    >>> queries_and_keys = [torch.randn(4, 49, 8) for _ in range(4)]
    >>> rows = affinity_rows(*queries_and_keys, [0, 24], epsilon=0.6, num_iterations=1)
    >>> rows.rgb_from_depth.shape
    torch.Size([4, 2, 49])
    """
    num_tokens, dim = query_rgb.shape[-2:]
    for token in tokens:
        if not 0 <= token < num_tokens:
            raise UserError(f"tokens holds {token}, expected indices from 0 to {num_tokens - 1}")
    given = (query_rgb, key_rgb, query_depth, key_depth)
    parts = []
    with torch.inference_mode(False), torch.enable_grad():
        dtype = torch.promote_types(query_rgb.dtype, torch.float32)
        # Cloned, because tensors of inference mode cannot take part in a backward pass.
        q_r, k_r, q_d, k_d = (tensor.detach().clone().to(dtype) for tensor in given)
        value_rgb, value_depth = (torch.zeros_like(q_r, requires_grad=True) for _ in range(2))
        output = cross_diffusion(q_r, k_r, value_rgb, q_d, k_d, value_depth, **options)
        for start in range(0, len(tokens), dim):
            # Token number k of this part is read in channel k, where no other interferes.
            part = torch.tensor(tokens[start : start + dim], device=q_r.device)
            channels = torch.arange(len(part), device=q_r.device)

            def rows(*outputs: Tensor) -> tuple[Tensor, ...]:
                total = torch.stack([x[..., part, channels].sum() for x in outputs]).sum()  # noqa: B023
                gradients = torch.autograd.grad(total, (value_rgb, value_depth), retain_graph=True)
                return tuple(gradient[..., channels].mT for gradient in gradients)  # noqa: B023

            rgb, rgb_from_depth = rows(output.rgb, output.rgb_from_depth)
            depth_from_rgb, depth = rows(output.depth, output.depth_from_rgb)
            parts.append((rgb, depth, rgb_from_depth, depth_from_rgb))
    return AffinityRows(*(torch.cat(rows, dim=-2) for rows in zip(*parts, strict=True)))
