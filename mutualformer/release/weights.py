"""Parameters of the authors' release, translated to the names of this package."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mutualformer.errors import UserError

RELEASE_MODULES = {
    "norm1": "mixing.norm_pair",
    "norm1_rd": "mixing.norm_fused",
    "attn.qkv_r": "mixing.qkv_rgb.projection",
    "attn.qkv_d": "mixing.qkv_depth.projection",
    "attn.qkv": "mixing.attention_fused.qkv.projection",
    "attn.proj_r": "mixing.proj_rgb",
    "attn.proj_d": "mixing.proj_depth",
    "attn.proj_rd": "mixing.proj_pair",
    "attn.proj": "mixing.proj_fused",
    "norm2": "norm",
    "mlp.fc1": "feed_forward.0",
    "mlp.fc2": "feed_forward.3",
}
"""Module names in the release, and the module of ``MutualFormerBlock(variant="release")``."""

OPTIONAL_PARAMETERS = {"attn.qkv_r.bias", "attn.qkv_d.bias", "attn.qkv.bias"}


def read_release(
    state_dict: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Rename the parameters of one released block, and read its options off their shapes.

    Args:
        state_dict: parameters of one block under the authors' names (``norm1.weight``, …).

    Returns:
        The same tensors under the names of ``MutualFormerBlock(variant="release")``, and its
        ``dim``, ``mlp_ratio`` and ``qkv_bias``.

    Raises:
        ValueError: a parameter of the release is missing, or one is not known; both are named.
    """
    expected = {f"{module}.{kind}" for module in RELEASE_MODULES for kind in ("weight", "bias")}
    missing = sorted(expected - OPTIONAL_PARAMETERS - state_dict.keys())
    unknown = sorted(state_dict.keys() - expected)
    if missing or unknown:
        raise UserError(
            "not one block of the authors' release: "
            f"missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}"
        )
    converted = {}
    for name, parameter in state_dict.items():
        module, kind = name.rsplit(".", 1)
        converted[f"{RELEASE_MODULES[module]}.{kind}"] = parameter
    hidden_dim, dim = state_dict["mlp.fc1.weight"].shape
    options = {"dim": dim, "mlp_ratio": hidden_dim / dim, "qkv_bias": "attn.qkv.bias" in state_dict}
    return converted, options
