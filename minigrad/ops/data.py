"""Tensors from Python data, NumPy arrays, buffers and other libraries; the questions one asks of a
tensor.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module, canonical_device, cuda_module, device_of
from ..backend.dtypes import (
    F64,
    DType,
    from_numpy_dtype,
    get_default_dtype,
    numpy_dtype,
    promote_types,
    result_dtype,
    scalar_dtype,
)
from ..core.primitive import write_out
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import need_tensors
from .convert import convert
from .dims import broadcast_tensors
from .elementwise import cos, sin
from .filled import checked_dtype, checked_value, dtype_or_default, finish, on_device
from .join import stack
from .reinterpret import view_as_complex
from .strides import as_block

ndarray = np.ndarray
_NUMBERS = frozenset((bool, int, float, complex))
_WORK = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64, "c": np.complex128}


# ------------------------------------------------------------ nested sequences
def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def _scan(data: Any, found: set) -> None:
    """Collect what a nested sequence is made of: types, and dtypes of the arrays in it."""
    kinds = set(map(type, data))  # one pass in C over a row of numbers
    if kinds <= _NUMBERS:
        found |= kinds
        return
    for x in data:
        if _is_sequence(x):
            _scan(x, found)
        else:
            found.add(_leaf_kind(x))


def _leaf_kind(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.dtype
    if isinstance(x, (np.generic, ndarray)):
        return from_numpy_dtype(x.dtype)
    return next((kind for kind in (bool, int, float, complex) if isinstance(x, kind)), type(x))


def _check_kinds(found: set, dtype: np.dtype | None) -> None:
    """Raise PyTorch's error for things that are no numbers."""
    for kind in found:
        if isinstance(kind, DType) or kind in _NUMBERS:
            continue
        name = kind.__name__
        if kind in (str, bytes):
            if dtype is not None:
                raise ValueError(f"too many dimensions '{name}'")
            raise TypeError(f"new(): invalid data type '{name}'")
        if dtype is None:
            raise RuntimeError(f"Could not infer dtype of {name}")
        raise TypeError(f"must be real number, not {name}")


def _common_dtype(found: set) -> DType:
    dtypes = [kind if isinstance(kind, DType) else scalar_dtype(kind()) for kind in found]
    return functools.reduce(promote_types, dtypes) if dtypes else get_default_dtype()


def _plain(data: Any) -> Any:
    """A nested sequence with numbers and lists in the place of tensors and arrays."""
    if _is_sequence(data):
        return [_plain(x) for x in data]
    if isinstance(data, Tensor):
        if data._data.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.item()
    return data.tolist() if isinstance(data, (ndarray, np.generic)) else data


def _check_lengths(data: Any, shape: tuple[int, ...], dim: int = 0) -> None:
    """Raise what PyTorch raises for a nested sequence that is not rectangular."""
    if dim == len(shape):
        if _is_sequence(data):
            raise TypeError("'list' object cannot be interpreted as an integer")
        return
    if not _is_sequence(data):
        raise TypeError("not a sequence")
    if len(data) != shape[dim]:
        raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})")
    for x in data:
        _check_lengths(x, shape, dim + 1)


def _first_shape(data: Any) -> tuple[int, ...]:
    """The shape that the first elements of a nested sequence promise."""
    shape: list[int] = []
    while _is_sequence(data):
        shape.append(len(data))
        data = data[0] if len(data) else None
    return tuple(shape)


def from_nested(data: Any, dtype: np.dtype | None) -> ndarray:
    """A number or nested sequence as an array; without a dtype, of its numbers' common one.

    ValueError if it is not rectangular, TypeError or RuntimeError for things that are no numbers
    and for numbers that the dtype cannot hold.
    """
    found: set = set()
    _scan(data if _is_sequence(data) else [data], found)
    _check_kinds(found, dtype)
    kind = numpy_dtype(_common_dtype(found)) if dtype is None else dtype
    numbers = data if found <= _NUMBERS else _plain(data)
    try:
        checked = kind.kind in "iu" and kind.itemsize < 8
        wide = np.array(numbers, F64 if checked and float in found else _WORK.get(kind.kind, F64))
    except (ValueError, OverflowError, TypeError):
        _check_lengths(numbers, _first_shape(numbers))
        _explain(found, kind)
        raise
    if checked and wide.size:
        for extreme in (wide.min(), wide.max()):
            checked_value(extreme.item(), kind)
    return wide.astype(kind)


def _explain(found: set, dtype: np.dtype) -> None:
    if complex in found and dtype.kind != "c":
        raise TypeError("must be real number, not complex")
    if dtype.kind in "iu":
        if float in found:
            raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
        raise ValueError("Overflow when unpacking long long")


# ------------------------------------------------------------ copies
@export("tensor")
def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequence, array, buffer or tensor.

    Without dtype, numbers give bool, int64, the default dtype or its complex one, whichever is the
    highest among them; arrays and tensors keep theirs. ValueError for sequences that are not
    rectangular.
    """
    kind = None if dtype is None else checked_dtype(dtype)
    array = _as_array(data, kind)
    if array is None:
        array = from_nested(data, kind)
    elif kind is not None and array.dtype != kind:
        array = wrap(array).to(dtype)._data  # type: ignore[attr-defined]
    else:
        array = array.copy("K")
    return finish(_placed(array, data, device), requires_grad)


def _as_array(data: Any, dtype: np.dtype | None) -> Any:
    """The array in `data`, or None if it is Python data."""
    if isinstance(data, Tensor):
        return data._data
    if type(data) in _NUMBERS or isinstance(data, (list, tuple, str, bytes)):
        return None
    if not isinstance(data, (ndarray, np.generic)):
        if array_module(data) is not np:
            return data
        if not any(
            getattr(type(data), name, None)
            for name in ("__array__", "__array_interface__", "__dlpack__")
        ):
            return None
        data = np.asarray(data)
    array = np.asarray(data)
    if array.dtype.kind in "US":
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only "
            "supported types are: float64, float32, float16, complex64, complex128, int64, "
            "int32, int16, int8, uint8, and bool."
        )
    from_numpy_dtype(array.dtype)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _placed(array: Any, data: Any, device: Any) -> Any:
    """`array` on `device`; without one, where `data` lies (a tensor) or the default device."""
    if device is None and isinstance(data, Tensor):
        return array
    place = canonical_device(device)
    if place is device_of(array):
        return array
    return convert(wrap(array), None, place)._data


def new_tensor(
    input: Tensor,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """`tensor(data)` with this tensor's dtype and device, unless others are given."""
    place = input.device if device is None else device
    kind = input.dtype if dtype is None else dtype
    return tensor(data, dtype=kind, device=place, requires_grad=requires_grad)


@export("scalar_tensor")
def scalar_tensor(
    s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A 0-d tensor of the default dtype, unless another is given."""
    value = s.item() if isinstance(s, (Tensor, np.generic)) else s
    kind = dtype_or_default(dtype)
    number = checked_value(value, kind)
    return finish(on_device(device, lambda xp: xp.asarray(number, kind)), requires_grad)


# ------------------------------------------------------------ shared memory
@export("from_numpy")
def from_numpy(ndarray: Any) -> Tensor:
    """The array as a tensor that shares its memory.

    TypeError if it is no ndarray or of a dtype that tensors do not have, ValueError for negative
    strides.
    """
    array = ndarray
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if _as_array(array, None) is not array and not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)"
        )
    return wrap(as_block(np.asarray(array)))


@export("as_tensor")
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, copied only if need be: a tensor itself, an array's memory."""
    kind = None if dtype is None else checked_dtype(dtype)
    if isinstance(data, Tensor):
        return convert(data, kind, None if device is None else canonical_device(device))
    array = _as_array(data, kind)
    if array is None:
        return tensor(data, dtype=dtype, device=device)
    t = from_numpy(array) if isinstance(data, ndarray) else wrap(array)
    return convert(t, kind, canonical_device(device))


@export("asarray")
def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """A tensor of `obj`: copied always (copy=True), never (False, else ValueError), or if need be.

    Buffers (bytes, bytearray, array.array, mmap) are read as `dtype`, by default the default one.
    """
    buffer = _is_buffer(obj)
    if buffer:
        t = frombuffer(obj, dtype=get_default_dtype() if dtype is None else dtype)
    else:
        t = as_tensor(obj, dtype=dtype, device=device)
    shares = buffer or t is obj or (isinstance(obj, (Tensor, ndarray)) and shares_memory(t, obj))
    if copy is False and not shares:
        what = "sequence" if _is_sequence(obj) else "object"
        raise ValueError(f"can't alias arbitrary {what} into a tensor.")
    if copy and shares:
        t = t.clone()  # type: ignore[attr-defined]
    if requires_grad is None:  # as `obj` does
        return t
    if isinstance(obj, Tensor) and obj.requires_grad and not requires_grad:
        return t.detach()
    if requires_grad and not t.requires_grad:
        t = t.detach() if t is obj else t
        t.requires_grad = True
    return t


def _is_buffer(obj: Any) -> bool:
    if isinstance(obj, (Tensor, np.generic, ndarray)):
        return False
    try:
        memoryview(obj)
    except TypeError:
        return False
    return True


def shares_memory(t: Tensor, other: Any) -> bool:
    """Whether a tensor lies in the memory of another tensor or array."""
    x = other._data if isinstance(other, Tensor) else other
    return bool(
        array_module(x) is array_module(t._data) and array_module(x).may_share_memory(t._data, x)
    )


class _Capsule:
    """A bare DLPack capsule with the two methods that from_dlpack of NumPy asks for."""

    def __init__(self, capsule: Any):
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # main memory: a capsule cannot be asked


@export("from_dlpack", "utils.dlpack.from_dlpack")
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Another library's tensor (anything with __dlpack__, or a capsule), sharing its memory.

    RuntimeError if it is neither.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    get_device = getattr(ext_tensor, "__dlpack_device__", None)
    if get_device is None:
        raise RuntimeError(
            f"from_dlpack expected an object with __dlpack__ or a capsule, got {type(ext_tensor)}"
        )
    if int(get_device()[0]) == 1:
        array = np.from_dlpack(ext_tensor)
        from_numpy_dtype(array.dtype)
    else:
        array = cuda_module().from_dlpack(ext_tensor)
    t = wrap(array.copy() if copy else array)
    return t if device is None else convert(t, None, canonical_device(device))


@export("utils.dlpack.to_dlpack", "to_dlpack")
def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule of the tensor's memory."""
    return tensor.__dlpack__()


@export("frombuffer")
def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-d tensor in a buffer's memory: `count` numbers from byte `offset` on.

    ValueError if the buffer is empty or too short, or its length is not a multiple of the element
    size.
    """
    kind = checked_dtype(dtype)
    length = memoryview(buffer).nbytes
    if not length or not count:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({length} bytes) minus 1"
        )
    if count < 0 and (length - offset) % kind.itemsize:
        raise ValueError(
            f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a "
            f"multiple of element size ({kind.itemsize})"
        )
    count = (length - offset) // kind.itemsize if count < 0 else count
    if offset + count * kind.itemsize > length:
        raise ValueError(
            f"requested buffer length ({count} * {kind.itemsize} bytes) after offset ({offset} "
            f"bytes) must not be greater than actual buffer length ({length} bytes)"
        )
    raw = np.frombuffer(buffer, np.uint8, count * kind.itemsize, offset)
    return finish(raw.view(kind), requires_grad)


# ------------------------------------------------------------ complex numbers from parts
def _pair(name: str, a: Tensor, b: Tensor, kinds: str) -> tuple[Tensor, ...]:
    need_tensors(name, a, b, names=("abs", "angle") if name == "polar" else ("real", "imag"))
    if a._data.dtype.kind != "f" or b._data.dtype.kind != "f":
        raise RuntimeError(
            f"Expected both inputs to be {kinds} tensors but got {a.dtype.name} and {b.dtype.name}"
        )
    if a._data.dtype != b._data.dtype:
        raise RuntimeError(
            f"{name}: Expected object of scalar type {a.dtype.name} but got scalar type "
            f"{b.dtype.name} for second argument"
        )
    return broadcast_tensors(a, b)


@export("complex")
def complex_(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """real + i·imag, of float32 or float64 tensors that broadcast; r̄eal = Re ȳ, īmag = Im ȳ.

    RuntimeError if the dtypes differ or are not floating.
    """
    y = view_as_complex(stack(_pair("complex", real, imag, "Half, Float or Double"), -1)).clone()  # type: ignore[attr-defined]
    return y if out is None else write_out(y, out, True)


@export("polar")
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """abs·(cos angle + i·sin angle). RuntimeError if the dtypes differ or are not floating."""
    radius, phi = _pair("polar", abs, angle, "Float or Double")
    return complex_(radius * cos(phi), radius * sin(phi), out=out)  # type: ignore[operator]


# ------------------------------------------------------------ questions
@export("numel")
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


@export("is_floating_point")
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return input.is_floating_point()


@export("is_complex")
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return input.is_complex()


@export("is_nonzero")
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero; RuntimeError if there is not exactly one."""
    return bool(input)


@export("is_same_size")
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input._data.shape == other._data.shape


@export("is_inference")
def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


@export("result_type")
def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an arithmetic result of two tensors or numbers, by PyTorch's promotion."""
    return result_dtype([t._data if isinstance(t, Tensor) else t for t in (tensor1, tensor2)])
