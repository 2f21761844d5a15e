"""Functions of a matrix: powers, the exponential, pseudoinverses, least squares, Vandermonde's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import finish
from .arithmetic import neg
from .beside import beside
from .dims import broadcast_to, squeeze_, unsqueeze_
from .join import cat_
from .matmul import matmul
from .matrices import (
    adj,
    common_batch,
    cut,
    eye_like,
    need_floating,
    need_matrix,
    need_same_dtype,
    need_square,
    need_tensor,
    times,
)
from .piecewise import abs, zeros_as
from .products import cumprod
from .results import LinalgLstsq, finish_pair
from .slices import diagonal
from .solves import inv, is_vector_side
from .spectra import eigvalsh, svdvals
from .sums import reduce_sum


@export("linalg.diagonal")
def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """`diagonal` of the last two dimensions; a view."""
    return diagonal(A, offset, dim1, dim2)


# ------------------------------------------------------------------------------ powers
@primitive
def identity_of(A: Any, *, unit: Any) -> Any:
    """A⁰ = I;  Ā = 0."""
    return unit


identity_of.vjp(A=lambda g: zeros_as(g))


@export("linalg.matrix_power", "matrix_power")
def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:
    """Aⁿ for square matrices (*, m, m) by repeated squaring; of the inverse for negative n.

    RuntimeError unless square, LinAlgError if a negative power does not exist.
    """
    need_tensor("linalg_matrix_power", A)
    if not isinstance(n, (int, np.integer)):
        raise TypeError(
            f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}"
        )
    _need_square_of_any_dtype("linalg.matrix_power", A)
    if n < 0:
        A, n = inv(A), -n
    if n == 0:
        unit = np.array(np.broadcast_to(eye_like(A), A._data.shape))
        # the derivative is 0 even where A is nan
        return finish(identity_of(A, unit=unit), out)
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return finish(A.clone() if result is A else result, out)  # type: ignore[attr-defined, arg-type]


def _need_square_of_any_dtype(name: str, A: Tensor) -> None:
    shape = A._data.shape
    if len(shape) < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if shape[-1] != shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {shape[-2]} by "
            f"{shape[-1]} matrices"
        )


# ------------------------------------------------------------------------------ exponential
# the numerator of Padé's approximant of degree 13, and the norm up to which it is exact in double
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_RANGE = 5.371920351148152


@primitive
def matrix_exponential(x: Any) -> Any:
    """Y = Σ Xᵏ/k!;  X̄ is the derivative of exp at Xᴴ along Ȳ, a block of exp [[Xᴴ, Ȳ], [0, Xᴴ]].

    Scaling and squaring with Padé's approximant (Higham, "The scaling and squaring method for the
    matrix exponential revisited", 2005), in double precision; the block: Mathias, 1996.
    """
    if not x.size:
        return x
    wide = x.astype(np.result_type(x.dtype, np.float64))
    norms = np.abs(wide).sum(axis=-2).max(axis=-1)
    with_bound = np.where(np.isfinite(norms), norms, 0)
    squarings = np.maximum(np.ceil(np.log2(np.maximum(with_bound / _PADE_RANGE, 1))), 0)
    y = _pade13(wide / 2.0 ** squarings[..., None, None])
    for i in range(int(squarings.max())):
        y = np.where((squarings > i)[..., None, None], y @ y, y)
    finite = np.isfinite(norms)[..., None, None]
    return np.where(finite, y, np.nan).astype(x.dtype)


def _pade13(a: Any) -> Any:
    b, unit = _PADE, np.eye(a.shape[-1], dtype=a.dtype)
    a = np.where(np.isfinite(a), a, 0)
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2)
    odd = a @ (odd + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * unit)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2)
    even = even + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * unit
    return np.linalg.solve(even - odd, even + odd)


def _matrix_exponential_vjp(g: Any, x: Any) -> Any:
    n, ndim = x.shape[-1], len(x.shape)
    if not n:
        return g
    turned = adj(x)
    top = cat_(turned, g, dim=ndim - 1)
    bottom = cat_(turned * 0, turned, dim=ndim - 1)
    whole = matrix_exponential(cat_(top, bottom, dim=ndim - 2))
    return cut(cut(whole, -2, 0, n), -1, n, 2 * n)


matrix_exponential.vjp(x=_matrix_exponential_vjp)
matrix_exponential.primitive.node_class.__name__ = "LinalgMatrixExpBackward0"


@export("linalg.matrix_exp", "matrix_exp")
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices (*, n, n).

        Y = Σ Aᵏ/k!;  Ā = the upper right block of exp [[Aᴴ, Ȳ], [0, Aᴴ]]

    RuntimeError unless square and floating.
    """
    need_tensor("linalg_matrix_exp", A)
    _need_square_of_any_dtype("linalg.matrix_exp", A)
    need_floating("linalg.matrix_exp", A, low_precision=True)
    return matrix_exponential(A)


# ------------------------------------------------------------------------------ tolerances
def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _tolerance(name: str, A: Tensor, largest: Any, atol: Any, rtol: Any) -> Any:
    """max(atol, rtol·σ₁), with rtol = max(m, n)·ε unless a tolerance is given; arrays (*)."""
    for value, what in ((atol, "atol"), (rtol, "rtol")):
        if isinstance(value, Tensor) and value._data.dtype.kind == "c":
            raise RuntimeError(f"{name}: {what} tensor of complex type is not supported.")
        if isinstance(value, Tensor):
            try:
                np.broadcast_shapes(value._data.shape, largest.shape)
            except ValueError:
                raise RuntimeError(
                    f"{name}: {what} of shape {list(value.shape)} does not fit {list(A.shape)}"
                ) from None
    if rtol is None:
        default = max(A._data.shape[-2:]) * float(np.finfo(A._data.dtype).eps)
        given = 0 if atol is None else np.asarray(_plain(atol))
        rtol = (
            np.where(given > 0, 0.0, default) if np.ndim(given) else (0.0 if given > 0 else default)
        )
    floor = 0.0 if atol is None else _plain(atol)
    return np.maximum(floor, _plain(rtol) * largest)


@export("linalg.matrix_rank")
def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """How many singular values exceed max(atol, rtol·σ₁): int64 (*).

    rtol is max(m, n)·ε unless a tolerance is given; tol is an older atol; hermitian: by
    eigenvalues. Tolerances may be tensors, one per matrix. RuntimeError below two dimensions.
    """
    need_matrix("linalg.matrix_rank", A)
    if isinstance(tol, bool):  # the older position of hermitian
        tol, hermitian = None, tol
    if tol is not None:
        atol, rtol = tol, 0.0
    if not A._data.size:
        return finish(wrap(np.zeros(A._data.shape[:-2], np.int64)), out)
    x = A.detach()  # type: ignore[attr-defined]
    s = np.abs(eigvalsh(x)._data) if hermitian else svdvals(x)._data
    bound = _tolerance("linalg.matrix_rank", A, s.max(-1), atol, rtol)
    return finish(wrap(np.asarray((s > np.asarray(bound)[..., None]).sum(-1), np.int64)), out)


# ------------------------------------------------------------------------------ pseudoinverse
@primitive
def pseudoinverse(x: Any, *, tolerance: Any, hermitian: bool) -> Any:
    """Y = X⁺, singular values up to the tolerance (a function of σ) dropped.

    X̄ = −Yᴴ Ȳ Yᴴ + (I − X Y) Ȳᴴ Y Yᴴ + Yᴴ Y Ȳᴴ (I − Y X)  (Golub and Pereyra, 1973, eq. 4.12)
    """
    if hermitian:
        w, v = np.linalg.eigh(x)
        size = np.abs(w)
        keep = size > np.asarray(tolerance(size.max(-1, initial=0)))[..., None]
        w = np.where(keep, 1 / np.where(keep, w, 1), 0).astype(w.dtype)
        return (v * w[..., None, :]) @ np.conj(np.swapaxes(v, -1, -2))
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    keep = s > np.asarray(tolerance(s.max(-1, initial=0)))[..., None]
    s = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
    turned = np.conj(np.swapaxes(vh, -1, -2))
    return (turned * s[..., None, :]) @ np.conj(np.swapaxes(u, -1, -2))


def _pseudoinverse_vjp(g: Any, x: Any, y: Any) -> Any:
    y_h, g_h = adj(y), adj(g)
    result = neg(times(y_h, g, y_h))
    left = times(g_h, y, y_h)
    right = times(y_h, y, g_h)
    return result + (left - times(x, y, left)) + (right - times(right, y, x))


pseudoinverse.vjp(x=_pseudoinverse_vjp)
pseudoinverse.primitive.node_class.__name__ = "LinalgPinvBackward0"


@export("linalg.pinv")
def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """The Moore-Penrose pseudoinverse of matrices (*, m, n): (*, n, m).

        Ā = −Yᴴ Ȳ Yᴴ + (I − A Y) Ȳᴴ Y Yᴴ + Yᴴ Y Ȳᴴ (I − Y A)

    Singular values up to max(atol, rtol·σ₁) count as 0; rtol is max(m, n)·ε unless a tolerance is
    given, rcond an older rtol. hermitian: by eigenvalues, from the lower triangle.
    """
    need_matrix("linalg.pinv", A)
    if hermitian:
        need_square("linalg.pinv", A)
    if isinstance(rcond, bool):
        rcond, hermitian = None, rcond
    if rcond is not None:
        atol, rtol = 0.0, rcond
    _tolerance("linalg.pinv", A, np.zeros(A._data.shape[:-2]), atol, rtol)

    def bound(largest: Any) -> Any:
        return _tolerance("linalg.pinv", A, largest, atol, rtol)

    return finish(pseudoinverse(A, tolerance=bound, hermitian=hermitian), out)


@export("pinverse")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The older `linalg.pinv` with a relative tolerance."""
    return pinv(input, rcond)


# ------------------------------------------------------------------------------ least squares
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@export("linalg.lstsq")
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None, out: Any = None
) -> Any:
    """The X of least norm that minimizes ‖A X − B‖: X = A⁺ B, whose gradient is that of A⁺.

    (solution, residuals, rank, singular values): the squared residuals of each column if m > n and
    A has full rank (not for "gelsy", the default), the rank for every driver but "gels" (which
    takes A to have full rank), σ for "gelsd" and "gelss"; otherwise empty. A (*, m, n), B (*, m, k)
    or (*, m). RuntimeError if the shapes, dtypes or the driver do not fit.
    """
    need_tensor("linalg_lstsq", A, B)
    name = "torch.linalg.lstsq"
    if A._data.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if not B._data.ndim:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    need_floating("linalg.lstsq", A)
    need_same_dtype("linalg.lstsq", A, B)
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver}"
        )
    a, b = A._data, B._data
    vector = is_vector_side(a, b)
    if not 0 <= a.ndim - b.ndim <= 1:
        raise RuntimeError(f"{name}: input.dim() must be greater or equal to other.dim()")
    right = unsqueeze_(B, dim=b.ndim) if vector else B
    if right._data.ndim < 2 or right._data.shape[-2] != a.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2)")
    batch = common_batch("linalg.lstsq", a.shape[:-2], right._data.shape[:-2])
    result = _least_squares(A, right, batch, rcond, driver or "gelsy", vector)
    return finish_pair(result, out)


def _least_squares(
    A: Tensor, B: Tensor, batch: tuple[int, ...], rcond: Any, driver: str, vector: bool
) -> Any:
    a = A._data
    m, n = a.shape[-2:]
    real = a.real.dtype
    inverse = pinv(A, rtol=0.0 if driver == "gels" else rcond)
    x = times(inverse, B)
    s = np.linalg.svd(a, compute_uv=False) if a.size else np.zeros((*a.shape[:-2], 0), real)
    cutoff = max(m, n) * float(np.finfo(real).eps) if rcond is None else rcond
    largest = s.max(-1, initial=0)[..., None]
    rank = np.broadcast_to((s > cutoff * largest).sum(-1), batch)
    residuals = beside(wrap(np.zeros(0, real)), x)
    # as LAPACK's routines: gelsy leaves no residuals behind
    if m > n and (driver == "gels" or (driver != "gelsy" and bool((rank == n).all()))):
        error = abs(B - times(A, x))  # type: ignore[operator]
        residuals = reduce_sum(error * error, axes=(error._data.ndim - 2,), keepdim=False)
    ranks = np.zeros(0, np.int64) if driver == "gels" else np.array(rank, np.int64)
    values = np.zeros(0, real)
    if driver in ("gelsd", "gelss"):
        values = np.array(np.broadcast_to(s, (*batch, s.shape[-1])))
    x = squeeze_(x, dims=(x._data.ndim - 1,)) if vector else x
    return LinalgLstsq(x, residuals, wrap(ranks), wrap(values))


# ------------------------------------------------------------------------------ Vandermonde
@export("linalg.vander")
def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers x⁰, x¹, … x^(N−1) of each element as rows: (*, n) to (*, n, N), N = n if None.

    A number counts as a row of one. RuntimeError for a bool tensor and for N ≤ 1.
    """
    need_tensor("linalg_vander", x, names=("x",))
    if not x._data.ndim:
        x = unsqueeze_(x, dim=0)
    data = x._data
    if data.dtype.kind == "b":
        raise RuntimeError("Input tensor for torch.linalg.vander must not be of type Bool")
    columns = N if N is not None else data.shape[-1]
    if columns <= 1:
        raise RuntimeError("N must be greater than 1.")
    if data.dtype.kind in "iu":
        x = x.to(np.dtype(np.int64))  # type: ignore[attr-defined]
    powers = cumprod(broadcast_to(unsqueeze_(x, dim=data.ndim), (*data.shape, columns - 1)), -1)
    ones = wrap(np.ones((*data.shape, 1), powers._data.dtype))
    return cat_(ones, powers, dim=data.ndim)
