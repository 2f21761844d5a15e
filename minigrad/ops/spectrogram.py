"""The short-time Fourier transform and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import Tensor, wrap
from ..core.views import unlinked
from ..export import export
from .data import complex_
from .dims import squeeze_, transpose_, unsqueeze_
from .fft import half_spectrum, real_signal, transform
from .matrices import need_tensor
from .pad import pad
from .reinterpret import view_as_real
from .slices import put_windows, slice_, unfold_
from .views import view_


def _lengths(n_fft: int, hop: int | None, win: int | None) -> tuple[int, int]:
    return (n_fft // 4 if hop is None else hop), (n_fft if win is None else win)


def _check_window(name: str, window: Any, n_fft: int, hop: int, win: int) -> None:
    if hop <= 0:
        raise RuntimeError(f"{name}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={win}")
    if window is not None and window._data.shape != (win,):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win}, but got "
            f"window with size {list(window.shape)}"
        )


def _centred(window: Any, n_fft: int, win: int, dtype: Any) -> Any:
    """The window, ones if there is none, with zeros on both sides up to n_fft."""
    if window is None:
        window = wrap(np.ones(win, dtype))
    before = (n_fft - win) // 2
    return window if win == n_fft else pad(window, (before, n_fft - win - before))


@export("stft", "functional.stft")
def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect",
    normalized: bool = False, onesided: bool | None = None, return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transforms of overlapping windowed frames of a signal (length) or (batch, length).

        X[k, m] = Σ_j w_j x_{mH + j} e^{−2πi jk/n_fft}

    Frames start every H = hop_length (n_fft/4) and are n_fft long; the window has win_length
    (n_fft) points. center: frame m is centred at mH, the ends padded by pad_mode. normalized:
    divided by √n_fft. onesided (default for a real signal and window): n_fft/2 + 1 frequencies. The
    result (batch, frequencies, frames) is complex, or pairs of reals if return_complex is False;
    real signals must say which. RuntimeError for lengths that do not fit.
    """
    need_tensor("stft", input, names=("input",))
    x = input._data
    if x.dtype.kind not in "fc":
        raise RuntimeError("stft: expected a tensor of floating point or complex values")
    hop, win = _lengths(n_fft, hop_length, win_length)
    is_complex = x.dtype.kind == "c" or (window is not None and window._data.dtype.kind == "c")
    if return_complex is None:
        if not is_complex:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    if align_to_window and center:
        raise RuntimeError("stft: align_to_window should only be set when center = False.")
    if x.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got {x.ndim}D")
    signal = unsqueeze_(input, dim=0) if x.ndim == 1 else input
    if center:
        signal = squeeze_(
            pad(unsqueeze_(signal, dim=0), (n_fft // 2, n_fft // 2), mode=pad_mode), dims=(0,)
        )
    elif align_to_window:
        signal = pad(signal, ((win - n_fft) // 2, 0))
    length = signal._data.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {length}, but got n_fft={n_fft}")
    _check_window("stft", window, n_fft, hop, win)
    frames = unfold_(signal, dim=1, size=n_fft, step=hop)
    if window is not None or win < n_fft:
        frames = frames * _centred(window, n_fft, win, x.real.dtype)
    y = _spectra(frames, "ortho" if normalized else "backward", onesided, is_complex)
    y = transpose_(y, dim0=1, dim1=2)
    y = squeeze_(y, dims=(0,)) if x.ndim == 1 else y
    return unlinked(y) if return_complex else view_as_real(y)


def _spectra(frames: Any, norm: str, onesided: bool | None, is_complex: bool) -> Any:
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not is_complex and onesided is not False:
        return half_spectrum(frames, dim=2, norm=norm)
    return transform(_as_complex(frames), dims=(2,), norm=norm, inverse=False)


def _as_complex(x: Any) -> Any:
    if x._data.dtype.kind == "c":
        return x
    return complex_(x, wrap(np.zeros_like(x._data)))


@export("istft")
def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False,
    onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal of least squared difference to a short-time Fourier transform (Griffin and Lim).

        x_t = Σ_m w_{t−mH} y_m[t−mH] / Σ_m w²_{t−mH},  y_m the inverse transform of frame m

    input (frequencies, frames) or with a batch in front, complex; the other arguments as given to
    `stft`; length cuts the result, or continues it with zeros. RuntimeError where the windows leave
    a gap.
    """
    need_tensor("istft", input, names=("input",))
    spectrum = input._data
    if spectrum.dtype.kind != "c":
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    hop, win = _lengths(n_fft, hop_length, win_length)
    if not spectrum.size:
        raise RuntimeError("istft: input tensor cannot be empty.")
    if spectrum.ndim not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, got {spectrum.ndim}")
    if onesided is None:
        onesided = spectrum.shape[-2] != n_fft
    expected = n_fft // 2 + 1 if onesided else n_fft
    if spectrum.shape[-2] != expected:
        raise RuntimeError(
            "istft: expected the frequency dimension of the input tensor to match n_fft / 2 + 1 "
            f"(onesided) or n_fft, but got {spectrum.shape[-2]}"
        )
    if not 0 < hop <= win:
        raise RuntimeError("istft: expected 0 < hop_length <= win_length")
    _check_window("istft", window, n_fft, hop, win)
    if onesided and return_complex:
        raise RuntimeError("cannot have onesided output if window or input is complex")
    taps = _centred(window, n_fft, win, spectrum.real.dtype)
    x = unsqueeze_(input, dim=0) if spectrum.ndim == 2 else input
    frames = _frames(transpose_(x, dim0=1, dim1=2), n_fft, normalized, onesided, return_complex)
    y = _overlapped(frames, taps, n_fft, hop, center, length)
    return squeeze_(y, dims=(0,)) if spectrum.ndim == 2 else y


def _frames(x: Any, n_fft: int, normalized: bool, onesided: bool, return_complex: bool) -> Any:
    norm = "ortho" if normalized else "backward"
    if return_complex:
        return transform(x, dims=(2,), norm=norm, inverse=True)
    if not onesided:  # a real signal's coefficients of negative frequencies say nothing new
        x = slice_(x, dim=2, start=0, stop=n_fft // 2 + 1, step=1)
    return real_signal(x, dim=2, n=n_fft, norm=norm)


def _overlapped(
    frames: Any, taps: Any, n_fft: int, hop: int, center: bool, length: int | None
) -> Any:
    """The frames, windowed again, added up where they overlap and divided by what w² adds up to."""
    batch, count, _ = frames._data.shape
    total = n_fft + hop * (count - 1)
    y = put_windows(frames * taps, dim=1, size=n_fft, step=hop, shape=(batch, total))
    squares = view_(taps * taps, size=(1, n_fft)) * wrap(np.ones((count, 1), taps._data.dtype))
    weight = put_windows(squares, dim=0, size=n_fft, step=hop, shape=(total,))
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else (total - n_fft // 2 if center else total)
    inside = min(stop, total)
    y = slice_(y, dim=1, start=start, stop=inside, step=1)
    weight = slice_(weight, dim=0, start=start, stop=inside, step=1)
    if weight._data.size and np.abs(weight._data).min() <= 1e-11:
        raise RuntimeError("istft: window overlap add min is 0: the windows leave a gap")
    y = y / weight
    return pad(y, (0, stop - inside)) if stop > inside else y
