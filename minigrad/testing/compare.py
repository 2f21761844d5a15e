"""`assert_close`: are two results the same, up to rounding of their dtype?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend.dtypes import BF16
from ..core.tensor import Tensor, wrap
from ..export import export

# (rtol, atol) that a single correctly rounded operation in each dtype stays well inside of
# (PyTorch's values)
TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


@export("testing.assert_close")
def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """AssertionError unless |actual − expected| ≤ atol + rtol·|expected| everywhere, with equal
    shapes and dtypes.

    Tensors, numbers, and sequences or mappings of them; tolerances default by dtype (exact for
    integers). The error tells how many elements differ, and the greatest absolute and relative
    difference with their places.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(
            "Both relative tolerance 'rtol' and absolute tolerance 'atol' must be specified or"
            " neither"
        )
    _compare(actual, expected, "", rtol, atol, equal_nan, check_dtype, check_stride, msg)


def _compare(a: Any, b: Any, where: str, *how: Any) -> None:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            raise AssertionError(
                f"The keys of the mappings do not match{where}: {sorted(a)} and {sorted(b)}"
            )
        for key in b:
            _compare(a[key], b[key], f"{where}[{key!r}]", *how)
    elif isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str):
        if len(a) != len(b):
            raise AssertionError(
                f"The length of the sequences mismatch{where}: {len(a)} != {len(b)}"
            )
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _compare(x, y, f"{where}[{i}]", *how)
    else:
        _compare_tensors(_tensor(a), _tensor(b), where, *how)


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if isinstance(x, int | float | complex | np.ndarray | np.generic):
        return wrap(np.asarray(x))
    raise TypeError(f"No comparison pair was able to handle inputs of type {type(x).__name__}")


def _compare_tensors(
    a: Tensor,
    b: Tensor,
    where: str,
    rtol: Any,
    atol: Any,
    equal_nan: bool,
    dtype: bool,
    stride: bool,
    msg: Any,
) -> None:
    problem = None
    if a.shape != b.shape:
        problem = f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
    elif dtype and a.dtype is not b.dtype:
        problem = f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}."
    elif stride and a.stride() != b.stride():
        problem = f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}."
    else:
        problem = _difference(a, b, rtol, atol, equal_nan)
    if problem is not None:
        text = problem + (f"\nThe failure occurred for item {where}" if where else "")
        raise AssertionError(msg(text) if callable(msg) else msg or text)


def _difference(a: Tensor, b: Tensor, rtol: Any, atol: Any, equal_nan: bool) -> str | None:
    if rtol is None:
        pairs = [TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, b)]
        rtol, atol = max(p[0] for p in pairs), max(p[1] for p in pairs)
    x, y = _wide(a._data), _wide(b._data)
    close = np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if close.all():
        return None
    gap = np.abs(x - y)
    gap = np.where(close, 0, np.where(np.isnan(gap), np.inf, gap))
    ratio = np.where(close, 0, gap / np.abs(y))
    total = close.size
    wrong = total - int(close.sum())
    if x.ndim == 0:
        return f"Scalars are not close!\n\nExpected {y} but got {x}.\nAbsolute difference: {gap} (up to {atol} allowed)\nRelative difference: {ratio} (up to {rtol} allowed)"  # noqa: E501
    at_gap = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
    at_ratio = tuple(int(i) for i in np.unravel_index(np.argmax(ratio), ratio.shape))
    return (
        f"Tensor-likes are not close!\n\nMismatched elements: {wrong} / {total}"
        f" ({100 * wrong / total:.1f}%)\nGreatest absolute difference: {gap[at_gap]} at index"
        f" {at_gap} (up to {atol} allowed)\nGreatest relative difference: {ratio[at_ratio]} at"
        f" index {at_ratio} (up to {rtol} allowed)"
    )


def _wide(x: np.ndarray) -> np.ndarray:
    """In the widest type of its kind: unsigned and boolean differences must not wrap."""
    if x.dtype == BF16 or x.dtype.kind == "f":
        return x.astype(np.float64)
    return x.astype(np.complex128) if x.dtype.kind == "c" else x.astype(np.int64)
