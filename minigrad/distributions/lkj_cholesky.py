"""The LKJ distribution of correlation matrices, through their Cholesky factors."""

from __future__ import annotations

import math
from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, arange, cat, finfo, lgamma, mvlgamma
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all, standard_normal


@export("distributions.LKJCholesky")
class LKJCholesky(Distribution):
    """p(L L ᵀ) ∝ det(L Lᵀ)^{η−1} for correlation matrices of order dim: uniform for η = 1.

    Samples by the onion method (Lewandowski, Kurowicka, Joe, 2009, section 3.2). ValueError for
    dim < 2.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        batch = self.concentration.size()
        # the squared length of row k below the diagonal is Beta(k/2, η + (dim − 1 − k)/2)
        k = arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        marginal = self.concentration + 0.5 * (dim - 2)
        self._beta = Beta(cat([k[:1] + 0.5, 0.5 * (k[1:] + 1)]), marginal.unsqueeze(-1) - 0.5 * k)
        super().__init__(batch, (dim, dim), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> LKJCholesky:
        new = self._get_checked_instance(LKJCholesky, _instance)
        batch_shape = Size(batch_shape)
        new.dim = self.dim
        new._beta = self._beta.expand(batch_shape + (self.dim - 1,))
        return self._expanded(LKJCholesky, batch_shape, new)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        shape = self._extended_shape(sample_shape)
        u = standard_normal(shape, self.concentration).tril(-1)
        u = u[..., 1:, :]
        direction = u / u.norm(dim=-1, keepdim=True)
        w = y.sqrt() * direction
        first = w.new_zeros(shape[:-2] + (1, shape[-1]))
        w = cat([first, w], -2)
        eps = finfo(w.dtype).tiny
        diagonal = (1 - (w**2).sum(-1)).clamp(min=eps).sqrt()
        return w + diagonal.diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_k (dim − 1 − k + 2η − 2) log L_kk − log of the normaliser (ibid., p. 1999)."""
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        unnormalized = (order * diagonal.log()).sum(-1)
        m = self.dim - 1
        alpha = self.concentration + 0.5 * m
        denominator = lgamma(alpha) * m
        numerator = mvlgamma(alpha - 0.5, m)
        pi_term = 0.5 * m * math.log(math.pi)
        return unnormalized - (pi_term + numerator - denominator)
