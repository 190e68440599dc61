"""Refuse options outside their range, of whatever type, by name."""

import math
from numbers import Integral, Real
from typing import Any

from mutualformer.errors import UserError


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse what is no integer, or beyond the least or the largest possible.

    >>> check_integer("num_layers", 2, 1)
    """
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or value < least or (most is not None and value > most):
        ends = f">= {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"{name} is {value!r}, expected an integer {ends}")


def check_heads(dim: Any, num_heads: Any) -> None:
    """Refuse a number of heads that does not divide the width.

    >>> check_heads(32, 4)
    """
    check_integer("dim", dim, 1)
    check_integer("num_heads", num_heads, 1)
    if dim % num_heads:
        fitting = [str(heads) for heads in range(1, dim + 1) if dim % heads == 0]
        raise UserError(
            f"dim is {dim} and num_heads is {num_heads}, expected a num_heads that divides dim: "
            f"{', '.join(fitting)}"
        )


def check_probability(name: str, value: Any) -> None:
    """Refuse what is no probability of leaving something out.

    >>> check_probability("dropout", 0.1)
    """
    if not is_number(value) or not 0 <= value < 1:
        raise UserError(f"{name} is {value!r}, expected 0 <= {name} < 1")


def is_number(value: Any) -> bool:
    """Tell whether an option is a finite number.

    >>> is_number(4), is_number(True), is_number("4"), is_number(float("nan"))
    (True, False, False, False)
    """
    # Compared, as torch.compile(dynamic=True) cannot ask whether a number it carries is finite.
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and value < math.inf and -value < math.inf
