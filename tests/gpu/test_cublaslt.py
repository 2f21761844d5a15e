"""Products on the fake device through cuBLASLt's C interface, computed by fake_cublaslt.cpp from
what its descriptors say, against NumPy's: layouts, transposes, batches, epilogues, precision.
"""

from __future__ import annotations

import copy
import ctypes
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels.cuda import cublaslt, gemm
from minigrad.kernels.cuda.cublaslt import Operand, Problem

from . import fake_cublaslt
from .fake_cupy import installed
from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}
"""Of one rounding of the result, beside sums of a few terms of size 1."""


# ------------------------------------------------------------------------------ layouts
def _rows(x: np.ndarray, cupy: Any) -> Any:
    return cupy.asarray(x)


def _columns(x: np.ndarray, cupy: Any) -> Any:
    return cupy.asarray(np.ascontiguousarray(np.swapaxes(x, -1, -2))).swapaxes(-1, -2)


def _padded(x: np.ndarray, cupy: Any) -> Any:
    """Rows in one piece, with gaps between them, from an address that is no multiple of 16."""
    wide = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    wide[..., 1:-2] = x
    return cupy.asarray(wide)[..., 1:-2]


def _padded_columns(x: np.ndarray, cupy: Any) -> Any:
    return _padded(np.swapaxes(x, -1, -2), cupy).swapaxes(-1, -2)


def _scattered(x: np.ndarray, cupy: Any) -> Any:
    return cupy.asarray(np.repeat(x, 2, -1))[..., ::2]


def _backwards(x: np.ndarray, cupy: Any) -> Any:
    return cupy.asarray(np.ascontiguousarray(x[..., ::-1, :]))[..., ::-1, :]


def _heads_side_by_side(x: np.ndarray, cupy: Any) -> Any:
    """(B, H, T, D) as it lies after a projection: (B, T, H, D)."""
    if x.ndim < 3:
        return _rows(x, cupy)
    return cupy.asarray(np.ascontiguousarray(np.swapaxes(x, -3, -2))).swapaxes(-3, -2)


LAYOUTS = (_rows, _columns, _padded, _padded_columns, _scattered, _backwards, _heads_side_by_side)
size = st.integers(1, 12)


@st.composite
def operands(draw: Any) -> Any:
    """(dtype, seed, shapes of a and b, their layouts, biased)."""
    m, k, n = draw(size), draw(size), draw(size)
    lead = draw(st.lists(st.integers(1, 4), max_size=2))
    shapes = []
    for matrix in ((m, k), (k, n)):
        own = [draw(st.sampled_from([length, 1])) for length in lead]
        shapes.append((*own[draw(st.integers(0, len(own))) :], *matrix))
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in range(2)]
    return draw(st.sampled_from(list(DTYPES))), draw(size), *shapes, *layouts, draw(st.booleans())


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(operands())
def test_products_are_numpys(case: Any) -> None:
    dtype, seed, a_shape, b_shape, lay_a, lay_b, biased = case
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=s).astype(DTYPES[dtype]) for s in (a_shape, b_shape))
    bias = rng.normal(size=b_shape[-1]).astype(DTYPES[dtype]) if biased else None
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    want = want if bias is None else want + bias.astype(np.float64)
    with installed() as cupy:
        x, y = lay_a(a, cupy), lay_b(b, cupy)
        MACHINE.launches.clear()
        got = gemm.matmul(x, y, bias=None if bias is None else cupy.asarray(bias))
        launches = dict(MACHINE.launches)
        assert launches.pop("cublasLtMatmul") >= 1
        if not {lay_a, lay_b} & {_scattered, _backwards}:
            assert not launches, "a copy that no layout needs"
        got = got.get()
    assert got.shape == want.shape and got.dtype == DTYPES[dtype]
    error = np.abs(got.astype(np.float64) - want).max(initial=0)
    assert error <= TOLERANCE[dtype] * (1 + np.abs(want).max(initial=0))


def test_a_batch_of_equal_steps_is_one_call(device: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 5, 6))
    for lay_a, lay_b, calls in (
        (_rows, _columns, 1),
        (_columns, _rows, 1),
        (_heads_side_by_side, _rows, 2),  # one for each of the outer, shorter dimension
    ):
        MACHINE.launches.clear()
        got = gemm.matmul(lay_a(a, device), lay_b(b, device))
        assert MACHINE.launches == {"cublasLtMatmul": calls}
        np.testing.assert_allclose(got.get(), a @ b)


def test_a_matrix_for_all_is_one_product(device: Any) -> None:
    a, b = np.ones((2, 3, 4, 5)), np.ones((5, 6))
    MACHINE.launches.clear()
    gemm.matmul(_rows(a, device), _columns(b, device))
    assert MACHINE.launches == {"cublasLtMatmul": 1}
    (plan,) = cublaslt._PLANS.values()
    assert plan is not None and plan.problem.count == 1 and plan.problem.d.columns == 24


def test_a_long_walk_is_copied(device: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 21, 2, 3)), rng.normal(size=(20, 21, 3, 2))
    x, y = _heads_side_by_side(a.swapaxes(1, 2), device).swapaxes(1, 2), _rows(b, device)
    MACHINE.launches.clear()
    got = gemm.matmul(x, y)
    assert MACHINE.launches["cublasLtMatmul"] == 1
    np.testing.assert_allclose(got.get(), a @ b)
    left, right = np.ones((20, 1, 2, 2)), np.ones((1, 20, 2, 2))  # no copy would help
    got = gemm.matmul(_rows(left, device), _rows(right, device))
    np.testing.assert_allclose(got.get(), left @ right)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_added_and_where(device: Any, dtype: str) -> None:
    """α A B + β·out, into a part of a larger array."""
    rng = np.random.default_rng(1)
    a, b, c = (rng.normal(size=s).astype(DTYPES[dtype]) for s in ((6, 9), (9, 4), (6, 8)))
    out = device.asarray(c)
    got = gemm.matmul(_rows(a, device), _columns(b, device), out=out[:, 2:6], alpha=0.5, beta=2.0)
    want = c.astype(np.float64)
    want[:, 2:6] = 0.5 * (a.astype(np.float64) @ b.astype(np.float64)) + 2 * want[:, 2:6]
    np.testing.assert_allclose(
        out.get().astype(np.float64), want, rtol=TOLERANCE[dtype], atol=8 * TOLERANCE[dtype]
    )
    assert got.data.ptr == out[:, 2:6].data.ptr


# ------------------------------------------------------------------------------ epilogues
def _gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y, dy/dx) by the tanh approximation."""
    root, inner = np.sqrt(2 / np.pi), x + 0.044715 * x**3
    t = np.tanh(root * inner)
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * root * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + t), slope


def test_every_epilogue(device: Any) -> None:
    """Through the plan itself, in the library's own terms: matrices in columns."""
    m, n, k = 16, 5, 7
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    vector = rng.normal(size=m)
    for epilogue in cublaslt.EPILOGUES:
        aux = rng.normal(size=(m, n)) if "gelu" in epilogue else None
        problem = Problem(
            Operand(m, k, m), Operand(k, n, k), Operand(m, n, m), (False, False), 1, "float64",
            cublaslt.COMPUTE_64F, epilogue, (8, 8, 8, 8), 0 if aux is None else m,
        )  # fmt: skip
        plan = cublaslt.plan(problem)
        assert plan is not None, epilogue
        held = [
            np.asfortranarray(v) for v in (a, b, np.full((m, n), np.nan), vector)
            ] + ([] if aux is None else [np.asfortranarray(aux)])  # fmt: skip
        addresses = [v.ctypes.data for v in held]
        plan.start(*addresses[:3], bias=addresses[3], aux=0 if aux is None else addresses[4])
        want, product = a @ b, held[2]
        if "bias" in epilogue:
            want = want + vector[:, None]
        if "relu" in epilogue:
            want = np.maximum(want, 0)
        if epilogue.startswith("gelu"):
            np.testing.assert_allclose(held[4], want)
            want = _gelu(want)[0]
        if epilogue.startswith("dgelu"):
            want = want * _gelu(aux)[1]
        np.testing.assert_allclose(product, want, err_msg=epilogue)
        if "bgrad" in epilogue:
            sums = {"a": a.sum(1), "b": b.sum(0)}.get(epilogue[-1], want.sum(1))
            np.testing.assert_allclose(held[3][: len(sums)], sums, err_msg=epilogue)


def test_an_epilogue_that_is_refused_is_done_without(device: Any) -> None:
    library = fake_cublaslt.library()
    library.fake_refuse(cublaslt.EPILOGUES["bgradb"])
    try:
        results = _linear(device)
    finally:
        library.fake_refuse(0)
    assert MACHINE.launches["sum"] > 0
    for got, want in zip(results, _linear(device), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def _linear(device: Any) -> list[np.ndarray]:
    mg.manual_seed(0)
    layer, x = mg.nn.Linear(9, 5), mg.randn(2, 3, 9)
    layer.cuda()
    MACHINE.launches.clear()
    y = layer(x.cuda())
    y.backward(mg.ones_like(y))
    return [t.cpu().numpy() for t in (y.detach(), layer.weight.grad, layer.bias.grad)]


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64, mg.float16, mg.bfloat16])
def test_a_layer_is_three_products(device: Any, dtype: Any) -> None:
    """Forward with its bias, the input's gradient, and the weight's with the bias' in passing."""
    mg.manual_seed(0)
    layer, x = mg.nn.Linear(9, 5).to(dtype), mg.randn(2, 3, 9).to(dtype)
    found = []
    for place in ("cpu", "cuda"):
        layer.to(place).zero_grad()
        inputs = x.detach().to(place).requires_grad_()
        MACHINE.launches.clear()
        y = layer(inputs)
        g = mg.ones_like(y)
        y.backward(g)
        tensors = (y.detach(), inputs.grad, layer.weight.grad, layer.bias.grad)
        found.append([t.cpu().double().numpy() for t in tensors])
    assert MACHINE.launches["cublasLtMatmul"] == 3
    assert not {"sum", "astype"} & set(MACHINE.launches)
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-2 if dtype.itemsize == 2 else 1e-5, atol=1e-5)


def test_ops_are_products_of_the_library(device: Any) -> None:
    """matmul, bmm, mv, baddbmm, einsum and their gradients: nothing else multiplies."""
    mg.manual_seed(0)
    a, b, v, c = mg.randn(3, 4, 5), mg.randn(3, 5, 6), mg.randn(5), mg.randn(3, 4, 6)
    calls = {
        "matmul": lambda a, b, v, c: a @ b,
        "bmm": lambda a, b, v, c: mg.bmm(a, b),
        "vector": lambda a, b, v, c: a @ v,
        "baddbmm": lambda a, b, v, c: mg.baddbmm(c, a, b, beta=0.5, alpha=2),
        "einsum": lambda a, b, v, c: mg.einsum("bij,bjk,bik->bk", a, b, c),
    }
    for name, call in calls.items():
        found = []
        for place in ("cpu", "cuda"):
            given = [x.detach().to(place).requires_grad_() for x in (a, b, v, c)]
            MACHINE.launches.clear()
            y = call(*given)
            (y * y).sum().backward()
            grads = [x.grad for x in given if x.grad is not None]
            found.append([t.cpu().detach().numpy() for t in (y, *grads)])
        assert MACHINE.launches["cublasLtMatmul"] >= 3 and "matmul" not in MACHINE.launches, name
        for got, want in zip(*found[::-1], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_are_products_of_the_library(device: Any, kind: str) -> None:
    mg.manual_seed(0)
    layer, x = getattr(mg.nn, kind)(5, 4), mg.randn(3, 2, 5)
    found = []
    for place in ("cpu", "cuda"):
        layer.to(place).zero_grad()
        MACHINE.launches.clear()
        y, _ = layer(x.to(place))
        (y * y).sum().backward()
        found.append([t.detach().cpu().numpy() for t in (y, *[p.grad for p in layer.parameters()])])
    assert MACHINE.launches["cublasLtMatmul"] >= 9 and "matmul" not in MACHINE.launches
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------ precision
def test_tf32_is_asked_for_only_where_it_is_allowed(device: Any) -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=(8, 8)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)

    def error() -> float:
        x, y = mg.tensor(a).cuda(), mg.tensor(b).cuda()
        return float(np.abs((x @ y).cpu().numpy() - exact).max())

    flag = mg.backends.cuda.matmul
    assert not flag.allow_tf32 and error() < 1e-5
    try:
        flag.allow_tf32 = True
        assert 1e-4 < error() < 1e-2 and mg.get_float32_matmul_precision() == "high"
        mg.set_float32_matmul_precision("highest")
        assert not flag.allow_tf32 and error() < 1e-5
        mg.set_float32_matmul_precision("medium")
        assert flag.allow_tf32 and error() > 1e-4
        assert mg.get_float32_matmul_precision() == "medium"
    finally:
        mg.set_float32_matmul_precision("highest")


def test_kinds_without_a_plan_go_to_cupy(device: Any) -> None:
    x = mg.arange(6).reshape(2, 3).cuda()
    MACHINE.launches.clear()
    assert (x @ x.T).tolist() == [[5, 14], [14, 50]]
    assert "cublasLtMatmul" not in MACHINE.launches
    assert (mg.ones(2, 0).cuda() @ mg.ones(0, 3).cuda()).tolist() == [[0.0] * 3] * 2


# ------------------------------------------------------------------------------ plans
def test_a_plan_is_made_once(device: Any) -> None:
    library = fake_cublaslt.library()
    x, y = mg.randn(4, 20).cuda(), mg.randn(20, 3).cuda()
    before = library.counts(1)
    for _ in range(3):
        x @ y
    assert library.counts(1) == before + 1
    other = mg.cuda.Stream()
    with mg.cuda.stream(other):
        x @ y
    assert library.counts(1) == before + 1 and len(cublaslt._WORKSPACES) == 2


def test_a_planned_product_can_be_noted(device: Any) -> None:
    """While a stream is captured a cached plan neither allocates, but for its result, nor reads."""
    here, x = mg.nn.Linear(20, 3), mg.randn(4, 20).cuda()
    layer = copy.deepcopy(here).cuda()
    stream = mg.cuda.Stream()
    with mg.cuda.stream(stream):
        layer(x)  # the plan and the workspace of the stream
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph, stream=stream):
        y = layer(x)
    assert graph.pool().used_bytes() == 512
    assert np.isnan(y.detach().cpu().numpy()).all()
    for _ in range(2):
        new = mg.randn(4, 20)
        x.copy_(new.cuda())
        graph.replay()
        want = here(new).detach().numpy()
        np.testing.assert_allclose(y.detach().cpu().numpy(), want, rtol=1e-5, atol=1e-6)


def test_structs_are_as_large_as_nvidias() -> None:
    assert ctypes.sizeof(cublaslt.Algorithm) == 64 and ctypes.sizeof(cublaslt.Heuristic) == 96


# ------------------------------------------------------------------------------ the real one
@pytest.mark.skipif(cublaslt.library() is None, reason="needs cuBLASLt (pip install nvidia-cublas)")
@pytest.mark.parametrize("epilogue", cublaslt.EPILOGUES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nvidias_library_knows_every_attribute(monkeypatch: Any, dtype: str, epilogue: str) -> None:
    """Descriptors need no GPU, and a number or a size that is not the library's is an error."""
    monkeypatch.setattr(cublaslt.Plan, "_choose", lambda plan: True)  # this would need one
    aux = 16 if "gelu" in epilogue else 0
    computes = [cublaslt.COMPUTE_64F if dtype == "float64" else cublaslt.COMPUTE_32F]
    for compute in computes + [cublaslt.COMPUTE_TF32] * (dtype == "float32"):
        operands = Operand(16, 8, 16, 128), Operand(8, 24, 8, 0), Operand(16, 24, 16, 384)
        aligned = (16, 16, 16, 16)
        problem = Problem(*operands, (True, True), 3, dtype, compute, epilogue, aligned, aux)
        plan = cublaslt.Plan(ctypes.c_void_p(), problem)
        for attribute in (cublaslt.BIAS_POINTER, cublaslt.AUX_POINTER):
            plan._set(attribute, ctypes.c_uint64(16))
        with pytest.raises(RuntimeError, match="cublasStatus_t 7"):
            plan._set(cublaslt.EPILOGUE, ctypes.c_uint64(1))
