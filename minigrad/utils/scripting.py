"""`minigrad.jit`: TorchScript's names. Functions run as the Python that they are, so scripting and
tracing give back what they got; `minigrad.compile` is what makes a function faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..export import export, export_constant

T = TypeVar("T")
Final_ = Final
export_constant(__name__, "jit.Final", "Final_")


@export("jit.script")
def script(
    obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None,
    example_inputs: Any = None,
) -> Any:  # fmt: skip
    """`obj`, a function, class or module, itself."""
    return obj


@export("jit.trace")
def trace(
    func: Any, example_inputs: Any = None, optimize: Any = None, check_trace: bool = True,
    check_inputs: Any = None, check_tolerance: float = 1e-5, strict: bool = True,
    _force_outplace: bool = False, _module_class: Any = None, _compilation_unit: Any = None,
    example_kwarg_inputs: dict[str, Any] | None = None, _store_inputs: bool = True,
) -> Any:  # fmt: skip
    """`func`, a function or module, itself, after it has been called with the example inputs.

    Its branches stay branches; an error of that call is raised here.
    """
    if example_kwarg_inputs is not None:
        func(**example_kwarg_inputs)
    elif example_inputs is not None:
        func(*example_inputs) if isinstance(example_inputs, (tuple, list)) else func(example_inputs)
    return func


@export("jit.script_if_tracing", "jit.ignore", "jit.unused", "jit.export", "jit.interface")
def unchanged(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A mark for TorchScript on a function, which is returned as it is."""
    return fn if callable(fn) else lambda function: function


@export("jit.freeze", "jit.optimize_for_inference")
def freeze(mod: T, *args: Any, **kwargs: Any) -> T:
    """The module itself."""
    return mod


@export("jit.annotate")
def annotate(the_type: Any, the_value: T) -> T:
    """`the_value` itself."""
    return the_value


@export("jit.isinstance")
def is_instance(obj: Any, target_type: Any) -> bool:
    """Python's isinstance."""
    return isinstance(obj, target_type)


@export("jit.is_scripting", "jit.is_tracing")
def never() -> bool:
    """Always False: nothing is scripted or traced."""
    return False


@export("jit.save", "jit.load")
def no_files(*args: Any, **kwargs: Any) -> Any:
    """Always RuntimeError: there is no TorchScript archive."""
    raise RuntimeError(
        "minigrad has no TorchScript files\n"
        "  help: save(model.state_dict(), path), and model.load_state_dict(load(path))"
    )


@export("jit.wait")
def wait(future: Callable[[], Any]) -> Any:
    """What `jit.fork` computed."""
    return future()


@export("jit.fork")
def fork(func: Callable[..., T], *args: Any, **kwargs: Any) -> Callable[[], T]:
    """Call the function, now; `jit.wait` gives its result."""
    result = func(*args, **kwargs)
    return lambda: result


@export("jit.trace_module")
def trace_module(mod: T, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> T:
    """The module itself, after the methods named in `inputs` have been called with it."""
    for name, given in inputs.items():
        getattr(mod, name)(*(given if isinstance(given, tuple) else (given,)))
    return mod


@export("jit.ScriptModule", "jit.ScriptFunction")
class Scripted:
    """What scripting makes in PyTorch; here it gives back what it got: nothing is an instance."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise TypeError("nothing is scripted: derive from nn.Module")
