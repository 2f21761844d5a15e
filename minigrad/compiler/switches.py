"""`minigrad.compiler`'s names from PyTorch: what programs say about compiling, and ask.

`minigrad.compile` captures what a call does and knows nothing of Python source, so there is nothing
to allow, to disable inside, or to reset.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..export import export


@export("compiler.is_compiling", "compiler.is_dynamo_compiling", "compiler.is_exporting")
def is_compiling() -> bool:
    """Always False: Python runs as it is written."""
    return False


@export(
    "compiler.disable",
    "compiler.allow_in_graph",
    "compiler.assume_constant_result",
    "compiler.nested_compile_region",
    "compiler.wrap_numpy",
)
def unchanged(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A mark for PyTorch's compiler on a function, which is returned as it is."""
    return fn if callable(fn) else lambda function: function


@export("compiler.substitute_in_graph")
def substitute_in_graph(
    original_fn: Callable[..., Any], *, can_constant_fold_through: bool = False,
    skip_signature_check: bool = False, is_embedded_type: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """A decorator that gives back its function: nothing is substituted."""
    return lambda function: function


@export("compiler.reset", "compiler.cudagraph_mark_step_begin")
def nothing() -> None:
    """Do nothing: there is no state to reset, no step to mark."""


@export("compiler.list_backends")
def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The values of `compile(backend=...)` that mean something."""
    return ["inductor"]


@export("compiler.set_stance")
class set_stance(contextlib.nullcontext[None]):
    """Accepted, as a call, context manager or decorator; functions run as they did."""

    def __init__(self, stance: str = "default", **options: Any):
        super().__init__()

    def __call__(self, function: Any) -> Any:
        return function
