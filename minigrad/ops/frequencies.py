"""The frequencies that Fourier coefficients belong to, and their order."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..export import export
from .fft import Sizes, one_dim
from .filled import check_layout, dtype_or_default, finish, on_device
from .rearrange import roll_


def _frequencies(
    name: str, n: Any, d: float, numbers: Any, out: Any, dtype: Any, layout: Any, device: Any,
    requires_grad: bool,
) -> Tensor:  # fmt: skip
    if isinstance(n, (bool, float)):
        raise TypeError(
            f"fft_{name}(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    check_layout(layout)
    kind = dtype_or_default(dtype, out)
    if kind.kind in "biu":
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    scale = 1.0 / (index(n) * d) if n else 0.0
    array = on_device(device, lambda xp: (xp.asarray(numbers(index(n)), kind) * scale).astype(kind))
    return finish(array, requires_grad, out, dtype)


@export("fft.fftfreq")
def fftfreq(
    n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies of `fft`'s n coefficients at sampling distance d: 0, 1, … then the negative.

    f = [0, 1, …, ⌈n/2⌉ − 1, −⌊n/2⌋, …, −1] / (d·n). RuntimeError for integer dtypes.
    """

    def numbers(n: int) -> Any:
        return np.concatenate((np.arange((n + 1) // 2), np.arange(-(n // 2), 0)))

    return _frequencies("fftfreq", n, d, numbers, out, dtype, layout, device, requires_grad)


@export("fft.rfftfreq")
def rfftfreq(
    n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies of `rfft`'s n/2 + 1 coefficients: 0, 1, …, ⌊n/2⌋, over d·n."""
    return _frequencies(
        "rfftfreq", n, d, lambda n: np.arange(n // 2 + 1), out, dtype, layout, device, requires_grad
    )


def _shifted(input: Tensor, dim: Sizes, back: bool) -> Tensor:
    shape = input._data.shape
    if dim is None:
        dims = tuple(range(len(shape)))
    else:
        given = (dim,) if isinstance(dim, (int, np.integer)) else dim
        dims = tuple([one_dim(input, d) for d in given])
    if not dims:
        raise RuntimeError("`shifts` required")
    by = tuple([(shape[d] + back) // 2 for d in dims])
    return roll_(input, shifts=by, dims=dims)


@export("fft.fftshift")
def fftshift(input: Tensor, dim: Sizes = None) -> Tensor:
    """Frequency 0 moved from the first place to the middle, along `dim` or everywhere."""
    return _shifted(input, dim, False)


@export("fft.ifftshift")
def ifftshift(input: Tensor, dim: Sizes = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted(input, dim, True)
