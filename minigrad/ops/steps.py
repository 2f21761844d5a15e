"""New tensors that count: in equal steps, in equal ratios, along diagonals."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from ..backend.dtypes import from_numpy_dtype, get_default_dtype
from ..core.tensor import Tensor, wrap
from ..export import export
from .filled import (
    check_layout,
    checked_dtype,
    dtype_or_default,
    finish,
    is_index,
    on_device,
    value_dtype,
)


# ------------------------------------------------------------ in steps
def _number(name: str, argument: str, value: Any) -> Any:
    if isinstance(value, Tensor) and value._data.size == 1:
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(
            f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}"
        )
    return value


def _no_complex(values: Any) -> None:
    if any(isinstance(v, complex) for v in values):
        raise RuntimeError("value cannot be converted to type double without overflow")


@export("arange")
def arange(
    *args: Any, start: Any = None, end: Any = None, step: Any = None, out: Tensor | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, ... up to but without end: `arange(end)`, `arange(start, end, step=1)`.

        y[i] = start + i·step,  i < ceil((end − start)/step)

    Integers give int64, a float among them the default dtype. RuntimeError for a step of zero or
    the wrong sign.
    """
    if dtype is out is layout is start is end is step is None and len(args) in (1, 2):
        first, last = (0, *args) if len(args) == 1 else args
        if type(first) is int is type(last) and first <= last:  # the common call
            array = on_device(device, lambda xp: xp.arange(first, last, dtype=np.int64))
            return finish(array, requires_grad)
    values = _bounds(args, {"start": start, "end": end, "step": step})
    if layout is not None:
        check_layout(layout)
    if dtype is None and out is None:
        whole = all([isinstance(v, int) for v in values])
        kind = np.dtype(np.int64) if whole else get_default_dtype().np
    else:
        kind = dtype_or_default(dtype, out)
    if kind.kind in "bc":
        title = from_numpy_dtype(kind).name
        raise NotImplementedError(f'"arange_cpu" not implemented for {title!r}')
    first, count, by = _progression(*values, kind)
    array = on_device(device, lambda xp: _steps(xp, first, count, by, kind))
    return finish(array, requires_grad, out, dtype)


def _bounds(args: tuple[Any, ...], given: dict[str, Any]) -> list[Any]:
    """[start, end, step] of arange's arguments, as Python numbers."""
    names = ["end"] if len(args) == 1 and given["end"] is None else ["start", "end", "step"]
    if len(args) > 3 or any(given[n] is not None for n, _ in zip(names, args, strict=False)):
        raise TypeError(f"arange() received an invalid combination of arguments - got {args}")
    given.update(zip(names, args, strict=False))
    if given["end"] is None:
        raise TypeError("arange() received an invalid combination of arguments: 'end' is missing")
    values = [
        _number("arange", n, d if v is None else v)
        for (n, v), d in zip(given.items(), (0, 0, 1), strict=True)
    ]
    _no_complex(values)
    return values


def _progression(start: Any, end: Any, step: Any, dtype: np.dtype) -> tuple[Any, int, Any]:
    """(first, count, step) of arange in this dtype; integers are counted exactly."""
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype.kind not in "iu":
        return start, math.ceil((float(end) - float(start)) / float(step)), step
    count = math.ceil((end - start) / step)
    if dtype == np.int64:  # its bounds and step are cut to whole numbers first
        first, last, by = int(start), int(end), int(step)
        if by == 0:
            raise ValueError("step must be nonzero")
        return first, len(range(first, last, by)), by
    return int(start), count, int(step)


def _steps(xp: Any, first: Any, count: int, step: Any, dtype: np.dtype) -> Any:
    if dtype.kind in "iu":
        y = xp.arange(first, first + count * step, step, np.int64)
        return y if dtype == np.int64 else y.astype(dtype)
    y = xp.arange(count, dtype=np.float64)
    y *= step
    y += first
    return y.astype(dtype)


@export("range")
def range_(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Like `arange`, but including the end, and of the default dtype (old; use arange)."""
    if end is None:
        start, end = 0, start
    start, end, step = (
        _number("range", n, v) for n, v in (("start", start), ("end", end), ("step", step))
    )
    _progression(start, end, step, np.dtype(np.float64))
    kind, count = dtype_or_default(dtype, out), math.floor((end - start) / step) + 1
    return finish(
        on_device(device, lambda xp: _steps(xp, start, count, step, kind)),
        requires_grad,
        out,
        dtype,
    )


def _spaced(
    name: str, start: Any, end: Any, steps: Any, base: Any, out: Any, dtype: Any, device: Any
) -> Any:
    ends = []
    for argument, value in (("start", start), ("end", end)):
        if isinstance(value, Tensor) and value._data.ndim:
            raise RuntimeError(
                f"{name} only supports 0-dimensional start and end tensors, but got {argument} "
                f"with {value._data.ndim} dimension(s)."
            )
        ends.append(_number(name, argument, value))
    if isinstance(steps, bool) or not (isinstance(steps, (int, np.integer)) or is_index(steps)):
        raise TypeError(
            f"{name}(): argument 'steps' (position 3) must be int, not {type(steps).__name__}"
        )
    count = index(steps)
    if count < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype is None and out is None:
        kind = (
            value_dtype(0j) if any(isinstance(v, complex) for v in ends) else get_default_dtype().np
        )
    else:
        kind = dtype_or_default(dtype, out)
    if kind.kind == "b":
        raise NotImplementedError(
            f'"{name}_cpu" not implemented for {from_numpy_dtype(kind).name!r}'
        )
    if kind.kind != "c":
        _no_complex(ends)
    return on_device(device, lambda xp: _space(xp, *ends, count, base, kind))


def _space(xp: Any, start: Any, end: Any, count: int, base: Any, dtype: np.dtype) -> Any:
    """Counted from both ends to the middle: the result is symmetric and hits both ends exactly."""
    whole = dtype.kind in "iu"
    work = np.dtype(np.float64) if whole or dtype.itemsize < 4 else dtype
    if whole:
        start, end = int(start), int(end)
    if count == 1:
        y = xp.full(1, start, work)
    else:
        i = xp.arange(count)
        first, last = work.type(start), work.type(end)
        step = (last - first) / work.type(max(count - 1, 1))
        y = xp.where(
            i < count // 2,
            first + step * i.astype(work),
            last - step * (count - 1 - i).astype(work),
        )
    if base is not None:
        y = xp.power(xp.asarray(base, work), y)
    return y.astype(dtype)


@export("linspace")
def linspace(
    start: Any, end: Any, steps: Any, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers at equal distances from start to end, both included.

    y[i] = start + i·(end − start)/(steps − 1)
    """
    check_layout(layout)
    return finish(
        _spaced("linspace", start, end, steps, None, out, dtype, device), requires_grad, out, dtype
    )


@export("logspace")
def logspace(
    start: Any, end: Any, steps: Any, base: Any = 10.0, *, out: Tensor | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers at equal ratios: base to the powers `linspace(start, end, steps)`."""
    check_layout(layout)
    base = _number("logspace", "base", base)
    return finish(
        _spaced("logspace", start, end, steps, base, out, dtype, device), requires_grad, out, dtype
    )


# ------------------------------------------------------------ matrices of indices, complex numbers
@export("eye")
def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the main diagonal of an n x m matrix (m = n by default), zeros elsewhere."""
    for name, value in (("n", n), ("m", n if m is None else m)):
        if isinstance(value, bool) or not (isinstance(value, (int, np.integer)) or is_index(value)):
            raise TypeError(f"eye(): argument '{name}' must be int, not {type(value).__name__}")
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    check_layout(layout)
    rows, columns, kind = index(n), index(n if m is None else m), dtype_or_default(dtype, out)
    return finish(
        on_device(device, lambda xp: xp.eye(rows, columns, dtype=kind)), requires_grad, out, dtype
    )


def _triangle(name: str, row: int, col: int, offset: int, dtype: Any, device: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(
            f"{'row' if row < 0 else 'col'} must be non-negative, got{row if row < 0 else col}"
        )
    kind = np.dtype(np.int64) if dtype is None else checked_dtype(dtype)
    if kind not in (np.int64, np.int32):
        raise NotImplementedError(f'"{name}" not implemented for {from_numpy_dtype(kind).name!r}')
    find = np.tril_indices if name == "tril_indices" else np.triu_indices
    both = np.stack(find(row, offset, col)).astype(kind)
    return wrap(on_device(device, lambda xp: xp.asarray(both)))


@export("tril_indices")
def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Rows and columns (2, n) of the elements on and below a diagonal of a row x col matrix."""
    return _triangle("tril_indices", row, col, offset, dtype, device)


@export("triu_indices")
def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Rows and columns (2, n) of the elements on and above a diagonal of a row x col matrix."""
    return _triangle("triu_indices", row, col, offset, dtype, device)
