"""Distances and angles between vectors, one by one or every pair; the cross product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import row_major
from ..backend.dtypes import F32, F64, result_dtype
from ..core.primitive import primitive
from ..core.tensor import normalize_dim, wrap
from ..export import export
from ..kernels.cpu import angles as kernels
from .clamping import clamp_max
from .compare import eq
from .elementwise import mul, sub, where
from .embedding import lookup
from .join import cat
from .matrix_product import matrix_product
from .piecewise import abs, ceil, dtype_title, finish
from .products import to_dtype
from .reduction import reduce_sum, sum, vector_norm
from .regression import at_least
from .shape import broadcast_tensors, common_shape, narrow, transpose_, unsqueeze


@export("nn.functional.cosine_similarity", "cosine_similarity")
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """y = x₁·x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε)) along `dim` of the common shape.

    The guards have no derivative. RuntimeError for integers.
    """
    dtype = result_dtype([x1._data, x2._data]).np
    if dtype.kind in "biu":
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {dtype_title(dtype)}"
        )
    x1, x2 = [to_dtype(x, dtype) if x._data.dtype.kind in "biu" else x for x in (x1, x2)]
    if x1._data.shape != x2._data.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    last = dim in (-1, x1._data.ndim - 1) and x1._data.ndim
    if last and x1._data.dtype == x2._data.dtype and dtype in (F32, F64):
        return cosine(x1, x2, eps=eps)
    return _cosine(x1, x2, dim, eps)


def _cosine(x1: Any, x2: Any, dim: int, eps: float) -> Any:
    n1 = at_least(vector_norm(x1, 2, dim, keepdim=True), low=eps)
    n2 = at_least(vector_norm(x2, 2, dim, keepdim=True), low=eps)
    return sum((x1 / n1) * (x2 / n2), dim)


@primitive(residuals=("r1", "r2"), composition=lambda x1, x2, eps: _cosine(x1, x2, -1, eps))
def cosine(x1: Any, x2: Any, *, eps: float) -> Any:
    """y = x₁·x₂ / (n₁ n₂) along the last dimension, r = ‖x‖, n = max(r, ε).

    x̄₁ = ȳ/n₁ (x₂/n₂ − y x₁/r₁), the last term 0 for r₁ = 0.
    """
    found = kernels.cosine(x1, x2, eps)
    if found is not None:
        return found
    wide = x1.astype(F64), x2.astype(F64)  # as in the kernel, where no square overflows
    r1, r2 = [np.sqrt(np.sum(x * x, axis=-1)) for x in wide]
    y = np.sum(wide[0] * wide[1], axis=-1) / (np.maximum(r1, eps) * np.maximum(r2, eps))
    y, r1, r2 = [v.astype(x1.dtype) for v in (y, r1, r2)]
    return y, r1, r2


def _cosine_vjp(
    g: Any, x1: Any, x2: Any, y: Any, r1: Any, r2: Any, eps: float, needs: Any
) -> list[Any]:
    found = kernels.cosine_back(g, x1, x2, y, r1, r2, eps, needs)
    if found is not None:
        return found
    n1, n2 = np.maximum(r1, eps), np.maximum(r2, eps)
    both = (g / (n1 * n2))[..., None]
    own = [
        np.where(r > 0, g * y / (n * np.where(r > 0, r, 1)), 0)[..., None]
        for r, n in ((r1, n1), (r2, n2))
    ]
    return [both * x2 - own[0] * x1, both * x1 - own[1] * x2]


cosine.joint(_cosine_vjp)


@export("nn.functional.pairwise_distance", "pairwise_distance")
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """y = ‖x₁ − x₂ + ε‖_p over the last dimension."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def _same_dtype(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        first, second = dtype_title(a.dtype), dtype_title(b.dtype)
        raise RuntimeError(f"expected scalar type {first} but found {second}")


# ------------------------------------------------------------------------------ every pair
_EXACT_UP_TO = 25  # rows on each side: PyTorch's limit, too, of the exact formula


@primitive
def euclidean(x1: Any, x2: Any) -> Any:
    """y_ij = ‖a_i − b_j‖₂ for the rows of two matrices;  ā_i = Σ_j ȳ_ij (a_i − b_j)/y_ij.

    The derivative at y = 0 is 0. Many rows: √(‖a‖² + ‖b‖² − 2 a·b), one matrix product instead of
    all differences.
    """
    if max(x1.shape[-2], x2.shape[-2]) <= _EXACT_UP_TO:
        d = x1[..., :, None, :] - x2[..., None, :, :]
        return row_major(np.sqrt(np.sum(d * d, axis=-1)))
    a = np.sum(x1 * x1, axis=-1)[..., :, None]
    b = np.sum(x2 * x2, axis=-1)[..., None, :]
    square = a + b - 2 * matrix_product(x1, np.swapaxes(x2, -2, -1))
    return row_major(np.sqrt(np.maximum(square, 0)))


def _euclidean_vjp(ratio: Any, own: Any, other: Any) -> Any:
    weight = reduce_sum(ratio, axes=(len(ratio.shape) - 1,), keepdim=True)
    return own * weight - matrix_product(ratio, other)


def _ratio(g: Any, y: Any) -> Any:
    return where(eq(y, 0), 0, g / y)


euclidean.vjp(
    x1=lambda g, x1, x2, y: _euclidean_vjp(_ratio(g, y), x1, x2),
    x2=lambda g, x1, x2, y: _euclidean_vjp(transpose_(_ratio(g, y), dim0=-2, dim1=-1), x2, x1),
)
euclidean.primitive.node_class.__name__ = "CdistBackward0"


@export("cdist")
def cdist(
    x1: Any,
    x2: Any,
    p: float = 2.0,
    compute_mode: str | int | None = "use_mm_for_euclid_dist_if_necessary",
) -> Any:
    """The p-norm distance of every row of x1 (*, P, M) to every row of x2 (*, R, M): (*, P, R).

    The derivative at distance 0 is 0. RuntimeError for shapes, dtypes or a p that do not fit,
    ValueError for another compute_mode (they differ in speed only).
    """
    modes = (
        "use_mm_for_euclid_dist_if_necessary",
        "use_mm_for_euclid_dist",
        "donot_use_mm_for_euclid_dist",
    )
    if isinstance(compute_mode, str) and compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    a, b = x1._data, x2._data
    for i, x in ((1, a), (2, b)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, X{i} got: {x.ndim}D")
        if x.dtype.kind not in "fV":
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, X{i} got: {dtype_title(x.dtype)}"
            )
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    _same_dtype(a, b)
    common_shape([a.shape[:-2], b.shape[:-2]])
    if p == 2:
        return euclidean(x1, x2)
    difference = sub(unsqueeze(x1, -2), unsqueeze(x2, -3))
    if p == 0:  # how many differ: nan where a difference is, and a gradient of zeros
        return sum(clamp_max(ceil(abs(difference)), 1), -1)
    return vector_norm(difference, p, -1)


@export("nn.functional.pdist", "pdist")
def pdist(input: Any, p: float = 2) -> Any:
    """The p-norm distances of all pairs of rows i < j of a matrix (N, M): N(N − 1)/2 numbers.

    The derivative at distance 0 is 0. RuntimeError unless it is a floating matrix and p ≥ 0.
    """
    x = input._data
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if x.dtype.kind not in "fV":
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    i, j = [wrap(index) for index in np.triu_indices(x.shape[0], 1)]
    rows = [lookup(input, k, padding_idx=None, by_frequency=False) for k in (i, j)]
    return vector_norm(sub(*rows), p, -1)


# ------------------------------------------------------------------------------ cross product
@export("linalg.cross")
def linalg_cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """a × b along a dimension of size 3, the others broadcast;  ā = b × ȳ,  b̄ = ȳ × a.

    RuntimeError if the ranks differ or the dimension does not have size 3.
    """
    a, b = input._data, other._data
    if a.ndim != b.ndim:
        raise RuntimeError(
            "linalg.cross: inputs must have the same number of dimensions, but got "
            f"{a.ndim} and {b.ndim}"
        )
    _same_dtype(a, b)
    axis = normalize_dim(dim, a.ndim)
    if not a.ndim or a.shape[axis] != 3 or b.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    input, other = broadcast_tensors(input, other)
    following = _rolled(input, axis, 1), _rolled(other, axis, 1)
    preceding = _rolled(input, axis, 2), _rolled(other, axis, 2)
    product = mul(following[0], preceding[1]) - mul(preceding[0], following[1])
    return finish(product, out)


def _rolled(x: Any, axis: int, by: int) -> Any:
    """Components (1, 2, 0) or (2, 0, 1) of the vectors along `axis`."""
    return cat([narrow(x, axis, by, 3 - by), narrow(x, axis, 0, by)], axis)


@export("cross")
def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """`linalg.cross`, along the first dimension of size 3 unless `dim` is given."""
    if dim is None:
        shape = common_shape([input._data.shape, other._data.shape])
        if 3 not in shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = shape.index(3)
    return linalg_cross(input, other, dim=dim, out=out)
