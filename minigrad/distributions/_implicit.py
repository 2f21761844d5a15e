"""Gradients through gamma, beta and Dirichlet samples, by implicit differentiation.

A sample z of a distribution with cumulative function F(z; θ) keeps its F when θ changes, so

    dz/dθ = −∂F/∂θ / p(z; θ)

(Figurnov, Mohamed, Mnih, "Implicit reparameterization gradients", 2018, eq. 5). ∂F/∂θ of gamma and
beta has no closed form, but is an integral over one of the tails. In the logarithm of the gamma (or
the logit of the beta) variable, t = t(s), the integrand is concave in the exponent,

    gamma    dz/dα = −z       ∫ (s − ψ(α))               e^{φ(s) − φ(s_z)} ds,  φ = αs − eˢ
    beta     dx/da = −x(1−x)  ∫ (log t − ψ(a) + ψ(a+b))  e^{φ(s) − φ(s_x)} ds

with φ = a log t + b log(1 − t), over (−∞, s_z], or with the other sign over [s_z, ∞). The tail
away from the mode decreases all the way, and a double exponential rule (Takahasi and Mori,
1974) gives about ten digits of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module
from ..core.function import Function, once_differentiable
from ..ops.special import digamma
from ._functions import Tensor, broadcast_tensors, igamma, lgamma, wrap

_STEP = 1 / 16
_GRID = np.arange(-3.4, 2.6, _STEP)
# ∫_0^∞ f(u) du with u = e^{w − e^{−w}}: the trapezoidal rule in w
_NODES = np.exp(_GRID - np.exp(-_GRID))
_WEIGHTS = _STEP * _NODES * (1 + np.exp(-_GRID))
_DROP = 40.0  # e⁻⁴⁰ is nothing beside 1
_CHUNK = 1 << 13


def _tail(
    exponent: Callable[[Any], Any], slope: Callable[[Any], Any], factor: Callable[[Any], Any],
    start: Any,
) -> Any:  # fmt: skip
    """∫_0^∞ factor(u)·e^{−exponent(u)} du for a convex increasing exponent with exponent(0) = 0.

    The nodes are scaled so that they end where the exponent is about 40; Newton's method, which
    from the right comes down to that point without overshooting, finds it.
    """
    end = start
    for _ in range(60):
        new = end - (exponent(end) - _DROP) / np.maximum(slope(end), 1e-300)
        if np.allclose(new, end, rtol=1e-2):
            break
        end = np.where(np.isfinite(new) & (new > 0), new, end)
    scale = end / _NODES[-1]
    u = scale * _NODES[:, None]
    values = factor(u) * np.exp(-exponent(u))
    return scale * (_WEIGHTS[:, None] * values).sum(0)


def _softplus(s: Any) -> Any:
    return np.maximum(s, 0) + np.log1p(np.exp(-np.abs(s)))


def _gamma_gradient(z: Any, alpha: Any) -> Any:
    """dz/dα of a gamma sample z of scale 1; 1-d float64 arrays."""
    s0, psi = np.log(z), digamma(alpha)
    lower = z < alpha
    sign = np.where(lower, -1.0, 1.0)  # which way the tail goes

    # φ(s0) − φ(s0 ± u), written so that it does not cancel
    def exponent(u: Any) -> Any:
        return -alpha * sign * u + z * np.expm1(sign * u)

    def slope(u: Any) -> Any:
        return sign * (z * np.exp(sign * u) - alpha)

    def factor(u: Any) -> Any:
        return s0 + sign * u - psi

    gap = np.maximum(np.abs(alpha - z), 1e-12)
    below = _DROP / alpha + np.sqrt(2 * _DROP / alpha) + 2 + z / alpha
    above = np.log1p((_DROP + np.sqrt(2 * _DROP * alpha) + alpha) * 2 / z)
    integral = _tail(exponent, slope, factor, np.where(lower, below, above) + 0 * gap)
    return sign * z * integral


def _beta_gradient(x: Any, a: Any, b: Any) -> Any:
    """dx/da of a beta(a, b) sample x; 1-d float64 arrays."""
    s0 = np.log(x) - np.log1p(-x)
    shift = digamma(a) - digamma(a + b)
    lower = x * (a + b) < a
    sign = np.where(lower, -1.0, 1.0)
    log_x, log_1x = -_softplus(-s0), -_softplus(s0)

    def exponent(u: Any) -> Any:
        s = s0 + sign * u
        return a * (log_x + _softplus(-s)) + b * (log_1x + _softplus(s))

    def slope(u: Any) -> Any:
        t = 1 / (1 + np.exp(-(s0 + sign * u)))
        return sign * ((a + b) * t - a)

    def factor(u: Any) -> Any:
        return -_softplus(-(s0 + sign * u)) - shift

    rate = np.where(lower, a, b)
    start = _DROP / rate + np.abs(s0) + np.abs(np.log(a) - np.log(b)) + 6
    start += (np.where(lower, b, a) / rate) * 2
    return sign * x * (1 - x) * _tail(exponent, slope, factor, start)


def _in_pieces(function: Callable[..., Any], *arrays: Any) -> Any:
    """The function of flat float64 arrays, some thousand elements at a time; the first's dtype."""
    first = arrays[0]
    shape, dtype = first.shape, first.dtype
    flat = [np.ascontiguousarray(np.broadcast_to(a, shape), np.float64).reshape(-1) for a in arrays]
    out = np.empty(flat[0].shape)
    for start in range(0, out.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = function(*[a[part] for a in flat])
    return out.reshape(shape).astype(dtype)


def gamma_gradient(z: Any, alpha: Any) -> Any:
    """dz/dα for gamma samples z of scale 1, elementwise; arrays."""
    xp = array_module(z)
    return xp.asarray(_in_pieces(_gamma_gradient, _host(z), _host(alpha)))


def beta_gradient(x: Any, a: Any, b: Any) -> Any:
    """dx/da for beta(a, b) samples x, elementwise; arrays."""
    xp = array_module(x)
    return xp.asarray(_in_pieces(_beta_gradient, _host(x), _host(a), _host(b)))


def _host(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else x.get()


class StandardGamma(Function):
    """Gamma samples of scale 1 in the shape of α;  ᾱ = z̄·dz/dα."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        z = wrap(sampling.standard_gamma(alpha._data))
        ctx.save_for_backward(alpha, z)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        alpha, z = ctx.saved_tensors
        return wrap(g._data * gamma_gradient(z._data, alpha._data))


class StandardDirichlet(Function):
    """Dirichlet samples along the last dimension;  ᾱᵢ = Dᵢ (x̄ᵢ − Σⱼ xⱼ x̄ⱼ), Dᵢ = dxᵢ/dαᵢ/(1 − xᵢ).

    xᵢ is a beta(αᵢ, Σα − αᵢ) sample, and the others keep their proportions when it moves.
    """

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        x = wrap(sampling.dirichlet(alpha._data))
        ctx.save_for_backward(alpha, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        alpha, x = (t._data.astype(np.float64) for t in ctx.saved_tensors)
        inner = np.clip(x, 1e-300, 1 - 1e-16)
        moved = beta_gradient(inner, alpha, alpha.sum(-1, keepdims=True) - alpha) / (1 - inner)
        along = g._data - (x * g._data).sum(-1, keepdims=True)
        return wrap((moved * along).astype(g._data.dtype))


def standard_gamma(alpha: Tensor) -> Tensor:
    """Gamma samples of scale 1, through which gradients reach the shape parameter."""
    return StandardGamma.apply(alpha)


class GammaCdf(Function):
    """P(α, x), the gamma distribution's F for scale 1;  x̄ = ȳ p(x),  ᾱ = −ȳ p(x) dx/dα."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(alpha, x)
        return igamma(alpha, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        alpha, x = ctx.saved_tensors
        density = g * ((alpha - 1) * x.log() - x - lgamma(alpha)).exp()
        return -density * wrap(gamma_gradient(x._data, alpha._data)), density


def gamma_cdf(alpha: Tensor, x: Tensor) -> Tensor:
    """P(α, x), differentiable in both."""
    if alpha.requires_grad:
        return GammaCdf.apply(*broadcast_tensors(alpha, x))
    return igamma(alpha, x)


def standard_dirichlet(alpha: Tensor) -> Tensor:
    """Dirichlet samples, through which gradients reach the concentration."""
    return StandardDirichlet.apply(alpha)
