"""Parameters of the authors' release, translated to the names of this package."""

from collections.abc import Mapping

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


def convert_release_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of one released block.

    Args:
        state_dict: parameters of one block under the authors' names (``norm1.weight``, …).

    Returns:
        The same tensors under the names of ``MutualFormerBlock(variant="release")``.

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
    return converted
