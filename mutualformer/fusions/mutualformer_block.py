"""The MutualFormer block: two token streams in, one fused stream out."""

from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.fusions.fusion_block import FusionBlock
from mutualformer.layers.aggregation import ConcatResidual, TokenConvolution
from mutualformer.layers.attention import CrossDiffusionAttention
from mutualformer.ops.cross_diffusion.cross_diffusion import (
    Affinity,
    Backend,
    InitialAffinity,
    NumIterations,
    check_cross_diffusion_options,
)
from mutualformer.release.release_mixing import ReleaseMixing
from mutualformer.release.weights import convert_release_state_dict

Variant = Literal["paper", "release"]


class MutualFormerMixing(nn.Module):
    """Mix two token streams as the paper does, up to P'.

        M_r, M_d, M_rd, M_dr = cross-diffusion attention of LN(X_r), LN(X_d)
        H_r = f_r(M_r ‖ M_rd),   H_d = f_d(M_d ‖ M_dr)
        P'  = g(H_r ‖ H_d) + h(X_r ‖ X_d)

    Args:
        attention: cross-diffusion attention over tokens of width C.
        dim: token width C.
        kernel_size, dropout, drop_path: as in :class:`MutualFormerBlock`.
    """

    def __init__(
        self,
        attention: CrossDiffusionAttention,
        dim: int,
        *,
        kernel_size: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm_rgb = nn.LayerNorm(dim)
        self.norm_depth = nn.LayerNorm(dim)
        self.attention = attention
        self.f_rgb = TokenConvolution(2 * dim, dim, kernel_size)
        self.f_depth = TokenConvolution(2 * dim, dim, kernel_size)
        self.join = ConcatResidual(
            dim, kernel_size=kernel_size, dropout=dropout, drop_path=drop_path
        )

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended = self.attention(self.norm_rgb(tokens_rgb), self.norm_depth(tokens_depth))
        joined_rgb = self.f_rgb(attended.rgb, attended.rgb_from_depth, spatial_size=spatial_size)
        joined_depth = self.f_depth(
            attended.depth, attended.depth_from_rgb, spatial_size=spatial_size
        )
        return self.join(joined_rgb, joined_depth, tokens_rgb, tokens_depth, spatial_size)


class MutualFormerBlock(FusionBlock):
    """Fuse two aligned token streams by cross-diffusion attention.

        M_r, M_d, M_rd, M_dr = cross-diffusion attention of LN(X_r), LN(X_d)
        P' = g(f_r(M_r ‖ M_rd) ‖ f_d(M_d ‖ M_dr)) + h(X_r ‖ X_d)
        P  = P' + FFN(LN(P'))

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        epsilon: strength ε of the diffusion, 0 <= ε < 1; .6 as in the authors' code.
        num_iterations: number T of diffusion steps, >= 0, or ``"inf"``; 1 as in the paper.
        initial_affinity: ``"identity"`` (paper), ``"average"`` or ``"cross"``.
        affinity: ``"softmax"`` (paper) or ``"symmetric"``.
        attention_dropout: probability of hiding a token's value from both modalities in training.
        variant: ``"paper"``, or ``"release"`` for the formula of the authors' code, which has a
            third token stream, no recurrence and no choice of affinity or kernel.
        mlp_ratio: hidden width of the FFN as a multiple of C. Not published; 4 as in the release.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size: kernel of the convolutions f_r, f_d, g and h, in tokens.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a whole branch for a sample in training (stochastic
            depth).
        backend: how cross-diffusion is computed; see :func:`mutualformer.cross_diffusion`.

    Raises:
        ValueError: C is not a multiple of H; an option outside its range; an option that the
            variant does not have.

    Source: MutualFormer, arXiv 2112.01177; ``variant="release"``: the authors' code.

    >>> import torch
    >>> block = MutualFormerBlock(32, 4)
    >>> block(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        epsilon: float = 0.6,
        num_iterations: NumIterations = 1,
        initial_affinity: InitialAffinity = "identity",
        affinity: Affinity = "softmax",
        attention_dropout: float = 0.0,
        variant: Variant = "paper",
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        kernel_size: int = 1,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        backend: Backend = "auto",
    ) -> None:
        check_cross_diffusion_options(
            epsilon, num_iterations, initial_affinity, affinity, backend, attention_dropout
        )
        mixing: nn.Module
        if variant == "paper":
            attention = CrossDiffusionAttention(
                dim,
                num_heads,
                epsilon=epsilon,
                num_iterations=num_iterations,
                initial_affinity=initial_affinity,
                affinity=affinity,
                attention_dropout=attention_dropout,
                qkv_bias=qkv_bias,
                backend=backend,
            )
            mixing = MutualFormerMixing(
                attention, dim, kernel_size=kernel_size, dropout=dropout, drop_path=drop_path
            )
        elif variant == "release":
            _check_release_options(
                num_iterations, initial_affinity, affinity, attention_dropout, kernel_size
            )
            mixing = ReleaseMixing(
                dim,
                num_heads,
                epsilon=epsilon,
                qkv_bias=qkv_bias,
                dropout=dropout,
                drop_path=drop_path,
            )
        else:
            raise UserError(f"variant is {variant!r}, expected one of {get_args(Variant)}")
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, dropout=dropout, drop_path=drop_path)
        self.variant = variant

    @classmethod
    def from_release(
        cls, state_dict: Mapping[str, Tensor], num_heads: int, *, epsilon: float = 0.6
    ) -> "MutualFormerBlock":
        """Build a block with the weights of one block of the authors' release.

        Args:
            state_dict: the block's parameters under the authors' names. Widths, FFN ratio and
                biases are read off their shapes.
            num_heads: number of heads H, which no parameter shows.
            epsilon: strength ε; .6 in the release.

        Returns:
            A ``variant="release"`` block in training mode, in float32.

        Raises:
            ValueError: a parameter is missing, unknown, or has a shape that does not fit.
        """
        converted = convert_release_state_dict(state_dict)
        hidden_dim, dim = state_dict["mlp.fc1.weight"].shape
        block = cls(
            dim,
            num_heads,
            epsilon=epsilon,
            variant="release",
            mlp_ratio=hidden_dim / dim,
            qkv_bias="attn.qkv.bias" in state_dict,
        )
        try:
            block.load_state_dict(converted)
        except RuntimeError as error:
            raise UserError(f"the released parameters do not fit together: {error}") from error
        return block

    def forward(
        self,
        tokens_rgb: Tensor,
        tokens_depth: Tensor,
        spatial_size: tuple[int, int] | None = None,
        *,
        tokens_fused: Tensor | None = None,
    ) -> Tensor:
        """Fuse `(B, N, C)` and `(B, N, C)` to `(B, N, C)`.

        Args:
            tokens_rgb: X_r, `(B, N, C)`.
            tokens_depth: X_d, `(B, N, C)`.
            spatial_size: (height, width) of the token grid; needed only if ``kernel_size`` > 1.
            tokens_fused: X_f, `(B, N, C)`, the third stream of ``variant="release"``. Where it
                comes from is not published; when not given, it is ½ (X_r + X_d), our assumption.

        Returns:
            P, `(B, N, C)`.

        Raises:
            ValueError: the streams differ in shape, or the paper's block got a third one.
        """
        if tokens_rgb.shape != tokens_depth.shape or tokens_rgb.dim() != 3:
            raise UserError(
                f"tokens_rgb is {tuple(tokens_rgb.shape)} and tokens_depth is "
                f"{tuple(tokens_depth.shape)}; expected (B, N, C) twice"
            )
        if self.variant == "paper":
            if tokens_fused is not None:
                raise UserError("tokens_fused was given; only variant='release' has that stream")
            return super().forward(tokens_rgb, tokens_depth, spatial_size)
        if tokens_fused is None:
            tokens_fused = 0.5 * (tokens_rgb + tokens_depth)
        return self._feed_forward(self.mixing(tokens_rgb, tokens_depth, tokens_fused))


def _check_release_options(
    num_iterations: NumIterations,
    initial_affinity: str,
    affinity: str,
    attention_dropout: float,
    kernel_size: int,
) -> None:
    for name, value, only in (
        ("num_iterations", num_iterations, 1),
        ("initial_affinity", initial_affinity, "identity"),
        ("affinity", affinity, "softmax"),
        ("attention_dropout", attention_dropout, 0),
        ("kernel_size", kernel_size, 1),
    ):
        if value != only:
            raise UserError(
                f"{name} is {value!r}, but variant='release' has only {only!r}; "
                "use variant='paper' to change it"
            )
