"""Data types and PyTorch's type promotion.

NumPy promotes by size (int64 with float32 gives float64), PyTorch by *category*: bool < integer <
floating < complex, and within one category by size. Tensors with dimensions outrank 0-d tensors,
which outrank Python numbers: a lower rank changes the result only if its category is higher.
(PyTorch, "Tensor Attributes", type promotion.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export, export_constant

try:  # bfloat16 is no NumPy type; ml_dtypes adds it as a full array dtype with ufuncs
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:
    _bfloat16 = None

BOOL, INTEGER, FLOATING, COMPLEX = range(4)


class DType:
    """A data type: `minigrad.float32` and its kin. Immutable, compared by identity.

    `.np` is the NumPy dtype; `.is_floating_point`, `.is_complex`, `.is_signed` and `.itemsize` are
    PyTorch's.
    """

    __slots__ = ("name", "np", "category", "size", "is_signed")

    def __init__(self, name: str, numpy_type: Any, category: int, size: int, signed: bool = True):
        self.name = name
        self.np = None if numpy_type is None else np.dtype(numpy_type)
        self.category = category
        self.size = size
        self.is_signed = signed

    @property
    def is_floating_point(self) -> bool:
        return self.category == FLOATING

    @property
    def is_complex(self) -> bool:
        return self.category == COMPLEX

    @property
    def itemsize(self) -> int:
        return self.size

    def to_real(self) -> DType:
        """complex64 -> float32, complex128 -> float64; every other type is its own real type."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> DType:
        """float64 -> complex128, every other floating type -> complex64."""
        if self.is_complex:
            return self
        return complex128 if self is float64 else complex64

    def __repr__(self) -> str:
        return f"minigrad.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_by_name, (self.name,)

    def __deepcopy__(self, memo: dict) -> DType:
        return self


float16 = DType("float16", np.float16, FLOATING, 2)
bfloat16 = DType("bfloat16", _bfloat16, FLOATING, 2)
float32 = DType("float32", np.float32, FLOATING, 4)
float64 = DType("float64", np.float64, FLOATING, 8)
int8 = DType("int8", np.int8, INTEGER, 1)
int16 = DType("int16", np.int16, INTEGER, 2)
int32 = DType("int32", np.int32, INTEGER, 4)
int64 = DType("int64", np.int64, INTEGER, 8)
uint8 = DType("uint8", np.uint8, INTEGER, 1, signed=False)
bool_ = DType("bool", np.bool_, BOOL, 1, signed=False)
complex64 = DType("complex64", np.complex64, COMPLEX, 8)
complex128 = DType("complex128", np.complex128, COMPLEX, 16)

ALL = (float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, bool_)
ALL += (complex64, complex128)
_BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY: dict[Any, DType] = {d.np: d for d in ALL if d.np is not None}
for _name, _dtype in _BY_NAME.items():
    export_constant(__name__, _name, "bool_" if _name == "bool" else _name)
for _alias, _name in {
    "float": "float32", "double": "float64", "half": "float16", "short": "int16", "int": "int32",
    "long": "int64", "cfloat": "complex64", "cdouble": "complex128",
}.items():  # fmt: skip
    export_constant(__name__, _alias, _name)
export("dtype")(DType)

F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
I64, B8 = np.dtype(np.int64), np.dtype(np.bool_)
# without ml_dtypes a dtype that no tensor has: None would compare equal to float64
BF16 = np.dtype("V2") if bfloat16.np is None else bfloat16.np
HALF = frozenset((F16, BF16))

_default = float32


def dtype_by_name(name: str) -> DType:
    return _BY_NAME[name]


def from_numpy_dtype(dtype: Any) -> DType:
    """The DType of a NumPy dtype; TypeError for one that tensors cannot hold."""
    found = _BY_NUMPY.get(dtype)
    if found is None:
        found = _BY_NUMPY.get(np.dtype(dtype).newbyteorder("="))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {dtype}. The only supported types are: float64,"
            " float32, float16, complex64, complex128, int64, int32, int16, int8, uint8, and bool."
        )
    return found


def numpy_dtype(dtype: Any) -> Any:
    """The NumPy dtype of a minigrad dtype, or of Python's float, int, bool, complex (as PyTorch
    takes them).
    """
    if isinstance(dtype, DType):
        if dtype.np is None:
            raise ImportError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes")
        return dtype.np
    if dtype is float:
        return F64
    if dtype is int:
        return I64
    if dtype is bool:
        return B8
    if dtype is complex:
        return complex128.np
    if isinstance(dtype, np.dtype):
        return dtype
    raise TypeError(
        f"expected a minigrad dtype, got {dtype!r}; help: write minigrad.float32, not a string"
    )


@export("get_default_dtype")
def get_default_dtype() -> DType:
    """The floating dtype of tensors made from Python floats: float32 unless changed."""
    return _default


@export("set_default_dtype")
def set_default_dtype(d: DType) -> None:
    """Make `d` (a floating dtype, else TypeError) the dtype of tensors made from Python floats."""
    global _default
    if not isinstance(d, DType) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default = d


_ORDER = {d: i for i, d in enumerate((uint8, int8, int16, int32, int64))}
_promoted: dict[tuple[DType, DType], DType] = {}


@export("promote_types")
def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype of the higher category that holds both, e.g. int64 with float16 ->
    float16.
    """
    if type1 is type2:
        return type1
    key = (type1, type2)
    found = _promoted.get(key)
    if found is None:
        found = _promoted[key] = _promote(type1, type2)
    return found


def _promote(a: DType, b: DType) -> DType:
    if a.category < b.category:
        a, b = b, a
    if a.category != b.category:
        # complex64 with float64 is complex128; otherwise the lower category never widens the higher
        return complex128 if a.is_complex and b is float64 else a
    if a.category == INTEGER:
        if uint8 in (a, b) and int8 in (a, b):
            return int16
        return max(a, b, key=_ORDER.__getitem__)
    if a.size == b.size:  # float16 with bfloat16: neither holds the other
        return float32
    return a if a.size > b.size else b


def scalar_dtype(value: Any) -> DType:
    """The dtype that a Python number has in type promotion."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    if isinstance(value, (complex, np.complexfloating)):
        return _default.to_complex()
    raise TypeError(f"expected a Tensor or a number, got {type(value).__name__}")


def result_dtype(operands: Any) -> DType:
    """PyTorch's result type of arrays and Python numbers (see the module docstring)."""
    ranks: list[DType | None] = [None, None, None]  # with dimensions, 0-d, Python numbers
    for x in operands:
        if isinstance(x, (int, float, complex)) or x.__class__.__module__ == "builtins":
            rank, dtype = 2, scalar_dtype(x)
        else:
            rank, dtype = (0 if x.ndim else 1), from_numpy_dtype(x.dtype)
        known = ranks[rank]
        ranks[rank] = dtype if known is None else promote_types(known, dtype)
    result = ranks[0]
    for lower in ranks[1:]:
        if result is None:
            result = lower
        elif lower is not None and lower.category > result.category:
            result = _raise_category(result, lower)
    if result is None:
        raise TypeError("result_type needs at least one operand")
    return result


def _raise_category(higher: DType, lower: DType) -> DType:
    """A lower rank of a higher category: it decides, but a floating tensor keeps its precision in
    complex.
    """
    if lower.is_complex and higher.is_floating_point:
        return higher.to_complex()
    return promote_types(higher, lower)


@export("can_cast")
def can_cast(from_: DType, to: DType) -> bool:
    """Whether PyTorch casts implicitly: never to a lower category (float to int, int to bool)."""
    return from_.category <= to.category


class finfo:
    """Limits of a floating dtype: bits, eps, max, min, tiny, smallest_normal, resolution, dtype."""

    def __init__(self, type: DType | None = None):
        type = _default if type is None else type
        if type.category < FLOATING:
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use iinfo to handle"
                f" '{type.name}'"
            )
        real = numpy_dtype(type.to_real())
        if real == BF16:
            from ml_dtypes import finfo as half_finfo

            info = half_finfo(real)
        else:
            info = np.finfo(real)
        self.bits = real.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)
        self.dtype = type.to_real().name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g},"
            f" eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g},"
            f" dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: bits, max, min, dtype."""

    def __init__(self, type: DType):
        if type.category != INTEGER:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use finfo to handle '{type.name}'"
            )
        info = np.iinfo(numpy_dtype(type))
        self.bits, self.max, self.min = info.bits, int(info.max), int(info.min)
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


export("finfo")(finfo)
export("iinfo")(iinfo)
