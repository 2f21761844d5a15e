"""The hooks of one Module, and the call path that runs them."""

from __future__ import annotations

from typing import Any

from ..core.function import Function
from ..core.hooks import Hooks, RemovableHandle
from ..core.tensor import Tensor
from ..export import export


class ModuleHooks:
    """All hooks of a module; made when the first one is registered, so that a module without any
    pays nothing.
    """

    def __init__(self) -> None:
        self.forward_pre = Hooks()
        self.forward = Hooks()
        self.backward_pre = Hooks()
        self.backward = Hooks()
        self.state_dict_pre = Hooks()
        self.state_dict_post = Hooks()
        self.load_pre = Hooks()
        self.load_post = Hooks()


class _Boundary(Function):
    """The identity, as a node on one side of a module: where its backward hooks see gradients."""

    @staticmethod
    def forward(ctx: Any, run: Any, *tensors: Tensor) -> Any:
        ctx.run_hooks = run
        ctx.set_materialize_grads(False)
        return tuple([t.detach() for t in tensors])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.run_hooks(grads))


def _through_boundary(values: Any, run: Any) -> Any:
    """Send the tensors in a tuple that require gradients through a boundary node."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places:
        return values
    passed = _Boundary.apply(
        lambda grads: run(grads, places, len(values)), *[values[i] for i in places]
    )
    result = list(values)
    for i, t in zip(places, passed, strict=True):
        result[i] = t
    return tuple(result)


def call_with_hooks(module: Any, hooks: ModuleHooks | None, args: tuple, kwargs: dict) -> Any:
    """forward with global hooks and the module's own around it."""
    own = hooks if hooks is not None else _NONE
    always = [(h, kw) for h, kw, always in own.forward.values() if always]
    try:
        return _call(module, own, args, kwargs)
    except Exception:
        for (
            hook,
            with_kwargs,
        ) in always:  # promised to run even then; the first error is what matters
            hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        raise


def _call(module: Any, own: ModuleHooks, args: tuple, kwargs: dict) -> Any:
    for hook, with_kwargs in [
        *((h, False) for h in GLOBAL_FORWARD_PRE.values()),
        *own.forward_pre.values(),
    ]:
        changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if changed is not None:
            if with_kwargs:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs),"
                        f" but got {changed}."
                    )
                args, kwargs = changed
            else:
                args = changed if isinstance(changed, tuple) else (changed,)
    backward_hooks = [*GLOBAL_BACKWARD.values(), *own.backward.values()]
    backward_pre = list(own.backward_pre.values())
    seen: dict[str, Any] = {}
    if backward_hooks:
        args = _through_boundary(args, _input_side(module, backward_hooks, seen))
    result = module.forward(*args, **kwargs)
    forward_hooks = [*((h, False, False) for h in GLOBAL_FORWARD.values()), *own.forward.values()]
    for hook, with_kwargs, _ in forward_hooks:
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed
    if backward_hooks or backward_pre:
        result = _watch_outputs(module, result, backward_pre, seen)
    return result


def _input_side(module: Any, hooks: list, seen: dict) -> Any:
    """Runs the full backward hooks when the gradients of the inputs are there."""

    def run(grads: Any, places: list[int], count: int) -> Any:
        grad_input: Any = [None] * count
        for i, g in zip(places, grads, strict=True):
            grad_input[i] = g
        grad_input = tuple(grad_input)
        for hook in hooks:
            changed = hook(module, grad_input, seen.get("output"))
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return [grad_input[i] for i in places]

    return run


def _watch_outputs(module: Any, result: Any, pre_hooks: list, seen: dict) -> Any:
    def run(grads: Any, places: list[int], count: int) -> Any:
        grad_output: Any = [None] * count
        for i, g in zip(places, grads, strict=True):
            grad_output[i] = g
        grad_output = tuple(grad_output)
        for hook in pre_hooks:
            changed = hook(module, grad_output)
            if changed is not None:
                grad_output = changed if isinstance(changed, tuple) else (changed,)
        seen["output"] = grad_output
        return [grad_output[i] for i in places]

    if isinstance(result, Tensor):
        return _through_boundary((result,), run)[0]
    if isinstance(result, tuple):
        return _through_boundary(result, run)
    return result


_NONE = ModuleHooks()
GLOBAL_FORWARD_PRE, GLOBAL_FORWARD, GLOBAL_BACKWARD = Hooks(), Hooks(), Hooks()


@export("nn.modules.module.register_module_forward_pre_hook")
def register_module_forward_pre_hook(hook: Any) -> RemovableHandle:
    """hook(module, args) before every module's forward."""
    return GLOBAL_FORWARD_PRE.add(hook)


@export("nn.modules.module.register_module_forward_hook")
def register_module_forward_hook(hook: Any) -> RemovableHandle:
    """hook(module, args, result) after every module's forward."""
    return GLOBAL_FORWARD.add(hook)


@export("nn.modules.module.register_module_full_backward_hook")
def register_module_full_backward_hook(hook: Any) -> RemovableHandle:
    """hook(module, grad_input, grad_output) in every module's backward."""
    return GLOBAL_BACKWARD.add(hook)
