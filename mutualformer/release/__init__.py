"""The block that the authors released, which differs from the paper's."""

from mutualformer.release.release_mixing import ReleaseMixing
from mutualformer.release.weights import read_release

__all__ = ["ReleaseMixing", "read_release"]
