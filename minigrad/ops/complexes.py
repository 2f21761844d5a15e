"""Real part, imaginary part, conjugate: what real tensors need of complex numbers.

Gradients of complex tensors follow PyTorch's convention: for a real loss L and z = a + ib the
gradient is ∂L/∂a + i·∂L/∂b. A holomorphic f then has z̄ = ȳ·conj(f'(z)), which is why rules all over
the family conjugate; on real tensors `conj` is the identity and costs next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.chores import real as real_part
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor
from ..export import export


def _is_complex(x: Any) -> bool:
    data = x._data if isinstance(x, Tensor) else x
    return np.iscomplexobj(data)


@primitive
def conjugate(x: Any) -> Any:
    """y = conj(x);  x̄ = conj(ȳ)."""
    return np.conjugate(x)


conjugate.vjp(x=lambda g: conj(g))
conjugate.primitive.node_class.__name__ = "ConjBackward0"


@export("conj")
def conj(input: Any) -> Any:
    """The complex conjugate; a real tensor itself.

    y = conj(x),  x̄ = conj(ȳ)
    """
    data = input._data if type(input) is Tensor else input
    kind = type(data)
    if kind is np.ndarray:
        return input if data.dtype.kind != "c" else conjugate(input)
    if kind is float or kind is int:
        return input
    dtype = getattr(data, "dtype", None)  # of an array on any device; numbers have none
    if dtype is not None:
        return input if dtype.kind != "c" else conjugate(input)
    return np.conj(data)


@export("conj_physical")
def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The complex conjugate in memory of its own; a real tensor itself.  x̄ = conj(ȳ)."""
    result = conj(input)
    return result if out is None else write_out(result, out, True)


@export("resolve_conj")
def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugates are never lazy here."""
    return input


@export("resolve_neg")
def resolve_neg(input: Any) -> Any:
    """The tensor itself: negation is never lazy here."""
    return input


@export("real")
def real(input: Any) -> Any:
    """The real part, sharing memory; a real tensor itself.  x̄ = ȳ (real)."""
    return real_part(input) if _is_complex(input) else input


@primitive(view=True)
def imag_part(x: Any) -> Any:
    """y = Im x, sharing memory;  x̄ = i·ȳ."""
    return x.imag


imag_part.vjp(x=lambda g: g * 1j)
imag_part.primitive.node_class.__name__ = "ImagBackward0"


@export("imag")
def imag(input: Any) -> Any:
    """The imaginary part of a complex tensor, sharing memory;  x̄ = i·ȳ.

    RuntimeError for real tensors, as in PyTorch.
    """
    if not _is_complex(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return imag_part(input)
