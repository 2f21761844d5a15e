"""What PyTorch's checkpoints may name: storages, tensors, dtypes, and NumPy's numbers and arrays.

The list is that of torch.load(weights_only=True) where minigrad has the thing, and NumPy's arrays
and scalars, of numbers and texts, besides: here they are rebuilt without NumPy's own unpickling.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.devices import array_module, device
from ..backend.dtypes import ALL, dtype_by_name, numpy_dtype
from ..core.size import Size
from ._files import Source
from ._unpickle import Pending, Token, fill, refused

_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
}  # fmt: skip
_DTYPES = {dtype.name for dtype in ALL}
_NUMPY_ONLY = {"uint16", "uint32", "uint64"}
_MODULES = {"__builtin__": "builtins", "numpy.core": "numpy._core"}
_NUMBERS_AND_TEXTS = "biufcSU"


class Builder:
    """What the arrays of a file become: here, themselves; in `_loading.py`, Tensors."""

    tensor_type: type = np.ndarray

    def place(self, storage: np.ndarray, location: str) -> Any:
        """A storage's bytes (one-dimensional uint8), moved to where they belong."""
        return storage

    def tensor(self, array: Any, requires_grad: bool) -> Any:
        """The tensor of an array that is a view of a placed storage."""
        return array

    def parameter(self, tensor: Any, requires_grad: bool) -> Any:
        """The same as a Parameter."""
        return tensor

    def attributes(self, tensor: Any, state: dict[str, Any]) -> None:
        """Python attributes that had been set on the tensor."""


class Storage:
    """A stretch of memory: its bytes, placed, and its dtype (None: only its tensors have one)."""

    __slots__ = ("data", "dtype", "swapped")

    def __init__(self, data: Any, dtype: np.dtype | None, swapped: bool):
        self.data = data
        self.dtype = dtype
        self.swapped = swapped  # bytes in this machine's order

    def typed(self, dtype: np.dtype) -> Any:
        if not self.swapped:
            self.data[...] = swap_bytes(self.data, dtype)
            self.swapped = True
        count = self.data.size // dtype.itemsize
        return self.data[: count * dtype.itemsize].view(dtype)


def swap_bytes(data: Any, dtype: np.dtype) -> Any:
    """The other byte order, component by component."""
    part = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    return data if part == 1 else data.view(f"u{part}").byteswap().view(np.uint8)


def strided(flat: Any, offset: int, shape: Any, stride: Any) -> Any:
    """The view of a one-dimensional array that starts at `offset`, steps counted in elements.

    ValueError if any element would lie outside.
    """
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"a tensor of shape {tuple(shape)}, strides {tuple(stride)}")
    count = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if count else -1
    if last >= flat.size:
        raise ValueError(
            f"a tensor of shape {tuple(shape)}, strides {tuple(stride)} and offset {offset} "
            f"in a storage of {flat.size} elements"
        )
    if count == 0:
        return flat[:0].reshape(shape)
    xp = array_module(flat)
    if tuple(stride) == row_major(shape):
        return flat[offset : last + 1].reshape(shape)
    steps = [s * flat.itemsize for s in stride]
    if xp is np:
        begin = offset * flat.itemsize
        return np.ndarray(tuple(shape), flat.dtype, flat.view(np.uint8), begin, steps)
    return xp.lib.stride_tricks.as_strided(flat[offset:], shape, steps)


def row_major(shape: Any) -> tuple[int, ...]:
    """The strides, in elements, of a contiguous array."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


class Names:
    """The allowed names of one file: called with a name, gives a value or a Token."""

    def __init__(self, source: Source, builder: Builder):
        self.source = source
        self.builder = builder
        self.table: dict[str, Any] = {
            "collections.OrderedDict": Token("OrderedDict", _ordered_dict),
            "collections.Counter": Token(
                "Counter", lambda items=(): fill(Counter(), items.items())
            ),
            "builtins.set": Token("set", lambda items=(): set(_keys(items))),
            "builtins.frozenset": Token("frozenset", lambda items=(): frozenset(_keys(items))),
            "builtins.complex": Token("complex", _complex),
            "builtins.bytearray": Token("bytearray", _bytearray),
            "builtins.bytes": Token("bytes", lambda: b""),  # how protocol 2 writes empty ones
            "_codecs.encode": Token("_codecs.encode", _encode),
            "torch.Size": Token("torch.Size", lambda sizes=(): Size(_counts(sizes))),
            "torch.device": Token("torch.device", _device),
            "torch.serialization._get_layout": Token("_get_layout", self.layout),
            "torch.Tensor": Token("torch.Tensor"),
            "torch.nn.parameter.Parameter": Token("torch.nn.Parameter"),
            "torch._tensor._rebuild_from_type_v2": Token("_rebuild_from_type_v2", self.from_type),
            "numpy.ndarray": Token("numpy.ndarray"),
            "numpy.dtype": Token("numpy.dtype", _numpy_dtype),
            "numpy._core.multiarray.scalar": Token("numpy scalar", _numpy_scalar),
            "numpy._core.multiarray._reconstruct": Token("numpy array", _numpy_array),
            "numpy._core.numeric._frombuffer": Token("numpy _frombuffer", _numpy_frombuffer),
        }
        for name, function in self._rebuilders().items():
            self.table[f"torch._utils.{name}"] = Token(name, function)

    def _rebuilders(self) -> dict[str, Callable[..., Any]]:
        return {
            "_rebuild_tensor": self.tensor,
            "_rebuild_tensor_v2": self.tensor_v2,
            "_rebuild_tensor_v3": self.tensor_v3,
            "_rebuild_parameter": self.parameter,
            "_rebuild_parameter_with_state": self.parameter_with_state,
        }

    def __call__(self, name: str) -> Any:
        """What the name stands for; UnpicklingError if it is not allowed."""
        for old, new in _MODULES.items():
            if name.startswith(old + "."):
                name = new + name[len(old) :]
        found = self.table.get(name)
        if found is None:
            found = self.table[name] = self._torch_type(name)
        return found

    def _torch_type(self, name: str) -> Any:
        """A dtype, or a class of storages as the Token of its dtype."""
        module, _, leaf = name.rpartition(".")
        if module == "torch" and leaf in _DTYPES:
            return dtype_by_name(leaf)
        if module == "torch" and leaf in _NUMPY_ONLY:
            return np.dtype(leaf)
        kind = leaf.removesuffix("Storage")
        if module in ("torch", "torch.cuda", "torch.storage") and kind != leaf:
            if kind in _STORAGES:
                return StorageType(name, numpy_dtype(dtype_by_name(_STORAGES[kind])))
            if kind == "Untyped":
                return StorageType(name, None)
        raise refused(self.source, f"the name {name}")

    # ---------------------------------------------------------------- tensors
    def tensor(self, storage: Any, offset: int, size: Any, stride: Any) -> Any:
        return self.tensor_v2(storage, offset, size, stride, False, None)

    def tensor_v2(
        self, storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any,
        metadata: Any = None,
    ) -> Any:  # fmt: skip
        dtype = _storage(storage).dtype
        if dtype is None:
            raise TypeError("a tensor without a dtype")
        return self.tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)

    def tensor_v3(
        self, storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any,
        dtype: Any, metadata: Any = None,
    ) -> Any:  # fmt: skip
        flat = _storage(storage).typed(numpy_dtype(dtype))
        array = strided(flat, offset, size, stride)
        flags = metadata or {}
        if flags.get("conj"):  # PyTorch conjugates and negates lazily, by a flag on the view
            array = array.conj()
        if flags.get("neg"):
            array = -array
        return self.builder.tensor(array, bool(requires_grad))

    def parameter(self, data: Any, requires_grad: bool, hooks: Any) -> Any:
        return self.builder.parameter(self._tensor(data), bool(requires_grad))

    def parameter_with_state(self, data: Any, requires_grad: bool, hooks: Any, state: Any) -> Any:
        return self._with_state(self.parameter(data, requires_grad, hooks), state)

    def from_type(self, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        """A tensor with Python attributes; of a subclass only Parameter."""
        names = ("torch.Tensor", "torch.nn.Parameter")
        if not isinstance(kind, Token) or kind.name not in names:
            raise refused(self.source, "a tensor of a subclass")
        rebuild = self._rebuilders().get(function.name) if isinstance(function, Token) else None
        if rebuild is None:
            raise refused(self.source, "a tensor made by something that makes none")
        return self._with_state(rebuild(*arguments), state)

    def _with_state(self, tensor: Any, state: Any) -> Any:
        attributes = state[0] if isinstance(state, tuple) and len(state) == 2 else state
        if attributes:
            if not isinstance(attributes, dict) or not all(isinstance(k, str) for k in attributes):
                raise TypeError("attributes of a tensor that are no dict of names")
            self.builder.attributes(tensor, attributes)
        return tensor

    def _tensor(self, value: Any) -> Any:
        if not isinstance(value, self.builder.tensor_type):
            raise TypeError(f"a parameter made of {type(value).__name__}")
        return value

    def layout(self, name: str) -> str:
        if name != "torch.strided":
            raise refused(self.source, f"the layout {str(name)[:40]}")
        return "strided"


class StorageType(Token):
    """A class of storages: the dtype of their elements, None for untyped bytes."""

    __slots__ = ("dtype",)

    def __init__(self, name: str, dtype: np.dtype | None):
        super().__init__(name)
        self.dtype = dtype


def _storage(value: Any) -> Storage:
    if not isinstance(value, Storage):
        raise TypeError(f"a tensor in {type(value).__name__}")
    return value


# ---------------------------------------------------------------- Python's values
def _ordered_dict(pairs: Any = ()) -> OrderedDict:
    return fill(OrderedDict(), pairs.items() if isinstance(pairs, dict) else pairs)  # type: ignore[return-value]


def _keys(items: Any) -> list[Any]:
    return list(fill({}, ((item, None) for item in items)))


def _complex(real: float, imag: float = 0.0) -> complex:
    return complex(float(real), float(imag))


def _bytearray(data: Any = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_raw(data))


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: as text of the same code points."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded in {str(encoding)[:40]}")
    return text.encode("latin1")


def _device(kind: str, index: int | None = None) -> device:
    if not isinstance(kind, str):
        raise TypeError(f"a device named by {type(kind).__name__}")
    return device(kind, index)


def _counts(sizes: Any) -> tuple[int, ...]:
    if not all(type(n) is int for n in sizes):
        raise TypeError("a Size that is not made of ints")
    return tuple(sizes)


# ---------------------------------------------------------------- NumPy's values
def _numpy_dtype(code: str, align: bool = False, copy: bool = True) -> Pending:
    """`dtype(code)`, then BUILD with (version, byte order, ...)."""
    dtype = np.dtype(code) if isinstance(code, str) else None
    if dtype is None or dtype.kind not in _NUMBERS_AND_TEXTS:
        raise TypeError(f"the NumPy dtype {str(code)[:40]}")
    return Pending(lambda state: dtype.newbyteorder(state[1]))


def _is_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, np.dtype) or dtype.kind not in _NUMBERS_AND_TEXTS:
        raise TypeError(f"{str(dtype)[:40]} as a NumPy dtype")
    return dtype


def _raw(data: Any) -> bytes:
    if isinstance(data, str):
        return data.encode("latin1")  # pickled by Python 2
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    raise TypeError(f"{type(data).__name__} as bytes")


def _numpy_scalar(dtype: Any, data: Any) -> np.generic:
    return np.frombuffer(_raw(data), _is_dtype(dtype), 1)[0]


def _numpy_array(kind: Any, shape: Any, code: Any) -> Pending:
    """An empty ndarray, then BUILD with (version, shape, dtype, Fortran order?, bytes)."""

    def finish(state: Any) -> np.ndarray:
        _, shape, dtype, fortran, data = state
        return _numpy_frombuffer(_raw(data), dtype, shape, "F" if fortran else "C")

    return Pending(finish)


def _numpy_frombuffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    flat = (
        np.frombuffer(_raw(data), _is_dtype(dtype)) if len(data) else np.empty(0, _is_dtype(dtype))
    )
    return flat.reshape(_counts(shape), order="F" if order == "F" else "C").copy(order="K")
