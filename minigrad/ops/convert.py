"""Another dtype, another device, another tensor's contents: `to`, `type`, `copy_`.

A change of dtype or device is one recorded op whose gradient goes back the same way; nothing is
copied, and the tensor itself is returned, where nothing changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import pinned
from ..backend.devices import CPU, array_module, canonical_device, cuda_module, device, device_of
from ..backend.dtypes import numpy_dtype
from ..core import live  # noqa: F401  tells what lies on a GPU
from ..core.chores import broadcastable, cast
from ..core.inplace import check_inplace, commit, overwrite
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..errors import broadcast_error
from .layout import MemoryFormat, preserve_format
from .strides import memory_order
from .views import clone_

ndarray = np.ndarray


@primitive(half="keep")
def move_(x: Any, *, target: device, source: device, wait: bool = True) -> Any:
    """x on another device; x̄ = ȳ brought back. Without `wait`, copies from and into pinned memory
    are only queued.
    """
    if target is CPU:
        return x.get() if wait else pinned.download(x)
    xp = cuda_module()
    with xp.cuda.Device(target.index):
        return xp.asarray(x) if wait or source is not CPU else pinned.upload(x)


move_.vjp(x=lambda g, target, source: move_(g, target=source, source=target))
move_.primitive.node_class.__name__ = "ToCopyBackward0"


def convert(
    input: Tensor,
    dtype: np.dtype | None,
    place: device | None,
    copy: bool = False,
    memory_format: Any = None,
    wait: bool = True,
) -> Tensor:
    """`input` with this dtype and device (None: as it is); itself if nothing changes, or a copy."""
    x = input._data
    result = input
    if place is not None and device_of(x) is not place:
        result = move_(result, target=place, source=device_of(x), wait=wait)
    if dtype is not None and x.dtype != dtype:
        result = cast(result, dtype=dtype)
    if memory_format is not None and memory_format is not preserve_format:
        order = memory_order(x, memory_format)
        flat = np.moveaxis(x, 1, -1) if order == "N" else x
        if copy or not flat.flags.c_contiguous:
            return clone_(result, order=order)
    return clone_(result, order="K") if copy and result is input else result


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In another dtype and/or on another device: `x.to(float64)`, `x.to("cuda")`, `x.to("cpu",
    int8)`, `x.to(other)`.

        x̄ = ȳ in x's dtype and on x's device

    Further keywords: dtype, device, tensor, non_blocking (a copy from pinned memory is not waited
    for, nor one to main memory), copy (also when nothing changes), memory_format. Returns x itself
    if it is already so. RuntimeError for a device that is not there, TypeError for other arguments.
    """
    named = dict(kwargs)
    dtype, place = named.pop("dtype", None), named.pop("device", None)
    memory_format = named.pop("memory_format", None)
    flags = [named.pop("non_blocking", None), named.pop("copy", None)]
    rest = list(args)
    if "tensor" in named:
        rest.insert(0, named.pop("tensor"))
    if named:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(named))}'")
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
        dtype, place = other._data.dtype, other.device
    elif rest and (
        isinstance(rest[0], (device, str))
        or (isinstance(rest[0], int) and not isinstance(rest[0], bool))
    ):
        place = rest.pop(0)
    elif rest and rest[0] is None:
        rest.pop(0)
    if rest and (rest[0] is None or not isinstance(rest[0], bool)):
        dtype = rest.pop(0)
    for flag in rest:
        if not isinstance(flag, bool) or None not in flags:
            raise TypeError(f"to() received an invalid combination of arguments: got {flag!r}")
        flags[flags.index(None)] = flag
    if memory_format is not None and not isinstance(memory_format, MemoryFormat):
        raise TypeError(
            f"to(): argument 'memory_format' must be minigrad.memory_format, not {memory_format!r}"
        )
    return convert(
        input,
        None if dtype is None else numpy_dtype(dtype),
        None if place is None else canonical_device(place),
        bool(flags[1]),
        memory_format,
        not flags[0],
    )


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """In the dtype (and on the device) of `other`; x itself if it is so already."""
    return convert(input, other._data.dtype, other.device)


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """In main memory; x itself if it is there. x̄ = ȳ, brought back."""
    return convert(input, None, CPU, False, memory_format)


def cuda(
    input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Tensor:
    """On a GPU (the current one if none is given); x itself if it is there.

    RuntimeError if there is none.
    """
    place = canonical_device("cuda" if device is None else device)
    return convert(input, None, place, False, memory_format, not non_blocking)


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """A copy in pinned memory, from which a GPU copies by itself; the tensor itself if it is there
    already, or if there is no GPU. RuntimeError for a tensor that is not in main memory.
    """
    x = input._data
    if array_module(x) is not np:
        raise RuntimeError(
            f"cannot pin '{input.type()}' only dense CPU tensors can be pinned"  # type: ignore[attr-defined]
        )
    y = pinned.pin(x)
    return input if y is x else wrap(y)


# ------------------------------------------------------------ contents
@primitive(half="keep")
def copy(x: Any, src: Any) -> Any:
    """What x.copy_(src) writes: src in x's shape and dtype; x̄ = 0, s̄rc = ȳ (the engine fits it)."""
    if src.dtype.kind == "c" and x.dtype.kind not in "cb":
        src = src.real
    return array_module(x).broadcast_to(src, x.shape).astype(x.dtype)


@primitive(half="keep")
def nothing(g: Any) -> Any:
    """Zeros like g: the gradient of what was overwritten."""
    return array_module(g).zeros_like(g)


nothing.vjp(g=lambda g: nothing(g))
copy.vjp(x=lambda g: nothing(g), src=lambda g: g)
copy.primitive.node_class.__name__ = "CopyBackwards"


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with src, broadcast and cast to this shape and dtype; returns self.

        the old contents get the gradient 0, src̄ = ȳ (summed over what was broadcast)

    RuntimeError if src cannot be broadcast to this shape, TypeError if it is no Tensor or number.
    """
    if not isinstance(src, Tensor):
        if not isinstance(src, (bool, int, float, complex, np.generic)):
            raise TypeError(
                "copy_(): argument 'other' (position 1) must be Tensor, not "
                f"{src.__class__.__name__}"
            )
        src = wrap(np.asarray(src))
    check_inplace(self, src.requires_grad)
    _check_fits(src._data.shape, self._data.shape)
    if device_of(src._data) is not device_of(self._data):
        places = {"target": device_of(self._data), "source": device_of(src._data)}
        # into memory that is there already the copy would not have been made when it is read
        src = move_(src, **places, wait=places["target"] is CPU or not non_blocking)
    recorded = MODE.get().grad and (self.requires_grad or src.requires_grad)
    result = copy(self, src) if recorded else src
    y = result._data
    overwrite(
        self, y.real if y.dtype.kind == "c" and self._data.dtype.kind not in "cb" else y, "copy_"
    )
    commit(self, result)
    return self


def _check_fits(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """RuntimeError if `given` cannot be expanded to `shape`."""
    if not broadcastable(given, shape):
        pairs = zip(given[::-1], shape[::-1], strict=False)
        if len(given) > len(shape) or all(1 in (n, m) or n == m for n, m in pairs):
            raise RuntimeError(
                f"output with shape {list(shape)} doesn't match the broadcast shape {list(given)}"
            )
        raise broadcast_error(shape, given)
