"""Indexing: x[...], x[...] = v, gather and scatter.

An index is split in two: first the part that only moves strides (integers, slices, None, ...: a view), then the part
that picks elements (integer tensors, masks: a copy). The derivative of picking is adding back, and the other way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.inplace import check_inplace, commit
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export

Index = Any


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


# ------------------------------------------------------------------------------ reading an index
def _plain(item: Any) -> Any:
    """One part of an index as NumPy takes it; tensors become arrays, 0-d integer tensors become ints."""
    if isinstance(item, Tensor):
        a = item._data
        if a.dtype.kind in "iu":
            if a.dtype == np.uint8:
                return a.astype(bool)
            return int(a) if a.ndim == 0 else a.astype(np.int64, copy=False)
        if a.dtype.kind == "b":
            return a
        raise IndexError(
            "tensors used as indices must be long, int, byte or bool tensors, got "
            f"{item.dtype.name}"
        )
    if isinstance(item, slice):
        parts = [None if p is None else int(p) for p in (item.start, item.stop, item.step)]
        if parts[2] is not None and parts[2] <= 0:
            raise ValueError("step must be greater than zero")
        return slice(*parts)
    if isinstance(item, list | tuple | range):
        array = np.array([_plain(i) for i in item])
        return array.astype(np.int64) if array.size == 0 else array
    if isinstance(item, np.ndarray):
        return item if item.dtype.kind == "b" else item.astype(np.int64)
    return item


def parse(index: Any) -> tuple[tuple, bool]:
    """(the index as NumPy takes it, whether it is a view: only ints, slices, None and ...)."""
    items = index if isinstance(index, tuple) else (index,)
    plain = tuple([_plain(i) for i in items])
    basic = True
    for item in plain:
        if isinstance(item, np.ndarray | bool | np.bool_):
            basic = False
        elif not (item is None or item is Ellipsis or isinstance(item, int | slice | np.integer)):
            if isinstance(item, float | str | complex):
                raise IndexError(
                    "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                    f"(got {type(item).__name__})"
                )
            raise TypeError(f"invalid index of type {type(item).__name__}")
    return plain, basic


def _checked(x: Any, index: tuple) -> None:
    """PyTorch's text for an index that does not fit."""
    used = sum(
        i.ndim if isinstance(i, np.ndarray) and i.dtype.kind == "b" else 1
        for i in index
        if i is not None and i is not Ellipsis and not isinstance(i, bool | np.bool_)
    )
    if used > x.ndim:
        if x.ndim == 0:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert "
                "a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")


@primitive(view=True, half="keep")
def index_view(x: Any, *, index: tuple) -> Any:
    """x[index] for integers, slices, None and ...: a view;  x̄ = zeros with ȳ there."""
    return x[index]


@primitive(half="keep")
def pick_index(x: Any, *, index: tuple) -> Any:
    """x[index] with integer arrays or masks: a copy;  x̄ = zeros to which ȳ is added there."""
    return x[index]


@primitive(half="keep")
def put_index(g: Any, *, index: tuple, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with g in the slice: the adjoint of index_view."""
    y = np.zeros(size, g.dtype)
    y[index] = g
    return y


@primitive
def add_index(g: Any, *, index: tuple, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with g added at the picked places: the adjoint of pick_index."""
    y = np.zeros(size, g.dtype)
    if any(isinstance(i, np.ndarray) and i.dtype.kind == "b" for i in index) and not any(
        isinstance(i, np.ndarray) and i.dtype.kind != "b" for i in index
    ):
        y[index] = g  # a mask picks every place at most once
        return y
    places = np.arange(y.size).reshape(size)[index].reshape(-1)
    return accumulate_flat(y, places, g.reshape(-1))


def accumulate_flat(y: Any, places: Any, values: Any) -> Any:
    """y.flat[places] += values, repeated places adding up (np.add.at is many times slower)."""
    flat = y.reshape(-1)
    if y.dtype.kind == "f" and y.dtype.itemsize <= 8:
        flat += np.bincount(places, weights=values, minlength=flat.size).astype(y.dtype)
    else:
        np.add.at(flat, places, values)
    return y


index_view.vjp(x=lambda g, index, x_shape: put_index(g, index=index, size=x_shape))
put_index.vjp(g=lambda g, index: index_view(g, index=index))
pick_index.vjp(x=lambda g, index, x_shape: add_index(g, index=index, size=x_shape))
add_index.vjp(g=lambda g, index: pick_index(g, index=index))
index_view.primitive.node_class.__name__ = "SliceBackward0"
pick_index.primitive.node_class.__name__ = "IndexBackward0"


def getitem(self: Tensor, index: Any) -> Any:
    """x[index]: a view for integers, slices, None and ...; a copy where tensors, lists or masks pick_index elements."""
    plain, basic = parse(index)
    _checked(self._data, plain)
    if basic and Ellipsis not in plain:
        plain += (Ellipsis,)  # a 0-d result must be an array, too: a view
    try:
        return (index_view if basic else pick_index)(self, index=plain)
    except IndexError as error:
        raise IndexError(_index_error(self._data, plain, str(error))) from None


def _index_error(x: Any, index: tuple, text: str) -> str:
    for dim, item in enumerate(index):
        if isinstance(item, int) and dim < x.ndim and not -x.shape[dim] <= item < x.shape[dim]:
            return f"index {item} is out of bounds for dimension {dim} with size {x.shape[dim]}"
    return text


@primitive(half="keep")
def replace_index(x: Any, v: Any, *, index: tuple) -> Any:
    """x with x[index] = v;  x̄ = ȳ with zeros there,  v̄ = ȳ[index]."""
    y = x.copy()
    y[index] = v
    return y


replace_index.vjp(
    x=lambda g, index: clear_index(g, index=index),
    v=lambda g, index: pick_index(g, index=index),
)


@primitive(half="keep")
def clear_index(g: Any, *, index: tuple) -> Any:
    """g with zeros at the index."""
    y = g.copy()
    y[index] = 0
    return y


clear_index.vjp(g=lambda g, index: clear_index(g, index=index))
replace_index.primitive.node_class.__name__ = "IndexPutBackward0"


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, in place: value is broadcast and cast; under autograd both sides get their gradients."""
    plain, _ = parse(index)
    _checked(self._data, plain)
    needs = isinstance(value, Tensor) and value.requires_grad
    check_inplace(self, needs)
    array = _data(value)
    part = self._data[plain]
    if isinstance(array, np.ndarray):
        while array.ndim > part.ndim and array.shape[0] == 1:
            array = array[0]
        try:
            np.broadcast_to(array, part.shape)
        except ValueError:
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(array.shape)} cannot be broadcast to indexing result of "
                f"shape {list(part.shape)}"
            ) from None
    if MODE.get().grad and (needs or self._requires_grad):
        before = wrap(self._data, self._requires_grad)
        before._node, before._index, before._counter = self._node, self._index, self._counter
        after = wrap(self._data)
        given = value if isinstance(value, Tensor) else wrap(np.asarray(value, self._data.dtype))
        result = wrap(np.empty(0, self._data.dtype))
        replace_index.primitive.record(
            (before, given), (self._data, array), self._data, {"index": plain}, (), result
        )
        after._node, after._index, after._requires_grad = result._node, result._index, True
        self._data[plain] = array
        commit(self, after)
        return
    self._data[plain] = array
    self._bump()


# ------------------------------------------------------------------------------ along one dimension
@primitive(half="keep")
def gather_along(x: Any, *, index: Any, dim: int) -> Any:
    """y[..., j, ...] = x[..., index[..., j, ...], ...];  x̄ adds ȳ back. index may be smaller than x."""
    inner = tuple([slice(0, n) if d != dim else slice(None) for d, n in enumerate(index.shape)])
    return np.take_along_axis(x[inner], index, axis=dim)


@primitive
def scatter_along(g: Any, *, index: Any, dim: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with g added at index along `dim`: the adjoint of gather_along."""
    y = np.zeros(size, g.dtype)
    places = np.arange(y.size).reshape(size)
    inner = tuple([slice(0, n) if d != dim else slice(None) for d, n in enumerate(index.shape)])
    places = np.take_along_axis(places[inner], index, axis=dim)
    return accumulate_flat(y, places.reshape(-1), g.reshape(-1))


gather_along.vjp(x=lambda g, index, dim, x_shape: scatter_along(g, index=index, dim=dim, size=x_shape))
scatter_along.vjp(g=lambda g, index, dim: gather_along(g, index=index, dim=dim))
gather_along.primitive.node_class.__name__ = "GatherBackward0"


@export("gather")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """y[i][j][k] = x[i][index[i][j][k]][k] for dim = 1: one element for each index."""
    dim = normalize_dim(dim, input._data.ndim)
    i = index._data
    if i.dtype.kind not in "iu":
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if i.ndim != input._data.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if i.size and (i.min() < 0 or i.max() >= input._data.shape[dim]):
        raise RuntimeError(
            f"index {i.max()} is out of bounds for dimension {dim} with size {input._data.shape[dim]}"
        )
    return gather_along(input, index=i.astype(np.int64), dim=dim)
