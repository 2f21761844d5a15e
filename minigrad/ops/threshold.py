"""Activations made of straight pieces, from the perceptron's threshold on.

McCulloch and Pitts (1943) and Rosenblatt (1958) fire or do not; everything after lets some of the
input through.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .compare import eq
from .elementwise import where
from .kinks import (
    apply,
    in_place_form,
    keep_inside,
    keep_outside,
    need_floating,
    refuse_bool,
)
from .piecewise import dtype_title, finish, zeros_as

_LARGEST_BFLOAT16 = 3.3895313892515355e38


# ------------------------------------------------------------------------------ the perceptron
@primitive
def step_(x: Any, *, threshold: float, low: float, estimator: str) -> Any:
    """y = 1 where x > threshold, else `low`; nan stays nan."""
    kind = x.dtype.type
    fires = np.where(x > kind(threshold), kind(1), kind(low))
    return np.where(x == x, fires, x)


def _step_vjp(g: Any, x: Any, threshold: float, estimator: str) -> Any:
    if estimator == "none":
        return zeros_as(g)
    if estimator == "identity":
        return g
    return keep_inside(g, x, low=threshold - 1, high=threshold + 1)


step_.vjp(x=_step_vjp)


@export("nn.functional.step")
def step(
    input: Any, threshold: float = 0.0, *, signed: bool = False, estimator: str = "none"
) -> Any:
    """The perceptron's threshold: 1 where x > threshold, else 0, or −1 if signed (Rosenblatt 1958).

    The derivative is 0 wherever it exists, so nothing is learned through it. `estimator` says what
    stands in for it:

        "none"       x̄ = 0
        "identity"   x̄ = ȳ, straight through (Bengio, Léonard and Courville 2013)
        "clipped"    x̄ = ȳ where |x − threshold| < 1, else 0 (Hubara et al. 2016)

    ValueError for other words.
    """
    if estimator not in ("none", "identity", "clipped"):
        raise ValueError(
            f"step: estimator must be 'none', 'identity' or 'clipped', but got {estimator!r}"
        )
    need_floating("step", input)
    return step_(input, threshold=threshold, low=-1.0 if signed else 0.0, estimator=estimator)


# ------------------------------------------------------------------------------ threshold, clipping
@primitive
def threshold_(x: Any, *, threshold: float, value: float) -> Any:
    """y = x where x > threshold, else value;  x̄ = ȳ where x > threshold, else 0. nan stays nan."""
    return np.where(x <= x.dtype.type(threshold), x.dtype.type(value), x)


threshold_.vjp(x=lambda g, x, threshold: keep_outside(g, x, low=-math.inf, high=threshold))


@export("nn.functional.threshold", "threshold")
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else `value`;  x̄ = ȳ where x > threshold, else 0."""
    return apply(threshold_, input, inplace, threshold=threshold, value=value)


@primitive
def hardtanh_(x: Any, *, min_val: float, max_val: float) -> Any:
    """y = min(max(x, min), max);  x̄ = ȳ strictly inside, 0 on the edges and outside."""
    return np.clip(x, x.dtype.type(min_val), x.dtype.type(max_val))


hardtanh_.vjp(
    x=lambda g, x, min_val, max_val: keep_inside(g, x, low=min_val, high=max_val),
)


@export("nn.functional.hardtanh")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x clipped to [min_val, max_val];  x̄ = ȳ strictly inside, else 0.

    ValueError if min_val > max_val.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    refuse_bool("hardtanh", input)
    if input._data.dtype.kind == "u" and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return apply(hardtanh_, input, inplace, min_val=min_val, max_val=max_val)


@primitive
def hardsigmoid_(x: Any) -> Any:
    """y = relu6(x + 3)/6;  x̄ = ȳ/6 for −3 < x < 3, else 0."""
    return np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)


def _hardsigmoid_vjp(g: Any, x: Any) -> Any:
    return keep_inside(where(eq(x, x), g / 6.0, 0), x, low=-3.0, high=3.0)  # nan gets 0


hardsigmoid_.vjp(x=_hardsigmoid_vjp)


@export("nn.functional.hardsigmoid")
def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """The piecewise linear sigmoid (Howard et al. 2019).

    y = relu6(x + 3)/6,  x̄ = ȳ/6 for −3 < x < 3, else 0
    """
    need_floating("hardsigmoid", input)
    return apply(hardsigmoid_, input, inplace)


# ------------------------------------------------------------------------------ shrinking
@primitive
def hardshrink_(x: Any, *, lambd: float) -> Any:
    """y = x where |x| > λ, else 0;  x̄ = ȳ there."""
    lam = x.dtype.type(lambd)
    return np.where((x >= -lam) & (x <= lam), x.dtype.type(0), x)


hardshrink_.vjp(x=lambda g, x, lambd: keep_outside(g, x, low=-lambd, high=lambd))


@export("nn.functional.hardshrink", "hardshrink")
def hardshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """x where |x| > λ, else 0;  x̄ = ȳ there."""
    need_floating("hardshrink", input)
    return finish(hardshrink_(input, lambd=lambd), out)


@primitive
def softshrink_(x: Any, *, lambd: float) -> Any:
    """y = x − λ above λ, x + λ below −λ, 0 between;  x̄ = ȳ outside [−λ, λ]. nan stays nan."""
    lam = x.dtype.type(lambd)
    return np.where(x > lam, x - lam, np.where(x < -lam, x + lam, x * 0))


softshrink_.vjp(x=lambda g, x, lambd: keep_outside(g, x, low=-lambd, high=lambd))


def _largest(dtype: Any) -> Any:
    """The largest finite number of a floating dtype; NumPy knows bfloat16 only as ml_dtypes'."""
    return np.finfo(dtype).max if dtype.kind == "f" else np.float64(_LARGEST_BFLOAT16)


@export("nn.functional.softshrink")
def softshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """x moved towards 0 by λ, the proximal map of λ|x|;  x̄ = ȳ outside [−λ, λ].

    RuntimeError unless λ is a number from 0 to the largest of the input's dtype.
    """
    need_floating("softshrink_check", input)
    dtype = input._data.dtype
    most = float(_largest(dtype))
    if not 0 <= lambd <= most:
        raise RuntimeError(
            f"lambda must be in range [0, {most:g}] for input dtype {dtype_title(dtype)}, but found"
            f" {lambd:g}"
        )
    return finish(softshrink_(input, lambd=lambd), out)


# ------------------------------------------------------------------------------ in-place spellings
threshold_in_place = in_place_form(
    "threshold_in_place", threshold, "nn.functional.threshold_", "threshold_"
)
hardtanh_in_place = in_place_form("hardtanh_in_place", hardtanh, "nn.functional.hardtanh_")
