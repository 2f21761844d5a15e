"""From a list of samples to a batch: tensors, arrays and numbers are stacked, containers kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ...backend.dtypes import float64, from_numpy_dtype, promote_types, scalar_dtype
from ...core.tensor import Tensor, wrap
from ...export import export
from ...ops.join import stack


@export("utils.data.default_collate")
def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of samples of one kind, decided by the first.

    Tensors and ndarrays are stacked along a new first dimension; floats become a float64 tensor,
    ints an int64 one (bools bool); strings and bytes stay a list. Dicts, lists and namedtuples keep
    their type and are collated item by item; a tuple becomes a list.
    TypeError for anything else; RuntimeError for sizes that differ.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack_tensors(batch)
    if isinstance(first, np.ndarray):
        return _stack_arrays(batch)
    if isinstance(first, (np.bool_, np.number)):
        return _stack_numbers(batch, _number_dtype(batch))
    if isinstance(first, float):
        return _stack_numbers(batch, float64)
    if isinstance(first, int):
        return _stack_numbers(batch, _number_dtype(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        columns = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like_mapping(first, columns)
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise _unknown(type(first))


@export("utils.data.default_convert")
def default_convert(data: Any) -> Any:
    """ndarrays and NumPy numbers as tensors (sharing memory), in containers too; the rest as it is.

    What a DataLoader does to a single sample when it makes no batches.
    """
    if isinstance(data, np.ndarray):
        return data if data.dtype.kind in "SUO" else _tensor(data)
    if isinstance(data, (np.bool_, np.number)):
        return _tensor(np.asarray(data))
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def _unknown(what: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {what}"
    )


def _tensor(array: np.ndarray) -> Tensor:
    native = from_numpy_dtype(array.dtype).np
    # np.asarray: a tensor holds no memmap or matrix, which compute differently
    return wrap(np.asarray(array, dtype=native))


def _stack_tensors(batch: Sequence[Any]) -> Tensor:
    """One NumPy call for what is plain; gradients, GPUs, promotion and errors are `stack`'s."""
    first = batch[0]._data
    for t in batch:
        x = t._data if isinstance(t, Tensor) else None
        alike = type(x) is np.ndarray and x.dtype == first.dtype and x.shape == first.shape
        if not alike or t.requires_grad:
            return stack(batch)
    arrays = [t._data for t in batch]
    if first.ndim == 0:
        return wrap(np.array(arrays, first.dtype))
    # a third of np.stack's time for 64 arrays of 28x28
    return wrap(np.concatenate(arrays).reshape(len(batch), *first.shape))


def _stack_arrays(batch: Sequence[Any]) -> Tensor:
    first = batch[0]
    if first.dtype.kind in "SUO":
        raise _unknown(first.dtype)
    return _stack_tensors([_tensor(x) if isinstance(x, np.ndarray) else x for x in batch])


def _number_dtype(batch: Iterable[Any]) -> Any:
    """The dtype that `minigrad.tensor` would give a list of Python and NumPy numbers."""
    one_of_each_type = {type(x): x for x in batch}.values()
    return reduce(promote_types, [_dtype_of(x) for x in one_of_each_type])


def _dtype_of(x: Any) -> Any:
    return from_numpy_dtype(x.dtype) if isinstance(x, np.generic) else scalar_dtype(x)


def _stack_numbers(batch: Sequence[Any], dtype: Any) -> Tensor:
    try:
        return wrap(np.array(batch, dtype.np))
    except OverflowError as error:
        raise ValueError(f"default_collate: an int beyond 64 bits: {error}") from None


def _collate_sequences(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    return _like_sequence(first, columns)


def _like_mapping(pattern: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """A mapping of the pattern's type; a copy keeps what else it has, such as a default factory."""
    try:
        if isinstance(pattern, MutableMapping):
            twin = copy.copy(pattern)
            twin.update(items)
            return twin
        make: Any = type(pattern)
        return make(items)
    except TypeError:  # a type that cannot be made from items
        return items


def _like_sequence(pattern: Sequence[Any], items: list[Any]) -> Any:
    """A sequence of the pattern's type, but a list for a tuple, as PyTorch has it."""
    make: Any = type(pattern)
    if isinstance(pattern, tuple):
        return make(*items) if getattr(pattern, "_fields", None) is not None else items
    try:
        if isinstance(pattern, MutableSequence):
            twin = copy.copy(pattern)
            for i, item in enumerate(items):
                twin[i] = item
            return twin
        return make(items)
    except TypeError:  # such as range
        return items
