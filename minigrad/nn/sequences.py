"""Sequences of different lengths in one tensor: padded to the longest, or packed step by step.

A packed sequence keeps what belongs to time 0 of all sequences, then to time 1, and so on; the
longest sequences come first, so that a recurrent layer works on fewer and fewer rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..backend.devices import array_module
from ..core.tensor import Tensor, wrap
from ..export import export
from ..ops.filled import full
from ..ops.join import stack
from ..ops.pad import pad
from ..ops.rows import index_copy, index_select
from ..ops.shape import reshape, transpose
from ..ops.slices import narrow


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Any
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


@export("nn.utils.rnn.PackedSequence")
class PackedSequence(_Fields):
    """Sequences one time step after the other: data (total, *), with batch_sizes (T,) rows each.

    sorted_indices says which sequence of the batch came to which place, unsorted_indices undoes
    that. Made by pack_padded_sequence and pack_sequence; recurrent layers take and give it.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> Any:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, list | tuple) or len(data) != 2:
                raise AssertionError("Expected data to be a tuple of (data, batch_sizes)")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be "
                "created manually. They should be instantiated by functions like "
                "pack_sequence and pack_padded_sequence in nn.utils.rnn."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _moved(self, data: Any, change: Callable[[Any], Any]) -> PackedSequence:
        """The same sequences around new data; batch_sizes stay on the CPU."""
        indices = [None if t is None else change(t) for t in self[2:]]
        return type(self)(data, self.batch_sizes, *indices)

    def pin_memory(self) -> PackedSequence:
        """A copy in page-locked memory."""
        return self._moved(self.data.pin_memory(), lambda t: t.pin_memory())  # type: ignore[attr-defined]

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data in another dtype or on another device; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)  # type: ignore[attr-defined]
        return self if data is self.data else self._moved(data, lambda t: t.to(data.device))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a GPU."""
        return self._moved(self.data.cuda(*args, **kwargs), lambda t: t.cuda(*args, **kwargs))  # type: ignore[attr-defined]

    def cpu(self) -> PackedSequence:
        """In the memory of the CPU."""
        return self.to("cpu")

    def _cast(self, name: str) -> PackedSequence:
        data = getattr(self.data, name)()
        return self if data is self.data else self._moved(data, lambda t: t)

    def double(self) -> PackedSequence:
        """The data in float64."""
        return self._cast("double")

    def float(self) -> PackedSequence:
        """The data in float32."""
        return self._cast("float")

    def half(self) -> PackedSequence:
        """The data in float16."""
        return self._cast("half")

    def long(self) -> PackedSequence:
        """The data in int64."""
        return self._cast("long")

    def int(self) -> PackedSequence:
        """The data in int32."""
        return self._cast("int")

    def short(self) -> PackedSequence:
        """The data in int16."""
        return self._cast("short")

    def char(self) -> PackedSequence:
        """The data in int8."""
        return self._cast("char")

    def byte(self) -> PackedSequence:
        """The data in uint8."""
        return self._cast("byte")

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda  # type: ignore[attr-defined]

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()  # type: ignore[attr-defined]


@export("nn.utils.rnn.invert_permutation")
def invert_permutation(permutation: Any) -> Any:
    """The permutation q with q[p[i]] = i; None of None."""
    if permutation is None:
        return None
    p = permutation._data
    q = np.empty_like(p)
    q[p] = array_module(p).arange(p.size, dtype=p.dtype)
    return wrap(q)


def _index(places: Any, like: Any) -> Tensor:
    """An index where the tensor is; lengths and batch_sizes stay on the CPU."""
    return wrap(array_module(like._data).asarray(places))


# ------------------------------------------------------------------------------ packing
def _check_lengths(lengths: Any, batch: int, input: Any) -> None:
    if input._data.size == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if lengths.ndim != 1 or lengths.dtype != np.int64:
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, but got "
            f"{lengths.ndim}D cpu {lengths.dtype} tensor"
        )
    if len(lengths) != batch:
        raise RuntimeError(
            "Expected `len(lengths)` to be equal to batch_size, but got "
            f"{len(lengths)} (batch_size={batch})"
        )
    if lengths[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if np.any(lengths[1:] > lengths[:-1]):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You"
            " can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to"
            " sidestep this requirement."
        )


@export("nn.utils.rnn.pack_padded_sequence")
def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave out the padding of input (T, N, *), or (N, T, *) if batch_first.

    lengths: a list or an integer tensor (N,). With enforce_sorted they must not increase; otherwise
    the sequences are sorted by length, and sorted_indices remembers how. The gradient of what is
    left out is zero. RuntimeError for lengths that are not positive or do not fit.
    """
    if isinstance(lengths, Tensor):
        lengths = np.asarray(lengths.detach().cpu()._data).astype(np.int64)  # type: ignore[attr-defined]
    else:
        lengths = np.asarray(lengths, np.int64)
    sorted_indices = None
    batch_dim = 0 if batch_first else 1
    if not enforce_sorted:
        order = np.argsort(-lengths, kind="stable")
        lengths, sorted_indices = lengths[order], _index(order, input)
        input = index_select(input, batch_dim, sorted_indices)
    size = input._data.shape
    _check_lengths(lengths, size[batch_dim], input)
    steps, batch = (size[1], size[0]) if batch_first else size[:2]
    if lengths[0] > steps:
        raise RuntimeError(
            f"Expected lengths of at most {steps}, the size of the input, but got {lengths[0]}"
        )
    t, n = _places(lengths)
    places = n * steps + t if batch_first else t * batch + n
    data = index_select(reshape(input, (steps * batch, *size[2:])), 0, _index(places, input))
    batch_sizes = (lengths > np.arange(lengths[0])[:, None]).sum(axis=1)
    return PackedSequence(data, wrap(batch_sizes), sorted_indices, None)


def _places(lengths: Any) -> tuple[Any, Any]:
    """(time, sequence) of each row of packed data."""
    return np.nonzero(lengths > np.arange(lengths[0])[:, None])


@export("nn.utils.rnn.pad_packed_sequence")
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """Undo pack_padded_sequence: (padded (T, N, *) or (N, T, *) if batch_first, lengths (N,)).

    T is the longest length, or total_length; ValueError if that is shorter.
    """
    data, sizes = sequence.data, sequence.batch_sizes._data
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input,"
                f" but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch, feature = int(sizes[0]), data._data.shape[1:]
    lengths = (sizes > np.arange(batch)[:, None]).sum(axis=1)
    t, n = _places(lengths)
    blank = full((steps * batch, *feature), padding_value, dtype=data.dtype, device=data.device)
    padded = reshape(
        index_copy(blank, 0, _index(t * batch + n, data), data), (steps, batch, *feature)
    )
    if batch_first:
        padded = transpose(padded, 0, 1)
    order = sequence.unsorted_indices
    if order is None:
        return padded, wrap(lengths)
    return index_select(padded, 0 if batch_first else 1, order), wrap(lengths[order.cpu()._data])


# ------------------------------------------------------------------------------ lists
@export("nn.utils.rnn.pad_sequence")
def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Tensors (Lᵢ, *) as one (T, N, *), or (N, T, *) if batch_first, T the longest of the lengths.

    padding_side: where the padding goes, "right" or "left". RuntimeError for anything else, an
    empty list, and sizes that differ behind the first.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    items: list[Any] = list(sequences)
    if not items:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be either 'right' or 'left', got {padding_side}")
    longest = max([s._data.shape[0] for s in items])
    padded = []
    for s in items:
        missing = longest - s._data.shape[0]
        ends = (missing, 0) if padding_side == "left" else (0, missing)
        if missing:
            s = pad(s, [0, 0] * (s._data.ndim - 1) + list(ends), value=padding_value)
        padded.append(s)
    return stack(padded, 0 if batch_first else 1)


@export("nn.utils.rnn.unpad_sequence")
def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences (Lᵢ, *) in (T, N, *), or (N, T, *) if batch_first; views of it."""
    batch_dim = 0 if batch_first else 1
    batch = padded_sequences._data.shape[batch_dim]
    if batch != len(lengths):
        raise ValueError(f"{batch} sequences, but {len(lengths)} lengths")
    longest = padded_sequences._data.shape[1 - batch_dim]
    return [
        narrow(padded_sequences.select(batch_dim, i), 0, 0, max(0, min(int(n), longest)))
        for i, n in enumerate(lengths)
    ]


@export("nn.utils.rnn.pack_sequence")
def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of tensors (Lᵢ, *); as pack_padded_sequence."""
    lengths = [s._data.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


@export("nn.utils.rnn.unpack_sequence")
def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences (Lᵢ, *) in a packed sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
