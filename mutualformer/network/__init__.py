"""The network around the fusions: encoders, decoder, trained weights."""

from mutualformer.network.mutualformer_network import MutualFormerNetwork

__all__ = ["MutualFormerNetwork"]
