"""Cross-diffusion attention on explicit N × N affinities: the readable reference."""

from functools import partial

import torch
from torch import Tensor

from mutualformer.ops.diffusion import diffuse


def scaled_logits(query: Tensor, key: Tensor) -> Tensor:
    """Compare queries with keys: Q Kᵀ / √D, `(B, H, N, D)` twice to `(B, H, N, N)`."""
    return query @ key.mT / query.shape[-1] ** 0.5


def symmetric_affinity(logits: Tensor) -> Tensor:
    """Normalise E = exp(logits) by its row sums on both sides, without forming E.

        Ŝ_ij = exp(s_ij − ½ lse_i − ½ lse_j)

    with lse the log-sum-exp of a row: D^(−1/2) E D^(−1/2) of RDP (Bai et al., AAAI 2017).
    """
    half = 0.5 * logits.logsumexp(dim=-1)
    return (logits - half.unsqueeze(-1) - half.unsqueeze(-2)).exp()


def cross_diffusion_dense(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    *,
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluate cross-diffusion attention literally; arguments as in ``cross_diffusion``.

    Half precision is computed in float32 and rounded once at the end. O(T N³) time, O(N²) memory.
    """
    dtype = value_rgb.dtype
    accumulate = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    tensors = (query_rgb, key_rgb, value_rgb, query_depth, key_depth, value_depth)
    with torch.autocast(value_rgb.device.type, enabled=False):
        q_r, k_r, v_r, q_d, k_d, v_d = (tensor.to(accumulate) for tensor in tensors)
        logits_rgb, logits_depth = scaled_logits(q_r, k_r), scaled_logits(q_d, k_d)
        attention_rgb, attention_depth = logits_rgb.softmax(-1), logits_depth.softmax(-1)
        if affinity == "softmax":
            # The rows already sum to one, so that D = I and the normalisation changes nothing.
            affinity_rgb, affinity_depth = attention_rgb, attention_depth
        else:
            affinity_rgb = symmetric_affinity(logits_rgb)
            affinity_depth = symmetric_affinity(logits_depth)
        average = 0.5 * (affinity_rgb + affinity_depth)

        if initial_affinity == "identity":
            initial_rd = initial_dr = torch.eye(
                average.shape[-1], dtype=average.dtype, device=average.device
            ).expand_as(average)
        elif initial_affinity == "average":
            initial_rd = initial_dr = average
        else:
            initial_rd = scaled_logits(q_r, k_d).softmax(-1)
            initial_dr = scaled_logits(q_d, k_r).softmax(-1)

        step = partial(diffuse, epsilon=epsilon, num_iterations=num_iterations)
        affinity_rd = step(affinity_rgb, affinity_depth, average, initial_rd)
        affinity_dr = step(affinity_depth, affinity_rgb, average, initial_dr)
        return (
            (attention_rgb @ v_r).to(dtype),
            (attention_depth @ v_d).to(dtype),
            (affinity_rd @ v_d).to(dtype),
            (affinity_dr @ v_r).to(dtype),
        )
