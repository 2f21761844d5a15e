"""What linear algebra and Fourier transforms refuse, with PyTorch's type of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def x(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(float(np.prod(shape))).reshape(shape))


def i(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(int(np.prod(shape))).reshape(shape))


def half(m: Any, *shape: int) -> Any:
    return m.zeros(*shape, dtype=m.float16)


def zeros(m: Any, *shape: int) -> Any:
    return m.zeros(*shape, dtype=m.float64)


def eye(m: Any, n: int) -> Any:
    return m.eye(n, dtype=m.float64)


def z(m: Any, *shape: int) -> Any:
    return m.zeros(*shape, dtype=m.complex128)


SQUARE = (
    "inv cholesky cholesky_ex det slogdet eig eigh eigvals eigvalsh inv_ex ldl_factor ldl_factor_ex"
    " matrix_exp"
).split()
MATRIX = "svd svdvals qr pinv matrix_rank cond lu lu_factor lu_factor_ex matrix_norm".split()

REFUSED: dict[str, Callable[[Any], Any]] = {
    **{f"{n} 1-d": lambda m, n=n: getattr(m.linalg, n)(x(m, 3)) for n in SQUARE + MATRIX},
    **{f"{n} 2x3": lambda m, n=n: getattr(m.linalg, n)(x(m, 2, 3)) for n in SQUARE},
    **{f"{n} integers": lambda m, n=n: getattr(m.linalg, n)(i(m, 2, 2)) for n in SQUARE + MATRIX},
    **{
        f"{n} half": lambda m, n=n: getattr(m.linalg, n)(half(m, 2, 2))
        for n in SQUARE + MATRIX
        if n not in ("matrix_exp", "matrix_norm")
    },
    **{f"{n} number": lambda m, n=n: getattr(m.linalg, n)(1.0) for n in SQUARE + MATRIX},
    "inv singular": lambda m: m.linalg.inv(zeros(m, 2, 2)),
    "inv singular in a batch": lambda m: m.linalg.inv(zeros(m, 2, 2, 2)),
    "inv_ex check": lambda m: m.linalg.inv_ex(zeros(m, 2, 2), check_errors=True),
    "inverse": lambda m: m.inverse(zeros(m, 2, 2)),
    "matrix_power singular": lambda m: m.linalg.matrix_power(zeros(m, 2, 2), -1),
    "matrix_power 2x3": lambda m: m.linalg.matrix_power(x(m, 2, 3), 2),
    "matrix_power float": lambda m: m.linalg.matrix_power(x(m, 2, 2), 2.0),
    "solve singular": lambda m: m.linalg.solve(zeros(m, 2, 2), x(m, 2)),
    "solve_ex check": lambda m: m.linalg.solve_ex(zeros(m, 2, 2), x(m, 2), check_errors=True),
    "solve shapes": lambda m: m.linalg.solve(eye(m, 3), x(m, 2, 1)),
    "solve batches": lambda m: m.linalg.solve(x(m, 2, 3, 3), x(m, 3, 3, 1)),
    "solve right": lambda m: m.linalg.solve(eye(m, 3), x(m, 2, 2), left=False),
    "solve vector right": lambda m: m.linalg.solve(eye(m, 3), x(m, 3), left=False),
    "solve dtypes": lambda m: m.linalg.solve(eye(m, 3), m.zeros(3, dtype=m.float32)),
    "solve list": lambda m: m.linalg.solve(eye(m, 2), [1.0, 2.0]),
    "solve_triangular shapes": lambda m: m.linalg.solve_triangular(
        eye(m, 3), x(m, 2, 1), upper=True
    ),
    "solve_triangular vector": lambda m: m.linalg.solve_triangular(eye(m, 3), x(m, 3), upper=True),
    "solve_triangular 2x3": lambda m: m.linalg.solve_triangular(x(m, 2, 3), x(m, 2, 1), upper=True),
    "solve_triangular upper": lambda m: m.linalg.solve_triangular(eye(m, 2), x(m, 2, 1)),
    "triangular_solve": lambda m: m.triangular_solve(x(m, 3), eye(m, 3)),
    "cholesky indefinite": lambda m: m.linalg.cholesky(-eye(m, 3)),
    "cholesky_ex check": lambda m: m.linalg.cholesky_ex(-eye(m, 3), check_errors=True),
    "cholesky in a batch": lambda m: m.linalg.cholesky(zeros(m, 2, 2, 2)),
    "cholesky_solve vector": lambda m: m.cholesky_solve(x(m, 3), eye(m, 3)),
    "cholesky_solve shapes": lambda m: m.cholesky_solve(x(m, 2, 1), eye(m, 3)),
    "cholesky_inverse 2x3": lambda m: m.cholesky_inverse(x(m, 2, 3)),
    "eigh UPLO": lambda m: m.linalg.eigh(eye(m, 2), UPLO="X"),
    "eig nan": lambda m: m.linalg.eig(eye(m, 2) * float("nan")),
    "svd driver": lambda m: m.linalg.svd(eye(m, 2), driver="gesvd"),
    "qr mode": lambda m: m.linalg.qr(eye(m, 2), mode="full"),
    "lu no pivots": lambda m: m.linalg.lu(eye(m, 2), pivot=False),
    "lu_factor singular": lambda m: m.linalg.lu_factor(zeros(m, 2, 2)),
    "lu_factor_ex check": lambda m: m.linalg.lu_factor_ex(zeros(m, 2, 2), check_errors=True),
    "lu_solve shapes": lambda m: m.linalg.lu_solve(*m.linalg.lu_factor(eye(m, 2)), x(m, 3, 1)),
    "lu_solve pivots": lambda m: m.linalg.lu_solve(eye(m, 2), i(m, 2), x(m, 2, 1)),
    "lu_unpack pivots": lambda m: m.lu_unpack(eye(m, 2), i(m, 2)),
    "ldl_solve shapes": lambda m: m.linalg.ldl_solve(*m.linalg.ldl_factor(eye(m, 2)), x(m, 3, 1)),
    "ldl_solve vector": lambda m: m.linalg.ldl_solve(*m.linalg.ldl_factor(eye(m, 2)), x(m, 2)),
    "householder wide": lambda m: m.linalg.householder_product(x(m, 2, 3), x(m, 2)),
    "householder tau": lambda m: m.linalg.householder_product(x(m, 3, 2), x(m, 3)),
    "householder batch": lambda m: m.linalg.householder_product(x(m, 2, 3, 2), x(m, 2)),
    "ormqr": lambda m: m.ormqr(x(m, 3, 2), x(m, 2), x(m, 2, 2)),
    "ormqr batch": lambda m: m.ormqr(x(m, 3, 2), x(m, 2), x(m, 2, 3, 2)),
    "geqrf": lambda m: m.geqrf(x(m, 3)),
    "tensorinv": lambda m: m.linalg.tensorinv(x(m, 2, 3, 4)),
    "tensorinv ind": lambda m: m.linalg.tensorinv(x(m, 2, 2), ind=0),
    "tensorsolve": lambda m: m.linalg.tensorsolve(x(m, 2, 3, 5), x(m, 2, 3)),
    "lstsq rank": lambda m: m.linalg.lstsq(x(m, 3), x(m, 3)),
    "lstsq shapes": lambda m: m.linalg.lstsq(x(m, 3, 2), x(m, 2, 1)),
    "lstsq driver": lambda m: m.linalg.lstsq(x(m, 3, 2), x(m, 3, 1), driver="fast"),
    "lstsq dtypes": lambda m: m.linalg.lstsq(x(m, 3, 2), m.zeros(3, 1, dtype=m.float32)),
    "vander": lambda m: m.linalg.vander(x(m, 3), N=1),
    "vander 0-d": lambda m: m.linalg.vander(x(m)),
    "matrix_norm order": lambda m: m.linalg.matrix_norm(x(m, 2, 2), 3),
    "matrix_norm name": lambda m: m.linalg.matrix_norm(x(m, 2, 2), "max"),
    "matrix_norm dim": lambda m: m.linalg.matrix_norm(x(m, 2, 2), dim=(0, 0)),
    "matrix_norm one dim": lambda m: m.linalg.matrix_norm(x(m, 2, 2), dim=(0,)),
    "matrix_norm dtype": lambda m: m.linalg.matrix_norm(x(m, 2, 2), dtype=m.float32),
    "matrix_norm empty": lambda m: m.linalg.matrix_norm(x(m, 0, 0), -2),
    "norm 3-d": lambda m: m.linalg.norm(x(m, 2, 2, 2), 2),
    "norm three dims": lambda m: m.linalg.norm(x(m, 2, 2, 2), 2, dim=(0, 1, 2)),
    "norm nuc of a vector": lambda m: m.linalg.norm(x(m, 2), "nuc"),
    "norm fro dim": lambda m: m.linalg.norm(x(m, 2, 2), "fro", dim=0),
    "cond 2x3": lambda m: m.linalg.cond(x(m, 2, 3), 1),
    "cond order": lambda m: m.linalg.cond(x(m, 2, 2), 3),
    "pca_lowrank q": lambda m: m.pca_lowrank(x(m, 3, 2), q=3),
    "pca_lowrank niter": lambda m: m.pca_lowrank(x(m, 3, 2), niter=-1),
    "rank complex tolerance": lambda m: m.linalg.matrix_rank(eye(m, 2), atol=z(m, 1)),
    "fft 0-d": lambda m: m.fft.fft(x(m)),
    "fft n": lambda m: m.fft.fft(x(m, 3), n=0),
    "fft dim": lambda m: m.fft.fft(x(m, 3), dim=1),
    "fft norm": lambda m: m.fft.fft(x(m, 3), norm="unit"),
    "fft half": lambda m: m.fft.fft(half(m, 4)),
    "fft number": lambda m: m.fft.fft(3.0),
    "rfft complex": lambda m: m.fft.rfft(z(m, 3)),
    "ihfft complex": lambda m: m.fft.ihfft(z(m, 3)),
    "irfft of one": lambda m: m.fft.irfft(x(m, 1)),
    "fftn dims": lambda m: m.fft.fftn(x(m, 3, 3), dim=(0, 0)),
    "fftn sizes": lambda m: m.fft.fftn(x(m, 3), s=(3, 3)),
    "fftn lengths": lambda m: m.fft.fftn(x(m, 3, 3), s=(3,), dim=(0, 1)),
    "rfftn 0-d": lambda m: m.fft.rfftn(x(m)),
    "irfftn no dims": lambda m: m.fft.irfftn(x(m, 3), dim=()),
    "fftfreq integers": lambda m: m.fft.fftfreq(3, dtype=m.int64),
    "fftfreq float": lambda m: m.fft.fftfreq(3.5),
    "fftshift dim": lambda m: m.fft.fftshift(x(m, 3), dim=1),
    "stft complex unsaid": lambda m: m.stft(x(m, 10), 4),
    "stft 3-d": lambda m: m.stft(x(m, 2, 2, 10), 4, return_complex=True),
    "stft short": lambda m: m.stft(x(m, 3), 8, return_complex=True),
    "stft hop": lambda m: m.stft(x(m, 10), 4, hop_length=0, return_complex=True),
    "stft window": lambda m: m.stft(x(m, 10), 4, window=x(m, 3), return_complex=True),
    "stft integers": lambda m: m.stft(i(m, 10), 4, return_complex=True),
    "istft real": lambda m: m.istft(x(m, 3, 5), 4),
    "istft frequencies": lambda m: m.istft(z(m, 5, 5), 4, onesided=True),
    "istft gap": lambda m: m.istft(z(m, 3, 5), 4, window=zeros(m, 4)),
    "hann_window length": lambda m: m.hann_window(-1),
    "hann_window float": lambda m: m.hann_window(3.5),
    "hann_window integers": lambda m: m.hann_window(3, dtype=m.int64),
    "windows.hann length": lambda m: m.signal.windows.hann(-1),
    "windows.hann half": lambda m: m.signal.windows.hann(3, dtype=m.float16),
    "windows.gaussian std": lambda m: m.signal.windows.gaussian(3, std=0),
    "windows.exponential tau": lambda m: m.signal.windows.exponential(3, tau=0),
    "windows.exponential center": lambda m: m.signal.windows.exponential(3, center=1),
    "windows.general_cosine": lambda m: m.signal.windows.general_cosine(3, a=[]),
    "windows.general_cosine number": lambda m: m.signal.windows.general_cosine(3, a=1),
}


def family(error: BaseException) -> type:
    """The exception type, of PyTorch's LinAlgError ours."""
    kind = type(error)
    return minigrad.linalg.LinAlgError if kind is torch.linalg.LinAlgError else kind


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    call = REFUSED[what]
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(family(theirs.value)) as ours:
        call(minigrad)
    assert type(ours.value) is family(theirs.value)


BACKWARD: dict[str, Callable[[Any, Any], Any]] = {
    "qr r": lambda m, a: m.linalg.qr(a, mode="r")[1],
    "qr complete": lambda m, a: m.linalg.qr(a, mode="complete")[1],
}


@pytest.mark.parametrize("what", BACKWARD)
def test_refused_in_backward(what: str) -> None:
    for m in (torch, minigrad):
        a = m.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
        with pytest.raises(RuntimeError):
            BACKWARD[what](m, a).sum().backward()


def test_phase_dependence_is_refused() -> None:
    a = minigrad.tensor(np.array([[2, 1j], [-1j, 3]]), requires_grad=True)
    with pytest.raises(RuntimeError, match="phi"):
        ((minigrad.linalg.eigh(a)[1] * (1 + 2j)) ** 2).real.sum().backward()


def test_info_without_errors() -> None:
    """The `_ex` functions say which element of a batch failed, and compute the others."""
    a = np.stack([np.eye(2), np.zeros((2, 2))])
    for name in ("inv_ex", "cholesky_ex"):
        found = getattr(minigrad.linalg, name)(minigrad.tensor(a))
        expected = getattr(torch.linalg, name)(torch.tensor(a))
        assert found.info.tolist() == expected.info.tolist() == [0, 1]
        np.testing.assert_array_equal(found[0][0].numpy(), np.eye(2))
    found = minigrad.linalg.solve_ex(
        minigrad.tensor(a), minigrad.ones(2, 2, dtype=minigrad.float64)
    )
    assert found.info.tolist() == [0, 1]
    np.testing.assert_array_equal(found.result[0].numpy(), np.ones(2))
