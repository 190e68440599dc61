"""Cross-diffusion attention on explicit N × N affinities: the readable reference."""

from functools import partial

import torch
from torch import Tensor

from mutualformer.ops.affinity.tensors import accumulation_dtype
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, QueryKeyValue
from mutualformer.ops.diffusion import diffuse


def scaled_logits(query: Tensor, key: Tensor) -> Tensor:
    """Compare queries with keys: Q Kᵀ / √D, `(B, H, N, D)` twice to `(B, H, N, N)`."""
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5


def symmetric_affinity(logits: Tensor) -> Tensor:
    """Normalise E = exp(logits) by its row sums on both sides, without forming E.

        Ŝ_ij = exp(s_ij − ½ lse_i − ½ lse_j)

    with lse the log-sum-exp of a row: D^(−1/2) E D^(−1/2) of RDP (Bai et al., AAAI 2017).
    """
    half = 0.5 * logits.logsumexp(dim=-1)
    return (logits - half.unsqueeze(-1) - half.unsqueeze(-2)).exp()


def cross_diffusion_dense(
    rgb: QueryKeyValue, depth: QueryKeyValue, options: CrossDiffusionOptions
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluate cross-diffusion attention literally; arguments as in ``cross_diffusion``.

    Numerics: half precision is computed in float32 and rounded once at the end.

    Cost: O(T N³) time, O(N²) memory.
    """
    dtype = rgb.value.dtype
    accumulate = accumulation_dtype(dtype)
    with torch.autocast(rgb.value.device.type, enabled=False):
        rgb, depth = (QueryKeyValue(*(x.to(accumulate) for x in m)) for m in (rgb, depth))
        logits_rgb = scaled_logits(rgb.query, rgb.key)
        logits_depth = scaled_logits(depth.query, depth.key)
        attention_rgb, attention_depth = logits_rgb.softmax(-1), logits_depth.softmax(-1)
        if options.affinity == "softmax":
            # The rows already sum to one, so that D = I and the normalisation changes nothing.
            affinity_rgb, affinity_depth = attention_rgb, attention_depth
        else:
            affinity_rgb = symmetric_affinity(logits_rgb)
            affinity_depth = symmetric_affinity(logits_depth)
        average = 0.5 * (affinity_rgb + affinity_depth)

        if options.initial_affinity == "identity":
            initial_rd = initial_dr = torch.eye(
                average.shape[-1], dtype=average.dtype, device=average.device
            ).expand_as(average)
        elif options.initial_affinity == "average":
            initial_rd = initial_dr = average
        else:
            initial_rd = scaled_logits(rgb.query, depth.key).softmax(-1)
            initial_dr = scaled_logits(depth.query, rgb.key).softmax(-1)

        step = partial(diffuse, epsilon=options.epsilon, num_iterations=options.num_steps)
        affinity_rd = step(affinity_rgb, affinity_depth, average, initial_rd)
        affinity_dr = step(affinity_depth, affinity_rgb, average, initial_dr)
        return (
            (attention_rgb @ rgb.value).to(dtype),
            (attention_depth @ depth.value).to(dtype),
            (affinity_rd @ depth.value).to(dtype),
            (affinity_dr @ rgb.value).to(dtype),
        )
