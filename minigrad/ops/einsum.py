"""Contractions: sums of products over named dimensions, one batched matrix product a pair."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..core.views import unlinked
from ..export import export
from .complexes import conj
from .dims import permute_
from .elementwise import add, mul
from .matmul import matmul, same_dtype
from .matrix_product import matrix_product
from .piecewise import dtype_title, finish
from .reduction import sum
from .shape import expand, permute, reshape, view_
from .slices import diagonal

_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # the order of sublist numbers


# ------------------------------------------------------------------------------ two operands
@export("tensordot", "functional.tensordot")
def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum of products over pairs of dimensions: the last `dims` of a, the first of b; or two lists.

    y = Σ_k a[..., k] b[k, ...];  gradients are contractions of the same kind. RuntimeError if sizes
    or numbers of dimensions differ.
    """
    dims_a, dims_b = _paired_dims(a._data.ndim, b._data.ndim, dims)
    same_dtype(a, b)
    shape_a, shape_b = a._data.shape, b._data.shape
    for x, y in zip(dims_a, dims_b, strict=True):
        if shape_a[x] == shape_b[y]:
            continue
        if shape_b[y] == 1:  # a size of 1 is repeated: the other is summed first
            a = sum(a, x, keepdim=True, dtype=a.dtype)
        elif shape_a[x] == 1:
            b = sum(b, y, keepdim=True, dtype=b.dtype)
        else:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {shape_a[x]} in dim {x} "
                f"and second has size {shape_b[y]} in dim {y}"
            )
    shape_a, shape_b = a._data.shape, b._data.shape
    free_a = [d for d in range(len(shape_a)) if d not in dims_a]
    free_b = [d for d in range(len(shape_b)) if d not in dims_b]
    inner_size = math.prod([shape_a[d] for d in dims_a])
    outer_a, outer_b = [shape_a[d] for d in free_a], [shape_b[d] for d in free_b]
    left = reshape(permute(a, (*free_a, *dims_a)), (math.prod(outer_a), inner_size))
    right = reshape(permute(b, (*dims_b, *free_b)), (inner_size, math.prod(outer_b)))
    return finish(reshape(matmul(left, right), (*outer_a, *outer_b)), out)


def _paired_dims(rank_a: int, rank_b: int, dims: Any) -> tuple[list[int], list[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(rank_a, rank_b):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return list(range(rank_a - dims, rank_a)), list(range(dims))
    dims_a, dims_b = [[d] if isinstance(d, int) else list(d) for d in dims]
    if len(dims_a) != len(dims_b):
        raise RuntimeError("both dimension lists should have same length")
    dims_a = [normalize_dim(d, rank_a) for d in dims_a]
    dims_b = [normalize_dim(d, rank_b) for d in dims_b]
    if len(set(dims_a)) != len(dims_a) or len(set(dims_b)) != len(dims_b):
        raise RuntimeError("a dim appears multiple times in the list of dims")
    return dims_a, dims_b


@export("inner")
def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """Σ of products over the last dimension of both: (*, k) and (+, k) to (*, +).

    A 0-d operand multiplies. RuntimeError if the last sizes differ.
    """
    a, b = input._data, other._data
    if a.ndim == 0 or b.ndim == 0:
        return finish(mul(input, other), out)
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]), out)


@export("kron")
def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """Kronecker product: every element of input times the whole of other.

    y[i·n + k, j·m + l] = a[i, j]·b[k, l] for b (n, m); missing dimensions count as 1.
    """
    shape_a, shape_b = input._data.shape, other._data.shape
    rank = max(len(shape_a), len(shape_b))
    shape_a = (1,) * (rank - len(shape_a)) + shape_a
    shape_b = (1,) * (rank - len(shape_b)) + shape_b
    spread_a = reshape(input, [n for s in shape_a for n in (s, 1)])
    spread_b = reshape(other, [n for s in shape_b for n in (1, s)])
    sizes = [x * y for x, y in zip(shape_a, shape_b, strict=True)]
    return finish(unlinked(reshape(mul(spread_a, spread_b), sizes)), out)


# ------------------------------------------------------------------------------ Einstein's notation
@export("einsum", "functional.einsum")
def einsum(equation: Any, *operands: Any) -> Any:
    """Sum of products in Einstein's notation: "bij,bjk->bik", "..." standing for batch dimensions.

    Letters that the result lacks are summed; a letter twice in one operand takes the diagonal.
    Operands are contracted from left to right, each pair as one batched matrix product, so the
    derivative is that of the parts. Also (operand, [numbers], operand, [numbers], ..., [result]).
    RuntimeError for an equation that does not fit the operands.
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if len(operands) == 2 and all([isinstance(x, Tensor) for x in operands]):
        a, b = operands
        if a._data.dtype is b._data.dtype and a._data.dtype.kind != "b":
            letters = _plain_pair(equation, a._data.shape, b._data.shape)
            if letters is not None:
                la, lb, made, order = letters
                y = contract(a, b, la=la, lb=lb, ly=made)
                return y if order is None else permute_(y, dims=order)
    terms, output = _parse(equation, [x._data.ndim for x in operands])
    factors = _equal_sizes(terms, operands)
    current, letters = _diagonals(factors[0], terms[0])
    for i in range(1, len(factors)):
        right, right_letters = _diagonals(factors[i], terms[i])
        later = set(output).union(*terms[i + 1 :])
        current, letters = _contract_pair(current, letters, right, right_letters, later)
    gone = [k for k, letter in enumerate(letters) if letter not in output]
    if gone:
        current = sum(current, gone)
        letters = [letter for letter in letters if letter in output]
    result = permute(current, [letters.index(letter) for letter in output])
    made = current._view is None and not any([current is x for x in operands])
    return unlinked(result) if made else result


def _from_sublists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The other calling convention: numbers below 52 are letters."""

    def text(sublist: Any) -> str:
        for s in sublist:
            if s is not Ellipsis and not 0 <= s < 52:
                raise ValueError("einsum(): sublist subscripts must be within the range [0, 52)")
        return "".join(["..." if s is Ellipsis else _LETTERS[s] for s in sublist])

    count = len(args) // 2
    equation = ",".join([text(s) for s in args[1 : 2 * count : 2]])
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, args[0 : 2 * count : 2]


def _parse(equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The letters of each operand and of the result; "..." becomes "#2", "#1", aligned right."""
    if not ranks:
        raise ValueError("einsum(): must provide at least one operand")
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        more = "more" if len(ranks) > len(parts) else "fewer"
        raise RuntimeError(f"einsum(): {more} operands were provided than the equation specifies")
    pairs = zip(parts, ranks, strict=True)
    terms = [_letters_of(part, ndim, i) for i, (part, ndim) in enumerate(pairs)]
    widest = max([len([c for c in term if c[0] == "#"]) for term in terms])
    batch = [f"#{k}" for k in range(widest, 0, -1)]
    named = [c for term in terms for c in term if c[0] != "#"]
    if not arrow:
        return terms, batch + sorted([c for c in set(named) if named.count(c) == 1])
    before, dots, after = right.partition("...")
    if "." in before + after:
        raise RuntimeError("einsum(): found '.' for output that is not part of one ellipsis (...)")
    output = [*before, *(batch if dots else []), *after]
    for c in output:
        if c not in named and c not in batch:
            raise RuntimeError(
                f"einsum(): output subscript {c} does not appear in the equation for any input "
                "operand"
            )
        if output.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once")
    return terms, output


def _letters_of(part: str, ndim: int, position: int) -> list[str]:
    before, dots, after = part.partition("...")
    named = before + after
    if "." in named:
        raise RuntimeError(
            f"einsum(): found '.' for operand {position} that is not part of one ellipsis (...)"
        )
    for c in named:
        if c not in _LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given at the equation string for operand {position}, "
                f"subscripts must be in [a-zA-Z], but got {c!r}"
            )
    extra = ndim - len(named)
    if extra < 0 or (extra and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(named)}) does not match the "
            f"number of dimensions ({ndim}) for operand {position}"
            + ("" if extra < 0 else " and no ellipsis was given")
        )
    return [*before, *[f"#{k}" for k in range(extra, 0, -1)], *after]


def _equal_sizes(terms: list[list[str]], operands: Sequence[Any]) -> list[Any]:
    """The operands, repeated letters brought to one size; RuntimeError where sizes disagree."""
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        for c, n in zip(term, x._data.shape, strict=True):
            known = sizes.setdefault(c, n)
            if n not in (known, 1):
                if known != 1:
                    raise RuntimeError(
                        f"einsum(): subscript {c} has size {n} for operand {i} which does not "
                        f"broadcast with previously seen size {known}"
                    )
                sizes[c] = n
    result = []
    for term, x in zip(terms, operands, strict=True):
        shape = x._data.shape
        twice = len(set(term)) < len(term)
        wide = [sizes[c] if term.count(c) > 1 else n for c, n in zip(term, shape, strict=True)]
        result.append(expand(x, wide) if twice else x)
    return result


def _diagonals(x: Any, letters: list[str]) -> tuple[Any, list[str]]:
    """Letters that occur twice in one operand: its diagonal, as the last dimension."""
    letters = list(letters)
    while len(set(letters)) < len(letters):
        twice = next(c for c in letters if letters.count(c) > 1)
        i = letters.index(twice)
        j = letters.index(twice, i + 1)
        x = diagonal(x, 0, i, j)
        letters = [c for k, c in enumerate(letters) if k not in (i, j)] + [twice]
    return x, letters


def _without(x: Any, own: list[str], other: list[str], later: set[str]) -> tuple[Any, list[str]]:
    """x summed over the letters that nothing else has."""
    lone = [k for k, c in enumerate(own) if c not in other and c not in later]
    return (sum(x, lone), [c for k, c in enumerate(own) if k not in lone]) if lone else (x, own)


def _contract_pair(
    a: Any, la: list[str], b: Any, lb: list[str], later: set[str]
) -> tuple[Any, list[str]]:
    """Two operands as one batched matrix product; letters in neither `later` are summed."""
    a, la = _without(a, la, lb, later)
    b, lb = _without(b, lb, la, later)
    shared = [c for c in la if c in lb]
    for c in shared:  # a size of 1 broadcasts; if the letter is summed the other is summed first
        size_a, size_b = a._data.shape[la.index(c)], b._data.shape[lb.index(c)]
        if size_a != size_b and c not in later:
            if size_a == 1:
                b = sum(b, lb.index(c), keepdim=True)
            else:
                a = sum(a, la.index(c), keepdim=True)
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    only_a = [c for c in la if c not in lb]
    only_b = [c for c in lb if c not in la]
    size_a = dict(zip(la, a._data.shape, strict=True))
    size_b = dict(zip(lb, b._data.shape, strict=True))
    left = permute(a, [la.index(c) for c in (*batch, *only_a, *summed)])
    right = permute(b, [lb.index(c) for c in (*batch, *summed, *only_b)])
    lead_a, lead_b = [size_a[c] for c in batch], [size_b[c] for c in batch]
    free_a, free_b = [size_a[c] for c in only_a], [size_b[c] for c in only_b]
    names = [*batch, *only_a, *only_b]
    if not summed:  # a broadcast product is cheaper than a matrix product with inner size 1
        left = reshape(left, (*lead_a, *free_a, *[1] * len(free_b)))
        return mul(left, reshape(right, (*lead_b, *[1] * len(free_a), *free_b))), names
    inner_size = math.prod([size_a[c] for c in summed])
    left = reshape(left, (*lead_a, math.prod(free_a), inner_size))
    right = reshape(right, (*lead_b, inner_size, math.prod(free_b)))
    product = matmul(left, right)
    return reshape(product, (*product._data.shape[:-2], *free_a, *free_b)), names


# ------------------------------------------------------------------------------ a pair at once
Letters = tuple[str, ...]


@lru_cache(256)
def _plain_pair(
    equation: str, shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> tuple[Letters, Letters, Letters, tuple[int, ...] | None] | None:
    """The letters of both operands and of their product, and the order of the result's dimensions
    in that, where `contract` can do it; else None. No order: as in PyTorch, a mere product of
    elements is no view.
    """
    try:
        (la, lb), ly = _parse(equation, (len(shape_a), len(shape_b)))
    except (RuntimeError, ValueError):
        return None
    sizes = dict(zip(la, shape_a, strict=True))
    if any([sizes.get(c, n) != n for c, n in zip(lb, shape_b, strict=True)]):
        return None  # a size of one is repeated, or they do not fit
    for own, others in ((la, {*lb, *ly}), (lb, {*la, *ly})):
        if len(set(own)) < len(own) or not others.issuperset(own):
            return None
    if not sizes:
        return None
    made = [c for c in la if c in lb and c in ly]
    made += [c for c in la if c not in lb] + [c for c in lb if c not in la]
    order = tuple([made.index(c) for c in ly])
    summed = len({*la, *lb}) > len(made)
    kept = order if summed or order != tuple(range(len(order))) else None
    return tuple(la), tuple(lb), tuple(made), kept


@lru_cache(256)
def _steps(
    la: Letters, lb: Letters, ly: Letters, shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> tuple[Any, ...]:
    """The order of dimensions and the shape of each factor, and of the result."""
    sizes = dict(zip((*la, *lb), (*shape_a, *shape_b), strict=True))
    batch = [c for c in la if c in lb and c in ly]
    summed = [c for c in la if c in lb and c not in ly]
    rows, columns = [c for c in la if c not in lb], [c for c in lb if c not in la]
    lead = [sizes[c] for c in batch]
    m, k, n = [math.prod([sizes[c] for c in cs]) for cs in (rows, summed, columns)]
    names = [*batch, *rows, *columns]
    return (
        [la.index(c) for c in (*batch, *rows, *summed)], (*lead, m, k),
        [lb.index(c) for c in (*batch, *summed, *columns)], (*lead, k, n),
        tuple([sizes[c] for c in names]), [names.index(c) for c in ly], bool(summed),
    )  # fmt: skip


@primitive
def contract(a: Any, b: Any, *, la: Letters, lb: Letters, ly: Letters) -> Any:
    """y = Σ a b over the letters that y lacks, as one batched product of matrices.

    Every letter of a is one of b or y, and so on around: each derivative is such a sum as well.
    ā = Σ ȳ b̅,  b̄ = Σ ȳ a̅
    """
    order_a, size_a, order_b, size_b, size, order, summed = _steps(la, lb, ly, a.shape, b.shape)
    left = view_(a.transpose(order_a), size=size_a)
    right = view_(b.transpose(order_b), size=size_b)
    product = matrix_product(left, right) if summed else left * right
    return product.reshape(size).transpose(order)


contract.vjp(
    a=lambda g, b, la, lb, ly: contract(g, conj(b), la=ly, lb=lb, ly=la),
    b=lambda g, a, la, lb, ly: contract(g, conj(a), la=ly, lb=la, ly=lb),
)


# ------------------------------------------------------------------------------ the bilinear layer
@export("nn.functional.bilinear")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_o = x₁ᵀ W_o x₂ + b_o for x₁ (*, in1), x₂ (*, in2), W (out, in1, in2), b (out).

    RuntimeError if sizes or dtypes do not fit.
    """
    a, b, w = input1._data, input2._data, weight._data
    if a.shape[:-1] != b.shape[:-1]:
        raise RuntimeError(
            "bilinear(): input batch dimensions do not match: "
            f"got {list(a.shape)} and {list(b.shape)}"
        )
    if w.ndim != 3 or a.shape[-1] != w.shape[1] or b.shape[-1] != w.shape[2]:
        raise RuntimeError(
            f"bilinear(): input sizes {a.shape[-1]} and {b.shape[-1]} do not match weight of size "
            f"{list(w.shape)}"
        )
    if not a.dtype == b.dtype == w.dtype:
        raise RuntimeError(
            "bilinear(): expected one dtype, but got "
            f"{dtype_title(a.dtype)}, {dtype_title(b.dtype)} and {dtype_title(w.dtype)}"
        )
    result = einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else add(result, bias)
