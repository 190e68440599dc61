"""The MutualFormer block: two token streams in, one fused stream out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from torch import Tensor, nn

from mutualformer.check_options import check_probability
from mutualformer.errors import UserError
from mutualformer.fusions.base import MixingFusion
from mutualformer.fusions.mutualformer_mixing import MutualFormerMixing, check_parts
from mutualformer.layers import CrossDiffusionAttention
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions
from mutualformer.release import ReleaseMixing, read_release

Variant = Literal["paper", "release"]


class MutualFormerBlock(MixingFusion):
    """Fuse two aligned token streams by cross-diffusion attention.

        M_r, M_d, M_rd, M_dr = cross-diffusion attention of LN(X_r), LN(X_d)
        P' = g(f_r(M_r ‖ M_rd) ‖ f_d(M_d ‖ M_dr)) + h(X_r ‖ X_d)
        P  = P' + FFN(LN(P'))

    Where a network feeds streams back, X'_m = X_m + H_m with H_m = f_m(…) go on: an option of ours,
    which the paper does not have.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        variant: ``"paper"``, or ``"release"`` for the formula of the authors' code, which has a
            third token stream, no recurrence and no choice of affinity or kernel.
        mlp_ratio: hidden width of the FFN as a multiple of C. Not published; 4 as in the release.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size: kernel of the convolutions f_r, f_d, g and h, in tokens; odd.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a whole branch for a sample in training (stochastic
            depth).
        attention_dropout: probability of hiding a token's value from both modalities in training.
        without: parts that are taken out, to ask which of them are redundant: ``"self_attention"``
            (M_r, M_d), ``"rgb_from_depth"`` (M_rd), ``"depth_from_rgb"`` (M_dr),
            ``"feed_forward"``; of the convolutions ``"f"``, ``"g"`` and ``"h"``, the sum of their
            inputs takes the place.
        options: ``epsilon``, ``num_iterations``, ``initial_affinity``, ``affinity`` and
            ``backend``, as in :class:`mutualformer.ops.CrossDiffusionOptions`.

    Raises:
        ValueError: C is not a multiple of H; an option is outside its range, or none of the
            variant.

    Source: MutualFormer, arXiv 2112.01177; ``variant="release"``: the authors' code.

    >>> import torch
    >>> block = MutualFormerBlock(32, 4, epsilon=0.6, num_iterations=1)
    >>> block(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        *,
        variant: Variant = "paper",
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        kernel_size: int = 1,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        attention_dropout: float = 0.0,
        without: Sequence[str] = (),
        **options: Any,
    ) -> None:
        check_probability("attention_dropout", attention_dropout)
        check_parts(without)
        if without and variant != "paper":
            raise UserError(f"without is {list(without)}; only variant='paper' has these parts")
        diffusion = CrossDiffusionOptions(dropout_p=attention_dropout, **options)
        branch: dict[str, Any] = {
            "kernel_size": kernel_size,
            "dropout": dropout,
            "drop_path": drop_path,
        }
        mixing: nn.Module
        if variant == "paper":
            attention = CrossDiffusionAttention(dim, num_heads, diffusion, qkv_bias=qkv_bias)
            mixing = MutualFormerMixing(attention, dim, without=without, **branch)
        elif variant == "release":
            mixing = ReleaseMixing(dim, num_heads, diffusion, qkv_bias=qkv_bias, **branch)
        else:
            raise UserError(
                f"variant is {variant!r}, expected one of {', '.join(get_args(Variant))}"
            )
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, dropout=dropout, drop_path=drop_path)
        if "feed_forward" in without:
            del self.norm, self.feed_forward
        self.without = tuple(without)
        self.variant = variant
        self.rewrites_streams = variant == "paper"
        stated = {name: x for name, x in asdict(diffusion).items() if name != "dropout_p"}
        self.settings["init_args"].update(stated, without=list(without))

    def feed(self, fused: Tensor) -> Tensor:
        """Map P' to P, `(B, N, C)`."""
        return fused if "feed_forward" in self.without else super().feed(fused)

    @classmethod
    def from_release(
        cls, state_dict: Mapping[str, Tensor], num_heads: int, *, epsilon: float | None = None
    ) -> "MutualFormerBlock":
        """Build a block with the weights of one block of the authors' release.

        Args:
            state_dict: the block's parameters under the authors' names. Widths, FFN ratio and
                biases are read off their shapes.
            num_heads: number of heads H, which no parameter shows.
            epsilon: strength ε, if it is not that of the release, the default.

        Returns:
            A ``variant="release"`` block in training mode, in float32.

        Raises:
            ValueError: a parameter is missing, unknown, or has a shape that does not fit.
        """
        converted, options = read_release(state_dict)
        if epsilon is not None:
            options["epsilon"] = epsilon
        block = cls(num_heads=num_heads, variant="release", **options)
        try:
            block.load_state_dict(converted)
        except RuntimeError as error:
            raise UserError(f"the released parameters do not fit together: {error}") from error
        return block

    def forward(
        self,
        tokens_rgb: Tensor | None,
        tokens_depth: Tensor | None,
        spatial_size: tuple[int, int] | None = None,
        return_streams: bool = False,
        **streams: Tensor,
    ) -> Any:
        """Fuse two token streams, or two feature maps, to one; arguments as in :class:`Fusion`.

        ``tokens_fused`` is X_f, the third stream of ``variant="release"``. Where it comes from is
        not published; when not given, it is ½ (X_r + X_d), our assumption.
        """
        if streams and self.variant == "paper":
            raise UserError(
                f"{', '.join(streams)} was given; only variant='release' has that stream"
            )
        return super().forward(
            tokens_rgb, tokens_depth, spatial_size, return_streams=return_streams, **streams
        )

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P, X_r + H_r and X_d + H_d."""
        if not isinstance(self.mixing, MutualFormerMixing):
            return super().fuse_and_rewrite(tokens_rgb, tokens_depth, spatial_size)
        pair = (tokens_rgb, tokens_depth)
        attended = self.mixing.attend(*pair, spatial_size)
        fused = self.feed(self.mixing.join(*attended, *pair, spatial_size))
        return fused, tokens_rgb + attended[0], tokens_depth + attended[1]
