"""The mixing half of the MutualFormer block, and its parts."""

from collections.abc import Sequence

from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.layers import ConcatResidual, CrossDiffusionAttention, TokenConvolution
from mutualformer.layers.aggregation import TokenSum

PARTS = ("self_attention", "rgb_from_depth", "depth_from_rgb", "f", "g", "h", "feed_forward")
"""What can be taken out of the block."""


class MutualFormerMixing(nn.Module):
    """Mix two token streams as the paper does, up to P'.

        M_r, M_d, M_rd, M_dr = cross-diffusion attention of LN(X_r), LN(X_d)
        H_r = f_r(M_r ‖ M_rd),   H_d = f_d(M_d ‖ M_dr)
        P'  = g(H_r ‖ H_d) + h(X_r ‖ X_d)

    Args:
        attention: cross-diffusion attention over tokens of width C.
        dim: token width C.
        kernel_size, dropout, drop_path, without: as in :class:`MutualFormerBlock`.
    """

    def __init__(
        self,
        attention: CrossDiffusionAttention,
        dim: int,
        *,
        kernel_size: int,
        dropout: float,
        drop_path: float,
        without: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.without = frozenset(without)
        self.norm_rgb = nn.LayerNorm(dim)
        self.norm_depth = nn.LayerNorm(dim)
        self.attention = attention
        self.f_rgb = self._f("rgb_from_depth", dim, kernel_size)
        self.f_depth = self._f("depth_from_rgb", dim, kernel_size)
        self.join = ConcatResidual(
            dim, kernel_size=kernel_size, dropout=dropout, drop_path=drop_path
        )
        for name in ("g", "h"):
            if name in self.without:
                setattr(self.join, name, TokenSum())

    def _f(self, across: str, dim: int, kernel_size: int) -> nn.Module:
        num_streams = len({"self_attention", across} - self.without)
        if num_streams == 0:
            raise UserError(
                f"without is {sorted(self.without)}, which leaves nothing of a modality's "
                f"attention: keep one of self_attention and {across}"
            )
        return (
            TokenSum()
            if "f" in self.without
            else TokenConvolution(num_streams * dim, dim, kernel_size)
        )

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended = self.attend(tokens_rgb, tokens_depth, spatial_size)
        return self.join(*attended, tokens_rgb, tokens_depth, spatial_size)

    def attend(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor]:
        """Map X_r, X_d, each `(B, N, C)`, to H_r, H_d of the same shape."""
        attended = self.attention(self.norm_rgb(tokens_rgb), self.norm_depth(tokens_depth))
        rgb = {"self_attention": attended.rgb, "rgb_from_depth": attended.rgb_from_depth}
        depth = {"self_attention": attended.depth, "depth_from_rgb": attended.depth_from_rgb}
        kept_rgb, kept_depth = (
            [stream for name, stream in streams.items() if name not in self.without]
            for streams in (rgb, depth)
        )
        return (
            self.f_rgb(*kept_rgb, spatial_size=spatial_size),
            self.f_depth(*kept_depth, spatial_size=spatial_size),
        )


def check_parts(without: Sequence[str]) -> None:
    """Raise ``UserError`` for parts that the block does not have."""
    parts = without if isinstance(without, Sequence) and not isinstance(without, str) else [None]
    if any(part not in PARTS for part in parts) or len(set(parts)) < len(parts):
        raise UserError(
            f"without is {without!r}, expected a list of different parts, of {', '.join(PARTS)}"
        )
