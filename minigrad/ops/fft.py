"""Discrete Fourier transforms of real and complex tensors, in one dimension or several.

    X_k = c Σ_j x_j e^{−2πi jk/n} forwards,   x_j = c Σ_k X_k e^{+2πi jk/n} back

c is 1 forwards and 1/n back for the norm "backward" (the default), 1/√n for "ortho", 1/n and 1 for
"forward". Three primitives: complex to complex, real to half of the (Hermitian) spectrum, and that
half to real. Each is linear, and its derivative is its adjoint: a transform the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import get_default_dtype
from ..core.chores import cast
from ..core.chores import real as real_part
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .arguments import dtype_title, finish
from .complexes import conj
from .slices import put_range, slice_

_TURNED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
Sizes = Sequence[int] | int | None


# ------------------------------------------------------------------------------ the primitives
@primitive
def transform(x: Any, *, dims: tuple[int, ...], norm: str, inverse: bool) -> Any:
    """Complex to complex over `dims`;  x̄ = the transform of ȳ the other way, scaled alike."""
    if not x.size:
        return x
    return (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=dims, norm=norm)


transform.vjp(
    x=lambda g, dims, norm, inverse: transform(
        g, dims=dims, norm=_TURNED[norm], inverse=not inverse
    )
)


@primitive
def half_spectrum(x: Any, *, dim: int, norm: str) -> Any:
    """The first n/2 + 1 coefficients of a real signal;  x̄ = Re of the inverse of ȳ and zeros."""
    if not x.size:
        shape = (*x.shape[:dim], x.shape[dim] // 2 + 1, *x.shape[dim + 1 :])
        return np.zeros(shape, np.result_type(x.dtype, np.complex64))
    return np.fft.rfft(x, axis=dim, norm=norm)


def _half_spectrum_vjp(g: Any, dim: int, norm: str, x_shape: Any) -> Any:
    whole = put_range(g, dim=dim, start=0, stop=g.shape[dim], step=1, size=x_shape)
    return real_part(transform(whole, dims=(dim,), norm=_TURNED[norm], inverse=True))


half_spectrum.vjp(x=_half_spectrum_vjp)


@primitive
def real_signal(x: Any, *, dim: int, n: int, norm: str) -> Any:
    """The real signal of length n with the first coefficients x;  x̄ = the spectrum of ȳ, doubled
    where x stands for a coefficient and its conjugate.
    """
    if not x.size:
        return np.zeros((*x.shape[:dim], n, *x.shape[dim + 1 :]), x.real.dtype)
    return np.fft.irfft(x, n, axis=dim, norm=norm)


def _real_signal_vjp(g: Any, dim: int, n: int, norm: str) -> Any:
    count = n // 2 + 1
    like = g._data if isinstance(g, Tensor) else g
    twice = array_module(like).full(count, 2.0, like.dtype)
    twice[0] = 1
    if n % 2 == 0:
        twice[-1] = 1
    twice = twice.reshape((count,) + (1,) * (len(g.shape) - dim - 1))
    return half_spectrum(g, dim=dim, norm=_TURNED[norm]) * twice


real_signal.vjp(x=_real_signal_vjp)
for _op, _name in ((transform, "C2C"), (half_spectrum, "R2C"), (real_signal, "C2R")):
    _op.primitive.node_class.__name__ = f"Fft{_name}Backward0"


# ------------------------------------------------------------------------------ arguments
def _norm(norm: str | None) -> str:
    norm = "backward" if norm is None else norm
    if norm not in _TURNED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _input(name: str, x: Any, *, real: bool = False, complex_: bool = False) -> Tensor:
    """x in a dtype that can be transformed; RuntimeError for half precision, or not the kind."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}"
        )
    dtype = x._data.dtype
    if real and dtype.kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {dtype_title(dtype)}")
    if dtype.kind in "biu":
        dtype = get_default_dtype().np
    if dtype.kind == "V" or dtype.itemsize < 4:
        raise RuntimeError(f"Unsupported dtype {dtype_title(dtype)}")
    if complex_:
        dtype = np.result_type(dtype, np.complex64)
    return x if dtype == x._data.dtype else cast(x, dtype=dtype)


def one_dim(x: Tensor, dim: int) -> int:
    if not x._data.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return normalize_dim(index(dim), x._data.ndim)


def _resized(x: Any, dim: int, n: int) -> Any:
    """x cut, or continued with zeros, to n elements along `dim`."""
    size = x._data.shape[dim]
    if size > n:
        return slice_(x, dim=dim, start=0, stop=n, step=1)
    if size < n:
        shape = (*x._data.shape[:dim], n, *x._data.shape[dim + 1 :])
        return put_range(x, dim=dim, start=0, stop=size, step=1, size=shape)
    return x


def _points(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _dims_and_sizes(x: Tensor, s: Sizes, dim: Sizes) -> tuple[list[int], list[int | None]]:
    """The transformed dimensions, and for each the size that was asked for."""
    ndim = x._data.ndim
    shape = [s] if isinstance(s, (int, np.integer)) else s
    dims = [dim] if isinstance(dim, (int, np.integer)) else dim
    if shape is not None and dims is not None and len(shape) != len(dims):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    if shape is not None and len(shape) > ndim:
        raise RuntimeError(
            f"Got shape with {len(shape)} values but input tensor only has {ndim} dimensions."
        )
    if dims is None:
        count = ndim if shape is None else len(shape)
        found = list(range(ndim - count, ndim))
    else:
        found = [one_dim(x, d) for d in dims]
        if len(set(found)) != len(found):
            raise RuntimeError("FFT dims must be unique")
    wanted = (
        [None] * len(found) if shape is None else [None if n == -1 else index(n) for n in shape]
    )
    for n in wanted:
        if n is not None:
            _points(n)
    return found, wanted


def _fitted(x: Any, dims: Sequence[int], sizes: Sequence[int | None]) -> Any:
    for d, n in zip(dims, sizes, strict=True):
        x = _resized(x, d, _points(x._data.shape[d] if n is None else n))
    return x


def _over(x: Any, dims: Sequence[int], norm: str, inverse: bool) -> Any:
    return transform(x, dims=tuple(dims), norm=norm, inverse=inverse) if dims else x


# ------------------------------------------------------------------------------ one dimension
def _complex_1d(name: str, input: Any, n: Any, dim: int, norm: Any, inverse: bool, out: Any) -> Any:
    x = _input(name, input, complex_=True)
    d = one_dim(x, dim)
    x = _fitted(x, (d,), (None if n is None else index(n),))
    return finish(_over(x, (d,), _norm(norm), inverse), out)


@export("fft.fft")
def fft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The discrete Fourier transform along `dim`, of the first n elements (zeros where missing).

        X_k = Σ_j x_j e^{−2πi jk/n};  x̄_j = Σ_k X̄_k e^{+2πi jk/n}

    norm "ortho" divides by √n, "forward" by n. RuntimeError for n < 1 or half precision.
    """
    return _complex_1d("fft", input, n, dim, norm, False, out)


@export("fft.ifft")
def ifft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `fft`: x_j = (1/n) Σ_k X_k e^{+2πi jk/n}."""
    return _complex_1d("ifft", input, n, dim, norm, True, out)


def _from_real(
    name: str, input: Any, n: int | None, dim: int, norm: str, conjugate: bool, out: Any
) -> Any:
    x = _input(name, input, real=True)
    d = one_dim(x, dim)
    x = _fitted(x, (d,), (None if n is None else index(n),))
    y = half_spectrum(x, dim=d, norm=norm)
    return finish(conj(y) if conjugate else y, out)


def _to_real(
    name: str, input: Any, n: int | None, dim: int, norm: str, conjugate: bool, out: Any
) -> Any:
    x = _input(name, input, complex_=True)
    d = one_dim(x, dim)
    count = _points(2 * (x._data.shape[d] - 1) if n is None else index(n))
    x = _resized(x, d, count // 2 + 1)
    return finish(real_signal(conj(x) if conjugate else x, dim=d, n=count, norm=norm), out)


@export("fft.rfft")
def rfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The first n/2 + 1 coefficients of `fft` of a real signal; the others are their conjugates.

    x̄ = Re Σ_k X̄_k e^{+2πi jk/n} over those. RuntimeError for complex input.
    """
    return _from_real("rfft", input, n, dim, _norm(norm), False, out)


@export("fft.irfft")
def irfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `rfft`: a real signal of length n, 2(m − 1) for m coefficients if None."""
    return _to_real("irfft", input, n, dim, _norm(norm), False, out)


@export("fft.hfft")
def hfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """`fft` of a signal with x_{n−j} = conj(x_j), given by its first half: a real spectrum of n."""
    return _to_real("hfft", input, n, dim, _TURNED[_norm(norm)], True, out)


@export("fft.ihfft")
def ihfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `hfft`: half of the signal whose spectrum is real."""
    return _from_real("ihfft", input, n, dim, _TURNED[_norm(norm)], True, out)


# ------------------------------------------------------------------------------ several dimensions
def _complex_nd(
    name: str, input: Any, s: Sizes, dim: Sizes, norm: Any, inverse: bool, out: Any
) -> Any:
    x = _input(name, input, complex_=True)
    dims, sizes = _dims_and_sizes(x, s, dim)
    return finish(_over(_fitted(x, dims, sizes), dims, _norm(norm), inverse), out)


@export("fft.fftn")
def fftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """`fft` along each of `dim` (all, or the last len(s)), cut or continued to the sizes s.

    RuntimeError if a dimension is named twice or the lengths of s and dim differ.
    """
    return _complex_nd("fftn", input, s, dim, norm, False, out)


@export("fft.ifftn")
def ifftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `fftn`."""
    return _complex_nd("ifftn", input, s, dim, norm, True, out)


def _need_dims(name: str, dims: Sequence[int]) -> None:
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")


def _last_halved(
    name: str, input: Any, s: Sizes, dim: Sizes, norm: str, hermitian: bool, out: Any
) -> Any:
    """Real input: the last dimension to its half spectrum, then the others."""
    x = _input(name, input, real=True)
    dims, sizes = _dims_and_sizes(x, s, dim)
    _need_dims(name, dims)
    x = _fitted(x, dims, sizes)
    if hermitian:
        y = conj(half_spectrum(x, dim=dims[-1], norm=_TURNED[norm]))
    else:
        y = half_spectrum(x, dim=dims[-1], norm=norm)
    return finish(_over(y, dims[:-1], norm, hermitian), out)


def _last_doubled(
    name: str, input: Any, s: Sizes, dim: Sizes, norm: str, hermitian: bool, out: Any
) -> Any:
    """Half a spectrum: the other dimensions, then the last to a real signal."""
    x = _input(name, input, complex_=True)
    dims, sizes = _dims_and_sizes(x, s, dim)
    _need_dims(name, dims)
    last = sizes[-1]
    count = _points(2 * (x._data.shape[dims[-1]] - 1) if last is None else last)
    x = _fitted(x, dims[:-1], sizes[:-1])
    x = _over(_resized(x, dims[-1], count // 2 + 1), dims[:-1], norm, not hermitian)
    if hermitian:
        x, norm = conj(x), _TURNED[norm]
    return finish(real_signal(x, dim=dims[-1], n=count, norm=norm), out)


@export("fft.rfftn")
def rfftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """`fftn` of a real tensor, of the last dimension only the first half of the coefficients."""
    return _last_halved("rfftn", input, s, dim, _norm(norm), False, out)


@export("fft.irfftn")
def irfftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `rfftn`: a real tensor, its last dimension s[-1] or 2(m − 1)."""
    return _last_doubled("irfftn", input, s, dim, _norm(norm), False, out)


@export("fft.hfftn")
def hfftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """`fftn` of a tensor that is Hermitian in its last dimension, given by half of it: real."""
    return _last_doubled("hfftn", input, s, dim, _norm(norm), True, out)


@export("fft.ihfftn")
def ihfftn(
    input: Tensor, s: Sizes = None, dim: Sizes = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of `hfftn`."""
    return _last_halved("ihfftn", input, s, dim, _norm(norm), True, out)


def _two_dimensional(op: Any, name: str, purpose: str) -> Any:
    def over_two(
        input: Tensor, s: Sizes = None, dim: Sizes = (-2, -1), norm: str | None = None, *,
        out: Any = None,
    ) -> Tensor:  # fmt: skip
        return op(input, s, dim, norm, out=out)

    over_two.__name__ = over_two.__qualname__ = name
    over_two.__doc__ = f"`{purpose}` along the last two dimensions."
    return export(f"fft.{name}")(over_two)


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = [
    _two_dimensional(op, op.__name__[:-1] + "2", op.__name__)
    for op in (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn)
]
