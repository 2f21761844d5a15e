"""Corners at which random programs and PyTorch's own samples once differed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

INF, NAN = float("inf"), float("nan")


def _described(value: Any) -> Any:
    """Values, shapes, dtypes and flags of tensors, in containers too, without the library."""
    if isinstance(value, (tuple, list)):
        return [_described(v) for v in value]
    if not isinstance(value, (torch.Tensor, minigrad.Tensor)):
        return value
    kind = str(value.dtype).partition(".")[2]
    rounded = np.round(np.array(value.detach().tolist()), 5).tolist()
    return kind, tuple(value.shape), value.requires_grad, str(rounded)


def _outcome(program: Callable[[Any], Any], m: Any) -> Any:
    try:
        return _described(program(m))
    except Exception as error:
        return type(error).__name__.lstrip("_")


def _product_with_zeros(m: Any) -> Any:
    x = m.tensor([0.0, 0.0, 3.0], requires_grad=True)
    x.prod().backward(m.tensor(NAN))
    return x.grad


def _written(function: Callable[..., Any], *args: Any) -> Callable[[Any], Any]:
    def program(m: Any) -> Any:
        x = m.tensor([[[[1.0, -2.0], [0.5, 3.0]]]])
        out = m.empty(0)
        result = function(m.nn.functional)(x, *args, out=out)
        return result is out, out

    return program


def _slope(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """PyTorch's gradient of prelu depends on the input in the graph, though not in value."""

    def program(m: Any) -> Any:
        x = m.full(shape, -0.5, requires_grad=True)
        y = m.nn.functional.prelu(x, m.tensor(0.25))
        (slope,) = m.autograd.grad(y, [x], m.ones(shape), create_graph=True)
        return slope, *m.autograd.grad([slope.sum()], [x])

    return program


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "prod with two zeros, nan arriving": _product_with_zeros,
    "cholesky of inf": lambda m: m.linalg.cholesky(m.tensor([[INF]])),
    "cholesky with inf behind": lambda m: m.linalg.cholesky(m.tensor([[1.0, 0.0], [0.0, INF]])),
    "cholesky of nan": lambda m: m.linalg.cholesky(m.tensor([[NAN]])),
    "cholesky_ex of inf": lambda m: m.linalg.cholesky_ex(m.tensor([[INF]])),
    "multi_margin_loss of one row": lambda m: m.nn.functional.multi_margin_loss(
        m.ones(5), m.tensor([1]), reduction="none"
    ),
    "batch_norm of nothing": lambda m: m.nn.functional.batch_norm(
        m.zeros(0), m.zeros(0), m.ones(0), training=True
    ),
    "batch_norm of a vector": lambda m: m.nn.functional.batch_norm(
        m.zeros(3), None, None, training=True
    ),
    "gelu out": _written(lambda f: f.gelu),
    "logsigmoid out": _written(lambda f: f.logsigmoid),
    "avg_pool2d out": _written(lambda f: f.avg_pool2d, 2),
    "avg_pool3d out": _written(lambda f: f.avg_pool3d, 1),
    "slope of prelu": _slope((2, 3)),
    "slope of prelu, no elements": _slope((1, 0, 3)),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_corner(program: Callable[[Any], Any]) -> None:
    with np.errstate(all="ignore"):
        assert _outcome(program, minigrad) == _outcome(program, torch)
