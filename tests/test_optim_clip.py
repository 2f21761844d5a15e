"""Gradient clipping and parameters as one vector, as in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import pytest

import minigrad as mg
from minigrad import nn
from tests.parity import Row, assert_parity, by_source, table

inf, nan = math.inf, math.nan
GRADIENTS: dict[str, list[list[float] | None]] = {
    "two": [[3.0, 4.0], [12.0]],
    "one missing": [[3.0, 4.0], None],
    "none": [None],
    "zeros": [[0.0, 1.0], [0.0, 0.0]],
    "small": [[0.1], [-0.2]],
    "nan last": [[1.0, 1.0], [nan]],
    "nan first": [[nan], [1.0]],
    "inf": [[inf], [1.0]],
    "large": [[3e30, -4e30], [1e30]],
}


def parameters(L: Any, gradients: list[list[float] | None], dtype: str = "float32") -> list[Any]:
    made = []
    for g in gradients:
        p = L.ones(2 if g is None else len(g), dtype=getattr(L, dtype), requires_grad=True)
        p.grad = None if g is None else L.tensor(g, dtype=getattr(L, dtype))
        made.append(p)
    return made


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("gradients", GRADIENTS)
@pytest.mark.parametrize("norm", [2.0, 1.0, 3, 0.5, inf, "inf", -inf, 0.0], ids=str)
def test_clip_grad_norm(norm: Any, gradients: str, strict: bool) -> None:
    def row(L: Any) -> Any:
        ps = parameters(L, GRADIENTS[gradients])
        total = L.nn.utils.clip_grad_norm_(iter(ps), 1.0, norm, error_if_nonfinite=strict)
        return total, [p.grad for p in ps]

    if gradients == "large":  # the norm is representable, but sums of squares overflow in PyTorch
        ps = parameters(mg, GRADIENTS[gradients])
        total = nn.utils.clip_grad_norm_(ps, 1.0, 2.0, error_if_nonfinite=strict)
        assert total.item() == pytest.approx(26**0.5 * 1e30)
        assert ps[0].grad.tolist() == pytest.approx([3 / 26**0.5, -4 / 26**0.5])
    else:
        assert_parity(row)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("norm", [2.0, 1.0, inf])
def test_dtypes(dtype: str, norm: float) -> None:
    """Norms are summed in float32 at least; PyTorch rounds the factor to the dtype as well."""
    torch = pytest.importorskip("torch")
    found = []
    for L in (mg, torch):
        ps = parameters(L, [[300.0, 400.0], [1200.0]], dtype)
        total = L.nn.utils.clip_grad_norm_(ps, 650.0, norm)
        assert total.dtype is getattr(L, dtype) and ps[0].grad.dtype is getattr(L, dtype)
        found.append([total.item(), *ps[0].grad.tolist(), *ps[1].grad.tolist()])
    digits = {"float16": 2e-3, "bfloat16": 1e-2, "float64": 1e-12}[dtype]
    assert found[0] == pytest.approx(found[1], rel=digits)


ROWS = by_source("ps", lambda L: parameters(L, [[3.0, -4.0, nan], None]), [
    "(L.nn.utils.clip_grad_value_(ps, 1), ps[0].grad)",
    "(L.nn.utils.clip_grad_value_(ps, 0.5), ps[0].grad)",
    "(L.nn.utils.clip_grad_value_(ps[0], 0.5), ps[0].grad)",
    "L.nn.utils.clip_grad_value_(ps, 'x')",
    "L.nn.utils.clip_grad_norm_([], 1.0)",
    "L.nn.utils.clip_grad_norm_(L.ones(2, requires_grad=True), 1.0)",
    "L.nn.utils.get_total_norm([])",
    "L.nn.utils.get_total_norm(L.ones(4))",
    "L.nn.utils.get_total_norm([L.ones(4), L.ones(2, 6)], 2.0)",
    "L.nn.utils.get_total_norm([L.ones(4), L.ones(2, 6)], 1.0)",
    "L.nn.utils.get_total_norm([L.ones(4).t(), L.ones(()), L.ones(3, 2).t()])",
    "(L.nn.utils.clip_grads_with_norm_(ps, 1.0, L.tensor(4.0)), ps[0].grad)",
    "L.nn.utils.parameters_to_vector([L.ones(2), L.zeros(1, 2), L.ones(())])",
    "L.nn.utils.parameters_to_vector([])",
    "L.nn.utils.vector_to_parameters(3, ps)",
    "L.nn.utils.vector_to_parameters(L.arange(3.), [L.ones(2), L.ones(2)])",
])  # fmt: skip


@table(ROWS)
def test_more(row: Row) -> None:
    assert_parity(row, message=False)


def test_a_vector_given_to_parameters_is_shared() -> None:
    def row(L: Any) -> Any:
        ps = [L.ones(2, requires_grad=True), L.zeros(1, 2)]
        vector = L.arange(4.0)
        L.nn.utils.vector_to_parameters(vector, ps)
        vector[0] = 9
        return ps

    assert_parity(row)


def test_clipping_is_noticed_by_a_graph_that_saved_the_gradient() -> None:
    w = mg.ones(2, requires_grad=True)
    w.grad = mg.full((2,), 3.0)
    product = w.grad * mg.ones(2, requires_grad=True)
    nn.utils.clip_grad_norm_(w, 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_an_error_changes_no_gradient() -> None:
    ps = parameters(mg, [[nan, 5.0]])
    with pytest.raises(RuntimeError, match="order 2.0 for gradients .* is non-finite"):
        nn.utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert ps[0].grad[1].item() == 5


def test_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm is nn.utils.clip_grad_norm_
