"""Which sizes of images an encoder takes: timm has some whose windows fit one size alone."""

import math
from dataclasses import dataclass

import timm
import torch
from torch import nn

from mutualformer.errors import UserError

COARSEST_STRIDE = 32


@dataclass(frozen=True)
class InputSizes:
    """What heights and widths an encoder takes.

    Attributes:
        multiple: of which both must be multiples.
        largest: the one height and width that it takes, if it is one alone.
    """

    multiple: int = COARSEST_STRIDE
    largest: int | None = None

    def padded(self, size: tuple[int, int], encoder_name: str) -> tuple[int, int]:
        """Return the size to which images of a size `(height, width)` are to be padded.

        Raises:
            UserError: they are larger than what the encoder takes.

        >>> InputSizes().padded((352, 50), "mit_b2"), InputSizes(224, 224).padded((64, 200), "")
        ((352, 64), (224, 224))
        """
        if self.largest is not None and max(size) > self.largest:
            raise UserError(
                f"images are of {size[0]} × {size[1]} pixels (height × width), expected at most "
                f"{self.largest} × {self.largest} with encoder {encoder_name!r}: lower "
                "--data.image_size, or choose another encoder"
            )
        height, width = (math.ceil(length / self.multiple) * self.multiple for length in size)
        return height, width


def find_input_sizes(encoder: nn.Module, encoder_name: str) -> InputSizes:
    """Try out what an encoder takes, without computing anything.

    Args:
        encoder: with its parameters on the meta device.
        encoder_name: its name; one that is not of timm takes every multiple of 32.
    """
    native = native_size(encoder_name)
    if native is None or _takes(encoder, 3 * COARSEST_STRIDE, 2 * COARSEST_STRIDE):
        return InputSizes()
    return InputSizes(native, None if _takes(encoder, 2 * native, native) else native)


def native_size(encoder_name: str) -> int | None:
    """Return the size of images that a timm encoder was made for; None if others serve as well.

    >>> native_size("tu-maxvit_tiny_tf_224"), native_size("tu-resnet18"), native_size("resnet18")
    (224, None, None)
    """
    if not encoder_name.startswith("tu-"):
        return None
    config = timm.models.get_pretrained_cfg(encoder_name[3:])
    return config.input_size[-1] if config is not None and config.fixed_input_size else None


@torch.no_grad()
def _takes(encoder: nn.Module, height: int, width: int) -> bool:
    training = encoder.training
    try:
        encoder.eval()(torch.empty(1, 3, height, width, device="meta"))
    except Exception:  # an assertion, or an operator's complaint about shapes
        return False
    finally:
        encoder.train(training)
    return True
