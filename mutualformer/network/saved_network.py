"""Build a network from what was saved of it, without running code of whoever saved it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from mutualformer import __version__
from mutualformer.errors import UserError
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network.pretrained import (
    describe_mismatch,
    find_pretrained,
    read_config,
    read_weights,
)

Network = TypeVar("Network", bound="SavedNetwork")


class SavedNetwork(nn.Module):
    """A network that can be built from its ``settings``, to which weights belong.

    Attributes:
        settings: the arguments but for ``encoder_weights``, in types of JSON.
    """

    settings: dict[str, Any]

    @classmethod
    def from_settings(cls: type[Network], settings: Mapping[str, Any]) -> Network:
        """Build a network, with random weights, from its ``settings``, whoever wrote them.

        Raises:
            ValueError: one is unknown, or has a wrong type or value.
        """
        try:
            fusion = read_fusion(settings.get("fusion", "mutualformer"))
            return cls(**{**settings, "fusion": fusion}, encoder_weights=None)
        except Exception as error:  # a value of a wrong type fails wherever it is used first
            reason = str(error).replace(f"{cls.__name__}.__init__()", "the network")
            raise UserError(f"these settings make no network: {reason}") from error

    @classmethod
    def from_pretrained(
        cls: type[Network], source: str | Path, revision: str | None = None
    ) -> Network:
        """Load a network that ``mutualformer export`` or :meth:`save_pretrained` wrote.

        No code in the files is executed, whoever wrote them, and no other weights are downloaded.

        Args:
            source: a folder; or ``owner/name`` of a repository on the Hugging Face hub, if there is
                no such folder. A ``Path`` is always a folder, and a folder needs no network.
            revision: branch, tag or commit of the repository.

        Returns:
            The network in evaluation mode, on the CPU.

        Raises:
            ValueError: nothing is found there, files are damaged or foreign, a newer version wrote
                them, or weights and settings do not fit together.
        """
        config_path, weights_path = find_pretrained(source, revision)
        config = read_config(config_path, cls.__name__, __version__)
        try:
            network = cls.from_settings(config["network"])
        except ValueError as error:
            raise UserError(f"{config_path}: {error}") from error
        state = read_weights(weights_path)
        mismatch = describe_mismatch(state, network.state_dict())
        if mismatch:
            raise UserError(
                f"{weights_path} does not fit the settings in {config_path}: of its parameters, "
                f"{mismatch}. Keep the two files together as they were exported"
            )
        network.load_state_dict(state)
        return network.eval()
