"""Extrema with their places."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from .elementwise import maximum, minimum
from .indexing import gather
from .reduction import amax, amin
from .shape import squeeze


class Extremum(NamedTuple):
    """Values along a dimension and where they are."""

    values: Any
    indices: Any


def _arg(which: Any, x: Any, dim: int, keepdim: bool) -> Any:
    if x.dtype.kind == "f" and np.isnan(x).any():
        which = np.argmax
        x = np.isnan(x)
    return which(x, axis=dim, keepdims=keepdim)


def _arg_reduce(which: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
    x = input._data
    if dim is None:
        i = np.asarray(_arg(which, x.reshape(-1), 0, False))
        return wrap(i.reshape((1,) * x.ndim) if keepdim else i)
    return wrap(np.asarray(_arg(which, x, normalize_dim(dim, x.ndim), keepdim)))


@export("argmax")
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the largest element is (the first of equals)."""
    return _arg_reduce(np.argmax, input, dim, keepdim)


@export("argmin")
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the smallest element is (the first of equals)."""
    return _arg_reduce(np.argmin, input, dim, keepdim)


def _extremum(
    which: Any, both: Any, full: Any, input: Any, args: tuple, dim: Any, keepdim: bool
) -> Any:
    if args and isinstance(args[0], Tensor):
        return both(input, args[0])
    if args:
        dim, keepdim = args[0], args[1] if len(args) > 1 else keepdim
    if dim is None:
        return full(input)
    dim = normalize_dim(dim, input._data.ndim)
    index = _arg(which, input._data, dim, True)
    values = gather(input, dim, wrap(index))
    if keepdim:
        return Extremum(values, wrap(index))
    return Extremum(squeeze(values, dim), wrap(np.squeeze(index, dim)))


@export("max")
def max(input: Any, *args: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """max(x): the largest; max(x, dim): (values, indices); max(x, y): elementwise."""
    return _extremum(np.argmax, maximum, amax, input, args, dim, keepdim)


@export("min")
def min(input: Any, *args: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """min(x): the smallest; min(x, dim): (values, indices); min(x, y): elementwise."""
    return _extremum(np.argmin, minimum, amin, input, args, dim, keepdim)
