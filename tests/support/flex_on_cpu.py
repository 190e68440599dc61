"""Let torch's FlexAttention be differentiated on a CPU, which torch refuses.

Its eager form, which forms S, has gradients; what stands before it is a check of the device alone.
The products are traced by torch's compiler as on a GPU, but not compiled any further.
"""

import pytest
from torch.nn.attention import flex_attention as of_torch

from mutualformer.ops.cross_diffusion import backends, differentiable


def _refuse_nothing(*_: object) -> None:
    """Stand for both checks; always the same object, or the compiler would begin anew."""


def allow_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take both checks out of the way: torch's, and ours, which says what torch would."""
    monkeypatch.setattr(of_torch, "_validate_device", _refuse_nothing)
    monkeypatch.setattr(backends, "_refusal_of_flex", _refuse_nothing)


def allow_whole_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one graph of torch.compile hold the composition, as on a GPU."""
    monkeypatch.setattr(differentiable, "forward_uncompiled", differentiable.forward)
