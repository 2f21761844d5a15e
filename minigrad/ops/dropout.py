"""Dropout: zero elements (or channels) at random and scale the others so that the mean stays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module
from ..backend.philox import Bits
from ..core.inplace import inplace as in_place
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import random as kernels
from .elementwise import mul


# ------------------------------------------------------------------------------ with zeros
@primitive(half="device")
def drop(x: Any, kept: Any, *, p: float, seed: int | Bits = 0) -> Any:
    """y = x·m/(1 − p) with the mask m;  x̄ = ȳ·m/(1 − p).

    m is `kept`, of one byte per element, or (None) the mask that `seed` stands for, made anew
    wherever it is needed; on a GPU `seed` is a place in the sequence of its generator.
    """
    if kept is None:
        if isinstance(seed, Bits):
            return cuda.launch.dropout(x, p, seed)
        if type(x) is np.ndarray:
            y = kernels.drop(x, seed, p)
            if y is not None:
                return y
        kept = array_module(x).asarray(_mask_of(seed, x.shape, p))
    return x * (kept * x.dtype.type(1 / (1 - p) if p < 1 else 0))


def _mask_of(seed: int, shape: tuple[int, ...], p: float) -> Any:
    """The mask of a seed: rows of equal length, of which the last may be cut off."""
    size = math.prod(shape)
    width = min(kernels.ROW, max(size, 1))
    kept = sampling.keep_mask(seed, -(-size // width), width, p)
    return kept.reshape(-1)[:size].reshape(shape)


drop.vjp(x=lambda g, kept, p, seed: drop(g, kept, p=p, seed=seed))
drop.primitive.node_class.__name__ = "NativeDropoutBackward0"

_LARGE = 1 << 13
"""Elements from which making the mask again is cheaper than keeping it."""


def _check(name: str, input: Any, p: float) -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(
    input: Any, p: float, training: bool, inplace: bool, size: tuple[int, ...], generator: Any
) -> Any:
    """Dropout with a mask of shape `size`, which broadcasts to the input."""
    if not training or p == 0.0:
        return input
    if array_module(input._data) is not np and input.is_floating_point():
        return _dropped_on_gpu(input, p, inplace, size, generator)
    if p < 1.0 and input._data.size >= _LARGE and size == input._data.shape:
        seed = sampling.draw_seed(generator)
        return (in_place(drop, "dropout_") if inplace else drop)(input, None, p=p, seed=seed)
    kept = sampling.bernoulli(size, 1 - p, bool, generator)
    kept = array_module(input._data).asarray(kept)
    return (in_place(drop, "dropout_") if inplace else drop)(input, kept, p=p)


def _dropped_on_gpu(
    input: Any, p: float, inplace: bool, size: tuple[int, ...], generator: Any
) -> Any:
    """By a kernel, which draws the numbers itself; whole channels times a factor each."""
    x = input._data
    if size == x.shape:
        bits = cuda.launch.dropout_bits(x, generator)
        return (in_place(drop, "dropout_") if inplace else drop)(input, None, p=p, seed=bits)
    ones = array_module(x).ones(size, x.dtype)
    factors = cuda.launch.dropout(ones, p, cuda.launch.dropout_bits(ones, generator))
    return (in_place(mul, "dropout_") if inplace else mul)(input, wrap(factors))


@export("nn.functional.dropout")
def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Zero each element with probability p, scale the others (Srivastava et al. 2014).

        y = x·m/(1 − p), m ~ Bernoulli(1 − p),  x̄ = ȳ·m/(1 − p)

    The input itself outside training. ValueError for p outside [0, 1].
    """
    _check("dropout", input, p)
    return _dropped(input, p, training, inplace, input._data.shape, generator)


@export("dropout")
def dropout_of(input: Any, p: float, train: bool) -> Any:
    """`nn.functional.dropout` with every argument given."""
    return dropout(input, p, train)


@export("dropout_")
def dropout_in_place(input: Any, p: float, train: bool) -> Any:
    """`nn.functional.dropout`, written into the input."""
    return dropout(input, p, train, inplace=True)


def _channels(shape: tuple[int, ...], spatial: int) -> tuple[int, ...]:
    """The shape of a mask of whole channels: 1 in each of the last `spatial` dimensions."""
    lead = max(len(shape) - spatial, 0)
    return (*shape[:lead], *[1] * (len(shape) - lead))


@export("nn.functional.dropout1d")
def dropout1d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L); RuntimeError for other ranks."""
    _check("dropout1d", input, p)
    shape = input._data.shape
    if len(shape) not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {len(shape)}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _dropped(input, p, training, inplace, _channels(shape, 1), generator)


@export("nn.functional.dropout2d")
def dropout2d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Dropout of whole channels of (N, C, H, W): one draw a sample and channel (Tompson 2015)."""
    _check("dropout2d", input, p)
    shape = input._data.shape
    return _dropped(input, p, training, inplace, _channels(shape, len(shape) - 2), generator)


@export("nn.functional.dropout3d")
def dropout3d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Dropout of whole channels of (N, C, D, H, W): one draw a sample and channel."""
    _check("dropout3d", input, p)
    shape = input._data.shape
    return _dropped(input, p, training, inplace, _channels(shape, len(shape) - 2), generator)


# ------------------------------------------------------------------------------ for SELU networks
_SATURATION = -1.7580993408473766  # −λα of SELU: the value of a dropped unit


@primitive
def drop_to_saturation(x: Any, kept: Any, *, scale: float, low: float, high: float) -> Any:
    """y = scale·m·x + (high where m, else low);  x̄ = ȳ·scale·m."""
    xp, kind = array_module(x), x.dtype.type
    return x * (kept * kind(scale)) + xp.where(kept, kind(high), kind(low))


drop_to_saturation.vjp(x=lambda g, kept, scale: g * kept * scale)
drop_to_saturation.primitive.node_class.__name__ = "AlphaDropoutBackward0"


def _saturated(
    input: Any, p: float, training: bool, inplace: bool, size: tuple[int, ...], generator: Any
) -> Any:
    if not training or p == 0.0:
        return input
    kept = array_module(input._data).asarray(sampling.bernoulli(size, 1 - p, bool, generator))
    if p == 1.0:
        scale = low = high = 0.0
    else:  # the affine map that restores mean 0 and variance 1
        scale = ((1 - p) * (1 + p * _SATURATION**2)) ** -0.5
        high = -scale * p * _SATURATION
        low = scale * _SATURATION + high
    op = in_place(drop_to_saturation, "alpha_dropout_") if inplace else drop_to_saturation
    return op(input, kept, scale=scale, low=low, high=high)


@export("nn.functional.alpha_dropout")
def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, generator: Any = None
) -> Any:
    """Dropout to SELU's saturation −λα, keeping mean 0 and variance 1 (Klambauer et al. 2017).

        y = a (x m + s (1 − m)) + b,  x̄ = ȳ·a·m,  s = −λα, a = ((1 − p)(1 + p s²))^−½, b = −a p s

    ValueError for p outside [0, 1].
    """
    _check("alpha_dropout", input, p)
    return _saturated(input, p, training, inplace, input._data.shape, generator)


@export("nn.functional.feature_alpha_dropout")
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, generator: Any = None
) -> Any:
    """Alpha dropout of whole channels (N, C, *); RuntimeError with fewer than 2 dimensions."""
    _check("feature_alpha_dropout", input, p)
    shape = input._data.shape
    if training and p > 0 and len(shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return _saturated(input, p, training, inplace, _channels(shape, len(shape) - 2), generator)
