"""Tensors are printed as PyTorch prints them, character for character but for the name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.core import printing

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
COMPLEX = ("complex64", "complex128")
DTYPES = FLOATS + INTEGERS + COMPLEX
SHAPES = [
    (), (1,), (5,), (30,), (3, 4), (2, 3, 4), (0,), (0, 3), (2, 0, 3), (1, 1, 1, 1, 1),
    (2, 2, 2, 2), (1000,), (1001,), (40, 40), (3, 400), (400, 3), (6, 334), (7, 200), (7, 7, 30),
    (12, 12, 12),
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"precision": 2},
    {"precision": 0},
    {"precision": 10, "linewidth": 200},
    {"profile": "short"},
    {"profile": "full"},
    {"sci_mode": True},
    {"sci_mode": False},
    {"edgeitems": 0},
    {"edgeitems": 1, "threshold": 5},
    {"threshold": 0},
    {"linewidth": 40},
    {"linewidth": 1},
    {"profile": "full", "precision": 1, "linewidth": 60},
]


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    yield
    for library in (printing, torch):
        library.set_printoptions(profile="default")


def set_both(**options: Any) -> None:
    """From the defaults, in both libraries."""
    for library in (printing, torch):
        library.set_printoptions(profile="default")
        library.set_printoptions(**options)


def array_of(t: Any) -> np.ndarray:
    if t.dtype == torch.bfloat16:
        return t.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return t.detach().numpy()


def ours(t: Any) -> str:
    node = t.grad_fn
    return printing.format_tensor(
        array_of(t),
        dtype_name=str(t.dtype).removeprefix("torch."),
        requires_grad=t.requires_grad,
        grad_fn_name=None if node is None else type(node).__name__,
        default_dtype=str(torch.get_default_dtype()).removeprefix("torch."),
    )


def check(t: Any) -> None:
    assert ours(t) == repr(t).replace("torch.", "minigrad.")


# ---------------------------------------------------------------- arrays of every sort
def numbers(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal(shape)
    special = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0])
    chance = rng.random(shape)
    return {
        "plain": x,
        "many magnitudes": x * 10.0 ** rng.integers(-8, 9, shape),
        "whole": np.round(x * 3),
        "some special": np.where(chance < 0.3, rng.choice(special, shape), x),
        "mostly special": np.where(chance < 0.8, rng.choice(special, shape), np.round(x * 3)),
        "zeros": x * 0,
        "nan": x * math.nan,
        "huge": x * 1e300,
        "minute": x * 1e-300,
        "large whole": np.round(x * 1e9),
        "up to ten thousand": np.abs(x) * 9999,
        "rounds up": np.full(shape, rng.choice([9.99996, 99999.99999, 0.99996, 9999.95])),
        "around 1e8": np.round(x) + 1e8,
        "ratio of a thousand": rng.choice([1.0, 1000.0, 1000.5], shape),
        "around 1e-4": 1e-4 * (1 + 1e-3 * x),
    }[kind]


KINDS = [
    "plain", "many magnitudes", "whole", "some special", "mostly special", "zeros", "nan", "huge",
    "minute", "large whole", "up to ten thousand", "rounds up", "around 1e8", "ratio of a thousand",
    "around 1e-4",
]  # fmt: skip


def tensor(kind: str, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Any:
    x: Any = numbers(kind, shape, rng)
    if dtype.startswith("complex"):
        x = x + 1j * numbers(rng.choice(KINDS), shape, rng)
    return torch.tensor(np.asarray(x)).to(getattr(torch, dtype))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_of_array(dtype: str, rng: np.random.Generator) -> None:
    for kind, shape in itertools.product(KINDS, SHAPES):
        check(tensor(kind, shape, dtype, rng))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options: dict[str, Any], rng: np.random.Generator) -> None:
    set_both(**options)
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        check(tensor(rng.choice(KINDS), shape, dtype, rng))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("default", ["float32", "float64", "float16"])
def test_suffixes(default: str, rng: np.random.Generator) -> None:
    """requires_grad, grad_fn and dtype, after last lines of every length."""
    torch.set_default_dtype(getattr(torch, default))
    try:
        for dtype in (*FLOATS, *COMPLEX):
            for length in (0, 1, *range(2, 17)):
                t = tensor(rng.choice(KINDS), (length,), dtype, rng).requires_grad_()
                for x in (t, t[:], t * 2, t.relu() if t.is_floating_point() else t.exp()):
                    check(x)
                check(t.detach())
        for dtype in INTEGERS:
            check(torch.ones(3, dtype=getattr(torch, dtype)))
            check(torch.ones(0, 2, dtype=getattr(torch, dtype)))
    finally:
        torch.set_default_dtype(torch.float32)


@settings(max_examples=300)
@given(
    array=hnp.arrays(
        st.sampled_from(["f2", "f4", "f8", "i1", "i4", "i8", "u1", "?", "c8", "c16"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=8),
    ),
    options=st.fixed_dictionaries(
        {},
        optional={
            "precision": st.integers(0, 8),
            "threshold": st.integers(0, 200),
            "edgeitems": st.integers(0, 4),
            "linewidth": st.integers(1, 120),
            "sci_mode": st.sampled_from([True, False, None]),
        },
    ),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_array(array: np.ndarray, options: dict[str, Any]) -> None:
    set_both(**options)
    check(torch.from_numpy(array))


def test_views_that_are_not_contiguous(rng: np.random.Generator) -> None:
    t = torch.from_numpy(rng.standard_normal((60, 50)))
    for view in (t.T, t[::7, ::3], t[3], t[:, 4], t[:2, :3].T.expand(4, 3, 2)):
        check(view)


# ---------------------------------------------------------------- what PyTorch cannot show here
def test_device_and_prefix() -> None:
    x = np.ones(2, np.float32)
    text = printing.format_tensor(x, dtype_name="float32", device="cuda:0", requires_grad=True)
    assert text == "tensor([1., 1.], device='cuda:0', requires_grad=True)"
    text = printing.format_tensor(np.ones((2, 2), int), dtype_name="int64", prefix="Mine")
    assert text == "Mine([[1, 1],\n      [1, 1]])"
    text = printing.format_tensor(x, dtype_name="float64", device="cuda:1", grad_fn_name="F")
    assert text == "tensor([1., 1.], device='cuda:1', dtype=minigrad.float64, grad_fn=<F>)"


def test_nothing_is_changed_or_copied_whole() -> None:
    x = np.arange(5.0).astype(np.float32)
    printing.format_tensor(x, dtype_name="float32")
    np.testing.assert_array_equal(x, np.arange(5))
    endless = np.broadcast_to(np.float32(1.5), (10**6, 10**6))
    text = printing.format_tensor(endless, dtype_name="float32")
    assert text.count("1.5000") == 36 and text.count("...") == 7


# ---------------------------------------------------------------- options
def test_options_are_torchs() -> None:
    for options in OPTIONS:
        for library in (printing, torch):
            library.set_printoptions(**options)  # on top of the ones before
        assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_printoptions_as_a_context() -> None:
    printing.set_printoptions(precision=3, sci_mode=False)
    before = printing.get_printoptions()
    with printing.printoptions(precision=1, edgeitems=2):
        inside = printing.get_printoptions()
        assert inside["precision"] == 1 and inside["edgeitems"] == 2
        assert inside["sci_mode"] is None  # as in torch: it is not kept
    assert printing.get_printoptions() == before
    with pytest.raises(KeyError), printing.printoptions(precision=1):
        raise KeyError
    assert printing.get_printoptions() == before


def test_bad_options_change_nothing() -> None:
    before = printing.get_printoptions()
    with pytest.raises(ValueError, match="unknown profile 'long': expected one of default"):
        printing.set_printoptions(precision=1, profile="long")
    with pytest.raises(TypeError):
        printing.set_printoptions(digits=3)  # type: ignore[call-arg]
    assert printing.get_printoptions() == before
