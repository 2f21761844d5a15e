"""The memory of captured steps: values that live at the same time never share any."""

from __future__ import annotations

import ctypes
import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiler import lowering, native, trace
from minigrad.compiler.layout import ALIGNMENT, Span, place
from minigrad.kernels.cpu import compiler

F = mg.nn.functional

spans = st.lists(
    st.builds(
        lambda first, length, size: Span(first, first + length, size),
        st.integers(0, 12), st.integers(0, 5), st.integers(1, 300),
    ),
    max_size=25,
)  # fmt: skip


@given(spans)
@settings(max_examples=200)
def test_values_that_live_together_lie_apart(spans):
    starts, length = place(spans)
    for i, (a, at) in enumerate(zip(spans, starts, strict=True)):
        assert at % ALIGNMENT == 0 and 0 <= at <= length - a.size
        for b, bt in zip(spans[:i], starts, strict=False):
            together = a.first <= b.last and b.first <= a.last
            assert not together or at + a.size <= bt or bt + b.size <= at
    rounded = [-(-s.size // ALIGNMENT) * ALIGNMENT for s in spans]
    needed = [
        sum(r for s, r in zip(spans, rounded, strict=True) if s.first <= t <= s.last)
        for t in range(20)
    ]
    assert max(needed) <= length <= sum(rounded)


def test_a_chain_needs_memory_for_two():
    starts, length = place([Span(i, i + 1, 1000) for i in range(50)])
    assert length == 2 * 1024


# ------------------------------------------------------------ random programs
N = 4
STEPS = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "tanh": lambda a, b: mg.tanh(a),
    "scaled": lambda a, b: a * 0.5 - 1,
    "turned": lambda a, b: a.t() + b,
    "view": lambda a, b: a.t(),
    "rows": lambda a, b: mg.cat([a[:2], b[2:]]),
    "column": lambda a, b: a - b[:, 1:2],
    "row": lambda a, b: a * b[2],
    "sum": lambda a, b: a - b.sum(1, keepdim=True),
    "mean": lambda a, b: a + b.mean(),
    "product": lambda a, b: (a @ b) * 0.25,
    "softmax": lambda a, b: F.softmax(a, -1),
    "flip": lambda a, b: a.flip(0) * b,
    "in place": lambda a, b: (a * 1).add_(b),
    "a part in place": lambda a, b: _with_a_part(a, b),
    "halves": lambda a, b: mg.stack(a.chunk(2)).reshape(N, N) + b,
    "largest": lambda a, b: a.max(1, keepdim=True)[0] * b,
}


def _with_a_part(a: Any, b: Any) -> Any:
    c = a.detach().clone()
    c[1:3].mul_(b.detach()[:2])
    return c


class Interpreted:
    """The source of a segment as Python, so that nothing is compiled for every example."""

    def __init__(self, source: native.Source):
        names: dict[str, Any] = {
            "floats": ctypes.POINTER(ctypes.c_float), "ints": ctypes.POINTER(ctypes.c_int64),
        }  # fmt: skip
        names = {k: lambda at, kind=kind: ctypes.cast(int(at), kind) for k, kind in names.items()}
        names |= {"f32": np.float32, "gemm": _product}
        for name, function in source.functions.values():
            names[name] = lambda *xs, f=function: f(
                *[x if x is None else np.float32(x) for x in xs]
            )
        exec(source.text(), names)  # noqa: S102
        self.call = names["segment"]

    def __call__(self, *tables: Any) -> None:
        self.call(*tables)


def _product(ta: bool, tb: bool, m: int, n: int, k: int, _: Any, *rest: Any) -> None:
    a, lead_a, b, lead_b, _, y, lead_y = rest

    def matrix(at: Any, rows: int, columns: int, lead: int, turned: bool) -> Any:
        rows, columns = (columns, rows) if turned else (rows, columns)
        memory = ctypes.cast(int(at), ctypes.POINTER(ctypes.c_float))
        x = np.lib.stride_tricks.as_strided(
            np.ctypeslib.as_array(memory, ((rows - 1) * lead + columns,)),
            (rows, columns), (4 * lead, 4),
        )  # fmt: skip
        return x.T if turned else x

    matrix(y, m, n, lead_y, False)[...] = matrix(a, m, k, lead_a, ta) @ matrix(b, k, n, lead_b, tb)


programs = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 30), st.integers(0, 30)),
    min_size=1,
    max_size=14,
)


@pytest.mark.skipif(not compiler.enabled(), reason="nothing is compiled without Numba")
@pytest.mark.parametrize("backward", ["inside", "outside"])
@given(program=programs, called=st.sets(st.integers(0, 40)), results=st.integers(1, 3))
@settings(max_examples=60)
def test_random_programs_replay_as_they_ran(backward, program, called, results):
    """Any mixture of calls and compiled functions; `called` are the ops that are not compiled."""
    rng = np.random.default_rng(0)

    def draw() -> Any:
        return mg.tensor(rng.uniform(-1, 1, (N, N)).astype(np.float32))

    weight = draw().requires_grad_()

    def f(x: Any) -> Any:
        values = [x, weight, x * weight]
        for name, i, j in program:
            values.append(STEPS[name](values[i % len(values)], values[j % len(values)]))
        if backward == "outside":
            return tuple(values[-results:])
        weight.grad = None
        loss = (values[-1] ** 2).mean() + weight.sum()
        loss.backward()
        return loss.detach(), *[v.detach() for v in values[-results:]]

    count = 0
    lowered = lowering.lowered

    def some(op: trace.Op, numbers: Any) -> Any:
        nonlocal count
        count += 1
        return None if count % 41 in called else lowered(op, numbers)

    def run(g: Any, x: Any) -> list[Any]:
        found = g(x)
        if backward == "outside":
            weight.grad = None
            wanted = [(t * t).sum() for t in found if t.requires_grad]
            total = mg.stack(wanted).sum() if wanted else weight.sum()
            total.backward(retain_graph=True)
            total.backward()
        found = (*found, weight.grad)
        return [t.detach().numpy().copy() for t in found]

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(lowering, "lowered", some)
        patch.setattr(native, "_compile", Interpreted)
        captured = mg.compile(f)
        for _ in range(5):
            x = draw()
            for a, b in zip(run(captured, x), run(f, x), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert [v.run.__name__ for v in captured.variants.values()] == ["_replay"]


# ------------------------------------------------------------ what is held
def test_the_record_is_let_go():
    """After the capture nothing holds what was computed in it."""
    born = []

    def f(x: Any) -> Any:
        y = F.softmax(x, -1)
        born.append(weakref.ref(y._data))
        return y @ x

    captured = mg.compile(f)
    x = mg.randn(300, 300)
    for _ in range(4):
        captured(x)
    gc.collect()
    assert len(born) == 3 and all(ref() is None for ref in born)


def test_gradients_of_two_leaves_are_two_arrays():
    """Two biases that are only added get the same gradient; clipping must not shrink it twice."""
    mg.manual_seed(0)
    nets = [mg.nn.LSTM(4, 5) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())

    def step_of(net: Any) -> Any:
        def step(x: Any) -> Any:
            net.zero_grad()
            (net(x)[0] ** 2).sum().mul(100).backward()
            return mg.nn.utils.clip_grad_norm_(net.parameters(), 0.5)

        return step

    captured, eager = mg.compile(step_of(nets[0])), step_of(nets[1])
    for _ in range(5):
        x = mg.randn(7, 3, 4)
        np.testing.assert_allclose(captured(x).numpy(), eager(x).numpy(), rtol=1e-5)
        for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert [v.run.__name__ for v in captured.variants.values()] == ["_replay"]


def test_an_argument_in_another_order_of_memory():
    captured = mg.compile(lambda x: F.softmax(x, -1) + x[1:2] * x.t())
    for i in range(7):
        x = mg.randn(6, 6)
        x = x.t() if i % 2 else x
        want = F.softmax(x, -1) + x[1:2] * x.t()
        np.testing.assert_allclose(captured(x).numpy(), want.numpy(), rtol=1e-5)
