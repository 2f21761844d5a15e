"""The same bytes read as another dtype: real numbers as complex ones and back, any dtype as any."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.dtypes import from_numpy_dtype
from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..core.views import unlinked
from ..export import export
from .strides import strided

ndarray = np.ndarray


@primitive(view=True)
def view_dtype(x: Any, *, dtype: np.dtype) -> Any:
    """The bytes of x read as another dtype. No derivative."""
    return x.view(dtype)


def view_as_dtype(input: Tensor, dtype: np.dtype) -> Tensor:
    x = input._data
    old, new = x.dtype.itemsize, dtype.itemsize
    if old != new:
        larger = f"self.size(-1) must be divisible by {new // old} to view {input.dtype} as "
        if x.ndim == 0:
            raise RuntimeError(
                f"self.dim() cannot be 0 to view {input.dtype} as {from_numpy_dtype(dtype)} "
                "(different element sizes)"
            )
        if x.strides[-1] != old and x.shape[-1] != 1:
            raise RuntimeError(
                f"self.stride(-1) must be 1 to view {input.dtype} as {from_numpy_dtype(dtype)} "
                f"(different element sizes), but got {x.strides[-1] // old}"
            )
        if new > old and x.shape[-1] % (new // old):
            raise RuntimeError(
                f"{larger}{from_numpy_dtype(dtype)} (different element sizes), but got "
                f"{x.shape[-1]}"
            )
        if new > old and any(
            s % new for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True) if n > 1
        ):
            raise RuntimeError(
                f"self.stride() must be divisible by {new // old} to view {input.dtype} as "
                f"{from_numpy_dtype(dtype)} (different element sizes)"
            )
    return unlinked(view_dtype(input, dtype=dtype))


# ------------------------------------------------------------ complex numbers as pairs
@primitive(view=True)
def view_as_real_(x: Any) -> Any:
    """Complex x as pairs in a new last dimension; x̄ = the pairs of ȳ as complex numbers."""
    half = np.dtype(f"f{x.itemsize // 2}")
    if type(x) is not ndarray:
        return x[..., None].view(half)
    pairs = x.real  # has the dtype and the address; only the last dimension is missing
    return (
        strided(pairs, (*x.shape, 2), (*x.strides, half.itemsize))
        if pairs.size
        else np.empty((*x.shape, 2), half)
    )


view_as_real_.vjp(x=lambda g: view_as_complex_(g))


@primitive(view=True)
def view_as_complex_(x: Any) -> Any:
    """Pairs in the last dimension as complex numbers; x̄ = the pairs of ȳ."""
    if x.strides[-1] != x.itemsize and x.size:  # a gradient may come in any layout
        x = x.copy()
    return x.view(np.dtype(f"c{2 * x.itemsize}"))[..., 0]


view_as_complex_.vjp(x=lambda g: view_as_real_(g))


@export("view_as_real")
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real one of shape (*, 2); a view. RuntimeError if it is not complex."""
    if input._data.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view_as_real_(input)


@export("view_as_complex")
def view_as_complex(input: Tensor) -> Tensor:
    """A float32 or float64 tensor of shape (*, 2) as complex numbers; a view.

    RuntimeError if the last dimension is not two numbers side by side in memory.
    """
    x = input._data
    if x.dtype.kind != "f" or x.itemsize < 4:
        raise RuntimeError(
            "view_as_complex is only supported for floating point tensors, but got a tensor of "
            f"{input.dtype}"
        )
    if x.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if x.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if x.size and x.strides[-1] != x.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(
        s % (2 * x.itemsize) for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True) if n > 1
    ):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return view_as_complex_(input)
