"""The options of cross-diffusion, and what it reads: one object each, from YAML to operator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mutualformer.check_options import check_probability, is_number
from mutualformer.errors import UserError
from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import Pair

InitialAffinity = Literal["identity", "average", "cross"]
Affinity = Literal["softmax", "symmetric"]
NumIterations = int | Literal["inf"]
Backend = Literal["auto", "dense", "matrix_free", "flex", "triton"]


class QueryKeyValue(NamedTuple):
    """Queries, keys and values of one modality, each `(..., N, D)`."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class CrossDiffusionOptions:
    """What determines cross-diffusion, apart from its tensors.

    Args:
        epsilon: strength ε of the diffusion, 0 <= ε < 1; .6 as in the authors' code. At 0,
            M_rd = A V_d (for T >= 1).
        num_iterations: number T of diffusion steps, >= 0; 1 as in the paper. At 0,
            M_rd = S_rd^(0) V_d. ``"inf"`` (or ``math.inf``) is the fixed point: as many steps as
            bring ε^T, the rate at which the error shrinks, to 1e-7 (1e-14 in float64).
        initial_affinity: S_rd^(0) and S_dr^(0): ``"identity"`` (paper), ``"average"`` (A), or
            ``"cross"`` (softmax(Q_r K_dᵀ/√D) and softmax(Q_d K_rᵀ/√D), which diffusion refines).
        affinity: ``"softmax"`` (paper): Ŝ_m = S_m, whose rows sum to one, so that
            D^(−1/2) S_m D^(−1/2) changes nothing. ``"symmetric"``: Ŝ_m = D^(−1/2) exp(Q_m K_mᵀ/√D)
            D^(−1/2), as RDP normalises; its entries reach exp(½ (max lse − min lse)), which
            overflows float32 when row log-sum-exps differ by more than about 170. Self-attention
            M_m reads through the softmax in both cases.
        backend: ``"dense"`` forms the N × N affinities: the reference, differentiable twice.
            ``"matrix_free"`` recomputes them in row blocks, forward and backward. ``"flex"`` is
            made of torch's ``flex_attention``, which is compiled to fused kernels on a CUDA device,
            in float32 or half precision, for D <= 128; on a CPU it serves inference alone, and
            forms the affinities. ``"triton"`` are kernels of our own for the same tensors, unproven
            on a GPU. ``"auto"`` is ``"flex"`` on a CUDA device where torch supports it, and
            ``"matrix_free"`` elsewhere; :func:`mutualformer.ops.choose_backend` tells which, and
            why. A backend that is named never falls back to another.
        dropout_p: probability of hiding a token's value, drawn once per image, head and modality
            and applied wherever that modality is read (columns of S_m, and of S_rd or S_dr, are
            dropped as a whole); the others are scaled by 1 / (1 − p). The diffusion itself sees no
            dropout.

    Raises:
        ValueError: an option is outside its range. The message names it, what it is and what was
            expected.

    >>> CrossDiffusionOptions(num_iterations=float("inf")).num_iterations
    'inf'
    """

    epsilon: float = 0.6
    num_iterations: NumIterations = 1
    initial_affinity: InitialAffinity = "identity"
    affinity: Affinity = "softmax"
    backend: Backend = "auto"
    dropout_p: float = 0.0

    def __post_init__(self) -> None:
        if not is_number(self.epsilon) or not 0 <= self.epsilon < 1:
            raise UserError(
                f"epsilon is {self.epsilon!r}, expected 0 <= epsilon < 1 (0 turns the diffusion "
                "off; at 1 the recurrence has no limit)"
            )
        count = self.num_iterations
        if count == math.inf:
            object.__setattr__(self, "num_iterations", "inf")  # which JSON can hold
        elif count != "inf" and (
            not isinstance(count, int) or isinstance(count, bool) or count < 0
        ):
            raise UserError(f"num_iterations is {count!r}, expected an integer >= 0 or 'inf'")
        for name, choices in (
            ("initial_affinity", get_args(InitialAffinity)),
            ("affinity", get_args(Affinity)),
            ("backend", get_args(Backend)),
        ):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}"
                )
        check_probability("dropout_p", self.dropout_p)

    def resolve(self, dtype: torch.dtype) -> "CrossDiffusionOptions":
        """Return the options with a number of steps, for tensors of this dtype.

        >>> CrossDiffusionOptions(num_iterations="inf").resolve(torch.float32).num_iterations
        32
        """
        if self.epsilon == 0 and self.num_iterations != 0:
            # One step forgets what came before: A, in one way of computing it, so that runs agree.
            return replace(self, num_iterations=0, initial_affinity="average")
        if self.num_iterations == "inf":
            tolerance = 1e-14 if dtype == torch.float64 else 1e-7
            count = math.ceil(math.log(tolerance) / math.log(self.epsilon))
            return replace(self, num_iterations=max(1, count))
        return self

    @property
    def num_steps(self) -> int:
        """The number of steps, once resolved."""
        assert isinstance(self.num_iterations, int)
        return self.num_iterations

    @property
    def beta(self) -> float:
        """½ (1 − ε), the weight of either modality's affinity in (1 − ε) A."""
        return 0.5 * (1 - self.epsilon)

    def affinities(
        self, queries: Pair, keys: Pair, log_sum_exps: Pair | None = None
    ) -> list[RowBlockAffinity]:
        """Build S of each pair of queries and keys, in the way of the backend."""
        form: type[RowBlockAffinity] = RowBlockAffinity
        if self.backend == "triton":
            from mutualformer.unproven_triton.triton_affinity import TritonAffinity as form
        elif self.backend == "flex":
            from mutualformer.ops.affinity.flex_affinity import FlexAffinity as form
        known: Sequence[Tensor | None] = log_sum_exps or [None] * len(queries)
        return [form(*x) for x in zip(queries, keys, known, strict=True)]
