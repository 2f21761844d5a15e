"""Compiled loops against the formulas they are made of, and the runtime beneath them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.kernels.cpu import blas, compiler, formulas, loops, scalars, threads
from minigrad.kernels.cpu.compiler import kernel, prange

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")
np.seterr(all="ignore")

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 88.5, -104.0, 3e38, 1e-8]


def title(loop: loops.Loop) -> str:
    code = loop.formula.__code__
    return f"{loop.name or loop.formula.__qualname__}:{code.co_firstlineno}"


def arguments(loop: loops.Loop, shape: Any, dtype: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    names = loop.formula.__code__.co_varnames
    made = []
    for i in range(loop.formula.__code__.co_argcount):
        x = rng.standard_normal(shape).astype(dtype) * 3
        x.reshape(-1)[: len(SPECIAL)] = np.roll(SPECIAL, i)
        made.append(x > 0 if names[i] in ("condition", "mask") else x)
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loop", loops.LOOPS, ids=title)
def test_loop_is_its_formula(loop, dtype):
    args = arguments(loop, (64, 100), dtype)
    numbers = {name: 0.5 for name in loop.options}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a formula that does not compile says so
        ours = loop._run(tuple(args), numbers)
    if ours is None:
        assert dtype == np.float64  # NumPy's own transcendental functions have SIMD there
        return
    theirs = loop.formula(*args, **numbers)
    assert ours.dtype == theirs.dtype
    tolerance = {"rtol": 1e-4, "atol": 3e-6} if dtype == np.float32 else {"rtol": 1e-13}
    # the multiply-add of compiled code keeps digits that cancel in NumPy's two roundings
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ours, theirs, **tolerance)


def rule(g: Any, x: Any) -> Any:
    return g * np.exp(x) - x


RULE = loops.accelerate(rule)


@st.composite
def operands(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays that broadcast, with strides of every kind."""
    shape = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    made = []
    for _ in range(2):
        own = [n if draw(st.booleans()) else 1 for n in shape][
            draw(st.integers(0, len(shape) - 1)) :
        ]
        kind = draw(st.sampled_from(["plain", "transposed", "sliced", "broadcast"]))
        x = rng.standard_normal(own).astype(np.float32)
        if kind == "transposed":
            x = np.asfortranarray(x)
        elif kind == "sliced":
            x = rng.standard_normal([2 * n for n in own]).astype(np.float32)[
                tuple(slice(None, None, 2) for _ in own)
            ]
        elif kind == "broadcast":
            x = np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))
        made.append(x)
    return made[0], made[1]


@settings(max_examples=150, deadline=None)
@given(operands(), st.integers(1, 2), st.sampled_from([1, 1 << 15]))
def test_any_shapes_strides_and_threads(pair, count, parallel):
    before = threads.PARALLEL
    threads.limit(count)
    threads.PARALLEL = parallel
    try:
        y = RULE.loop._run(pair, {})
    finally:
        threads.PARALLEL = before
        threads.limit(threads.available())
    if y is not None:
        np.testing.assert_allclose(y, rule(*pair), rtol=1e-5, atol=1e-6)
        assert y.shape == np.broadcast_shapes(pair[0].shape, pair[1].shape)


@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p", "tanh", "sigmoid", "erf"])
def test_scalar_functions_to_the_last_digits(name):
    special = pytest.importorskip("scipy.special")
    exact = {"sigmoid": special.expit, "erf": special.erf}.get(name) or getattr(np, name)
    f = getattr(scalars, name).serial
    x = np.concatenate(
        [np.linspace(-110, 100, 20001), 10.0 ** np.linspace(-44, 38, 5001), SPECIAL,
         -(10.0 ** np.linspace(-44, 2, 501)), np.linspace(-1, 1, 5001)]
    ).astype(np.float32)  # fmt: skip
    ours = np.array([f(v) for v in x])
    theirs = exact(x.astype(np.float64))
    rounded = theirs.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(ours[~finite], rounded[~finite])
    ulps = np.abs(ours[finite] - theirs[finite]) / np.spacing(np.abs(rounded[finite]))
    assert ulps.max() < 3


@pytest.mark.parametrize("name", ["normal_below", "gelu_slope"])
def test_gelu_and_its_slope_keep_their_digits(name):
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-14, 14, 20001), SPECIAL]).astype(np.float32)
    ours = np.array([getattr(scalars, name).serial(v) for v in x])
    z = x.astype(np.float64)
    density = z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    exact = special.ndtr(z) if name == "normal_below" else special.ndtr(z) + density
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(exact))
    np.testing.assert_allclose(ours, exact, rtol=0, atol=2e-7)
    if name == "normal_below":  # the exponent's rounding: 1/2 ulp of x**2 / 2
        tail = (z < 0) & (z > -9)
        np.testing.assert_allclose(ours[tail], exact[tail], rtol=4e-6)


def test_off_switch_small_arrays_and_other_dtypes_take_the_formula():
    calls = []

    def formula(x: Any) -> Any:
        calls.append(type(x))
        return x + x

    fast = loops.accelerate(formula)
    big = np.ones(loops.SMALL, np.float32)
    with config.using(kernels="off"):
        fast(big)
    fast(big[:5])
    fast(big.astype(np.int64))
    assert calls == [np.ndarray] * 3


def test_a_formula_that_numba_cannot_compile_warns_once_and_works():
    fast = loops.accelerate(lambda x: x + x.ndim)
    x = np.arange(5000, dtype=np.float32)
    with pytest.warns(UserWarning, match="runs uncompiled"):
        np.testing.assert_array_equal(fast(x), x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(fast(x), x + 1)


def test_numbers_in_a_formula_are_part_of_what_is_compiled():
    fast = [loops.accelerate(f) for f in (lambda x: x * 2.0, lambda x: x * 3.0)]
    x = np.ones(5000, np.float32)
    assert [float(f(x)[0]) for f in fast] == [2.0, 3.0]
    a, b = (formulas.scalar(f.__wrapped__, None, np.dtype(np.float32))[1] for f in fast)
    assert a != b


@kernel
def _halves(x, y):
    for i in prange(x.size):
        y[i] = x[i] * 0.5


def test_kernel_serial_parallel_and_python_agree():
    x = np.arange(10, dtype=np.float32)
    for run in (_halves, _halves.serial, _halves.parallel, _halves.function):
        y = np.empty_like(x)
        run(x, y)
        np.testing.assert_array_equal(y, x / 2)


def test_threads_are_limited_and_blas_shares_them():
    assert threads.available() >= 1
    try:
        threads.limit(1)
        assert threads.count() == 1 and not threads.worthwhile(1 << 30)
        threads.limit(1000)
        assert threads.count() == threads.available()
    finally:
        threads.limit(threads.available())
    a = np.random.default_rng(0).standard_normal((700, 700)).astype(np.float32)
    exact = a.astype(np.float64) @ a
    _halves(np.ones(10, np.float32), np.ones(10, np.float32))  # the pool is there now
    for _ in range(5):
        np.testing.assert_allclose(a @ a, exact, rtol=1e-3, atol=1e-3)
    before = [library.get_num_threads() for library in threads.libraries()]
    with pytest.raises(ZeroDivisionError), blas.single():
        _ = 1 / 0
    assert [library.get_num_threads() for library in threads.libraries()] == before


def test_after_a_fork_everything_runs_on_one_thread():
    text = """
import os, sys
import numpy as np
import minigrad as mg
x = mg.ones(1 << 20)
assert x.exp().sum().item() > 0
a = np.ones((500, 500), np.float32)
b = a @ a
child = os.fork()
if child == 0:
    ok = float(mg.ones(1 << 20).exp()[0]) > 2.7 and (a @ a == b).all()
    os._exit(0 if ok else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", text], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_kernels_are_found_on_disk_and_a_folder_that_cannot_be_written_warns(tmp_path):
    text = """
import sys, time, warnings
import minigrad as mg
from minigrad.kernels.cpu import compiler
start = time.perf_counter()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mg.ones(1 << 16).exp()
print(time.perf_counter() - start, len([w for w in caught if "cannot be kept" in str(w.message)]))
"""

    def run(folder: Any) -> list[float]:
        environment = {**os.environ, "MINIGRAD_CACHE_DIR": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return [float(v) for v in done.stdout.split()]

    run(tmp_path / "cache")
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb*")}
    assert files
    run(tmp_path / "cache")
    again = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb*")}
    assert again == files  # read, not written
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "cache")[1] == 1


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "sigmoid", "tanh", "elu", "mish"])
def test_large_activations_agree_with_torch(name):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((64, 1000)).astype(np.float32) * 4
    results = []
    for lib in (mg, torch):
        f = getattr(lib.nn.functional, name, None) or getattr(lib, name)
        leaf = lib.from_numpy(x.copy()).requires_grad_()
        y = f(leaf)
        (y * y).sum().backward()
        results.append((y.detach().numpy(), leaf.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


SMALL_SHAPES = [(8, 8), (1,), (3, 1, 5), (0, 4), ()]


@pytest.mark.parametrize("shape", SMALL_SHAPES, ids=str)
@pytest.mark.parametrize("name", ["where", "masked_fill", "elu", "gelu_erf", "hardtanh", "maximum"])
def test_small_arrays_give_what_formulas_give(name, shape):
    """The short way in for small arrays, with bool arrays, numbers and 0-d arrays among them."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    calls = {
        "where": lambda: mg.where(mg.tensor(x > 0), mg.tensor(x), mg.tensor(y)),
        "masked_fill": lambda: mg.tensor(x).masked_fill(mg.tensor(y > 0), -0.0),
        "elu": lambda: mg.nn.functional.elu(mg.tensor(x), 0.7),
        "gelu_erf": lambda: mg.nn.functional.gelu(mg.tensor(x)),
        "hardtanh": lambda: mg.nn.functional.hardtanh(mg.tensor(x), -0.0, 1),
        "maximum": lambda: mg.maximum(mg.tensor(x), mg.tensor(y)),
    }
    ours = calls[name]().numpy()
    with config.using(kernels="off"):
        theirs = calls[name]().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.signbit(ours[ours == 0]), np.signbit(theirs[ours == 0]))


ALIGNED = """
import numpy as np, minigrad as mg
from minigrad.kernels.cpu import compiler
before = np.ones(4096)
compiler.align()
print(np._core.multiarray.get_handler_name(np.ones(4096)))
print(all(np.empty(n, np.uint8).ctypes.data % 64 == 0 for n in (4096, 5000, 1 << 20, 1 << 26)))
x = np.arange(5000.0)
x.resize(9000, refcheck=False)  # realloc
x = np.zeros(5000) + x[:5000] + before[0]  # calloc
del before
print(x.sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("malloc", ["auto", "off"])
def test_large_arrays_are_aligned_once_there_are_kernels(malloc):
    environment = {**os.environ, "MINIGRAD_MALLOC": malloc}
    done = subprocess.run(
        [sys.executable, "-c", ALIGNED], capture_output=True, text=True, env=environment,
        timeout=120, check=True,
    )  # fmt: skip
    name, aligned, total = done.stdout.split()
    assert total == "12502500.0"
    assert name == ("minigrad" if malloc == "auto" else "default_allocator")
    assert malloc == "off" or aligned == "True"
