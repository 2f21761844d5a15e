"""Is the derivative the derivative? Analytic gradients against finite differences, first and second
order.

    fast mode   along one random direction u: vᵀ(Ju) from two evaluations against (vᵀJ)u from one
    backward full mode   every entry of the Jacobian

In float64 a central difference with ε = 1e-6 is right to about 1e-9, so a tolerance of 1e-5 leaves
room for curvature and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.engine import grad
from ..core.tensor import Tensor, wrap
from ..export import export

Fn = Callable[..., Any]


@export("testing.GradcheckError")
class GradcheckError(RuntimeError):
    """A derivative does not agree with finite differences."""


def _outputs(result: Any) -> list[Tensor]:
    items = result if isinstance(result, tuple | list) else (result,)
    return [t for t in items if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())]


def _parts(x: np.ndarray) -> list[tuple[np.ndarray, complex]]:
    """The real coordinates of an array: itself, or its real and imaginary directions."""
    return [(x, 1.0)] if x.dtype.kind != "c" else [(x, 1.0), (x, 1j)]


def _evaluate(fn: Fn, inputs: Sequence[Any]) -> list[np.ndarray]:
    return [
        t._data.copy()
        for t in _outputs(fn(*[t.detach() if isinstance(t, Tensor) else t for t in inputs]))
    ]


def _differentiable(inputs: Sequence[Any]) -> list[Tensor]:
    return [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Re⟨a, b⟩."""
    return float(np.sum((np.conj(a) * b).real))


def _gradients(fn: Fn, inputs: Sequence[Any], seeds: list[np.ndarray | None]) -> list[np.ndarray]:
    outputs = _outputs(fn(*inputs))
    pairs = [
        (y, wrap(s))
        for y, s in zip(outputs, seeds, strict=True)
        if s is not None and y.requires_grad
    ]
    wanted = _differentiable(inputs)
    if not pairs:
        return [np.zeros_like(t._data) for t in wanted]
    found = grad([y for y, _ in pairs], wanted, [s for _, s in pairs], allow_unused=True)
    return [
        np.zeros_like(t._data) if g is None else g._data for g, t in zip(found, wanted, strict=True)
    ]


def _shifted(inputs: Sequence[Any], changes: dict[int, np.ndarray]) -> list[Any]:
    return [
        wrap(np.asarray(t._data + changes[id(t)]))
        if isinstance(t, Tensor) and id(t) in changes
        else t
        for t in inputs
    ]


def _check_fast(
    fn: Fn, inputs: Sequence[Any], eps: float, atol: float, rtol: float, rng: Any
) -> None:
    shapes = [t._data for t in _outputs(fn(*inputs))]
    wanted = _differentiable(inputs)

    def direction(x: np.ndarray) -> np.ndarray:
        d = rng.standard_normal(x.shape) + (
            1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else 0
        )
        size = np.linalg.norm(d)
        return np.asarray(d / size if size else d).astype(x.dtype)

    us = [direction(t._data) for t in wanted]
    vs = [direction(y) for y in shapes]
    plus = _evaluate(
        fn, _shifted(inputs, {id(t): u * eps for t, u in zip(wanted, us, strict=True)})
    )
    minus = _evaluate(
        fn, _shifted(inputs, {id(t): -u * eps for t, u in zip(wanted, us, strict=True)})
    )
    numeric = sum(_inner(v, (p - m) / (2 * eps)) for v, p, m in zip(vs, plus, minus, strict=True))
    # a gradient is the conjugate of the derivative: Re⟨ḡ, u⟩ is the change along u
    analytic = sum(_inner(g, u) for g, u in zip(_gradients(fn, inputs, list(vs)), us, strict=True))
    if not np.isclose(analytic, numeric, rtol=rtol, atol=atol):
        raise GradcheckError(
            f"Jacobian mismatch along a random direction.\nnumerical: {numeric}\nanalytical:"
            f" {analytic}\nRun with fast_mode=False to see which entry."
        )


def _check_full(fn: Fn, inputs: Sequence[Any], eps: float, atol: float, rtol: float) -> None:
    outputs = [t._data for t in _outputs(fn(*inputs))]
    wanted = _differentiable(inputs)
    for number, t in enumerate(wanted):
        numeric = [
            np.zeros((t._data.size * len(_parts(t._data)), y.size), y.dtype) for y in outputs
        ]
        row = 0
        for _, unit in _parts(t._data):
            for i in range(t._data.size):
                step = np.zeros(t._data.size, t._data.dtype)
                step[i] = eps * unit
                step = step.reshape(t._data.shape)
                plus = _evaluate(fn, _shifted(inputs, {id(t): step}))
                minus = _evaluate(fn, _shifted(inputs, {id(t): -step}))
                for j, (p, m) in enumerate(zip(plus, minus, strict=True)):
                    numeric[j][row] = ((p - m) / (2 * eps)).reshape(-1)
                row += 1
        for j, y in enumerate(outputs):
            _compare_columns(fn, inputs, t, number, j, y, numeric, outputs, atol, rtol)


def _compare_columns(
    fn: Fn,
    inputs: Any,
    t: Tensor,
    number: int,
    j: int,
    y: Any,
    numeric: Any,
    outputs: Any,
    atol: float,
    rtol: float,
) -> None:
    for _, unit in _parts(y):
        analytic = np.zeros((numeric[j].shape[0], y.size))
        for k in range(y.size):
            seed = np.zeros(y.size, y.dtype)
            seed[k] = unit
            seeds: list[Any] = [None] * len(outputs)
            seeds[j] = seed.reshape(y.shape)
            g = _gradients(fn, inputs, seeds)[number].reshape(-1)
            analytic[:, k] = np.concatenate([g.real, g.imag]) if t._data.dtype.kind == "c" else g
        expected = (numeric[j] * np.conj(unit)).real
        if not np.allclose(analytic, expected, rtol=rtol, atol=atol, equal_nan=True):
            raise GradcheckError(
                f"Jacobian mismatch for output {j} with respect to input"
                f" {number},\nnumerical:{expected}\nanalytical:{analytic}\n"
            )


@export("autograd.gradcheck")
def gradcheck(
    func: Fn,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of func at `inputs` with central differences of step eps.

    The inputs that require gradients should be float64. Returns True, or raises GradcheckError
    (returns False if raise_exception is off). Also checked: two backwards give the same gradients
    up to nondet_tol; outputs without a gradient count as zeros.
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    try:
        _check_inputs(given)
        rng = np.random.default_rng(0)
        if fast_mode:
            _check_fast(func, given, eps, atol, rtol, rng)
        else:
            _check_full(func, given, eps, atol, rtol)
        _check_repeatable(func, given, nondet_tol)
        if check_undefined_grad:
            _check_undefined(func, given)
        if check_grad_dtypes:
            _check_dtypes(func, given)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(inputs: Sequence[Any]) -> None:
    wanted = _differentiable(inputs)
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them"
            " have requires_grad=True."
        )  # noqa: E501
    if any(t._data.dtype not in (np.float64, np.complex128) for t in wanted):
        warnings.warn(
            "An input requires gradient and is not of double precision floating point or complex."
            " This check will likely fail if all the inputs are not of double precision floating"
            " point or complex.",
            stacklevel=3,
        )


def _check_repeatable(fn: Fn, inputs: Sequence[Any], tol: float) -> None:
    seeds: list[Any] = [np.ones_like(t._data) for t in _outputs(fn(*inputs))]
    first, second = _gradients(fn, inputs, seeds), _gradients(fn, inputs, seeds)
    if any(
        not np.allclose(a, b, atol=tol, rtol=0, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    ):
        raise GradcheckError(
            "Backward is not reentrant: two backwards with the same input give different gradients"
        )


def _check_undefined(fn: Fn, inputs: Sequence[Any]) -> None:
    """With several outputs, each alone must have the gradient that it has with zeros for the
    others.
    """
    shapes = [t._data for t in _outputs(fn(*inputs))]
    if len(shapes) < 2:
        return
    for i, y in enumerate(shapes):
        alone: list[Any] = [None] * len(shapes)
        alone[i] = np.ones_like(y)
        zeros: list[Any] = [np.zeros_like(s) for s in shapes]
        zeros[i] = np.ones_like(y)
        a, b = _gradients(fn, inputs, alone), _gradients(fn, inputs, zeros)
        if any(not np.allclose(p, q, equal_nan=True) for p, q in zip(a, b, strict=True)):
            raise GradcheckError(
                f"The gradient of output {i} changes when other outputs have none instead of zeros"
            )


def _check_dtypes(fn: Fn, inputs: Sequence[Any]) -> None:
    seeds: list[Any] = [np.ones_like(t._data) for t in _outputs(fn(*inputs))]
    for g, t in zip(_gradients(fn, inputs, seeds), _differentiable(inputs), strict=True):
        if g.dtype != t._data.dtype:
            raise GradcheckError(f"A gradient has dtype {g.dtype}, its input {t._data.dtype}")


@export("autograd.gradgradcheck")
def gradgradcheck(
    func: Fn,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradient: second derivatives in the inputs and in grad_outputs (random by
    default).
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    outputs = _outputs(func(*given))
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        seeds = [_random_like(y._data, rng, gen_non_contig_grad_outputs) for y in outputs]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    count = len(given)
    wanted = [i for i, t in enumerate(given) if isinstance(t, Tensor) and t.requires_grad]

    def gradients(*args: Any) -> Any:
        xs = [
            t if i not in wanted or t.requires_grad else t.detach().requires_grad_()
            for i, t in enumerate(args[:count])
        ]
        ys = _outputs(func(*xs))
        pairs = [(y, g) for y, g in zip(ys, args[count:], strict=True) if y.requires_grad]
        if not pairs:
            return tuple([wrap(np.zeros_like(xs[i]._data)) for i in wanted])
        return grad(
            [y for y, _ in pairs],
            [xs[i] for i in wanted],
            [g for _, g in pairs],
            create_graph=True,
            materialize_grads=True,
        )

    return gradcheck(
        gradients,
        (*given, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        fast_mode=fast_mode,
    )


def _random_like(y: np.ndarray, rng: Any, strided: bool) -> Tensor:
    shape = (*y.shape, 2) if strided else y.shape
    g = np.asarray(
        rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if y.dtype.kind == "c" else 0)
    )
    g = g.astype(y.dtype)
    return wrap(g[..., 0] if strided else g, True)
