"""Look-ups in a table of vectors: embedding, bags of embeddings, one-hot codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .elementwise import where
from .reduction import amax, sum


@primitive
def lookup(weight: Any, *, index: Any, padding_idx: int | None, by_frequency: bool) -> Any:
    """y = W[index];  W̄ = Σ of ȳ over the places where a row was used, none for padding_idx."""
    return weight[index]


@primitive
def scatter_rows(g: Any, *, index: Any, rows: int, padding_idx: int | None, by_frequency: bool) -> Any:
    """Sum rows of g into a table by index: the adjoint of `lookup`.

    Rows are sorted by index and summed in segments: np.add.at is many times slower.
    """
    flat = index.reshape(-1)
    values = g.reshape(flat.size, -1)
    if padding_idx is not None:
        used = flat != padding_idx
        flat, values = flat[used], values[used]
    table = np.zeros((rows, values.shape[1]), g.dtype)
    if flat.size:
        order = np.argsort(flat, kind="stable")
        sorted_index = flat[order]
        starts = np.flatnonzero(np.r_[True, sorted_index[1:] != sorted_index[:-1]])
        sums = np.add.reduceat(values[order], starts, axis=0)
        if by_frequency:
            sums = sums / np.diff(np.r_[starts, flat.size])[:, None].astype(g.dtype)
        table[sorted_index[starts]] = sums
    return table.reshape((rows, *g.shape[index.ndim :]))


lookup.vjp(
    weight=lambda g, index, padding_idx, by_frequency, weight_shape: scatter_rows(
        g, index=index, rows=weight_shape[0], padding_idx=padding_idx, by_frequency=by_frequency
    )
)
lookup.primitive.node_class.__name__ = "EmbeddingBackward0"


def _scatter_vjp(g: Any, index: Any, padding_idx: Any, by_frequency: bool) -> Any:
    if by_frequency:
        counts = np.bincount(index.reshape(-1))[index].reshape(*index.shape, 1)
        g_rows = lookup(g, index=index, padding_idx=None, by_frequency=False)
        return _mask_padding(g_rows * _constant(1.0 / counts, g), index, padding_idx)
    return _mask_padding(
        lookup(g, index=index, padding_idx=padding_idx, by_frequency=by_frequency), index, padding_idx
    )


def _constant(x: Any, like: Any) -> Any:
    array = np.asarray(x).astype((like._data if isinstance(like, Tensor) else like).dtype)
    return wrap(array) if isinstance(like, Tensor) else array


def _mask_padding(rows: Any, index: Any, padding_idx: int | None) -> Any:
    if padding_idx is None:
        return rows
    return rows * _constant((index != padding_idx)[..., None], rows)


scatter_rows.vjp(g=_scatter_vjp)


@export("nn.functional.embedding", "embedding")
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` (V, D) at the integer `input` (*): (*, D).

    padding_idx gets no gradient; max_norm rescales the rows in use, in place, to at most that norm. IndexError for
    an index outside [0, V), RuntimeError for a non-integer input.
    """
    index = _integer_index("embedding", input)
    table = weight._data
    if table.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    rows = table.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if index.size and (index.min() < 0 or index.max() >= rows):
        raise IndexError("index out of range in self")
    if max_norm is not None:
        _renormalise(weight, index, max_norm, norm_type)
    return lookup(weight, index=index, padding_idx=padding_idx, by_frequency=scale_grad_by_freq)


def _integer_index(name: str, input: Any) -> Any:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'indices' must be Tensor, not {type(input).__name__}")
    if input._data.dtype not in (np.int64, np.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{input.dtype} instead (while checking arguments for {name})"
        )
    return input._data


def _renormalise(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    used = np.unique(index)
    rows = weight._data[used]
    norms = np.linalg.norm(rows, ord=norm_type, axis=1, keepdims=True)
    weight._data[used] = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    weight._bump()


@export("nn.functional.one_hot")
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class indices (*) to int64 codes (*, num_classes) with a single 1; -1: the largest index plus one."""
    index = tensor._data
    if index.dtype != np.int64:
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
    codes = np.zeros((*index.shape, num_classes), np.int64)
    np.put_along_axis(codes, index[..., None], 1, axis=-1)
    return wrap(codes)


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
    """Sum, mean or max of the embeddings of each bag: input (B, N), or (N) with `offsets` (B): (B, D).

    per_sample_weights (mode "sum" only) multiply the rows; padding_idx does not count. ValueError or RuntimeError
    for arguments that do not fit.
    """
    index = _integer_index("embedding_bag", input)
    bags = _bags(index, offsets, include_last_offset)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )
    if per_sample_weights is not None and per_sample_weights._data.shape != index.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(per_sample_weights._data.shape)}) is not None, then it must "
            f"have the same shape as the input ({list(index.shape)})"
        )
    rows = weight._data.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError("padding_idx must be within the number of embeddings")
        padding_idx %= rows
    flat = wrap(index.reshape(-1))
    vectors = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.reshape(-1, 1)
    used = np.ones(flat._data.shape, bool) if padding_idx is None else flat._data != padding_idx
    return _reduce_bags(vectors, bags, used, mode)


def _bags(index: Any, offsets: Any, include_last: bool) -> list[Any]:
    """The positions (in the flat input) of each bag."""
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                "sequences. However, found offsets of type " + type(offsets).__name__
            )
        return [np.arange(i * index.shape[1], (i + 1) * index.shape[1]) for i in range(index.shape[0])]
    if index.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {index.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    starts = offsets._data
    if starts.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if starts.size and starts[0] != 0:
        raise RuntimeError(f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
                           f"position 0. However, got {starts[0]}")  # fmt: skip
    if starts.size and starts[-1] > index.size:
        raise RuntimeError(f"offsets[-1] can not be greater than input's length({index.size}), got {starts[-1]}")
    ends = starts[1:] if include_last else np.r_[starts[1:], index.size]
    return [np.arange(a, b) for a, b in zip(starts[: len(ends)], ends, strict=True)]


def _reduce_bags(vectors: Any, bags: list[Any], used: Any, mode: str) -> Any:
    """Pad the bags to one length: (B, N, D), then reduce over N."""
    longest = max((len(b) for b in bags), default=0)
    width = vectors._data.shape[1]
    if longest == 0:
        return vectors.new_zeros(len(bags), width)
    place = np.zeros((len(bags), longest), np.int64)
    mask = np.zeros((len(bags), longest), bool)
    for i, bag in enumerate(bags):
        place[i, : len(bag)] = bag
        mask[i, : len(bag)] = used[bag]
    spread = lookup(vectors, index=place, padding_idx=None, by_frequency=False)
    keep = wrap(mask[..., None])
    if mode == "max":
        top = amax(where(keep, spread, -np.inf), 1)
        return where(wrap(mask.any(1)[:, None]), top, 0.0)
    total = sum(where(keep, spread, 0.0), 1)
    if mode == "sum":
        return total
    return total / wrap(np.maximum(mask.sum(1), 1).astype(vectors._data.dtype)[:, None])


