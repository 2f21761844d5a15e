"""Products of matrices: matmul, einsum, and the BLAS family on top of them.

Every product here is one of three primitives: `dot_product` (vectors), `matmul` (any ranks) and `linear`. Half
precision is multiplied in float32 and rounded once.
"""

from __future__ import annotations

import builtins
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.dtypes import from_numpy_dtype
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .elementwise import add, conj, mul
from .reduction import reduce_sum, sum
from .shape import diagonal, expand, permute, reshape, squeeze, transpose, unsqueeze


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _finish(result: Any, out: Any) -> Any:
    return result if out is None else write_out(result, out)


def _text(x: Any) -> str:
    return "x".join(map(str, _data(x).shape))


def _check_same_dtype(*operands: Any) -> None:
    dtypes = [_data(x).dtype for x in operands if x is not None]
    for other in dtypes[1:]:
        if other != dtypes[0]:
            raise RuntimeError(
                f"expected m1 and m2 to have the same dtype, but got: {from_numpy_dtype(dtypes[0]).name} != "
                f"{from_numpy_dtype(other).name}"
            )


# ------------------------------------------------------------------------------ the general product
@primitive
def matrix_product(a: Any, b: Any) -> Any:
    """C = A B over the last two dimensions, the others broadcast.  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄."""
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:
        # one large GEMM instead of one per batch element
        return (a.reshape(-1, a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return np.matmul(a, b)


def _left_vjp(g: Any, b: Any) -> Any:
    return matrix_product(g, _adjoint(b))


def _right_vjp(g: Any, a: Any, b_shape: Any) -> Any:
    if len(b_shape) == 2 and len(a.shape) > 2:
        # b was broadcast over the batch: flatten the batch into the summed dimension
        return matrix_product(
            _adjoint(reshape(a, (-1, a.shape[-1]))), reshape(g, (-1, g.shape[-1]))
        )
    return matrix_product(_adjoint(a), g)


matrix_product.vjp(a=_left_vjp, b=_right_vjp)
matrix_product.primitive.node_class.__name__ = "MmBackward0"


def _adjoint(x: Any) -> Any:
    return conj(transpose(x, -2, -1)) if _data(x).dtype.kind == "c" else transpose(x, -2, -1)


@export("matmul", "linalg.matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    r"""Matrix product with NumPy's rules for ranks: vectors are rows or columns, leading dimensions broadcast.

        C = A B,  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄

    RuntimeError if the inner sizes differ, an operand is 0-d, or the dtypes differ.
    """
    a, b = _data(input), _data(other)
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        raise TypeError(f"matmul(): expected two Tensors, got {type(input).__name__} and {type(other).__name__}")
    if a.ndim == 2 and b.ndim == 2 and a.shape[1] == b.shape[0] and a.dtype is b.dtype:
        return _finish(matrix_product(input, other), out)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    _check_same_dtype(input, other)
    inner = b.shape[0] if b.ndim == 1 else b.shape[-2]
    if a.shape[-1] != inner:
        raise RuntimeError(_inner_error(a, b))
    left = unsqueeze(input, 0) if a.ndim == 1 else input
    right = unsqueeze(other, -1) if b.ndim == 1 else other
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise RuntimeError(
            f"The batch dimensions of matmul's operands do not broadcast: {list(a.shape)} and {list(b.shape)}"
        ) from None
    result = matrix_product(left, right)
    if a.ndim == 1:
        result = squeeze(result, -2)
    if b.ndim == 1:
        result = squeeze(result, -1)
    return _finish(result, out)


def _inner_error(a: Any, b: Any) -> str:
    if a.ndim == 1 and b.ndim == 1:
        return (
            "inconsistent tensor size, expected tensor [" + str(a.shape[0]) + "] and src [" + str(b.shape[0]) + "] "
            "to have the same number of elements"
        )
    if b.ndim == 1:
        return f"size mismatch, got input ({_text(a)}), vec ({b.shape[0]})"
    rows = "x".join(map(str, (int(np.prod(a.shape[:-1])) if a.ndim > 1 else 1, a.shape[-1])))
    return f"mat1 and mat2 shapes cannot be multiplied ({rows} and {'x'.join(map(str, b.shape[-2:]))})"


def _need_rank(name: str, x: Any, rank: int, what: str) -> None:
    if _data(x).ndim != rank:
        raise RuntimeError(f"{name}: {what} must be a {rank}-D tensor, got {_data(x).ndim}-D")


@export("mm")
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """Matrix product of two matrices (no broadcasting); RuntimeError for other ranks."""
    _need_rank("mm", input, 2, "self")
    _need_rank("mm", mat2, 2, "mat2")
    return matmul(input, mat2, out=out)


@export("bmm")
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """Batch of matrix products, (B, N, M) with (B, M, P) to (B, N, P); RuntimeError for other shapes."""
    _need_rank("bmm", input, 3, "batch1")
    _need_rank("bmm", mat2, 3, "batch2")
    a, b = _data(input).shape, _data(mat2).shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: "
            f"[{b[0]}, {b[1]}]."
        )
    _check_same_dtype(input, mat2)
    return _finish(matrix_product(input, mat2), out)


@export("mv")
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """Matrix times vector, (N, M) with (M) to (N)."""
    _need_rank("mv", input, 2, "self")
    _need_rank("mv", vec, 1, "vec")
    return matmul(input, vec, out=out)


@export("dot")
def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """Σ a·b of two vectors of one length and dtype."""
    if _data(input).ndim != 1 or _data(tensor).ndim != 1:
        raise RuntimeError(
            f"1D tensors expected, but got {_data(input).ndim}D and {_data(tensor).ndim}D tensors"
        )
    if _data(input).dtype != _data(tensor).dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{from_numpy_dtype(_data(input).dtype).name} and {from_numpy_dtype(_data(tensor).dtype).name}"
        )
    return matmul(input, tensor, out=out)


@export("vdot")
def vdot(input: Any, other: Any, *, out: Any = None) -> Any:
    """Σ conj(a)·b of two vectors."""
    return dot(conj(input), other, out=out)


@export("inner")
def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """Σ over the last dimension of both: (…, K) with (…', K) to (…, …'); a 0-d operand multiplies."""
    a, b = _data(input), _data(other)
    if a.ndim == 0 or b.ndim == 0:
        return _finish(mul(input, other), out)
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    return _finish(tensordot(input, other, dims=([-1], [-1])), out)


@export("outer", "ger")
def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products a_i b_j of two vectors."""
    _need_rank("outer", input, 1, "self")
    _need_rank("outer", vec2, 1, "vec2")
    return _finish(mul(unsqueeze(input, -1), vec2), out)


@export("linalg.vecdot")
def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Σ conj(x)·y along `dim`, the others broadcast."""
    product = mul(conj(x), y)
    return _finish(sum(product, dim), out)


# ------------------------------------------------------------------------------ β·input + α·product
def _fused(name: str, input: Any, product: Any, beta: Any, alpha: Any, out: Any) -> Any:
    """β·input + α·product; β = 0 ignores input, nan in it included."""
    _check_same_dtype(input, product)
    shape = _data(product).shape
    try:
        if np.broadcast_shapes(_data(input).shape, shape) != shape:
            raise ValueError
    except ValueError:
        raise RuntimeError(
            f"{name}: The expanded size of the tensor must match: input is {list(_data(input).shape)}, the product "
            f"{list(shape)}"
        ) from None
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return _finish(scaled, out)
    return _finish(add(scaled, input if beta == 1 else mul(input, beta)), out)


@export("addmm")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·(mat1 mat2)."""
    return _fused("addmm", input, mm(mat1, mat2), beta, alpha, out)


@export("addmv")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·(mat vec)."""
    return _fused("addmv", input, mv(mat, vec), beta, alpha, out)


@export("addr")
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·(vec1 vec2ᵀ)."""
    scaled = mul(outer(vec1, vec2), alpha)
    return _finish(scaled if beta == 0 else add(scaled, mul(input, beta)), out)


@export("baddbmm")
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·(batch1 batch2), a product per batch element."""
    return _fused("baddbmm", input, bmm(batch1, batch2), beta, alpha, out)


@export("addbmm")
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """β·input + α·Σ_b batch1_b batch2_b."""
    return _fused("addbmm", input, sum(bmm(batch1, batch2), 0), beta, alpha, out)


@export("chain_matmul", "linalg.multi_dot")
def multi_dot(tensors: Sequence[Any], *more: Any, out: Any = None) -> Any:
    """The product of several matrices, in the cheapest order (dynamic programming over the inner sizes)."""
    chain = [tensors, *more] if isinstance(tensors, Tensor) else list(tensors)
    if len(chain) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(chain)))
    first_vector, last_vector = _data(chain[0]).ndim == 1, _data(chain[-1]).ndim == 1
    if first_vector:
        chain[0] = unsqueeze(chain[0], 0)
    if last_vector:
        chain[-1] = unsqueeze(chain[-1], 1)
    for i, t in enumerate(chain):
        _need_rank("multi_dot", t, 2, f"tensor {i}")
    result = _multiply(chain, _best_splits([_data(t).shape for t in chain]), 0, len(chain) - 1)
    if first_vector:
        result = squeeze(result, 0)
    if last_vector:
        result = squeeze(result, -1)
    return _finish(result, out)


def _best_splits(shapes: list[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """Where to cut each run i..j of the chain (Cormen et al., Introduction to Algorithms, 14.2)."""
    n = len(shapes)
    sizes = [s[0] for s in shapes] + [shapes[-1][1]]
    cost = {(i, i): 0 for i in range(n)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            ]
            cost[i, j], cut[i, j] = min(options)
    return cut


def _multiply(chain: list[Any], cut: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = cut[i, j]
    return mm(_multiply(chain, cut, i, k), _multiply(chain, cut, k + 1, j))


# ------------------------------------------------------------------------------ contractions
@export("tensordot")
def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum over pairs of dimensions: the last `dims` of a with the first of b, or two lists of them."""
    rank_a, rank_b = _data(a).ndim, _data(b).ndim
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(rank_a, rank_b):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        dims_a, dims_b = list(range(rank_a - dims, rank_a)), list(range(dims))
    else:
        dims_a, dims_b = [[d] if isinstance(d, int) else list(d) for d in dims]
    if len(dims_a) != len(dims_b):
        raise RuntimeError("both dimension lists should have same length")
    dims_a = [normalize_dim(d, rank_a) for d in dims_a]
    dims_b = [normalize_dim(d, rank_b) for d in dims_b]
    shape_a, shape_b = _data(a).shape, _data(b).shape
    for x, y in zip(dims_a, dims_b, strict=True):
        if shape_a[x] != shape_b[y] and 1 not in (shape_a[x], shape_b[y]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {shape_a[x]} in dim {x} and second has "
                f"size {shape_b[y]} in dim {y}"
            )
        if shape_a[x] != shape_b[y]:  # a size of 1 is repeated: sum the other first
            a = sum(a, x, keepdim=True) if shape_b[y] == 1 else a
            b = sum(b, y, keepdim=True) if shape_a[x] == 1 else b
    shape_a, shape_b = _data(a).shape, _data(b).shape
    free_a = [d for d in range(rank_a) if d not in dims_a]
    free_b = [d for d in range(rank_b) if d not in dims_b]
    inner_size = int(np.prod([shape_a[d] for d in dims_a], dtype=np.int64))
    outer_a, outer_b = [shape_a[d] for d in free_a], [shape_b[d] for d in free_b]
    left = reshape(permute(a, (*free_a, *dims_a)), (int(np.prod(outer_a, dtype=np.int64)), inner_size))
    right = reshape(permute(b, (*dims_b, *free_b)), (inner_size, int(np.prod(outer_b, dtype=np.int64))))
    return _finish(reshape(matmul(left, right), (*outer_a, *outer_b)), out)


@export("kron")
def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """Kronecker product: every element of input times the whole of other."""
    rank = max(_data(input).ndim, _data(other).ndim)
    a = reshape(input, (1,) * (rank - _data(input).ndim) + _data(input).shape)
    b = reshape(other, (1,) * (rank - _data(other).ndim) + _data(other).shape)
    sa, sb = _data(a).shape, _data(b).shape
    spread_a = reshape(a, [n for s in sa for n in (s, 1)])
    spread_b = reshape(b, [n for s in sb for n in (1, s)])
    return _finish(reshape(mul(spread_a, spread_b), [x * y for x, y in zip(sa, sb, strict=True)]), out)


@export("trace")
def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    if _data(input).ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    return sum(diagonal(input))


@export("einsum")
def einsum(equation: Any, *operands: Any) -> Any:
    r"""Sum of products in Einstein's notation: "bij,bjk->bik", with "..." for batch dimensions.

    Two operands at a time, each pair as one batched matrix product; letters that occur in one operand and not in
    the result are summed first. The derivative is that of the parts. Operands may come as (op, sublist) pairs.
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, output, terms = _parse_einsum(equation, operands)
    current, letters = _einsum_diagonals(terms[0], inputs[0])
    for i in range(1, len(terms)):
        right, right_letters = _einsum_diagonals(terms[i], inputs[i])
        later = set(output).union(*inputs[i + 1 :]) if i + 1 < len(inputs) else set(output)
        current, letters = _contract_pair(current, letters, right, right_letters, later)
    gone = [k for k, letter in enumerate(letters) if letter not in output]
    if gone:
        current = sum(current, gone)
        letters = [letter for letter in letters if letter in output]
    return permute(current, [letters.index(letter) for letter in output])


def _from_sublists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    tensors = args[0 : len(args) - len(args) % 2 : 2]
    lists = args[1::2]

    def text(sublist: Any) -> str:
        return "".join("..." if s is Ellipsis else string.ascii_letters[s] for s in sublist)

    equation = ",".join(text(s) for s in lists)
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, tensors


def _parse_einsum(equation: str, operands: tuple[Any, ...]) -> tuple[list[list[str]], list[str], list[Any]]:
    """Letters per operand and of the result; "..." becomes letters of its own (digits), right-aligned."""
    if not operands:
        raise ValueError("einsum(): must provide at least one operand")
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise RuntimeError(
            f"einsum(): {'more' if len(operands) > len(parts) else 'fewer'} operands were provided than specified in "
            "the equation"
        )
    inputs = []
    widest = 0
    for part, x in zip(parts, operands, strict=True):
        named = part.replace("...", "")
        if not builtins.all(c in string.ascii_letters for c in named):
            raise RuntimeError(f"einsum(): invalid subscript given in the equation string, {part!r}")
        extra = _data(x).ndim - len(named)
        if extra < 0 or (extra and "..." not in part):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(named)}) does not match the number of "
                f"dimensions ({_data(x).ndim}) for operand"
            )
        widest = max(widest, extra if "..." in part else 0)
        before, dots, after = part.partition("...")
        batch = [f"#{k}" for k in range(extra, 0, -1)] if dots else []
        inputs.append([*before, *batch, *after])
    batch = [f"#{k}" for k in range(widest, 0, -1)]
    named = [c for term in inputs for c in term if c in string.ascii_letters]
    if not arrow:
        output = batch + sorted(c for c in set(named) if named.count(c) == 1)
    else:
        before, dots, after = right.partition("...")
        output = [*before, *(batch if dots else []), *after]
        for c in output:
            if c not in named and c not in batch:
                raise RuntimeError(
                    f"einsum(): output subscript {c} does not appear in the equation for any input operand"
                )
            if output.count(c) > 1:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
    sizes: dict[str, int] = {}
    for term, x in zip(inputs, operands, strict=True):
        for c, n in zip(term, _data(x).shape, strict=True):
            if sizes.setdefault(c, n) != n and n != 1:
                if sizes[c] != 1:
                    raise RuntimeError(
                        f"einsum(): subscript {c} has size {n} for operand which does not broadcast with previously "
                        f"seen size {sizes[c]}"
                    )
                sizes[c] = n
    terms = [
        expand(x, [sizes[c] if term.count(c) > 1 else n for c, n in zip(term, _data(x).shape, strict=True)])
        for term, x in zip(inputs, operands, strict=True)
    ]
    return inputs, output, terms


def _einsum_diagonals(x: Any, letters: list[str]) -> tuple[Any, list[str]]:
    """Repeated letters of one operand: its diagonal."""
    letters = list(letters)
    while len(set(letters)) < len(letters):
        twice = next(c for c in letters if letters.count(c) > 1)
        i = letters.index(twice)
        j = letters.index(twice, i + 1)
        x = diagonal(x, 0, i, j)
        letters = [c for k, c in enumerate(letters) if k not in (i, j)] + [twice]
    return x, letters


def _contract_pair(a: Any, la: list[str], b: Any, lb: list[str], later: set[str]) -> tuple[Any, list[str]]:
    """One pair of operands as a batched matrix product; letters in neither the rest nor the result are summed."""
    for which in (0, 1):
        x, own, other = ((a, la, lb), (b, lb, la))[which]
        lone = [k for k, c in enumerate(own) if c not in other and c not in later]
        if lone:
            x, own = sum(x, lone), [c for k, c in enumerate(own) if k not in lone]
            a, la, b, lb = (x, own, b, lb) if which == 0 else (a, la, x, own)
    size_a, size_b = dict(zip(la, _data(a).shape, strict=True)), dict(zip(lb, _data(b).shape, strict=True))
    shared = [c for c in la if c in lb]
    for c in shared:  # a size of 1 broadcasts: drop the letter there if it is summed, repeat it otherwise
        if size_a[c] != size_b[c] and c not in later:
            if size_a[c] == 1:
                b, size_b[c] = sum(b, lb.index(c), keepdim=True), 1
            else:
                a, size_a[c] = sum(a, la.index(c), keepdim=True), 1
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    only_a = [c for c in la if c not in lb]
    only_b = [c for c in lb if c not in la]
    if not summed:  # no sum: a broadcast product is cheaper than a matrix product with inner size 1
        result = mul(
            _arrange(a, la, [*batch, *only_a], len(only_b)),
            _insert(b, lb, batch, len(only_a), only_b),
        )
        return result, [*batch, *only_a, *only_b]
    left = permute(a, [la.index(c) for c in (*batch, *only_a, *summed)])
    right = permute(b, [lb.index(c) for c in (*batch, *summed, *only_b)])
    m, k, n = (int(np.prod([s[c] for c in cs], dtype=np.int64)) for s, cs in (
        (size_a, only_a), (size_a, summed), (size_b, only_b)))  # fmt: skip
    left = reshape(left, (*[size_a[c] for c in batch], m, k))
    right = reshape(right, (*[size_b[c] for c in batch], k, n))
    product = matmul(left, right)
    shape = [*_data(product).shape[:-2], *[size_a[c] for c in only_a], *[size_b[c] for c in only_b]]
    return reshape(product, shape), [*batch, *only_a, *only_b]


def _arrange(x: Any, letters: list[str], order: list[str], trailing: int) -> Any:
    x = permute(x, [letters.index(c) for c in order])
    return reshape(x, (*_data(x).shape, *[1] * trailing)) if trailing else x


def _insert(x: Any, letters: list[str], batch: list[str], between: int, rest: list[str]) -> Any:
    x = permute(x, [letters.index(c) for c in (*batch, *rest)])
    shape = _data(x).shape
    return reshape(x, (*shape[: len(batch)], *[1] * between, *shape[len(batch) :])) if between else x


# ------------------------------------------------------------------------------ the layer
@primitive
def affine(x: Any, weight: Any, bias: Any) -> Any:
    """y = x Wᵀ + b for x (..., in), W (out, in), b (out).  x̄ = ȳ W,  W̄ = ȳᵀ x,  b̄ = Σ ȳ."""
    flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    y = flat @ weight.T
    y += bias
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _weight_vjp(g: Any, x: Any) -> Any:
    flat_g = reshape(g, (-1, g.shape[-1]))
    return matrix_product(transpose(flat_g, 0, 1), reshape(x, (-1, x.shape[-1])))


affine.vjp(
    x=lambda g, weight: matrix_product(g, weight) if len(g.shape) > 1 else reshape(
        matrix_product(reshape(g, (1, -1)), weight), (-1,)
    ),
    weight=_weight_vjp,
    bias=lambda g: reduce_sum(g, axes=tuple(range(len(g.shape) - 1)), keepdim=False),
)
affine.primitive.node_class.__name__ = "AddmmBackward0"


@export("nn.functional.linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    r"""y = x Wᵀ + b.

    input (*, in_features), weight (out_features, in_features) or (in_features), bias (out_features).
    RuntimeError if the sizes or dtypes do not fit.
    """
    x, w = _data(input), _data(weight)
    if bias is None or w.ndim != 2 or x.ndim == 0:
        result = matmul(input, transpose(weight, 0, 1) if w.ndim == 2 else weight)
        return result if bias is None else add(result, bias)
    if x.shape[-1] != w.shape[1]:
        raise RuntimeError(_inner_error(x, w.T))
    _check_same_dtype(input, weight, bias)
    if _data(bias).shape != (w.shape[0],):
        return add(matmul(input, transpose(weight, 0, 1)), bias)
    return affine(input, weight, bias)


@export("nn.functional.bilinear")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_o = x₁ᵀ W_o x₂ + b_o for input1 (*, in1), input2 (*, in2), weight (out, in1, in2)."""
    a, b, w = _data(input1), _data(input2), _data(weight)
    if a.shape[:-1] != b.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(a.shape)} and {list(b.shape)}"
        )
    if a.shape[-1] != w.shape[1] or b.shape[-1] != w.shape[2]:
        raise RuntimeError(
            f"bilinear(): input sizes {a.shape[-1]}, {b.shape[-1]} do not match weight size {list(w.shape)}"
        )
    result = einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else add(result, bias)


