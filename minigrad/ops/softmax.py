"""Softmax and its logarithm: exponentials along one dimension, shifted by the maximum so that none overflows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.dtypes import FLOATING, from_numpy_dtype, numpy_dtype
from ..backend.random import default_generator
from ..core.chores import cast
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from .elementwise import exp
from .reduction import reduce_sum


@primitive
def softmax_along(x: Any, *, axis: int) -> Any:
    """y_i = e^{x_i} / Σ e^{x_j};  x̄ = y (ȳ − Σ ȳ y)."""
    y = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


softmax_along.vjp(x=lambda g, y, axis: y * (g - reduce_sum(g * y, axes=(axis,), keepdim=True)))
softmax_along.primitive.node_class.__name__ = "SoftmaxBackward0"


@primitive
def log_softmax_along(x: Any, *, axis: int) -> Any:
    """y_i = x_i − log Σ e^{x_j};  x̄ = ȳ − e^y Σ ȳ."""
    y = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
    return y


log_softmax_along.vjp(x=lambda g, y, axis: g - exp(y) * reduce_sum(g, axes=(axis,), keepdim=True))
log_softmax_along.primitive.node_class.__name__ = "LogSoftmaxBackward0"


def _along(op: Any, name: str, input: Any, dim: int | None, dtype: Any, out: Any = None) -> Any:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if dim is None:  # PyTorch's old default
        dim = 0 if input._data.ndim in (0, 1, 3) else 1
    if dtype is not None:
        target = numpy_dtype(dtype)
        if input._data.dtype != target:
            input = cast(input, dtype=target)
    if from_numpy_dtype(input._data.dtype).category < FLOATING:
        raise RuntimeError(f"\"{name}_lastdim_kernel_impl\" not implemented for '{input.dtype.name}'")
    axis = normalize_dim(dim, input._data.ndim)
    result = op(input, axis=axis) if input._data.ndim else op(input.reshape(1), axis=0).reshape(())  # type: ignore[attr-defined]
    return result if out is None else write_out(result, out)


@export("nn.functional.softmax")
def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """e^{x_i} / Σ_j e^{x_j} along `dim` (Bridle 1989);  x̄ = y(ȳ − Σ ȳ y)."""
    return _along(softmax_along, "softmax", input, dim, dtype)


@export("softmax", "special.softmax")
def softmax_of(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """e^{x_i} / Σ_j e^{x_j} along `dim` (Bridle 1989);  x̄ = y(ȳ − Σ ȳ y)."""
    return _along(softmax_along, "softmax", input, dim, dtype, out)


@export("nn.functional.log_softmax")
def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """x_i − log Σ_j e^{x_j} along `dim`;  x̄ = ȳ − e^y Σ ȳ."""
    return _along(log_softmax_along, "log_softmax", input, dim, dtype)


@export("log_softmax", "special.log_softmax")
def log_softmax_of(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """x_i − log Σ_j e^{x_j} along `dim`;  x̄ = ȳ − e^y Σ ȳ."""
    return _along(log_softmax_along, "log_softmax", input, dim, dtype, out)


@export("nn.functional.softmin")
def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax(−x) along `dim`."""
    return softmax(-input, dim, dtype=dtype)


@export("nn.functional.gumbel_softmax")
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1, generator: Any = None
) -> Any:
    """softmax((logits + G)/τ) with Gumbel noise G = −log(−log U): a differentiable sample (Jang et al. 2016).

    hard: the one-hot argmax forward, the soft sample's gradient backward (straight-through).
    """
    rng = (default_generator if generator is None else generator).numpy
    noise = rng.gumbel(size=logits._data.shape).astype(logits._data.dtype)
    soft = softmax((logits + wrap(noise)) / tau, dim)
    if not hard:
        return soft
    y = soft._data
    axis = normalize_dim(dim, y.ndim)
    one_hot = np.zeros_like(y)
    np.put_along_axis(one_hot, np.argmax(y, axis=axis, keepdims=True), 1, axis=axis)
    return wrap(one_hot) - soft.detach() + soft
