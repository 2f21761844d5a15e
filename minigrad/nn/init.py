"""First values of parameters, written in place and outside the graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module
from ..backend.random import default_generator
from ..core.tensor import Tensor
from ..export import export

_LINEAR = ("linear", "sigmoid", "conv1d", "conv2d", "conv3d")
_LINEAR += ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def _write(tensor: Tensor, values: Any) -> Tensor:
    xp = array_module(tensor._data)
    tensor._data[...] = values if isinstance(values, (int, float)) else xp.asarray(values)
    tensor._bump()
    return tensor


class _Skipping:
    """How many `skipped()` blocks are open."""

    depth = 0


@contextmanager
def skipped() -> Iterator[None]:
    """Inside, nothing is drawn: `uniform_` and `normal_`, and all that ends in them, do nothing."""
    _Skipping.depth += 1
    try:
        yield
    finally:
        _Skipping.depth -= 1


def _rng(generator: Any) -> Any:
    return default_generator if generator is None else generator


@export("nn.init.calculate_gain")
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much an activation shrinks the scale of its input: 1, 5/3 (tanh), √2 (relu), 3/4
    (selu).
    """
    if nonlinearity in _LINEAR:
        return 1
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


@export("nn.init.uniform_", "nn.init.uniform", deprecated=["nn.init.uniform"])
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(a, b)."""
    if _Skipping.depth:
        return tensor
    return _write(
        tensor, sampling.uniform(tensor._data.shape, a, b, tensor._data.dtype, _rng(generator))
    )


@export("nn.init.normal_", "nn.init.normal", deprecated=["nn.init.normal"])
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(mean, std²)."""
    if _Skipping.depth:
        return tensor
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
    """Fill from N(mean, std²) cut to [a, b], by rejection (Robert 1995, section 2).

    Proposals are normal where [a, b] holds at least 3/10 of the mass, otherwise uniform: in a tail
    normal ones would hardly ever be accepted.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    low, high = (a - mean) / std, (b - mean) / std
    if not low <= high:
        raise RuntimeError(f"trunc_normal_ expects a <= b, but found a={a} > b={b}")
    values = np.empty(tensor._data.size)
    left = values.size
    draw = _proposals(low, high, _rng(generator).numpy)
    while left:
        found = draw(left)
        values[left - found.size : left] = found
        left -= found.size
    values *= std
    values += mean
    return _write(tensor, np.clip(values, a, b).reshape(tensor._data.shape))


def _proposals(low: float, high: float, rng: Any) -> Callable[[int], Any]:
    """A function that draws up to n standard normal numbers in [low, high]."""
    if math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)) > 0.6:

        def normal(n: int) -> Any:
            z = rng.standard_normal(n)
            return z[(z >= low) & (z <= high)]

        return normal
    peak = min(max(low, 0.0), high)
    # density relative to the peak is below 1e-17 outside
    reach = math.sqrt(peak * peak + 80)
    low, high = max(low, -reach), min(high, reach)

    def uniform(n: int) -> Any:
        z = low + (high - low) * rng.random(n)
        return z[2 * np.log1p(-rng.random(n)) <= peak * peak - z * z]

    return uniform


@export("nn.init.constant_", "nn.init.constant", deprecated=["nn.init.constant"])
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


@export("nn.init.eye_", "nn.init.eye", deprecated=["nn.init.eye"])
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix; ValueError unless the tensor has 2 dimensions."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _write(tensor, np.eye(*tensor._data.shape))


@export("nn.init.dirac_", "nn.init.dirac", deprecated=["nn.init.dirac"])
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


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out): inputs and outputs that one weight connects, times the receptive field.

    Named as in PyTorch: layers that programs write themselves call it.
    """
    shape = tensor._data.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[0 if mode == "fan_in" else 1]


def _nothing_to_do(tensor: Tensor) -> bool:
    if 0 in tensor._data.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


@export("nn.init.xavier_uniform_", "nn.init.xavier_uniform", deprecated=["nn.init.xavier_uniform"])
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(−a, a), a = gain √(6/(fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    a = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -a, a, generator)


@export("nn.init.xavier_normal_", "nn.init.xavier_normal", deprecated=["nn.init.xavier_normal"])
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, σ²), σ = gain √(2/(fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(
        tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator
    )


@export(
    "nn.init.kaiming_uniform_", "nn.init.kaiming_uniform", deprecated=["nn.init.kaiming_uniform"]
)
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """U(−b, b), b = gain √(3/fan) (He et al. 2015); `a` is the slope of the leaky relu."""
    if _nothing_to_do(tensor):
        return tensor
    bound = (
        math.sqrt(3.0)
        * calculate_gain(nonlinearity, a)
        / math.sqrt(_calculate_correct_fan(tensor, mode))
    )
    return uniform_(tensor, -bound, bound, generator)


@export("nn.init.kaiming_normal_", "nn.init.kaiming_normal", deprecated=["nn.init.kaiming_normal"])
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """N(0, σ²), σ = gain/√fan (He et al. 2015); `a` is the slope of the leaky relu."""
    if _nothing_to_do(tensor):
        return tensor
    return normal_(
        tensor,
        0.0,
        calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode)),
        generator,
    )


@export("nn.init.orthogonal_", "nn.init.orthogonal", deprecated=["nn.init.orthogonal"])
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


@export("nn.init.sparse_", "nn.init.sparse", deprecated=["nn.init.sparse"])
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


@export("nn.init.icnr_")
def icnr_(
    tensor: Tensor, upscale_factor: int = 2, init: Callable[..., Tensor] | None = None
) -> Tensor:
    """The weight of a convolution before PixelShuffle(r), so that it begins as a convolution
    followed by nearest-neighbour upsampling: without a checkerboard.

    The r² kernels that fill one block of pixels begin equal: kernels of shape (out/r², in, *) are
    drawn by `init` (kaiming_normal_ by default) and each is repeated r² times. ValueError if the
    first dimension does not divide by r². Aitken et al., "Checkerboard artifact free sub-pixel
    convolution" (2017), section 3.
    """
    copies, shape = upscale_factor**2, tensor._data.shape
    if copies < 1 or len(shape) < 2 or shape[0] % copies:
        raise ValueError(
            f"icnr_ needs a weight whose first dimension is a multiple of {copies}, got"
            f" {list(shape)}"
        )
    first = Tensor(np.empty((shape[0] // copies, *shape[1:]), tensor._data.dtype))
    (kaiming_normal_ if init is None else init)(first)
    return _write(tensor, np.repeat(first._data, copies, axis=0))


@export("nn.init.bilinear_")
def bilinear_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The weight of a transposed convolution that interpolates linearly, channel to channel.

    The weight is (in, out/groups, *kernel); a kernel side k serves stride s = ⌈k/2⌉ with
    padding ⌈(s − 1)/2⌉, and its values are wᵢ = 1 − |i − c|/s, c the middle of the kernel's
    support. Input channel i of a group goes to output channel i of that group. ValueError unless
    the tensor has 3, 4 or 5 dimensions. Long et al., "Fully convolutional networks for semantic
    segmentation" (2015), section 3.3.
    """
    shape = tensor._data.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if groups < 1 or shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    kernel = np.ones(())
    for k in shape[2:]:
        step = (k + 1) // 2
        centre = step - 1 if k % 2 else step - 0.5
        kernel = kernel[..., None] * (1 - np.abs(np.arange(k) - centre) / step)
    values = np.zeros(shape)
    inside = shape[0] // groups
    for i in range(shape[0]):
        if i % inside < shape[1]:
            values[i, i % inside] = kernel
    return _write(tensor, values)
