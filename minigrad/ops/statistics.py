"""Variance and standard deviation; covariance and correlation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..export import export
from ..kernels.cpu import moments
from .compare import eq
from .complexes import conj, real
from .dims import numpy_T
from .piecewise import dtype_title, finish, where
from .slices import diagonal
from .sums import Axes, axes_of, count_of, is_floating, kept, reduce_mean, reduced, sum
from .views import view_


# ------------------------------------------------------------ var, std
@primitive
def reduce_var(x: Any, *, axes: Axes, keepdim: bool, correction: float) -> Any:
    """y = Σ |x − mean|² / (n − c), in two passes;  x̄ = ȳ · 2 (x − mean)/(n − c).

    n − c below zero counts as zero.
    """
    n = count_of(x.shape, axes)
    y = moments.variance(x, axes, keepdim, max(n - correction, 0))
    if y is not None:
        return y
    centred = x - reduced(np.add, x, axes, True) / x.dtype.type(n)
    square = (centred * centred.conj()).real
    return reduced(np.add, square, axes, keepdim) / square.dtype.type(max(n - correction, 0))


def _slope(n: int, correction: float) -> float:
    return 2.0 / (n - correction) if n != correction else math.inf


def _var_vjp(g: Any, x: Any, axes: Any, keepdim: bool, correction: float, x_shape: Any) -> Any:
    centred = x - reduce_mean(x, axes=axes, keepdim=True)
    scale = _slope(count_of(x_shape, axes), correction)
    return kept(g, axes, keepdim, x_shape) * (centred * scale)


def _var_fast(g: Any, x: Any, axes: Any, keepdim: bool, correction: float, x_shape: Any) -> Any:
    x_bar = moments.centred(g, x, axes, _slope(count_of(x_shape, axes), correction))
    if x_bar is not None:
        return x_bar
    return _var_vjp(g, x, axes, keepdim, correction, x_shape)


reduce_var.vjp(x=_var_vjp)
reduce_var.fast(x=_var_fast)


@primitive
def root(x: Any) -> Any:
    """y = √x;  x̄ = ȳ/2y, 0 at 0: equal numbers have a standard deviation with gradient 0."""
    return np.sqrt(x)


root.vjp(x=lambda g, y: where(eq(y, 0), 0, g / where(eq(y, 0), 1, 2 * y)))
reduce_var.primitive.node_class.__name__ = "VarBackward0"
root.primitive.node_class.__name__ = "StdBackward0"


def _parse(x: Tensor, args: tuple, named: dict[str, Any]) -> tuple[Axes, bool, float]:
    """(axes, keepdim, correction) of PyTorch's signatures (unbiased), (dim, unbiased, keepdim) and
    (dim, *, correction, keepdim).
    """
    if len(args) == 1 and not named and type(args[0]) is int and is_floating(x):
        return axes_of(args[0], x._data.ndim), False, 1.0
    names = ["unbiased"] if args and isinstance(args[0], bool) else ["dim", "unbiased", "keepdim"]
    if len(args) > len(names):
        raise TypeError("std and var received an invalid combination of arguments")
    given = {**named, **dict(zip(names, args, strict=False))}
    dim, unbiased = given.pop("dim", None), given.pop("unbiased", None)
    dim = given.pop("axis", None) if dim is None else dim
    keepdim = given.pop("keepdims", False) or given.pop("keepdim", False)
    correction = given.pop("correction", None)
    if given or (unbiased is not None and correction is not None):
        raise TypeError("std and var received an invalid combination of arguments")
    if not is_floating(x):
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return axes_of(dim, x._data.ndim), bool(keepdim), float(correction)


@export("var")
def var(input: Tensor, *args: Any, out: Any = None, **named: Any) -> Tensor:
    """Variance: `var(x, dim=None, *, correction=1, keepdim=False)`, or with unbiased=True.

    y = Σ (x − mean)² / max(0, n − correction),  x̄ = ȳ·2(x − mean)/(n − correction)

    RuntimeError for integers, IndexError for a dimension that is not there.
    """
    axes, keepdim, correction = _parse(input, args, named)
    return finish(reduce_var(input, axes=axes, keepdim=keepdim, correction=correction), out)


@export("std")
def std(input: Tensor, *args: Any, out: Any = None, **named: Any) -> Tensor:
    """Standard deviation √var: `std(x, dim=None, *, correction=1, keepdim=False)`.

    x̄ = ȳ (x − mean)/((n − correction) y), 0 where y = 0. Errors as in `var`.
    """
    return finish(root(var(input, *args, **named)), out)


def _with_mean(op: Any, input: Tensor, args: tuple, named: dict[str, Any]) -> tuple[Any, Any]:
    axes, keepdim, _ = _parse(input, args, named)
    return op(input, *args, **named), reduce_mean(input, axes=axes, keepdim=keepdim)


@export("var_mean")
def var_mean(input: Tensor, *args: Any, **named: Any) -> tuple[Tensor, Tensor]:
    """(var, mean) over the same dimensions; arguments as in `var`."""
    return _with_mean(var, input, args, named)


@export("std_mean")
def std_mean(input: Tensor, *args: Any, **named: Any) -> tuple[Tensor, Tensor]:
    """(std, mean) over the same dimensions; arguments as in `std`."""
    return _with_mean(std, input, args, named)


# ------------------------------------------------------------ cov, corrcoef
def _check_weights(name: str, w: Tensor, count: int, kinds: str, what: str) -> None:
    if w._data.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
            f"{w._data.ndim} dimensions"
        )
    if w._data.dtype.kind not in kinds:
        raise RuntimeError(
            f"cov(): expected {name} to have {what} dtype but got {name} with "
            f"{dtype_title(w._data.dtype)} dtype"
        )
    if w._data.size != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input "
            f"but got {w._data.size} != {count}"
        )
    if w._data.size and w._data.min() < 0:
        raise RuntimeError(f"cov(): {name} cannot be negative")


@export("cov")
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The covariance matrix of variables (rows) from observations (columns).

        C = (X − μ) diag(w) (X − μ)ᴴ / d,  d = Σw − correction·Σ(w·aweights)/Σw, at least 0

    fweights count repetitions (integers), aweights weigh observations. RuntimeError above two
    dimensions, for bools, or weights that do not fit.
    """
    x = input._data
    if x.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {x.ndim} "
            "dimensions"
        )
    if x.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows: Any = view_(input, size=(1, -1)) if x.ndim < 2 else input
    count = rows._data.shape[1]
    if fweights is not None:
        _check_weights("fweights", fweights, count, "iu", "integral")
    if aweights is not None:
        _check_weights("aweights", aweights, count, "fV", "floating point")
    both: list[Any] = [w for w in (fweights, aweights) if w is not None]
    weights = both[0] * both[1] if len(both) == 2 else both[0] if both else None
    if weights is None:
        centre = sum(rows, 1, True) / max(count, 1)
        norm: Any = max(count - correction, 0)
    else:
        weights = view_(weights, size=(1, -1))
        total: Any = sum(weights)
        if not total._data:
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        centre = sum(rows * weights, 1, True) / total
        norm = _weighted_norm(weights, aweights, total, correction)
    centred = rows - centre
    right = centred if weights is None else centred * weights
    c = centred @ numpy_T(conj(right) if x.dtype.kind == "c" else right)
    c = c / norm
    return view_(c, size=()) if len(c._data) == 1 else c


def _weighted_norm(weights: Any, aweights: Any, total: Any, correction: int) -> Any:
    repeated: Any = total if aweights is None else sum(weights * view_(aweights, size=(1, -1)))
    norm = total - correction * repeated / total
    return where(norm > 0, norm, 0 * norm)


@export("corrcoef")
def corrcoef(input: Tensor) -> Tensor:
    """The Pearson correlation coefficients of variables (rows): C_ij/√(C_ii C_jj), in [−1, 1].

    Clipping to [−1, 1] has no gradient beyond the ends. RuntimeError above two dimensions.
    """
    if input._data.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input._data.ndim} dimensions"
        )
    c: Any = cov(input)
    if not c._data.ndim:
        return c / c
    d = root(real(diagonal(c)) if c._data.dtype.kind == "c" else diagonal(c))
    c = c / view_(d, size=(-1, 1)) / view_(d, size=(1, -1))
    return c if c._data.dtype.kind == "c" else _clip(c)


def _clip(c: Any) -> Any:
    return where(c > 1, 1, where(c < -1, -1, c))
