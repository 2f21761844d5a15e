"""Products of matrices and vectors, and the layer made of one.

Every product is one primitive, `matrix_product`, over the last two dimensions; vectors are rows or
columns of it. `linear` has a primitive of its own, which adds the bias in place. Half precision is
multiplied in float32 and rounded once: on the CPU by casts, on a GPU by the library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.dtypes import result_dtype
from ..core.chores import sum_to_size
from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..core.views import unlinked
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import products
from .beside import beside
from .complexes import conj
from .elementwise import add, mul
from .matrix_product import as_rows, matrices, matrix_product, matvec
from .piecewise import dtype_title, finish, need_tensors
from .reduction import reduce_sum, sum
from .shape import squeeze, transpose, transpose_, unsqueeze, view_
from .slices import diagonal


def same_dtype(*operands: Any) -> None:
    """RuntimeError unless all operands have the dtype of the first, and for bools."""
    first = operands[0]._data.dtype
    for other in operands[1:]:
        if other._data.dtype != first:
            raise RuntimeError(
                "expected m1 and m2 to have the same dtype, but got: "
                f"{dtype_title(first)} != {dtype_title(other._data.dtype)}"
            )
    if first.kind == "b":
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")


@export("matmul", "linalg.matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """Matrix product; a vector is a row on the left, a column on the right; batches broadcast.

        C = A B,  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄

    (..., n, m) and (..., m, p) give (..., n, p). RuntimeError if the inner sizes differ, an operand
    is 0-d, or the dtypes differ.
    """
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)):
        need_tensors("matmul", input, other)
        raise _not_tensor("matmul", ("input", input), ("other", other))
    a, b = input._data, other._data
    if a.ndim == 2 == b.ndim and a.shape[1] == b.shape[0] and a.dtype is b.dtype:
        if a.dtype.kind == "f":
            return finish(matrix_product(input, other), out, True)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    same_dtype(input, other)
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise inner_error(a.shape, b.shape)
    _batch_shape(a.shape, b.shape)
    if a.ndim == 2 and b.ndim == 1:
        return finish(matvec(input, other), out, True)
    left = unsqueeze(input, 0) if a.ndim == 1 else input
    right = unsqueeze(other, -1) if b.ndim == 1 else other
    result = matrix_product(left, right)
    if a.ndim == 1:
        result = unlinked(squeeze(result, -2))
    if b.ndim == 1:
        result = unlinked(squeeze(result, -1))
    return finish(result, out, True)


def operator_matmul(self: Any, other: Any) -> Any:
    """`self @ other`; NotImplemented for anything but Tensors."""
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def reflected_matmul(self: Any, other: Any) -> Any:
    """`other @ self` where the left operand is no Tensor that knows what to do."""
    return matmul(other, self)


def _not_tensor(name: str, *named: tuple[str, Any]) -> TypeError:
    position, (argument, x) = next(
        (i, pair) for i, pair in enumerate(named, 1) if not isinstance(pair[1], Tensor)
    )
    return TypeError(
        f"{name}(): argument '{argument}' (position {position}) must be Tensor, "
        f"not {type(x).__name__}"
    )


def inner_error(a: tuple[int, ...], b: tuple[int, ...]) -> RuntimeError:
    """The error for shapes whose inner sizes differ."""
    if len(a) == len(b) == 1:
        return RuntimeError(
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same "
            f"number of elements, but got {a[0]} and {b[0]} elements respectively"
        )
    if len(b) == 1:
        rows = f"{math.prod(a[:-1])}x{a[-1]}"
        return RuntimeError(f"size mismatch, got input ({rows}), mat ({rows}), vec ({b[0]})")
    rows = f"{math.prod(a[:-1])}x{a[-1]}"
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows} and {b[-2]}x{b[-1]})")


def _batch_shape(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    for m, n in zip(a[-3::-1], b[-3::-1], strict=False):
        if m != n and 1 not in (m, n):
            raise RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) in the batch "
                f"dimensions of matmul: {list(a)} and {list(b)}"
            )


# ------------------------------------------------------------------------------ for given ranks
def _need_rank(name: str, x: Any, rank: int, what: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(x).__name__}")
    if x._data.ndim != rank:
        noun = {1: "vector", 2: "matrix", 3: "3D tensor"}[rank]
        raise RuntimeError(
            f"{name}: {what} must be a {noun}, but got {x._data.ndim}-D of shape {list(x.shape)}"
        )


@export("mm", "spmm")
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices, (n, m) and (m, p) to (n, p); RuntimeError for other ranks.

    C = A B,  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄

    `spmm` is the name for a sparse A, which PyTorch takes for dense ones as well.
    """
    _need_rank("mm", input, 2, "self")
    _need_rank("mm", mat2, 2, "mat2")
    return matmul(input, mat2, out=out)


@export("bmm")
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """A product for each batch element, (b, n, m) and (b, m, p) to (b, n, p), no broadcasting.

    C_i = A_i B_i;  gradients as for `mm`. RuntimeError for other shapes.
    """
    _need_rank("bmm", input, 3, "batch1")
    _need_rank("bmm", mat2, 3, "batch2")
    a, b = input._data.shape, mat2._data.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but "
            f"got: [{b[0]}, {b[1]}]."
        )
    same_dtype(input, mat2)
    return finish(matrix_product(input, mat2), out, True)


@export("mv")
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """Matrix times vector, (n, m) and (m) to (n); RuntimeError for other ranks.

    y = A v,  Ā = ȳ vᴴ,  v̄ = Aᴴ ȳ
    """
    if isinstance(input, Tensor) and isinstance(vec, Tensor):
        if input._data.ndim != 2 or vec._data.ndim != 1:
            raise RuntimeError(
                f"vector + matrix @ vector expected, got 1, {input._data.ndim}, {vec._data.ndim}"
            )
    return matmul(input, vec, out=out)


@export("dot")
def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """Σ a·b of two vectors of one length and dtype, else RuntimeError;  ā = c̄·b, b̄ = c̄·a."""
    if not (isinstance(input, Tensor) and isinstance(tensor, Tensor)):
        raise _not_tensor("dot", ("input", input), ("tensor", tensor))
    a, b = input._data, tensor._data
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype != b.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{dtype_title(a.dtype)} and {dtype_title(b.dtype)}"
        )
    return matmul(input, tensor, out=out)


@export("vdot")
def vdot(input: Any, other: Any, *, out: Any = None) -> Any:
    """Σ conj(a)·b of two vectors; errors as for `dot`."""
    if not isinstance(input, Tensor):
        raise _not_tensor("vdot", ("input", input), ("other", other))
    return dot(conj(input), other, out=out)


@export("outer", "ger")
def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products of two vectors: y_ij = a_i·b_j;  ā = Ȳ b, b̄ = Ȳᵀ a. RuntimeError for ranks."""
    _need_rank("outer", input, 1, "self")
    _need_rank("outer", vec2, 1, "vec2")
    return finish(mul(unsqueeze(input, -1), vec2), out)


@export("linalg.vecdot")
def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Σ conj(x)·y along `dim`, the other dimensions broadcast."""
    if x._data.dtype.kind in "biu":
        raise RuntimeError(
            "linalg.vecdot: Expected a floating point or complex tensor as input. Got "
            f"{dtype_title(x._data.dtype)}"
        )
    return finish(sum(mul(conj(x), y), dim), out)


@export("trace")
def trace(input: Any) -> Any:
    """The sum of a matrix' diagonal;  x̄ = ȳ·I. RuntimeError unless it is a matrix."""
    if input._data.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    return sum(diagonal(input))


# ------------------------------------------------------------------------------ β·input + α·product
def _factor(value: Any, dtype: Any) -> Any:
    """beta or alpha; integer products take its integer part."""
    return int(value) if isinstance(value, float) and dtype.kind in "iu" else value


def _fused(name: str, input: Any, product: Any, beta: Any, alpha: Any, out: Any) -> Any:
    """β·input + α·product; β = 0 ignores input, nan in it included."""
    same_dtype(input, product)
    dtype, shape, got = product._data.dtype, product._data.shape, input._data.shape
    if len(got) > len(shape) or any(
        n not in (1, m) for n, m in zip(got[::-1], shape[::-1], strict=False)
    ):
        raise RuntimeError(
            f"{name}: The expanded size of the tensor must match: input is {list(got)}, the "
            f"product {list(shape)}"
        )
    beta, alpha = _factor(beta, dtype), _factor(alpha, dtype)
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return finish(beside(scaled, input), out, True)
    return finish(add(scaled, input if beta == 1 else mul(input, beta)), out, True)


@export("addmm")
def addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """β·input + α·(mat1 mat2); input broadcasts to the product. RuntimeError as for `mm`."""
    return _fused("addmm", input, mm(mat1, mat2), beta, alpha, out)


@export("addmv")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·(mat vec); input broadcasts to the product. RuntimeError as for `mv`."""
    return _fused("addmv", input, mv(mat, vec), beta, alpha, out)


@export("addr")
def addr(
    input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """β·input + α·(vec1 vec2ᵀ); here the dtypes are promoted. RuntimeError as for `outer`."""
    _need_rank("addr", vec1, 1, "vec1")
    _need_rank("addr", vec2, 1, "vec2")
    product = outer(vec1, vec2)
    shape, got = product._data.shape, input._data.shape
    if len(got) > 2 or any(n not in (1, m) for n, m in zip(got[::-1], shape[::-1], strict=False)):
        raise RuntimeError(
            f"addr: expected a matrix of shape {list(shape)}, but got input of shape {list(got)}"
        )
    kind = result_dtype([input._data, product._data]).np.kind
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if isinstance(factor, float) and kind in "biu":
            raise RuntimeError(
                f"For integral input tensors, argument {name} must not be a floating point number."
            )
        if isinstance(factor, bool) and kind != "b":
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
    if kind == "b":  # sums are or, products and
        beta, alpha = bool(beta), bool(alpha)
    scaled = product if alpha == 1 else mul(product, alpha)
    y = beside(scaled, input) if beta == 0 else add(scaled, mul(input, beta))
    return finish(y, out)


@export("baddbmm")
def baddbmm(
    input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """β·input + α·(batch1 batch2), a product per batch element. RuntimeError as for `bmm`."""
    return _fused("baddbmm", input, bmm(batch1, batch2), beta, alpha, out)


@export("addbmm")
def addbmm(
    input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """β·input + α·Σ_b batch1_b batch2_b. RuntimeError as for `bmm`."""
    product = bmm(batch1, batch2)
    return _fused("addbmm", input, sum(product, 0, dtype=product.dtype), beta, alpha, out)


# ------------------------------------------------------------------------------ the layer
@primitive(half="device")
def affine(x: Any, weight: Any, bias: Any) -> Any:
    """y = x Wᵀ + b for x (..., in), W (out, in), b (out) or None;  x̄ = ȳ W,  W̄ = ȳᵀ x,  b̄ = Σ ȳ."""
    flat = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = matrices(flat, weight.T, bias)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _affine_x_vjp(g: Any, weight: Any, x_shape: Any) -> Any:
    x_bar = matrix_product(
        as_rows(view_(g, size=(1, *g.shape)) if len(x_shape) == 1 else g), conj(weight)
    )
    return x_bar if len(x_shape) == 2 else view_(x_bar, size=x_shape)


def _affine_weight_vjp(g: Any, x: Any) -> Any:
    flat_g = view_(g, size=(1, *g.shape)) if len(g.shape) == 1 else as_rows(g)
    flat_x = view_(x, size=(1, *x.shape)) if len(x.shape) == 1 else as_rows(x)
    return matrix_product(transpose_(flat_g, dim0=0, dim1=1), conj(flat_x))


affine.vjp(
    x=_affine_x_vjp,
    weight=_affine_weight_vjp,
    bias=lambda g: reduce_sum(g, axes=tuple(range(len(g.shape) - 1)), keepdim=False),
)


def _affine_x_fast(g: Any, weight: Any, x_shape: Any) -> Any:
    if g.ndim == 2 and g.dtype.kind == "f":
        return matrices(g, weight)
    return _affine_x_vjp(g, weight, x_shape)


def _affine_weight_fast(g: Any, x: Any) -> Any:
    if type(g) is not np.ndarray:
        return cuda.gemm.weight_gradient(g, x)
    if g.ndim == 2 and g.dtype.kind == "f":
        return matrices(g.T, x)
    return _affine_weight_vjp(g, x)


def _affine_bias_fast(g: Any) -> Any:
    if type(g) is np.ndarray:
        if g.ndim == 2 and len(g) == 1:
            return g[0].copy()
        return sum_to_size.primitive.forward(g, size=g.shape[-1:])
    found = cuda.gemm.column_sums(g)
    return sum_to_size(g, size=g.shape[-1:]) if found is None else found


affine.fast(
    x=_affine_x_fast,
    weight=_affine_weight_fast,
    bias=_affine_bias_fast,
)


def _affine_fast(g: Any, x: Any, weight: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, ...]:
    """All gradients that `needs` asks for, in one call where the matrices are small."""
    if g.size and type(g) is np.ndarray:
        flat_g = g if g.ndim == 2 else g.reshape(-1, g.shape[-1])
        flat_x = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        found = products.layer_gradients(flat_g, flat_x, weight, needs)
        if found is not None:
            x_bar, w_bar, b_bar = found
            return x_bar if x_bar is None or x.ndim == 2 else x_bar.reshape(x.shape), w_bar, b_bar
    return (
        _affine_x_fast(g, weight, x.shape) if needs[0] else None,
        _affine_weight_fast(g, x),
        _affine_bias_fast(g) if needs[2] else None,
    )


affine.together((True, True, True), lambda g, x, weight: _affine_fast(g, x, weight, (True,) * 3))
affine.together(
    (True, True, False), lambda g, x, weight: _affine_fast(g, x, weight, (True, True, False))
)
affine.together((False, True, True), lambda g, x: _affine_fast(g, x, None, (False, True, True)))
affine.together((False, True, False), lambda g, x: _affine_fast(g, x, None, (False, True, False)))
affine.primitive.node_class.__name__ = "AddmmBackward0"


@primitive(half="device")
def affine_turned(x: Any, weight: Any, bias: Any) -> Any:
    """y = x W + b for x (..., in), W (in, out), b (out);  x̄ = ȳ Wᵀ,  W̄ = xᵀ ȳ,  b̄ = Σ ȳ.

    On a GPU `affine` of Wᵀ would give the gradient of W from the other side, to be copied.
    """
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return matrices(flat, weight, bias).reshape(*x.shape[:-1], weight.shape[1])


def _turned_weight_vjp(g: Any, x: Any) -> Any:
    return matrix_product(transpose_(as_rows(x), dim0=0, dim1=1), as_rows(g))


def _turned_weight_fast(g: Any, x: Any) -> Any:
    if type(g) is not np.ndarray:
        return cuda.gemm.weight_gradient(g, x, turned=True)
    return _turned_weight_vjp(g, x)


affine_turned.vjp(
    x=lambda g, weight, x_shape: view_(
        matrix_product(as_rows(g), transpose_(weight, dim0=0, dim1=1)), size=x_shape
    ),
    weight=_turned_weight_vjp,
    bias=lambda g: reduce_sum(g, axes=tuple(range(len(g.shape) - 1)), keepdim=False),
)
affine_turned.fast(weight=_turned_weight_fast, bias=_affine_bias_fast)
affine_turned.primitive.node_class.__name__ = "AddmmBackward0"


@export("nn.functional.linear")
def linear(input: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
    """y = x Wᵀ + b;  x̄ = ȳ W,  W̄ = ȳᵀ x,  b̄ = Σ ȳ.

    input (*, in), weight (out, in) or (in), bias (out): (*, out), without the last dimension for a
    weight vector. RuntimeError if sizes or dtypes do not fit.
    """
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)):
        raise _not_tensor("linear", ("input", input), ("weight", weight))
    x, w = input._data, weight._data
    b, dtype = bias._data if isinstance(bias, Tensor) else None, x.dtype
    if dtype.kind == "f" and w.dtype is dtype and (b is None or b.dtype is dtype):
        fits = w.ndim == 2 and x.ndim and x.shape[-1] == w.shape[1]
        if fits and (bias is None if b is None else b.shape == w.shape[:1]):
            y = affine(input, weight, bias)
            return y if out is None else finish(y, out)
    if w.ndim > 2 or (w.ndim < 2 and bias is not None and x.ndim > 1):
        raise RuntimeError(f"linear(): mat2 must be a matrix, got {w.ndim}-D tensor")
    if bias is None or w.ndim != 2 or x.ndim == 0:
        result = matmul(input, transpose(weight, 0, 1) if w.ndim == 2 else weight)
        return finish(result if bias is None else add(result, bias), out)
    if x.shape[-1] != w.shape[1]:
        raise inner_error(x.shape, w.shape[::-1])
    same_dtype(input, weight, bias)
    if bias._data.shape != w.shape[:1] or x.dtype.kind in "biu":
        return _fused("linear", bias, matmul(input, transpose(weight, 0, 1)), 1, 1, out)
    return finish(affine(input, weight, bias), out)


# ------------------------------------------------------------------------------ chains
@export("linalg.multi_dot")
def multi_dot(tensors: Sequence[Any], *more: Any, out: Any = None) -> Any:
    """The product of several matrices in the cheapest order; the ends may be vectors.

    RuntimeError for fewer than two, for other ranks, and if sizes do not fit.
    """
    chain = [tensors, *more] if isinstance(tensors, Tensor) else list(tensors)
    if len(chain) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(chain)}")
    first_vector, last_vector = chain[0]._data.ndim == 1, chain[-1]._data.ndim == 1
    if first_vector:
        chain[0] = unsqueeze(chain[0], 0)
    if last_vector:
        chain[-1] = unsqueeze(chain[-1], 1)
    for i, t in enumerate(chain):
        _need_rank("multi_dot", t, 2, f"tensor {i}")
    for left, right in zip(chain, chain[1:], strict=False):
        same_dtype(left, right)
        if left._data.shape[1] != right._data.shape[0]:
            raise inner_error(left._data.shape, right._data.shape)
    result = _multiply(chain, _best_splits([t._data.shape for t in chain]), 0, len(chain) - 1)
    result = squeeze(result, 0) if first_vector else result
    return finish(squeeze(result, -1) if last_vector else result, out)


def _best_splits(shapes: list[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """Where to cut each run i..j of the chain (Cormen et al., Introduction to Algorithms, 14.2)."""
    n = len(shapes)
    sizes = [s[0] for s in shapes] + [shapes[-1][1]]
    cost = {(i, i): 0 for i in range(n)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            ways = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cut[i, j] = min(ways)
    return cut


def _multiply(chain: list[Any], cut: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = cut[i, j]
    return mm(_multiply(chain, cut, i, k), _multiply(chain, cut, k + 1, j))


@export("chain_matmul")
def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """`linalg.multi_dot` of the arguments; one matrix is its own product."""
    given = list(matrices[0]) if isinstance(matrices[0], (tuple, list)) else list(matrices)
    return given[0] if len(given) == 1 else multi_dot(given, out=out)
