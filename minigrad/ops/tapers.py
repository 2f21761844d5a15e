"""Window functions: tapers for spectra, at n points from 0 to n − 1.

"periodic" windows are those of length n + 1 without the last point; the `signal.windows` are
symmetric unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend.dtypes import get_default_dtype
from ..core.tensor import Tensor
from ..export import export
from .filled import check_layout, checked_dtype, finish, on_device

Shape = Callable[[Any, int], Any]
"""Of the points 0 … M − 1 and M: the window's values."""


def _made(name: str, length: int, shape: Shape, periodic: bool, options: dict[str, Any]) -> Tensor:
    """The window of this length, computed in double precision."""
    dtype, device = options.get("dtype"), options.get("device")
    check_layout(options.get("layout"))
    kind = get_default_dtype().np if dtype is None else checked_dtype(dtype)
    if kind.kind in "biuc":
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind.name}")
    points = length + 1 if periodic and length > 1 else length

    def make(xp: Any) -> Any:
        if length < 2:
            return xp.ones(length, kind)
        values = shape(np.arange(points, dtype=np.float64), points)
        return xp.asarray(values[:length].astype(kind))

    return finish(on_device(device, make), bool(options.get("requires_grad", False)))


def _cosines(*coefficients: float) -> Shape:
    """Σ_i (−1)ⁱ aᵢ cos(2πi k/(M − 1))."""

    def shape(k: Any, points: int) -> Any:
        angle = 2 * math.pi * k / (points - 1)
        y = np.zeros_like(k)
        for i, a in enumerate(coefficients):
            y += (-1) ** i * a * np.cos(i * angle)
        return y

    return shape


def _triangle(k: Any, points: int) -> Any:
    return 1 - np.abs(2 * k / (points - 1) - 1)


def _kaiser(beta: float) -> Shape:
    def shape(k: Any, points: int) -> Any:
        x = 2 * k / (points - 1) - 1
        return np.i0(beta * np.sqrt(np.maximum(1 - x * x, 0))) / np.i0(beta)

    return shape


# ------------------------------------------------------------------------------ the older functions
def _old(name: str, length: int, shape: Shape, periodic: bool, options: dict[str, Any]) -> Tensor:
    if isinstance(length, (bool, float)) or not isinstance(length, (int, np.integer)):
        raise TypeError(
            f"{name}(): argument 'window_length' (position 1) must be int, not "
            f"{type(length).__name__}"
        )
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    return _made(name, int(length), shape, periodic, options)


@export("hann_window")
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Hann's window: w_k = ½ − ½ cos(2πk/N), N = n if periodic, else n − 1.

    RuntimeError for a negative length or an integer dtype.
    """
    options = dict(dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return _old("hann_window", window_length, _cosines(0.5, 0.5), periodic, options)


@export("hamming_window")
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Hamming's window: w_k = α − β cos(2πk/N), N = n if periodic, else n − 1."""
    options = dict(dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return _old("hamming_window", window_length, _cosines(alpha, beta), periodic, options)


@export("blackman_window")
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Blackman's window: 0.42 − 0.5 cos(2πk/N) + 0.08 cos(4πk/N), N = n if periodic, else n − 1."""
    options = dict(dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return _old("blackman_window", window_length, _cosines(0.42, 0.5, 0.08), periodic, options)


@export("bartlett_window")
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Bartlett's window: a triangle from 0 to 1 and back, 1 − |2k/N − 1|."""
    options = dict(dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return _old("bartlett_window", window_length, _triangle, periodic, options)


@export("kaiser_window")
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Kaiser's window: I₀(β √(1 − (2k/N − 1)²)) / I₀(β), N = n if periodic, else n − 1."""
    options = dict(dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return _old("kaiser_window", window_length, _kaiser(beta), periodic, options)


# ------------------------------------------------------------------------------ signal.windows
def _signal(name: str, M: int, shape: Shape, sym: bool, options: dict[str, Any]) -> Tensor:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    dtype = options.get("dtype")
    if dtype is not None and checked_dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return _made(name, M, shape, not sym, options)


@export("signal.windows.general_cosine")
def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """Σ_i (−1)ⁱ aᵢ cos(2πi k/(M − 1)) for the coefficients a; M for M − 1 unless `sym`.

    options: dtype, layout, device, requires_grad. TypeError if a is no sequence, ValueError if it
    is empty, M negative or the dtype not float32 or float64.
    """
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    coefficients = list(a)
    if not coefficients:
        raise ValueError("Coefficients cannot be empty")
    return _signal("general_cosine", M, _cosines(*coefficients), sym, options)


@export("signal.windows.general_hamming")
def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """α − (1 − α) cos(2πk/(M − 1)); options and errors as for `general_cosine`."""
    return _signal("general_hamming", M, _cosines(alpha, 1 - alpha), sym, options)


@export("signal.windows.hann")
def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """½ − ½ cos(2πk/(M − 1)); options and errors as for `general_cosine`."""
    return _signal("hann", M, _cosines(0.5, 0.5), sym, options)


@export("signal.windows.hamming")
def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.54 − 0.46 cos(2πk/(M − 1)); options and errors as for `general_cosine`."""
    return _signal("hamming", M, _cosines(0.54, 0.46), sym, options)


@export("signal.windows.blackman")
def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.42 − 0.5 cos(2πk/(M − 1)) + 0.08 cos(4πk/(M − 1)); options as for `general_cosine`."""
    return _signal("blackman", M, _cosines(0.42, 0.5, 0.08), sym, options)


@export("signal.windows.nuttall")
def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's window of four cosines (1981, eq. 37); options as for `general_cosine`."""
    shape = _cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411)
    return _signal("nuttall", M, shape, sym, options)


@export("signal.windows.bartlett")
def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """The triangle 1 − |2k/(M − 1) − 1|; options and errors as for `general_cosine`."""
    return _signal("bartlett", M, _triangle, sym, options)


@export("signal.windows.kaiser")
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """I₀(β √(1 − (2k/(M − 1) − 1)²)) / I₀(β); ValueError for a negative β."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _signal("kaiser", M, _kaiser(beta), sym, options)


@export("signal.windows.cosine")
def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """sin(π(k + ½)/M); options and errors as for `general_cosine`."""
    return _signal("cosine", M, lambda k, n: np.sin(math.pi * (k + 0.5) / n), sym, options)


@export("signal.windows.exponential")
def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(−|k − center|/τ), around the middle if center is None (it must be if `sym`).

    ValueError for τ ≤ 0, or a center of a symmetric window.
    """
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")

    def shape(k: Any, points: int) -> Any:
        middle = (points - 1) / 2 if center is None else center
        return np.exp(-np.abs(k - middle) / tau)

    return _signal("exponential", M, shape, sym, options)


@export("signal.windows.gaussian")
def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(−(k − (M − 1)/2)²/(2 std²)); ValueError for std ≤ 0."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")

    def shape(k: Any, points: int) -> Any:
        return np.exp(-0.5 * ((k - (points - 1) / 2) / std) ** 2)

    return _signal("gaussian", M, shape, sym, options)
