"""The kernels' text, compiled by g++ and run on the CPU, against NumPy's results of the formulas.

This shows that indices, reductions, roundings and barriers are right, in any order of threads. What
it cannot show is in docs/gpu.md.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from minigrad.kernels.cuda import dropout, embedding, reductions, rows
from minigrad.kernels.cuda.elementwise import elementwise
from minigrad.kernels.cuda.source import Source

from . import families
from .toolchain import WHY_NO_EMULATOR, Emulated

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
TOLERANCE = {"float32": 2e-6, "float64": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}
"""Two roundings of a result, and in float32 the few ulp in which two libraries' exp differ."""
ORDERS = (0, 1, 5)
"""Of threads: as numbered, backwards, shuffled."""


def _computed(dtype: str) -> np.dtype:
    return DTYPES["float64" if dtype == "float64" else "float32"]


def _close(got: Any, want: Any, dtype: str, factor: float = 1.0) -> None:
    tolerance = TOLERANCE[dtype] * factor
    got, want = got.astype(np.float64), np.asarray(want).astype(np.float64)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------ elementwise
@pytest.fixture(scope="module")
def formulas() -> tuple[list[families.Fused], list[list[Source]], Emulated]:
    """Every formula, each in float32 and one other dtype, flat and strided, in one library."""
    found, _ = families.fused()
    others = ["float64", "float16", "bfloat16"]
    made = []
    for i, f in enumerate(found):
        made.append([f.source("float32"), f.source(others[i % 3]), f.source("float32", dims=2)])
    return found, made, Emulated([s for three in made for s in three])


def test_every_looped_formula_has_a_kernel() -> None:
    found, without = families.fused()
    assert len(found) > 80 and not without


def _formula(f: families.Fused, arrays: list[Any], values: list[float]) -> Any:
    options = dict(zip(f.loop.options, values, strict=True))
    with np.errstate(all="ignore"):
        return f.loop.formula(*arrays, **options)


def test_formulas_flat(formulas: Any) -> None:
    """70,001 elements: several blocks, a loop over the grid, and a tail."""
    found, made, library = formulas
    rng = np.random.default_rng(0)
    for i, f in enumerate(found):
        for source, dtype in zip(made[i], ["float32", ["float64", "float16", "bfloat16"][i % 3]],
                                 strict=False):  # fmt: skip
            n = 2051
            arrays = families.numbers(rng, f.names, n, DTYPES[dtype])
            values = [0.75, 1.25, 0.5][: len(f.loop.options)]
            compute = _computed(dtype)
            given = [a if a.dtype == bool else a.astype(compute) for a in arrays]
            want = _formula(f, given, values)
            out_dtype = np.dtype(bool) if want.dtype == bool else DTYPES[dtype]
            got = np.empty(n, out_dtype)
            numbers = [compute.type(v) for v in values]
            library.run(source.name, (3, 1), 64, [np.int64(n), *arrays, *numbers, got])
            _close(got, want, dtype)


def test_formulas_strided(formulas: Any) -> None:
    """Rows of 24 against a row, a column and a transposed array."""
    found, made, library = formulas
    rng = np.random.default_rng(1)
    shape = (13, 24)
    for i, f in enumerate(found):
        arrays = []
        for k, array in enumerate(families.numbers(rng, f.names, shape, np.float32)):
            arrays.append([array, array[:1], array[:, :1]][k % 3])
        values = [0.75, 1.25, 0.5][: len(f.loop.options)]
        want = _formula(f, [np.broadcast_to(a, shape).copy() for a in arrays], values)
        got = np.empty(shape, want.dtype)
        strides = [
            [s // a.itemsize if n > 1 else 0 for s, n in zip(a.strides, a.shape, strict=True)]
            for a in arrays
        ]
        layout = np.array([*shape, *np.ravel(strides)], np.int64).tobytes()
        numbers = [np.float32(v) for v in values]
        library.run(
            made[i][2].name, (2, 1), 64, [np.int64(want.size), *arrays, *numbers, got, layout]
        )
        _close(got, want, "float32")


EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38, 88.9, -104.5, 20.0, -20.0],
    np.float32,
)


def test_edge_values(formulas: Any) -> None:
    """inf, nan, denormal numbers and signed zeros go the way NumPy's formula sends them, in float32
    or, where that overflows on the way, in float64.
    """
    found, made, library = formulas
    checked = 0
    for i, f in enumerate(found):
        if len(f.names) > 2 or f.loop.options or set(f.names) & set(families.MASKS):
            continue
        pairs = np.array(np.meshgrid(EDGES, EDGES)).reshape(2, -1)
        arrays = [np.ascontiguousarray(p) for p in pairs[: len(f.names)]]
        want = _formula(f, arrays, [])
        got = np.empty(want.shape, want.dtype)
        library.run(made[i][0].name, (1, 1), 64, [np.int64(got.size), *arrays, got])
        with np.errstate(all="ignore"):
            exact = _formula(f, [a.astype(np.float64) for a in arrays], []).astype(np.float32)
        wrong = ~(_same(got, want) | _same(got, exact))
        assert not wrong.any(), (f.title, [a[wrong] for a in arrays], got[wrong], want[wrong])
        checked += 1
    assert checked > 40


def _same(got: Any, want: Any) -> Any:
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= 1e-6 * np.abs(want) + 1e-38
    return near | (got == want) | (np.isnan(got) & np.isnan(want))


def test_an_if_in_a_formula_is_a_choice() -> None:
    def formula(x, y, n):
        if n > 0:
            x = x + y
        return x * 2

    source = elementwise(formula, None, ["float32", "float32", "number"])
    library = Emulated([source])
    x, y = np.arange(9, dtype=np.float32), np.ones(9, np.float32)
    for n in (-1.0, 1.0):
        got = np.empty(9, np.float32)
        library.run(source.name, (1, 1), 32, [np.int64(9), x, y, np.float32(n), got])
        np.testing.assert_array_equal(got, formula(x, y, n))


# ------------------------------------------------------------------------------ rows
ROWS = [("float32", 64), ("float32", 37), ("float32", 1500), ("bfloat16", 64), ("float64", 40)]


@pytest.fixture(scope="module")
def row_library() -> Emulated:
    return Emulated([s for dtype, n in ROWS for s in families.row_kernels(dtype, n)])


def _rows(dtype: str, n: int, seed: int = 0, count: int = 11) -> Any:
    return np.random.default_rng(seed).normal(0, 3, (count, n)).astype(DTYPES[dtype])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "n"), ROWS)
def test_softmax(row_library: Emulated, dtype: str, n: int, order: int) -> None:
    x, g = _rows(dtype, n), _rows(dtype, n, 1)
    x[2, :3], x[3, 1] = [-np.inf, 5, -np.inf], np.nan
    wide = x.astype(np.float64)
    top = wide.max(axis=1, keepdims=True)
    logs = wide - top - np.log(np.exp(wide - top).sum(axis=1, keepdims=True))
    for logarithm, want in ((False, np.exp(logs)), (True, logs)):
        y = np.empty_like(x)
        source = rows.softmax(dtype, n, logarithm=logarithm)
        row_library.run(source.name, (2, 1), source.block, [np.int64(11), np.int32(n), x, y], order)
        _close(y, want, dtype, 4)
        x_bar = np.empty_like(x)
        source = rows.softmax_backward(dtype, n, logarithm=logarithm)
        arguments = [np.int64(11), np.int32(n), g, y, x_bar]
        row_library.run(source.name, (2, 1), source.block, arguments, order)
        g64, y64 = g.astype(np.float64), y.astype(np.float64)
        if logarithm:
            slope = g64 - np.exp(y64) * g64.sum(axis=1, keepdims=True)
        else:
            slope = y64 * (g64 - (g64 * y64).sum(axis=1, keepdims=True))
        _close(x_bar, slope, dtype, 40)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "n"), ROWS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(
    row_library: Emulated, dtype: str, n: int, smoothing: float, order: int
) -> None:
    smooth = smoothing > 0
    index = np.int32 if smooth else np.int64
    x, kind = _rows(dtype, n), _computed(dtype)
    target = np.random.default_rng(2).integers(0, n, 11).astype(index)
    target[4] = -100
    wide = x.astype(np.float64)
    norm = np.log(np.exp(wide).sum(axis=1))
    at = wide[np.arange(11), np.where(target < 0, 0, target)]
    want = (1 - smoothing) * (norm - at) + smoothing * (norm - wide.mean(axis=1))
    want[4] = 0
    loss, norms = np.empty(11, kind), np.empty(11, kind)
    source = rows.cross_entropy(dtype, n, index=np.dtype(index).name, smooth=smooth)
    head = [np.int64(11), np.int32(n)]
    tail = [np.int64(-100), kind.type(smoothing)]
    row_library.run(source.name, (1, 1), 256, [*head, x, target, *tail, loss, norms], order)
    _close(loss, want, dtype, 20)
    _close(norms, norm, dtype, 20)
    if smooth:
        return
    for per_row in (False, True):
        g = np.linspace(0.5, 2, 11 if per_row else 1).astype(kind)
        source = rows.cross_entropy_backward(dtype, n, per_row=per_row)
        slope = np.exp(wide - norm[:, None])
        slope[np.arange(11), np.where(target < 0, 0, target)] -= 1
        slope *= g.astype(np.float64).reshape(-1, 1)
        slope[4] = 0
        x_bar = x.copy()  # in place
        arguments = [*head, g, x_bar, target, *tail, norms, x_bar]
        row_library.run(source.name, (3, 1), 256, arguments, order)
        _close(x_bar, slope, dtype, 20)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "n"), ROWS)
@pytest.mark.parametrize("rms", [False, True])
def test_norms(row_library: Emulated, dtype: str, n: int, rms: bool, order: int) -> None:
    x, g, kind = _rows(dtype, n), _rows(dtype, n, 1), _computed(dtype)
    weight, bias = _rows(dtype, n, 2, 2)
    y, mean, rstd = np.empty_like(x), np.zeros(11, kind), np.empty(11, kind)
    head = [np.int64(11), np.int32(n)]
    source = rows.norm(dtype, n, rms=rms, bias=not rms)
    nothing = np.intp(0)
    arguments = [*head, x, weight, bias, kind.type(1e-5), y, mean, rstd, nothing, nothing]
    row_library.run(source.name, (2, 1), 256, arguments, order)
    x64, g64, w64 = (v.astype(np.float64) for v in (x, g, weight))
    centre = 0 if rms else x64.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt(((x64 - centre) ** 2).mean(axis=1, keepdims=True) + 1e-5)
    hat = (x64 - centre) * scale
    _close(y, hat * w64 + (0 if rms else bias.astype(np.float64)), dtype, 4)
    _close(rstd, scale[:, 0], "float64" if dtype == "float64" else "float32", 4)

    x_bar = np.empty_like(x)
    source = rows.norm_backward(dtype, n, rms=rms)
    row_library.run(
        source.name, (2, 1), 256, [*head, g, x, weight, mean, rstd, x_bar, nothing], order
    )
    h = g64 * w64
    inner = h - hat * (h * hat).mean(axis=1, keepdims=True)
    want = scale * (inner - (0 if rms else h.mean(axis=1, keepdims=True)))
    _close(x_bar, want, dtype, 20)

    parts = 3
    w_parts, b_parts = np.zeros((parts, n), kind), np.zeros((parts, n), kind)
    source = rows.norm_weights(dtype, n, rms=rms, bias=not rms)
    blocks = -(-n // (32 * _vector(source)))
    ticket, w_bar, b_bar = np.zeros(blocks, np.uint32), np.empty(n, x.dtype), np.empty(n, x.dtype)
    arguments = [*head, g, x, mean, rstd, w_parts, b_parts, ticket, w_bar, b_bar]
    row_library.run(source.name, (blocks, parts), 256, arguments, order)
    assert not ticket.any()
    np.testing.assert_array_equal(w_bar, w_parts.sum(0, dtype=w_parts.dtype).astype(x.dtype))
    _close(
        w_parts.sum(axis=0),
        (g64 * hat).sum(axis=0),
        dtype if dtype != "bfloat16" else "float32",
        40,
    )
    if not rms:
        _close(
            b_parts.sum(axis=0), g64.sum(axis=0), dtype if dtype != "bfloat16" else "float32", 40
        )


@pytest.mark.parametrize(("dtype", "n"), [("float32", 96), ("bfloat16", 2048)])
def test_norms_of_a_sum(dtype: str, n: int) -> None:
    """Of x + more, which is written down; and a gradient that has another one added to it."""
    x, more, g, kind = *[_rows(dtype, n, seed) for seed in (0, 3, 1)], _computed(dtype)
    weight, bias = _rows(dtype, n, 2, 2)
    forward, backward = rows.norm(dtype, n, add=True), rows.norm_backward(dtype, n, add=True)
    plain = [rows.norm(dtype, n), rows.norm_backward(dtype, n)]
    library = Emulated([forward, backward, *plain])
    head, nothing, eps = [np.int64(11), np.int32(n)], np.intp(0), kind.type(1e-5)
    found: list[Any] = []
    total = np.empty_like(x)
    for source, given, more_or_not in (
        (forward, x, [more, total]),
        (plain[0], total, [nothing, nothing]),
    ):
        y, mean, rstd = np.empty_like(x), np.empty(11, kind), np.empty(11, kind)
        rest = [given, weight, bias, eps, y, mean, rstd, *more_or_not]
        library.run(source.name, (2, 1), 256, [*head, *rest], 5)
        found.append((y, mean, rstd))
    _close(total, x.astype(kind) + more.astype(kind), dtype)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    both = [np.empty_like(x), np.empty_like(x)]
    for source, out, extra in ((backward, both[0], more), (plain[1], both[1], nothing)):
        rest = [g, total, weight, found[0][1], found[0][2], out, extra]
        library.run(source.name, (2, 1), 256, [*head, *rest], 5)
    _close(both[0], both[1].astype(kind) + more.astype(kind), dtype, 4)


def _vector(source: Source) -> int:
    return int(source.text.partition("constexpr int V = ")[2].partition(";")[0])


# ------------------------------------------------------------------------------ reductions
REDUCERS = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("op", REDUCERS)
@pytest.mark.parametrize(("dtype", "n"), ROWS)
def test_reductions(row_library: Emulated, dtype: str, n: int, op: str, order: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0.9, 1.1, (5, n)).astype(DTYPES[dtype])
    kind = _computed(dtype)
    one = kind.type(1)
    source = reductions.rows(dtype, n, op)
    got = np.empty(5, x.dtype)
    row_library.run(
        source.name, (2, 1), 256, [np.int64(5), np.int64(n), np.int32(1), one, x, got], order
    )
    _close(got, REDUCERS[op](x.astype(np.float64), axis=1), dtype, 100)
    # in two passes: 3 parts of each row, then those
    source = reductions.columns(dtype, n, op)
    parts = np.empty((2, n), x.dtype)
    blocks = -(-n // (32 * _vector(source)))
    arguments = [np.int64(1), np.int64(5), np.int64(n), np.int32(2), one, x, parts]
    row_library.run(source.name, (blocks, 2), 256, arguments, order)
    got, want = (REDUCERS[op](v.astype(np.float64), axis=0) for v in (parts, x))
    _close(got, want, dtype, 10)


def test_sum_of_squares(row_library: Emulated) -> None:
    for dtype, n in ROWS:
        x = _rows(dtype, n)
        wide = families.wide(dtype)
        source = reductions.rows(dtype, n, "sum", result=wide, of="squares")
        got = np.empty((11, 2), DTYPES[wide])
        one = DTYPES[wide].type(1)
        row_library.run(
            source.name, (3, 1), 256, [np.int64(11), np.int64(n), np.int32(2), one, x, got]
        )
        _close(got.sum(axis=1), (x.astype(np.float64) ** 2).sum(axis=1), wide, 20)


# ------------------------------------------------------------------------------ the rest
def _philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Salmon et al. 2011, in Python's integers."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return tuple(c)


def test_philox_is_philox() -> None:
    """The known answer of Random123's test vectors."""
    assert _philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout(dtype: str) -> None:
    source = dropout.dropout(dtype)
    library = Emulated([source])
    n, keep, seed = 2003, 0.7, (3 << 32) + 12345
    x = np.random.default_rng(0).normal(size=n).astype(DTYPES[dtype])
    y, again = np.empty_like(x), np.empty_like(x)
    threads = 2 * 64
    head, words = [np.int64(n), np.float32(keep)], np.array([seed, 4], np.uint64)
    library.run(
        source.name, (2, 1), 64, [*head, np.uint64(seed), np.uint64(8), np.intp(0), x, y], 5
    )
    # the same place, told by device memory
    library.run(source.name, (2, 1), 64, [*head, np.uint64(0), np.uint64(4), words, x, again], 5)
    np.testing.assert_array_equal(again, y)
    want = np.empty(n, bool)
    for i in range(0, n, 4):
        pack = i // 4
        counter, thread = 2 + pack // threads, pack % threads
        bits = _philox((counter, 0, thread, 0), (seed & 0xFFFFFFFF, seed >> 32))
        for k in range(min(4, n - i)):
            uniform = np.float32(np.float32(bits[k]) * np.float32(2.3283064e-10))
            want[i + k] = np.float32(uniform + np.float32(2**-33)) < np.float32(keep)
    np.testing.assert_array_equal(y.astype(np.float32) != 0, want)
    _close(y, np.where(want, x.astype(np.float64) / np.float32(keep), 0), dtype)
    assert dropout.advance(n, threads) == 16  # 4 turns of the grid, 4 numbers each


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "n"), ROWS)
def test_embedding_gradient(row_library: Emulated, dtype: str, n: int, order: int) -> None:
    rng = np.random.default_rng(4)
    looked_up = rng.integers(0, 6, 40)
    g = rng.normal(size=(40, n)).astype(DTYPES[dtype])
    position = np.argsort(looked_up, kind="stable")
    table = np.zeros((7, n), DTYPES[dtype])
    source = embedding.embedding_backward(dtype, n)
    blocks = -(-n // (32 * _vector(source)))
    arguments = [np.int64(40), np.int32(n), looked_up[position], position, np.int64(2), g, table]
    row_library.run(source.name, (2, blocks), 256, arguments, order)
    want = np.zeros((7, n))
    np.add.at(want, looked_up, g.astype(np.float64))
    want[2] = 0
    _close(table, want, dtype, 20)


# ------------------------------------------------------------------------------ the emulator itself
def _kernel(body: str, parameters: str = "float *x") -> Source:
    text = f'namespace in_tried {{ extern "C" __global__ void tried({parameters}) {{ {body} }} }}'
    return Source("tried", text)


def test_the_emulator_finds_a_missing_barrier() -> None:
    body = "__shared__ float s[64]; int t = threadIdx.x; s[t] = t; {} x[t] = s[63 - t];"
    want = np.arange(64, dtype=np.float32)[::-1]
    good, bad = np.zeros((2, 64), np.float32)
    Emulated([_kernel(body.format("__syncthreads();"))]).run("tried", (1, 1), 64, [good], 1)
    Emulated([_kernel(body.format(""))]).run("tried", (1, 1), 64, [bad], 1)
    np.testing.assert_array_equal(good, want)
    assert np.isnan(bad).any()


def test_the_emulator_finds_a_barrier_that_threads_miss() -> None:
    library = Emulated([_kernel("if (threadIdx.x < 7) x[0] = __shfl_xor_sync(~0u, x[0], 1);")])
    with pytest.raises(AssertionError, match="shuffle"):
        library.run("tried", (1, 1), 32, [np.zeros(1, np.float32)])
