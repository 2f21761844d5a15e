"""Names of parts of PyTorch that minigrad has not, which programs import and ask about all the
same: `onnx`, `overrides`, `types`, symbolic numbers.

What only asks has an answer; what would have to do the work says that it cannot.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable
from typing import IO, Any, TypeAlias

from ..backend.devices import device
from ..core.modes import ModeContext
from ..core.tensor import Tensor
from ..export import export, export_constant

# ------------------------------------------------------------------------------ types
Device: TypeAlias = device | str | int | None
Number: TypeAlias = int | float | bool
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
for _name in ("Device", "Number", "FileLike"):
    export_constant(__name__, f"types.{_name}", _name)


# ------------------------------------------------------------------------------ onnx
@export("onnx.is_in_onnx_export")
def is_in_onnx_export() -> bool:
    """Always False."""
    return False


@export("onnx.export")
def onnx_export(*args: Any, **kwargs: Any) -> Any:
    """Always RuntimeError: no graph of the program is made that could be exported."""
    raise RuntimeError(
        "minigrad has no ONNX export\n"
        "  help: save(model.state_dict(), path), load it into the same model in PyTorch, and export"
        " there"
    )


# ------------------------------------------------------------------------------ overrides
@export(
    "overrides.has_torch_function",
    "overrides.has_torch_function_unary",
    "overrides.has_torch_function_variadic",
)
def has_torch_function(*args: Any) -> bool:
    """Always False: functions are not overridden by their arguments' `__torch_function__`."""
    return False


@export("overrides.is_tensor_like")
def is_tensor_like(inp: Any) -> bool:
    """Whether it is a Tensor, or a thing with PyTorch's `__torch_function__`."""
    return isinstance(inp, Tensor) or getattr(type(inp), "__torch_function__", None) is not None


@export("overrides.handle_torch_function")
def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """`public_api` called with the other arguments: nothing overrides it."""
    return public_api(*args, **kwargs)


# ------------------------------------------------------------------------------ symbolic numbers
@export("SymInt", "SymFloat", "SymBool")
class SymbolicNumber:
    """What PyTorch's tracer puts in the place of a number: no number here is an instance."""

    def __init__(self, node: Any = None):
        raise TypeError("there are no symbolic numbers: sizes are Python's ints")


sym_int = export("sym_int")(lambda a: int(a) if not isinstance(a, float) else math.trunc(a))
sym_float = export("sym_float")(lambda a: float(a))
sym_not = export("sym_not")(lambda a: not a)
sym_max = export("sym_max")(lambda a, b: max(a, b))
sym_min = export("sym_min")(lambda a, b: min(a, b))
sym_sum = export("sym_sum")(lambda args: sum(args))
sym_sqrt = export("sym_sqrt")(lambda a: math.sqrt(a))
sym_ite = export("sym_ite")(lambda b, t, f: t if b else f)


@export("cond")
def cond(
    pred: bool | Tensor, true_fn: Callable[..., Any], false_fn: Callable[..., Any],
    operands: tuple[Any, ...] | list[Any] = (),
) -> Any:  # fmt: skip
    """true_fn(*operands) if `pred` (a bool or a tensor of one), else false_fn(*operands)."""
    return true_fn(*operands) if pred else false_fn(*operands)


@export("while_loop")
def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any
) -> Any:
    """carried = body_fn(*carried) as long as cond_fn(*carried); a tuple."""
    carried = tuple(carried_inputs)
    while cond_fn(*carried):
        result = body_fn(*carried)
        carried = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return carried


# ------------------------------------------------------------------------------ threads, hooks
@export("autograd.set_multithreading_enabled", "autograd.grad_mode.set_multithreading_enabled")
class set_multithreading_enabled(ModeContext):
    """Accepted: the walk of a backward is in one thread, whatever `mode` says."""

    def __init__(self, mode: bool):
        super().__init__()
        self.mode = bool(mode)


@export("utils.hooks.unserializable_hook")
def unserializable_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    """The hook itself, marked as one that a saved tensor loses."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


@export("autograd.profiler.emit_nvtx", "autograd.profiler.emit_itt")
class emit_ranges(contextlib.nullcontext[None]):
    """Accepted: there are no marks for NVIDIA's and Intel's profilers."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        super().__init__()


# ------------------------------------------------------------------------------ how it was built
has_lapack, has_mkl, has_openmp, has_spectral = True, False, True, True
for _name in ("has_lapack", "has_mkl", "has_openmp", "has_spectral"):
    export_constant(__name__, _name, _name)
