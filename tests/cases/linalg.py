"""Functions of matrices. What depends on the sign of a vector, or holds for Hermitian matrices only,
is compared in tests/test_linalg.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases import Array, Case, Make, S, const

INF = np.inf


def regular(r: Make, *shape: int) -> Array:
    """Matrices with singular values between 1 and 3, far from each other."""
    *batch, m, n = shape
    k = min(m, n)
    u = np.linalg.qr(r.rng.standard_normal((*batch, m, k)))[0]
    v = np.linalg.qr(r.rng.standard_normal((*batch, n, k)))[0]
    return r.values((u * np.linspace(3, 1, k)) @ np.swapaxes(v, -1, -2))


def positive(r: Make, *shape: int) -> Array:
    """Positive-definite matrices."""
    a = regular(r, *shape).values
    return r.values(a @ np.swapaxes(a, -1, -2))


def triangle(r: Make, *shape: int, upper: bool = False) -> Array:
    """Triangular matrices with a diagonal away from 0."""
    a = r.rng.standard_normal(shape) * 0.5 + 2 * np.eye(shape[-1])
    return r.values(np.triu(a) if upper else np.tril(a))


def z(r: Make, *shape: int) -> Array:
    """Complex regular matrices."""
    a = r.rng.standard_normal((2, *shape))
    return r.values(a[0] + 1j * a[1] + 2 * np.eye(*shape[-2:]), np.complex128)


def square(r: Make) -> list[S]:
    return [
        S(regular(r, 3, 3)),
        S(regular(r, 2, 3, 3)),
        S(regular(r, 2, 1, 1)),
        S(r(0, 0)),
        S(r(0, 3, 3)),
        S(z(r, 3, 3)),
    ]


def rectangular(r: Make, *more: Any, **options: Any) -> list[S]:
    shapes = ((4, 3), (3, 4), (2, 3, 3), (2, 2, 4), (0, 3), (3, 0), (2, 0, 3))
    return [S(regular(r, *s) if 0 not in s else r(*s), *more, **options) for s in shapes]


def integers_too(r: Make) -> list[S]:
    return [S(r.int(-3, 4, 2, 2), 3), S(r.int(-3, 4, 2, 2), 0)]


def case(name: str, samples: Callable[[Make], list[S]], **options: Any) -> Case:
    return Case(name, samples, **({"half": False, "rtol": 1e-4, "atol": 1e-4} | options))


def orders(r: Make, ords: tuple[Any, ...]) -> list[S]:
    found = []
    for ord in ords:
        found += [S(regular(r, 3, 4), ord), S(regular(r, 2, 3, 3), ord, keepdim=True)]
        found += [S(r(2, 3, 4), ord, dim=(2, 0))]
    return found


ALL_ORDERS = ("fro", "nuc", 1, -1, 2, -2, INF, -INF)


def systems(r: Make) -> list[S]:
    return [
        S(regular(r, 3, 3), r(3, 2)),
        S(regular(r, 3, 3), r(3)),
        S(regular(r, 2, 3, 3), r(2, 3)),
        S(regular(r, 2, 3, 3), r(3, 2)),
        S(regular(r, 3, 3), r(2, 3, 2)),
        S(regular(r, 3, 3), r(2, 3), left=False),
        S(regular(r, 3, 3), r(3, 0)),
        S(r(0, 0), r(0, 2)),
        S(z(r, 3, 3), z(r, 3, 2)),
        S(const(regular(r, 3, 3)), r(3, 2)),
        S(regular(r, 3, 3), const(r(3, 2))),
    ]


def triangular_systems(r: Make) -> list[S]:
    found = []
    for upper in (False, True):
        for unitriangular in (False, True):
            options = {"upper": upper, "unitriangular": unitriangular}
            found += [
                S(triangle(r, 3, 3, upper=upper), r(3, 2), **options),
                S(r(2, 3, 3, low=1, high=2), r(3, 2), **options),
                S(triangle(r, 3, 3, upper=upper), r(2, 3), left=False, **options),
            ]
    return [
        *found,
        S(r(0, 0), r(0, 2), upper=True),
        S(triangle(r, 40, 40), r(40, 1), upper=False),
        S(z(r, 3, 3), z(r, 3, 2), upper=True),
    ]


def packed(r: Make, *shape: int) -> tuple[Array, Array]:
    """LU factors without row exchanges but one, and their pivots."""
    a = r.rng.standard_normal(shape) * 0.3 + 2 * np.eye(*shape[-2:])
    pivots = np.broadcast_to(np.arange(1, min(shape[-2:]) + 1), (*shape[:-2], min(shape[-2:])))
    pivots = pivots.astype(np.int32)
    pivots[..., 0] = min(shape[-2:])
    return r.values(a), Array(pivots, False, False)


def factor_systems(r: Make) -> list[S]:
    options = ({}, {"left": False}, {"adjoint": True}, {"left": False, "adjoint": True})
    return [
        *[S(*packed(r, 3, 3), r(3, 3), **o) for o in options],
        S(*packed(r, 2, 3, 3), r(2, 3, 1)),
    ]


def least_squares(r: Make) -> list[S]:
    found = []
    for driver in (None, "gels", "gelsy", "gelsd", "gelss"):
        for shape in ((4, 3), (3, 3), (3, 4), (2, 4, 3)):
            found.append(S(regular(r, *shape), r(*shape[:-1], 2), driver=driver))
    return [*found, S(regular(r, 2, 4, 3), r(2, 4)), S(r(0, 3), r(0, 2)), S(r(3, 0), r(3, 2))]


def reflections(r: Make) -> list[S]:
    return [
        S(r(4, 3), r(3)), S(r(4, 3), r(2)), S(r(2, 4, 3), r(2, 3)), S(r(4, 3), r(0)),
        S(r(4, 0), r(0)), S(z(r, 3, 3), r.values(r.rng.standard_normal(3) + 1j, np.complex128)),
    ]  # fmt: skip


def applied_reflections(r: Make) -> list[S]:
    found = []
    for left in (True, False):
        for transpose in (True, False):
            other = r(4, 2) if left else r(2, 4)
            found.append(S(r(4, 3), r(3), other, left, transpose))
    return [*found, S(r(2, 4, 3), r(2, 3), r(2, 4, 2))]


def cholesky_systems(r: Make) -> list[S]:
    return [
        S(r(3, 2), triangle(r, 3, 3), smooth=False),
        S(r(3, 2), triangle(r, 3, 3, upper=True), upper=True, smooth=False),
        S(r(2, 3, 2), triangle(r, 3, 3), smooth=False),
        S(r(3, 2), const(triangle(r, 3, 3))),
        S(r(3, 2), const(triangle(r, 3, 3, upper=True)), True),
        S(r(0, 2), r(0, 0)),
    ]


def hermitian(r: Make) -> list[S]:
    """Compared with PyTorch only: differences would need symmetric perturbations."""
    return [S(positive(r, *s), smooth=False) for s in ((3, 3), (2, 3, 3), (1, 1))] + [S(r(0, 0))]


def hermitian_upper(r: Make) -> list[S]:
    return [*hermitian(r), *[S(positive(r, 2, 3, 3), upper=u, smooth=False) for u in (True, False)]]


def old_triangular(r: Make) -> list[S]:
    return [
        S(r(3, 2), triangle(r, 3, 3, upper=upper), upper, transpose, unit)
        for upper in (False, True) for transpose in (False, True) for unit in (False, True)
    ]  # fmt: skip


def ranks(r: Make) -> list[S]:
    low = r.values(np.outer([1.0, 2, 3], [1.0, 0, 2]))
    return [
        S(low), S(regular(r, 2, 3, 4)), S(positive(r, 3, 3), hermitian=True), S(low, 100.0),
        S(regular(r, 3, 3), atol=2.5), S(regular(r, 3, 3), rtol=0.5), S(r(0, 3)),
        S(regular(r, 3, 3), atol=0.5, rtol=0.9),
    ]  # fmt: skip


CASES = [
    # solves
    *[case(name, square) for name in ("linalg.inv", "inverse", "linalg.inv_ex")],
    # det of singular matrices: tests/test_linalg.py (PyTorch's gradient was 0 there when tried, not
    # the cofactors)
    *[case(name, square) for name in ("linalg.det", "det")],
    *[case(name, square) for name in ("linalg.slogdet", "slogdet", "logdet")],
    case("linalg.solve", systems),
    case("linalg.solve_ex", systems),
    case(
        "linalg.tensorsolve",
        lambda r: [S(r(2, 3, 6), r(2, 3)), S(r(6, 2, 3), r(2, 3), dims=(0,))],
    ),
    case("linalg.tensorinv", lambda r: [S(r(2, 3, 6)), S(r(4, 2, 2), ind=1)]),
    # triangular
    case("linalg.solve_triangular", triangular_systems),
    case("triangular_solve", old_triangular),
    case("cholesky_solve", cholesky_systems),
    case("cholesky_inverse", hermitian),
    *[case(n, hermitian_upper) for n in ("linalg.cholesky", "linalg.cholesky_ex", "cholesky")],
    # spectra
    case("linalg.eigh", lambda r: [S(r(0, 0))]),
    case("linalg.eigvalsh", lambda r: [*hermitian(r), S(positive(r, 3, 3), "U", smooth=False)]),
    case("linalg.eig", lambda r: [S(r(0, 0), grad=False)]),
    case(
        "linalg.eigvals",
        lambda r: [S(r.values([[1.0, 0.2], [0.1, 3.0]])), S(r.values([[5.0]])), S(r(0, 0))],
    ),
    case("linalg.svdvals", rectangular),
    case("linalg.svd", lambda r: [S(r(0, 3)), S(r(2, 3, 0), False)]),
    case("svd", lambda r: [S(regular(r, 2, 3), compute_uv=False, grad=False), S(r(0, 3))]),
    # factorings
    *[case(n, rectangular) for n in ("linalg.lu", "linalg.lu_factor_ex")],
    *[
        case(n, lambda r: [S(regular(r, *s)) for s in ((3, 3), (2, 4, 3), (3, 4), (40, 35))])
        for n in ("linalg.lu_factor", "lu")
    ],
    case("lu_unpack", lambda r: [S(*packed(r, *s)) for s in ((3, 3), (4, 3), (2, 3, 4))]),
    case("linalg.lu_solve", factor_systems),
    case("lu_solve", lambda r: [S(r(3, 2), *packed(r, 3, 3))]),
    *[
        case(n, lambda r: [S(positive(r, 2, 3, 3)), S(positive(r, 3, 3), hermitian=True)], grad=False)
        for n in ("linalg.ldl_factor", "linalg.ldl_factor_ex")
    ],
    case(
        "linalg.ldl_solve",
        lambda r: [S(triangle(r, 3, 3), Array(np.arange(1, 4, dtype=np.int32), False, False), r(3, 2))],
        grad=False,
    ),
    case(
        "linalg.qr",
        lambda r: [
            *rectangular(r), S(regular(r, 3, 4), "complete"), S(regular(r, 4, 3), "complete", grad=False),
            S(regular(r, 4, 3), "r", grad=False), S(z(r, 4, 3)), S(z(r, 3, 4)),
        ],
    ),
    case("qr", lambda r: [*rectangular(r), S(regular(r, 4, 3), False, grad=False)]),
    # reflections
    case("geqrf", lambda r: rectangular(r), grad=False),
    *[case(n, reflections) for n in ("linalg.householder_product", "orgqr")],
    case("ormqr", applied_reflections),
    # functions
    *[
        case(n, lambda r: [S(regular(r, 2, 3, 3), n) for n in (-2, -1, 0, 1, 2, 3, 5)] + integers_too(r))
        for n in ("linalg.matrix_power", "matrix_power")
    ],
    *[
        case(n, lambda r: [*square(r), S(r.values([[0.0, 30], [0.1, 2]])), S(r.values(np.zeros((2, 2))))])
        for n in ("linalg.matrix_exp", "matrix_exp")
    ],
    case(
        "linalg.pinv",
        lambda r: [
            *rectangular(r), S(regular(r, 3, 3), atol=0.5), S(regular(r, 3, 3), rtol=0.1),
            S(positive(r, 3, 3), hermitian=True, smooth=False),
        ],
    ),
    case("pinverse", rectangular),
    case("linalg.matrix_rank", ranks, grad=False),
    case("linalg.lstsq", least_squares),
    case(
        "linalg.vander",
        lambda r: [S(r(3)), S(r(2, 3), N=5), S(r(2), N=2), S(r.int(-3, 4, 3)), S(r.values([0.0, 2]))],
    ),
    case("linalg.diagonal", lambda r: [S(r(2, 3, 4)), S(r(2, 3, 4), offset=1, dim1=0, dim2=1)]),
    # norms
    case("linalg.matrix_norm", lambda r: orders(r, ALL_ORDERS)),
    case(
        "linalg.norm",
        lambda r: [
            S(r(3)), S(r(2, 3, 4)), S(r(2, 3, 4), dim=(0, 1)), S(r(3), 3), S(r(3), -INF), S(r(2, 3), 1, dim=1),
            S(r(2, 3, 4), keepdim=True), *[S(regular(r, 3, 4), ord) for ord in ALL_ORDERS],
        ],
    ),
    case(
        "linalg.cond",
        lambda r: [
            # PyTorch cannot differentiate the others: it changes what it saved
            S(regular(r, 2, 3, 3), p, grad=p in (None, 2, -2)) for p in (None, *ALL_ORDERS)
        ] + [S(regular(r, 3, 4)), S(r(0, 3))],
    ),
    *[
        case(name, lambda r: [S(regular(r, 5, 4), q=3)], random=True, grad=False)
        for name in ("svd_lowrank", "pca_lowrank")
    ],
]  # fmt: skip
