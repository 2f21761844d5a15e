"""Cumulative sums and products, and the product: exact derivatives at zeros, of any order.

The derivative of a product of many factors is a sum of products with one factor left out. Written
as a recurrence it needs no division:

    y_k = x_1 ⋯ x_k;   x̄_k = y_{k−1} r_k   with   r_k = ȳ_k + x_{k+1} r_{k+1}

and the recurrence s_k = a_k s_{k−1} + b_k has a derivative of the same kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..backend.dtypes import F32, F64, I64, from_numpy_dtype, numpy_dtype
from ..core.chores import cast
from ..core.inplace import inplace
from ..core.primitive import primitive, refuse_recorded
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from ..kernels.cpu import scans
from .arguments import needed_dim
from .complexes import conj
from .piecewise import data_of, finish
from .views import view_

_LOOP_FROM = 64
"""From so many numbers per step on, a loop over the steps is faster than doubling."""


def _at(dim: int, part: Any) -> tuple:
    return (slice(None),) * dim + (part,)


def _backwards(dim: int) -> tuple:
    return _at(dim, slice(None, None, -1))


# ------------------------------------------------------------ the next or the one before
@primitive(half="keep")
def shift(x: Any, *, dim: int, by: int, fill: float) -> Any:
    """y_k = x_{k−by} along dim, `fill` where there is none (by = ±1);  x̄ = ȳ shifted back."""
    y = array_module(x).empty_like(x)
    low, high = slice(0, -1), slice(1, None)
    if by < 0:
        low, high = high, low
    y[_at(dim, high)] = x[_at(dim, low)]
    y[_at(dim, slice(0, 1) if by > 0 else slice(-1, None))] = fill
    return y


shift.vjp(x=lambda g, dim, by: shift(g, dim=dim, by=-by, fill=0))


# ------------------------------------------------------------ cumsum
def _accumulated(ufunc: Any, x: Any, dim: int, reverse: bool) -> Any:
    """ufunc.accumulate along dim, or from its other end; float32 in float64, as in PyTorch."""
    if x.size >= scans.SMALL:
        y = scans.accumulate(x, dim, ufunc is np.multiply, reverse)
        if y is not None:
            return y
    part = x[_backwards(dim)] if reverse else x
    kind = I64 if x.dtype.kind in "biu" else F64 if x.dtype == F32 else x.dtype
    y = part.astype(kind, order="C")
    if type(y) is np.ndarray:  # in place: with dtype= NumPy would go through small buffers
        ufunc.accumulate(y, dim, out=y)
    else:
        y = y.cumsum(dim) if ufunc is np.add else y.cumprod(dim)
    y = y.astype(F32) if x.dtype == F32 else y
    return row_major(y[_backwards(dim)]) if reverse else y


@primitive
def cumsum_(x: Any, *, dim: int, reverse: bool) -> Any:
    """y_k = Σ_{i≤k} x_i (i ≥ k if reverse);  x̄ is the same sum of ȳ from the other end."""
    return _accumulated(np.add, x, dim, reverse)


cumsum_.vjp(x=lambda g, dim, reverse: cumsum_(g, dim=dim, reverse=not reverse))


# ------------------------------------------------------------ the linear recurrence
@primitive
def recurrence(a: Any, b: Any, *, dim: int, reverse: bool) -> Any:
    """s_k = a_k s_{k−1} + b_k along dim (s_{k+1} if reverse), from s = 0.

    b̄_k = s̄_k + a_{k+1} b̄_{k+1},  ā_k = b̄_k s_{k−1}
    """
    a, b = np.broadcast_arrays(a, b)
    if reverse:
        a, b = a[_backwards(dim)], b[_backwards(dim)]
    n = b.shape[dim]
    if n == 0:
        return b.copy()
    s = _loop(a, b, dim, n) if b.size // n >= _LOOP_FROM else _double(a, b, dim, n)
    return s[_backwards(dim)] if reverse else s


def _loop(a: Any, b: Any, dim: int, n: int) -> Any:
    s = b.copy()
    rows, factors = np.moveaxis(s, dim, 0), np.moveaxis(a, dim, 0)
    for k in range(1, n):
        rows[k] += factors[k] * rows[k - 1]
    return s


def _double(a: Any, b: Any, dim: int, n: int) -> Any:
    """Each pass joins neighbouring stretches: log₂ n passes (Hillis and Steele, CACM 1986)."""
    a, s, step = a.copy(), b.copy(), 1
    while step < n:
        here, there = _at(dim, slice(step, None)), _at(dim, slice(0, -step))
        s[here] += a[here] * s[there]
        a[here] = a[here] * a[there]
        step *= 2
    return s


def _recurrence_vjp(g: Any, a: Any, y: Any, dim: int, reverse: bool) -> list[Any]:
    by = -1 if reverse else 1
    b_bar = recurrence(shift(conj(a), dim=dim, by=-by, fill=0), g, dim=dim, reverse=not reverse)
    return [b_bar * shift(conj(y), dim=dim, by=by, fill=0), b_bar]


recurrence.joint(_recurrence_vjp)


# ------------------------------------------------------------ cumprod
@primitive
def cumprod_(x: Any, *, dim: int, reverse: bool) -> Any:
    """y_k = Π_{i≤k} x_i (i ≥ k if reverse);  x̄_k = y_{k−1} r_k, r_k = ȳ_k + x_{k+1} r_{k+1}."""
    return _accumulated(np.multiply, x, dim, reverse)


def _regular(y: Any) -> bool:
    """Whether these are plain arrays of products that can be divided: no factor was 0."""
    return type(y) is np.ndarray and bool((y != 0).all()) and bool(np.isfinite(y).all())


def _cumprod_vjp(g: Any, x: Any, y: Any, dim: int, reverse: bool) -> Any:
    if _regular(y):  # cheaper: x̄_k = (Σ_{i≥k} ȳ_i y_i)/x_k
        return cumsum_(g * conj(y), dim=dim, reverse=not reverse) / conj(x)
    by = -1 if reverse else 1
    following = shift(conj(x), dim=dim, by=-by, fill=0)
    rest = recurrence(following, g, dim=dim, reverse=not reverse)
    return shift(conj(y), dim=dim, by=by, fill=1) * rest


cumprod_.vjp(x=_cumprod_vjp)


# ------------------------------------------------------------ prod
@primitive
def reduce_prod(x: Any, *, axis: int, keepdim: bool) -> Any:
    """y = Π x along one axis;  x̄_k = ȳ Π_{i≠k} x_i, from the products on both sides of k."""
    kind = I64 if x.dtype.kind in "biu" else x.dtype
    if type(x) is np.ndarray:  # as `reduced` in sums.py
        return row_major(np.multiply.reduce(x, axis=axis, dtype=kind, keepdims=keepdim))
    return x.prod(axis=axis, keepdims=keepdim, dtype=kind)


def _prod_vjp(g: Any, x: Any, y: Any, axis: int, keepdim: bool, x_shape: Any) -> Any:
    if not keepdim:
        size = (*x_shape[:axis], 1, *x_shape[axis + 1 :])
        g, y = view_(g, size=size), view_(y, size=size)
    if _regular(y):
        return (g * conj(y)) / conj(x)
    x = conj(x)
    left = shift(cumprod_(x, dim=axis, reverse=False), dim=axis, by=1, fill=1)
    right = shift(cumprod_(x, dim=axis, reverse=True), dim=axis, by=-1, fill=1)
    others = left * right
    if type(others) is np.ndarray:  # 0 whatever g is: PyTorch, too, leaves out what has other zeros
        return np.where(others == 0, g.dtype.type(0), g * others)
    return g * others


reduce_prod.vjp(x=_prod_vjp)
for _op, _name in ((cumsum_, "Cumsum"), (cumprod_, "Cumprod"), (reduce_prod, "Prod")):
    _op.primitive.node_class.__name__ = f"{_name}Backward0"


# ------------------------------------------------------------ public
def to_dtype(x: Any, dtype: Any) -> Any:
    """x cast to a NumPy dtype, differentiably; itself if it has that dtype or dtype is None."""
    return x if dtype is None or data_of(x).dtype == dtype else cast(x, dtype=dtype)


def target_of(dtype: Any) -> Any:
    """The NumPy dtype of a `dtype=` argument; None stays None."""
    return None if dtype is None else numpy_dtype(dtype)


def result_target(dtype: Any, out: Any, input: Tensor) -> Any:
    """The NumPy dtype to compute in, which is that of `out` if no dtype is given; None for any.

    RuntimeError for `out=` under autograd: a cast to its dtype would hide it.
    """
    if out is None:
        return target_of(dtype)
    refuse_recorded(input, out)
    return target_of(out.dtype if dtype is None else dtype)


def _scan(op: Any, input: Tensor, dim: int, dtype: Any, out: Any) -> Any:
    target = result_target(dtype, out, input)
    dim = normalize_dim(dim, input._data.ndim)
    x = to_dtype(input, target)
    if not x._data.ndim:
        kind = I64 if target is None and x._data.dtype.kind in "biu" else x._data.dtype
        return finish(cast(x, dtype=kind), out)
    return finish(to_dtype(op(x, dim=dim, reverse=False), target), out)


@export("cumsum")
def cumsum(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, out: Any = None,
    axis: int | None = None,
) -> Tensor:  # fmt: skip
    """Sums of the elements so far along `dim`; of integers and bools in int64.

    y_k = Σ_{i≤k} x_i,  x̄_k = Σ_{i≥k} ȳ_i
    """
    return _scan(cumsum_, input, needed_dim("cumsum", dim, axis), dtype, out)


@export("cumprod")
def cumprod(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, out: Any = None,
    axis: int | None = None,
) -> Tensor:  # fmt: skip
    """Products of the elements so far along `dim`; of integers and bools in int64.

    y_k = Π_{i≤k} x_i,  x̄_k = Σ_{i≥k} ȳ_i Π_{j≤i, j≠k} x_j (right at zeros, too)
    """
    return _scan(cumprod_, input, needed_dim("cumprod", dim, axis), dtype, out)


def _in_place(op: Any, name: str) -> Any:
    method = inplace(op, name)

    def checked(self: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        target = target_of(dtype)
        if target is not None and target != self._data.dtype:
            own, other = from_numpy_dtype(self._data.dtype).name, from_numpy_dtype(target).name
            raise RuntimeError(
                f"Bad in-place call: input tensor dtype {own} and output tensor dtype {other} "
                "should match"
            )
        return method(self, dim)

    checked.__name__ = checked.__qualname__ = name
    checked.__doc__ = f"In-place `{op.__name__}`; RuntimeError for another dtype."
    return checked


cumsum_self, cumprod_self = _in_place(cumsum, "cumsum_"), _in_place(cumprod, "cumprod_")


@export("prod")
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None,
    out: Any = None, axis: Any = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Product of all elements, or along `dim`; of integers and bools in int64.

    y = Π x,  x̄_k = ȳ Π_{i≠k} x_i (right at zeros, too)
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    target = result_target(dtype, out, input)
    x = to_dtype(input, target)
    shape = x._data.shape
    axis = 0 if dim is None else normalize_dim(dim, len(shape))
    if not shape and x.is_floating_point():  # the slope is 1, whatever x is
        result = x.clone()  # type: ignore[attr-defined]
    elif dim is None or not shape:
        result = reduce_prod(view_(x, size=(-1,)), axis=0, keepdim=False)
    else:
        result = reduce_prod(x, axis=axis, keepdim=keepdim)
    return finish(to_dtype(result, target), out)
