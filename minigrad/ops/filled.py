"""New tensors filled with one value, or with nothing in particular."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import CPU, canonical_device, cuda_module
from ..backend.dtypes import from_numpy_dtype, get_default_dtype, numpy_dtype
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import check_fits
from .layout import strided as strided_layout
from .strides import memory_order, strided
from .views import contiguous

ndarray = np.ndarray
Maker = Callable[[Any], Any]


# ------------------------------------------------------------ what all of them share
def on_device(device: Any, make: Maker) -> Any:
    """make(numpy), or make(cupy) on that GPU; None is the default device."""
    place = canonical_device(device)
    if place is CPU:
        return make(np)
    xp = cuda_module()
    with xp.cuda.Device(place.index):
        return make(xp)


def finish(array: Any, requires_grad: bool, out: Tensor | None = None, dtype: Any = None) -> Tensor:
    """The new tensor; with `out`, that one resized and filled.

    RuntimeError for an integer that needs a gradient.
    """
    if out is not None:
        if dtype is not None and out._data.dtype != array.dtype:
            raise RuntimeError(
                f"dtype {from_numpy_dtype(array.dtype).name} does not match dtype of out "
                f"parameter ({out.dtype.name})"
            )
        if out._data.shape == array.shape:
            out._data[...] = array
        else:
            out._data = array.astype(out._data.dtype)
        out._bump()
        return out
    t = wrap(array)
    if requires_grad:
        if array.dtype.kind not in "fc" and not t.is_floating_point():
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        t._requires_grad = True
    return t


def shape_of(name: str, given: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """Sizes of f(2, 3), f((2, 3)) or f(size=(2, 3)); TypeError unless ints, RuntimeError if < 0."""
    if size is None and given and all([type(n) is int and n >= 0 for n in given]):
        return given
    if size is not None:
        given = (size,)
    elif not given:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    for n in given:
        if isinstance(n, bool) or not (isinstance(n, (int, np.integer)) or is_index(n)):
            kind = type(n).__name__
            raise TypeError(
                f"{name}(): argument 'size' (position 1) must be tuple of ints, not {kind}"
            )
    shape = tuple([index(n) for n in given])
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{name}: Dimension size must be non-negative: {list(shape)}")
    return shape


def is_index(n: Any) -> bool:
    return isinstance(n, Tensor) and n._data.size == 1 and n._data.dtype.kind in "iu"


def dtype_or_default(dtype: Any, out: Tensor | None = None) -> np.dtype:
    """The NumPy dtype asked for; else that of `out`, else the default one."""
    if dtype is None:
        return get_default_dtype().np if out is None else out._data.dtype
    return checked_dtype(dtype)


def checked_dtype(dtype: Any) -> np.dtype:
    """The NumPy dtype; TypeError for a string, which PyTorch does not take either."""
    if isinstance(dtype, str):
        raise TypeError(
            f"argument 'dtype' must be minigrad.dtype, not str; help: write minigrad.{dtype}"
        )
    return numpy_dtype(dtype)


def check_layout(layout: Any) -> None:
    """RuntimeError for a layout other than strided."""
    if layout is not None and layout != strided_layout:
        raise RuntimeError(f"minigrad has strided tensors only, but got layout {layout}")


# ------------------------------------------------------------ filled with one value
@export("zeros")
def zeros(
    *size: Any, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False, **named: Any,
) -> Tensor:  # fmt: skip
    """A tensor of zeros: `zeros(2, 3)`, `zeros((2, 3))`. RuntimeError for a negative size."""
    return _filled(
        "zeros",
        lambda xp, n, d: xp.zeros(n, d),
        size,
        named,
        out,
        dtype,
        layout,
        device,
        requires_grad,
    )


@export("ones")
def ones(
    *size: Any, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False, **named: Any,
) -> Tensor:  # fmt: skip
    """A tensor of ones: `ones(2, 3)`, `ones((2, 3))`. RuntimeError for a negative size."""
    return _filled(
        "ones",
        lambda xp, n, d: xp.ones(n, d),
        size,
        named,
        out,
        dtype,
        layout,
        device,
        requires_grad,
    )


@export("empty")
def empty(
    *size: Any, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: Any = None, **named: Any,
) -> Tensor:  # fmt: skip
    """A tensor whose values are whatever was in memory. RuntimeError for a negative size."""
    t = _filled(
        "empty",
        lambda xp, n, d: xp.empty(n, d),
        size,
        named,
        out,
        dtype,
        layout,
        device,
        requires_grad,
    )
    if memory_format is not None and out is None:
        t._data = contiguous(t.detach(), memory_format)._data
    return t


def _filled(
    name: str, make: Callable[..., Any], size: Any, named: dict, out: Any, dtype: Any, layout: Any,
    device: Any, requires_grad: bool,
) -> Tensor:  # fmt: skip
    shape = shape_of(name, size, named.pop("size", None))
    if named and (named.pop("names", None) or named):
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    if layout is not None:
        check_layout(layout)
    kind = dtype_or_default(dtype, out)
    place = canonical_device(device)
    if place is CPU:
        return finish(make(np, shape, kind), requires_grad, out, dtype)
    return finish(on_device(place, lambda xp: make(xp, shape, kind)), requires_grad, out, dtype)


@export("full")
def full(
    size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False, names: Any = None,
) -> Tensor:  # fmt: skip
    """A tensor of one value, whose type decides the dtype if none is given.

    TypeError for a value that is no number, RuntimeError if the dtype cannot hold it.
    """
    if not isinstance(size, (tuple, list)):
        kind = type(size).__name__
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {kind}")
    check_layout(layout)
    shape, value = shape_of("full", (), size), fill_number("full", fill_value)
    kind = (
        dtype_or_default(dtype, out) if dtype is not None or out is not None else value_dtype(value)
    )
    checked_value(value, kind)
    return finish(
        on_device(device, lambda xp: _full(xp, shape, value, kind)), requires_grad, out, dtype
    )


def _full(xp: Any, shape: tuple[int, ...], value: Any, dtype: np.dtype) -> Any:
    y = xp.empty(shape, dtype)
    y.fill(checked_value(value, dtype))
    return y


def value_dtype(value: Any) -> np.dtype:
    """The dtype that a Python number gives a tensor."""
    if isinstance(value, (bool, np.bool_)):
        return np.dtype(np.bool_)
    if isinstance(value, (int, np.integer)):
        return np.dtype(np.int64)
    if isinstance(value, (float, np.floating)):
        return get_default_dtype().np
    return get_default_dtype().to_complex().np


def fill_number(name: str, value: Any) -> Any:
    """A number, or that of a 0-d tensor; TypeError for anything else."""
    if isinstance(value, Tensor) and value._data.ndim == 0:
        return value.item()
    if not isinstance(value, (bool, int, float, complex, np.generic)):
        kind = type(value).__name__
        raise TypeError(f"{name}(): argument 'fill_value' (position 2) must be Number, not {kind}")
    return value


def checked_value(value: Any, dtype: np.dtype) -> Any:
    """`value` as the dtype takes it; RuntimeError outside (but uint8 wraps negative numbers)."""
    kind = dtype.kind
    if kind == "b":
        return bool(value)
    value = check_fits(value, dtype)
    if kind not in "iu":
        return value
    value = int(value)
    return value + np.iinfo(dtype).max + 1 if value < 0 and kind == "u" else value


# ------------------------------------------------------------ like another tensor
def like(
    name: str, make: Callable[..., Any], input: Tensor, dtype: Any, layout: Any, device: Any,
    requires_grad: bool, memory_format: Any,
) -> Tensor:  # fmt: skip
    """A new tensor of input's shape, and of its dtype, device and order of strides if not given."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    check_layout(layout)
    x = input._data
    kind = x.dtype if dtype is None else checked_dtype(dtype)
    order = memory_order(x, memory_format)
    place = input.device if device is None else device

    def fill(xp: Any) -> Any:
        if order == "N":
            return xp.moveaxis(make(xp, (x.shape[0], *x.shape[2:], x.shape[1]), kind), -1, 1)
        if order == "C" or x.flags.c_contiguous or 0 in x.strides:
            return make(xp, x.shape, kind)
        dims = sorted(range(x.ndim), key=lambda d: -x.strides[d])
        return make(xp, tuple([x.shape[d] for d in dims]), kind).transpose(
            sorted(range(x.ndim), key=dims.__getitem__)
        )

    return finish(on_device(place, fill), requires_grad)


@export("zeros_like")
def zeros_like(
    input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Zeros in input's shape, dtype and device, unless others are given."""
    make = lambda xp, n, d: xp.zeros(n, d)  # noqa: E731
    return like("zeros_like", make, input, dtype, layout, device, requires_grad, memory_format)


@export("ones_like")
def ones_like(
    input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Ones in input's shape, dtype and device, unless others are given."""
    make = lambda xp, n, d: xp.ones(n, d)  # noqa: E731
    return like("ones_like", make, input, dtype, layout, device, requires_grad, memory_format)


@export("empty_like")
def empty_like(
    input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Uninitialised memory in input's shape, dtype and device, unless others are given."""
    make = lambda xp, n, d: xp.empty(n, d)  # noqa: E731
    return like("empty_like", make, input, dtype, layout, device, requires_grad, memory_format)


@export("full_like")
def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """One value in input's shape, dtype (not the value's) and device, unless others are given."""
    value = fill_number("full_like", fill_value)
    make = lambda xp, n, d: _full(xp, n, value, d)  # noqa: E731
    return like("full_like", make, input, dtype, layout, device, requires_grad, memory_format)


def _new(input: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    """The options of x.new_...: x's dtype and device unless given."""
    options = dict(options)
    if options.get("dtype") is None:
        options["dtype"] = input.dtype
    if options.get("device") is None:
        options["device"] = input.device
    return options


def new_zeros(input: Tensor, *size: Any, **options: Any) -> Tensor:
    """`zeros` of this tensor's dtype and device."""
    return zeros(*size, **_new(input, options))


def new_ones(input: Tensor, *size: Any, **options: Any) -> Tensor:
    """`ones` of this tensor's dtype and device."""
    return ones(*size, **_new(input, options))


def new_empty(input: Tensor, *size: Any, **options: Any) -> Tensor:
    """`empty` of this tensor's dtype and device."""
    return empty(*size, **_new(input, options))


def new_full(input: Tensor, size: Any, fill_value: Any, **options: Any) -> Tensor:
    """`full` of this tensor's dtype and device."""
    return full(size, fill_value, **_new(input, options))


def new_empty_strided(input: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """`empty_strided` of this tensor's dtype and device."""
    return empty_strided(size, stride, **_new(input, options))


@export("empty_strided")
def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Uninitialised memory with the given sizes and strides (in elements).

    RuntimeError if they differ in number.
    """
    shape, steps = shape_of("empty_strided", (), size), shape_of("empty_strided", (), stride)
    check_layout(layout)
    if len(shape) != len(steps):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides "
            f"({len(steps)})"
        )
    kind = dtype_or_default(dtype)
    cells = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    block = on_device(device, lambda xp: xp.empty(cells, kind))
    return finish(strided(block, shape, tuple([s * kind.itemsize for s in steps])), requires_grad)
