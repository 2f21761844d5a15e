"""`minigrad.compile(f)`: f computed once as usual, written down, and replayed from then on.

The life of one variant of a call (its shapes, dtypes, flags and Python arguments):

    first call    runs eagerly while it is noted, to see which arrays come from outside and stay
    second call   runs eagerly while it is noted; the record becomes a program
    third call    replays, then runs eagerly from the same state: both must agree, or it stays eager
    later calls   replay

On a GPU the record is a CUDA graph instead (graphed.py).

Results are the caller's; gradients of leaves may share their memory with those of the next replay.
What a function does beside computing with tensors (printing, counting) happens in the eager calls
only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core.modes import MODE
from ..core.tensor import Tensor
from ..core.trees import flatten
from ..export import export
from ..nn.module import Module
from . import graphed
from .replay import owners_of, state_of
from .variant import Variant


@export("compile", "compiler.compile")
def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "minigrad",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """`model` (a function, a whole training step, or a Module) captured on first use and replayed.

    For static shapes: every combination of shapes, dtypes, flags and Python arguments is captured
    by itself. What cannot be captured (a number that leaves the tensors, hooks, gradients added to
    those of an earlier call) runs eagerly, with one warning that names it; RuntimeError instead
    with fullgraph=True. Results are those of the eager function: the first replay is compared with
    it.

    Only computing with tensors is replayed, and random numbers are drawn anew; other effects of the
    function (printing, counting) are not. dynamic, backend, mode and options are accepted and
    change nothing.
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, disable=disable)
    if not callable(model):
        raise RuntimeError(
            f"compile(): expected a function or a Module, got {type(model).__name__}"
        )
    if disable:
        return model
    if isinstance(model, Module):
        return CompiledModule(model, fullgraph)
    return functools.update_wrapper(Captured(model, fullgraph), model)


class Captured:
    """A function with its captured variants."""

    def __init__(self, function: Callable, fullgraph: bool = False):
        self.function = function
        self.fullgraph = fullgraph
        self.variants: dict[Any, Variant] = {}
        self.owners: list[Any] | None = None  # modules and optimizers that the function refers to
        self.flags: Callable[[], Any] = tuple

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.owners is None:
            self.owners = owners_of(self.function)
            modules = [m for o in self.owners if isinstance(o, Module) for m in o.modules()]
            self.flags = lambda: tuple([m.training for m in modules])
        leaves: Any = args
        plain = not kwargs and all([type(x) is Tensor for x in args])
        if not plain:
            leaves, _ = flatten((args, kwargs))
        parts: list[Any] = [MODE.get(), self.flags()]
        for x in leaves:
            if isinstance(x, Tensor):
                parts += (x._data.shape, x._data.dtype, x.requires_grad, type(x._data))
            else:
                parts += (type(x), x)
        key = tuple(parts)
        try:
            variant = self.variants.get(key)
        except TypeError:  # an argument that cannot be hashed
            return self.function(*args, **kwargs)
        if variant is None:
            tensors = [x for x in leaves if isinstance(x, Tensor)]
            there = graphed.on_gpu([*tensors, *state_of(self.owners)])
            kind = graphed.GraphVariant if there else Variant
            variant = self.variants[key] = kind(self)
        return variant.run(leaves, args, kwargs)


class CompiledModule(Module):
    """A module whose calls are captured; everything else is the module's own (`_orig_mod`)."""

    def __init__(self, module: Module, fullgraph: bool):
        super().__init__()
        self._orig_mod = module
        object.__setattr__(self, "_captured", Captured(module, fullgraph))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._captured(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["_orig_mod"], name)
