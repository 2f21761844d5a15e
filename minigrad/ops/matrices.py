"""What functions of matrices ask of their arguments, and the parts their derivatives are made of.

Matrices are the last two dimensions; the others are a batch. The parts take arrays and Tensors, as
rules do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..errors import unsupported_dtype
from ..export import export
from .arguments import dtype_title
from .complexes import conj
from .dims import transpose_, unsqueeze_
from .matrix_product import matrix_product
from .piecewise import where
from .rearrange import tril_, triu_
from .slices import diagonal_, put_diagonal, slice_


@export("linalg.LinAlgError")
class LinAlgError(RuntimeError):
    """A matrix for which the result does not exist: singular, or not positive-definite."""


# ------------------------------------------------------------------------------ checks
def need_tensor(name: str, *args: Any, names: tuple[str, ...] = ("A", "B", "C")) -> None:
    """TypeError unless all arguments are Tensors."""
    for i, a in enumerate(args):
        if not isinstance(a, Tensor):
            raise TypeError(
                f"{name}(): argument '{names[i]}' (position {i + 1}) must be Tensor, not "
                f"{type(a).__name__}"
            )


# PyTorch answers NotImplementedError instead of RuntimeError where the kernel, not the function,
# looks at the dtype: for half precision, and for integers
_KERNELS = frozenset(
    f"linalg.{name}"
    for name in (
        "cholesky", "det", "eig", "eigh", "eigvals", "eigvalsh", "ldl_factor_ex", "svd", "svdvals",
        "qr", "cond", "lu", "lu_factor", "lu_factor_ex",
    )
)  # fmt: skip
_KERNELS_OF_INTEGERS = frozenset(
    f"linalg.{name}" for name in ("eigh", "eigvalsh", "lu", "lu_factor", "lu_factor_ex")
)


def need_floating(name: str, x: Any, *, low_precision: bool = False) -> None:
    """RuntimeError unless x is real or complex, in single or double precision."""
    need_tensor(name, x)
    kind = x._data.dtype.kind
    integer = kind in "biu"
    half = not integer and (kind == "V" or x._data.dtype.itemsize < 4)
    if (integer and name in _KERNELS_OF_INTEGERS) or (half and name in _KERNELS):
        raise unsupported_dtype(name, dtype_title(x._data.dtype))
    if integer:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{dtype_title(x._data.dtype)}"
        )
    if half and not low_precision:
        raise RuntimeError(
            f"{name}: Low precision dtypes not supported. Got {dtype_title(x._data.dtype)}"
        )


def need_matrix(name: str, x: Any, what: str = "A") -> None:
    """RuntimeError for fewer than two dimensions, or a dtype without linear algebra."""
    need_tensor(name, x)
    if x._data.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {what} must have at least 2 dimensions.")
    need_floating(name, x)


def need_square(name: str, x: Any, what: str = "A") -> None:
    """As `need_matrix`, and RuntimeError unless there are as many rows as columns."""
    need_tensor(name, x)
    if x._data.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {what} must have at least 2 dimensions.")
    m, n = x._data.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"{name}: {what} must be batches of square matrices, but they are {m} by {n} matrices"
        )
    need_floating(name, x)


def need_same_dtype(name: str, a: Any, b: Any) -> None:
    """RuntimeError if the dtypes differ."""
    if a._data.dtype != b._data.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{dtype_title(a._data.dtype)} and B of type {dtype_title(b._data.dtype)} instead"
        )


def common_batch(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The broadcast shape of two batches; RuntimeError if there is none."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise RuntimeError(
            f"{name}: The batch dimensions of A and B must be broadcastable, but they are {list(a)}"
            f" and {list(b)}"
        ) from None


def first_failure(info: Any) -> tuple[str, int] | None:
    """How messages name the first element whose info is not 0, and that info."""
    flat = info.reshape(-1)
    bad = np.flatnonzero(flat)
    if not bad.size:
        return None
    return (f"(Batch element {bad[0]}): " if info.ndim else ""), int(flat[bad[0]])


# ------------------------------------------------------------------------------ parts of formulas
def adj(x: Any) -> Any:
    """Xᴴ, the conjugate transpose."""
    return conj(transpose_(x, dim0=-2, dim1=-1))


def times(*factors: Any) -> Any:
    """The product of matrices, from the left."""
    product = factors[0]
    for factor in factors[1:]:
        product = matrix_product(product, factor)
    return product


def column(x: Any) -> Any:
    """Vectors (..., n) as columns (..., n, 1)."""
    return unsqueeze_(x, dim=len(x.shape))


def row(x: Any) -> Any:
    """Vectors (..., n) as rows (..., 1, n)."""
    return unsqueeze_(x, dim=len(x.shape) - 1)


def diag_of(x: Any) -> Any:
    """The main diagonals."""
    return diagonal_(x, offset=0, dim1=len(x.shape) - 2, dim2=len(x.shape) - 1)


def diag_matrix(x: Any) -> Any:
    """Square matrices with x (..., n) on the main diagonal."""
    ndim = len(x.shape) + 1
    size = (*x.shape, x.shape[-1])
    return put_diagonal(x, offset=0, dim1=ndim - 2, dim2=ndim - 1, size=size)


def lower(x: Any, diagonal: int = 0) -> Any:
    """x with zeros above a diagonal."""
    return tril_(x, diagonal=diagonal)


def upper(x: Any, diagonal: int = 0) -> Any:
    """x with zeros below a diagonal."""
    return triu_(x, diagonal=diagonal)


def cut(x: Any, dim: int, start: int, stop: int) -> Any:
    """x[..., start:stop, ...] along `dim`, which may be negative."""
    return slice_(x, dim=dim % len(x.shape), start=start, stop=stop, step=1)


def eye_like(x: Any, n: int | None = None) -> Any:
    """The identity matrix of x's dtype, of the size of its last dimension unless n is given."""
    data = x._data if isinstance(x, Tensor) else x
    return np.eye(data.shape[-1] if n is None else n, dtype=data.dtype)


def off_diagonal_ratio(x: Any, differences: Any) -> Any:
    """x divided by `differences`, elementwise; x itself on the diagonal, where they are 0."""
    mask = np.eye(x.shape[-1], dtype=bool)
    return x / where(mask, 1, differences)


# ------------------------------------------------------------------------------ batches of arrays
def flat_batch(x: Any, *, core: int = 2) -> Any:
    """An array with its batch dimensions as one."""
    return x.reshape(math.prod(x.shape[: x.ndim - core]), *x.shape[x.ndim - core :])


def batch_indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The indices of all elements of a batch."""
    return iter(np.ndindex(*shape))
