"""Look-ups in a table of vectors: embedding, bags of embeddings, one-hot codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64, I64
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.tensor import Tensor, sharing, wrap
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import bags
from ..kernels.cpu import indexing as kernels
from .elementwise import where
from .piecewise import data_of, dtype_title
from .reduction import amax, sum
from .shape import reshape, view_


# ------------------------------------------------------------------------------ rows of a table
@primitive(half="keep")
def lookup(weight: Any, index: Any, *, padding_idx: int | None, by_frequency: bool) -> Any:
    """y = W[index];  W̄ = sums of ȳ over the places that used a row, none for padding_idx."""
    if weight.size >= kernels.SMALL and type(weight) is np.ndarray:
        y = kernels.take(weight, index, 0)
        if y is not None:
            return y
    return weight[index]


@primitive
def scatter_rows(g: Any, index: Any, scale: Any, *, rows: int) -> Any:
    """Add the rows of g, each times its scale (if given), into a table: the adjoint of `lookup`.

    Sorted by index and summed in segments: np.add.at is many times slower.
    """
    flat = index.reshape(-1)
    width = g.shape[index.ndim :]
    values = g.reshape(flat.size, int(np.prod(width)))
    if scale is not None:
        values = values * scale.reshape(-1, 1).astype(g.dtype)
    xp = array_module(g)
    table = xp.zeros((rows, values.shape[1]), g.dtype)
    if xp is not np:
        found = cuda.launch.embedding_backward(values, flat, table)
        return found if len(width) == 1 else found.reshape((rows, *width))
    if flat.size:
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        table[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return table.reshape((rows, *width))


@primitive
def row_scale(index: Any, *, padding_idx: int | None, by_frequency: bool) -> Any:
    """What each looked-up row's gradient is multiplied by; it has no derivative itself."""
    scale = array_module(index).ones(index.shape, F64)
    if by_frequency and index.size:
        scale /= np.bincount(index.reshape(-1))[index]
    if padding_idx is not None:
        scale[index == padding_idx] = 0
    return scale


def _lookup_vjp(
    g: Any, index: Any, padding_idx: int | None, by_frequency: bool, weight_shape: Any
) -> Any:
    plain = padding_idx is None and not by_frequency
    scale = None if plain else row_scale(index, padding_idx=padding_idx, by_frequency=by_frequency)
    return scatter_rows(g, index, scale, rows=weight_shape[0])


def _lookup_fast(
    g: Any, index: Any, padding_idx: int | None, by_frequency: bool, weight_shape: Any
) -> Any:
    if not by_frequency and type(g) is np.ndarray:
        skip = -1 if padding_idx is None else padding_idx
        table = kernels.add_back(g, index, 0, weight_shape, skip=skip)
        if table is not None:
            return table
    return _lookup_vjp(g, index, padding_idx, by_frequency, weight_shape)


def _scatter_vjp(g: Any, index: Any, scale: Any) -> Any:
    rows = lookup(g, index, padding_idx=None, by_frequency=False)
    return rows if scale is None else rows * view_(scale, size=(*index.shape, 1))


lookup.vjp(weight=_lookup_vjp)
lookup.fast(weight=_lookup_fast)
scatter_rows.vjp(g=_scatter_vjp)
lookup.primitive.node_class.__name__ = "EmbeddingBackward0"
scatter_rows.primitive.node_class.__name__ = "EmbeddingDenseBackwardBackward0"


@export("nn.functional.embedding")
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` (V, D) at the integers of `input` (*): (*, D).

        y_i = W[t_i],  W̄_v = Σ_{i: t_i = v} ȳ_i

    padding_idx gets no gradient; max_norm rescales the rows in use, in place, to at most that norm;
    scale_grad_by_freq divides by the number of uses; gradients are dense in any case. IndexError
    for an index outside [0, V), RuntimeError for a non-integer one, AssertionError for padding_idx.
    """
    index = _integer_index("embedding", input)
    if weight._data.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    padding_idx = _padding(padding_idx, weight._data.shape[0])
    _check_range(index, weight._data.shape[0])
    if max_norm is not None:
        _renormalise(weight, index, max_norm, norm_type)
    return lookup(weight, input, padding_idx=padding_idx, by_frequency=scale_grad_by_freq)


@export("embedding")
def embedding_of(
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """`nn.functional.embedding` with the table first; padding_idx -1 is none."""
    padding = None if padding_idx == -1 else padding_idx
    return embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq)


def _integer_index(name: str, input: Any) -> Any:
    if not isinstance(input, Tensor):
        kind = type(input).__name__
        raise TypeError(f"{name}(): argument 'indices' must be Tensor, not {kind}")
    if input._data.dtype not in (I64, np.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {dtype_title(input._data.dtype)} instead (while checking "
            f"arguments for {name})"
        )
    return input._data


def _padding(
    padding_idx: int | None, rows: int, error: type[Exception] = AssertionError
) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise error(f"padding_idx must be within [-{rows}, {rows}), but got {padding_idx}")
    return padding_idx % rows


def _check_range(index: Any, rows: int, error: type[Exception] = IndexError) -> None:
    """`error` for what is no row; on a GPU nothing is looked at, which would mean to wait."""
    if type(index) is not np.ndarray or not index.size:
        return
    if index.size == 1:
        fits = 0 <= index.item() < rows
    else:  # read as unsigned, what is negative is too large
        fits = index.view(f"u{index.itemsize}").max() < rows
    if not fits:
        raise error("index out of range in self")


def _renormalise(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    if MODE.get().grad and weight.requires_grad and not weight.is_leaf:
        raise RuntimeError(
            "Cannot functionally differentiate through a table that max_norm changes in place"
        )
    used = np.unique(index)
    rows = weight._data[used].astype(F64)
    norms = np.linalg.norm(rows, ord=norm_type, axis=1, keepdims=True)
    weight._data[used] = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    weight._bump()


# ------------------------------------------------------------------------------ bags
@export("nn.functional.embedding_bag")
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sum, mean or max of each bag's embeddings: input (B, N), or (N) with offsets (B), to (B, D).

        sum: y_b = Σ_{i in bag b} s_i W[t_i]

    per_sample_weights s only with "sum"; padding_idx does not count; an empty bag gives zeros.
    ValueError, RuntimeError or NotImplementedError for arguments that do not fit.
    """
    index = _integer_index("embedding_bag", input)
    if weight._data.ndim != 2:
        raise RuntimeError("weight has to be a 2D Tensor")
    _check_bag(index, mode, per_sample_weights, weight)
    padding_idx = _padding(padding_idx, weight._data.shape[0], RuntimeError)
    starts, ends = _bounds(index, offsets, include_last_offset)
    flat = reshape(input, (index.size,))
    in_order = mode != "max" and starts.size > 0 and bool((ends[:-1] == starts[1:]).all())
    if in_order and per_sample_weights is None and not scale_grad_by_freq:
        _check_range(index, weight._data.shape[0], RuntimeError)
        if max_norm is not None:
            _renormalise(weight, index, max_norm, norm_type)
        return _summed_bags(flat, weight, starts, ends, padding_idx, mode == "mean")
    vectors = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        vectors = vectors * reshape(per_sample_weights, (index.size, 1))
    return _reduce_bags(vectors, starts, ends, flat._data, padding_idx, mode)


@primitive
def sum_bags(weight: Any, index: Any, starts: Any, scale: Any, *, padding_idx: int | None) -> Any:
    """y_b = Σ s_i W[t_i] over i from starts_b to starts_(b+1), without the t_i that are padding.

    W̄_v = Σ_{i: t_i = v} s_i ȳ_b(i)
    """
    skip = -1 if padding_idx is None else padding_idx
    if type(weight) is np.ndarray:
        y = bags.bags(weight, index, starts, scale, skip)
        if y is not None:
            return y
    y = np.zeros((starts.size - 1, weight.shape[1]), weight.dtype)
    np.add.at(y, _bag_numbers(starts), weight[index] * np.where(index == skip, 0, scale)[:, None])
    return y


def _bag_numbers(starts: Any) -> Any:
    """The bag of each place."""
    return np.repeat(np.arange(starts.size - 1), np.diff(starts))


def _sum_bags_vjp(
    g: Any, index: Any, starts: Any, scale: Any, padding_idx: int | None, weight_shape: Any
) -> Any:
    index, starts, scale = [data_of(t) for t in (index, starts, scale)]
    rows = lookup(g, _bag_numbers(starts), padding_idx=None, by_frequency=False)
    scale = scale if padding_idx is None else np.where(index == padding_idx, 0, scale)
    return scatter_rows(rows, index, scale, rows=weight_shape[0])


def _sum_bags_fast(
    g: Any, index: Any, starts: Any, scale: Any, padding_idx: int | None, weight_shape: Any
) -> Any:
    skip = -1 if padding_idx is None else padding_idx
    table = bags.bags_back(g, index, starts, scale, skip, weight_shape[0])
    if table is None:
        table = _sum_bags_vjp(g, index, starts, scale, padding_idx, weight_shape)
    return table


sum_bags.vjp(weight=_sum_bags_vjp)
sum_bags.fast(weight=_sum_bags_fast)
sum_bags.primitive.node_class.__name__ = "EmbeddingBagBackward0"


def _summed_bags(
    index: Any, weight: Any, starts: Any, ends: Any, padding_idx: int | None, mean: bool
) -> Any:
    """Bags that follow each other without gaps, summed (or averaged) by one primitive."""
    edges = np.append(starts, ends[-1:]).astype(np.int64)
    flat, dtype = index._data[: edges[-1]], weight._data.dtype
    scale = np.ones(flat.size, F32 if dtype != F64 else F64)
    if mean:
        used = np.ones(flat.size, np.int64) if padding_idx is None else flat != padding_idx
        counts = np.diff(np.append(0, np.cumsum(used))[edges])
        scale /= np.maximum(counts, 1).astype(scale.dtype)[_bag_numbers(edges)]
    return sum_bags(weight, sharing(index, flat), edges, scale, padding_idx=padding_idx)


def _check_bag(index: Any, mode: str, per_sample_weights: Any, weight: Any) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is None:
        return
    got = per_sample_weights._data
    if got.shape != index.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(got.shape)}) is not None, then it must "
            f"have the same shape as the input ({list(index.shape)})"
        )
    if mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}')."
        )
    if got.dtype != weight._data.dtype:
        raise RuntimeError(
            "expected scalar type to be the same for weight and per_sample_weights, but got "
            f"{dtype_title(weight._data.dtype)} and {dtype_title(got.dtype)}"
        )


def _bounds(index: Any, offsets: Any, include_last: bool) -> tuple[Any, Any]:
    """Where each bag starts and ends in the flat input."""
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        starts = np.arange(index.shape[0]) * index.shape[1]
        return starts, starts + index.shape[1]
    if index.ndim != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {index.ndim}"
        )
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    starts = offsets._data
    if starts.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if starts.dtype not in (I64, np.int32):
        raise RuntimeError(f"expected offsets of type Long or Int, got {dtype_title(starts.dtype)}")
    if include_last and not starts.size:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if starts.size and starts[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {starts[0]}"
        )
    if starts.size and starts[-1] > index.size:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({index.size}), got {starts[-1]}"
        )
    if include_last:
        return starts[:-1], starts[1:]
    return starts, np.r_[starts[1:], index.size]


def _reduce_bags(
    vectors: Any, starts: Any, ends: Any, index: Any, padding_idx: int | None, mode: str
) -> Any:
    """Spread the bags to one length, (B, N, D), and reduce over N."""
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    inside = np.arange(longest) < lengths[:, None]
    place = np.where(inside, starts[:, None] + np.arange(longest), 0)
    if padding_idx is not None:
        inside &= index[place] != padding_idx
    if longest == 0:
        return vectors.new_zeros(len(starts), vectors._data.shape[1])
    spread = lookup(vectors, wrap(place), padding_idx=None, by_frequency=False)
    keep = wrap(inside[..., None])
    if mode == "max":
        top = amax(where(keep, spread, -np.inf), 1)
        return where(wrap(inside.any(1)[:, None]), top, 0.0)
    total = sum(where(keep, spread, 0.0), 1)
    if mode == "sum":
        return total
    return total / wrap(np.maximum(inside.sum(1), 1).astype(vectors._data.dtype)[:, None])


# ------------------------------------------------------------------------------ codes
@export("nn.functional.one_hot")
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class numbers (*) as int64 codes (*, num_classes) with a single 1; -1: the largest plus one.

    RuntimeError for a dtype other than int64 and classes outside [0, num_classes).
    """
    index = tensor._data
    if index.dtype != I64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if index.size == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif index.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(index.max()) + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif index.size and index.max() >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    xp = array_module(index)
    codes = xp.zeros((*index.shape, num_classes), I64)
    xp.put_along_axis(codes, index[..., None], 1, axis=-1)
    return wrap(codes)
