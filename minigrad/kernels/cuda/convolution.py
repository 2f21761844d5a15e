"""Convolution on a GPU without columns: products of matrices that are gathered as they are needed.

cuDNN is asked first (dnn.py). Where it is missing or refuses, there are two kernels, each for the
result, the gradient of the input and that of the weight: tiles on tensor cores
(convolution_tiles.cuh), float32 as three products of TF32 numbers unless
`backends.cudnn.allow_tf32`, PyTorch's default, says that one will do; and sums as they are
(convolution_direct.cuh) for groups of few channels and for float64. Arrays may have channels first
or last; strides, padding, dilation and groups are those of the layer.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...backend import flags
from ...backend.devices import array_module
from . import dnn, reductions
from .launch import blocks, start
from .source import FLOATS, TYPES, Source, from_file

FORWARD, INPUT, WEIGHT = range(3)
TILE = 64
FEW = 16
"""Channels of a group of the result below which tiles are mostly empty."""
MOST_NUMBERS = 1 << 31

_SHAPE = np.dtype(
    [
        *[(name, np.int32) for name in ("batch", "groups", "c", "o")],
        *[
            (name, np.int32, (3,))
            for name in ("size", "out", "kernel", "stride", "padding", "dilation")
        ],
        *[(name, np.int32) for name in ("taps", "steps")],
        *[(name, np.int32, (5,)) for name in ("x", "y")],
    ],
    align=True,
)
"""The struct Shape of convolution.cuh."""


@functools.cache
def kernel(mode: int, dtype: str, *, tiles: bool, bias: bool = False, exact: bool = True) -> Source:
    """(shape, from, weight, bias, to): x, w, b, y forward; ȳ, w, b, x̄; or x, ȳ, nothing, w̄, for
    which tiles give the parts of its sum, in float32.
    """
    kind = TYPES[dtype]
    how = "tiles" if tiles else "direct"
    numbers: dict[str, Any] = {"MODE": mode, "BIAS": bias, "EXACT": exact}
    name = f"convolution_{how}_{mode}_{dtype}{'_bias' * bias}{'_exact' * (exact and tiles)}"
    result = "float" if tiles and mode == WEIGHT else kind.stored
    types = {"T": kind.stored, "A": kind.computed, "R": result}
    files = ("convolution.cuh", f"convolution_{how}.cuh")
    files = ("tensor_cores.cuh", *files) if tiles else files
    return Source(name, from_file(files, name, types, numbers), block=128 if tiles else 256)


def _usable(*arrays: Any) -> bool:
    """Whether they are of one floating dtype, not empty, and their offsets fit into 32 bits."""
    first = arrays[0]
    return first.dtype.name in FLOATS and all(
        [
            a is None or (a.dtype == first.dtype and a.size > 0 and _extent(a) < MOST_NUMBERS)
            for a in arrays
        ]
    )


def _extent(x: Any) -> int:
    """The larger of how many numbers there are, and how far from the first the last one lies."""
    last = sum([(n - 1) * abs(s) // x.itemsize for n, s in zip(x.shape, x.strides, strict=True)])
    return max(x.size, last)


def _three(values: Any, fill: int) -> tuple[int, ...]:
    return (*[fill] * (3 - len(values)), *values)


def _steps(x: Any) -> tuple[int, ...]:
    image, channel, *rest = [s // x.itemsize for s in x.strides]
    return image, channel, *_three(rest, 0)


def _shape(
    x: Any, y: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """What the kernels are told; x and y are of the forward convolution, whatever is computed."""
    shape = np.zeros(1, _SHAPE)
    shape["batch"], shape["groups"] = x.shape[0], groups
    shape["c"], shape["o"] = x.shape[1] // groups, y.shape[1] // groups
    shape["size"], shape["out"] = _three(x.shape[2:], 1), _three(y.shape[2:], 1)
    shape["kernel"], shape["stride"] = _three(kernel, 1), _three(stride, 1)
    shape["padding"], shape["dilation"] = _three(padding, 0), _three(dilation, 1)
    shape["taps"], shape["x"], shape["y"] = math.prod(kernel), _steps(x), _steps(y)
    return shape


def _empty(like: Any, shape: tuple[int, ...]) -> Any:
    """An array with channels last in memory if `like` has them so."""
    xp = array_module(like)
    if like.ndim > 2 and like.strides[1] == like.itemsize and like.shape[1] > 1:
        order = (shape[0], *shape[2:], shape[1])
        return xp.moveaxis(xp.empty(order, like.dtype), -1, 1)
    return xp.empty(shape, like.dtype)


def _start(mode: int, shape: Any, source: Any, weight: Any, bias: Any, to: Any, rows: int) -> None:
    """The result or the input's gradient, `rows` channels of a group, into `to`."""
    places = to.size // to.shape[1]
    groups, dtype = int(shape["groups"][0]), to.dtype.name
    tiles = rows >= FEW and dtype != "float64"
    made = kernel(mode, dtype, tiles=tiles, bias=bias is not None, exact=_exact(dtype))
    grid = blocks(to.size)
    if tiles:
        grid = -(-rows // TILE) * -(-places // TILE) * groups
    bias = None if bias is None else array_module(to).ascontiguousarray(bias)
    start(made, (grid, 1), [shape, source, weight, bias, to])


def _with_bias(y: Any, b: Any) -> Any:
    if b is not None:
        y += b.reshape(-1, *[1] * (y.ndim - 2))
    return y


def _exact(dtype: str) -> bool:
    return dtype == "float32" and not flags.allows_tf32("cudnn")


def forward(
    x: Any, w: Any, b: Any, out: tuple[int, ...], stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Any:  # fmt: skip
    """y = w ∗ x + b, or None where there is no kernel."""
    if not _usable(x, w, b) or math.prod(out) * x.shape[0] * w.shape[0] >= MOST_NUMBERS:
        return None
    w = array_module(x).ascontiguousarray(w)
    y = _empty(x, (x.shape[0], w.shape[0], *out))
    if dnn.usable(x, w) and dnn.conv_forward(x, w, y, stride, padding, dilation) is not None:
        return _with_bias(y, b)
    shape = _shape(x, y, w.shape[2:], stride, padding, dilation, groups)
    _start(FORWARD, shape, x, w, b, y, w.shape[0] // groups)
    return y


def input_gradient(
    g: Any, w: Any, b: Any, size: tuple[int, ...], stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Any:  # fmt: skip
    """x̄ of `forward`, plus b: a transposed convolution; or None."""
    channels = w.shape[1] * groups
    if not _usable(g, w, b) or math.prod(size) * g.shape[0] * channels >= MOST_NUMBERS:
        return None
    w = array_module(g).ascontiguousarray(w)
    x = _empty(g, (g.shape[0], channels, *size))
    if dnn.usable(g, w) and dnn.conv_input(g, w, x, stride, padding, dilation) is not None:
        return _with_bias(x, b)
    shape = _shape(x, g, w.shape[2:], stride, padding, dilation, groups)
    _start(INPUT, shape, g, w, b, x, w.shape[1])
    return x


def weight_gradient(
    x: Any, g: Any, kernel_shape: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """w̄ of `forward`; or None."""
    if not _usable(x, g):
        return None
    xp, dtype, o = array_module(x), g.dtype.name, g.shape[1]
    w = xp.empty((o, x.shape[1] // groups, *kernel_shape), g.dtype)
    if dnn.usable(x, g) and dnn.conv_weight(x, g, w, stride, padding, dilation) is not None:
        return w
    shape = _shape(x, g, kernel_shape, stride, padding, dilation, groups)
    inner, places = w.size // o, g.size // o
    if o // groups < FEW or dtype == "float64":
        source = kernel(WEIGHT, dtype, tiles=False)
        start(source, (w.size, 1), [shape, x, g, None, w])
        return w
    tiles = -(-o // groups // TILE) * -(-inner // TILE) * groups
    parts = max(1, min(blocks(1 << 30) // tiles, places // 256, 64))
    shape["steps"] = -(-places // parts)
    parts = -(-places // int(shape["steps"][0]))
    sums = w if parts == 1 and dtype == "float32" else xp.empty((parts, w.size), np.float32)
    source = kernel(WEIGHT, dtype, tiles=True, exact=_exact(dtype))
    start(source, (tiles, parts), [shape, x, g, None, sums])
    if sums is not w:
        adder = reductions.columns("float32", w.size, "sum", result=dtype, wide=False)
        rest = [np.int64(1), np.int64(parts), np.int64(w.size), np.int32(1), np.float32(1), sums, w]
        start(adder, (-(-w.size // 32), 1), rest)
    return w
