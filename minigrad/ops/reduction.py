"""Reductions: many elements to one, over all dimensions or some.

Rules receive the gradient with the reduced dimensions kept (`_keep` puts them back), so that it broadcasts against
the input.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend.dtypes import (
    B8,
    F32,
    FLOATING,
    HALF,
    I64,
    from_numpy_dtype,
    get_default_dtype,
    numpy_dtype,
)
from ..core.chores import broadcast, cast, stack, take_slice
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .compare import eq, isnan
from .elementwise import abs, div, exp, pow, sign, sub, where
from .shape import reshape, view_

Dim = int | Sequence[int] | None


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes, counted from the front; None and () mean all. Errors as in PyTorch."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int | np.integer):
        return (normalize_dim(int(dim), ndim),) if ndim else (normalize_dim(int(dim), 0),)[:0]
    dims = tuple([normalize_dim(int(d), ndim) for d in dim])
    if not dims:
        return tuple(range(ndim))
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return dims if ndim else ()


@primitive(view=True)
def keep_dims(x: Any, *, axes: tuple[int, ...], ndim: int) -> Any:
    """x with the reduced dimensions put back as 1; x̄ = ȳ (the engine's shape check removes them by reshape)."""
    shape = iter(x.shape)
    return x.reshape([1 if i in axes else next(shape) for i in range(ndim)])


keep_dims.vjp(x=lambda g, x_shape: view_(g, size=x_shape))


def _keep(g: Any, axes: tuple[int, ...], keepdim: bool, shape: tuple[int, ...]) -> Any:
    return g if keepdim or not axes else keep_dims(g, axes=axes, ndim=len(shape))


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod([shape[a] for a in axes])


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _to(x: Any, dtype: Any) -> Any:
    """x cast to a minigrad dtype, differentiably."""
    target = numpy_dtype(dtype)
    return x if _data(x).dtype == target else cast(x, dtype=target)


def _finish(result: Any, out: Any) -> Any:
    return result if out is None else write_out(result, out)


# ------------------------------------------------------------------------------ sum and mean
@primitive
def reduce_sum(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = Σ x over the axes;  x̄ = ȳ, broadcast back."""
    if x.dtype.kind in "biu":
        return np.sum(x, axis=axes, keepdims=keepdim, dtype=I64)
    return np.sum(x, axis=axes, keepdims=keepdim)


reduce_sum.vjp(
    x=lambda g, axes, keepdim, x_shape: broadcast(_keep(g, axes, keepdim, x_shape), size=x_shape)
)
reduce_sum.primitive.node_class.__name__ = "SumBackward0"


@export("sum")
def sum(
    input: Any,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    axis: Dim = None,
) -> Any:
    r"""Sum over all dimensions or `dim`.  y = Σ x,  x̄ = ȳ broadcast back.

    Integers and bools are summed in int64. IndexError for a dimension that is not there.
    """
    dim = axis if dim is None else dim
    if dtype is not None:
        input = _to(input, dtype)
    x = _data(input)
    result = reduce_sum(input, axes=axes_of(dim, x.ndim), keepdim=keepdim)
    return _finish(_to(result, dtype) if dtype is not None else result, out)


@primitive
def reduce_mean(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = Σ x / n;  x̄ = ȳ/n, broadcast back."""
    n = _count(x.shape, axes)
    total = np.sum(x, axis=axes, keepdims=keepdim)
    return total / x.dtype.type(n)


reduce_mean.vjp(
    x=lambda g, axes, keepdim, x_shape: broadcast(
        _keep(g * (1.0 / max(_count(x_shape, axes), 1)), axes, keepdim, x_shape), size=x_shape
    )
)
reduce_mean.primitive.node_class.__name__ = "MeanBackward0"


@export("mean")
def mean(
    input: Any,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    axis: Dim = None,
) -> Any:
    r"""Mean over all dimensions or `dim`.  y = (1/n) Σ x,  x̄ = ȳ/n.

    RuntimeError for integers without a floating `dtype`.
    """
    dim = axis if dim is None else dim
    if dtype is not None:
        input = _to(input, dtype)
    x = _data(input)
    if from_numpy_dtype(x.dtype).category < FLOATING:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {from_numpy_dtype(x.dtype).name}"
        )
    return _finish(reduce_mean(input, axes=axes_of(dim, x.ndim), keepdim=keepdim), out)


@export("nansum")
def nansum(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Sum that counts nan as zero; its gradient is zero there, too."""
    if _data(input).dtype.kind == "c":
        raise RuntimeError("nansum does not support complex inputs")
    clean = (
        where(isnan(input), 0, input)
        if from_numpy_dtype(_data(input).dtype).category == FLOATING
        else input
    )
    return _finish(sum(clean, dim, keepdim, dtype=dtype), out)


@export("nanmean")
def nanmean(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Mean of the elements that are not nan."""
    if from_numpy_dtype(_data(input).dtype).category < FLOATING:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype")
    count = sum(isnan(input) == False, dim, keepdim)  # noqa: E712 - elementwise
    return _finish(nansum(input, dim, keepdim, dtype=dtype) / count, out)


# ------------------------------------------------------------------------------ product
@primitive
def reduce_prod(x: Any, *, axis: int, keepdim: bool) -> Any:
    """y = Π x along one axis;  x̄_i = ȳ Π_{j≠i} x_j (from the left and the right, so zeros are no problem)."""
    return np.prod(x, axis=axis, keepdims=keepdim, dtype=I64 if x.dtype.kind in "biu" else x.dtype)


reduce_prod.vjp(
    x=lambda g, x, axis, keepdim, x_shape: (
        _keep(g, (axis,), keepdim, x_shape) * prod_of_others(x, axis=axis)
    )
)
reduce_prod.primitive.node_class.__name__ = "ProdBackward0"


@primitive
def prod_of_others(x: Any, *, axis: int) -> Any:
    """y_i = Π_{j≠i} x_j;  x̄_k = Σ_{i≠k} ȳ_i Π_{j≠i,k} x_j."""
    ones = np.ones_like(np.take(x, [0], axis)) if x.shape[axis] else x
    n = x.shape[axis]
    left = (
        np.concatenate([ones, np.cumprod(np.take(x, range(n - 1), axis), axis)], axis) if n else x
    )
    back = np.flip(np.take(x, range(1, n), axis), axis)
    right = np.flip(np.concatenate([ones, np.cumprod(back, axis)], axis), axis) if n else x
    return left * right


def _prod_of_others_vjp(g: Any, x: Any, axis: int, x_shape: tuple[int, ...]) -> Any:
    # Π_{j≠i,k} for all pairs: n x n products, only for second derivatives
    n = x_shape[axis]
    columns = [take_slice(x, dim=axis, index=i) for i in range(n)]
    grads = [take_slice(g, dim=axis, index=i) for i in range(n)]
    result = []
    for k in range(n):
        total = None
        for i in range(n):
            if i == k:
                continue
            term = grads[i]
            for j in range(n):
                if j not in (i, k):
                    term = term * columns[j]
            total = term if total is None else total + term
        result.append(total if total is not None else grads[k] * 0)
    return stack(*result, dim=axis) if n else g


prod_of_others.vjp(x=_prod_of_others_vjp)


@export("prod")
def prod(
    input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    r"""Product of all elements, or along `dim`.  y = Π x,  x̄_i = ȳ Π_{j≠i} x_j (right at zeros, too)."""
    if dtype is not None:
        input = _to(input, dtype)
    x = _data(input)
    if dim is None:
        result = reduce_prod(reshape(input, (-1,)), axis=0, keepdim=False)
    elif x.ndim == 0:
        normalize_dim(dim, 0)
        result = reduce_prod(reshape(input, (-1,)), axis=0, keepdim=False)
    else:
        result = reduce_prod(input, axis=normalize_dim(dim, x.ndim), keepdim=keepdim)
    return _finish(_to(result, dtype) if dtype is not None else result, out)


# ------------------------------------------------------------------------------ variance
def _correction(unbiased: Any, correction: Any) -> float:
    return (
        float(unbiased if unbiased is not None else 1) if correction is None else float(correction)
    )


@primitive
def reduce_var(x: Any, *, axes: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    """y = Σ (x − mean)² / (n − c);  x̄ = ȳ · 2 (x − mean)/(n − c).

    In float64 for float32, like PyTorch's double accumulation; n − c below zero counts as zero.
    """
    wide = x.astype(np.float64) if x.dtype == F32 else x
    n = _count(x.shape, axes)
    centred = wide - np.mean(wide, axis=axes, keepdims=True)
    square = (centred * centred.conj()).real
    y = np.sum(square, axis=axes, keepdims=keepdim) / np.float64(max(n - correction, 0))
    return np.asarray(y).astype(x.real.dtype)


def _var_vjp(g: Any, x: Any, axes: Any, keepdim: bool, correction: float, x_shape: Any) -> Any:
    n = _count(x_shape, axes)
    centred = x - reduce_mean(x, axes=axes, keepdim=True)
    scale = (
        2.0 / (n - correction) if n > correction else (math.nan if n == correction else math.inf)
    )
    return _keep(g, axes, keepdim, x_shape) * (centred * scale)


reduce_var.vjp(x=_var_vjp)
reduce_var.primitive.node_class.__name__ = "VarBackward0"


def _parse_var(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, float]:
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    return dim, _correction(unbiased, correction)


def _check_floating(name: str, x: Any) -> None:
    if from_numpy_dtype(_data(x).dtype).category < FLOATING:
        raise RuntimeError(f"{name} only support floating point and complex dtypes")


@export("var")
def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    out: Any = None,
    axis: Any = None,
) -> Any:
    r"""Variance.  y = Σ (x − mean)² / max(0, n − correction),  x̄ = ȳ·2(x − mean)/(n − correction).

    correction: 1 (unbiased=True, default) or 0. Floating types only, else RuntimeError.
    """
    _check_floating("std and var", input)
    dim, c = _parse_var(axis if dim is None else dim, unbiased, correction)
    axes = axes_of(dim, _data(input).ndim)
    return _finish(reduce_var(input, axes=axes, keepdim=keepdim, correction=c), out)


@export("std")
def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    out: Any = None,
    axis: Any = None,
) -> Any:
    r"""Standard deviation: √var.  x̄ = ȳ (x − mean) / ((n − correction) y), zero where y = 0."""
    _check_floating("std and var", input)
    dim, c = _parse_var(axis if dim is None else dim, unbiased, correction)
    axes = axes_of(dim, _data(input).ndim)
    return _finish(root(reduce_var(input, axes=axes, keepdim=keepdim, correction=c)), out)


@primitive
def root(x: Any) -> Any:
    """√x whose derivative at 0 is taken as 0: std of equal numbers has gradient 0, as in PyTorch."""
    return np.sqrt(x)


root.vjp(x=lambda g, y: where(eq(y, 0), 0, div(g, 2 * y)))


@export("var_mean")
def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Any, Any]:
    """(var, mean) over the same dimensions."""
    v = var(input, dim, unbiased, keepdim, correction=correction)
    dim, _ = _parse_var(dim, unbiased, correction)
    return v, mean(input, dim, keepdim)


@export("std_mean")
def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Any, Any]:
    """(std, mean) over the same dimensions."""
    s = std(input, dim, unbiased, keepdim, correction=correction)
    dim, _ = _parse_var(dim, unbiased, correction)
    return s, mean(input, dim, keepdim)


# ------------------------------------------------------------------------------ extrema
def _check_not_empty(name: str, x: Any, axes: tuple[int, ...], given: bool) -> None:
    if x.size == 0 and (not given or builtins.any(x.shape[a] == 0 for a in axes)):
        raise (IndexError if given else RuntimeError)(
            f"{name}(): Expected reduction dim to have non-zero size, but the input has shape {list(x.shape)}."
            + ("" if given else " Specify the reduction dim with the 'dim' argument.")
        )


@primitive(half="keep")
def reduce_amax(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = max x;  x̄ = ȳ shared equally by all elements that attain it. nan wins."""
    return np.max(x, axis=axes, keepdims=keepdim)


@primitive(half="keep")
def reduce_amin(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = min x;  x̄ = ȳ shared equally by all elements that attain it. nan wins."""
    return np.min(x, axis=axes, keepdims=keepdim)


def _extremum_vjp(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    here = eq(x, _keep(y, axes, keepdim, x_shape))
    count = reduce_sum(here, axes=axes, keepdim=True)
    return where(here, _keep(g, axes, keepdim, x_shape) / count, 0)


reduce_amax.vjp(x=_extremum_vjp)
reduce_amin.vjp(x=_extremum_vjp)
reduce_amax.primitive.node_class.__name__ = "AmaxBackward0"
reduce_amin.primitive.node_class.__name__ = "AminBackward0"


@export("amax")
def amax(input: Any, dim: Dim = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Maximum over all dimensions or `dim`; ties share the gradient."""
    axes = axes_of(dim, _data(input).ndim)
    _check_not_empty("amax", _data(input), axes, dim is not None and dim != ())
    return _finish(reduce_amax(input, axes=axes, keepdim=keepdim), out)


@export("amin")
def amin(input: Any, dim: Dim = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Minimum over all dimensions or `dim`; ties share the gradient."""
    axes = axes_of(dim, _data(input).ndim)
    _check_not_empty("amin", _data(input), axes, dim is not None and dim != ())
    return _finish(reduce_amin(input, axes=axes, keepdim=keepdim), out)


@export("aminmax")
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max), over all elements or along `dim`."""
    axes = axes_of(dim, _data(input).ndim)
    _check_not_empty("aminmax", _data(input), axes, dim is not None)
    return AMinMax(
        reduce_amin(input, axes=axes, keepdim=keepdim),
        reduce_amax(input, axes=axes, keepdim=keepdim),
    )


class AMinMax(NamedTuple):
    """The result of aminmax."""

    min: Any
    max: Any


# ------------------------------------------------------------------------------ truth and counting
@export("all")
def all(input: Any, dim: Dim = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether all elements are true (uint8 stays uint8, as in PyTorch)."""
    return _finish(_truth(np.all, input, dim, keepdim), out)


@export("any")
def any(input: Any, dim: Dim = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether any element is true (uint8 stays uint8, as in PyTorch)."""
    return _finish(_truth(np.any, input, dim, keepdim), out)


@primitive(half="keep")
def reduce_truth(x: Any, *, test: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """np.all or np.any over the axes."""
    y = test(x.astype(B8) if x.dtype in HALF else x, axis=axes, keepdims=keepdim)
    return np.asarray(y).astype(x.dtype) if x.dtype == np.uint8 else y


def _truth(test: Any, input: Any, dim: Dim, keepdim: bool) -> Any:
    x = _data(input)
    axes = axes_of(dim, x.ndim) if dim is None or isinstance(dim, int) or len(dim) else ()
    return reduce_truth(input, test=test, axes=axes, keepdim=keepdim)


@primitive
def count_true(x: Any, *, axes: tuple[int, ...]) -> Any:
    """How many elements are not zero."""
    return np.count_nonzero(x, axis=axes) if x.ndim else np.asarray(int(x != 0))


@export("count_nonzero")
def count_nonzero(input: Any, dim: Dim = None) -> Any:
    """The number of elements that are not zero (int64)."""
    return count_true(input, axes=axes_of(dim, _data(input).ndim))


# ------------------------------------------------------------------------------ log-sum-exp and norms
@primitive
def reduce_logsumexp(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = log Σ eˣ, computed as m + log Σ e^(x−m) with m = max x (0 if m is infinite);  x̄ = ȳ e^(x−y)."""
    if x.size == 0:
        return np.log(np.sum(np.exp(x), axis=axes, keepdims=keepdim))
    m = np.max(x, axis=axes, keepdims=True)
    m = np.where(np.isfinite(m), m, 0)
    y = np.log(np.sum(np.exp(x - m), axis=axes, keepdims=True)) + m
    return y if keepdim else np.squeeze(y, axis=axes)


reduce_logsumexp.vjp(
    x=lambda g, x, y, axes, keepdim, x_shape: (
        _keep(g, axes, keepdim, x_shape) * exp(x - _keep(y, axes, keepdim, x_shape))
    )
)
reduce_logsumexp.primitive.node_class.__name__ = "LogsumexpBackward0"


@export("logsumexp", "special.logsumexp")
def logsumexp(input: Any, dim: Dim, keepdim: bool = False, *, out: Any = None) -> Any:
    r"""log Σ exp x over `dim`, without overflow.  x̄ = ȳ·softmax(x). Integers become the default dtype."""
    if from_numpy_dtype(_data(input).dtype).category < FLOATING:
        input = _to(input, get_default_dtype())
    return _finish(
        reduce_logsumexp(input, axes=axes_of(dim, _data(input).ndim), keepdim=keepdim), out
    )


@primitive
def norm2(x: Any, *, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = √Σ x²;  x̄ = ȳ x / y, zero where y = 0 (the subgradient of least norm)."""
    return np.sqrt(
        np.sum(np.square(np.abs(x)) if x.dtype.kind == "c" else x * x, axis=axes, keepdims=keepdim)
    )


def _norm2_vjp(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    y = _keep(y, axes, keepdim, x_shape)
    return _keep(g, axes, keepdim, x_shape) * where(eq(y, 0), 0, x / y)


norm2.vjp(x=_norm2_vjp)
norm2.primitive.node_class.__name__ = "LinalgVectorNormBackward0"


@export("linalg.vector_norm")
def vector_norm(
    x: Any,
    ord: float = 2,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    r"""The p-norm (Σ |x|^p)^(1/p); p = ±inf: extreme of |x|; p = 0: number of non-zeros.

    The gradient at 0 is 0 for p = 1, 2 (the subgradient of least norm).
    """
    if dtype is not None:
        x = _to(x, dtype)
    if from_numpy_dtype(_data(x).dtype).category < FLOATING:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            + from_numpy_dtype(_data(x).dtype).name
        )
    axes = axes_of(dim, _data(x).ndim)
    if ord in (-math.inf, math.inf) or ord < 0:
        if _data(x).size == 0 and (dim is None or _count(_data(x).shape, axes) == 0):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not "
                "have an identity"
            )
    return _finish(_vector_norm(x, ord, axes, keepdim), out)


def _vector_norm(x: Any, ord: float, axes: tuple[int, ...], keepdim: bool) -> Any:
    if ord == 2:
        return norm2(x, axes=axes, keepdim=keepdim)
    if ord == math.inf:
        return reduce_amax(abs(x), axes=axes, keepdim=keepdim)
    if ord == -math.inf:
        return reduce_amin(abs(x), axes=axes, keepdim=keepdim)
    if ord == 0:
        return reduce_sum(where(eq(x, 0), x * 0, x * 0 + 1), axes=axes, keepdim=keepdim)
    if ord == 1:
        return reduce_sum(abs(x), axes=axes, keepdim=keepdim)
    return norm_p(x, p=float(ord), axes=axes, keepdim=keepdim)


@primitive
def norm_p(x: Any, *, p: float, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y = (Σ |x|^p)^(1/p);  x̄ = ȳ · sign x · (|x|/y)^(p−1), zero where y = 0."""
    return np.sum(np.abs(x) ** p, axis=axes, keepdims=keepdim) ** (1.0 / p)


def _norm_p_vjp(g: Any, x: Any, y: Any, p: float, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    y = _keep(y, axes, keepdim, x_shape)
    safe = where(eq(y, 0), 1, y)
    slope = sign(x) * pow(abs(x) / safe, p - 1)
    if p < 1:  # the power is negative: 0·inf at x = 0
        slope = where(eq(x, 0), 0, slope)
    return _keep(g, axes, keepdim, x_shape) * where(eq(y, 0), 0, slope)


norm_p.vjp(x=_norm_p_vjp)


@export("dist")
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input − other, broadcast against each other."""
    return vector_norm(sub(input, other), p)


@export("norm")
def norm(
    input: Any,
    p: Any = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Any:
    """The p-norm of the elements, over all dimensions or `dim`; "fro" is 2 (vector_norm)."""
    order = 2.0 if p in (None, "fro") else float(p)
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)
