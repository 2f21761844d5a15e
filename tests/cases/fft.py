"""Fourier transforms, and the window functions that go with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.cases import Array, Case, Make, S

NORMS = (None, "backward", "ortho", "forward")


def z(r: Make, *shape: int) -> Array:
    x, y = r.rng.standard_normal((2, *shape))
    return r.values(x + 1j * y, np.complex128)


def one(r: Make, *, real: bool = True, complex_: bool = True) -> list[S]:
    """One dimension: every norm, lengths cut and continued, other dimensions."""
    kinds = [r] * real + [lambda *s: z(r, *s)] * complex_
    found = []
    for make in kinds:
        found += [S(make(6), norm=norm) for norm in NORMS] + [S(make(5), norm="ortho")]
        found += [S(make(2, 5), n=4), S(make(2, 5), 8), S(make(3, 2), dim=0)]
    return found


def several(r: Make, *, real: bool = True, complex_: bool = True) -> list[S]:
    kinds = [r] * real + [lambda *s: z(r, *s)] * complex_
    found = []
    for make in kinds:
        found += [S(make(2, 3, 4), norm=norm) for norm in NORMS]
        found += [
            S(make(2, 3, 4), s=(4, 3)),
            S(make(2, 3, 4), dim=(0, 2)),
            S(make(2, 4), s=(-1, 5)),
        ]
        found += [S(make(2, 3, 4), s=(3, 5), dim=(2, 0))]
    return found


def two(r: Make, **kinds: bool) -> list[S]:
    return [s for s in several(r, **kinds) if "dim" not in s.kwargs or s.kwargs["dim"] == (0, 2)]


def case(name: str, samples: Callable[[Make], list[S]]) -> Case:
    return Case(f"fft.{name}", samples, half=False, rtol=1e-4)


def shifts(r: Make) -> list[S]:
    return [S(r(5)), S(r(4)), S(r(3, 4)), S(r(3, 4), 1), S(r(3, 4), dim=(-1,)), S(r.int(0, 9, 4))]


def frames(r: Make) -> list[S]:
    """`stft` of real and complex signals."""
    found = []
    for make in (r, lambda *s: z(r, *s)):
        window = r(8, low=0.5, high=1.0)
        found += [
            S(make(20), 8, window=window, return_complex=True),
            S(make(2, 20), 8, 3, 5, window=r(5, low=0.5, high=1.0), return_complex=True),
            S(make(20), 8, window=window, center=False, return_complex=True),
            S(make(20), 8, window=window, pad_mode="constant", return_complex=True),
            S(make(20), 8, window=window, normalized=True, return_complex=False),
            S(make(20), 8, window=window, onesided=False, return_complex=True),
        ]
    return found


def back(r: Make) -> list[S]:
    """`istft`, to real and complex signals."""
    window = r(8, low=0.5, high=1.0)
    return [
        S(z(r, 5, 7), 8, window=window),
        S(z(r, 2, 5, 7), 8, 3, window=window),
        S(z(r, 5, 7), 8, window=window, length=9),
        S(z(r, 5, 7), 8, window=window, center=False),
        S(z(r, 5, 7), 8, window=window, normalized=True),
        S(z(r, 8, 7), 8, window=window, onesided=False),
        S(z(r, 8, 7), 8, window=window, onesided=False, return_complex=True),
    ]


def lengths(r: Make) -> list[S]:
    return [S(n, periodic) for n in (0, 1, 2, 5, 8) for periodic in (True, False)]


def points(**options: float | list[float]) -> Callable[[Make], list[S]]:
    return lambda r: [S(n, sym=sym, **options) for n in (0, 1, 2, 5, 8) for sym in (True, False)]


def made(name: str, samples: Callable[[Make], list[S]]) -> Case:
    return Case(name, samples, half=False, grad=False)


CASES = [
    *[case(name, one) for name in ("fft", "ifft", "irfft", "hfft")],
    *[case(name, lambda r: one(r, complex_=False)) for name in ("rfft", "ihfft")],
    *[case(name, several) for name in ("fftn", "ifftn", "irfftn", "hfftn")],
    *[case(name, lambda r: several(r, complex_=False)) for name in ("rfftn", "ihfftn")],
    *[case(name, two) for name in ("fft2", "ifft2", "irfft2", "hfft2")],
    *[case(name, lambda r: two(r, complex_=False)) for name in ("rfft2", "ihfft2")],
    *[case(name, shifts) for name in ("fftshift", "ifftshift")],
    Case("stft", frames, half=False, rtol=1e-4, atol=1e-4),
    Case("istft", back, half=False, rtol=1e-4, atol=1e-4, dtypes=("float64",)),
    *[
        made(f"{name}_window", lengths)
        for name in ("hann", "hamming", "blackman", "bartlett", "kaiser")
    ],
    *[
        made(f"signal.windows.{name}", points())
        for name in (
            "hann hamming blackman bartlett kaiser nuttall cosine exponential gaussian"
            " general_hamming"
        ).split()
    ],
    made("signal.windows.kaiser", points(beta=3.0)),
    made("signal.windows.exponential", points(tau=2.0)),
    made("signal.windows.gaussian", points(std=2.0)),
    made("signal.windows.general_hamming", points(alpha=0.6)),
    made("signal.windows.general_cosine", points(a=[0.4, 0.3, 0.2, 0.1])),
    made("fft.fftfreq", lambda r: [S(5), S(6, 0.5), S(1)]),
    made("fft.rfftfreq", lambda r: [S(5), S(6, d=0.5), S(1)]),
]
