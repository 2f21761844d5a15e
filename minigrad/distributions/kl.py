"""Kullback–Leibler divergences KL(p ‖ q) = E_p[log p(x) − log q(x)], in closed form for pairs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import total_ordering
from typing import Any

from ..core.engine import grad
from ..export import export
from ._functions import (
    Size,
    Tensor,
    broadcast_shapes,
    digamma,
    enable_grad,
    full_like,
    lgamma,
    matmul,
    softplus,
    solve_triangular,
    where,
    xlogy,
)
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    lowrank_logdet,
    lowrank_mahalanobis,
)
from .multivariate_normal import MultivariateNormal, diagonal_of, mahalanobis
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost

_REGISTRY: dict[tuple[type, type], Callable[..., Tensor]] = {}
_MEMO: dict[tuple[type, type], Callable[..., Any] | None] = {}


@export("distributions.register_kl", "distributions.kl.register_kl")
def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """Decorator: the function computes KL(p ‖ q) for instances of these classes (and subclasses).

    Of several that fit a pair, the most specific is taken; a RuntimeWarning if p and q disagree
    about which that is. TypeError for what is no distribution class.
    """
    for what, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {what} to be a Distribution subclass but got {kind}")

    def enter(fun: Callable) -> Callable:
        _REGISTRY[type_p, type_q] = fun
        _MEMO.clear()
        return fun

    return enter


@total_ordering
class _Match:
    """A pair of classes; less is more specific, the first class deciding before the second."""

    def __init__(self, *types: type):
        self.types = types

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Match) and self.types == other.types

    __hash__ = None  # type: ignore[assignment]

    def __le__(self, other: _Match) -> bool:
        for x, y in zip(self.types, other.types, strict=True):
            if not issubclass(x, y):
                return False
            if x is not y:
                break
        return True


def _dispatch(type_p: type, type_q: type) -> Callable[..., Any] | None:
    matches = [(a, b) for a, b in _REGISTRY if issubclass(type_p, a) and issubclass(type_q, b)]
    if not matches:
        return None
    left = min(_Match(*m) for m in matches).types
    right = min(_Match(*reversed(m)) for m in matches).types
    by_left, by_right = _REGISTRY[left[0], left[1]], _REGISTRY[right[1], right[0]]
    if by_left is not by_right:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({left[0].__name__}, {right[0].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return by_left


@export("distributions.kl_divergence", "distributions.kl.kl_divergence")
def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q), of shape batch_shape. NotImplementedError for pairs without a formula."""
    pair = type(p), type(q)
    if pair not in _MEMO:
        _MEMO[pair] = _dispatch(*pair)
    fun = _MEMO[pair]
    if fun is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {pair[0].__name__} and q type"
            f" {pair[1].__name__}"
        )
    return fun(p, q)


def _infinite_like(x: Tensor) -> Tensor:
    return full_like(x, math.inf)


def _x_log_x(x: Tensor) -> Tensor:
    """x log x, 0 at 0."""
    return xlogy(x, x)


# ------------------------------------------------------------------------------ of one family
@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    a, b = p.probs, q.probs
    t1 = a * (softplus(-q.logits) - softplus(-p.logits))
    t1 = where(b == 0, math.inf, t1)
    t1 = where(a == 0, 0.0, t1)
    t2 = (1 - a) * (softplus(q.logits) - softplus(p.logits))
    t2 = where(b == 1, math.inf, t2)
    t2 = where(a == 1, 0.0, t2)
    return t1 + t2


@register_kl(Beta, Beta)
def _beta_beta(p: Beta, q: Beta) -> Tensor:
    sum_p = p.concentration1 + p.concentration0
    sum_q = q.concentration1 + q.concentration0
    t1 = lgamma(q.concentration1) + lgamma(q.concentration0) + lgamma(sum_p)
    t2 = lgamma(p.concentration1) + lgamma(p.concentration0) + lgamma(sum_q)
    t3 = (p.concentration1 - q.concentration1) * digamma(p.concentration1)
    t4 = (p.concentration0 - q.concentration0) * digamma(p.concentration0)
    return t1 - t2 + t3 + t4 + (sum_q - sum_p) * digamma(sum_p)


@register_kl(Binomial, Binomial)
def _binomial_binomial(p: Binomial, q: Binomial) -> Tensor:
    """n times that of Bernoulli; inf where p has more trials. Fewer trials have no formula."""
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    difference = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    kl = p.total_count * difference
    return where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical_categorical(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = where((q.probs == 0).expand_as(t), math.inf, t)
    t = where((p.probs == 0).expand_as(t), 0.0, t)
    return t.sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _cb_cb(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    t1 = p.mean * (p.logits - q.logits)
    t2 = p._cont_bern_log_norm() + (-p.probs).log1p()
    t3 = -q._cont_bern_log_norm() - (-q.probs).log1p()
    return t1 + t2 + t3


@register_kl(Dirichlet, Dirichlet)
def _dirichlet_dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    sum_p, sum_q = p.concentration.sum(-1), q.concentration.sum(-1)
    t1 = lgamma(sum_p) - lgamma(sum_q)
    t2 = (lgamma(p.concentration) - lgamma(q.concentration)).sum(-1)
    t3 = p.concentration - q.concentration
    t4 = digamma(p.concentration) - digamma(sum_p).unsqueeze(-1)
    return t1 - t2 + (t3 * t4).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential_exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _expfamily_expfamily(p: ExponentialFamily, q: ExponentialFamily) -> Tensor:
    """The Bregman divergence of the log normaliser (Nielsen and Nock, 2010, eq. 4)."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed"
            " using Bregman divergences"
        )
    with enable_grad():
        p_params = [x.detach().requires_grad_() for x in p._natural_params]
        normalizer = p._log_normalizer(*p_params)
        gradients = grad(normalizer.sum(), p_params, create_graph=True)
    q_params = q._natural_params
    result = q._log_normalizer(*q_params) - normalizer
    for a, b, g in zip(p_params, q_params, gradients, strict=True):
        result = result - sum_rightmost((b - a) * g, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma_gamma(p: Gamma, q: Gamma) -> Tensor:
    t1 = q.concentration * (p.rate / q.rate).log()
    t2 = lgamma(q.concentration) - lgamma(p.concentration)
    t3 = (p.concentration - q.concentration) * digamma(p.concentration)
    return t1 + t2 + t3 + (q.rate - p.rate) * (p.concentration / p.rate)


@register_kl(Gumbel, Gumbel)
def _gumbel_gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio = p.scale / q.scale
    shift_q, shift_p = q.loc / q.scale, p.loc / q.scale
    t1 = -ratio.log() - shift_q + shift_p
    t2 = ratio * euler_constant
    t3 = (shift_q + lgamma(1 + ratio) - shift_p).exp()
    return t1 + t2 + t3 - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _geometric_geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _halfnormal_halfnormal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return _normal_normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace_laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Normal, Normal)
def _normal_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    t1 = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + t1 - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _onehot_onehot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical_categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _pareto_pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = p.scale / q.scale
    alpha = q.alpha / p.alpha
    result = q.alpha * ratio.log() - alpha.log() + alpha - 1
    return where(p.support.lower_bound < q.support.lower_bound, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson_poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    """That of the bases, if the transforms are the same."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "KL of transformed distributions needs the same transforms and event_shape"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Uniform, q: Uniform) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(Cauchy, Cauchy)
def _cauchy_cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    """(Chyzak and Nielsen, 2019.)"""
    t1 = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return t1 - (4 * p.scale * q.scale).log()


@register_kl(Independent, Independent)
def _independent_independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("Independents of different numbers of dimensions")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# ------------------------------------------------------------------------------ normal vectors
def _trace_of_quotient(q_factor: Tensor, p_factor: Tensor, batch: Size, n: int) -> Tensor:
    """tr((L_q L_qᵀ)⁻¹ F Fᵀ) = |L_q⁻¹ F|² for p_factor F (*, n, m)."""
    wide = p_factor.expand(batch + (n, p_factor.shape[-1]))
    return solve_triangular(q_factor.expand(batch + (n, n)), wide, upper=False).pow(2).sum([-2, -1])


@register_kl(MultivariateNormal, MultivariateNormal)
def _mvn_mvn(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    """½(log det Σ_q/Σ_p + tr Σ_q⁻¹Σ_p + |μ_q − μ_p|² in Σ_q⁻¹ − n)."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be"
            " computed"
        )
    a, b = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    half_log_det = diagonal_of(b).log().sum(-1) - diagonal_of(a).log().sum(-1)
    batch, n = broadcast_shapes(b.shape[:-2], a.shape[:-2]), p.event_shape[0]
    trace = _trace_of_quotient(b, a, batch, n)
    return half_log_det + 0.5 * (trace + mahalanobis(b, q.loc - p.loc) - n)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _mvn_lowrank(p: MultivariateNormal, q: LowRankMultivariateNormal) -> Tensor:
    _same_events(p, q)
    factor, diag = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
    a = p._unbroadcasted_scale_tril
    log_det = lowrank_logdet(diag, q._capacitance_tril) - 2 * diagonal_of(a).log().sum(-1)
    m = lowrank_mahalanobis(factor, diag, q.loc - p.loc, q._capacitance_tril)
    trace = _lowrank_trace(q, a)
    return 0.5 * (log_det + trace + m - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _lowrank_mvn(p: LowRankMultivariateNormal, q: MultivariateNormal) -> Tensor:
    _same_events(p, q)
    b, n = q._unbroadcasted_scale_tril, p.event_shape[0]
    log_det_p = lowrank_logdet(p._unbroadcasted_cov_diag, p._capacitance_tril)
    log_det = 2 * diagonal_of(b).log().sum(-1) - log_det_p
    batch = broadcast_shapes(b.shape[:-2], p.cov_factor.shape[:-2])
    trace = _trace_of_quotient(b, p.cov_factor, batch, n)
    trace = trace + _trace_of_quotient(b, p.cov_diag.sqrt().diag_embed(), batch, n)
    return 0.5 * (log_det + trace + mahalanobis(b, q.loc - p.loc) - n)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _lowrank_lowrank(p: LowRankMultivariateNormal, q: LowRankMultivariateNormal) -> Tensor:
    _same_events(p, q)
    diag_p, diag_q = p._unbroadcasted_cov_diag, q._unbroadcasted_cov_diag
    log_det = lowrank_logdet(diag_q, q._capacitance_tril)
    log_det = log_det - lowrank_logdet(diag_p, p._capacitance_tril)
    factor = q._unbroadcasted_cov_factor
    m = lowrank_mahalanobis(factor, diag_q, q.loc - p.loc, q._capacitance_tril)
    trace = _lowrank_trace(q, p._unbroadcasted_cov_factor)
    trace = trace + _lowrank_trace(q, diag_p.sqrt().diag_embed())
    return 0.5 * (log_det + trace + m - p.event_shape[0])


def _same_events(p: Distribution, q: Distribution) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes"
            " cannot be computed"
        )


def _lowrank_trace(q: LowRankMultivariateNormal, f: Tensor) -> Tensor:
    """tr(Σ_q⁻¹ F Fᵀ) = Σ F²/D − |C^{−½} Wᵀ D⁻¹ F|² by Woodbury's identity."""
    diag = q._unbroadcasted_cov_diag
    direct = (f.pow(2) / diag.unsqueeze(-1)).sum([-2, -1])
    inner = matmul(q._unbroadcasted_cov_factor.mT / diag.unsqueeze(-2), f)
    batch = broadcast_shapes(inner.shape[:-2], q._capacitance_tril.shape[:-2])
    capacitance = q._capacitance_tril.expand(batch + q._capacitance_tril.shape[-2:])
    solved = solve_triangular(capacitance, inner.expand(batch + inner.shape[-2:]), upper=False)
    return direct - solved.pow(2).sum([-2, -1])


# ------------------------------------------------------------------------------ across families
def _infinite(parameter: str, *pairs: tuple[type, type]) -> None:
    """p has values that q never takes: inf, in the shape of p's parameter."""
    for pair in pairs:
        register_kl(*pair)(lambda p, q: _infinite_like(getattr(p, parameter)))


_infinite("concentration1", (Beta, Pareto))
_infinite("rate", (Exponential, Beta), (Exponential, ContinuousBernoulli))
_infinite("rate", (Exponential, Pareto), (Exponential, Uniform))
_infinite("concentration", (Gamma, Beta), (Gamma, ContinuousBernoulli))
_infinite("concentration", (Gamma, Pareto), (Gamma, Uniform))
for _p in (Gumbel, Laplace, Normal):
    for _q in (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform):
        _infinite("loc", (_p, _q))
_infinite("scale", (Pareto, Beta), (Pareto, ContinuousBernoulli), (Pareto, Uniform))
_infinite("rate", (Poisson, Bernoulli), (Poisson, Binomial))


@register_kl(ContinuousBernoulli, Pareto)
def _cb_pareto(p: ContinuousBernoulli, q: Pareto) -> Tensor:
    return _infinite_like(p.probs)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _beta_cb(p: Beta, q: ContinuousBernoulli) -> Tensor:
    log_rest = (-q.probs).log1p()
    return -p.entropy() - p.mean * q.logits - log_rest - q._cont_bern_log_norm()


@register_kl(Beta, Exponential)
def _beta_exponential(p: Beta, q: Exponential) -> Tensor:
    mean = p.concentration1 / (p.concentration1 + p.concentration0)
    return -p.entropy() - q.rate.log() + q.rate * mean


@register_kl(Beta, Gamma)
def _beta_gamma(p: Beta, q: Gamma) -> Tensor:
    total = p.concentration1 + p.concentration0
    t1 = -p.entropy() + lgamma(q.concentration) - q.concentration * q.rate.log()
    t2 = (q.concentration - 1) * (digamma(p.concentration1) - digamma(total))
    return t1 - t2 + q.rate * p.concentration1 / total


@register_kl(Beta, Normal)
def _beta_normal(p: Beta, q: Normal) -> Tensor:
    mean = p.concentration1 / (p.concentration1 + p.concentration0)
    return -p.entropy() + _cross_normal(mean, p.variance, q)


@register_kl(Beta, Uniform)
def _beta_uniform(p: Beta, q: Uniform) -> Tensor:
    result = -p.entropy() + (q.high - q.low).log()
    return where((q.low > 0) | (q.high < 1), math.inf, result)


def _cross_normal(mean: Tensor, variance: Tensor, q: Normal) -> Tensor:
    """−E[log q(x)] for x of this mean and variance."""
    var = q.scale.pow(2)
    return 0.5 * (2 * math.pi * var).log() + 0.5 * (variance + (mean - q.loc).pow(2)) / var


@register_kl(ContinuousBernoulli, Exponential)
def _cb_exponential(p: ContinuousBernoulli, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(ContinuousBernoulli, Normal)
def _cb_normal(p: ContinuousBernoulli, q: Normal) -> Tensor:
    return -p.entropy() + _cross_normal(p.mean, p.variance, q)


@register_kl(ContinuousBernoulli, Uniform)
def _cb_uniform(p: ContinuousBernoulli, q: Uniform) -> Tensor:
    result = -p.entropy() + (q.high - q.low).log()
    return where((q.low > 0) | (q.high < 1), math.inf, result)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio = q.rate / p.rate
    t1 = -q.concentration * ratio.log()
    t2 = ratio + lgamma(q.concentration) + q.concentration * euler_constant
    return t1 + t2 - (1 + euler_constant)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Exponential, q: Gumbel) -> Tensor:
    scaled = p.rate * q.scale
    shift = q.loc / q.scale
    return scaled.log() - 1 + shift.exp() * scaled / (scaled + 1) - shift + scaled.reciprocal()


@register_kl(Exponential, Normal)
def _exponential_normal(p: Exponential, q: Normal) -> Tensor:
    return -p.entropy() + _cross_normal(p.mean, p.variance, q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Gamma, q: Gumbel) -> Tensor:
    scaled = p.rate * q.scale
    shift = q.loc / q.scale
    t1 = (p.concentration - 1) * digamma(p.concentration) - lgamma(p.concentration)
    t1 = t1 - p.concentration
    t2 = scaled.log() + p.concentration / scaled
    return t1 + t2 + shift.exp() * (1 + scaled.reciprocal()).pow(-p.concentration) - shift


@register_kl(Gamma, Normal)
def _gamma_normal(p: Gamma, q: Normal) -> Tensor:
    return -p.entropy() + _cross_normal(p.mean, p.variance, q)


@register_kl(Gumbel, Normal)
def _gumbel_normal(p: Gumbel, q: Normal) -> Tensor:
    return -p.entropy() + _cross_normal(p.mean, p.variance, q)


@register_kl(Laplace, Normal)
def _laplace_normal(p: Laplace, q: Normal) -> Tensor:
    return -p.entropy() + _cross_normal(p.mean, p.variance, q)


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Normal, q: Gumbel) -> Tensor:
    mean, ratio = p.loc / q.scale, (p.scale / q.scale).pow(2)
    shift = q.loc / q.scale
    t1 = -0.5 * ratio.log() + mean - shift
    t2 = (-mean + 0.5 * ratio + shift).exp()
    return t1 + t2 - 0.5 * (1 + math.log(2 * math.pi))


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    z = (p.loc - q.loc) / p.scale
    spread = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp()
    distance = spread + (p.loc - q.loc) * (math.sqrt(0.5) * z).erf()
    return -p.entropy() + (2 * q.scale).log() + distance / q.scale


@register_kl(Pareto, Exponential)
def _pareto_exponential(p: Pareto, q: Exponential) -> Tensor:
    scaled = p.scale * q.rate
    t1 = (p.alpha / scaled).log() - p.alpha.reciprocal()
    result = t1 + p.alpha * scaled / (p.alpha - 1) - 1
    return where(p.alpha <= 1, math.inf, result)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Pareto, q: Gamma) -> Tensor:
    log_mean = p.scale.log() + p.alpha.reciprocal()
    t1 = p.alpha.log() - log_mean + lgamma(q.concentration) - q.concentration * q.rate.log()
    t2 = (1 - q.concentration) * log_mean
    result = t1 + t2 + q.rate * p.alpha * p.scale / (p.alpha - 1) - 1
    return where(p.alpha <= 1, math.inf, result)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Pareto, q: Normal) -> Tensor:
    mean = p.scale * p.alpha / (p.alpha - 1)
    variance = p.scale.pow(2) * p.alpha / ((p.alpha - 1).pow(2) * (p.alpha - 2))
    result = -p.entropy() + _cross_normal(mean, variance, q)
    return where(p.alpha <= 2, math.inf, result)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    width = p.high - p.low
    a, b = q.concentration1, q.concentration0
    t1 = width.log()
    t2 = (a - 1) * (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    t3 = (b - 1) * (_x_log_x(1 - p.high) - _x_log_x(1 - p.low) + width) / width
    result = t3 - t1 - t2 + lgamma(a) + lgamma(b) - lgamma(a + b)
    return where((p.high > 1) | (p.low < 0), math.inf, result)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_cb(p: Uniform, q: ContinuousBernoulli) -> Tensor:
    log_rest = (-q.probs).log1p()
    result = -p.entropy() - p.mean * q.logits - log_rest - q._cont_bern_log_norm()
    return where((p.high >= 1) | (p.low <= 0), math.inf, result)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Uniform, q: Exponential) -> Tensor:
    result = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return where(p.low < 0, math.inf, result)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Uniform, q: Gamma) -> Tensor:
    width = p.high - p.low
    t1 = -width.log() + lgamma(q.concentration) - q.concentration * q.rate.log()
    t2 = (1 - q.concentration) * (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    result = t1 + t2 + q.rate * (p.high + p.low) / 2
    return where(p.low < 0, math.inf, result)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Uniform, q: Gumbel) -> Tensor:
    width = q.scale / (p.high - p.low)
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return width.log() + 0.5 * (high + low) - width * ((-high).exp() - (-low).exp())


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    t1 = (math.sqrt(math.pi * 2) * q.scale / width).log()
    t2 = width.pow(2) / 12
    t3 = ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return t1 + 0.5 * (t2 + t3) / q.scale.pow(2)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Uniform, q: Pareto) -> Tensor:
    width = p.high - p.low
    t1 = (q.alpha * q.scale.pow(q.alpha) * width).log()
    t2 = (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    result = t2 * (q.alpha + 1) - t1
    return where(p.low < q.support.lower_bound, math.inf, result)
