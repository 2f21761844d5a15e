"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from ..export import export
from . import constraints
from ._functions import (
    Size,
    Tensor,
    broadcast_shapes,
    eye,
    linalg_cholesky,
    matmul,
    solve_triangular,
)
from .distribution import Distribution
from .utils import lazy_property, standard_normal


def batch_mv(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector, (*, n, m) and (*, m), batches broadcast together."""
    return matmul(matrix, vector.unsqueeze(-1)).squeeze(-1)


def diagonal_of(matrix: Tensor) -> Tensor:
    """The diagonals of matrices (*, n, n): (*, n)."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def mahalanobis(factor: Tensor, x: Tensor) -> Tensor:
    """|L⁻¹ x|² for lower triangular L (*, n, n) and x (*, n), batches broadcast together."""
    batch = broadcast_shapes(factor.shape[:-2], x.shape[:-1])
    # the copies of one factor solve for all their vectors at once
    if factor.dim() == 2:
        flat = x.reshape(-1, x.shape[-1])
        solved = solve_triangular(factor, flat.mT, upper=False)
        return solved.pow(2).sum(-2).reshape(batch)
    column = x.expand(batch + x.shape[-1:]).unsqueeze(-1)
    full = factor.expand(batch + factor.shape[-2:])
    return solve_triangular(full, column, upper=False).squeeze(-1).pow(2).sum(-1)


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The lower L with L Lᵀ = P⁻¹: P is factored from its last row and column on, then inverted."""
    reversed_factor = linalg_cholesky(precision.flip((-2, -1)))
    inverse = reversed_factor.flip((-2, -1)).mT
    unit = eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return solve_triangular(inverse, unit.expand(precision.shape), upper=False)


def inverse_from_factor(factor: Tensor) -> Tensor:
    """(L Lᵀ)⁻¹ for lower triangular L."""
    unit = eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse = solve_triangular(factor, unit.expand(factor.shape), upper=False)
    return matmul(inverse.mT, inverse)


@export("distributions.MultivariateNormal")
class MultivariateNormal(Distribution):
    """p(x) = exp(−½ (x − μ)ᵀ Σ⁻¹ (x − μ)) / √((2π)ⁿ det Σ);  samples μ + Lε, L Lᵀ = Σ.

    loc (*, n), and exactly one of covariance_matrix, precision_matrix and scale_tril (*, n, n);
    ValueError otherwise. scale_tril is the cheapest: the others are factored.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be"
                " specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} matrix must be at least two-dimensional, with optional leading batch"
                " dimensions"
            )
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(batch + matrix.shape[-2:]))
        self.loc = loc.expand(batch + loc.shape[-1:])
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = linalg_cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> MultivariateNormal:
        new = self._get_checked_instance(MultivariateNormal, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return self._expanded(MultivariateNormal, batch_shape, new)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """L."""
        factor = self._unbroadcasted_scale_tril
        return factor.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Σ."""
        factor = self._unbroadcasted_scale_tril
        shape = self._batch_shape + self._event_shape + self._event_shape
        return matmul(factor, factor.mT).expand(shape)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Σ⁻¹."""
        shape = self._batch_shape + self._event_shape + self._event_shape
        return inverse_from_factor(self._unbroadcasted_scale_tril).expand(shape)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        squared = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return squared.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, noise)

    def _half_log_det(self) -> Tensor:
        return diagonal_of(self._unbroadcasted_scale_tril).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        m = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + m) - self._half_log_det()

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        return (constant + self._half_log_det()).expand(self._batch_shape)
