"""Forward mode by PyTorch's names: dual numbers, a tensor with a tangent.

    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(x, direction))
        value, derivative = forward_ad.unpack_dual(y)   # f(x), J(x) @ direction

The engine has reverse mode only. The tangent is computed where it is asked for, by differentiating
twice: v -> vᵀJ is linear in v, and its own gradient along `direction` is J @ direction. So the cost
is that of two backwards for each unpack, the results are the same.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from ..core.chores import alias
from ..core.engine import grad
from ..core.modes import ModeContext, enable_grad
from ..core.node import AccumulateGrad, edge_of
from ..core.tensor import Tensor, wrap
from ..core.walk import reachable
from ..export import export

_LEVEL: ContextVar[list[tuple[Tensor, Tensor]] | None] = ContextVar("minigrad_dual", default=None)
"""The duals made at the current level: (tensor, tangent)."""


@export("autograd.forward_ad.UnpackedDualTensor")
class UnpackedDualTensor(NamedTuple):
    """A value and the derivative of it along the directions of the level (None: it has none)."""

    primal: Tensor
    tangent: Tensor | None


@export("autograd.forward_ad.enter_dual_level")
def enter_dual_level() -> int:
    """Begin a level; RuntimeError inside another one, as in PyTorch."""
    if _LEVEL.get() is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _LEVEL.set([])
    return 0


@export("autograd.forward_ad.exit_dual_level")
def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its duals have no tangent any more."""
    if _LEVEL.get() is None:
        raise RuntimeError("Trying to exit a forward AD level but there is none")
    _LEVEL.set(None)


@export("autograd.forward_ad.dual_level")
class dual_level(ModeContext):
    """A level as a context manager and decorator; ops inside are recorded even under no_grad."""

    def __init__(self) -> None:
        super().__init__(grad=True)

    def clone(self) -> dual_level:
        return dual_level()

    def __enter__(self) -> int:
        level = enter_dual_level()
        super().__enter__()
        return level

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        exit_dual_level()


@export("autograd.forward_ad.make_dual")
def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` in a direction: the same values and memory, with a tangent of the same shape.

    RuntimeError outside a level; ValueError unless both are floating or complex numbers.
    """
    duals = _LEVEL.get()
    if duals is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to"
            " enter_dual_level() first."
        )
    for what, t in (("tensor", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            f"Expected tangent to have the same shape as the tensor {tuple(tensor.shape)}, but got"
            f" {tuple(tangent.shape)}"
        )
    with enable_grad():
        dual = alias(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
    duals.append((dual, tangent))
    return dual


@export("autograd.forward_ad.unpack_dual")
def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a dual, and its tangent or None."""
    duals = _LEVEL.get()
    if not duals or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    for dual, tangent in duals:
        if dual is tensor:
            return UnpackedDualTensor(tensor.detach(), tangent)
    with enable_grad():
        return UnpackedDualTensor(tensor.detach(), _tangent(tensor, duals))


def _tangent(y: Tensor, duals: list[tuple[Tensor, Tensor]]) -> Tensor | None:
    v = wrap(np.zeros_like(y._data), True)
    rows = grad(y, [d for d, _ in duals], v, create_graph=True, allow_unused=True)
    total: Any = None
    for row, (_, tangent) in zip(rows, duals, strict=True):
        if row is not None and row.requires_grad:
            part = (row * tangent.conj()).sum()  # type: ignore[attr-defined]
            total = part if total is None else total + part
    if total is None:
        return None if all(row is None for row in rows) else wrap(np.zeros_like(y._data))
    (found,) = grad(total, v, create_graph=True, allow_unused=True)
    if found is None or not found.requires_grad:
        return wrap(np.zeros_like(y._data)) if found is None else found
    return found if _depends_on_more(found, duals) else found.detach()


def _depends_on_more(found: Tensor, duals: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether there is anything to differentiate the tangent by but the level's own leaves."""
    own = {id(dual) for dual, _ in duals}
    ends = [n for n in reachable([edge_of(found)[0]]) if isinstance(n, AccumulateGrad)]
    return any(id(n.variable) not in own for n in ends)
