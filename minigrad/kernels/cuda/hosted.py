"""Primitives that have no form for the GPU: they run in main memory, and their results go back.

Right everywhere, slow on a GPU, and not possible in a captured step (which cannot wait for a copy).
docs/gpu.md lists them; one leaves this list when it is written for device arrays.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import philox
from ...backend.devices import array_module
from ..cpu import loops

HOSTED: frozenset[str] = frozenset(
    """
    airy_ai bernoulli_sample cholesky_factor cholesky_system cofactor digamma entmax_along
    hermitian_eigen logcumsumexp lu_packed matrix_exponential normal_sample poisson_sample polygamma
    pseudoinverse scatter_combine sign_logdet singular triangular_system zeta
    """.split()
)


def hosted(function: Callable) -> Callable:
    """`function` of arrays, computed in main memory where any of them is on a GPU."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        cupy = sys.modules.get("cupy")
        if cupy is None:
            return function(*args, **options)
        found = [a for a in args if array_module(a) is cupy]
        if not found:
            return function(*args, **options)
        with found[0].device:
            result = function(*[_to_host(a, cupy) for a in args], **options)
            return _to_device(result, cupy)

    return call


def _to_host(x: Any, cupy: Any) -> Any:
    if isinstance(x, cupy.ndarray):
        return x.get()
    return tuple([_to_host(v, cupy) for v in x]) if type(x) is tuple else x


def _to_device(x: Any, cupy: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return cupy.asarray(x)
    if isinstance(x, (tuple, list)):
        return type(x)([_to_device(v, cupy) for v in x])
    return x


def _run_loop(loop: loops.Loop, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    from . import launch  # when the first array on a GPU is there

    return launch.run_loop(loop, args, options)


def write_words(to: Any, values: Any) -> None:
    """`launch.write_words`."""
    from . import launch

    launch.write_words(to, values)


loops.on_device = _run_loop
philox.write = write_words
