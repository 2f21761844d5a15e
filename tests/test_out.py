"""`out=`: the dtypes that PyTorch takes, and computes in."""

from __future__ import annotations

from typing import Any

import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
LIBRARIES = (torch, minigrad)
DTYPES = ("float32", "float64", "float16", "int64", "int32", "bool")
UNARY = """neg abs exp sin sqrt floor ceil round trunc frac sign sgn square reciprocal sigmoid tanh
    erf signbit nan_to_num logical_not exp2 log expm1""".split()
REDUCTIONS = "sum prod cumsum cumprod nansum mean amax amin".split()


def outcome(lib: Any, name: str, given: str, wanted: str, *args: Any) -> Any:
    x = lib.ones(2, 3, dtype=getattr(lib, given)) * 1
    out = lib.zeros(2, 3, dtype=getattr(lib, wanted))
    try:
        result = getattr(lib, name)(x, *args, out=out)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return RuntimeError if isinstance(error, RuntimeError) else type(error)
    assert result is out
    return str(out.dtype).partition(".")[2], out.double().flatten().tolist()


@pytest.mark.parametrize("name", UNARY)
def test_elementwise(name: str) -> None:
    for given in DTYPES[:-1]:
        for wanted in DTYPES:
            expected, actual = [outcome(lib, name, given, wanted) for lib in LIBRARIES]
            assert (actual is RuntimeError) == (expected is RuntimeError), (given, wanted)
            if isinstance(expected, tuple):
                assert actual[0] == expected[0] and actual[1] == pytest.approx(
                    expected[1], rel=1e-3
                )


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_reductions(name: str) -> None:
    """Sums and products are computed in the dtype of `out`."""
    for given in DTYPES[:-1]:
        for wanted in DTYPES[:-1]:
            expected, actual = [outcome(lib, name, given, wanted, 1) for lib in LIBRARIES]
            if isinstance(expected, tuple):
                assert actual == expected, (given, wanted)
            else:
                assert not isinstance(actual, tuple), (given, wanted)


def test_refused_where_it_would_be_recorded() -> None:
    for lib in LIBRARIES:
        x = lib.ones(2, requires_grad=True)
        for call in (
            lambda x, lib=lib: lib.cumsum(x, 0, out=lib.zeros(2, dtype=lib.int64)),
            lambda x, lib=lib: lib.sum(x, 0, out=lib.zeros((), dtype=lib.int64)),
            lambda x, lib=lib: lib.exp(x, out=lib.zeros(2)),
        ):
            with pytest.raises(RuntimeError, match="automatic differentiation"):
                call(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, out: lib.isin(lib.tensor([1, 2, 3]), lib.tensor([2]), out=out(lib.bool, 3)),
        lambda lib, out: lib.frobenius_norm(lib.ones(2, 3), [0, 1], out=out(lib.float32)),
        lambda lib, out: lib.nuclear_norm(lib.eye(3), out=out(lib.float32)),
        lambda lib, out: lib.chain_matmul(lib.eye(2), lib.ones(2, 2), out=out(lib.float32, 2, 2)),
        lambda lib, out: lib.heaviside(
            lib.tensor([-1.0, 0.0]), lib.ones(2), out=out(lib.float32, 2)
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_others(call: Any) -> None:
    results = []
    for lib in LIBRARIES:
        made = []

        def out(dtype: Any, *size: int, lib: Any = lib, made: list[Any] = made) -> Any:
            made.append(lib.zeros(size, dtype=dtype))
            return made[-1]

        assert call(lib, out) is made[0]
        results.append(made[0].flatten().tolist())
    assert results[0] == pytest.approx(results[1])
