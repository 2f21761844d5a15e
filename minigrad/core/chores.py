"""What the engine does to every gradient so that no rule has to: undo broadcasting, match the
dtype.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..kernels.cpu import copying, loops, reductions
from .primitive import primitive


def duplicate(g: Any) -> Any:
    """A copy of an array in one piece; of a large one on all threads."""
    if g.size >= copying.SMALL and type(g) is np.ndarray:
        y = copying.contiguous(g)
        if y is not None:
            return y
    return g.copy()


def _plus(x: Any, y: Any) -> Any:
    return np.add(x, y)


_ADDITION = loops.Loop(_plus, "plus")


def add(total: Any, g: Any, into: bool) -> Any:
    """total + g, written over `total` if `into`, else in new memory: there threads pay."""
    if into:
        return np.add(total, g, out=total)
    if type(g) is np.ndarray and g.size >= loops.ONE_PASS and type(total) is np.ndarray:
        return _ADDITION((total, g), {})
    return total + g


@primitive
def sum_to_size(x: Any, *, size: tuple[int, ...]) -> Any:
    """Sum x over the dimensions along which `size` was broadcast to x's shape: the derivative of
    broadcasting.

    x̄ = ȳ, broadcast back to x's shape.
    """
    axes = _summed(x.shape, size)
    if x.size >= reductions.SMALL:
        y = reductions.sum(x, axes, True)
        if y is not None:
            return y.reshape(size)
    if not axes:
        return x.reshape(size)
    if type(x) is not np.ndarray:
        return x.sum(axis=axes, keepdims=True).reshape(size)
    lead = x.ndim - len(size)
    if lead and size and len(axes) == lead:
        return np.add.reduce(x.reshape(-1, *size) if lead > 1 else x, 0)
    return np.add.reduce(x, axes, keepdims=True).reshape(size)


@lru_cache(512)
def _summed(shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions of `shape` along which `size` was broadcast."""
    lead = len(shape) - len(size)
    return tuple([d for d, n in enumerate(shape) if d < lead or size[d - lead] != n])


sum_to_size.vjp(x=lambda g, x_shape: broadcast(g, size=x_shape))


@primitive(view=True)
def broadcast(x: Any, *, size: tuple[int, ...]) -> Any:
    """x repeated without copying to a larger shape; x̄ = ȳ summed back (by the engine)."""
    if type(x) is np.ndarray and x.flags.c_contiguous:
        # what broadcast_to does, in a tenth of its time
        lead = len(size) - x.ndim
        steps = [0 if n == 1 else s for n, s in zip(x.shape, x.strides, strict=True)]
        if lead >= 0 and all(n == m or n == 1 for n, m in zip(x.shape, size[lead:], strict=True)):
            return np.ndarray(size, x.dtype, x, 0, (*[0] * lead, *steps))
    return np.broadcast_to(x, size)


broadcast.vjp(x=lambda g: g)
broadcast.primitive.node_class.__name__ = "ExpandBackward0"


@primitive(half="keep")
def cast(x: Any, *, dtype: np.dtype) -> Any:
    """x in another dtype; x̄ = ȳ (the engine casts it back)."""
    if (
        x.dtype.kind == "c" and dtype.kind not in "cb"
    ):  # NumPy would warn that it drops the imaginary part
        x = x.real
    return x.astype(dtype)


cast.vjp(x=lambda g: g)
cast.primitive.node_class.__name__ = "ToCopyBackward0"


@primitive(view=True)
def alias(x: Any) -> Any:
    """x itself, as another tensor; x̄ = ȳ."""
    return x


alias.vjp(x=lambda g: g)


@primitive(half="keep")
def stack(*xs: Any, dim: int = 0) -> Any:
    """Arrays of one shape along a new dimension; each gets back its slice."""
    shape, dim = xs[0].shape, dim % (xs[0].ndim + 1)
    y = array_module(xs[0]).empty((*shape[:dim], len(xs), *shape[dim:]), xs[0].dtype)
    where = (slice(None),) * dim
    if y.size >= copying.SMALL and type(y) is np.ndarray:
        for i, x in enumerate(xs):
            if not copying.place(y[(*where, i)], x):
                y[(*where, i)] = x
        return y
    if dim < len(shape) and type(y) is np.ndarray:  # np.stack would make as many views
        np.concatenate(xs, dim, y.reshape((*shape[:dim], len(xs) * shape[dim], *shape[dim + 1 :])))
        return y
    for i, x in enumerate(xs):
        y[(*where, i)] = x
    return y


stack.joint(
    lambda g, dim, xs_shape: [take_slice(g, dim=dim, index=i) for i in range(len(xs_shape))]
)


def _unstack(g: Any, dim: int, xs_shape: tuple[tuple[int, ...], ...]) -> list[Any]:
    before = (slice(None),) * (dim % g.ndim)
    return [g[(*before, i, ...)] for i in range(len(xs_shape))]


stack.fast_joint(_unstack)


@primitive(view=True)
def take_slice(x: Any, *, dim: int, index: int) -> Any:
    """x[..., index, ...] along `dim`, a view; x̄ is zero but for that slice."""
    return x[
        (slice(None),) * (dim % x.ndim) + (index, ...)
    ]  # "...": a 0-d view, not a NumPy scalar


take_slice.vjp(x=lambda g, dim, index, x_shape: put_slice(g, dim=dim, index=index, size=x_shape))


@primitive
def put_slice(x: Any, *, dim: int, index: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with x at one index of `dim`: the adjoint of take_slice."""
    y = array_module(x).zeros(size, x.dtype)
    y[(slice(None),) * (dim % len(size)) + (index,)] = x
    return y


put_slice.vjp(x=lambda g, dim, index: take_slice(g, dim=dim, index=index))
take_slice.primitive.node_class.__name__ = "SelectBackward0"


@lru_cache(512)
def broadcastable(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether `shape` can be expanded to `target`."""
    if len(shape) > len(target):
        return False
    return all(a == b or a == 1 for a, b in zip(shape[::-1], target[::-1], strict=False))


def fit(grad: Any, shape: tuple[int, ...], dtype: np.dtype, where: str) -> Any:
    """A gradient (array or Tensor) in the shape and dtype of what it is the gradient of."""
    got = grad.shape
    if got != shape:
        if broadcastable(shape, got):
            is_array = type(grad) is np.ndarray
            total = sum_to_size.primitive.forward if is_array else sum_to_size
            grad = total(grad, size=shape)
        elif broadcastable(got, shape):
            grad = broadcast(grad, size=shape)
        else:
            raise RuntimeError(
                f"{where} returned an invalid gradient: got {list(got)} but expected shape"
                f" compatible with {list(shape)}"
            )
    have = getattr(grad, "_data", grad).dtype
    if have != dtype:
        if have.kind == "c" and dtype.kind != "c":
            grad = real(grad)
            have = getattr(grad, "_data", grad).dtype
        if have != dtype:
            grad = cast(grad, dtype=dtype)
    return grad


@primitive(view=True)
def real(x: Any) -> Any:
    """The real part (a view); x itself if it is real. x̄ = ȳ."""
    return x.real


real.vjp(x=lambda g: g)
