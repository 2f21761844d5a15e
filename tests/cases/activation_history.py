"""Activations that PyTorch has no function for; the reference is their formula, in PyTorch."""

from __future__ import annotations

import importlib
import math
from typing import Any

from tests.cases import Case, Make, S
from tests.cases.activation import EDGES, act


def torch() -> Any:
    """Imported when a comparison runs: without PyTorch the other checks still work."""
    return importlib.import_module("torch")


def F() -> Any:
    return torch().nn.functional


def softplus(x: Any) -> Any:
    return torch().logaddexp(x, torch().zeros_like(x))


def step(x: Any, threshold: float = 0.0, signed: bool = False, estimator: str = "none") -> Any:
    low = -1.0 if signed else 0.0
    hard = torch().where(x.isnan(), x, torch().where(x > threshold, 1.0, low).to(x.dtype))
    if estimator == "none":
        return hard.detach() + 0 * torch().nan_to_num(x, 0, 0, 0)
    passed = x if estimator == "identity" else F().hardtanh(x - threshold)
    return hard.detach() + (passed - passed.detach()).nan_to_num(0, 0, 0)


def smelu(x: Any, beta: float = 1.0) -> Any:
    inside = (x + beta) ** 2 / (4 * beta)
    return torch().where(x <= -beta, 0 * x, torch().where(x > beta, x, inside))


def xielu(
    x: Any, alpha_p: Any = 0.8, alpha_n: Any = 0.8, beta: float = 0.5, eps: float = -1e-6
) -> Any:
    low = torch().expm1(x.clamp(max=eps)) - x
    return torch().where(x > 0, alpha_p * x * x, alpha_n * low) + beta * x


def snake(x: Any, alpha: Any = 1.0, beta: Any = None) -> Any:
    return x + torch().sin(alpha * x) ** 2 / (alpha if beta is None else beta)


def maxout(x: Any, pieces: int, dim: int = -1) -> Any:
    dim %= x.dim()
    return x.unflatten(dim, (x.shape[dim] // pieces, pieces)).amax(dim + 1)


def clamped_swiglu(gate: Any, value: Any, alpha: float = 1.702, limit: float = 7.0) -> Any:
    gate, value = gate.clamp(max=limit), value.clamp(-limit, limit)
    return (value + 1) * gate * torch().sigmoid(alpha * gate)


def gaussian_topk(x: Any, sparsity: float, dim: int = -1) -> Any:
    z = torch().distributions.Normal(0.0, 1.0).icdf(torch().tensor(sparsity, dtype=x.dtype))
    spread = x.std(dim, correction=0, keepdim=True)
    return F().relu(x - (x.mean(dim, keepdim=True) + spread * z))


def entmax(x: Any, alpha: float = 1.5, dim: int = -1) -> Any:
    """By bisection for τ in float64, then the closed form on the support: differentiable."""
    if alpha == 1:
        return x.softmax(dim)
    power, z = 1 / (alpha - 1), x.double() * (alpha - 1)
    low = z.amax(dim, keepdim=True).detach() - 1
    high = low + 1
    for _ in range(80):
        middle = (low + high) / 2
        above = ((z.detach() - middle).clamp(min=0) ** power).sum(dim, keepdim=True) >= 1
        low, high = torch().where(above, middle, low), torch().where(above, high, middle)
    p = (z.detach() - low).clamp(min=0) ** power
    s = torch().where(p > 0, torch().where(p > 0, p, 1) ** (2 - alpha), 0)
    # dp = s (dx − Σ s dx / Σ s): attach it to the constant p
    moved = s * (x - (s * x).sum(dim, keepdim=True) / s.sum(dim, keepdim=True))
    return (p + moved - moved.detach()).to(x.dtype)


def nnf(name: str, samples: Any, reference: Any, **options: Any) -> Case:
    return Case(f"nn.functional.{name}", samples, torch=reference, **options)


def gates(*options: dict[str, Any]) -> Any:
    """Two projections: equal shapes, 0-d, empty, edge values."""

    def samples(r: Make) -> list[S]:
        found = []
        for kwargs in options or ({},):
            found += [
                S(r.away(3, 4), r.away(3, 4), **kwargs),
                S(r.away(), r.away(), **kwargs),
                S(r(0, 3), r(0, 3), **kwargs),
                S(r.values(EDGES), r.values(EDGES[::-1]), smooth=False, **kwargs),
            ]
        return found

    return samples


def sparse(*options: dict[str, Any]) -> Any:
    def samples(r: Make) -> list[S]:
        found = []
        for kwargs in options:
            found += [
                S(r(4, 7), **kwargs),
                S(r(3, 5, 2), dim=1, **kwargs),
                S(r(), **kwargs),
                S(r(0, 3), **kwargs),
                S(r(4, 1), **kwargs),
                S(r.values([[2.0, 2.0, -50.0, 1.9], [0.0, 0.0, 0.0, 0.0]]), smooth=False, **kwargs),
            ]
        return found

    return samples


STEPS = ({}, {"threshold": 0.3, "signed": True})
ESTIMATED = ({"estimator": "identity"}, {"estimator": "clipped", "threshold": 0.25})

CASES = [
    nnf("step", act(*STEPS, kinks=(0.0, 0.3)), step),
    nnf(
        "step",
        lambda r: [S(r(3, 4), grad=True, smooth=False, **options) for options in ESTIMATED],
        step,
    ),
    nnf("lecun_tanh", act(), lambda x: 1.7159 * torch().tanh(2 / 3 * x)),
    nnf(
        "laplace",
        act({}, {"mu": 0.1, "sigma": 0.7}),
        lambda x, mu=0.707107, sigma=0.282095: (
            0.5 * (1 + torch().erf((x - mu) / (sigma * math.sqrt(2))))
        ),
    ),
    nnf("relu_squared", act(), lambda x: F().relu(x) ** 2),
    nnf(
        "crelu",
        lambda r: [S(r.away(3, 4)), S(r.away(2, 3, 2), dim=-1), S(r(0, 3))],
        lambda x, dim=1: torch().cat([F().relu(x), F().relu(-x)], dim),
    ),
    nnf(
        "maxout",
        lambda r: [
            S(r.distinct(3, 6), 2),
            S(r.distinct(2, 6, 3), 3, dim=1),
            S(r.distinct(2, 4), 1),
            S(r(0, 4), 2),
            S(r.values([[1.0, 1.0, 2.0, 0.0]]), 2, smooth=False),
        ],
        maxout,
    ),
    nnf("sqrt_softplus", act(extreme=False), lambda x: softplus(x).sqrt()),
    nnf(
        "swish",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 1.702),
            S(r(3, 4), r()),
            S(r(3, 4), r(4)),
            S(r(), r()),
            S(r(0, 3), r(3)),
            S(r.values(EDGES), 2.0, smooth=False),
        ],
        lambda x, beta=1.0: x * torch().sigmoid(x * beta),
    ),
    nnf("quick_gelu", act(extreme=False), lambda x: x * torch().sigmoid(1.702 * x)),
    nnf("serf", act(), lambda x: x * torch().erf(softplus(x))),
    nnf("smelu", act({}, {"beta": 2.5}, kinks=(-1.0, 1.0, -2.5, 2.5), extreme=False), smelu),
    nnf(
        "xielu",
        lambda r: [
            S(r.away(3, 4)),
            S(r.away(3, 4), r.pos(), r.pos(), beta=0.3),
            S(r.away(3, 4), r.pos(1), r.pos(1)),
            S(r.away(), 0.5, 1.5),
            S(r(0, 3), r.pos(), r.pos()),
            S(r.values(EDGES[2:11]), smooth=False),
        ],
        xielu,
    ),
    nnf(
        "snake",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 2.5),
            S(r(3, 4), r.pos(4)),
            S(r(2, 3, 4), r.pos(3, 1), r.pos(3, 1)),
            S(r(), r.pos()),
            S(r(0, 3), r.pos(3)),
        ],
        snake,
    ),
    nnf(
        "sine",
        act({}, {"omega": 1.5}, extreme=False),
        lambda x, omega=30.0: torch().sin(omega * x),
        half=False,
    ),
    nnf("reglu", gates(), lambda g, v: F().relu(g) * v),
    nnf("drelu", gates(), lambda g, v: F().relu(g) * F().relu(v)),
    nnf(
        "geglu",
        gates({}, {"approximate": "tanh"}),
        lambda g, v, approximate="none": F().gelu(g, approximate=approximate) * v,
    ),
    nnf("swiglu", gates(), lambda g, v: F().silu(g) * v),
    nnf("clamped_swiglu", gates({}, {"alpha": 1.0, "limit": 2.5}), clamped_swiglu),
    nnf(
        "gaussian_topk",
        lambda r: [
            S(r(3, 9), 0.95),
            S(r(3, 9), 0.3),
            S(r(4, 3), 0.5, dim=0),
            S(r(2, 3, 5), sparsity=0.7, dim=-2),
        ],
        gaussian_topk,
    ),
    nnf("sparsemax", sparse({}), lambda x, dim=-1: entmax(x, 2.0, dim), half=False),
    nnf(
        "entmax",
        sparse({}, {"alpha": 1.0}, {"alpha": 2.0}, {"alpha": 1.25}, {"alpha": 3.0}),
        entmax,
        half=False,
    ),
]
