"""Softmax and its logarithm: exponentials along one dimension, shifted by the maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module, row_major
from ..backend.dtypes import numpy_dtype
from ..core.chores import cast
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim, wrap
from ..core.views import unlinked
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import rows
from .elementwise import exp
from .piecewise import finish, refuse
from .reduction import reduce_sum
from .shape import view_
from .sums import reduced


def _shifted(x: Any, axis: int) -> Any:
    """x minus its maximum, so that no exponential overflows."""
    return x - np.max(x, axis=axis, keepdims=True) if x.shape[axis] else x.copy()


@primitive
def softmax_along(x: Any, *, axis: int) -> Any:
    """y_i = e^{x_i} / Σ e^{x_j};  x̄ = y (ȳ − Σ ȳ y)."""
    y = (rows if type(x) is np.ndarray else cuda.launch).softmax(x, axis)
    if y is not None:
        return y
    y = _shifted(row_major(x), axis)
    np.exp(y, out=y)
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


def _softmax_fast(g: Any, y: Any, axis: int) -> Any:
    kernels: Any = rows if type(y) is np.ndarray else cuda.launch
    x_bar = kernels.softmax_backward(g, y, axis)
    if x_bar is None:
        x_bar = g * y
        x_bar -= y * reduced(np.add, x_bar, (axis,), True)
    return x_bar


softmax_along.vjp(x=lambda g, y, axis: y * (g - reduce_sum(g * y, axes=(axis,), keepdim=True)))
softmax_along.fast(x=_softmax_fast)
softmax_along.primitive.node_class.__name__ = "SoftmaxBackward0"


@primitive
def log_softmax_along(x: Any, *, axis: int) -> Any:
    """y_i = x_i − log Σ e^{x_j};  x̄ = ȳ − e^y Σ ȳ."""
    y = (rows if type(x) is np.ndarray else cuda.launch).softmax(x, axis, logarithm=True)
    if y is not None:
        return y
    y = _shifted(row_major(x), axis)
    y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
    return y


def _log_softmax_fast(g: Any, y: Any, axis: int) -> Any:
    kernels: Any = rows if type(y) is np.ndarray else cuda.launch
    x_bar = kernels.softmax_backward(g, y, axis, logarithm=True)
    if x_bar is None:
        x_bar = g - np.exp(y) * reduced(np.add, g, (axis,), True)
    return x_bar


log_softmax_along.vjp(x=lambda g, y, axis: g - exp(y) * reduce_sum(g, axes=(axis,), keepdim=True))
log_softmax_along.fast(x=_log_softmax_fast)
log_softmax_along.primitive.node_class.__name__ = "LogSoftmaxBackward0"


def _along(op: Any, name: str, input: Any, dim: int | None, dtype: Any, out: Any = None) -> Any:
    if not isinstance(input, Tensor):
        kind = type(input).__name__
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {kind}")
    ndim = input._data.ndim
    if dim is None:  # PyTorch's default of before it had one
        dim = 0 if ndim in (0, 1, 3) else 1
    axis = normalize_dim(dim, ndim)
    if dtype is not None and input._data.dtype != numpy_dtype(dtype):
        input = cast(input, dtype=numpy_dtype(dtype))
    refuse(f"{name}_lastdim_kernel_impl", input._data, "biu")
    if ndim:
        result = op(input, axis=axis)
    else:
        result = unlinked(view_(op(view_(input, size=(1,)), axis=0), size=()))
    return finish(result, out)


@export("nn.functional.softmax")
def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Exponentials along `dim`, scaled to sum 1 (Bridle 1989).

        y_i = e^{x_i} / Σ_j e^{x_j},  x̄ = y (ȳ − Σ ȳ y)

    dtype: that of the computation and the result. IndexError for a dimension that is not there.
    """
    return _along(softmax_along, "softmax", input, dim, dtype)


@export("softmax", "special.softmax")
def softmax_of(
    input: Any,
    dim: int | None = None,
    dtype: Any = None,
    *,
    out: Any = None,
    axis: int | None = None,
) -> Any:
    """Exponentials scaled to sum 1:  y_i = e^{x_i} / Σ_j e^{x_j},  x̄ = y (ȳ − Σ ȳ y)."""
    if dim is None and (dim := axis) is None:
        raise TypeError("softmax() missing 1 required positional argument: 'dim'")
    return _along(softmax_along, "softmax", input, dim, dtype, out)


@export("nn.functional.log_softmax")
def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of the softmax along `dim`.

        y_i = x_i − log Σ_j e^{x_j},  x̄ = ȳ − e^y Σ ȳ

    dtype: that of the computation and the result. IndexError for a dimension that is not there.
    """
    return _along(log_softmax_along, "log_softmax", input, dim, dtype)


@export("log_softmax", "special.log_softmax")
def log_softmax_of(
    input: Any,
    dim: int | None = None,
    dtype: Any = None,
    *,
    out: Any = None,
    axis: int | None = None,
) -> Any:
    """The logarithm of the softmax:  y_i = x_i − log Σ_j e^{x_j},  x̄ = ȳ − e^y Σ ȳ."""
    if dim is None and (dim := axis) is None:
        raise TypeError("log_softmax() missing 1 required positional argument: 'dim'")
    return _along(log_softmax_along, "log_softmax", input, dim, dtype, out)


@export("nn.functional.softmin")
def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax(−x) along `dim`."""
    return softmax(-input, dim, dtype=dtype)


@export("nn.functional.gumbel_softmax")
def gumbel_softmax(
    logits: Any,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: Any = None,
) -> Any:
    """A differentiable sample: softmax((logits + G)/τ), G = −log E, E exponential (Jang 2016).

    hard: the one-hot argmax forward, the soft sample's gradient backward (straight-through).
    """
    x = logits._data
    refuse("gumbel_softmax", x, "biu")
    drawn = -np.log(sampling.exponential(x.shape, 1.0, x.dtype, generator))
    noise = array_module(x).asarray(drawn)
    soft = softmax((logits + wrap(noise)) / tau, dim)
    if not hard:
        return soft
    y, xp = soft._data, array_module(soft._data)
    axis = normalize_dim(dim, y.ndim)
    one_hot = xp.zeros_like(y)
    xp.put_along_axis(one_hot, xp.argmax(y, axis=axis, keepdims=True), 1, axis=axis)
    return wrap(one_hot) - soft.detach() + soft
