"""One fusion between two embeddings and a head: what is left of a network when only it matters."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.fusions import Fusion, MutualFormerBlock
from mutualformer.fusions.matched import match_parameters
from mutualformer.fusions.probe import probe_fusion


class TokenNetwork(nn.Module):
    """Embed two grids of tokens, fuse them once or more, and classify each token.

    Args:
        rgb_dim: channels of a token of RGB.
        depth_dim: channels of a token of depth.
        num_labels: classes.
        fusion: builds a fusion, called with the token width.
        dim: token width C between the embeddings and the head.
        fusion_parameters: how many the fusion is to have, as in :class:`MutualFormerNetwork`.

    Raises:
        UserError: a fusion is none; its options are outside their range.

    >>> import torch
    >>> network = TokenNetwork(16, 18, num_labels=2)
    >>> network(torch.randn(3, 16, 8, 8), torch.randn(3, 18, 8, 8)).shape
    torch.Size([3, 2, 8, 8])
    """

    def __init__(
        self,
        rgb_dim: int = 16,
        depth_dim: int = 18,
        num_labels: int = 2,
        fusion: Callable[[int], Fusion] = MutualFormerBlock,
        dim: int = 64,
        fusion_parameters: int | None = None,
    ) -> None:
        super().__init__()
        widths = {"rgb_dim": rgb_dim, "depth_dim": depth_dim, "num_labels": num_labels}
        for name, width in widths.items():
            check_integer(name, width, 1)
        probe = probe_fusion(fusion, dim)
        self.modalities = tuple(probe.modalities)
        self.settings: dict[str, Any] = {
            "fusion": probe.settings,
            "dim": dim,
            "fusion_parameters": fusion_parameters,
        }
        if fusion_parameters is not None:
            fusion = match_parameters(probe, dim, fusion_parameters)
        self.embed_rgb = nn.Conv2d(rgb_dim, dim, 1)
        self.embed_depth = nn.Conv2d(depth_dim, dim, 1)
        self.fusion = fusion(dim)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Conv2d(dim, num_labels, 1)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Map `(B, rgb_dim, H, W)` and `(B, depth_dim, H, W)` to logits `(B, num_labels, H, W)`.

        Raises:
            UserError: the channels are others.
        """
        for name, tokens, embed in (
            ("rgb", rgb, self.embed_rgb),
            ("depth", depth, self.embed_depth),
        ):
            if tokens.shape[1] != embed.in_channels:
                raise UserError(
                    f"{name} has {tokens.shape[1]} channels, expected {embed.in_channels}: give "
                    f"--model.network.{name}_dim={tokens.shape[1]}"
                )
        fused = self.fusion(self.embed_rgb(rgb), self.embed_depth(depth))
        return self.head(self.norm(fused.movedim(1, -1)).movedim(-1, 1))
