"""Fusions of two token streams into one, behind one interface."""

from typing import TYPE_CHECKING

from mutualformer.lazy import lazy_names

if TYPE_CHECKING:
    from mutualformer.fusions.base import Fusion, MixingFusion
    from mutualformer.fusions.bottleneck import Bottleneck
    from mutualformer.fusions.cmx import CMX
    from mutualformer.fusions.concat import Concat
    from mutualformer.fusions.cross_attention import CrossAttention
    from mutualformer.fusions.gated_sum import GatedSum
    from mutualformer.fusions.gemini import Gemini
    from mutualformer.fusions.mutualformer_block import MutualFormerBlock
    from mutualformer.fusions.sa_gate import SAGate
    from mutualformer.fusions.single import DepthOnly, RGBOnly
    from mutualformer.fusions.sum import Sum
    from mutualformer.fusions.token_exchange import TokenExchange
    from mutualformer.fusions.view_mixed import ViewMixed

__all__ = [
    "Bottleneck",
    "CMX",
    "Concat",
    "CrossAttention",
    "DepthOnly",
    "Fusion",
    "GatedSum",
    "Gemini",
    "MixingFusion",
    "MutualFormerBlock",
    "RGBOnly",
    "SAGate",
    "Sum",
    "TokenExchange",
    "ViewMixed",
]

FUSIONS = {
    "mutualformer": "mutualformer.fusions.mutualformer_block.MutualFormerBlock",
    "concat": "mutualformer.fusions.concat.Concat",
    "cross_attention": "mutualformer.fusions.cross_attention.CrossAttention",
    "sum": "mutualformer.fusions.sum.Sum",
    "rgb": "mutualformer.fusions.single.RGBOnly",
    "depth": "mutualformer.fusions.single.DepthOnly",
    "gated_sum": "mutualformer.fusions.gated_sum.GatedSum",
    "cmx": "mutualformer.fusions.cmx.CMX",
    "sa_gate": "mutualformer.fusions.sa_gate.SAGate",
    "gemini": "mutualformer.fusions.gemini.Gemini",
    "bottleneck": "mutualformer.fusions.bottleneck.Bottleneck",
    "token_exchange": "mutualformer.fusions.token_exchange.TokenExchange",
    "view_mixed": "mutualformer.fusions.view_mixed.ViewMixed",
}
"""Class path by the short name that YAML, flags, sweeps and tables use."""

_MODULES = {path.rpartition(".")[2]: path.rpartition(".")[0] for path in FUSIONS.values()}
_BASES = dict.fromkeys(("Fusion", "MixingFusion"), "mutualformer.fusions.base")

__getattr__ = lazy_names(__name__, _MODULES | _BASES)
