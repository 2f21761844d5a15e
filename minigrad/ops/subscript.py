"""x[...] and x[...] = value.

An index has two parts. Integers, slices, None and ... only move strides: they give a view. Integer
tensors, lists and masks then pick elements of that view: they give a copy. The rules of PyTorch:
0-d integer tensors count as integers, True and False as masks of a new dimension, uint8 as bool.
"""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.chores import broadcastable, take_slice
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..export import export
from ..kernels.cpu import copying
from ..kernels.cpu.indexing import INT64
from .arguments import check_fits
from .convert import copy_
from .dims import expand
from .pick import (
    Dims,
    check_same_dtype,
    index,
    index_put,
    modify,
    refuse_expanded,
    write_at,
)
from .piecewise import dtype_title
from .slices import slice_
from .views import view_

ndarray = np.ndarray
_FULL = slice(None)


@primitive(view=True)
def subscript(x: Any, *, index: tuple) -> Any:
    """x[index] for integers, slices and None: a view;  x̄ = zeros with ȳ there."""
    return x[index]


@primitive(half="keep")
def put_subscript(x: Any, *, index: tuple, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with x at the index: the adjoint of `subscript`."""
    if type(x) is ndarray and (y := copying.put(x, index, size)) is not None:
        return y
    y = (copying if type(x) is ndarray else array_module(x)).zeros(size, x.dtype)
    y[index] = x
    return y


subscript.vjp(x=lambda g, index, x_shape: put_subscript(g, index=index, size=x_shape))
subscript.fast(
    x=lambda g, index, x_shape: put_subscript.primitive.forward(g, index=index, size=x_shape)
)
put_subscript.vjp(x=lambda g, index: subscript(g, index=index))
subscript.primitive.node_class.__name__ = "SliceBackward0"


# ------------------------------------------------------------ reading an index
def _slice(s: slice) -> slice:
    start, stop, step = s.start, s.stop, s.step
    if step is not None and (step := as_int(step)) <= 0:
        raise ValueError("step must be greater than zero" if step else "slice step cannot be zero")
    start = start if start is None or type(start) is int else as_int(start)
    return slice(start, stop if stop is None or type(stop) is int else as_int(stop), step)


_INDEX_TYPES = "tensors used as indices must be long, int, byte or bool tensors"


def _array(a: Any) -> Any:
    """An index array as it is used: masks bool, the rest integers."""
    kind = a.dtype.kind
    if kind == "b" or a.dtype == np.int64 or a.dtype == np.int32:
        return a
    if a.dtype == np.uint8:
        return a.astype(bool)
    if kind in "iu" and a.ndim == 0:
        return a
    raise IndexError(_INDEX_TYPES)


def _from_sequence(items: Any) -> Any:
    """A list (or an ndarray) as an index array; numbers that are no integers are cut to such."""
    if isinstance(items, ndarray):
        a = items
    else:
        a = np.array([i.tolist() if isinstance(i, Tensor) else i for i in items])
    if a.dtype.kind in "biu" and a.size:
        return a if a.dtype.kind == "b" or a.dtype == np.uint8 else a.astype(np.int64, copy=False)
    if a.dtype.kind not in "biuf":
        raise TypeError("an index list must hold integers or bools")
    return a.astype(np.int64)


def _part(item: Any) -> Any:
    """One part of an index: an int, bool, slice, None, Ellipsis, or an array (or its Tensor)."""
    kind = type(item)
    if kind is int or item is None or item is Ellipsis or kind is bool:
        return item
    if kind is slice:
        return item if item == _FULL else _slice(item)
    if isinstance(item, Tensor):
        a = _array(item._data)
        if a.ndim == 0:
            return bool(a) if a.dtype.kind == "b" else int(a)
        return item if a is item._data else a
    if isinstance(item, (ndarray, list, tuple, range)):
        a = _from_sequence(item)
        if a.dtype == np.uint8:
            a = a.astype(bool)
        return a if a.ndim else bool(a) if a.dtype.kind == "b" else int(a)
    if isinstance(item, np.bool_):
        return bool(item)
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, str):
        raise TypeError(f"new(): invalid data type '{item.__class__.__name__}'")
    try:
        return as_int(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {kind.__name__})"
        ) from None


def _parts(index: Any) -> list[Any]:
    if isinstance(index, list) and any(
        [isinstance(i, (Tensor, list, tuple, ndarray, slice)) or i in (None, ...) for i in index]
    ):
        index = tuple(index)  # a list of indices is a tuple of them, as in NumPy of old
    return [_part(i) for i in index] if isinstance(index, tuple) else [_part(index)]


def _consumed(part: Any) -> int:
    """How many dimensions of x one part of an index takes."""
    kind = type(part)
    if part is None or part is Ellipsis or kind is bool:
        return 0
    if kind is int or kind is slice:
        return 1
    data = part._data if isinstance(part, Tensor) else part
    return data.ndim if data.dtype.kind == "b" else 1


def _check_int(i: int, dim: int, n: int) -> None:
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {dim} with size {n}")


class Parsed:
    """An index of a tensor of known shape: the view part, then the arrays and what they index."""

    __slots__ = ("arrays", "basic", "dims", "shape")

    def __init__(self, shape: tuple[int, ...], index: Any):
        parts = _parts(index)
        used = sum([_consumed(p) for p in parts])
        if used > len(shape):
            raise _too_many(parts, len(shape))
        self.shape = shape
        self.basic: list[Any] = []
        self.dims: list[int] = []  # of the view, not of x
        self.arrays: list[Any] = []
        source = place = 0  # the next dimension of x and of the view
        for part in parts:
            kind = type(part)
            if kind is int:
                _check_int(part, source, shape[source])
                self.basic.append(part)
                source += 1
                continue
            if part is Ellipsis:
                count, used = len(shape) - used, len(shape)
                self.basic += [_FULL] * count
                source += count
                place += count
                continue
            if part is None or kind is slice:
                self.basic.append(part)
                source += part is not None
            elif kind is bool:
                self.basic.append(None)
                self._pick(place, np.zeros(int(part), np.int64))
            else:
                count = self._mask_dims(part, source)
                self._pick(place, part)
                self.basic += [_FULL] * count
                source += count
                place += count - 1
            place += 1

    def _pick(self, dim: int, array: Any) -> None:
        self.dims.append(dim)
        self.arrays.append(array)

    def _mask_dims(self, part: Any, source: int) -> int:
        data = part._data if isinstance(part, Tensor) else part
        if data.dtype.kind != "b":
            return 1
        for k, n in enumerate(data.shape):
            if n != self.shape[source + k]:
                raise IndexError(
                    f"The shape of the mask {list(data.shape)} at index {k} does not match the "
                    f"shape of the indexed tensor {list(self.shape)} at index {source + k}"
                )
        return data.ndim

    def moves(self) -> bool:
        """Whether the view part does anything."""
        return any([b is not _FULL for b in self.basic])

    def view(self, x: Tensor) -> Tensor:
        """The view part of x[index]."""
        return subscript(x, index=(*self.basic, ...))


def _too_many(parts: list[Any], ndim: int) -> IndexError:
    first = parts[0]
    if ndim == 0 and type(first) is int:
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    if ndim == 0 and type(first) is slice:
        return IndexError("slice() cannot be applied to a 0-dim tensor.")
    return IndexError(f"too many indices for tensor of dimension {ndim}")


# ------------------------------------------------------------ x[...]
def getitem(self: Tensor, index: Any) -> Tensor:
    """x[index]: a view for integers, slices, None and ...; a copy if tensors, lists or masks pick.

        y = x[index];  x̄ = zeros to which ȳ is added at the same places

    IndexError for an index out of range or too many, a mask of another shape, or arrays that cannot
    be broadcast together; ValueError for a step that is not positive.
    """
    shape = self._data.shape
    if type(index) is int and shape:
        _check_int(index, 0, shape[0])
        return take_slice(self, dim=0, index=index)
    if type(index) is slice and shape:
        start, stop, step = _slice(index).indices(shape[0])
        return slice_(self, dim=0, start=start, stop=stop, step=step)
    if isinstance(index, Tensor):
        if _is_plain(index) and shape:
            return _index(self, index, dims=(0,))
    elif type(index) is tuple and 0 < len(index) <= len(shape):
        if all(map(_is_plain, index)):
            return _index(self, *index, dims=tuple(range(len(index))))
        if all(map(_is_range, index)):
            return subscript(self, index=index)
    parsed = Parsed(shape, index)
    if not parsed.arrays:
        return parsed.view(self)
    x = parsed.view(self) if parsed.moves() else self
    return _index(x, *parsed.arrays, dims=tuple(parsed.dims))


_index = index  # the parameter of getitem has its name


def _is_plain(index: Any) -> bool:
    """Whether this is a tensor of int64 that picks: nothing of it needs to be read beforehand."""
    return isinstance(index, Tensor) and index._data.dtype is INT64 and index._data.ndim > 0


_ENDS = (int, type(None))


def _is_range(index: Any) -> bool:
    """Whether this is a slice of integers with step 1."""
    return (
        type(index) is slice
        and index.step is None
        and type(index.start) in _ENDS
        and type(index.stop) in _ENDS
    )


# ------------------------------------------------------------ x[...] = value
def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, in place: `value` (a tensor or a number) is broadcast to the place.

        x̄ = ȳ with zeros there;  v̄ = ȳ there, summed over what was broadcast

    A slice casts the value to x's dtype; picked elements want a tensor of x's dtype. TypeError for
    other values, RuntimeError for one that does not fit, and for leaves that require a gradient.
    """
    x = self._data
    number = not isinstance(value, Tensor)
    if number:
        _check_number(x, value)
    parsed = Parsed(x.shape, index)
    if parsed.arrays:
        target = parsed.view(self) if parsed.moves() else self
        _set_picked(target, value, tuple(parsed.dims), parsed.arrays)
        return
    full = (*parsed.basic, ...)
    tracked = self._view is not None or self._requires_grad
    tracked = tracked or not (number or not value.requires_grad)
    if tracked and MODE.get().grad:
        target = subscript(self, index=full)
        copy_(target, value if number else _fitted(value, target._data.shape))
        return
    part = x[full]
    refuse_expanded(part, "copy_")
    new = _as_number(value, x.dtype) if number else _fitted(value, part.shape)._data
    self._bump()
    array_module(x).copyto(part, new.real if _loses_imaginary(new, x) else new, casting="unsafe")


def _as_number(value: Any, dtype: np.dtype) -> Any:
    """A Python number in this dtype; out of range it wraps around like PyTorch's."""
    return value if dtype.kind in "fc" else np.asarray(value).astype(dtype)


def _loses_imaginary(new: Any, x: Any) -> bool:
    return isinstance(new, ndarray) and new.dtype.kind == "c" and x.dtype.kind not in "cb"


def _check_number(x: Any, value: Any) -> None:
    if isinstance(value, (bool, int, float, np.integer, np.floating, np.bool_)):
        if x.dtype.kind in "iu":
            check_fits(value, x.dtype)
        return
    if not isinstance(value, (complex, np.complexfloating)):
        kind = type(value)
        name = (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        )
        raise TypeError(f"can't assign a {name} to a minigrad.{dtype_title(x.dtype)}Tensor")
    if x.dtype.kind not in "bc":
        raise RuntimeError("value cannot be converted to type float without overflow")


def _fitted(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """value without leading dimensions of size one that the place lacks; its error if it
    misfits.
    """
    given = value._data.shape
    extra = len(given) - len(shape)
    if extra > 0 and given[:extra] == (1,) * extra:
        value = view_(value, size=given[extra:])
    if not broadcastable(value._data.shape, shape):
        expand(value.detach(), shape)  # raises
    return value


def _set_picked(target: Tensor, value: Any, dims: Dims, arrays: list[Any]) -> None:
    x = target._data
    mask = len(arrays) == 1 and _raw(arrays[0]).dtype.kind == "b"
    if not isinstance(value, Tensor):
        value = np.asarray(value).astype(x.dtype)
    elif mask and value._data.size == 1:  # a masked_fill
        value = view_(value, size=())
    elif value._data.dtype != x.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{dtype_title(x.dtype)} for the destination and "
            f"{dtype_title(value._data.dtype)} for the source."
        )
    modify(target, index_put, write_at, value, *arrays, dims=dims, accumulate=False)


def _raw(a: Any) -> Any:
    return a._data if isinstance(a, Tensor) else a


def delitem(self: Tensor, index: Any) -> None:
    """Tensors have no parts that could be deleted: always TypeError."""
    raise TypeError("Tensor does not support deleting items")


def contains(self: Tensor, element: Any) -> bool:
    """Whether some element equals a number (or a tensor, broadcast): `3 in x`."""
    if not isinstance(element, (Tensor, bool, int, float, complex, np.generic)):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )
    return bool((self._data == _raw(element)).any())


# ------------------------------------------------------------ the same as functions
def _given_indices(x: Any, indices: Any) -> tuple[Dims, list[Any]]:
    """The arrays of index_put's `indices` (None leaves a dimension alone) and their dimensions."""
    items: tuple[Any, ...] = tuple([_FULL if i is None else i for i in indices])
    for i in indices:
        if i is not None and not isinstance(i, Tensor):
            raise TypeError("index_put(): argument 'indices' must be a tuple of Tensors")
    used = sum([1 if i is _FULL else max(_consumed(i), 1) for i in items])
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim} (got {used})")
    arrays, dims, dim = [], [], 0
    for i in items:
        if i is not _FULL:
            a = _array(i._data)
            if a.dtype.kind == "b":
                Parsed(x.shape, (*[_FULL] * dim, i))  # checks the mask's shape
            arrays.append(i if a is i._data else a)
            dims.append(dim)
        dim += 1 if i is _FULL else _consumed(i)
    if not arrays:
        raise IndexError("At least one of 'indices' must be a tensor")
    return tuple(dims), arrays


@export("index_put")
def index_put_of(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """x with `values` at x[indices], or added there (repeated places add up) if `accumulate`."""
    dims, arrays = _given_indices(input._data, indices)
    check_same_dtype("index_put()", input._data, values._data)
    return index_put(input, values, *arrays, dims=dims, accumulate=bool(accumulate))


def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place `index_put`."""
    dims, arrays = _given_indices(self._data, indices)
    check_same_dtype("index_put_()", self._data, values._data)
    return modify(
        self, index_put, write_at, values, *arrays, dims=dims, accumulate=bool(accumulate)
    )
