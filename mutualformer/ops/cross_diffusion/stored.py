"""Cross-diffusion with affinities formed once and kept: for graphs that leave PyTorch.

ONNX has neither loops over blocks of a batch of unknown size nor results that are written in place,
and the dense reference multiplies N × N matrices with each other.
"""

import torch
from torch import Tensor

from mutualformer.ops.cross_diffusion.dense import scaled_logits, symmetric_affinity


def cross_diffusion_stored(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> list[Tensor]:
    """Compute what the operator ``mutualformer::cross_diffusion`` does, in operators of ONNX.

        W_0 = V_d,   W_{k+1} = Ŝ_dᵀ W_k,   Y_T = S^(0) W_T
        Y_k = Ŝ_r (ε Y_{k+1} + ½ (1 − ε) W_k) + ½ (1 − ε) Ŝ_d W_k,   M_rd = Y_0

    Give it to ``ExportedProgram.run_decompositions`` in place of the operator.
    O(T N² D) time, O(N²) memory. Arguments as there; the backend does not matter.

    Returns:
        M_r, M_d, M_rd and M_dr, each `(G, N, D)`, and nothing that only gradients need.

    >>> tensors = [torch.randn(8, 49, 4) for _ in range(6)]
    >>> cross_diffusion_stored(*tensors, 0.6, 2, "identity", "softmax", "auto")[2].shape
    torch.Size([8, 49, 4])
    """
    beta = 0.5 * (1 - epsilon)
    logits_rgb = scaled_logits(query_rgb, key_rgb)
    logits_depth = scaled_logits(query_depth, key_depth)
    softmax_rgb, softmax_depth = logits_rgb.softmax(-1), logits_depth.softmax(-1)
    if affinity == "softmax":
        affinity_rgb, affinity_depth = softmax_rgb, softmax_depth
    else:
        affinity_rgb, affinity_depth = map(symmetric_affinity, (logits_rgb, logits_depth))

    def read(near: Tensor, far: Tensor, value: Tensor, query: Tensor, key: Tensor) -> Tensor:
        moved = [value]
        for _ in range(num_iterations):
            moved.append(torch.bmm(far.mT, moved[-1]))
        state = moved.pop()
        if initial_affinity == "average":
            state = 0.5 * (torch.bmm(near, state) + torch.bmm(far, state))
        elif initial_affinity == "cross":
            state = torch.bmm(scaled_logits(query, key).softmax(-1), state)
        for values in reversed(moved):
            state = torch.bmm(near, epsilon * state + beta * values) + beta * torch.bmm(far, values)
        return state

    return [
        torch.bmm(softmax_rgb, value_rgb),
        torch.bmm(softmax_depth, value_depth),
        read(affinity_rgb, affinity_depth, value_depth, query_rgb, key_depth),
        read(affinity_depth, affinity_rgb, value_rgb, query_depth, key_rgb),
    ]
