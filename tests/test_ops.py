"""Every op: values, dtypes, shapes, gradients against PyTorch, derivatives against differences.

    python -m pytest tests/test_ops.py -k "elementwise-exp"

The ops and their samples are the `Case`s of tests/cases.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.core.primitive import REGISTRY
from tests import helpers
from tests.cases import Array, Case, S, all_cases

CASES = all_cases()
IDS = [f"{family}-{case.name}" for family, case in CASES]
each_case = pytest.mark.parametrize("case", [case for _, case in CASES], ids=IDS)

# ------------------------------------------------------------------------------ against PyTorch


@pytest.mark.torch
@each_case
def test_agrees_with_torch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    ours = helpers.resolve(minigrad, case.name)
    theirs = case.torch if callable(case.torch) else helpers.resolve(torch, case.torch or case.name)
    for i, sample in enumerate(helpers.samples_of(case)):
        for dtype in case.dtypes:
            _compare(case, sample, ours, theirs, dtype, f"{case.name} sample {i} {dtype}")
        if case.half and not case.random:
            for dtype in helpers.HALF:
                _compare_half(case, sample, ours, theirs, dtype, f"{case.name} sample {i} {dtype}")


def _compare(
    case: Case, sample: S, ours: Callable, theirs: Callable, dtype: str, what: str
) -> None:
    """The function on contiguous and strided inputs, with gradients; then its other spellings."""
    grad = case.grad and sample.grad
    want = helpers.torch_call(sample, dtype, grad)
    expected = want(theirs)
    for strided in (False, True):
        got = helpers.minigrad_call(sample, dtype, grad, strided)
        before = [np.array(t._data) for t in got.tensors]
        result = got(ours)
        label = f"{what}{' strided' if strided else ''}"
        _compare_results(case, result, expected, dtype, label)
        if grad and not case.random:
            _compare_gradients(case, result, got, expected, want, dtype, label)
        for t, x in zip(got.tensors, before, strict=True):
            np.testing.assert_array_equal(
                helpers.numbers(t), x, err_msg=f"{label}: an input changed"
            )
    if case.variants and not case.random and "." not in case.name:
        _compare_method(case, sample, expected, dtype, f"{what} method")
        _compare_inplace(case, sample, dtype, f"{what} in place")


def _compare_results(case: Case, result: Any, expected: Any, dtype: str, what: str) -> None:
    got, want = helpers.tensors_in(result), helpers.tensors_in(expected)
    if not want and not got:
        assert type(result) is type(expected), f"{what}: {type(result)}, not {type(expected)}"
        if not case.random:
            assert result == pytest.approx(expected, nan_ok=True), what
        return
    assert len(got) == len(want), f"{what}: {len(got)} tensors, not {len(want)}"
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if case.random or (case.only is not None and i not in case.only):
            assert tuple(a.shape) == tuple(b.shape), f"{what}: shape {a.shape}, not {b.shape}"
            assert helpers.dtype_of(a) == helpers.dtype_of(b), f"{what}: {a.dtype}, not {b.dtype}"
        else:
            rtol, atol = helpers.tolerance(case, dtype, helpers.dtype_of(b))
            if dtype in helpers.HALF:  # PyTorch rounds partial sums, which may be large
                atol *= max(1.0, helpers.largest(b))
            helpers.assert_same(a, b, rtol, atol, f"{what}: result {i}")


def _compare_gradients(
    case: Case, result: Any, got: Any, expected: Any, want: Any, dtype: str, what: str
) -> None:
    import torch

    outputs, references = helpers.differentiable(result), helpers.differentiable(expected)
    assert len(outputs) >= len(references), f"{what}: a result lost its gradient"
    if not references or not want.leaves:
        return
    weights = helpers.weights_like(expected)
    ours = helpers.gradients(
        outputs,
        got.leaves,
        [minigrad.tensor(w).to(t.dtype) for w, t in zip(weights, outputs, strict=True)],
    )
    theirs = torch.autograd.grad(
        references,
        want.leaves,
        [torch.from_numpy(w).to(t.dtype) for w, t in zip(weights, references, strict=True)],
        allow_unused=True,
        retain_graph=True,
    )
    used = {dtype, *[helpers.dtype_of(t) for t in references]}
    rtol, atol = [t * helpers.GRADIENT_SLACK for t in helpers.tolerance(case, *used)]
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if b is None:
            assert a is None or not np.any(helpers.numbers(a)), f"{what}: gradient {i} of nothing"
            continue
        assert a is not None, f"{what}: no gradient {i}"
        helpers.assert_same(a, b, rtol, atol, f"{what}: gradient {i}")


def _compare_half(
    case: Case, sample: S, ours: Callable, theirs: Callable, dtype: str, what: str
) -> None:
    try:
        expected = helpers.torch_call(sample, dtype, False)(theirs)
    except (NotImplementedError, RuntimeError):
        return  # PyTorch has no such kernel
    _compare_results(case, helpers.minigrad_call(sample, dtype, False)(ours), expected, dtype, what)


# ------------------------------------------------------------------------------ other spellings
def _first_is_tensor(sample: S) -> bool:
    return bool(sample.args) and isinstance(sample.args[0], Array)


def _compare_method(case: Case, sample: S, expected: Any, dtype: str, what: str) -> None:
    """x.op(...) where PyTorch's Tensor has such a method that takes these arguments."""
    import torch

    method = getattr(torch.Tensor, case.name, None)
    if not _first_is_tensor(sample) or not inspect.isroutine(method):
        return
    try:
        helpers.torch_call(sample, dtype, False)(method)
    except (TypeError, RuntimeError):
        return  # a method of another meaning
    ours = getattr(minigrad.Tensor, case.name)
    _compare_results(case, helpers.minigrad_call(sample, dtype, False)(ours), expected, dtype, what)


def _compare_inplace(case: Case, sample: S, dtype: str, what: str) -> None:
    """x.op_(...): the same result in the same memory, or the same refusal; gradients as well."""
    import torch

    name = f"{case.name}_"
    method = getattr(torch.Tensor, name, None)
    if not _first_is_tensor(sample) or not inspect.isroutine(method):
        return
    ours = getattr(minigrad.Tensor, name)
    want = helpers.torch_call(sample, dtype, False)
    got = helpers.minigrad_call(sample, dtype, False)
    target, memory = got.tensors[0], got.tensors[0]._data
    before = memory.copy()
    try:
        expected = want(method)
    except TypeError:
        return  # a method of another meaning
    except RuntimeError:
        with pytest.raises(RuntimeError):
            got(ours)
        np.testing.assert_array_equal(target._data, before, err_msg=f"{what}: a failed call wrote")
        return
    result = got(ours)
    # the same memory, if not the same array: t_() makes a new view of it
    spans = [np.lib.array_utils.byte_bounds(x) for x in (target._data, memory)]
    assert result is target and spans[0] == spans[1], f"{what}: not in place"
    _compare_results(case, result, expected, dtype, what)
    if case.grad and sample.grad:
        _compare_inplace_gradients(case, sample, ours, method, dtype, what)


def _compare_inplace_gradients(
    case: Case, sample: S, ours: Callable, theirs: Callable, dtype: str, what: str
) -> None:
    got = helpers.minigrad_call(sample, dtype, True)
    want = helpers.torch_call(sample, dtype, True)
    got.args[0], want.args[0] = got.args[0] * 1, want.args[0] * 1  # leaves refuse
    result = got(ours)
    try:
        _compare_gradients(case, result, got, want(theirs), want, dtype, what)
    except NotImplementedError as error:
        assert "inplace version" in str(error)  # some of PyTorch's have no derivative


# ------------------------------------------------------------------------------ derivatives
RECORDED: dict[int, set[str]] = {}
"""Primitives that a gradient check has been through, by the identity of the case."""


@each_case
def test_derivatives(case: Case) -> None:
    RECORDED[id(case)] = _check_derivatives(case)


def _check_derivatives(case: Case, visit: Callable = helpers.check_gradients) -> set[str]:
    """First and second derivatives of all samples, in float64; the primitives met on the way."""
    found: set[str] = set()
    if not case.grad or case.random:
        return found
    function = helpers.resolve(minigrad, case.name)
    for sample in helpers.samples_of(case):
        if sample.grad and sample.smooth:
            call = helpers.minigrad_call(sample, "float64", True)
            found |= helpers.primitives_behind(visit(function, call, case.gradgrad))
    return found


def _wrong_first(x: Any) -> Any:
    return x.exp() * x.detach()  # the derivative forgets the second factor


def _wrong_second(x: Any) -> Any:
    return WrongSecond.apply(x)


class WrongSecond(minigrad.autograd.Function):
    """x³ with the right derivative, computed where no second one can see it."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x.detach() * x.detach()


@pytest.mark.parametrize(
    ("function", "order"), [(_wrong_first, "first"), (_wrong_second, "second")]
)
def test_the_oracle_notices_wrong_derivatives(function: Callable, order: str) -> None:
    sample = S(Array(np.array([0.3, 1.2])))
    call = helpers.minigrad_call(sample, "float64", True)
    with pytest.raises(AssertionError, match=f"{order} derivative"):
        helpers.check_gradients(function, call, True)


# ------------------------------------------------------------------------------ completeness
UNREACHED: dict[str, str] = {
    "polar_slope": "only third derivatives record it, and it refuses: tests/test_reduction.py",
    "pick_windows": "recorded by third derivatives of max_pool only: tests/test_pool.py",
    "overwritten": "only in-place sampling records it: tests/test_creation.py",
    "bernoulli_sample": "a sample has the gradient zero: tests/test_creation.py",
    "normal_sample": "a sample has the gradient zero: tests/test_creation.py",
    "poisson_sample": "a sample has the gradient zero: tests/test_creation.py",
    "move": "only between devices",
    "add_norm": "only on a GPU: tests/gpu/test_budget.py",
    "affine_turned": "only on a GPU: tests/gpu/test_budget.py",
    "ctc": "its derivative holds through log_softmax only, as PyTorch's: tests/test_ctc.py",
}
"""Differentiable primitives that no case can reach, each with the reason."""

UNTESTED = {
    "makes a tensor out of none: tests/test_creation.py": (
        """
        arange as_tensor asarray empty empty_strided eye from_dlpack from_numpy frombuffer full
        linspace logspace ones rand randint randn randperm range scalar_tensor tensor to_dlpack
        tril_indices triu_indices zeros"""
    ),
    "no floating samples: tests/test_{creation,views,shape_errors}.py": (
        "broadcast_shapes result_type view_as_complex view_as_complex_copy"
    ),
    "the random state: tests/test_random.py": "get_rng_state set_rng_state",
    "no function of tensors, or more results than here: tests/test_aliases.py": (
        """
        embedding_bag empty_permuted get_device get_num_interop_threads get_num_threads is_conj
        is_distributed is_neg is_signed is_storage set_default_tensor_type set_num_interop_threads
        set_num_threads typename"""
    ),
    "written into the argument: tests/test_activation.py, tests/test_dropout.py": (
        """
        relu_ threshold_ rrelu_ celu_ selu_ dropout_ nn.functional.relu_
        nn.functional.threshold_ nn.functional.rrelu_ nn.functional.celu_ nn.functional.selu_
        nn.functional.elu_ nn.functional.hardtanh_ nn.functional.leaky_relu_"""
    ),
}
"""Public functions of minigrad.ops without a case, by the reason."""

NAMESPACES = ("", "nn.functional", "linalg", "special")


def test_every_differentiable_primitive_is_checked() -> None:
    for _, case in CASES:
        if id(case) not in RECORDED:  # not among the selected tests
            RECORDED[id(case)] = _check_derivatives(case, helpers.record)
    reached = set().union(*RECORDED.values())
    missing = {name for name, p in REGISTRY.items() if p.differentiable} - reached
    if missing != set(UNREACHED):
        pytest.fail(
            f"unreached: {sorted(missing - set(UNREACHED))}; "
            f"reached after all: {sorted(set(UNREACHED) - missing)}"
        )


def _public_ops() -> dict[str, Any]:
    """Dotted name -> function, of all public functions that minigrad/ops defines."""
    found = {}
    for namespace in NAMESPACES:
        module = helpers.resolve(minigrad, namespace) if namespace else minigrad
        for name, thing in vars(module).items():
            from_ops = getattr(thing, "__module__", "").startswith("minigrad.ops.")
            if from_ops and inspect.isfunction(thing) and not name.startswith("_"):
                found[f"{namespace}.{name}".lstrip(".")] = thing
    return found


def test_every_public_op_has_a_case() -> None:
    ops = _public_ops()
    excused = set(" ".join(UNTESTED.values()).split())
    tested = {id(ops[case.name]) for _, case in CASES if case.name in ops}
    missing = {name for name, op in ops.items() if id(op) not in tested} - excused
    # relu_ is tried along with relu
    missing -= {name for name in missing if name.endswith("_") and name[:-1] not in missing}
    if missing:
        pytest.fail(f"no case: {sorted(missing)}")
    assert excused <= set(ops), sorted(excused - set(ops))
    assert not {name for name in excused if id(ops[name]) in tested}
