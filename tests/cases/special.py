"""Error functions, gamma functions, Bessel functions, orthogonal polynomials."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, unary
from tests.cases.elementwise import EDGES, pairs, smooth

INF, NAN = np.inf, np.nan


def positive(low: float = 0.3, high: float = 4.0):
    return smooth(low, high)


def gammas(r: Make) -> list[S]:
    """On both sides of 0, away from the poles; then the poles."""
    negative = r(3, low=-2.8, high=-2.2)
    return [
        *smooth(0.3, 4.0)(r)[:4],
        S(negative),
        S(r.int(1, 9, 3)),
        S(r.values([0.0, -0.0, -1.0, -2.0, 30.5]), grad=False),
    ]


def polygammas(r: Make) -> list[S]:
    x = [S(n, r(3, 4, low=0.3, high=4.0)) for n in (0, 1, 2, 3)]
    return [
        *x,
        S(1, r(3, low=-2.8, high=-2.2)),
        S(2, r()),
        S(1, r.pos(0, 3)),
        S(2, r.int(1, 9, 3)),
        S(1, r.values([1.0, 0.5])),
    ]


def incomplete(r: Make) -> list[S]:
    p = lambda *s: r(*s, low=0.5, high=3.0)  # noqa: E731
    a = lambda *s: _fixed(p(*s))  # noqa: E731
    edges = S(
        r.values([0.0, 1.0, -1.0, 0.0, 2.0, NAN]),
        r.values([1.0, 0.0, 1.0, 0.0, INF, 1.0]),
        grad=False,
    )
    return [S(a(3, 4), p(3, 4)), S(a(3, 1), p(4)), S(a(), p(2)), S(a(0, 3), p(3)), edges]


def _fixed(array):
    array.grad = False  # there is no derivative for the first argument
    return array


def zetas(r: Make) -> list[S]:
    x = lambda *s: _fixed(r(*s, low=1.5, high=4.0))  # noqa: E731
    q = lambda *s: r(*s, low=0.5, high=3.0)  # noqa: E731
    return [
        S(x(3, 4), q(3, 4)),
        S(x(3, 1), q(4)),
        S(2.5, q(3)),
        S(x(), q(2)),
        S(_fixed(x(3)), 2.0, grad=False),
        S(r.values([1.0, 0.5, 2.0, 3.0]), r.values([1.0, 2.0, -1.0, -1.5]), grad=False),
        S(r.int(2, 4, 3), r.int(1, 4, 3)),
    ]


def degrees(r: Make) -> list[S]:
    return [
        S(r(3, 4, low=-1.5, high=1.5), r.int(0, 6, 4)),
        S(r(3, 4, low=-0.9, high=0.9), 5),
        S(r(3), r.values([0.0, 2.7, -1.0])),
        S(0.3, r.int(0, 9, 4)),
        S(r.values([1.0, -1.0, 0.0]), 4),
        S(r(), r.int(0, 4, 2)),
        S(r(0, 3), 2),
        S(r.int(0, 3, 3), 3),
    ]


def values_at_edges(samples):
    """The samples without gradients at edge values, where PyTorch's are not the limits."""

    def changed(r: Make) -> list[S]:
        found = samples(r)
        for s in found:
            s.grad = s.grad and s.smooth
        return found

    return changed


CASES = [
    Case("erf", smooth()),
    Case("erfc", smooth()),
    Case("special.erfcx", smooth()),
    Case("erfinv", smooth(-0.9, 0.9)),
    Case("special.ndtr", smooth()),
    Case("special.ndtri", smooth(0.1, 0.9)),
    Case(
        "special.log_ndtr",
        lambda r: [*values_at_edges(smooth())(r), S(r.values([-40.0, -10.0, 5.0]))],
    ),
    Case("special.entr", smooth(0.2, 3.0)),
    Case(
        "special.xlog1py",
        lambda r: [
            *pairs(low2=-0.6, high2=2.0)(r),
            S(2.0, r.pos(3)),
            S(r.values([0.0, 0.0, 1.0]), r.values([-2.0, 3.0, 1.0]), grad=False),
        ],
    ),
    Case("lgamma", gammas),
    Case("digamma", gammas),
    Case("polygamma", polygammas, rtol=1e-4, why="sums of series, which PyTorch ends earlier"),
    Case(
        "mvlgamma",
        lambda r: (
            [S(r(3, 4, low=2.2, high=5.0), p) for p in (1, 2, 4)]
            + [S(r(low=2.2, high=3.0), 2), S(r.int(3, 6, 3), 2), S(r(0, 2), p=3)]
        ),
    ),
    Case("igamma", incomplete, half=False),
    Case("igammac", incomplete, half=False),
    Case("special.zeta", zetas, half=False),
    Case("i0", smooth()),
    Case("special.i0e", smooth(kinks=(0.0,))),
    Case(
        "special.i1",
        lambda r: [
            *values_at_edges(smooth(kinks=(0.0,)))(r),
            S(r.values([0.0, 1.0]), smooth=False),
        ],
    ),
    Case(
        "special.i1e",
        lambda r: [
            *values_at_edges(smooth(kinks=(0.0,)))(r),
            S(r.values([0.0, 1.0]), smooth=False),
        ],
    ),
    *[
        Case(f"special.{name}", unary(0.4, 4.0), half=False, tags=("derivative of our own",))
        for name in (
            "bessel_j0",
            "bessel_j1",
            "bessel_y0",
            "bessel_y1",
            "modified_bessel_i0",
            "modified_bessel_i1",
            "modified_bessel_k0",
            "modified_bessel_k1",
            "scaled_modified_bessel_k0",
            "scaled_modified_bessel_k1",
            "spherical_bessel_j0",
            "airy_ai",
        )
    ],
    *[
        Case(
            f"special.{name}",
            lambda r: [S(r.values(EDGES)), S(r.int(0, 5, 3)), S(r(3, 4, low=-8, high=8))],
            grad=False,
            half=False,
            rtol=1e-4,
            atol=1e-4,
            dtypes=("float32",),
            why="PyTorch's approximation of J has only float32's precision, in float64 too",
        )
        for name in ("bessel_j0", "bessel_j1", "modified_bessel_i0", "modified_bessel_i1")
    ],
    *[
        Case(
            f"special.{name}",
            degrees,
            grad=False,
            half=False,
            atol=1e-4,
            why="PyTorch takes cosines for some degrees",
        )
        for name in (
            "chebyshev_polynomial_t",
            "chebyshev_polynomial_u",
            "chebyshev_polynomial_v",
            "chebyshev_polynomial_w",
            "shifted_chebyshev_polynomial_t",
            "shifted_chebyshev_polynomial_u",
            "shifted_chebyshev_polynomial_v",
            "shifted_chebyshev_polynomial_w",
            "hermite_polynomial_h",
            "hermite_polynomial_he",
            "laguerre_polynomial_l",
            "legendre_polynomial_p",
        )
    ],
]
