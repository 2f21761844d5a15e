"""Distributions against PyTorch: densities, moments, entropies, gradients, divergences, errors."""
# ruff: noqa: E501

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import minigrad
import minigrad.distributions as D

torch = pytest.importorskip("torch")
T = torch.distributions
pytestmark = [
    pytest.mark.filterwarnings("ignore:Low df values"),
    pytest.mark.filterwarnings("ignore:Singular sample detected"),
]

A = np.array
TRIL = A([[1.2, 0, 0], [0.3, 0.8, 0], [-0.5, 0.2, 1.5]])
SPD = TRIL @ TRIL.T
PROBS = A([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])

# name, parameters, values at which to compare; parameters require gradients unless they are ints
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("Normal", {"loc": A([0.0, -1.5]), "scale": A([1.0, 0.3])}, A([[0.2, -1.0], [3.0, -2.0]])),
    ("Normal", {"loc": 0.5, "scale": 2.0}, A([0.2, 7.0])),
    ("Cauchy", {"loc": A([0.0, -1.5]), "scale": A([1.0, 0.3])}, A([[0.2, -1.0], [30.0, -2.0]])),
    ("Laplace", {"loc": A([0.0, -1.5]), "scale": A([1.0, 0.3])}, A([[0.2, -1.0], [3.0, -2.0]])),
    ("Uniform", {"low": A([0.0, -1.5]), "high": A([1.0, 3.3])}, A([[0.2, -1.0], [0.7, 2.0]])),
    ("Exponential", {"rate": A([0.5, 3.0])}, A([[0.2, 1.0], [4.0, 0.01]])),
    ("Gamma", {"concentration": A([0.3, 4.0]), "rate": A([2.0, 0.7])}, A([[0.2, 1.0], [4.0, 9.0]])),
    ("InverseGamma", {"concentration": A([0.8, 4.0]), "rate": A([2.0, 0.7])}, A([0.2, 1.0])),
    ("Chi2", {"df": A([0.8, 6.0])}, A([[0.2, 1.0], [4.0, 9.0]])),
    ("Beta", {"concentration1": A([0.5, 3.0]), "concentration0": A([0.7, 2.0])}, A([0.2, 0.9])),
    ("Dirichlet", {"concentration": A([[0.5, 3.0, 1.2], [2.0, 2.0, 2.0]])}, PROBS),
    ("StudentT", {"df": A([0.9, 3.0, 1.5]), "loc": A([0.0, 1.0, 2.0]), "scale": A([1.0, 2.0, 0.5])},
     A([0.3, -2.0, 4.0])),
    ("FisherSnedecor", {"df1": A([3.0, 1.5]), "df2": A([5.0, 2.5])}, A([0.3, 4.0])),
    ("Gumbel", {"loc": A([0.0, -1.5]), "scale": A([1.0, 0.3])}, A([[0.2, -1.0], [3.0, -2.0]])),
    ("HalfNormal", {"scale": A([1.0, 0.3])}, A([[0.2, 1.0], [3.0, 0.1]])),
    ("HalfCauchy", {"scale": A([1.0, 0.3])}, A([[0.2, 1.0], [3.0, 0.1]])),
    ("LogNormal", {"loc": A([0.0, -1.5]), "scale": A([1.0, 0.3])}, A([[0.2, 1.0], [3.0, 0.1]])),
    ("Pareto", {"scale": A([1.0, 0.3]), "alpha": A([1.0, 3.5])}, A([[1.2, 1.0], [3.0, 0.5]])),
    ("Weibull", {"scale": A([1.0, 0.3]), "concentration": A([0.7, 3.5])}, A([[1.2, 1.0], [3.0, 0.5]])),
    ("Kumaraswamy", {"concentration1": A([1.5, 3.0]), "concentration0": A([0.7, 2.0])}, A([0.2, 0.9])),
    ("GeneralizedPareto", {"loc": A([0.0, 1.0, 0.0]), "scale": A([1.0, 2.0, 1.5]),
     "concentration": A([0.3, -0.4, 0.0])}, A([0.5, 2.0, 3.0])),
    ("VonMises", {"loc": A([0.0, 2.0]), "concentration": A([0.5, 20.0])}, A([0.3, 1.8])),
    ("Poisson", {"rate": A([0.5, 7.0])}, A([[0.0, 3.0], [2.0, 11.0]])),
    ("Bernoulli", {"probs": A([0.2, 0.9])}, A([[0.0, 1.0], [1.0, 1.0]])),
    ("Bernoulli", {"logits": A([-3.0, 0.4])}, A([[0.0, 1.0], [1.0, 1.0]])),
    ("ContinuousBernoulli", {"probs": A([0.2, 0.9, 0.5, 0.4999])}, A([0.1, 0.6, 0.3, 0.9])),
    ("ContinuousBernoulli", {"logits": A([-3.0, 0.4])}, A([[0.3, 1.0], [0.9, 0.0]])),
    ("Geometric", {"probs": A([0.2, 0.9])}, A([[0.0, 1.0], [4.0, 2.0]])),
    ("Geometric", {"logits": A([-1.0, 0.9])}, A([[0.0, 1.0], [4.0, 2.0]])),
    ("Binomial", {"total_count": 5, "probs": A([0.2, 0.9])}, A([[0.0, 5.0], [4.0, 2.0]])),
    ("Binomial", {"total_count": 5, "logits": A([-1.0, 2.0])}, A([[0.0, 5.0], [4.0, 2.0]])),
    ("NegativeBinomial", {"total_count": 4, "probs": A([0.2, 0.9])}, A([[0.0, 5.0], [4.0, 2.0]])),
    ("NegativeBinomial", {"total_count": 4, "logits": A([0.2, -0.9])}, A([[0.0, 5.0], [4.0, 2.0]])),
    ("Categorical", {"probs": PROBS * 3}, A([[0, 2], [1, 1], [2, 0]])),
    ("Categorical", {"logits": np.log(PROBS) + 2}, A([[0, 2], [1, 1], [2, 0]])),
    ("OneHotCategorical", {"probs": PROBS}, A([[0.0, 0, 1], [0, 1, 0]])),
    ("OneHotCategorical", {"logits": np.log(PROBS)}, A([[0.0, 0, 1], [0, 1, 0]])),
    ("OneHotCategoricalStraightThrough", {"probs": PROBS}, A([[0.0, 0, 1], [0, 1, 0]])),
    ("Multinomial", {"total_count": 4, "probs": PROBS}, A([[1.0, 0, 3], [0, 2, 2]])),
    ("RelaxedBernoulli", {"temperature": A(0.7), "probs": A([0.2, 0.9])}, A([0.3, 0.8])),
    ("RelaxedOneHotCategorical", {"temperature": A(0.7), "probs": PROBS}, PROBS[::-1].copy()),
    ("LogisticNormal", {"loc": A([0.3, -1.0]), "scale": A([1.0, 0.5])}, A([0.2, 0.3, 0.5])),
    ("MultivariateNormal", {"loc": A([1.0, 0.0, -1.0]), "covariance_matrix": SPD}, PROBS),
    ("MultivariateNormal", {"loc": A([1.0, 0.0, -1.0]), "precision_matrix": SPD}, PROBS),
    ("MultivariateNormal", {"loc": PROBS, "scale_tril": TRIL}, A([0.2, 0.3, 0.5])),
    ("LowRankMultivariateNormal", {"loc": A([1.0, 0.0, -1.0]), "cov_factor": TRIL[:, :2].copy(),
     "cov_diag": A([0.5, 1.0, 2.0])}, PROBS),
    ("LKJCholesky", {"dim": 3, "concentration": A([0.7, 2.5])},
     A([[1.0, 0, 0], [0.6, 0.8, 0], [0.0, 0.6, 0.8]])),
    ("Wishart", {"df": A(4.5), "covariance_matrix": SPD}, SPD * 3),
    ("Wishart", {"df": A(4.5), "scale_tril": TRIL}, SPD * 3),
    ("Wishart", {"df": A(4.5), "precision_matrix": SPD}, SPD * 3),
]  # fmt: skip
NO_SHAPE_GRADIENT = ("Gamma", "Chi2", "InverseGamma")  # PyTorch's igamma has no ∂/∂a
LOOSE = {"VonMises": 1e-5}  # PyTorch's Bessel functions have seven digits there
FLOAT32_ONLY = {"GeneralizedPareto"}  # PyTorch compares the concentration with a float32 zero
IDS = [f"{i}-{name}" for i, (name, _, _) in enumerate(CASES)]
each_case = pytest.mark.parametrize(("name", "params", "value"), CASES, ids=IDS)


def both(name: str, params: dict[str, Any], dtype: str = "float64") -> list[Any]:
    """(distribution, its parameters that require gradients) in both libraries."""
    found = []
    for library, module in ((minigrad, D), (torch, T)):
        given = {
            k: library.tensor(v, dtype=getattr(library, dtype), requires_grad=True)
            if isinstance(v, np.ndarray)
            else v
            for k, v in params.items()
        }
        leaves = [v for v in given.values() if isinstance(v, library.Tensor)]
        found.append((getattr(module, name)(**given), leaves))
    return found


def close(mine: Any, theirs: Any, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    assert tuple(mine.shape) == tuple(theirs.shape)
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=atol, equal_nan=True
    )


def ask(distribution: Any, what: str, *args: Any) -> Any:
    """The value of a method or property; the exception's type where there is none."""
    try:
        found = getattr(distribution, what)
        return found(*args) if callable(found) else found
    except (NotImplementedError, ValueError) as error:
        return type(error)


def compare_gradients(mine: Any, theirs: Any, a: list[Any], b: list[Any], **tol: Any) -> None:
    if not mine.requires_grad:
        assert not theirs.requires_grad
        return
    ga = minigrad.autograd.grad(mine.sum(), a, allow_unused=True, retain_graph=True)
    gb = torch.autograd.grad(theirs.sum(), b, allow_unused=True, retain_graph=True)
    for x, y in zip(ga, gb, strict=True):
        # an unused parameter has no gradient in one library and zeros in the other
        if x is None or y is None:
            assert x is None or not x.numpy().any()
            assert y is None or not y.numpy().any()
        else:
            close(x, y, **tol)


@each_case
def test_shapes_and_moments(name: str, params: dict[str, Any], value: Any) -> None:
    (mine, _), (theirs, _) = both(name, params)
    assert tuple(mine.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(mine.event_shape) == tuple(theirs.event_shape)
    assert mine.has_rsample == theirs.has_rsample
    assert mine.has_enumerate_support == theirs.has_enumerate_support
    for what in ("mean", "mode", "variance", "stddev"):
        x, y = ask(mine, what), ask(theirs, what)
        if isinstance(y, type):
            assert x is y, what
        elif (name, what) != ("Kumaraswamy", "mode"):  # PyTorch's is nan for every parameter
            close(x, y, rtol=LOOSE.get(name, 1e-7))
    assert type(mine.support).__name__.lstrip("_") == type(theirs.support).__name__.lstrip("_")


@each_case
def test_log_prob_cdf_entropy_with_gradients(name: str, params: dict[str, Any], value: Any) -> None:
    dtype = "float32" if name in FLOAT32_ONLY else "float64"
    (mine, a), (theirs, b) = both(name, params, dtype)
    x, y = minigrad.tensor(value), torch.tensor(value)
    rtol = LOOSE.get(name, 1e-6)
    if name in FLOAT32_ONLY:
        x, y, rtol = x.float(), y.float(), 1e-5
    lp, lq = mine.log_prob(x), theirs.log_prob(y)
    close(lp, lq, rtol=rtol)
    compare_gradients(lp, lq, a, b, rtol=rtol)
    for what, args in (("entropy", None), ("perplexity", None), ("cdf", (x, y))):
        p = ask(mine, what, *args[:1] if args else ())
        q = ask(theirs, what, *args[1:] if args else ())
        if isinstance(q, type):
            assert p is q, what
            continue
        close(p, q, rtol=rtol)
        if what != "perplexity" and name not in NO_SHAPE_GRADIENT:
            compare_gradients(p, q, a, b, rtol=rtol)


@each_case
def test_icdf(name: str, params: dict[str, Any], value: Any) -> None:
    (mine, _), (theirs, _) = both(name, params)
    points = A([0.1, 0.5, 0.97]).reshape((3,) + (1,) * len(mine.batch_shape))
    p = ask(mine, "icdf", minigrad.tensor(points))
    q = ask(theirs, "icdf", torch.tensor(points))
    if isinstance(q, type):
        assert p is q
    else:
        close(p, q, rtol=1e-6)


@each_case
def test_expand(name: str, params: dict[str, Any], value: Any) -> None:
    (mine, _), _ = both(name, params)
    shape = (3, *mine.batch_shape)
    wide = mine.expand(shape)
    assert type(wide) is type(mine) and tuple(wide.batch_shape) == shape
    x = mine.sample()
    np.testing.assert_allclose(
        wide.log_prob(x).detach().numpy(),
        np.broadcast_to(mine.log_prob(x).detach().numpy(), shape),
        rtol=1e-9,
    )
    assert tuple(wide.sample((2,)).shape) == (2, *shape, *mine.event_shape)
    assert tuple(wide.expand((5, *shape)).sample().shape) == (5, *shape, *mine.event_shape)


@each_case
def test_float32_stays_float32(name: str, params: dict[str, Any], value: Any) -> None:
    (mine, _), (theirs, _) = both(name, params, "float32")
    x, y = minigrad.tensor(value), torch.tensor(value)
    if x.is_floating_point():
        x, y = x.float(), y.float()
    close(mine.log_prob(x), theirs.log_prob(y), rtol=2e-4, atol=2e-5)
    assert mine.sample().dtype.name == str(theirs.sample().dtype).removeprefix("torch.")


@each_case
def test_samples_are_in_the_support_and_have_the_moments(
    name: str, params: dict[str, Any], value: Any
) -> None:
    (mine, a), (theirs, _) = both(name, params)
    n = 6000
    x = mine.sample((n,))
    assert tuple(x.shape) == (n, *mine.batch_shape, *mine.event_shape)
    assert not x.requires_grad
    assert bool(mine.support.check(x).all())
    mean, variance = ask(mine, "mean"), ask(mine, "variance")
    if isinstance(mean, type) or isinstance(variance, type):
        return
    mean, std = mean.detach().numpy(), np.sqrt(variance.detach().numpy())
    usual = np.isfinite(mean) & np.isfinite(std) & (name != "VonMises")
    if name in ("Pareto", "StudentT", "InverseGamma", "FisherSnedecor", "Weibull", "LogNormal"):
        usual = usual & (std < 1.5 * np.abs(mean))  # heavy tails: the mean of few says little
    mean, std = np.where(usual, mean, 0.0), np.where(usual, std, 1.0)
    error = np.abs(x.numpy().mean(0) - mean) / np.maximum(std, 1e-12) * math.sqrt(n)
    assert np.all(error[usual] < 5), error
    spread = x.numpy().std(0) / np.maximum(std, 1e-12)
    light = usual & (name not in ("GeneralizedPareto", "Pareto", "InverseGamma", "FisherSnedecor"))
    assert np.all(np.abs(spread[light & (std > 0)] - 1) < 0.15), spread


@each_case
def test_samples_follow_the_cdf(name: str, params: dict[str, Any], value: Any) -> None:
    """Kolmogorov and Smirnov: |F_n − F| < 1.95/√n with probability 0.999."""
    (mine, _), (theirs, _) = both(name, params)
    n = 4000
    x = mine.sample((n,))
    u = ask(mine, "cdf", x)
    if name in ("Gamma", "Chi2", "Beta", "StudentT", "VonMises") or isinstance(u, type):
        stats = pytest.importorskip("scipy.stats")
        p = {k: v for k, v in params.items()}
        known = {
            "Gamma": lambda: stats.gamma(p["concentration"], scale=1 / p["rate"]),
            "Chi2": lambda: stats.chi2(p["df"]),
            "Beta": lambda: stats.beta(p["concentration1"], p["concentration0"]),
            "StudentT": lambda: stats.t(p["df"], p["loc"], p["scale"]),
            "FisherSnedecor": lambda: stats.f(p["df1"], p["df2"]),
            "VonMises": lambda: stats.vonmises(p["concentration"], loc=p["loc"]),
            "InverseGamma": lambda: stats.invgamma(p["concentration"], scale=p["rate"]),
        }.get(name)
        if known is None:
            pytest.skip("no cumulative distribution function")
        u = known().cdf(x.numpy())
        if name == "VonMises":
            u = u % 1.0
    else:
        u = u.detach().numpy()
    ordered = np.sort(u, axis=0)
    grid = (np.arange(n) + 0.5) / n
    distance = np.abs(ordered - grid.reshape((n,) + (1,) * (ordered.ndim - 1))).max(0)
    assert np.all(distance < 1.95 / math.sqrt(n)), distance


@each_case
def test_enumerate_support(name: str, params: dict[str, Any], value: Any) -> None:
    (mine, _), (theirs, _) = both(name, params)
    for expand in (True, False):
        p, q = ask(mine, "enumerate_support", expand), ask(theirs, "enumerate_support", expand)
        if isinstance(q, type):
            assert p is q
        else:
            close(p, q)


# ------------------------------------------------------------------------------ gradients
def test_gamma_samples_have_the_gradient_of_the_quantile() -> None:
    """dz/dα at fixed F(z; α): central differences of SciPy's quantile function."""
    special = pytest.importorskip("scipy.special")
    alpha = minigrad.tensor(A([0.05, 0.4, 1.0, 3.0, 30.0, 500.0]), requires_grad=True)
    z = D.Gamma(alpha, 1.0).rsample()
    z.sum().backward()
    a, h = alpha.detach().numpy(), 1e-5 * alpha.detach().numpy()
    f = special.gammainc(a, z.detach().numpy())
    difference = (special.gammaincinv(a + h, f) - special.gammaincinv(a - h, f)) / (2 * h)
    np.testing.assert_allclose(alpha.grad.numpy(), difference, rtol=1e-4)


def test_gamma_gradient_agrees_with_pytorch_where_it_is_approximate() -> None:
    alpha = np.repeat([0.1, 0.7, 2.0, 9.0, 60.0], 20)
    z = np.random.default_rng(0).gamma(alpha)
    from minigrad.distributions._implicit import gamma_gradient

    theirs = torch._standard_gamma_grad(torch.tensor(alpha), torch.tensor(z)).numpy()
    np.testing.assert_allclose(gamma_gradient(z, alpha), theirs, rtol=5e-3, atol=1e-5)


def test_beta_samples_have_the_gradient_of_the_quantile() -> None:
    special = pytest.importorskip("scipy.special")
    a = minigrad.tensor(A([0.3, 1.0, 3.0, 40.0]), requires_grad=True)
    b = minigrad.tensor(A([0.6, 2.0, 0.5, 70.0]), requires_grad=True)
    x = D.Beta(a, b).rsample()
    x.sum().backward()
    p, q, f = a.detach().numpy(), b.detach().numpy(), 1e-5
    u = special.betainc(p, q, x.detach().numpy())
    by_a = (special.betaincinv(p + f, q, u) - special.betaincinv(p - f, q, u)) / (2 * f)
    by_b = (special.betaincinv(p, q + f, u) - special.betaincinv(p, q - f, u)) / (2 * f)
    np.testing.assert_allclose(a.grad.numpy(), by_a, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), by_b, rtol=1e-3, atol=1e-6)


def test_dirichlet_gradient_agrees_with_pytorch() -> None:
    from minigrad.distributions._implicit import beta_gradient

    alpha = np.tile(A([0.5, 3.0, 1.2, 6.0]), (50, 1))
    x = np.random.default_rng(0).dirichlet(alpha[0], 50)
    total = alpha.sum(-1, keepdims=True)
    theirs = torch._dirichlet_grad(
        torch.tensor(x), torch.tensor(alpha), torch.tensor(np.broadcast_to(total, alpha.shape))
    ).numpy()
    mine = beta_gradient(x, alpha, total - alpha) / (1 - x)
    np.testing.assert_allclose(mine, theirs, rtol=5e-3, atol=1e-4)


REPARAMETERISED = [c for c in CASES if getattr(T, c[0]).has_rsample is True or c[0] in (
    "Gumbel", "Pareto", "Weibull")]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "params", "value"), REPARAMETERISED, ids=[c[0] for c in REPARAMETERISED]
)
def test_rsample_gradients_reach_every_parameter(
    name: str, params: dict[str, Any], value: Any
) -> None:
    (mine, leaves), _ = both(name, params)
    x = mine.rsample((3,))
    assert x.requires_grad == bool(leaves)
    if not leaves:
        return
    grads = minigrad.autograd.grad(
        (x * minigrad.rand(x.shape, dtype=x.dtype)).sum(), leaves, allow_unused=True
    )
    for g in grads:
        assert g is not None and bool(g.isfinite().all())


def test_expected_gradient_of_a_normal_sample() -> None:
    mu = minigrad.tensor(1.5, dtype=minigrad.float64, requires_grad=True)
    sigma = minigrad.tensor(0.5, dtype=minigrad.float64, requires_grad=True)
    (D.Normal(mu, sigma).rsample((40000,)) ** 2).mean().backward()
    assert abs(mu.grad.item() - 3.0) < 0.05 and abs(sigma.grad.item() - 1.0) < 0.05


# ------------------------------------------------------------------------------ composed
def test_independent_mixture_and_transformed() -> None:
    for lib, mod in ((minigrad, D), (torch, T)):
        loc = lib.tensor(A([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]]), requires_grad=True)
        normal = mod.Normal(loc, lib.tensor(A([0.5, 1.0, 2.0])))
        ind = mod.Independent(normal, 1)
        mix = mod.MixtureSameFamily(mod.Categorical(lib.tensor(PROBS)), normal)
        of_vectors = mod.MixtureSameFamily(mod.Categorical(lib.tensor(A([0.3, 0.7]))), ind)
        moved = mod.TransformedDistribution(
            normal, [mod.AffineTransform(1.0, -2.0), mod.SigmoidTransform()]
        )
        x = lib.tensor(A([0.3, 0.8]))
        v = lib.tensor(A([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]))
        values = [ind.log_prob(v), ind.entropy(), ind.mean, mix.log_prob(x), mix.cdf(x), mix.mean]
        values += [mix.variance, of_vectors.log_prob(v), of_vectors.mean, moved.log_prob(v)]
        values += [of_vectors.variance, moved.cdf(v), moved.icdf(v)]
        values += list(lib.autograd.grad(values[3].sum() + values[9].sum(), [loc]))
        if lib is minigrad:
            mine = values
            for d, shape in ((ind, (2, 3)), (mix, (2,)), (of_vectors, (3,)), (moved, (2, 3))):
                assert tuple(d.sample((4,)).shape) == (4, *shape)
                assert tuple(d.expand((5, *d.batch_shape)).sample().shape) == (5, *shape)
    for p, q in zip(mine, values, strict=True):
        close(p, q)


# ------------------------------------------------------------------------------ divergences
FAMILIES = {
    "Bernoulli": {"probs": [[0.2, 0.9], [0.6, 0.3]]},
    "Beta": {"concentration1": [[0.5, 3.0], [2.0, 1.0]], "concentration0": [[2.0, 0.7], [1.0, 4.0]]},
    "Binomial": {"total_count": [[5.0, 5.0], [5.0, 5.0]], "probs": [[0.2, 0.9], [0.6, 0.3]]},
    "Categorical": {"probs": [PROBS, PROBS[::-1].copy()]},
    "OneHotCategorical": {"probs": [PROBS, PROBS[::-1].copy()]},
    "Cauchy": {"loc": [[0.0, 1.0], [2.0, 1.0]], "scale": [[1.0, 0.5], [2.0, 0.7]]},
    "ContinuousBernoulli": {"probs": [[0.2, 0.9], [0.6, 0.5]]},
    "Dirichlet": {"concentration": [PROBS * 3, PROBS[::-1] * 5]},
    "Exponential": {"rate": [[0.5, 2.0], [1.0, 3.0]]},
    "Gamma": {"concentration": [[0.5, 2.0], [1.0, 3.0]], "rate": [[1.5, 1.0], [0.3, 2.0]]},
    "Geometric": {"probs": [[0.2, 0.9], [0.6, 0.3]]},
    "Gumbel": {"loc": [[0.0, 1.0], [2.0, 1.0]], "scale": [[1.0, 0.5], [2.0, 0.7]]},
    "HalfNormal": {"scale": [[1.0, 0.5], [2.0, 0.7]]},
    "Laplace": {"loc": [[0.0, 1.0], [2.0, 1.0]], "scale": [[1.0, 0.5], [2.0, 0.7]]},
    "LogNormal": {"loc": [[0.0, 1.0], [2.0, 1.0]], "scale": [[1.0, 0.5], [2.0, 0.7]]},
    "Normal": {"loc": [[0.0, 1.0], [2.0, 1.0]], "scale": [[1.0, 0.5], [2.0, 0.7]]},
    "Pareto": {"scale": [[1.0, 2.5], [0.7, 3.0]], "alpha": [[2.5, 1.5], [3.0, 0.7]]},
    "Poisson": {"rate": [[0.5, 2.0], [1.0, 3.0]]},
    "Uniform": {"low": [[0.2, 1.0], [0.1, -1.0]], "high": [[0.7, 2.0], [0.9, 3.0]]},
    "MultivariateNormal": {"loc": [PROBS, PROBS[::-1].copy()], "scale_tril": [TRIL, np.eye(3) + 0.5 * TRIL]},
    "LowRankMultivariateNormal": {"loc": [PROBS, PROBS[::-1].copy()],
        "cov_factor": [TRIL[:, :2].copy(), TRIL[:, 1:].copy()],
        "cov_diag": [[1.0, 0.5, 2.0], [0.3, 0.4, 1.0]]},
    "VonMises": {"loc": [[0.0, 1.0], [2.0, 1.0]], "concentration": [[1.0, 0.5], [2.0, 0.7]]},
}  # fmt: skip


@pytest.mark.parametrize(("p", "q"), list(itertools.product(FAMILIES, FAMILIES)))
def test_kl_divergence(p: str, q: str) -> None:
    def made(lib: Any, mod: Any) -> Any:
        pair, leaves = [], []
        for name, i in ((p, 0), (q, 1)):
            given = {
                k: lib.tensor(np.asarray(v[i]), requires_grad=k != "total_count")
                for k, v in FAMILIES[name].items()
            }
            leaves += [v for v in given.values() if v.requires_grad]
            pair.append(getattr(mod, name)(**given))
        try:
            return mod.kl_divergence(*pair), leaves
        except (NotImplementedError, RuntimeError, ValueError) as error:
            return type(error), leaves

    (mine, a), (theirs, b) = made(minigrad, D), made(torch, T)
    if isinstance(theirs, type):
        assert mine is theirs
        return
    close(mine, theirs)
    if bool(torch.isfinite(theirs).all()):
        compare_gradients(mine, theirs, a, b, rtol=1e-6)


def test_kumaraswamy_mode() -> None:
    mode = D.Kumaraswamy(minigrad.tensor(3.0), 2.0).mode
    assert abs(mode.item() - (2 / 5) ** (1 / 3)) < 1e-6


def test_kl_of_independents_and_own_registration() -> None:
    p = D.Independent(D.Normal(minigrad.zeros(2, 3), 1.0), 1)
    q = D.Independent(D.Normal(minigrad.ones(2, 3), 2.0), 1)
    close(D.kl_divergence(p, q), torch.full((2,), 3 * (math.log(2) + 2 / 8 - 0.5)), rtol=1e-5)

    class Mine(D.Normal):
        pass

    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 0

    @D.register_kl(Mine, Mine)
    def _mine(p: Any, q: Any) -> Any:
        return minigrad.tensor(7.0)

    assert D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)).item() == 7
    with pytest.raises(TypeError):
        D.register_kl(int, D.Normal)


# ------------------------------------------------------------------------------ errors
def t(*values: float) -> Any:
    return lambda lib: lib.tensor(values)


ERRORS: list[tuple[str, Any]] = [
    ("negative scale", lambda lib, d: d.Normal(0.0, lib.tensor([1.0, -1.0]))),
    ("nan loc", lambda lib, d: d.Normal(math.nan, 1.0)),
    ("low above high", lambda lib, d: d.Uniform(1.0, 0.0)),
    ("rate", lambda lib, d: d.Exponential(-1.0)),
    ("probs above one", lambda lib, d: d.Bernoulli(1.5)),
    ("both parameters", lambda lib, d: d.Bernoulli(0.5, 0.5)),
    ("no parameter", lambda lib, d: d.Categorical()),
    ("0-d categorical", lambda lib, d: d.Categorical(lib.tensor(0.5))),
    ("negative probs", lambda lib, d: d.Categorical(lib.tensor([0.5, -0.5, 1.0]))),
    ("0-d dirichlet", lambda lib, d: d.Dirichlet(lib.tensor(0.5))),
    ("strings", lambda lib, d: d.Normal("a", 1.0)),
    ("outside of the support", lambda lib, d: d.Gamma(1.0, 1.0).log_prob(lib.tensor(-1.0))),
    ("half", lambda lib, d: d.Bernoulli(0.5).log_prob(lib.tensor(0.5))),
    ("shape", lambda lib, d: d.Normal(lib.zeros(3), 1.0).log_prob(lib.zeros(2))),
    ("event", lambda lib, d: d.Dirichlet(lib.ones(3)).log_prob(lib.ones(2) / 2)),
    ("no tensor", lambda lib, d: d.Normal(0.0, 1.0).log_prob(0.5)),
    ("category", lambda lib, d: d.Categorical(lib.ones(3)).log_prob(lib.tensor(3))),
    ("not positive definite", lambda lib, d: d.MultivariateNormal(lib.zeros(2), -lib.eye(2))),
    ("two matrices", lambda lib, d: d.MultivariateNormal(lib.zeros(2), lib.eye(2), lib.eye(2))),
    ("0-d loc", lambda lib, d: d.MultivariateNormal(lib.tensor(0.0), lib.eye(2))),
    ("factor", lambda lib, d: d.LowRankMultivariateNormal(lib.zeros(2), lib.ones(3, 1), lib.ones(2))),
    ("independent", lambda lib, d: d.Independent(d.Normal(0.0, 1.0), 1)),
    ("transforms", lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), "exp")),
    ("mixture", lambda lib, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(lib.zeros(2), 1.0))),
    ("components", lambda lib, d: d.MixtureSameFamily(d.Categorical(lib.ones(3)), d.Normal(lib.zeros(2), 1.0))),
    ("counts", lambda lib, d: d.Multinomial(lib.tensor([1, 2]), lib.ones(2))),
    ("order", lambda lib, d: d.LKJCholesky(1)),
    ("df", lambda lib, d: d.Wishart(lib.tensor(0.5), lib.eye(3))),
    ("no formula", lambda lib, d: d.kl_divergence(d.Poisson(1.0), d.Normal(0.0, 1.0))),
    ("flag", lambda lib, d: d.Distribution.set_default_validate_args(3)),
    ("geometric", lambda lib, d: d.Geometric(0.0)),
]  # fmt: skip


@pytest.mark.parametrize("call", [c for _, c in ERRORS], ids=[n for n, _ in ERRORS])
def test_errors(call: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: B017
        call(torch, T)
    with pytest.raises(theirs.type):
        call(minigrad, D)


def test_validation_can_be_turned_off() -> None:
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    value = D.Gamma(1.0, 1.0, validate_args=False).log_prob(minigrad.tensor(-1.0))
    assert value.numpy() == 1.0
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="to satisfy the constraint GreaterThan"):
        D.Normal(0.0, -1.0)


def test_subclass_must_define_expand() -> None:
    class Own(D.Normal):
        def __init__(self) -> None:
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError):
        Own().expand((3,))


@pytest.mark.parametrize("i", range(len(CASES)), ids=IDS)
def test_repr(i: int) -> None:
    name, params, _ = CASES[i]
    params = {k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in params.items()}
    p = getattr(D, name)(**{k: minigrad.tensor(v) if isinstance(v, np.ndarray) else v
                            for k, v in params.items()})  # fmt: skip
    q = getattr(T, name)(**{k: torch.tensor(v) if isinstance(v, np.ndarray) else v
                            for k, v in params.items()})  # fmt: skip
    assert repr(p).replace("minigrad", "torch") == repr(q)


def test_exponential_family_entropy_by_bregman() -> None:
    for name in ("Normal", "Gamma", "Beta", "Dirichlet", "Bernoulli", "Exponential"):
        params = next(p for n, p, _ in CASES if n == name)
        (mine, _), _ = both(name, params)
        mine_entropy = D.ExponentialFamily.entropy(mine)
        np.testing.assert_allclose(
            mine_entropy.detach().numpy(), mine.entropy().detach().numpy(), rtol=1e-8
        )


def test_reinforce_and_reparameterised_programs_run() -> None:
    """The two usual uses: a policy gradient, and a variational bound."""
    logits = minigrad.zeros(4, 3, requires_grad=True)
    policy = D.Categorical(logits=logits)
    action = policy.sample()
    (-policy.log_prob(action) * minigrad.randn(4)).mean().backward()
    assert logits.grad.shape == (4, 3)
    mu, log_var = minigrad.zeros(5, requires_grad=True), minigrad.zeros(5, requires_grad=True)
    q = D.Normal(mu, (0.5 * log_var).exp())
    bound = q.rsample().square().sum() + D.kl_divergence(q, D.Normal(0.0, 1.0)).sum()
    bound.backward()
    assert mu.grad is not None and log_var.grad is not None
