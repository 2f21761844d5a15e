"""Dropout: zero elements (or channels) at random and scale the others so that the mean stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.random import default_generator
from ..core.inplace import inplace as in_place
from ..core.primitive import primitive
from ..export import export


@primitive(residuals=("kept",))
def drop(x: Any, *, p: float, mask_shape: tuple[int, ...], rng: Any) -> Any:
    """y = x·m/(1 − p), m Bernoulli(1 − p) of mask_shape;  x̄ = ȳ·m/(1 − p). Keeps one byte per mask element."""
    kept = rng.random(mask_shape, np.float32) >= p
    return x * kept * x.dtype.type(1 / (1 - p) if p < 1 else 0), kept


drop.vjp(x=lambda g, kept, p: g * kept * (1 / (1 - p) if p < 1 else 0.0))
drop.primitive.node_class.__name__ = "NativeDropoutBackward0"


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(input: Any, p: float, training: bool, inplace: bool, shape: tuple[int, ...], generator: Any) -> Any:
    _check(p)
    if not training or p == 0.0:
        return input

    def dropout_(x: Any) -> Any:
        return drop(x, p=p, mask_shape=shape, rng=rng)

    rng = (default_generator if generator is None else generator).numpy
    return in_place(dropout_, "dropout_")(input) if inplace else dropout_(input)


@export("nn.functional.dropout", "dropout")
def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Zero each element with probability p, scale the others by 1/(1 − p) (Srivastava et al. 2014).

    ValueError for p outside [0, 1]; the identity outside training.
    """
    return _dropped(input, p, training, inplace, input._data.shape, generator)


def _channels(input: Any, p: float, training: bool, inplace: bool, spatial: int, generator: Any) -> Any:
    shape = input._data.shape
    lead = shape[: len(shape) - spatial] if len(shape) > spatial else shape
    return _dropped(input, p, training, inplace, (*lead, *[1] * (len(shape) - len(lead))), generator)


@export("nn.functional.dropout1d")
def dropout1d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Zero whole channels of (N, C, L) or (C, L)."""
    if input._data.ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input._data.ndim}D input.")
    return _channels(input, p, training, inplace, 1, generator)


@export("nn.functional.dropout2d")
def dropout2d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Zero whole channels of (N, C, H, W): the mask has one element per sample and channel (Tompson et al. 2015)."""
    rank = input._data.ndim
    spatial = max(rank - 2, 0)
    return _channels(input, p, training, inplace, spatial, generator)


@export("nn.functional.dropout3d")
def dropout3d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, generator: Any = None
) -> Any:
    """Zero whole channels of (N, C, D, H, W): the mask has one element per sample and channel."""
    return _channels(input, p, training, inplace, max(input._data.ndim - 2, 0), generator)


_ALPHA = -1.7580993408473766  # SELU's −λα: the value of a dropped unit


def _alpha(input: Any, p: float, training: bool, inplace: bool, shape: tuple[int, ...], generator: Any) -> Any:
    _check(p)
    if not training or p == 0.0:
        return input
    rng = (default_generator if generator is None else generator).numpy
    dtype = input._data.dtype
    kept = rng.random(shape, np.float32) >= p
    if p == 1.0:
        scale, shift = np.zeros((), dtype), np.zeros((), dtype)
    else:  # affine map that restores mean 0 and variance 1 (Klambauer et al. 2017, section "alpha dropout")
        a = ((1 - p) * (1 + p * _ALPHA**2)) ** -0.5
        scale = (a * kept).astype(dtype)
        shift = np.where(kept, -a * p * _ALPHA, a * _ALPHA * (1 - p)).astype(dtype)

    def alpha_dropout_(x: Any) -> Any:
        return affine_drop(x, scale=scale, shift=shift)

    return in_place(alpha_dropout_, "alpha_dropout_")(input) if inplace else alpha_dropout_(input)


@primitive
def affine_drop(x: Any, *, scale: Any, shift: Any) -> Any:
    """y = scale·x + shift with given arrays;  x̄ = ȳ·scale."""
    return x * scale + shift


affine_drop.vjp(x=lambda g, scale: g * scale)


@export("nn.functional.alpha_dropout", "alpha_dropout")
def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, generator: Any = None
) -> Any:
    """Dropout to SELU's negative saturation value, keeping mean 0 and variance 1 (Klambauer et al. 2017)."""
    return _alpha(input, p, training, inplace, input._data.shape, generator)


@export("nn.functional.feature_alpha_dropout", "feature_alpha_dropout")
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, generator: Any = None
) -> Any:
    """Alpha dropout of whole channels (N, C, *)."""
    shape = input._data.shape
    if training and p > 0 and len(shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return _alpha(input, p, training, inplace, (*shape[:2], *[1] * (len(shape) - 2)), generator)
