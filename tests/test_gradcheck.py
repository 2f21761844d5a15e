"""minigrad's own gradcheck and gradgradcheck over every op there is: the Cases, which the registry
makes complete.

test_ops.py compares with an oracle of its own; this one is what users are given. (That no
differentiable primitive is missing from the Cases is tested there, from the registry.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import minigrad as mg

from . import helpers
from .cases import Case, all_cases

CASES = [
    (f"{family}-{case.name}", case) for family, case in all_cases() if case.grad and not case.random
]
# in fast mode two evaluations 2e-6 apart are divided by 2e-6: rounding of sums shows at 1e-5
TOLERANCE = {"atol": 1e-4, "rtol": 2e-3}


def as_function(function: Callable, call: helpers.Call) -> Callable:
    """The call as a function of its leaves, of those results that have gradients."""
    places = [i for i, t in enumerate(helpers.tensors_in(call(function))) if t.requires_grad]

    def run(*xs: Any) -> Any:
        new = {id(leaf): x for leaf, x in zip(call.leaves, xs, strict=True)}

        def swap(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                parts = [swap(v) for v in value]
                return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
            return new.get(id(value), value)

        args = [swap(a) for a in call.args]
        kwargs = {k: swap(v) for k, v in call.kwargs.items()}
        results = helpers.tensors_in(function(*args, **kwargs))
        return tuple([results[i] for i in places])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for _, c in CASES], ids=[name for name, _ in CASES])
def test_gradcheck_and_gradgradcheck(case: Case) -> None:
    function = helpers.resolve(mg, case.name)
    for sample in helpers.samples_of(case):
        if not (sample.grad and sample.smooth):
            continue
        call = helpers.minigrad_call(sample, "float64", True)
        if not call.leaves or not all(leaf.numel() for leaf in call.leaves):
            continue
        if not all(leaf.dtype in (mg.float64, mg.complex128) for leaf in call.leaves):
            continue  # differences of 1e-6 are below what other types resolve
        run = as_function(function, call)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if not run(*call.leaves):
                continue
            assert mg.autograd.gradcheck(run, call.leaves, fast_mode=True, **TOLERANCE)
            if case.gradgrad:
                assert mg.autograd.gradgradcheck(run, call.leaves, fast_mode=True, **TOLERANCE)
