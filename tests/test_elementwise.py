"""Elementwise ops beyond values: operators with foreign types, errors, out=, without SciPy."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import special

OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
INPLACE = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.imod,
    operator.ipow,
]


def tensors(lib: Any) -> dict[str, Any]:
    """The operands of the tables below, in minigrad or torch."""
    return {
        "F": lib.tensor([1.5, 2.5]),
        "G": lib.tensor([1.0, 2.0, 3.0]),
        "D": lib.tensor([1.0, 2.0], dtype=lib.float64),
        "I": lib.tensor([1, 2]),
        "B": lib.tensor([True, False]),
        "U": lib.tensor([1, 2], dtype=lib.uint8),
        "Z": lib.tensor([1, 0]),
        "C": lib.tensor([1 + 1j, 2j]),
        "H": lib.tensor([1.0, 2.0], dtype=lib.float16),
        "lib": lib,
    }


# ------------------------------------------------------------------------------ operators
@pytest.mark.torch
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize(
    "other", [2, 2.0, True, np.float32(2), np.float64(2), np.int64(2)], ids=repr
)
@pytest.mark.parametrize("name", ["F", "I", "D", "U"])
def test_operators_with_numbers_on_either_side(op: Callable, other: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    plain = (
        other.item() if isinstance(other, np.generic) else other
    )  # NumPy's own rules are not ours
    x, t = tensors(mg)[name], tensors(torch)[name]
    for ours, theirs in (((x, other), (t, plain)), ((other, x), (plain, t))):
        try:
            want = op(*theirs)
        except RuntimeError as error:  # True - x
            with pytest.raises(type(error)):
                op(*ours)
            continue
        got = op(*ours)
        assert isinstance(got, mg.Tensor)
        assert str(got.dtype).rpartition(".")[2] == str(want.dtype).rpartition(".")[2]
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("op", BITS, ids=lambda op: op.__name__)
def test_bit_operators(op: Callable) -> None:
    torch = pytest.importorskip("torch")
    x, t = mg.tensor([5, 12, 7]), torch.tensor([5, 12, 7])
    for a, b in ((x, t), (x, t.new_tensor(3))):
        want = op(t, b)
        got = op(x, a if b is t else 3)
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    np.testing.assert_array_equal(op(3, x).numpy(), op(3, t).numpy())


def test_unary_operators() -> None:
    x = mg.tensor([-1.5, 2.0])
    assert (-x).tolist() == [1.5, -2.0]
    assert abs(x).tolist() == [1.5, 2.0]
    assert +x is x
    assert (~mg.tensor([True, False])).tolist() == [False, True]
    assert (~mg.tensor([0, 5])).tolist() == [-1, -6]


def test_an_array_on_either_side_makes_a_tensor() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    array = np.array([3.0, 4.0], np.float32)
    for y in (x * array, array * x):
        assert isinstance(y, mg.Tensor) and y.dtype is mg.float32 and y.tolist() == [3.0, 8.0]
        (g,) = mg.autograd.grad(y, x, mg.tensor([1.0, 1.0]))
        assert g.tolist() == [3.0, 4.0]


class Foreign:
    """A type that knows what to do with tensors, while tensors do not know it."""

    def __radd__(self, other: Any) -> str:
        return "radd"

    def __rpow__(self, other: Any) -> str:
        return "rpow"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, mg.Tensor)

    __hash__ = None  # type: ignore[assignment]


def test_foreign_types_get_their_turn() -> None:
    x = mg.tensor([1.0])
    assert x + Foreign() == "radd"
    assert x ** Foreign() == "rpow"
    assert (x == Foreign()) is True


@pytest.mark.parametrize("op", [*OPERATORS[:7], *OPERATORS[9:], *BITS], ids=lambda op: op.__name__)
@pytest.mark.parametrize(
    "other", ["a", None, [1, 2], (1,), {}, object()], ids=lambda v: type(v).__name__
)
def test_operators_refuse_other_types(op: Callable, other: Any) -> None:
    x = mg.tensor([1, 2])
    with pytest.raises(TypeError):
        op(x, other)
    if not (op is operator.mod and isinstance(other, str)):  # there % formats the text
        with pytest.raises(TypeError):
            op(other, x)


def test_equality_with_other_types_is_identity() -> None:
    x = mg.tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x == "a") is False
    assert (x != "a") is True
    assert hash(x) == hash(x)
    assert x in {x}


@pytest.mark.parametrize("op", INPLACE, ids=lambda op: op.__name__)
def test_inplace_operators_write_into_the_tensor(op: Callable) -> None:
    x = mg.tensor([4.0, 9.0])
    memory, want = x._data, op(np.array([4.0, 9.0], np.float32), 2.0)
    y = op(x, 2.0)
    assert y is x and x._data is memory
    np.testing.assert_allclose(memory, want, rtol=1e-6)


# ------------------------------------------------------------------------------ errors
ERRORS = """
    F + G; F - G; F * G; F / G; F // G; F % G; F ** G; F == G; F < G; lib.maximum(F, G)
    lib.where(B, F, G); lib.clamp(F, G, G); lib.lerp(F, G, 0.5); lib.addcmul(F, F, G)
    lib.logical_and(F, G); lib.atan2(F, G); B - B; -B; lib.positive(B); lib.abs(B); lib.floor(B)
    lib.frac(I); lib.round(I, decimals=1); ~F; F & F; I & 1.5; F << 1; B << B; lib.gcd(F, F)
    lib.hypot(I, I); lib.logaddexp(I, I); lib.nextafter(I, I); B ** B; B % B; I // 0; I // Z
    I % Z; lib.fmod(I, 0); lib.div(I, Z, rounding_mode='trunc'); I ** -1; lib.pow(I, -2)
    lib.div(F, F, rounding_mode='up'); lib.add(I, I, alpha=1.5); lib.add(F, F, alpha=True)
    lib.sub(B, B); lib.add(F, 'a'); lib.add(F, None); lib.mul('a', F); lib.exp('a'); lib.exp(1.0)
    lib.exp(None); lib.neg([1.0]); lib.maximum(F, 2); lib.minimum(2, F); lib.fmax(F, 1)
    lib.atan2(F, 1); lib.heaviside(F, 1.0); lib.heaviside(F, D); lib.clamp(F)
    lib.clamp(F, D, 1.0); lib.clamp_min(2, F); lib.eq(1, F); lib.gt(1, F); lib.copysign(1, F)
    lib.fmod(2, F); lib.isclose(F, D); lib.isclose(F, 1.0); lib.isclose(F, F, rtol=-1)
    lib.isclose(F, F, atol=-1); lib.isclose(F, G); lib.allclose(F, D); lib.equal(F, 1)
    lib.isin(1, 1); lib.isin(B, B); lib.logical_and(F, 1); lib.lerp(F, D, 0.5); lib.lerp(F, F, D)
    lib.lerp(I, I, 0.5); lib.lerp(F, F, 'a'); lib.addcdiv(F, I, I); lib.where(I, F, F)
    lib.where(B, 'a', F); lib.where(B, F); lib.fill(F, F); lib.frexp(I); lib.imag(F); C < C
    lib.maximum(C, C); lib.sign(C); lib.signbit(C); lib.isposinf(C); lib.isneginf(C)
    lib.polygamma(-1, F); lib.polygamma(1.5, F); lib.mvlgamma(F, 0); lib.igamma(I, I)
    lib.igamma(F, 1.0); F.float_power_(2); I.exp_(); I.div_(2); I.add_(1.5); B.add_(1)
    F.add_(F.new_ones(3, 2)); I.mul_(F); I.sigmoid_(); F.fill_(F); F.clamp_(); I.pow_(-1)
    C.abs_(); F.lerp_(D, 0.5); lib.exp(I, out=I); lib.exp(F, out=I); lib.add(F, F, out=B)
    F.exp(2); lib.sqrt(); lib.add(F)
"""


@pytest.mark.torch
@pytest.mark.parametrize(
    "call", [c.strip() for line in ERRORS.split("\n") for c in line.split(";") if c.strip()]
)
def test_errors_have_pytorchs_type_and_change_nothing(call: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as want:
        eval(call, tensors(torch))
    known = tensors(mg)
    before = {name: t.numpy().copy() for name, t in known.items() if name != "lib"}
    with pytest.raises(Exception) as got:
        eval(call, known)
    assert got.type is want.type, f"{got.value!r}, not {want.value!r}"
    for name, x in before.items():
        np.testing.assert_array_equal(known[name].numpy(), x)


def test_messages_programs_rely_on() -> None:
    with pytest.raises(
        RuntimeError, match=r"size of tensor a \(2\) must match the size of tensor b \(3\)"
    ):
        mg.ones(2) + mg.ones(3)
    with pytest.raises(
        RuntimeError, match="result type Float can't be cast to the desired output type Long"
    ):
        mg.tensor([1, 2]).div_(2)
    with pytest.raises(
        TypeError, match=r"unsupported operand type\(s\) for \+: 'Tensor' and 'str'"
    ):
        mg.ones(2) + "a"
    with pytest.raises(TypeError, match=r"argument 'other' \(position 2\) must be Tensor, not str"):
        mg.add(mg.ones(2), "a")


# ------------------------------------------------------------------------------ out=
OUT = [
    (mg.exp, 1),
    (mg.add, 2),
    (mg.sub, 2),
    (mg.mul, 2),
    (mg.div, 2),
    (mg.pow, 2),
    (mg.clamp_min, 2),
    (mg.maximum, 2),
    (mg.atan2, 2),
    (mg.floor, 1),
    (mg.round, 1),
    (mg.erf, 1),
    (mg.logit, 1),
    (mg.lerp, 3),
    (mg.addcmul, 3),
    (mg.xlogy, 2),
    (mg.nan_to_num, 1),
    (mg.remainder, 2),
    (mg.igamma, 2),
    (mg.hypot, 2),
    (mg.ldexp, 2),
    (mg.copysign, 2),
]


@pytest.mark.parametrize(("op", "arity"), OUT, ids=lambda v: getattr(v, "__name__", ""))
def test_out_receives_the_result(op: Callable, arity: int) -> None:
    args = [mg.tensor([0.3, 0.6]) for _ in range(arity)]
    out = mg.zeros(2)
    memory = out._data
    assert op(*args, out=out) is out
    assert out._data is memory
    np.testing.assert_array_equal(out.numpy(), op(*args).numpy())


def test_frexp_writes_both_results() -> None:
    out = (mg.zeros(2), mg.zeros(2, dtype=mg.int32))
    result = mg.frexp(mg.tensor([8.0, -0.3]), out=out)
    assert result.mantissa is out[0] and result.exponent is out[1]
    assert out[0].tolist() == [0.5, pytest.approx(-0.6)] and out[1].tolist() == [4, -1]


def test_out_is_refused_under_autograd() -> None:
    x = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        mg.exp(x, out=mg.zeros(1))
    with mg.no_grad():
        assert mg.exp(x, out=mg.zeros(1)).item() == pytest.approx(math.e)


def test_comparisons_write_into_any_dtype() -> None:
    out = mg.zeros(2)
    assert mg.eq(mg.tensor([1, 2]), 1, out=out).tolist() == [1.0, 0.0]


# ------------------------------------------------------------------------------ without SciPy
@pytest.fixture
def no_scipy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """SciPy cannot be imported."""
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    special.scipy_special.cache_clear()
    yield
    special.scipy_special.cache_clear()


def test_error_functions_without_scipy(no_scipy: None) -> None:
    points = np.linspace(-4, 4, 41)
    for dtype in (mg.float64, mg.float32):
        x = mg.tensor(points, dtype=dtype)
        assert mg.erf(x).dtype is dtype
        np.testing.assert_allclose(mg.erf(x).numpy(), [math.erf(p) for p in points], rtol=1e-6)
        np.testing.assert_allclose(mg.erfc(x).numpy(), [math.erfc(p) for p in points], rtol=2e-5)
    assert mg.erf(mg.tensor(0.5)).shape == ()


@pytest.mark.parametrize(
    "name", ["lgamma", "digamma", "erfinv", "i0", "special.ndtr", "special.entr"]
)
def test_other_special_functions_say_what_is_missing(no_scipy: None, name: str) -> None:
    function = operator.attrgetter(name)(mg)
    with pytest.raises(ImportError, match="scipy"):
        function(mg.tensor([0.5]))


# ------------------------------------------------------------------------------ gradients
def test_integer_arguments_get_no_gradient_and_break_none() -> None:
    x, n = mg.tensor([2.0, 3.0], requires_grad=True), mg.tensor([2, 3])
    (x**n).backward(mg.ones(2))
    assert x.grad.tolist() == [4.0, 27.0]


def test_a_scalar_base_and_a_scalar_exponent() -> None:
    x = mg.tensor([2.0, 3.0], requires_grad=True)
    (2**x).backward(mg.ones(2))
    np.testing.assert_allclose(x.grad.numpy(), np.log(2) * np.array([4.0, 8.0]), rtol=1e-6)
    zero = mg.tensor([0.0], requires_grad=True)
    (zero**0).backward()
    assert zero.grad.item() == 0.0


def test_where_keeps_the_untaken_side_out_of_the_gradient() -> None:
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    y = mg.where(x > 0, x, 1.0).sqrt()  # the untaken 0 would give an infinite slope
    y.backward(mg.ones(2))
    assert x.grad.tolist() == [0.0, 0.25]


def test_types_of_numpy_zero_dimensional_results() -> None:
    x = mg.tensor(3.0)
    for y in (x + 1, x * x, mg.exp(x), x > 2, mg.clamp(x, 0, 1), mg.where(x > 0, x, 0)):
        assert type(y._data) is np.ndarray and y.shape == ()
