"""Arithmetic, powers, exponentials, circular functions, rounding, clamping."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, binary, const

INF, NAN = np.inf, np.nan
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, INF, -INF, NAN, 1e-30, 3e4]


def edges(r: Make, values=EDGES) -> S:
    """Zeros of both signs, kinks, infinities, nan, and values whose squares overflow or vanish."""
    return S(r.values(values), smooth=False)


def smooth(low=None, high=None, kinks=None, at=EDGES):
    """Samples of a function of one argument: regular ones with gradients, then edge values."""

    def samples(r: Make) -> list[S]:
        def x(*shape):
            return (
                r.away(*shape, kinks=kinks) if kinks is not None else r(*shape, low=low, high=high)
            )

        return [S(x(3, 4)), S(x()), S(x(0, 3)), S(x(2, 1, 3)), edges(r, at), S(r.int(1, 5, 2, 3))]

    return samples


def pairs(low=None, high=None, low2=None, high2=None, numbers=True, ints=True):
    """Samples of a function of two arguments: broadcasting, numbers, edges, mixed dtypes."""

    def samples(r: Make) -> list[S]:
        found = binary(low, high, low2, high2)(r)
        if not numbers:
            found = [s for s in found if not isinstance(s.args[1], (int, float))]
        a, b = np.meshgrid(EDGES, EDGES)
        found.append(S(r.values(a), r.values(b), smooth=False))
        found.append(
            S(const(r(3, 4, low=low, high=high)), r(4, low=low2 or low, high=high2 or high))
        )
        found.append(
            S(r(3, 4, low=low, high=high), const(r(1, 4, low=low2 or low, high=high2 or high)))
        )
        if ints:
            found.append(S(r.int(1, 5, 2, 3), r.int(1, 5, 3)))
            found.append(
                S(r.int(1, 5, 2, 3), r(3, low=low2 or low, high=high2 or high), grad=False)
            )
            found.append(S(r.int(1, 5, dtype=np.int32), r.int(1, 5, 3, dtype=np.int8)))
        return found

    return samples


def mixed(r: Make) -> list[S]:
    """Dtypes that meet: PyTorch's type promotion."""
    f64, i8, u8, b = (
        r.values([1.5, 2.0], np.float64),
        r.int(1, 5, 2, dtype=np.int8),
        r.int(1, 5, 2, dtype=np.uint8),
        r.bool(2),
    )
    f64.cast = False
    f32_0d = r.values(2.5, np.float32)
    f32_0d.cast = False
    f64_0d = r.values(2.5, np.float64)
    f64_0d.cast = False
    x = r(2)
    return [
        S(*pair, grad=False)
        for pair in [
            (x, f64),
            (x, i8),
            (i8, u8),
            (u8, i8),
            (b, i8),
            (b, x),
            (x, f64_0d),
            (f64_0d, x),
            (i8, f64_0d),
            (i8, f32_0d),
            (i8, 2),
            (i8, 2.5),
            (u8, True),
            (b, 2),
            (b, 2.5),
            (x, True),
            (x, 2),
            (f64_0d, 2),
            (i8, 300),
        ]
    ]


def arithmetic(**options):
    return lambda r: [*pairs(**options)(r), *mixed(r)]


def powers(r: Make) -> list[S]:
    x = [S(r.away(3, 4, gap=0.3), p) for p in (2, 3, -1, -2, 1, 0, 4, 2.0, -3)]
    y = [S(r.pos(3, 4), p) for p in (0.5, -0.5, 1.7, 0.0, -2.5)]
    zero = [S(r.values([0.0, 0.0, 2.0, 0.0]), r.values([0.0, 2.0, 0.0, -1.0]), smooth=False)]
    whole = [
        S(r.int(-3, 4, 5), r.int(0, 5, 5)),
        S(r.int(-3, 4, 5), 3),
        S(r.int(1, 4, 5), 2.5),
        S(r.int(1, 4, 5), 0.5),
        S(r.int(-2, 3, 6), r.int(-3, 3, 6)),
        S(2, r(3)),
        S(2.5, r(2, 3)),
        S(0.0, r.pos(3), grad=False),
        S(2, r.int(0, 5, 4)),
        S(r.int(0, 5, 4, dtype=np.uint8), 2),
        S(1, r(2)),
    ]
    return [*pairs(0.3, 2.0, -2.0, 2.0)(r), *x, *y, *zero, *whole]


def clamps(r: Make) -> list[S]:
    x = lambda *s: r.away(*s, kinks=(-0.5, 0.5))  # noqa: E731
    low, high = r.values([[-1.0], [-0.5], [-0.2]]), r.values([0.3, 0.5, 1.0, -0.7])
    return [
        S(x(3, 4), -0.5, 0.5),
        S(x(3, 4), min=-0.5),
        S(x(3, 4), max=0.5),
        S(x(), -0.5, 0.5),
        S(x(0, 3), -1, 1),
        S(x(3, 4), low, high),
        S(x(3, 4), min=low),
        S(x(3, 4), max=high),
        S(x(3, 4), 0.5, -0.5),
        S(x(3, 4), const(low), high),
        S(r.values(EDGES), -1.0, 1.0, smooth=False),
        S(r.values(EDGES), NAN, 1.0, smooth=False),
        S(r.int(-5, 5, 3, 4), -2, 2),
        S(r.int(-5, 5, 3, 4), -1.5, 2),
        S(r.int(-5, 5, 4), min=r(4), grad=False),
        S(r.values([-1.0, -0.5, 0.5, 1.0]), -0.5, 0.5, smooth=False),
    ]


def ties(r: Make) -> list[S]:
    """Equal operands and nan: who gets the gradient is PyTorch's choice."""
    return [
        S(
            r.values([1.0, 2.0, NAN, 4.0, INF, NAN]),
            r.values([1.0, 3.0, 1.0, NAN, INF, NAN]),
            smooth=False,
        )
    ]


def extremes(r: Make) -> list[S]:
    return [*pairs(numbers=False)(r), *ties(r)]


def rounding(r: Make) -> list[S]:
    halves = r.values([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1e6 + 0.5, INF, NAN])
    x = lambda *s: r.away(*s, kinks=np.arange(-8, 9) / 2)  # noqa: E731
    return [S(x(3, 4)), S(x()), S(x(0, 3)), S(halves, smooth=False), edges(r), S(r.int(-5, 5, 3))]


def decimals(r: Make) -> list[S]:
    x = lambda *s: r(*s, low=0.03, high=0.04)  # noqa: E731
    return [
        *rounding(r),
        S(x(3), decimals=1),
        S(r(3, 4, low=-900, high=900), decimals=-2, grad=False),
        S(r(3, 4), decimals=3, grad=False),
    ]


def triple(r: Make) -> list[S]:
    p = r.pos
    return [
        S(p(3, 4), p(3, 4), p(3, 4)),
        S(p(3, 4), p(4), p(3, 1)),
        S(p(), p(2, 3), p()),
        S(p(0, 3), p(3), p(1)),
        S(p(3, 4), p(3, 4), p(3, 4), value=-2.5),
        S(p(2), p(2), p(2), value=0),
        S(r.int(0, 5, 3), p(3), p(3), grad=False),
    ]


def alphas(r: Make) -> list[S]:
    return [
        S(r(3, 4), r(4), alpha=2.5),
        S(r(3, 4), r(3, 4), alpha=-1),
        S(r(3), 2.0, alpha=3),
        S(r.int(0, 9, 3), r.int(0, 9, 3), alpha=2),
    ]


def lerps(r: Make) -> list[S]:
    w = lambda *s: r(*s, low=-0.3, high=1.4)  # noqa: E731
    return [
        S(r(3, 4), r(3, 4), 0.3),
        S(r(3, 4), r(3, 4), 0.7),
        S(r(3, 4), r(4), w(3, 4)),
        S(r(3, 1), r(1, 4), w(4)),
        S(r(), r(), w()),
        S(r(0, 3), r(3), 0.5),
        S(r(3, 4), r(3, 4), 1.0),
        S(r(2), r(2), w()),
    ]


def wheres(r: Make) -> list[S]:
    c = r.bool(3, 4)
    return [
        S(c, r(3, 4), r(3, 4)),
        S(c, r(4), r(3, 1)),
        S(c, r(), 2.0),
        S(c, 1.5, r(4)),
        S(r.bool(), r(2), r(2, 1)),
        S(c, r(3, 4), 0),
        S(c, 1, 2),
        S(c, 1.0, 2.0),
        S(c, r.int(0, 5, 4), 2.5),
        S(c, r(4), r.int(0, 5, 4)),
        S(r.bool(0, 4), r(0, 4), r(4)),
        S(c, r.values([NAN, INF, 0.0, 1.0]), r(4), smooth=False),
        S(c),
        S(r.int(0, 2, 3)),
    ]


CASES = [
    Case("add", lambda r: [*arithmetic()(r), *alphas(r), S(2, r(3)), S(r.bool(3), r.bool(3))]),
    Case("sub", lambda r: [*pairs()(r), *alphas(r), S(2, r(3)), *mixed(r)[:2]]),
    Case("rsub", lambda r: [*pairs()(r), *alphas(r)]),
    Case("mul", lambda r: [*arithmetic()(r), S(2.5, r(3)), S(r.bool(3), r.bool(3))]),
    Case(
        "div",
        lambda r: [
            *arithmetic(low2=0.3, high2=2.0)(r),
            S(2.5, r.pos(3)),
            *[S(r(3, 4), r.pos(4), rounding_mode=m, grad=False) for m in ("floor", "trunc", None)],
            *[S(r.int(-9, 9, 9), r.int(1, 4, 9), rounding_mode=m) for m in ("floor", "trunc")],
            *[S(r.int(-9, 9, 9), -4, rounding_mode=m) for m in ("floor", "trunc")],
            S(r.pos(2, 3), r(3, low=-0.19, high=-0.11), rounding_mode="floor", grad=False),
            S(r(2, low=1.1, high=1.4), r(2, low=0.9, high=1.0), rounding_mode="floor"),
            S(r(2, low=-1.4, high=-1.1), r(2, low=0.9, high=1.0), rounding_mode="trunc"),
        ],
    ),
    Case("true_divide", pairs(low2=0.3, high2=2.0)),
    Case(
        "floor_divide",
        lambda r: [
            *pairs(1.1, 1.4, 0.9, 1.0, ints=False)(r)[:7],
            S(r.int(-9, 9, 9), r.int(1, 4, 9)),
            S(r.int(-9, 9, 9), -2),
            S(7, r.pos(3), grad=False),
            S(r.values(EDGES), 0.7, grad=False),
            S(r.values(EDGES), r.values(EDGES[::-1]), grad=False),
        ],
        grad=False,
    ),  # PyTorch has no derivative of it; div(rounding_mode="floor") has
    Case(
        "remainder",
        lambda r: [
            *pairs(1.1, 1.4, 0.9, 1.0)(r),
            S(r(3, 4, low=-1.4, high=-1.1), r(4, low=0.9, high=1.0)),
            S(r.int(-9, 9, 9), 4),
            S(r.int(-9, 9, 9), -4),
            S(7, r.pos(3), grad=False),
        ],
    ),
    Case(
        "fmod",
        lambda r: [
            *pairs(1.1, 1.4, 0.9, 1.0)(r),
            S(r(3, 4, low=-1.4, high=-1.1), r(4, low=0.9, high=1.0)),
            S(r.int(-9, 9, 9), 4),
            S(r.int(-9, 9, 9), -4),
        ],
    ),
    Case("pow", powers, rtol=5e-5, why="float32 powers are rounded differently in the last digits"),
    Case(
        "float_power",
        lambda r: [
            S(r.pos(3, 4), r(4)),
            S(r.pos(3), 2),
            S(2.5, r(3)),
            S(r.int(1, 5, 3), 2),
            S(r.int(1, 5, 3), r.int(-2, 3, 3)),
        ],
    ),
    Case("neg", smooth()),
    Case("positive", smooth()),
    Case("abs", smooth(kinks=(0.0,))),
    Case("reciprocal", smooth(0.3, 2.0)),
    Case("square", lambda r: [*smooth()(r), S(r.bool(3))]),
    Case("sqrt", smooth(0.2, 3.0)),
    Case("rsqrt", smooth(0.2, 3.0)),
    Case("exp", smooth()),
    Case("exp2", smooth()),
    Case("expm1", smooth()),
    Case("log", smooth(0.2, 3.0)),
    Case("log2", smooth(0.2, 3.0)),
    Case("log10", smooth(0.2, 3.0)),
    Case("log1p", smooth(-0.7, 3.0)),
    Case("sin", lambda r: smooth()(r)[:4]),
    Case("cos", lambda r: smooth()(r)[:4]),
    Case("tan", lambda r: smooth(-1.2, 1.2)(r)[:4]),
    Case("asin", smooth(-0.8, 0.8)),
    Case("acos", smooth(-0.8, 0.8)),
    Case("atan", smooth()),
    Case("sinh", smooth()),
    Case("cosh", smooth()),
    Case("tanh", smooth()),
    Case("asinh", smooth()),
    Case("acosh", smooth(1.3, 4.0)),
    Case("atanh", smooth(-0.8, 0.8)),
    Case("sigmoid", smooth()),
    Case(
        "logit",
        lambda r: [
            # at -0.0 PyTorch's slope is inf, or -inf in long float64 vectors
            *smooth(0.1, 0.9, at=[x for x in EDGES if x or not np.signbit(x)])(r),
            S(r(3, 4, low=0.1, high=0.9), 0.05),
            S(r(3, 4, low=-0.5, high=-0.1), eps=0.2),
            S(r.values([-0.5, 0.0, 0.1, 0.9, 1.0, 1.5]), 0.1, smooth=False),
            S(r.values([0.0, 1.0, 2.0]), smooth=False),
        ],
    ),
    Case(
        "sinc",
        lambda r: [*smooth(kinks=(0.0,))(r), S(r.values([0.0, 1.0, 2.0]), smooth=False)],
        atol=5e-5,
        why="at integers the value is the rounding of π",
    ),
    Case("deg2rad", smooth()),
    Case("rad2deg", smooth()),
    Case("angle", smooth(kinks=(0.0,))),
    Case("sign", lambda r: [*smooth(kinks=(0.0,))(r), S(r.bool(3))]),
    Case("sgn", smooth(kinks=(0.0,))),
    Case("floor", rounding),
    Case("ceil", rounding),
    Case("trunc", rounding),
    Case("round", decimals),
    Case("frac", lambda r: rounding(r)[:5]),
    Case("clamp", clamps),
    Case(
        "clamp_min",
        lambda r: [
            S(r.away(3, 4), 0),
            S(r.away(3, 4), r.values([[0.0], [0.05], [-0.05]])),
            S(r.int(-5, 5, 3), 0),
            S(r.values(EDGES), 0.5, smooth=False),
            S(r.values([1.0, 2.0]), r.values([1.0, 3.0]), smooth=False),
        ],
    ),
    Case(
        "clamp_max",
        lambda r: [
            S(r.away(3, 4), 0),
            S(r.away(3, 4), r.values([[0.0], [0.05], [-0.05]])),
            S(r.int(-5, 5, 3), 0),
            S(r.values(EDGES), 0.5, smooth=False),
            S(r.values([1.0, 2.0]), r.values([1.0, 3.0]), smooth=False),
        ],
    ),
    Case("maximum", extremes),
    Case("minimum", extremes),
    Case("fmax", extremes),
    Case("fmin", extremes),
    Case("where", wheres, variants=False),
    Case("Tensor.where", lambda r: [S(r(3, 4), r.bool(3, 4), r(4)), S(r(3, 4), r.bool(4), 2.0)]),
    Case("lerp", lerps),
    Case("addcmul", triple),
    Case("addcdiv", triple),
    Case("atan2", pairs(0.2, 2.0, -2.0, 2.0, numbers=False)),
    Case("hypot", pairs(0.2, 2.0, numbers=False, ints=False)),
    Case(
        "copysign",
        lambda r: [
            S(r.away(3, 4), r.away(4)),
            S(r.away(3, 4), -2),
            S(r.away(), r.away(2, 3)),
            S(r.values(EDGES), r.values(EDGES[::-1]), smooth=False),
            S(r.int(1, 5, 3), r.int(-5, -1, 3)),
        ],
    ),
    Case(
        "ldexp",
        lambda r: [
            S(r(3, 4), r(4)),
            S(r(3, 4), r.int(0, 4, 4)),
            S(r(3, 4), r.int(-3, 4, 4), grad=False),
            S(r.int(1, 4, 3), r.int(-3, 4, 3)),
        ],
    ),
    Case(
        "logaddexp",
        lambda r: [
            *pairs(numbers=False, ints=False)(r)[:7],
            S(
                r.values([INF, -INF, NAN, 700.0, 0.0]),
                r.values([1.0, -INF, 0.0, 700.0, -INF]),
                smooth=False,
            ),
        ],
    ),
    Case(
        "logaddexp2",
        lambda r: [
            *pairs(numbers=False, ints=False)(r)[:7],
            S(
                r.values([INF, -INF, NAN, 700.0, 0.0]),
                r.values([1.0, -INF, 0.0, 700.0, -INF]),
                smooth=False,
            ),
        ],
    ),
    Case(
        "xlogy",
        lambda r: [
            *pairs(low2=0.3, high2=2.0)(r),
            S(2.0, r.pos(3)),
            S(r.values([0.0, 0.0, 1.0]), r.values([2.0, 3.0, 1.0])),
        ],
    ),
    Case(
        "heaviside",
        lambda r: [
            S(r.away(3, 4), r(4), grad=False),
            S(r.values(EDGES), r.values(EDGES[::-1]), grad=False),
            S(r.int(-1, 2, 5), r.int(3, 5, 5)),
        ],
    ),
    Case(
        "nan_to_num",
        lambda r: [
            S(r(3, 4)),
            edges(r),
            S(r.values(EDGES), 1.0, 2.0, 3.0, smooth=False),
            S(r.values(EDGES), nan=2.5, smooth=False),
            S(r.int(0, 5, 3)),
            S(r()),
            S(r(0, 2)),
        ],
    ),
    Case(
        "nextafter",
        lambda r: [
            S(r(3, 4), r(4)),
            S(r.values(EDGES), r.values(EDGES[::-1]), grad=False),
        ],
        half=False,
    ),
    Case(
        "frexp",
        lambda r: [
            S(r.pos(3, 4)),
            S(r.pos()),
            S(r.values([0.0, -0.0, 1.0, -8.5, 1e-30]), smooth=False),
        ],
    ),
    Case(
        "fill",
        lambda r: [
            S(r(3, 4), 2.5),
            S(r(3, 4), r()),
            S(r.int(0, 5, 3), 2.5),
            S(r.bool(3), 1),
            S(r(), 1),
        ],
    ),
    Case("conj", smooth()),
    Case("conj_physical", smooth()),
    Case("resolve_conj", lambda r: [S(r(3))]),
    Case("resolve_neg", lambda r: [S(r(3))]),
    Case("real", lambda r: [S(r(3))], variants=False),
]
