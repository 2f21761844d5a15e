"""The Wishart distribution of covariance matrices."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..export import export
from . import constraints
from ._functions import (
    Size,
    Tensor,
    arange,
    broadcast_shapes,
    cholesky_solve,
    digamma,
    finfo,
    linalg_cholesky,
    matmul,
    mvlgamma,
    no_grad,
    tensor,
)
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import diagonal_of, inverse_from_factor, precision_to_scale_tril
from .utils import lazy_property, standard_normal

_log_2 = math.log(2)


def _mvdigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of log Γ_p: Σ_i ψ(x − i/2)."""
    halves = arange(p, dtype=x.dtype, device=x.device) / 2
    return digamma(x.unsqueeze(-1) - halves).sum(-1)


def _log_det(factor: Tensor) -> Tensor:
    """log det of L from its diagonal."""
    return diagonal_of(factor).log().sum(-1)


@export("distributions.Wishart")
class Wishart(ExponentialFamily):
    """p(X) ∝ det(X)^{(ν−n−1)/2} exp(−½ tr(V⁻¹ X)): Σ xxᵀ of ν normal vectors with covariance V.

    df ν > n − 1, and exactly one of covariance_matrix V, precision_matrix V⁻¹ and scale_tril.
    Samples by Bartlett's decomposition.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self) -> dict[str, Any]:  # type: ignore[override]
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
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
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        if not isinstance(df, Tensor):
            df = tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch, event = broadcast_shapes(matrix.shape[:-2], df.shape), matrix.shape[-2:]
        self.df = df.expand(batch)
        setattr(self, name, matrix.expand(batch + event))
        if not constraints.all_true(self.df > event[-1] - 1):
            raise ValueError(
                f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}."
            )
        super().__init__(batch, event, validate_args=validate_args)
        if not constraints.all_true(self.df > event[-1]):
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for"
                " ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = linalg_cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)
        self._dist_chi2 = self._diagonal()

    def _diagonal(self) -> Chi2:
        """The squared diagonal of Bartlett's factor: χ² with ν, ν − 1, ... degrees of freedom."""
        n = self._event_shape[-1]
        steps = arange(n, dtype=self.df.dtype, device=self.df.device)
        return Chi2(df=self.df.unsqueeze(-1) - steps)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Wishart:
        new = self._get_checked_instance(Wishart, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        new = self._expanded(Wishart, batch_shape, new)
        new._dist_chi2 = new._diagonal()
        return new

    def _expand_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """L of V = L Lᵀ."""
        return self._expand_matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """V."""
        factor = self._unbroadcasted_scale_tril
        return self._expand_matrix(matmul(factor, factor.mT))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """V⁻¹."""
        return self._expand_matrix(inverse_from_factor(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.df.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = factor.masked_fill(factor <= 0, float("nan"))
        return factor.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = diagonal_of(v)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view(self._batch_shape + (1, 1)) * (v.pow(2) + outer)

    def _bartlett(self, sample_shape: Size) -> Tensor:
        shape = self._extended_shape(sample_shape)
        tiny = finfo(self.df.dtype).tiny
        diagonal = self._dist_chi2.rsample(sample_shape).clamp(min=tiny).sqrt()
        below = standard_normal(shape, self.df).tril(-1)
        chol = matmul(self._unbroadcasted_scale_tril, below + diagonal.diag_embed())
        return matmul(chol, chol.mT)

    def rsample(self, sample_shape: Any = Size(), max_try_correction: Any = None) -> Tensor:  # noqa: B008
        """Samples; those that rounding made singular are drawn again, a few times."""
        sample_shape = Size(sample_shape)
        if max_try_correction is None:
            max_try_correction = 3 if len(self._batch_shape) > 0 else 10
        sample = self._bartlett(sample_shape)
        for _ in range(max_try_correction):
            with no_grad():
                bad = ~self.support.check(sample)
            if not bool(bad.any()):
                break
            again = self._bartlett(sample_shape)
            keep = bad.unsqueeze(-1).unsqueeze(-1)
            sample = sample.masked_fill(keep, 0.0) + again.masked_fill(~keep, 0.0)
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        factor = self._unbroadcasted_scale_tril
        batch = broadcast_shapes(factor.shape[:-2], value.shape[:-2])
        full = factor.expand(batch + self._event_shape)
        chol = linalg_cholesky(value)
        quotient = cholesky_solve(value.expand(batch + self._event_shape), full)  # V⁻¹ X
        trace = diagonal_of(quotient).sum(-1)
        return (
            -nu * (p * _log_2 / 2 + _log_det(factor))
            - mvlgamma(nu / 2, p)
            + (nu - p - 1) * _log_det(chol)
            - trace / 2
        )

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        return (
            (p + 1) * (p * _log_2 / 2 + _log_det(self._unbroadcasted_scale_tril))
            + mvlgamma(nu / 2, p)
            - (nu - p - 1) / 2 * _mvdigamma(nu / 2, p)
            + nu * p / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        nu, p = self.df, self._event_shape[-1]
        return -self.precision_matrix / 2, (nu - p - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        p = self._event_shape[-1]
        log_det = 2 * _log_det(linalg_cholesky(-2 * x))
        return (y + (p + 1) / 2) * (-log_det + _log_2 * p) + mvlgamma(y + (p + 1) / 2, p)
