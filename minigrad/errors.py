"""Full error messages: the op, the argument, what was expected, what came, and what helps.

Every function builds an exception of the type that PyTorch raises and returns it; the caller
raises:

    raise errors.shape_error(
        "matmul", "inner dimensions differ", argument="b", expected="(784, n)", actual=(512, 10),
        help="did you mean b.T?",
    )

    RuntimeError: matmul: inner dimensions differ: argument 'b': expected (784, n), but got (512,
    10)
      help: did you mean b.T?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_UNSAID: Any = object()  # None is a value that an argument may have


def message(
    op: str,
    problem: str = "",
    *,
    argument: str = "",
    expected: Any = "",
    actual: Any = _UNSAID,
    help: str = "",
) -> str:
    """The text `op: problem: argument 'x': expected E, but got A`, then help; any may be absent."""
    parts = [op, problem, f"argument '{argument}'" if argument else ""]
    wanted = f"expected {expected}" if expected != "" else ""
    got = "" if actual is _UNSAID else f"got {actual}"
    parts.append(", but ".join(part for part in (wanted, got) if part))
    text = ": ".join(part for part in parts if part)
    return f"{text}\n  help: {help}" if help else text


def type_error(op: str, argument: str, expected: str, actual: Any, *, help: str = "") -> TypeError:
    """An argument of the wrong type; `actual` is the argument itself and is named by its type."""
    kind = type(actual).__name__
    return TypeError(message(op, argument=argument, expected=expected, actual=kind, help=help))


def value_error(op: str, problem: str = "", **parts: Any) -> ValueError:
    """An argument of the right type with a value that makes no sense; `parts` as in `message`."""
    return ValueError(message(op, problem, **parts))


def shape_error(op: str, problem: str = "", **parts: Any) -> RuntimeError:
    """Shapes that do not fit: PyTorch's RuntimeError; `parts` as in `message`."""
    return RuntimeError(message(op, problem, **parts))


def broadcast_error(a: Sequence[int], b: Sequence[int]) -> RuntimeError:
    """Shapes that cannot be broadcast, in PyTorch's words: the last dimension that disagrees."""
    ndim = max(len(a), len(b))
    full_a, full_b = (1,) * (ndim - len(a)) + tuple(a), (1,) * (ndim - len(b)) + tuple(b)
    for dim in reversed(range(ndim)):
        m, n = full_a[dim], full_b[dim]
        if m != n and 1 not in (m, n):
            return RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) "
                f"at non-singleton dimension {dim}"
            )
    raise ValueError(f"no error to report: {tuple(a)} and {tuple(b)} can be broadcast")


def dim_error(dim: int, ndim: int) -> IndexError:
    """A dimension that a tensor of `ndim` dimensions does not have, in PyTorch's words."""
    high = max(ndim, 1) - 1  # a 0-d tensor answers to the dimensions 0 and -1
    return IndexError(
        f"Dimension out of range (expected to be in range of [{-high - 1}, {high}], but got {dim})"
    )


def unsupported_dtype(op: str, dtype: str) -> NotImplementedError:
    """An op without a meaning for a dtype; like PyTorch's, it can be caught as RuntimeError."""
    return NotImplementedError(f'"{op}" not implemented for {dtype!r}')


def missing_package(feature: str, package: str, extra: str = "") -> ImportError:
    """A library that is not installed: what needs it, and how to get it (extra or name)."""
    target = f"'minigrad[{extra}]'" if extra else package
    text = message(feature, f"needs the package {package}, which is not installed")
    return ImportError(f"{text}\n  help: pip install {target}", name=package)
