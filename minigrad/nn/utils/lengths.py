"""Lengths of the slices of a weight: what weight normalisation is made of."""

from __future__ import annotations

from typing import Any

from ...export import export


@export("norm_except_dim")
def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Any:
    """The p-norm over all dimensions but `dim`, which keep size 1; of everything for dim = −1."""
    if dim == -1:
        return v.norm(pow)
    others = [d for d in range(v.dim()) if d != dim]
    return v.norm(pow, others, True) if others else v.abs()


def scaled_to(v: Any, g: Any, dim: int = 0) -> Any:
    """g v/‖v‖: the directions of v, with lengths g."""
    return v * (g / norm_except_dim(v, 2, dim))
