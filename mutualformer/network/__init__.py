"""Networks around the fusions: encoders and decoders, or next to nothing."""

from mutualformer.network.mutualformer_network import MutualFormerNetwork
from mutualformer.network.token_network import TokenNetwork

__all__ = ["MutualFormerNetwork", "TokenNetwork"]
