"""Training, scoring and the command line around :mod:`mutualformer`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.saliency_module import SaliencyModule

__all__ = ["SaliencyModule"]


def __getattr__(name: str) -> object:
    # Late, so that the command's --help and --version do not wait seconds for torch.
    if name == "SaliencyModule":
        from lightning_modules.saliency_module import SaliencyModule

        return SaliencyModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
