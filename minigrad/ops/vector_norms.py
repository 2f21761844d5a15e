"""Norms of vectors, and of matrices as far as `norm` knows them; distances; renorm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.inplace import inplace
from ..core.primitive import as_array, primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .arithmetic import pow, sub
from .compare import eq
from .dims import movedim
from .piecewise import abs, dtype_title, finish, sgn, where
from .products import target_of, to_dtype
from .sums import (
    Axes,
    Dim,
    axes_of,
    count_of,
    is_floating,
    kept,
    kept_array,
    reduce_amax,
    reduce_amin,
    reduce_sum,
    reduced,
)
from .views import view_


# ------------------------------------------------------------ vectors
@primitive
def norm2(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = √Σ |x|²;  x̄ = ȳ x/y, 0 where y = 0 (the subgradient of least norm)."""
    if len(axes) == x.ndim and x.flags.c_contiguous and x.dtype.kind == "f" and not keepdim:
        flat = x.reshape(-1)  # BLAS needs no array of squares
        return np.sqrt(flat.dot(flat))
    square = (x * x.conj()).real if x.dtype.kind == "c" else x * x
    return np.sqrt(reduced(np.add, square, axes, keepdim))


def _norm2_vjp(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    y = kept(y, axes, keepdim, x_shape)
    return x * where(eq(y, 0), 0, kept(g, axes, keepdim, x_shape) / where(eq(y, 0), 1, y))


def _norm2_fast(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    scale = as_array(g / y)
    zero = y == 0
    if zero.any():
        scale = np.where(zero, y.dtype.type(0), scale)
    return x * kept_array(scale, axes, keepdim, x_shape)


norm2.vjp(x=_norm2_vjp)
norm2.fast(x=_norm2_fast)


@primitive
def norm_p(x: Any, *, p: float, axes: Axes, keepdim: bool) -> Any:
    """y = (Σ |x|^p)^(1/p);  x̄ = ȳ sgn(x) (|x|/y)^(p−1), 0 where y = 0 or (p < 1) x = 0."""
    return reduced(np.add, np.abs(x) ** p, axes, keepdim) ** (1.0 / p)


def _norm_p_vjp(g: Any, x: Any, y: Any, p: float, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    y = kept(y, axes, keepdim, x_shape)
    size = abs(x)
    if p < 2:  # |x|^(p−1) has no derivative at 0: keep away from there
        size = where(eq(x, 0), 1, size)
    slope = sgn(x) * pow(size / where(eq(y, 0), 1, y), p - 1)
    return slope * where(eq(y, 0), 0, kept(g, axes, keepdim, x_shape))


norm_p.vjp(x=_norm_p_vjp)


@primitive
def norm0(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = the number of elements that are not 0; no gradient."""
    return (x != 0).sum(axis=axes, keepdims=keepdim).astype(x.real.dtype)


norm0.vjp(x=lambda g: None)
for _op in (norm2, norm_p, norm0):
    _op.primitive.node_class.__name__ = "LinalgVectorNormBackward0"


def _vector_norm(x: Any, ord: float, axes: Axes, keepdim: bool) -> Any:
    if ord == 2:
        return norm2(x, axes=axes, keepdim=keepdim)
    if ord == math.inf:
        return reduce_amax(abs(x), axes=axes, keepdim=keepdim)
    if ord == -math.inf:
        return reduce_amin(abs(x), axes=axes, keepdim=keepdim)
    if ord == 0:
        return norm0(x, axes=axes, keepdim=keepdim)
    if ord == 1:
        return reduce_sum(abs(x), axes=axes, keepdim=keepdim)
    return norm_p(x, p=float(ord), axes=axes, keepdim=keepdim)


def _norm_input(x: Tensor, dtype: Any) -> Tensor:
    if not is_floating(x):
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{dtype_title(x._data.dtype)}"
        )
    target = target_of(dtype)
    if target is None or target == x._data.dtype:
        return x
    if (x._data.dtype.kind == "c") != (target.kind == "c") or target.kind in "biu":
        raise RuntimeError(
            f"linalg.vector_norm: the dtype of the input ({dtype_title(x._data.dtype)}) should be "
            f"convertible without narrowing to the specified dtype ({dtype_title(target)})"
        )
    if target.itemsize < x._data.dtype.itemsize:
        raise RuntimeError(
            f"linalg.vector_norm: the dtype of the input ({dtype_title(x._data.dtype)}) should be "
            f"convertible without narrowing to the specified dtype ({dtype_title(target)})"
        )
    return to_dtype(x, target)


@export("linalg.vector_norm")
def vector_norm(
    x: Tensor, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """The p-norm of all elements, or over `dim`; p = ±inf: an extreme of |x|, p = 0: the nonzeros.

        y = (Σ |x|^p)^(1/p),  x̄ = ȳ sgn(x) (|x|/y)^(p−1)

    The gradient where the norm is 0 is 0. RuntimeError for integers, or an empty extreme.
    """
    if isinstance(ord, (str, bool)) or not isinstance(ord, (int, float, np.number)):
        raise TypeError(
            f"linalg_vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}"
        )
    x = _norm_input(x, dtype)
    axes = axes_of(dim, x._data.ndim)
    if (ord < 0 or ord == math.inf) and not x._data.size:
        if dim is None or dim == () or not count_of(x._data.shape, axes):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
                "operation does not have an identity"
            )
    return finish(_vector_norm(x, ord, axes, keepdim), out)


# ------------------------------------------------------------ the nuclear norm
@primitive
def nuclear(x: Any) -> Any:
    """y = Σ σ_i, the singular values of the last two dimensions;  x̄ = ȳ U Vᴴ."""
    return array_module(x).linalg.svd(x, compute_uv=False).sum(axis=-1)


@primitive
def polar(x: Any) -> Any:
    """y = U Vᴴ, where x = U Σ Vᴴ;  x̄ is `polar_slope`, the derivative being symmetric."""
    u, _, vh = array_module(x).linalg.svd(x, full_matrices=False)
    return u @ vh


@primitive
def polar_slope(g: Any, x: Any) -> Any:
    """The derivative of U Vᴴ along g: the part within both spaces divided by σ_i + σ_j, the parts
    outside one of them by σ_i.
    """
    xp = array_module(x)
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    uh, v = u.conj().swapaxes(-1, -2), vh.conj().swapaxes(-1, -2)
    inner = uh @ g @ v
    turned = inner.conj().swapaxes(-1, -2)
    y = u @ ((inner - turned) / (s[..., :, None] + s[..., None, :])) @ vh
    y = y + ((g @ v - u @ inner) / s[..., None, :]) @ vh
    return y + u @ ((uh @ g - inner @ vh) / s[..., :, None])


nuclear.vjp(x=lambda g, x, y: view_(g, size=(*y.shape, 1, 1)) * polar(x))
polar.vjp(x=lambda g, x: polar_slope(g, x))
polar_slope.vjp(g=lambda g, x: polar_slope(g, x))


def _nuclear_norm(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    ndim = x._data.ndim
    dims = axes_of(dim, ndim) if dim is not None else tuple(range(ndim))
    if len(dims) != 2:
        raise RuntimeError(
            f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}"
            if dim is not None
            else "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    y = nuclear(movedim(x, dims, (-2, -1)))
    shape = x._data.shape
    return (
        view_(y, size=tuple([1 if d in dims else n for d, n in enumerate(shape)])) if keepdim else y
    )


@export("norm", "functional.norm")
def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False,
    out: Any = None, dtype: Any = None,
) -> Tensor:  # fmt: skip
    """The p-norm of all elements or over `dim`; "fro" is p = 2, "nuc" the sum of singular values.

    As `linalg.vector_norm`; "nuc" wants a matrix or two dimensions. RuntimeError for integers.
    """
    x = _norm_input(input, dtype)
    if isinstance(p, str):
        if p not in ("fro", "nuc"):
            raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found {p}")
        if p == "nuc":
            return finish(_nuclear_norm(x, dim, keepdim), out)
    return vector_norm(x, 2 if p is None or p == "fro" else p, dim, keepdim, out=out)  # type: ignore[arg-type]


@export("dist")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of x − z, broadcast against each other. RuntimeError for integers."""
    return vector_norm(sub(input, other), p)


@export("renorm")
def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Tensor:
    """Slices along `dim` whose p-norm exceeds maxnorm are scaled down to it.

    y = x·min(1, maxnorm/(‖slice‖ + 10⁻⁷)). RuntimeError for p ≤ 0 or a negative maxnorm.
    """
    x = input._data
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if x.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {x.ndim} dimensions")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    keep = normalize_dim(dim, x.ndim)
    norms = vector_norm(input, p, [d for d in range(x.ndim) if d != keep], True)
    factor = where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)  # type: ignore[operator]
    return finish(input * to_dtype(factor, x.dtype), out)  # type: ignore[operator]


# of a copy: the norms are not the last step, and need the old contents
renorm_ = inplace(lambda x, *args, **named: renorm(x.clone(), *args, **named), "renorm_")
