"""What the op tests share: arguments for both libraries, comparisons, an oracle for derivatives.

The oracle is independent of `minigrad.testing`: central differences along random directions, of
the value against the gradient, and of the gradient against its gradient.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad
from minigrad.core.tensor import Tensor, wrap
from tests.cases import Array, Case, Make, S

HALF = ("float16", "bfloat16")
TOLERANCE = {"float64": (1e-7, 1e-8), "float16": (4e-3, 2e-3), "bfloat16": (3e-2, 2e-2)}
GRADIENT_SLACK = 10  # a gradient is a longer computation than its value


def resolve(library: Any, dotted: str) -> Any:
    """The function behind a dotted name; AttributeError if there is none."""
    return functools.reduce(getattr, dotted.split("."), library)


def samples_of(case: Case) -> list[S]:
    """Fresh samples of a case; the same ones at every call."""
    return case.samples(Make(0))


# ------------------------------------------------------------------------------ arguments
def map_arrays(function: Callable[[Array], Any], value: Any) -> Any:
    """The argument with every Array in it (also in lists and tuples) replaced."""
    if isinstance(value, Array):
        return function(value)
    if isinstance(value, (list, tuple)) and any(_holds_array(v) for v in value):
        return type(value)(map_arrays(function, v) for v in value)
    return value


def _holds_array(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_array(v) for v in value)
    return isinstance(value, Array)


def _strided(x: np.ndarray) -> np.ndarray:
    """The same values, every other element of a larger array; a 0-d array as it is."""
    if x.ndim == 0:
        return x
    base = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    base[..., ::2] = x
    return base[..., ::2]


class Call:
    """The arguments of one call in one library, and which of them require gradients."""

    def __init__(self, sample: S, make: Callable[[Array], Any], library: Any):
        self.leaves: list[Any] = []

        def remember(array: Array) -> Any:
            tensor = make(array)
            self.tensors.append(tensor)
            if tensor.requires_grad:
                self.leaves.append(tensor)
            return tensor

        self.tensors: list[Any] = []
        self.args = [map_arrays(remember, a) for a in sample.args]
        self.kwargs = {
            k: getattr(library, v)
            if k == "dtype" and isinstance(v, str)
            else map_arrays(remember, v)
            for k, v in sample.kwargs.items()
        }

    def __call__(self, function: Callable) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice, as PyTorch gives it, too
            return function(*self.args, **self.kwargs)


def _needs_grad(array: Array, dtype: str, grad: bool) -> bool:
    return grad and array.grad and array.values.dtype.kind in "fc" and dtype not in HALF


def minigrad_call(sample: S, dtype: str, grad: bool, strided: bool = False) -> Call:
    """The sample's arguments as minigrad tensors."""

    def make(array: Array) -> Tensor:
        target = resolve(minigrad, dtype).np if array.cast else array.values.dtype
        with np.errstate(all="ignore"):  # edge values overflow in float16
            x = np.array(array.values, target)
        return wrap(_strided(x) if strided else x, _needs_grad(array, dtype, grad))

    return Call(sample, make, minigrad)


def torch_call(sample: S, dtype: str, grad: bool) -> Call:
    """The sample's arguments as PyTorch tensors."""
    import torch

    def make(array: Array) -> Any:
        x = torch.from_numpy(np.array(array.values))
        x = x.to(getattr(torch, dtype)) if array.cast else x
        return x.requires_grad_(_needs_grad(array, dtype, grad))

    return Call(sample, make, torch)


# ------------------------------------------------------------------------------ results
def tensors_in(result: Any) -> list[Any]:
    """The tensors of a result, in order (of tuples, lists, named tuples, dicts)."""
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in tensors_in(part)]
    if isinstance(result, dict):
        return [t for part in result.values() for t in tensors_in(part)]
    return [result] if type(result).__name__ in ("Tensor", "Parameter") else []


def numbers(t: Any) -> np.ndarray:
    """A tensor of either library as an array that NumPy can compare."""
    if isinstance(t, Tensor):
        x = t.detach().numpy()
        return x.astype(np.float32) if t.dtype.name == "bfloat16" else x
    t = t.detach()
    # force: PyTorch's zero gradients may have no memory
    return (t.float() if str(t.dtype) == "torch.bfloat16" else t).numpy(force=True)


def largest(t: Any) -> float:
    """The largest finite absolute value in a tensor; 0 if there is none."""
    x = np.abs(numbers(t))
    return float(np.max(x, initial=0, where=np.isfinite(x)))


def dtype_of(t: Any) -> str:
    """float32, int64, ...: the name of the dtype in both libraries."""
    return str(t.dtype).rpartition(".")[2]


def tolerance(case: Case, *dtypes: str) -> tuple[float, float]:
    """(relative, absolute) for values that went through these dtypes: the coarsest decides."""
    found = [TOLERANCE.get(d, (case.rtol, case.atol)) for d in dtypes if "float" in d]
    return max(found, default=(0.0, 0.0))


def assert_same(got: Any, want: Any, rtol: float, atol: float, what: str) -> None:
    """Equal shape and dtype, close values; nan equals nan."""
    assert tuple(got.shape) == tuple(want.shape), f"{what}: shape {got.shape}, not {want.shape}"
    assert dtype_of(got) == dtype_of(want), f"{what}: dtype {got.dtype}, not {want.dtype}"
    np.testing.assert_allclose(numbers(got), numbers(want), rtol=rtol, atol=atol, err_msg=what)


def weights_like(result: Any) -> list[np.ndarray]:
    """One random array for each differentiable tensor of the result, float64 or complex128."""
    return [random_like(t, seed) for seed, t in enumerate(differentiable(result), 1)]


def random_like(t: Any, seed: int) -> np.ndarray:
    """Normal numbers in the tensor's shape, complex for a complex tensor; in full precision."""
    rng, shape = np.random.default_rng(seed), tuple(t.shape)
    x = np.asarray(rng.standard_normal(shape))
    return np.asarray(x + 1j * rng.standard_normal(shape)) if "complex" in dtype_of(t) else x


def differentiable(result: Any) -> list[Tensor]:
    """The tensors of a result that require a gradient."""
    return [t for t in tensors_in(result) if t.requires_grad]


# ------------------------------------------------------------------------------ derivatives
EPSILON = 3e-6
ORACLE_RTOL, ORACLE_ATOL = 1e-5, 1e-6


def record(function: Callable, call: Call, second: bool = True) -> list[Any]:
    """What a call and its gradients record: the result, and gradients with a graph of their own."""
    result = call(function)
    outputs, leaves = differentiable(result), call.leaves
    if not outputs or not leaves:
        return []
    ws = [wrap(np.asarray(w, numbers(t).dtype), True) for w, t in _weighted(result)]
    return [result, *gradients(outputs, leaves, ws, create_graph=second)]


def _weighted(result: Any) -> Any:
    return zip(weights_like(result), differentiable(result), strict=True)


def check_gradients(function: Callable, call: Call, second: bool) -> list[Any]:
    """Compare gradients with central differences, in float64; what was recorded comes back.

    Leaves are moved along one random direction v. First order: d/dε Σ w·f(x + εv) against Σ x̄·v.
    Second order: the same for Σ x̄·u, where w moves, too, for x̄ depends on it linearly.
    """
    result = call(function)
    outputs, leaves = differentiable(result), call.leaves
    if not outputs or not leaves:
        return []
    if not any(x._data.size for x in leaves):  # nothing can be moved
        return record(function, call, second)
    places = [i for i, t in enumerate(tensors_in(result)) if t.requires_grad]
    ws = [wrap(np.asarray(w, numbers(t).dtype), True) for w, t in _weighted(result)]

    def value() -> float:
        moved = tensors_in(call(function))
        return sum(_inner(w, moved[i]) for w, i in zip(ws, places, strict=True))

    xbar = gradients(outputs, leaves, ws, create_graph=second)
    directions = [random_like(x, 20 + i) for i, x in enumerate(leaves)]
    _assert_slope(xbar, directions, _difference(value, leaves, directions), "first derivative")
    if second:
        _check_second(function, call, places, ws, xbar)
    return [result, *xbar]


def _check_second(
    function: Callable, call: Call, places: list[int], ws: list[Tensor], xbar: list[Any]
) -> None:
    leaves = call.leaves
    us = [random_like(x, 40 + i) for i, x in enumerate(leaves)]

    def probe() -> float:
        again = tensors_in(call(function))
        found = gradients([again[i] for i in places], leaves, ws)
        return sum(_inner(u, g) for g, u in zip(found, us, strict=True))

    moving = [*leaves, *ws]
    directions = [random_like(x, 60 + i) for i, x in enumerate(moving)]
    pairs = [(g, u) for g, u in zip(xbar, us, strict=True) if g is not None and g.requires_grad]
    second: list[Any] = [None] * len(moving)
    if pairs:
        us_there = [wrap(np.asarray(u, numbers(g).dtype)) for g, u in pairs]
        second = gradients([g for g, _ in pairs], moving, us_there)
    difference = _difference(probe, moving, directions)
    _assert_slope(second, directions, difference, "second derivative")


def gradients(
    outputs: list[Tensor], inputs: list[Tensor], weights: list[Any], create_graph: bool = False
) -> list[Any]:
    """autograd.grad with unused inputs allowed."""
    return list(
        minigrad.autograd.grad(
            outputs, inputs, weights, create_graph=create_graph, allow_unused=True
        )
    )


def _inner(a: Any, b: Any) -> float:
    if a is None or b is None:
        return 0.0
    x, y = [numbers(v) if isinstance(v, Tensor) else v for v in (a, b)]
    return float(np.sum((np.conj(x) * y).real))  # Re⟨a, b⟩


def _difference(
    function: Callable[[], float], leaves: list[Tensor], directions: list[np.ndarray]
) -> float:
    """The central difference of `function` as the leaves' arrays move; they are put back."""
    start = [x._data.copy() for x in leaves]
    ends = []
    for sign in (1, -1):
        for x, x0, v in zip(leaves, start, directions, strict=True):
            x._data[...] = x0 + sign * EPSILON * v
        ends.append(function())
    for x, x0 in zip(leaves, start, strict=True):
        x._data[...] = x0
    return (ends[0] - ends[1]) / (2 * EPSILON)


def _assert_slope(
    grads: list[Any], directions: list[np.ndarray], difference: float, what: str
) -> None:
    """Σ g·v against the difference; as exact as the largest terms, which may cancel, allow."""
    pairs = [(g, v) for g, v in zip(grads, directions, strict=True) if g is not None]
    slope = sum(_inner(g, v) for g, v in pairs)
    size = max([float(np.max(np.abs(numbers(g) * v), initial=0)) for g, v in pairs], default=0.0)
    atol = ORACLE_ATOL + ORACLE_RTOL * size
    np.testing.assert_allclose(slope, difference, rtol=ORACLE_RTOL, atol=atol, err_msg=what)


def primitives_behind(tensors: list[Any]) -> set[str]:
    """The names of all primitives in the graphs that lead to these results."""
    stack = [t.grad_fn for t in differentiable(tensors) if t.grad_fn is not None]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += [following for following, _ in node.next_functions if following is not None]
    return set(_names(seen))


def _names(nodes: set[Any]) -> Iterator[str]:
    for node in nodes:
        primitive = getattr(type(node), "primitive", None)
        if primitive is not None:
            yield primitive.name
