"""Layers that normalise by the statistics of a batch, where it has none."""

from collections.abc import Iterator
from contextlib import contextmanager

from mutualformer.errors import UserError


@contextmanager
def enough_values() -> Iterator[None]:
    """Name the settings where torch cannot take mean and variance, of a single value.

    Raises:
        UserError: a layer for batch, instance or group normalisation sees one value per channel.
    """
    try:
        yield
    except ValueError as error:
        said = isinstance(error, UserError)  # by a loss within another
        if said or "more than 1 " not in str(error):  # value per channel, or spatial element
            raise
        raise UserError(
            f"{' '.join(str(error).split())}: a normalisation layer of the network sees one value "
            "per channel. Raise --data.batch_size or --data.image_size, or choose another "
            "--model.network.decoder_name or encoder"
        ) from error
