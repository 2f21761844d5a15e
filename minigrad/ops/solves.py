"""Inverses and linear systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..core.views import unlinked
from ..export import export
from .arguments import finish
from .arithmetic import neg
from .dims import movedim, squeeze_, unsqueeze_
from .matrices import (
    LinAlgError,
    adj,
    batch_indices,
    first_failure,
    need_floating,
    need_same_dtype,
    need_square,
    need_tensor,
    times,
)
from .pivoting import lu_arrays
from .results import LinalgInvEx, LinalgSolveEx, finish_pair
from .triangular import check_sizes, swapped
from .views import view_


# ------------------------------------------------------------------------------ inverse
@primitive
def inverse_(x: Any) -> Any:
    """Y = X⁻¹;  X̄ = −Yᴴ Ȳ Yᴴ."""
    return np.linalg.inv(x)


inverse_.vjp(x=lambda g, y: neg(times(adj(y), g, adj(y))))
inverse_.primitive.node_class.__name__ = "LinalgInvExBackward0"


def _no_info(a: Any) -> Any:
    return np.zeros(a.shape[:-2], np.int32)


def where_regular(a: Any, info: Any, compute: Any) -> Any:
    """compute(matrices), nan for the singular ones."""
    safe = np.where((info != 0)[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
    y = compute(safe)
    bad = np.broadcast_to((info != 0)[..., None, None], y.shape)
    return np.where(bad, y.dtype.type(np.nan), y)


def _try_inverse(A: Tensor) -> tuple[Tensor, Any]:
    """(A⁻¹, info); where info is not 0, its pivot is zero and the inverse nan."""
    a = A._data
    try:
        return inverse_(A), _no_info(a)
    except np.linalg.LinAlgError:
        info = lu_arrays(a)[2]
        info = np.where(info == 0, suspects(a), info).astype(np.int32)
        return wrap(where_regular(a, info, np.linalg.inv)), info


def suspects(a: Any) -> Any:
    """The size of each matrix that NumPy calls singular, else 0: elimination rounds differently
    there.
    """
    found = _no_info(a)
    for i in batch_indices(found.shape):
        try:
            np.linalg.inv(a[i])
        except np.linalg.LinAlgError:
            found[i] = a.shape[-1]
    return found


def _need_inverse(name: str, info: Any) -> None:
    failed = first_failure(info)
    if failed is not None:
        raise LinAlgError(
            f"{name}: {failed[0]}The diagonal element {failed[1]} is zero, the inversion could not "
            "be completed because the input matrix is singular."
        )


@export("linalg.inv_ex")
def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverse and an int32 info: 0, or which pivot of A is zero (the inverse is nan then).

    LinAlgError for those only if check_errors.
    """
    need_square("linalg.inv", A)
    inverse, info = _try_inverse(A)
    if check_errors:
        _need_inverse("linalg.inv_ex", info)
    return finish_pair(LinalgInvEx(inverse, wrap(info)), out)


@export("linalg.inv")
def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """The inverse of square matrices (*, n, n).

        Y = A⁻¹,  Ā = −Yᴴ Ȳ Yᴴ

    LinAlgError if a matrix is singular, RuntimeError if it is not square.
    """
    need_square("linalg.inv", A)
    inverse, info = _try_inverse(A)
    _need_inverse("linalg.inv", info)
    return finish(inverse, out)


@export("inverse")
def inverse(input: Tensor, *, out: Any = None) -> Tensor:
    """The older spelling of `linalg.inv`."""
    return inv(input, out=out)


# ------------------------------------------------------------------------------ systems
@primitive
def system(a: Any, b: Any) -> Any:
    """X = A⁻¹ B for matrices B;  B̄ = A⁻ᴴ X̄,  Ā = −B̄ Xᴴ."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    return np.linalg.solve(a, b)


def _system_joint(g: Any, a: Any, y: Any, needs: Any) -> list[Any]:
    b_bar = system(adj(a), g)
    return [neg(times(b_bar, adj(y))) if needs[0] else None, b_bar]


system.joint(_system_joint)
system.primitive.node_class.__name__ = "LinalgSolveExBackward0"


def is_vector_side(a: Any, b: Any) -> bool:
    """Whether the right side B is a batch of vectors, by PyTorch's rule on the shapes."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])


def _try_system(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Any]:
    need_tensor(name, A, B)
    need_square(name, A)
    need_floating(name, B)
    need_same_dtype(name, A, B)
    a, b = A._data, B._data
    vector = is_vector_side(a, b)
    if vector and not left:
        raise RuntimeError(
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In"
            " this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    right = unsqueeze_(B, dim=b.ndim) if vector else B
    if right._data.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    check_sizes(name, a, right._data, left)
    matrix, right = (A, right) if left else (swapped(A), swapped(right))
    try:
        x, info = system(matrix, right), _no_info(a)
    except np.linalg.LinAlgError:
        info = lu_arrays(a)[2]
        info = np.where(info == 0, suspects(a), info).astype(np.int32)
        data = where_regular(
            matrix._data, info, lambda safe: system.primitive.forward(safe, right._data)
        )
        x = wrap(data)
    x = x if left else swapped(x)
    return (unlinked(squeeze_(x, dims=(x._data.ndim - 1,))) if vector else x), info


def _need_solution(info: Any) -> None:
    failed = first_failure(info)
    if failed is not None:
        raise LinAlgError(
            f"linalg.solve: {failed[0]}The solver failed because the input matrix is singular."
        )


@export("linalg.solve_ex")
def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """`linalg.solve` and an int32 info: 0, or which pivot of A is zero (the solution is nan then).

    LinAlgError for those only if check_errors.
    """
    x, info = _try_system("linalg.solve", A, B, left)
    if check_errors:
        _need_solution(info)
    return finish_pair(LinalgSolveEx(x, wrap(info)), out)


@export("linalg.solve")
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:
    """The X of A X = B, or of X A = B unless `left`; batches broadcast.

        X = A⁻¹ B;  B̄ = A⁻ᴴ X̄,  Ā = −B̄ Xᴴ

    A (*, n, n); B (*, n, k), or vectors (*, n) of exactly A's batch. LinAlgError if A is singular,
    RuntimeError for other shapes or dtypes.
    """
    x, info = _try_system("linalg.solve", A, B, left)
    _need_solution(info)
    return finish(x, out)


@export("linalg.tensorsolve")
def tensorsolve(
    A: Tensor, B: Tensor, dims: Sequence[int] | None = None, *, out: Any = None
) -> Tensor:
    """The X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first.

    A of shape (*B.shape, *X.shape) with as many elements in both parts, else RuntimeError.
    """
    need_tensor("linalg_tensorsolve", A, B)
    a = A
    if dims is not None:
        dims = [d % A._data.ndim for d in dims]
        a = movedim(A, dims, list(range(A._data.ndim - len(dims), A._data.ndim)))
    shape, n = a._data.shape, B._data.ndim
    columns = math.prod(shape[n:])
    if columns != math.prod(shape[:n]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {columns} != {math.prod(shape[:n])}"
        )
    if B._data.size != columns:
        raise RuntimeError(
            f"linalg.tensorsolve: B has {B._data.size} elements where {columns} are needed"
        )
    flat = view_(a, size=(columns, columns))
    x = solve(flat, view_(B, size=(columns,)))
    return finish(view_(x, size=tuple(shape[n:])), out)


@export("linalg.tensorinv")
def tensorinv(A: Tensor, ind: int = 2, *, out: Any = None) -> Tensor:
    """The inverse of A as a map from its dimensions after `ind` to those before.

    RuntimeError unless both parts have as many elements, or if the matrix is singular.
    """
    need_tensor("linalg_tensorinv", A)
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'.")
    shape = A._data.shape
    before, after = math.prod(shape[:ind]), math.prod(shape[ind:])
    if before != after:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {after} != {before}"
        )
    result = inv(view_(A, size=(after, after)))
    return finish(view_(result, size=(*shape[ind:], *shape[:ind])), out)
