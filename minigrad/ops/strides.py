"""Sizes, strides and memory: what views are made of, over plain arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.memory import address
from ..core.tensor import Tensor, normalize_dim

ndarray = np.ndarray


# ------------------------------------------------------------ reading arguments
def sizes(
    given: tuple[Any, ...], named: dict[str, Any] | None = None, name: str = "size"
) -> tuple[int, ...]:
    """Sizes given as f(x, 2, 3), f(x, (2, 3)) or f(x, size=(2, 3)), as a tuple of ints."""
    if named:
        if given or list(named) != [name]:
            raise TypeError(
                f"expected {name} once, got {len(given)} positional and {sorted(named)}"
            )
        given = (named[name],)
    elif not given:
        raise TypeError(f'missing 1 required positional arguments: "{name}"')
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    return tuple([n if type(n) is int else index(n) for n in given])


def whole_size(given: tuple[Any, ...], numel: int) -> bool:
    """Whether sizes given as f(x, 2, 3) are ints that fit as they are: what most calls have."""
    if not given or type(given[0]) is not int:
        return False
    found = math.prod(given)
    return type(found) is int and found == numel and min(given) >= 0


def infer_size(size: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """`size` with its one -1 worked out for `numel` elements; RuntimeError if they do not fit."""
    if -1 not in size:
        if math.prod(size) == numel and min(size, default=0) >= 0:
            return size
        bad = next((n for n in size if n < 0), None)
        if bad is not None:
            raise RuntimeError(f"invalid shape dimension {bad}")
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    if size.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = math.prod([n for n in size if n != -1])
    if any(n < -1 for n in size):
        raise RuntimeError(f"invalid shape dimension {min(size)}")
    if known == 0 and numel == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(size)} because the unspecified "
            "dimension size -1 can be any value and is ambiguous"
        )
    if known == 0 or numel % known:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    return tuple([numel // known if n == -1 else n for n in size])


def normalize_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """One dimension or several, counted from the front; RuntimeError if one is named twice."""
    found = [normalize_dim(index(d), ndim) for d in ((dims,) if is_int(dims) else dims)]
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(found)


def is_int(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) or (isinstance(x, Tensor) and x._data.ndim == 0)


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all `shapes` broadcast to; RuntimeError naming two sizes that disagree."""
    ndim = max([len(s) for s in shapes], default=0)
    result = [1] * ndim
    for shape in shapes:
        for i, n in enumerate(shape, ndim - len(shape)):
            if n != result[i] and n != 1:
                if result[i] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({result[i]}) must match the size of tensor b "
                        f"({n}) at non-singleton dimension {i}"
                    )
                result[i] = n
    return tuple(result)


# ------------------------------------------------------------ strides
def strided(x: Any, shape: tuple[int, ...], strides: tuple[int, ...], shift: int = 0) -> Any:
    """A view of x's memory with this shape and strides, `shift` after x's start (all in bytes)."""
    if type(x) is not ndarray:
        return array_module(x).lib.stride_tricks.as_strided(x, shape, strides)
    flags = x.flags
    if not shift and (flags.c_contiguous or flags.f_contiguous):
        try:  # the quick way; it fails where the view leaves x for another part of its storage
            return ndarray(shape, x.dtype, x, 0, strides)
        except (ValueError, TypeError):
            pass
    root = x
    while type(root.base) is ndarray:
        root = root.base
    start = address(x) + shift
    if root.flags.c_contiguous or root.flags.f_contiguous:
        start -= address(root)
    else:
        low, high = np.lib.array_utils.byte_bounds(root)
        start -= low
        root = np.asarray(_Block(low, high - low, root))
    try:
        return ndarray(shape, x.dtype, root, start, strides)
    except (ValueError, TypeError):
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {[s // x.itemsize for s in strides]}, "
            f"storage offset {start // x.itemsize}, and itemsize {x.itemsize} requiring a storage "
            f"size that is out of bounds for storage of size {root.nbytes}"
        ) from None


def as_block(array: Any) -> Any:
    """The array as a storage of its own: no view reaches beyond its first and last element."""
    if array.base is None or not array.size:
        return array
    low, high = np.lib.array_utils.byte_bounds(array)
    memory = np.asarray(_Block(low, high - low, array))
    return ndarray(array.shape, array.dtype, memory, 0, array.strides)


class _Block:
    """The bytes that another library's strided array spans: NumPy takes it as no buffer."""

    def __init__(self, start: int, size: int, owner: Any):
        self.owner = owner
        read_only = not owner.flags.writeable
        self.__array_interface__ = {
            "data": (start, read_only),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }


def memory_order(x: Any, memory_format: Any) -> str:
    """NumPy's letter for a memory format: "K", "C", or "N" for channels last; RuntimeError for a
    wrong rank.
    """
    name = "preserve_format" if memory_format is None else getattr(memory_format, "name", None)
    ndim = {"channels_last": 4, "channels_last_3d": 5}.get(name or "", x.ndim)
    if name is None:
        raise TypeError(
            "argument 'memory_format' must be minigrad.memory_format, not "
            f"{type(memory_format).__name__}"
        )
    if ndim != x.ndim:
        raise RuntimeError(f"required rank {ndim} tensor to use {name} format")
    return {"preserve_format": "K", "contiguous_format": "C"}.get(name, "N")
