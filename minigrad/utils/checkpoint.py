"""Gradient checkpointing: forget a segment's inner results, and compute them again in backward.

Memory for one segment's interior instead of all, at the price of one more forward (Chen et al.
2016).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..backend import philox
from ..core.engine import backward
from ..core.function import Function
from ..core.modes import enable_grad, is_grad_enabled, no_grad
from ..core.tensor import Tensor
from ..core.trees import flatten, unflatten
from ..export import export


class _Recompute(Function):
    @staticmethod
    def forward(ctx: Any, run: Any, state: Any, *args: Any) -> Any:
        ctx.run_again, ctx.random_state, ctx.args = run, state, args
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)])
        with no_grad():
            return run(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        saved = iter(ctx.saved_tensors)
        args = [next(saved).detach() if isinstance(a, Tensor) else a for a in ctx.args]
        for fresh, old in zip(args, ctx.args, strict=True):
            if isinstance(old, Tensor):
                fresh.requires_grad = old.requires_grad
        outer = philox.state()
        if ctx.random_state is not None:
            philox.set_state(ctx.random_state)  # the same dropout masks as in the forward
        try:
            with enable_grad():
                outputs = ctx.run_again(*args)
        finally:
            if ctx.random_state is not None:
                philox.set_state(outer)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (o, g)
            for o, g in zip(outputs, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad and g is not None
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


@export("utils.checkpoint.checkpoint")
def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Any = None,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs) without keeping what it computes inside: backward runs it again.

    Random numbers are the same in both runs (preserve_rng_state). Arguments may be trees;
    parameters that function uses get their gradients, too.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    leaves, spec = flatten(args)
    state = philox.state() if preserve_rng_state else None

    def run(*flat: Any) -> Any:
        return function(*unflatten(list(flat), spec), **kwargs)

    if any(isinstance(a, Tensor) and a.requires_grad for a in leaves):
        return _Recompute.apply(run, state, *leaves)
    # only parameters inside need gradients: an input that requires one makes the segment a node of
    # the graph
    return _Recompute.apply(lambda _, *flat: run(*flat), state, _anchor(), *leaves)


def _anchor() -> Tensor:
    return Tensor(0).requires_grad_()


@export("utils.checkpoint.CheckpointError")
class CheckpointError(RuntimeError):
    """What recomputing a segment finds wrong."""


@export("utils.checkpoint.noop_context_fn")
def noop_context_fn() -> tuple[Any, Any]:
    """The default of `context_fn`: nothing around either run."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@export(
    "utils.checkpoint.set_checkpoint_early_stop", "utils.checkpoint.set_checkpoint_debug_enabled"
)
class set_checkpoint_early_stop(contextlib.nullcontext[None]):
    """Accepted: a segment is always computed again as a whole."""

    def __init__(self, enable: bool | None):
        super().__init__()


@export("utils.checkpoint.detach_variable")
def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tensors of a tuple as leaves that require a gradient where they did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            "Only tuple of tensors is supported. Got Unsupported input type:"
            f" {type(inputs).__name__}"
        )
    return tuple(
        [t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs]
    )


@export("utils.checkpoint.checkpoint_sequential")
def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A chain of modules cut into `segments` parts, all but the last of them checkpointed."""
    chain = (
        list(functions.children())
        if callable(getattr(functions, "children", None))
        else list(functions)
    )
    size = len(chain) // segments

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for f in chain[start:end]:
                x = f(x)
            return x

        return run

    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(part(start, end), input, **kwargs)
    return part(end, len(chain))(input)
