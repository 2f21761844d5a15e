"""Type names from before dtypes: `FloatTensor`, `x.type("minigrad.LongTensor")`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import CPU, canonical_device, set_default_device
from ..backend.dtypes import (
    DType,
    dtype_by_name,
    get_default_dtype,
    numpy_dtype,
    set_default_dtype,
)
from ..core.size import Size
from ..core.tensor import Tensor, wrap
from ..export import export, export_constant
from .convert import convert
from .data import tensor
from .filled import shape_of

TYPE_NAMES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}


def type(input: Tensor, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
    """Without an argument: the legacy name, e.g. "minigrad.FloatTensor". Else `to` a dtype, given
    also by that name.

    ValueError for a name that is none.
    """
    if dtype is None:
        legacy = next(k for k, v in TYPE_NAMES.items() if v == input.dtype.name)
        return f"minigrad.{'cuda.' if input.is_cuda else ''}{legacy}Tensor"
    if isinstance(dtype, DType):
        return convert(input, numpy_dtype(dtype), None)
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", "")
    if isinstance(dtype, TensorType):
        name = repr(dtype)
    legacy = name.rpartition(".")[2].removesuffix("Tensor")
    if not name.endswith("Tensor") or (legacy and legacy not in TYPE_NAMES):
        raise ValueError(f"invalid type: '{name or dtype}'")
    place = canonical_device("cuda") if ".cuda." in f".{name}" else CPU
    wanted = dtype_by_name(TYPE_NAMES[legacy]) if legacy else get_default_dtype()
    return convert(input, numpy_dtype(wanted), place)


class TensorType:
    """`FloatTensor(2, 3)`, `FloatTensor([1, 2])` and their kin; isinstance asks for the dtype."""

    def __init__(self, legacy: str, dtype: DType, place: str = "cpu"):
        self.__name__ = self.__qualname__ = f"{legacy}Tensor"
        self.dtype = dtype
        self.place = place
        self.__module__ = "minigrad" if place == "cpu" else f"minigrad.{place}"

    def __call__(self, *args: Any, device: Any = None) -> Tensor:
        made = self._make(args)
        return made if self.place == "cpu" else convert(made, None, canonical_device(self.place))

    def _make(self, args: tuple[Any, ...]) -> Tensor:
        if len(args) != 1 or isinstance(args[0], (int, np.integer, Size)):
            return wrap(np.zeros(shape_of(self.__name__, args or (0,)), numpy_dtype(self.dtype)))
        data = args[0]
        if isinstance(data, Tensor):
            if data.dtype is not self.dtype:
                raise TypeError(
                    f"expected a tensor of dtype {self.dtype.name}, got {data.dtype.name}"
                )
            return data.detach()
        if not isinstance(data, (list, tuple)) and not isinstance(data, np.ndarray):
            raise TypeError(f"new(): data must be a sequence (got {data.__class__.__name__})")
        return tensor(data, dtype=self.dtype)

    def __instancecheck__(self, x: Any) -> bool:
        here = isinstance(x, Tensor) and x.is_cpu == (self.place == "cpu")
        return here and x.dtype is self.dtype

    def __repr__(self) -> str:
        return f"{self.__module__}.{self.__name__}"


FloatTensor = TensorType("Float", dtype_by_name("float32"))
DoubleTensor = TensorType("Double", dtype_by_name("float64"))
HalfTensor = TensorType("Half", dtype_by_name("float16"))
BFloat16Tensor = TensorType("BFloat16", dtype_by_name("bfloat16"))
LongTensor = TensorType("Long", dtype_by_name("int64"))
IntTensor = TensorType("Int", dtype_by_name("int32"))
ShortTensor = TensorType("Short", dtype_by_name("int16"))
CharTensor = TensorType("Char", dtype_by_name("int8"))
ByteTensor = TensorType("Byte", dtype_by_name("uint8"))
BoolTensor = TensorType("Bool", dtype_by_name("bool"))

for _legacy in (
    "Float",
    "Double",
    "Half",
    "BFloat16",
    "Long",
    "Int",
    "Short",
    "Char",
    "Byte",
    "Bool",
):
    export_constant(__name__, f"{_legacy}Tensor", f"{_legacy}Tensor")
    export_constant(__name__, f"cuda.{_legacy}Tensor", f"cuda{_legacy}Tensor")

# of a GPU: they can be named anywhere, and made where there is one
cudaFloatTensor = TensorType("Float", dtype_by_name("float32"), "cuda")
cudaDoubleTensor = TensorType("Double", dtype_by_name("float64"), "cuda")
cudaHalfTensor = TensorType("Half", dtype_by_name("float16"), "cuda")
cudaBFloat16Tensor = TensorType("BFloat16", dtype_by_name("bfloat16"), "cuda")
cudaLongTensor = TensorType("Long", dtype_by_name("int64"), "cuda")
cudaIntTensor = TensorType("Int", dtype_by_name("int32"), "cuda")
cudaShortTensor = TensorType("Short", dtype_by_name("int16"), "cuda")
cudaCharTensor = TensorType("Char", dtype_by_name("int8"), "cuda")
cudaByteTensor = TensorType("Byte", dtype_by_name("uint8"), "cuda")
cudaBoolTensor = TensorType("Bool", dtype_by_name("bool"), "cuda")


@export("set_default_tensor_type")
def set_default_tensor_type(t: Any, /) -> None:
    """Make the dtype (and device) of a legacy type the default: `FloatTensor`, "DoubleTensor".

    TypeError for a type that is not floating.
    """
    name = t if isinstance(t, str) else getattr(t, "__name__", "")
    legacy = name.rpartition(".")[2].removesuffix("Tensor")
    if TYPE_NAMES.get(legacy) not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"only floating-point types are supported as the default type, not {t!r}")
    set_default_dtype(dtype_by_name(TYPE_NAMES[legacy]))
    place = t if isinstance(t, str) else repr(t)
    set_default_device("cuda" if ".cuda." in f".{place}" else None)


def new(input: Tensor, *args: Any) -> Tensor:
    """`x.new(2, 3)`, `x.new([1, 2])`: the legacy constructor of x's dtype."""
    legacy = next(k for k, v in TYPE_NAMES.items() if v == input.dtype.name)
    return TensorType(legacy, input.dtype)(*args)
