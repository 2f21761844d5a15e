"""First values of parameters, written in place and outside the graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.random import default_generator
from ..core.tensor import Tensor
from ..export import export


def _write(tensor: Tensor, values: Any) -> Tensor:
    tensor._data[...] = values
    tensor._bump()
    return tensor


def _rng(generator: Any) -> Any:
    return default_generator if generator is None else generator


@export("nn.init.calculate_gain")
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much an activation shrinks the scale of its input: 1, 5/3 (tanh), √2 (relu), 3/4
    (selu).
    """
    if nonlinearity in (
        "linear",
        "sigmoid",
        "conv1d",
        "conv2d",
        "conv3d",
    ) or nonlinearity.startswith("conv_tr"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


@export("nn.init.uniform_")
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(a, b)."""
    return _write(
        tensor, sampling.uniform(tensor._data.shape, a, b, tensor._data.dtype, _rng(generator))
    )


@export("nn.init.normal_")
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(mean, std²)."""
    return _write(
        tensor, sampling.normal(tensor._data.shape, mean, std, tensor._data.dtype, _rng(generator))
    )


@export("nn.init.trunc_normal_")
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill from N(mean, std²) cut to [a, b], values outside drawn again."""
    values = mean + std * _rng(generator).numpy.standard_normal(tensor._data.shape)
    for _ in range(1000):
        outside = (values < a) | (values > b)
        count = int(outside.sum())
        if not count:
            break
        values[outside] = mean + std * _rng(generator).numpy.standard_normal(count)
    return _write(tensor, np.clip(values, a, b))


@export("nn.init.constant_")
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    return _write(tensor, val)


@export("nn.init.ones_")
def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _write(tensor, 1)


@export("nn.init.zeros_")
def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _write(tensor, 0)


@export("nn.init.eye_")
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix; ValueError unless the tensor has 2 dimensions."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _write(tensor, np.eye(*tensor._data.shape))


@export("nn.init.dirac_")
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes its input on: 1 in the middle of the kernel, channel to
    channel.
    """
    shape = tensor._data.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(shape)
    out = shape[0] // groups
    middle = tuple([n // 2 for n in shape[2:]])
    for g in range(groups):
        for d in range(min(out, shape[1])):
            values[(g * out + d, d, *middle)] = 1
    return _write(tensor, values)


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out): inputs and outputs that one weight connects, times the receptive field."""
    shape = tensor._data.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _fans(tensor)[0 if mode == "fan_in" else 1]


@export("nn.init.xavier_uniform_")
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(−a, a), a = gain √(6/(fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    a = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -a, a, generator)


@export("nn.init.xavier_normal_")
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, σ²), σ = gain √(2/(fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


@export("nn.init.kaiming_uniform_")
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """U(−b, b), b = gain √(3/fan) (He et al. 2015); `a` is the slope of the leaky relu."""
    if 0 in tensor._data.shape:
        return tensor
    bound = math.sqrt(3.0) * calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


@export("nn.init.kaiming_normal_")
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """N(0, σ²), σ = gain/√fan (He et al. 2015); `a` is the slope of the leaky relu."""
    if 0 in tensor._data.shape:
        return tensor
    return normal_(
        tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator
    )


@export("nn.init.orthogonal_")
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns, if fewer) orthonormal, times gain (Saxe et al. 2013)."""
    shape = tensor._data.shape
    if len(shape) < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, columns = shape[0], tensor.numel() // shape[0]
    flat = _rng(generator).numpy.standard_normal((rows, columns))
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    return _write(tensor, gain * (q.T if rows < columns else q).reshape(shape))


@export("nn.init.sparse_")
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """N(0, std²) with a share `sparsity` of every column zero (Martens 2010)."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor._data.shape
    rng = _rng(generator).numpy
    values = std * rng.standard_normal((rows, columns))
    zeros = math.ceil(sparsity * rows)
    for j in range(columns):
        values[rng.permutation(rows)[:zeros], j] = 0
    return _write(tensor, values)
