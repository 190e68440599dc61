"""Cross-diffusion with affinities formed once and kept: for graphs that leave PyTorch.

ONNX has neither loops over blocks of a batch of unknown size nor results that are written in place,
and the dense reference multiplies N × N matrices with each other.
"""

from typing import Any

import torch
from torch import Tensor

from mutualformer.ops.cross_diffusion.dense import scaled_logits, symmetric_affinity
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, QueryKeyValue


def cross_diffusion_stored(*arguments: Any) -> list[Tensor]:
    """Compute what the operator ``mutualformer::cross_diffusion`` does, in operators of ONNX.

        W_0 = V_d,   W_{k+1} = Ŝ_dᵀ W_k,   Y_T = S^(0) W_T
        Y_k = Ŝ_r (ε Y_{k+1} + ½ (1 − ε) W_k) + ½ (1 − ε) Ŝ_d W_k,   M_rd = Y_0

    Arguments as there; the backend does not matter.

    Returns:
        M_r, M_d, M_rd and M_dr, each `(G, N, D)`, and nothing that only gradients need.

    Cost: O(T N² D) time, O(N²) memory.

    >>> tensors = [torch.randn(8, 49, 4) for _ in range(6)]
    >>> cross_diffusion_stored(*tensors, 0.6, 2, "identity", "softmax", "auto")[2].shape
    torch.Size([8, 49, 4])
    """
    options = CrossDiffusionOptions(*arguments[6:])
    rgb, depth = QueryKeyValue(*arguments[:3]), QueryKeyValue(*arguments[3:6])
    logits_rgb, logits_depth = (scaled_logits(x.query, x.key) for x in (rgb, depth))
    softmax_rgb, softmax_depth = logits_rgb.softmax(-1), logits_depth.softmax(-1)
    if options.affinity == "softmax":
        affinity_rgb, affinity_depth = softmax_rgb, softmax_depth
    else:
        affinity_rgb, affinity_depth = map(symmetric_affinity, (logits_rgb, logits_depth))

    def read(near: Tensor, far: Tensor, query: Tensor, of: QueryKeyValue) -> Tensor:
        moved = [of.value]
        for _ in range(options.num_steps):
            moved.append(torch.bmm(far.transpose(-2, -1), moved[-1]))
        state = moved.pop()
        if options.initial_affinity == "average":
            state = 0.5 * (torch.bmm(near, state) + torch.bmm(far, state))
        elif options.initial_affinity == "cross":
            state = torch.bmm(scaled_logits(query, of.key).softmax(-1), state)
        for values in reversed(moved):
            part = options.epsilon * state + options.beta * values
            state = torch.bmm(near, part) + options.beta * torch.bmm(far, values)
        return state

    return [
        torch.bmm(softmax_rgb, rgb.value),
        torch.bmm(softmax_depth, depth.value),
        read(affinity_rgb, affinity_depth, rgb.query, depth),
        read(affinity_depth, affinity_rgb, depth.query, rgb),
    ]
