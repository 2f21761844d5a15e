"""Attention in tiles on the fake device: its kernels by the emulator, tensor cores included,
against the formulas in float64; and the operator against itself on the CPU.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import sampling
from minigrad.kernels.cuda import attention
from minigrad.kernels.cuda.source import Source, from_file

from .fake_device import MACHINE
from .toolchain import WHY_NO_DEVICE_COMPILER, WHY_NO_EMULATOR, Emulated, device_code

needs_emulator = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))
BF16 = np.dtype(ml_dtypes.bfloat16)
F = mg.nn.functional


# ------------------------------------------------------------------------------ kernels
class Sample(NamedTuple):
    """Shapes and options of one attention; lengths are no multiples of a tile."""

    name: str
    q: tuple[int, ...]
    k: tuple[int, ...]
    f: int
    mask: str = ""
    p: float = 0.0
    dtype: Any = np.dtype(np.float32)


SAMPLES = [
    Sample("plain", (2, 2, 70, 16), (2, 2, 37, 16), 16),
    Sample("causal, two heads a group", (1, 4, 40, 20), (1, 2, 75, 20), 9, "causal"),
    Sample("floats and dropout", (2, 2, 33, 24), (2, 1, 70, 24), 24, "floats", 0.3),
    Sample("a query sees nothing", (3, 5, 8), (3, 130, 8), 8, "bools"),
    Sample("halves", (1, 2, 20, 16), (1, 2, 20, 16), 16, "causal", 0.0, BF16),
    Sample("one matrix", (9, 8), (7, 8), 8),
    Sample("keys for all", (2, 3, 2, 9, 8), (1, 1, 2, 7, 8), 8),
]


def _formula(q: Any, k: Any, v: Any, mask: Any, g: Any, sample: Sample, seed: int) -> list[Any]:
    """(O, Q̄, K̄, V̄) in float64, the last two for every query head."""
    q, k, v, g = [x.astype(np.float64) for x in (q, k, v, g)]
    if q.ndim > 2:
        k, v = [np.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v)]
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if sample.mask == "causal":
        mask = np.tri(*s.shape[-2:], dtype=bool)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    top = np.nan_to_num(s.max(-1, keepdims=True), neginf=0)
    w = np.exp(s - top)
    w = w / np.maximum(w.sum(-1, keepdims=True), 1e-300)
    m = 1.0
    if sample.p:
        kept = sampling.keep_mask(seed, int(np.prod(s.shape[:-1])), s.shape[-1], sample.p)
        m = kept.reshape(s.shape) / (1 - sample.p)
    p_bar = (g @ np.swapaxes(v, -1, -2)) * m
    s_bar = w * (p_bar - (p_bar * w).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return [
        (w * m) @ v, s_bar @ k, np.swapaxes(s_bar, -1, -2) @ q, np.swapaxes(w * m, -1, -2) @ g,
    ]  # fmt: skip


def _arrays(sample: Sample) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    q_shape, k_shape, f = sample.q, sample.k, sample.f
    shapes = (q_shape, k_shape, (*k_shape[:-1], f), (*q_shape[:-1], f))
    made = [rng.normal(size=s).astype(sample.dtype) for s in shapes]
    mask, size = None, (q_shape[-2], k_shape[-2])
    if sample.mask == "floats":
        mask = rng.normal(size=(q_shape[0], 1, *size)).astype(sample.dtype)
    if sample.mask == "bools":
        mask = rng.random(size) < 0.5
        mask[1] = False
    return *made, mask


def _grouped(x: np.ndarray, like: Any) -> np.ndarray:
    """Sums over the query heads that share one of `like`, and over broadcast batches."""
    if x.ndim > 2 and like.shape[-3] != x.shape[-3]:
        x = x.reshape(*x.shape[:-3], like.shape[-3], -1, *x.shape[-2:]).sum(-3)
    axes = tuple([i for i, n in enumerate(like.shape) if n == 1 and x.shape[i] > 1])
    return x.sum(axes, keepdims=True)


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample", "tf32"),
    [*[(s, False) for s in SAMPLES], (SAMPLES[0], True)],
    ids=lambda v: v.name if isinstance(v, Sample) else "tf32" if v else "",
)
def test_kernels_are_the_formula(device: Any, sample: Sample, tf32: bool) -> None:
    *arrays, mask = _arrays(sample)
    q, k, v, g = [device.asarray(x) for x in arrays]
    on_device = None if mask is None else device.asarray(mask)
    options = 1 / np.sqrt(q.shape[-1]), sample.mask == "causal", 12345, sample.p
    mg.backends.cuda.matmul.allow_tf32 = tf32
    try:
        MACHINE.launches.clear()
        o, top, part = attention.attend(q, k, v, on_device, *options)
        assert MACHINE.count == 1
        given = g, q, k, v, on_device, o, top, part, *options
        got = [o, *attention.attend_backward(*given, (True, True, True, False))]
        assert MACHINE.count == 4
    finally:
        mg.backends.cuda.matmul.allow_tf32 = False
    assert top.shape == part.shape == o.shape[:-1]
    want = _formula(*arrays[:3], mask, arrays[3], sample, 12345)
    tolerance = 2e-2 if sample.dtype == BF16 else 3e-3 if tf32 else 2e-6
    worst = 0.0
    for name, x, y, like in zip("o q k v".split(), got, want, (o, q, k, v), strict=True):
        y = y if name == "o" else _grouped(y, like)
        x = x.get().astype(np.float64)
        x = x if name == "o" else _grouped(x, like)
        error = np.abs(x - y).max() / np.abs(y).max()
        assert error < tolerance, (name, error)
        worst = max(worst, error)
    assert not tf32 or worst > 2e-5, "TF32 was not used"


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 5])
def test_no_barrier_is_missing(order: int) -> None:
    """The same numbers, whatever order the threads run in."""
    options = {"mask": attention.CAUSAL, "wide": False, "exact": False, "dropout": False}
    source = attention.forward("float32", 8, 8, **options)
    library = Emulated([source])
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(1, 1, 100, 8)).astype(np.float32) for _ in range(3))
    shape = np.zeros(1, attention._SHAPE)
    shape["heads"] = shape["group"] = 1
    shape["length"], shape["keys"], shape["e"], shape["f"], shape["scale"] = 100, 100, 8, 8, 0.3
    for name in ("q", "k", "v", "o"):
        shape[name] = (800, 800, 8)
    results = []
    for turn in (0, order):
        found = [np.empty((100, 8), np.float32), *np.empty((2, 100), np.float32)]
        arguments = [shape.tobytes(), q, k, v, np.intp(0), *found]
        library.run(source.name, (2, 1), source.block, arguments, turn)
        results.append(found)
    for a, b in zip(*results, strict=True):
        assert not np.isnan(a).any()
        np.testing.assert_array_equal(a, b)


@needs_emulator
def test_the_emulated_tensor_core_multiplies() -> None:
    """D = A B + C of one warp, its fragments written down as the PTX ISA's tables have them."""
    body = """
    extern "C" __global__ void NAME(const float *a, const float *b, float *d) {
        const int g = threadIdx.x >> 2, t = threadIdx.x & 3;
        const unsigned fa[4] = {tf32(a[g * 8 + t]), tf32(a[(g + 8) * 8 + t]),
                                tf32(a[g * 8 + t + 4]), tf32(a[(g + 8) * 8 + t + 4])};
        const unsigned fb[2] = {tf32(b[t * 8 + g]), tf32(b[(t + 4) * 8 + g])};
        float fd[4] = {d[g * 8 + 2 * t], d[g * 8 + 2 * t + 1], d[(g + 8) * 8 + 2 * t],
                       d[(g + 8) * 8 + 2 * t + 1]};
        mma(fd, fa, fb);
        d[g * 8 + 2 * t] = fd[0], d[g * 8 + 2 * t + 1] = fd[1];
        d[(g + 8) * 8 + 2 * t] = fd[2], d[(g + 8) * 8 + 2 * t + 1] = fd[3];
    }"""
    text = from_file("tensor_cores.cuh", "tried_mma", {}, {"EXACT": False})
    text = text[: text.rindex("}")] + body.replace("NAME", "tried_mma") + "\n}\n"
    rng = np.random.default_rng(2)
    a, b, c = (rng.integers(-9, 9, s).astype(np.float32) for s in ((16, 8), (8, 8), (16, 8)))
    d = c.copy()
    Emulated([Source("tried_mma", text)]).run("tried_mma", (1, 1), 32, [a, b, d], 5)
    np.testing.assert_array_equal(d, a @ b + c)


# ------------------------------------------------------------------------------ for a GPU
@pytest.mark.slow
@pytest.mark.skipif(WHY_NO_DEVICE_COMPILER is not None, reason=str(WHY_NO_DEVICE_COMPILER))
def test_kernels_compile_to_tensor_cores() -> None:
    """For sm_90, of the widest heads and of the usual ones: nothing spilled, shared memory that an
    H100 has (227 KB a block), 16 bytes loaded at once.
    """
    plain = {"mask": attention.CAUSAL, "wide": True, "exact": True, "dropout": False}
    hard = {"mask": attention.FLOATS, "wide": True, "exact": False, "dropout": True}
    sources = [
        attention.forward("float32", 64, 64, **plain),
        attention.query_gradient("float32", 128, 128, **plain),
        attention.key_gradients("float32", 128, 128, **plain),
        attention.key_gradients("bfloat16", 64, 64, **hard),
        attention.delta("float32", 64, 64, **plain),
    ]
    code = device_code(sources)
    for source in sources:
        found = code[source.name]
        assert not found.spills, source.name
        assert found.registers <= 255 and source.shared <= 227 << 10
        if "delta" not in source.name:
            assert "mma.sync.aligned.m16n8k8" in found.ptx
            assert re.search(r"ld\.global(\.nc)?\.v(4\.\w32|2\.\w64)", found.ptx), source.name


# ------------------------------------------------------------------------------ the operator
def _both(call: Any, tensors: list[Any]) -> list[list[np.ndarray]]:
    found = []
    for place in ("cpu", "cuda"):
        given = [t.detach().to(place).requires_grad_() for t in tensors]
        MACHINE.launches.clear()
        mg.manual_seed(7)
        y = call(*given)
        (y.float() ** 2).sum().backward()
        found.append([y.detach().cpu().double().numpy()])
        found[-1] += [t.grad.cpu().double().numpy() for t in given]
    return found


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [mg.float32, mg.bfloat16, mg.float64])
def test_the_operator_is_the_cpus(device: Any, dtype: Any) -> None:
    """With the CPU's dropout masks; float64, which has no kernel, by its formula."""
    mg.manual_seed(0)
    q, k, v = mg.randn(2, 12, 4, 8), mg.randn(2, 9, 2, 8), mg.randn(2, 9, 2, 8)

    def call(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True, enable_gqa=True)
        return y.transpose(1, 2).reshape(2, 12, 32)

    want, got = _both(call, [x.to(dtype) for x in (q, k, v)])
    used = [name for name in MACHINE.launches if name.startswith("attention_")]
    assert len(used) == (0 if dtype == mg.float64 else 4)
    tolerance = 3e-2 if dtype == mg.bfloat16 else 1e-5
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@needs_emulator
@pytest.mark.slow
def test_a_mask_gets_a_gradient(device: Any) -> None:
    mg.manual_seed(0)
    tensors = [mg.randn(1, 2, 6, 8), mg.randn(1, 2, 5, 8), mg.randn(1, 2, 5, 8), mg.randn(6, 5)]
    want, got = _both(F.scaled_dot_product_attention, tensors)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
