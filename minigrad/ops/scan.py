"""Running extrema and log-sums, differences, and integrals by the trapezoid rule.

cumsum and cumprod are in products.py: the product's derivative needs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from ..kernels.cpu import scans
from .arguments import numpy_names
from .arithmetic import sub
from .compare import eq, isinf, logical_xor
from .complexes import conj
from .extrema import comparable, lines
from .formulas import complex_logaddexp
from .join import cat
from .piecewise import dtype_title, finish, where
from .products import cumprod as cumprod
from .products import cumsum as cumsum
from .products import cumsum_, recurrence, shift
from .results import CumMax, CumMin, finish_pair
from .scatter import gather_
from .slices import slice_
from .strides import is_int
from .sums import reduce_sum
from .transcendental import exp
from .views import view_


# ------------------------------------------------------------ cummax, cummin
def _running_places(x: Any, dim: int, ufunc: Any) -> Any:
    """Where the extremum so far is along dim: the last of equals, and of nans."""
    xp = array_module(x)
    best = ufunc.accumulate(x, axis=dim)
    here = x == best
    if x.dtype.kind == "f":
        here |= xp.isnan(x)
    steps = xp.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - 1 - dim))
    return row_major(np.maximum.accumulate(xp.where(here, steps, 0), axis=dim))


def _running(name: str, input: Tensor, dim: int, ufunc: Any, named: Any, out: Any) -> Any:
    x = input._data
    if x.dtype.kind == "c":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtype_title(x.dtype)}'")
    dim = normalize_dim(dim, x.ndim)
    places = _running_places(lines(comparable(x)), dim, ufunc) if x.size else np.zeros(x.shape)
    index = wrap(places.reshape(x.shape).astype(np.int64))
    return finish_pair(named(gather_(input, index, dim=dim), index), out)


@export("cummax")
@numpy_names
def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The largest element so far along `dim` and its index (the last of equals).

    x̄ has at each place the sum of the ȳ whose maximum it is. nan stays once it came.
    """
    return _running("cummax", input, dim, np.maximum, CumMax, out)


@export("cummin")
@numpy_names
def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The smallest element so far along `dim` and its index (the last of equals).

    x̄ has at each place the sum of the ȳ whose minimum it is. nan stays once it came.
    """
    return _running("cummin", input, dim, np.minimum, CumMin, out)


# ------------------------------------------------------------ logcumsumexp
@primitive
def logcumsumexp_(x: Any, *, dim: int) -> Any:
    """y_k = log Σ_{i≤k} e^{x_i};  x̄_k = e^{x_k − y_k} r_k,  r_k = ȳ_k + e^{y_k − y_{k+1}} r_{k+1}.

    No exponent in the derivative is positive: nothing overflows.
    """
    if x.dtype.kind == "c":
        y = x.copy(order="C")
        rows = np.moveaxis(y, dim, 0)
        for before, row in pairwise(rows):
            row[...] = complex_logaddexp(before, row)
        return y
    y = scans.logcumsumexp(x, dim)
    return row_major(np.logaddexp.accumulate(x, axis=dim)) if y is None else y


def _ratio(low: Any, high: Any) -> Any:
    """The conjugate of e^(low − high), where low ≤ high; 1 if they are the same infinity."""
    same = eq(low, high) & isinf(low)
    return conj(exp(where(same, 0, low) - where(same, 0, high)))


def _logcumsumexp_vjp(g: Any, x: Any, y: Any, dim: int) -> Any:
    following = shift(y, dim=dim, by=-1, fill=math.inf)
    rest = recurrence(_ratio(y, following), g, dim=dim, reverse=True)
    return _ratio(x, y) * rest


def _logcumsumexp_fast(g: Any, x: Any, y: Any, dim: int) -> Any:
    if x.dtype.kind == "f" and np.isnan(g).any():
        g = np.where(np.isnan(g), g.dtype.type(0), g)  # PyTorch adds up what is > 0 and what is < 0
    x_bar = scans.logcumsumexp_backward(g, x, y, dim) if x.dtype.kind == "f" else None
    return _logcumsumexp_vjp(g, x, y, dim) if x_bar is None else x_bar


logcumsumexp_.vjp(x=_logcumsumexp_vjp)
logcumsumexp_.fast(x=_logcumsumexp_fast)
logcumsumexp_.primitive.node_class.__name__ = "LogcumsumexpBackward0"


@export("logcumsumexp")
@numpy_names
def logcumsumexp(input: Tensor, dim: int, *, out: Any = None) -> Tensor:
    """log Σ exp of the elements so far along `dim`, without overflow.

    y_k = log Σ_{i≤k} e^{x_i},  x̄_k = Σ_{i≥k} ȳ_i e^{x_k − y_i}
    """
    x = input._data
    if x.dtype.kind in "biu":
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{dtype_title(x.dtype)}'"
        )
    dim = normalize_dim(dim, x.ndim)
    if not x.ndim:
        return finish(input.clone(), out)  # type: ignore[attr-defined]
    return finish(logcumsumexp_(input, dim=dim), out)


# ------------------------------------------------------------ differences
def _part(x: Tensor, dim: int, start: int, stop: int | None) -> Tensor:
    first, last, _ = slice(start, stop).indices(x._data.shape[dim])
    return slice_(x, dim=dim, start=first, stop=max(first, last), step=1)


@export("diff")
@numpy_names
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
    append: Tensor | None = None, *, out: Any = None,
) -> Tensor:  # fmt: skip
    """The n-th differences of neighbours along `dim`; of bools, whether they differ.

    y_k = x_{k+1} − x_k, n times. prepend and append are joined to x first. RuntimeError for a 0-d x
    or a negative n.
    """
    if not input._data.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    for extra in (prepend, append):
        if extra is not None and extra._data.ndim != input._data.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    if n == 0:  # the other arguments do not count then
        return finish(input.clone(), out)  # type: ignore[attr-defined]
    dim = normalize_dim(dim, input._data.ndim)
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    op = logical_xor if x._data.dtype.kind == "b" else sub
    for _ in range(min(n, x._data.shape[dim])):
        x = op(_part(x, dim, 1, None), _part(x, dim, 0, -1))
    return finish(x, out, True)


# ------------------------------------------------------------ the trapezoid rule
def _steps(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> Any:
    """The distances between samples: a number, or a tensor that broadcasts against the slices."""
    if x is None:
        if not isinstance(dx, (bool, int, float, complex, np.number)):
            raise TypeError(f"{name}(): argument 'dx' must be Number, not {type(dx).__name__}")
        return dx
    shape, count = x._data.shape, y._data.shape[dim]
    if not shape:
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    along = 0 if len(shape) == 1 else dim - y._data.ndim + len(shape)
    if along < 0 or shape[along] not in (count, *([1] if len(shape) > 1 else [])):
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    distances = diff(x, dim=along) if shape[along] != 1 or count == 1 else x * 0
    if len(shape) == 1:
        size = [1] * y._data.ndim
        size[dim] = count - 1
        distances = view_(distances, size=tuple(size))
    return distances


def _areas(y: Any, steps: Any, dim: int) -> Tensor:
    high: Any = _part(y, dim, 1, None)
    return (high + _part(y, dim, 0, -1)) * steps / 2


def _trapezoid(name: str, y: Tensor, x: Any, dx: Any, dim: int, total: bool) -> Tensor:
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: both x and dx")
    dx = 1 if dx is None else dx
    if y._data.dtype.kind == "b" or (x is not None and x._data.dtype.kind == "b"):
        which = "y" if y._data.dtype.kind == "b" else "x"
        raise RuntimeError(
            f"{name}: received a bool input for `{which}`, but bool is not supported"
        )
    if not y._data.ndim:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    dim = normalize_dim(dim, y._data.ndim)
    if not y._data.shape[dim]:
        if not total:
            return cumsum_(y, dim=dim, reverse=False)
        rest = tuple([n for d, n in enumerate(y._data.shape) if d != dim])
        return wrap(np.zeros(rest, y._data.dtype))
    areas = _areas(y, _steps(name, y, x, dx, dim), dim)
    dim += areas._data.ndim - y._data.ndim
    return (
        reduce_sum(areas, axes=(dim,), keepdim=False)
        if total
        else cumsum_(areas, dim=dim, reverse=False)
    )


@export("trapezoid", "trapz")
@numpy_names
def trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples y at places x (default: dx = 1 apart) along `dim`.

    Σ (x_{k+1} − x_k)(y_k + y_{k+1})/2. RuntimeError for bools, or another number of places.
    """
    return _trapezoid("trapezoid", y, x, dx, dim, True)


@export("cumulative_trapezoid")
@numpy_names
def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral from the first sample to each of the others: `trapezoid` up to there."""
    return _trapezoid("cumulative_trapezoid", y, x, dx, dim, False)


# ------------------------------------------------------------ gradient
def _spacings(spacing: Any, dims: Sequence[int], shape: tuple[int, ...]) -> list[Any]:
    """One number or 1-d tensor of places for each dimension."""
    if spacing is None:
        return [1.0] * len(dims)
    if isinstance(spacing, (bool, int, float, complex, np.number)):
        return [spacing] * len(dims)
    given = [spacing] if isinstance(spacing, Tensor) else list(spacing)
    if len(given) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"equal to the number of dimensions ({len(dims)}), but got a list of length "
            f"{len(given)}"
        )
    for s, d in zip(given, dims, strict=True):
        if isinstance(s, Tensor):
            if s._data.ndim != 1:
                raise RuntimeError(
                    "torch.gradient expected each element of spacing to have one dimension, but "
                    f"got an element with {s._data.ndim} dimensions!"
                )
            if s._data.size != shape[d]:
                raise RuntimeError(
                    "torch.gradient expected each element of spacing to have the size of the "
                    f"dimension, {shape[d]}, but got {s._data.size}"
                )
    return given


def _difference(x: Any, dim: int, step: Any, order: int) -> Tensor:
    """Central differences inside, one-sided ones of the given order at both ends."""
    n = x._data.shape[dim]
    if isinstance(step, Tensor):
        size = [1] * x._data.ndim
        size[dim] = n - 1
        h: Any = view_(diff(step), size=tuple(size))
    else:
        h = step

    def at(k: int, count: int = 1) -> Any:
        return _part(x, dim, k, k + count)

    def gap(k: int, count: int = 1) -> Any:
        return _part(h, dim, k, k + count) if isinstance(h, Tensor) else h

    if order == 1:
        start, end = (at(1) - at(0)) / gap(0), (at(n - 1) - at(n - 2)) / gap(n - 2)
    else:
        start = _one_sided(at(0), at(1), at(2), gap(0), gap(1))
        end = -_one_sided(at(n - 1), at(n - 2), at(n - 3), gap(n - 2), gap(n - 3))
    low, mid, high = [at(k, n - 2) for k in range(3)]
    p, q = gap(0, n - 2), gap(1, n - 2)
    if isinstance(h, Tensor):
        inner = low * (-q / (p * (p + q))) + mid * ((q - p) / (p * q)) + high * (p / (q * (p + q)))
    else:
        inner = (high - low) / (2 * h)
    return cat([start, inner, end], dim)


def _one_sided(f0: Any, f1: Any, f2: Any, p: Any, q: Any) -> Any:
    """The derivative at the first of three samples, p and q apart, exact for parabolas."""
    return f0 * (-(2 * p + q) / (p * (p + q))) + f1 * ((p + q) / (p * q)) - f2 * (p / (q * (p + q)))


@export("gradient")
@numpy_names
def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> list[Tensor]:
    """The derivative of samples along each of `dim` (default: all), by central differences.

    spacing is a distance for all dimensions, or for each a distance or a vector of places;
    edge_order 1 or 2 is the order at the ends. RuntimeError for too few samples.
    """
    x, ndim = input._data, input._data.ndim
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    given = range(ndim) if dim is None else (dim,) if is_int(dim) else dim
    dims = [normalize_dim(int(d), ndim) for d in given]
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    if x.dtype.kind in "bu":
        raise RuntimeError(
            f"torch.gradient does not support {'bool' if x.dtype.kind == 'b' else 'uint8'} input."
        )
    for d in dims:
        if x.shape[d] < edge_order + 1:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1"
            )
    steps = _spacings(spacing, dims, x.shape)
    return [_difference(input, d, s, edge_order) for d, s in zip(dims, steps, strict=True)]
