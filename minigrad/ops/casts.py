"""`x.float()`, `x.long()`, ...: `to(dtype)` under the dtype's name. (The names hide Python's: keep
them here.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from .convert import convert


def _caster(name: str, dtype: dtypes.DType) -> Callable[..., Tensor]:
    def method(input: Tensor, memory_format: Any = None) -> Tensor:
        return convert(input, dtypes.numpy_dtype(dtype), None, False, memory_format)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In dtype {dtype.name}; x itself if it is so already. x̄ = ȳ in x's dtype."
    return method


float = _caster("float", dtypes.float32)
double = _caster("double", dtypes.float64)
half = _caster("half", dtypes.float16)
bfloat16 = _caster("bfloat16", dtypes.bfloat16)
int = _caster("int", dtypes.int32)
long = _caster("long", dtypes.int64)
short = _caster("short", dtypes.int16)
char = _caster("char", dtypes.int8)
byte = _caster("byte", dtypes.uint8)
bool = _caster("bool", dtypes.bool_)
cfloat = _caster("cfloat", dtypes.complex64)
cdouble = _caster("cdouble", dtypes.complex128)
