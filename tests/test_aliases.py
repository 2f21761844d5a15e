"""Questions about tensors, settings, and names under `minigrad.` that have no samples elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
LIBRARIES = (minigrad, torch)


@pytest.mark.parametrize("question", ["is_conj", "is_neg", "is_distributed", "is_signed"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "complex64"])
def test_questions_have_pytorchs_answers(question: str, dtype: str) -> None:
    answers = [getattr(lib, question)(lib.ones(2, dtype=getattr(lib, dtype))) for lib in LIBRARIES]
    assert answers[0] is answers[1]


def test_get_device_and_is_storage() -> None:
    for lib in LIBRARIES:
        x = lib.ones(2)
        assert lib.get_device(x) == x.get_device() == -1
        assert lib.is_storage(x.untyped_storage()) and not lib.is_storage(x)


def test_typename() -> None:
    things = [3, "text", [1], int]
    assert [minigrad.typename(t) for t in things] == [torch.typename(t) for t in things]
    for dtype in ("float32", "float64", "int64", "bool"):
        names = [lib.typename(lib.ones(1, dtype=getattr(lib, dtype))) for lib in LIBRARIES]
        assert names[0] == names[1].replace("torch", "minigrad")


def test_numbers_of_threads() -> None:
    assert minigrad.get_num_interop_threads() >= 1
    before = minigrad.get_num_threads()
    try:
        minigrad.set_num_threads(1)
        assert minigrad.get_num_threads() == 1
    finally:
        minigrad.set_num_threads(before)
    for lib in LIBRARIES:
        for setter in (lib.set_num_threads, lib.set_num_interop_threads):
            with pytest.raises(RuntimeError):
                setter(0)


@pytest.fixture
def _defaults() -> Iterator[None]:
    yield
    for lib in LIBRARIES:
        lib.set_default_dtype(lib.float32)


@pytest.mark.usefixtures("_defaults")
@pytest.mark.filterwarnings("ignore:torch.set_default_tensor_type")
def test_default_tensor_type() -> None:
    for lib in LIBRARIES:
        lib.set_default_tensor_type(lib.DoubleTensor)
        assert lib.tensor([1.0]).dtype is lib.float64
        with pytest.raises(TypeError):
            lib.set_default_tensor_type(lib.LongTensor)


@pytest.mark.parametrize("layout", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_empty_permuted(layout: tuple[int, ...]) -> None:
    ours, theirs = [lib.empty_permuted((2, 3, 4), layout, dtype=lib.float64) for lib in LIBRARIES]
    assert tuple(ours.shape) == tuple(theirs.shape) and ours.stride() == theirs.stride()
    for lib in LIBRARIES:
        with pytest.raises(RuntimeError):
            lib.empty_permuted((2, 3), (0, 0))


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_embedding_bag_with_a_number_for_the_mode(mode: int) -> None:
    weight = np.random.default_rng(0).standard_normal((5, 3))
    found: list[Any] = []
    for lib in LIBRARIES:
        w = lib.tensor(weight, requires_grad=True)
        y = lib.embedding_bag(w, lib.tensor([1, 4, 4, 0, 2]), lib.tensor([0, 2, 2]), False, mode)[0]
        y.square().sum().backward()
        found.append((y.detach().numpy(), w.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
