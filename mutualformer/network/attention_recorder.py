"""What chosen tokens attend to, of queries and keys that are heard while a network computes."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mutualformer.errors import UserError
from mutualformer.layers.attention import CrossDiffusionAttention
from mutualformer.ops import affinity_rows
from mutualformer.ops.cross_diffusion.options import NumIterations


class AttentionRecorder:
    """Keep the queries and keys of one cross-diffusion attention in the latest forward pass.

    Hooks listen, because a pass of its own would hang where the network is sharded.

    Args:
        network: a :class:`.MutualFormerNetwork`, see :func:`attention_by_stride`.
        stride: whose attention; by default the smallest that has one, which has the most tokens.

    Attributes:
        attention: the layer.
        stride: side of its tokens in pixels.
        is_listening: set it to False to hear, and keep, nothing.

    Raises:
        UserError: there is no cross-diffusion attention, or none at ``stride``.
    """

    def __init__(self, network: nn.Module, stride: int | None = None) -> None:
        found = attention_by_stride(network)
        if not found:
            raise UserError(
                "the network has no cross-diffusion attention, expected a MutualFormerNetwork "
                "with the fusion mutualformer, variant paper"
            )
        if stride not in (None, *found):
            raise UserError(
                f"stride is {stride}, expected a stride with cross-diffusion attention: "
                f"{', '.join(map(str, sorted(found)))}"
            )
        self.stride = min(found) if stride is None else stride
        block, self.attention = found[self.stride]
        self.is_listening = True
        self._heard: dict[str, Any] = {}
        self._hooks: list[RemovableHandle] = [
            block.register_forward_pre_hook(lambda _, inputs: self._hear("grid", inputs[2])),
            self.attention.qkv_rgb.register_forward_hook(
                lambda _, inputs, output: self._hear("rgb", output)
            ),
            self.attention.qkv_depth.register_forward_hook(
                lambda _, inputs, output: self._hear("depth", output)
            ),
        ]

    @property
    def has_heard(self) -> bool:
        """Whether there was a forward pass since the last :meth:`forget`."""
        return bool(self._heard)

    def forget(self) -> None:
        """Let go of what was heard."""
        self._heard = {}

    def stop(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self.forget()

    def affinities(
        self,
        index: int,
        pixels: Sequence[tuple[int, int]],
        num_iterations: NumIterations | None = None,
    ) -> Tensor:
        """Return rows of S_r, S_d, S_rd^(T) and S_dr^(T), averaged over heads.

        Args:
            index: of the image in its batch.
            pixels: (row, column) of K pixels of the network's input; the rows are of the tokens
                that they lie in.
            num_iterations: T, an integer or ``"inf"``; by default that of the network.

        Returns:
            float32 `(4, K, h, w)`, on the grid of tokens, which may reach beyond the image.
        """
        height, width = self._heard["grid"]
        query_rgb, key_rgb, _ = (tensor[index] for tensor in self._heard["rgb"])
        query_depth, key_depth, _ = (tensor[index] for tensor in self._heard["depth"])
        options = replace(self.attention.options, dropout_p=0.0, backend="auto")
        if num_iterations is not None:
            options = replace(options, num_iterations=num_iterations)
        rows = affinity_rows(
            query_rgb,
            key_rgb,
            query_depth,
            key_depth,
            [y // self.stride * width + x // self.stride for y, x in pixels],
            **asdict(options),
        )
        # Heads come first: H K N, to K N, to K h w.
        return torch.stack([row.mean(0).unflatten(-1, (height, width)) for row in rows]).cpu()

    def _hear(self, name: str, value: Any) -> None:
        if self.is_listening:
            self._heard[name] = value


def attention_by_stride(network: nn.Module) -> dict[int, tuple[nn.Module, CrossDiffusionAttention]]:
    """Find the fusions of a :class:`.MutualFormerNetwork` that have cross-diffusion attention.

    Returns:
        The fusion and its attention by stride; nothing for another network, or other fusions.
    """
    return {
        2 ** int(level): (block, layer)
        for level, block in getattr(network, "blocks", {}).items()
        for layer in block.modules()
        if isinstance(layer, CrossDiffusionAttention)
    }
