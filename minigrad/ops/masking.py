"""Elements chosen by a condition: masked_fill, masked_select, nonzero; parts of a tensor
replaced.
"""

from __future__ import annotations

import math
from operator import index as as_int
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import from_numpy_dtype
from ..core.inplace import inplace
from ..core.primitive import as_array, primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import check_fits
from .convert import copy_
from .dims import expand_
from .pick import index, index_put, modify, refuse_expanded
from .piecewise import data_of, dtype_title, finish, where_
from .slices import diagonal, select, slice_
from .strides import common_shape, normalize_dims
from .subscript import subscript
from .views import clone, view_

# ------------------------------------------------------------ masked_fill
_C_NAMES = {
    "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int",
    "int64": "long int", "float32": "float", "float64": "double", "float16": "c10::Half",
    "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


@primitive(half="keep")
def masked_fill_(x: Any, mask: Any, value: Any) -> Any:
    """y = value where the mask is true, else x;  x̄ = ȳ where it is not, v̄ = Σ ȳ where it is."""
    xp = array_module(x)
    return xp.where(mask, xp.asarray(value).astype(x.dtype), x)


def _fill(x: Any, mask: Any, value: Any) -> None:
    array_module(x).copyto(x, value, where=mask, casting="unsafe")


masked_fill_.vjp(
    x=lambda g, mask: where_(mask, 0, g),
    value=lambda g, mask: where_(mask, g, 0),
)
masked_fill_.primitive.node_class.__name__ = "MaskedFillBackward0"


def _fill_args(x: Any, mask: Any, value: Any) -> Any:
    """The value as a number of x's dtype or a 0-d tensor, after PyTorch's checks."""
    if not isinstance(mask, Tensor):
        kind = type(mask).__name__
        raise TypeError(f"masked_fill(): argument 'mask' (position 1) must be Tensor, not {kind}")
    if mask._data.dtype.kind != "b":
        name = _C_NAMES[from_numpy_dtype(mask._data.dtype).name]
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {name}"
        )
    if type(value) is float and x.dtype.kind == "f" and not 65504 < abs(value) < math.inf:
        return np.asarray(value, x.dtype)
    v = data_of(value)
    if not isinstance(v, (bool, int, float, complex, np.generic, np.ndarray)):
        raise TypeError(
            f"masked_fill(): argument 'value' (position 2) must be Tensor, not {type(v).__name__}"
        )
    if np.ndim(v):
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{np.ndim(v)} dimension(s)."
        )
    v = check_fits(v.item() if isinstance(v, (np.ndarray, np.generic)) else v, x.dtype)
    return value if isinstance(value, Tensor) else np.asarray(v).astype(x.dtype)


@export("masked_fill")
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """x with `value` (a number or a 0-d tensor) where the bool `mask` is true; both broadcast.

        y = m ? v : x;  x̄ = ȳ where not m, exactly 0 elsewhere,  v̄ = Σ ȳ where m

    RuntimeError for a mask that is not bool, or shapes that cannot be broadcast.
    """
    value = _fill_args(input._data, mask, value)
    if input._data.shape != mask._data.shape:
        common_shape([input._data.shape, mask._data.shape])
    return masked_fill_(input, mask, value)


def masked_fill_self(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """In-place `masked_fill`: only the mask is broadcast."""
    value = _fill_args(self._data, mask, value)
    shape = self._data.shape
    common = common_shape([shape, mask._data.shape])
    if common != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}"
        )
    refuse_expanded(self._data, "masked_fill_")
    return modify(self, masked_fill_, _fill, mask, value)


# ------------------------------------------------------------ masked_select, masked_scatter
@export("masked_select")
def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The elements of x where the bool `mask` is true, as a vector; both broadcast.

    x̄ has ȳ at their places, zeros elsewhere. RuntimeError for a mask that is not bool.
    """
    if mask._data.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = common_shape([input._data.shape, mask._data.shape])
    if input._data.shape != shape:
        input = expand_(input, size=shape)
    if mask._data.shape != shape:
        mask = expand_(mask, size=shape)
    if not shape:
        input, mask = view_(input, size=(1,)), view_(mask, size=(1,))
    return finish(index(input, mask, dims=(0,)), out, True)


@export("masked_scatter")
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """x with the elements of `source`, in their order, where the bool `mask` is true.

        y[m] = source.flat[:count];  x̄ = ȳ with zeros there,  source gets ȳ there

    x and mask are broadcast. RuntimeError if source has too few elements or another dtype.
    """
    x, m, s = input._data, mask._data, source._data
    if x.dtype != s.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{dtype_title(x.dtype)} and {dtype_title(s.dtype)}"
        )
    if m.dtype.kind != "b":
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{dtype_title(m.dtype)}"
        )
    shape = common_shape([x.shape, m.shape])
    chosen = np.broadcast_to(m, shape)
    count = int(array_module(x).count_nonzero(chosen))
    if s.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    flat = subscript(view_(source, size=(-1,)), index=(slice(0, count),))
    if x.shape != shape:
        input = expand_(input, size=shape)
    if not shape:
        y = index_put(
            view_(input, size=(1,)), flat, wrap(chosen.reshape(1)), dims=(0,), accumulate=False
        )
        return view_(y, size=())
    return index_put(input, flat, wrap(chosen), dims=(0,), accumulate=False)


masked_scatter_ = inplace(masked_scatter, "masked_scatter_")


# ------------------------------------------------------------ where the nonzero elements are
@export("nonzero")
def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The indices (int64) of all elements that are not zero, in row-major order.

    A matrix (count, ndim), or with as_tuple a vector for each dimension (one for a 0-d tensor).
    """
    x = input._data
    if as_tuple:
        return tuple([wrap(i) for i in (x if x.ndim else x.reshape(1)).nonzero()])
    return finish(wrap(_rows_of_nonzero(x)), out)


def _rows_of_nonzero(x: Any) -> Any:
    xp = array_module(x)
    if not x.ndim:
        return xp.zeros((int(bool(x)), 0), np.int64)
    return xp.ascontiguousarray(xp.stack(x.nonzero(), axis=1))


@export("argwhere")
def argwhere(input: Tensor) -> Tensor:
    """The indices of all elements that are not zero: (count, ndim)."""
    return wrap(_rows_of_nonzero(input._data))


@export("nonzero_static")
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Any = None) -> Tensor:
    """The first `size` rows of `nonzero`, filled up with `fill_value`. RuntimeError if size < 0."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    rows = _rows_of_nonzero(input._data)[:size]
    y = array_module(rows).full((size, rows.shape[1]), fill_value, np.int64)
    y[: len(rows)] = rows
    return finish(wrap(y), out)


@export("unravel_index")
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of this shape, of elements counted in row-major order.

    One tensor for each dimension. TypeError for indices that are not integers, ValueError for
    negative sizes.
    """
    i = indices._data
    if i.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, Tensor):
        shape = shape.tolist()
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) or not all(
        [isinstance(n, (int, np.integer)) for n in shape]
    ):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {shape}")
    if any([n < 0 for n in shape]):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    i, found = i.astype(np.int64), []
    for n in reversed(shape):
        found.append(wrap(as_array(i % n)))
        i = i // n
    return tuple(found[::-1])


# ------------------------------------------------------------ a copy with one part replaced
def _replace(input: Tensor, part: Any, src: Tensor) -> Tensor:
    """A copy of x whose part (a view of it) is src."""
    y = clone(input)
    there = part(y)
    if src._data.shape != there._data.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src._data.shape)}, slice size = {list(there._data.shape)}"
        )
    copy_(there, src)
    return y


@export("select_scatter")
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """x with its slice at one `index` of `dim` replaced by src.

    x̄ = ȳ with zeros there,  s̄rc = ȳ there. RuntimeError unless src has the slice's shape.
    """
    return _replace(input, lambda y: select(y, dim, index), src)


@export("slice_scatter")
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x with start:end:step of `dim` replaced by src.

    x̄ = ȳ with zeros there,  s̄rc = ȳ there. RuntimeError unless src has the slice's shape.
    """
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    shape = input._data.shape
    d = normalize_dims(dim, len(shape))[0]
    if not shape:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    first, stop, by = slice(start, end, as_int(step)).indices(shape[d])
    y = _replace(input, lambda y: slice_(y, dim=d, start=first, stop=stop, step=by), src)
    return finish(y, out)


@export("diagonal_scatter")
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """x with one diagonal of two dimensions replaced by src.

    x̄ = ȳ with zeros there,  s̄rc = ȳ there. RuntimeError unless src has the diagonal's shape.
    """
    return _replace(input, lambda y: diagonal(y, offset, dim1, dim2), src)
