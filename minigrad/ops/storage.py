"""Storages: the memory behind a tensor and its views, as a sequence of bytes or of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import pinned
from ..backend.devices import array_module, device, device_of
from ..backend.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..export import export


def _root(x: Any) -> Any:
    """The array that owns x's memory."""
    while isinstance(x.base, type(x)):
        x = x.base
    return x


def whole(x: Any) -> Any:
    """The whole memory behind x, as a vector of x's dtype."""
    root = _root(x)
    order = "F" if root.flags.f_contiguous and not root.flags.c_contiguous else "C"
    if root.dtype == x.dtype and (root.flags.c_contiguous or root.flags.f_contiguous):
        return root.reshape(-1, order=order)
    if root.flags.c_contiguous:
        raw = root.reshape(-1).view(np.uint8)
        return raw[: raw.size // x.itemsize * x.itemsize].view(x.dtype)
    return x.reshape(-1)  # memory of others with gaps in it


class _Storage:
    """What both kinds of storages have in common; `_flat` is the memory."""

    def __init__(self, flat: Any):
        self._flat = flat

    def __len__(self) -> int:
        return self._flat.size

    def __getitem__(self, index: Any) -> Any:
        found = self._flat[index]
        return type(self)(found) if isinstance(index, slice) else found.item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._flat[index] = value._flat if isinstance(value, _Storage) else value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._flat.tolist())

    @property
    def device(self) -> device:
        """Where the memory is."""
        return device_of(self._flat)

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is a GPU's."""
        return self.device.type == "cuda"

    def size(self) -> int:
        """The number of elements (bytes, if untyped)."""
        return self._flat.size

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._flat.nbytes

    def element_size(self) -> int:
        """Bytes of an element."""
        return self._flat.itemsize

    def data_ptr(self) -> int:
        """The address of the first byte; two tensors share memory if their storages' are equal."""
        if type(self._flat) is np.ndarray:
            return self._flat.__array_interface__["data"][0]
        return self._flat.data.ptr

    def tolist(self) -> list[Any]:
        """All elements."""
        return self._flat.tolist()

    def is_shared(self) -> bool:
        """Always False: see `Tensor.share_memory_`."""
        return False

    def is_pinned(self) -> bool:
        """Whether it is in main memory that a GPU reads by itself."""
        return type(self._flat) is np.ndarray and pinned.is_pinned(self._flat)

    def fill_(self, value: Any) -> Any:
        """Every element becomes `value`."""
        self._flat[...] = value
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """The elements of another storage."""
        self._flat[...] = source._flat
        return self

    def clone(self) -> Any:
        """A copy."""
        return type(self)(self._flat.copy())

    def cpu(self) -> Any:
        """In main memory."""
        on_host = type(self._flat) is np.ndarray
        return self if on_host else type(self)(self._flat.get())


@export("UntypedStorage", "storage.UntypedStorage")
class UntypedStorage(_Storage):
    """The memory behind a tensor, as bytes: `UntypedStorage(12)`, `x.untyped_storage()`."""

    def __init__(self, source: Any = 0):
        super().__init__(np.zeros(source, np.uint8) if isinstance(source, int) else source)

    def __repr__(self) -> str:
        return f"[minigrad.storage.UntypedStorage(device={self.device}) of size {len(self)}]"


@export("TypedStorage", "storage.TypedStorage")
class TypedStorage(_Storage):
    """The memory behind a tensor, as numbers of its dtype: `x.storage()`."""

    @property
    def dtype(self) -> DType:
        """The data type of the elements."""
        return from_numpy_dtype(self._flat.dtype)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(self._flat.view(np.uint8))

    def __repr__(self) -> str:
        return (
            f"[minigrad.storage.TypedStorage(dtype={self.dtype}, device={self.device}) "
            f"of size {len(self)}]"
        )


@export("is_storage")
def is_storage(obj: Any, /) -> bool:
    """Whether `obj` is a storage."""
    return isinstance(obj, _Storage)


# ------------------------------------------------------------ methods
def untyped_storage(input: Tensor) -> UntypedStorage:
    """The memory behind the tensor and its views, as bytes."""
    flat = whole(input._data)
    return UntypedStorage(flat.view(np.uint8) if flat.size else array_module(flat).zeros(0, "u1"))


def storage(input: Tensor) -> TypedStorage:
    """The memory behind the tensor and its views, as numbers of its dtype."""
    return TypedStorage(whole(input._data))


def storage_type(input: Tensor) -> type:
    """The class of `storage`."""
    return TypedStorage


def share_memory_(input: Tensor) -> Tensor:
    """The tensor itself. Processes get copies of tensors that are sent to them; memory that several
    write to is not supported.
    """
    return input


def is_set_to(input: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same part of the same memory."""
    same = input._data.shape == tensor._data.shape and input._data.strides == tensor._data.strides
    return same and input.data_ptr() == tensor.data_ptr()


def const_data_ptr(input: Tensor) -> int:
    """The address of the first element, for reading."""
    return input.data_ptr()
