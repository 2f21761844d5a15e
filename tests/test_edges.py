"""Corners at which random programs and PyTorch's own samples once differed."""

from __future__ import annotations

import warnings
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


def _arriving(function: Callable[[Any, Any], Any], data: Any, gradient: Any) -> Any:
    """The gradient that a function sends on from `gradient`."""

    def program(m: Any) -> Any:
        x = m.tensor(data, requires_grad=True)
        function(m, x).backward(m.tensor(gradient))
        return x.grad

    return program


def _no_longer_required(m: Any) -> Any:
    x, y = (m.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    z = x * y
    x.requires_grad_(False)
    z.sum().backward()
    return x.grad, y.grad


def _reshaped_in_no_grad(m: Any) -> Any:
    x = m.ones(2, 1, requires_grad=True)
    with m.no_grad():
        x.t_()
    return x, x.is_leaf


def _hooked(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def program(m: Any) -> Any:
        x = m.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(hook)
        x.sum().backward()
        return x.grad

    return program


def _flagged(m: Any) -> Any:
    y = m.ones(2, requires_grad=True) * 2
    y.requires_grad_()
    y.requires_grad = True


def _without_the_sum(m: Any) -> Any:
    x, a = m.ones(2, 2, requires_grad=True), m.ones(2, 2, requires_grad=True)
    m.addmm(x, a, a, beta=0).sum().backward()
    return x.grad, a.grad


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "prod with two zeros, nan arriving": _product_with_zeros,
    "cholesky of inf": lambda m: m.linalg.cholesky(m.tensor([[INF]])),
    "cholesky with inf behind": lambda m: m.linalg.cholesky(m.tensor([[1.0, 0.0], [0.0, INF]])),
    "cholesky with inf in front": lambda m: m.linalg.cholesky(m.tensor([[INF, 0.0], [0.0, 1.0]])),
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
    "logcumsumexp, nan arriving": _arriving(
        lambda m, x: x.logcumsumexp(0), [1.0, 2.0, 0.5], [1.0, NAN, -2.0]
    ),
    "norm of order 0": lambda m: m.autograd.grad(
        m.linalg.vector_norm(x := m.ones(3, requires_grad=True), 0), x, allow_unused=True
    ),
    "a gradient no longer required": _no_longer_required,
    "t_ in no_grad": _reshaped_in_no_grad,
    "a hook that answers a tensor": _hooked(lambda p: p.grad.mul_(2)),
    "a hook that answers a number": _hooked(lambda p: 1),
    "requires_grad of a result": _flagged,
    "what beta=0 leaves out": _without_the_sum,
    "ravel of a leaf": lambda m: (lambda x: (x.ravel() is x, x.ravel().is_leaf))(
        m.ones(2, requires_grad=True)
    ),
    "mT of a number": lambda m: (m.tensor(2.0).mT, m.tensor(2.0).mH, m.tensor(2.0).adjoint()),
    "masked_fill of a half": lambda m: m.ones(2, dtype=m.float16).masked_fill(
        m.tensor([True, False]), -1e9
    ),
    "masked_fill of a half with inf": lambda m: m.ones(2, dtype=m.float16).masked_fill(
        m.tensor([True, False]), -INF
    ),
    "fill_ of a half": lambda m: m.ones(2, dtype=m.float16).fill_(1e5),
    "scatter of a complex number": lambda m: m.ones(2).scatter(0, m.tensor([0]), 1j),
    "a negative fraction in uint8": lambda m: m.tensor([-1.5], dtype=m.uint8),
    "full of a negative fraction": lambda m: m.full((2,), -1.5, dtype=m.uint8),
    "pad with a number too large": lambda m: m.nn.functional.pad(
        m.ones(2, dtype=m.int8), (1, 1), value=300
    ),
    "matmul into another dtype": lambda m: m.matmul(
        m.ones(2, 2), m.ones(2, 2), out=m.zeros(2, 2).double()
    ),
    "argmax into another dtype": lambda m: m.argmax(m.ones(2, 2), 0, out=m.zeros(2)),
    "quantile into another dtype": lambda m: m.quantile(m.ones(2), 0.5, out=m.zeros(()).double()),
    "isneginf into another dtype": lambda m: m.isneginf(m.ones(2), out=m.zeros(2)),
    "an index outside in embedding_bag": lambda m: m.nn.functional.embedding_bag(
        m.tensor([[0, 3]]), m.ones(3, 2)
    ),
    "NumPy's names": lambda m: (
        m.cumsum(m.ones(2, 2), axis=0),
        m.logsumexp(m.zeros(2, 2), axis=1, keepdims=True),
        m.unsqueeze(m.ones(2), axis=1),
        m.nansum(m.ones(2, 2), axis=0, keepdims=True),
        m.quantile(m.arange(3.0), 0.5, axis=0),
        m.diff(m.arange(3.0), axis=0),
        m.cummax(m.arange(3.0), axis=0),
        m.take_along_dim(m.ones(2), m.tensor([0]), axis=0),
    ),
    "an index beside an empty dimension": lambda m: (
        m.zeros(3, 0)[m.tensor([5])],
        m.zeros(2, 0, 3)[..., m.tensor([[7]])],
    ),
    "written beside an empty dimension": lambda m: m.zeros(0, 3).index_put(
        (m.arange(0)[:, None], m.tensor([7])), m.tensor(1.0)
    ),
    "an index into an empty dimension": lambda m: m.zeros(3, 0)[:, m.tensor([0])],
    "detach_ of what put made": lambda m: (
        m.ones(3, requires_grad=True).put(m.tensor([0]), m.tensor([2.0])).detach_()
    ),
    "a dimension that is missing": lambda m: m.cumsum(m.ones(2)),
    "slope of prelu": _slope((2, 3)),
    "slope of prelu, no elements": _slope((1, 0, 3)),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_corner(program: Callable[[Any], Any]) -> None:
    with np.errstate(all="ignore"):
        assert _outcome(program, minigrad) == _outcome(program, torch)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint8", "bool", "complex64"])
@pytest.mark.parametrize("value", [1 + 0j, 1 + 1j, 300, -1, 1e6, 1e300, 1e300 + 0j])
@pytest.mark.parametrize("op", ["full", "fill_", "masked_fill", "scatter"])
def test_numbers_that_a_dtype_takes(op: str, value: Any, dtype: str) -> None:
    """A complex number counts as real where its imaginary part is 0; what is too large is
    refused.
    """

    def outcome(T: Any) -> Any:
        x = T.ones(2, dtype=getattr(T, dtype))
        try:
            if op == "full":
                y = T.full((2,), value, dtype=getattr(T, dtype))
            elif op == "fill_":
                y = x.fill_(value)
            elif op == "masked_fill":
                y = x.masked_fill(T.tensor([True, False]), value)
            else:
                y = x.scatter(0, T.tensor([0]), value)
        except Exception as error:
            return type(error).__name__
        return [complex(v) for v in y.tolist()]

    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        assert outcome(minigrad) == outcome(torch)


def test_losses_one_by_one_have_memory_of_their_own() -> None:
    x = minigrad.randn(6, 4, requires_grad=True)
    losses = minigrad.nn.functional.cross_entropy(
        x, minigrad.tensor([0, 1, 2, 3, 0, 1]), reduction="none"
    )
    assert losses.storage_offset() == 0
    assert losses.untyped_storage().nbytes() == 6 * losses.element_size()
