"""What every fusion is: two token streams or feature maps in, one out."""

import inspect
from typing import Any, ClassVar

from torch import Tensor, nn

from mutualformer.check_options import check_integer, check_probability, is_number
from mutualformer.errors import UserError
from mutualformer.layers import BranchDropout


class Fusion(nn.Module):
    """Fuse two aligned modalities into one stream; the base class, also of fusions of your own.

    A subclass takes the token width and then its own options, and implements :meth:`fuse`. The
    network builds one of it per stage, given the class by its path or short name.

    Attributes:
        modalities: the streams that it reads; a network has no encoder for another one.
        rewrites_streams: whether it can hand both streams on, rewritten, to the next stage of the
            encoders; it implements :meth:`fuse_and_rewrite` then.
        rewrites_in_paper: whether its paper does so, so that without feedback it is weaker.
        settings: class path and options that it was built with.

    >>> class Mean(Fusion):
    ...     def __init__(self, dim: int, weight: float = 0.5):
    ...         super().__init__()
    ...         self.weight = weight
    ...     def fuse(self, tokens_rgb, tokens_depth, spatial_size):
    ...         return self.weight * tokens_rgb + (1 - self.weight) * tokens_depth
    >>> import torch
    >>> Mean(32, 0.3)(torch.randn(2, 32, 7, 7), torch.randn(2, 32, 7, 7)).shape
    torch.Size([2, 32, 7, 7])
    >>> Mean(32, 0.3).settings["init_args"]
    {'weight': 0.3}
    """

    modalities: ClassVar[tuple[str, ...]] = ("rgb", "depth")
    rewrites_streams: bool = False
    rewrites_in_paper: ClassVar[bool] = False
    settings: dict[str, Any]

    def __new__(cls, *arguments: Any, **options: Any) -> "Fusion":
        """Note the options, so that no subclass has to."""
        fusion = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(fusion, *arguments, **options)  # a copy is made of none
        if "dim" in bound.arguments:
            check_integer("dim", bound.arguments["dim"], 1)
        bound.apply_defaults()
        of_any_name = [name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD]
        init_args = dict(list(bound.arguments.items())[2:])  # without self and dim
        for name in of_any_name:
            init_args |= init_args.pop(name, {})
        settings = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": init_args}
        object.__setattr__(fusion, "settings", settings)
        return fusion

    def forward(
        self,
        tokens_rgb: Tensor | None,
        tokens_depth: Tensor | None,
        spatial_size: tuple[int, int] | None = None,
        return_streams: bool = False,
        **streams: Tensor,
    ) -> Any:
        """Fuse two token streams, or two feature maps, to one.

        Args:
            tokens_rgb: X_r, tokens `(B, N, C)` or a feature map `(B, C, H, W)`; ``None`` if the
                fusion does not read it.
            tokens_depth: X_d, likewise.
            spatial_size: (height, width) of the grid of tokens; needed only where a kernel is
                larger than 1, and known of a feature map.
            return_streams: also return the streams that go on, of a fusion that rewrites them.
            streams: further streams of a fusion that has any.

        Returns:
            P, of the shape of what was given; or P, X'_r and X'_d.

        Raises:
            ValueError: streams are missing or differ in shape, or it rewrites none.
        """
        given = {"rgb": tokens_rgb, "depth": tokens_depth}
        read = {f"tokens_{name}": given[name] for name in self.modalities} | streams
        shapes = {name: None if x is None else tuple(x.shape) for name, x in read.items()}
        shape = next(iter(shapes.values()))
        # Compared one by one, as sizes that a graph leaves open have no hash.
        differ = any(other != shape for other in shapes.values())
        if shape is None or len(shape) not in (3, 4) or differ:
            got = " and ".join(f"{name} is {size}" for name, size in shapes.items())
            raise UserError(f"{got}; expected (B, N, C) or (B, C, H, W), the same for each")
        fuse: Any = self.fuse_and_rewrite if return_streams else self.fuse
        if len(shape) == 3:
            return fuse(tokens_rgb, tokens_depth, spatial_size, **streams)
        grid = (shape[2], shape[3])
        rgb, depth = (None if x is None else x.flatten(2).mT for x in (tokens_rgb, tokens_depth))
        others = {name: x.flatten(2).mT for name, x in streams.items()}
        fused = fuse(rgb, depth, grid, **others)
        if return_streams:
            return tuple(x.mT.unflatten(-1, grid) for x in fused)
        return fused.mT.unflatten(-1, grid)

    def fuse(self, tokens_rgb: Any, tokens_depth: Any, spatial_size: Any) -> Tensor:
        """Map X_r and X_d, `(B, N, C)`, to P `(B, N, C)`; arguments as in :meth:`forward`."""
        if not self.rewrites_streams:
            raise NotImplementedError
        return self.fuse_and_rewrite(tokens_rgb, tokens_depth, spatial_size)[0]

    def fuse_and_rewrite(
        self, tokens_rgb: Any, tokens_depth: Any, spatial_size: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d to P and the streams X'_r and X'_d that go on in the encoders."""
        raise UserError(
            f"{type(self).__name__} rewrites no streams that could go on in the encoders"
        )

    def auxiliary_loss(self) -> Tensor | float:
        """Return what the last forward pass adds to the loss in training; most fusions, nothing."""
        return 0.0


class FeedForward(nn.Sequential):
    """Apply two linear layers with GELU between them, token by token.

    Args:
        dim: token width C.
        mlp_ratio: hidden width as a multiple of C.
        dropout: probability of zeroing a feature after either layer.

    >>> import torch
    >>> FeedForward(32)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int, mlp_ratio: float = 4.0, dropout: float = 0.0) -> None:
        if not is_number(mlp_ratio) or dim * mlp_ratio < 1:
            raise UserError(f"mlp_ratio is {mlp_ratio!r}, expected {dim} * mlp_ratio >= 1")
        check_probability("dropout", dropout)
        hidden_dim = int(dim * mlp_ratio)
        super().__init__(
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
            nn.Dropout(dropout),
        )


class MixingFusion(Fusion):
    """Mix the streams, then feed forward: P' = mixing(X_r, X_d), P = P' + FFN(LN(P')).

    Args:
        mixing: module called with (tokens_rgb, tokens_depth, spatial_size), each stream
            `(B, N, C)`, returning P' `(B, N, C)` with its residual path included.
        dim: token width C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        dropout: dropout inside the FFN.
        drop_path: probability of leaving out the FFN for a whole sample in training (stochastic
            depth).
    """

    def __init__(
        self, mixing: nn.Module, dim: int, *, mlp_ratio: float, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.mixing = mixing
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)
        self.drop = BranchDropout(drop_path=drop_path)

    def fuse(
        self,
        tokens_rgb: Tensor | None,
        tokens_depth: Tensor | None,
        spatial_size: tuple[int, int] | None,
        **streams: Tensor,
    ) -> Tensor:
        """Map X_r and X_d, `(B, N, C)`, to P `(B, N, C)`."""
        return self.feed(self.mixing(tokens_rgb, tokens_depth, spatial_size, **streams))

    def feed(self, fused: Tensor) -> Tensor:
        """Map P' to P, `(B, N, C)`."""
        return fused + self.drop(self.feed_forward(self.norm(fused)))
