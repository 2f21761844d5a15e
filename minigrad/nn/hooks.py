"""The hooks of modules: how they are kept, registered, and run around forward and backward."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..core.function import Function
from ..core.hooks import Hooks, RemovableHandle
from ..core.modes import is_grad_enabled
from ..core.tensor import Tensor
from ..export import export
from ..ops.creation import zeros


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
        self.options = Hooks()  # id of any hook above -> how it wants to be called

    def add(
        self, table: str, hook: Callable, *, first: bool = False, **options: bool
    ) -> RemovableHandle:
        """Register a hook in one of the tables."""
        hooks = getattr(self, table)
        handle = RemovableHandle(hooks, extra=(self.options,))
        hooks[handle.id] = hook
        self.options[handle.id] = options
        if first:
            hooks.move_to_end(handle.id, last=False)
        return handle

    def entries(self, table: str) -> list[tuple[int, Callable, dict[str, bool]]]:
        """(id, hook, options) of a table; a copy, for a hook may remove itself."""
        hooks = getattr(self, table)
        return [(id, hook, self.options.get(id, {})) for id, hook in hooks.items()]


GLOBAL = ModuleHooks()
ANY_GLOBAL = GLOBAL.options  # empty while no global hook is registered
REGISTRATION = {"parameter": Hooks(), "buffer": Hooks(), "module": Hooks()}
_NONE = ModuleHooks()


def registered(kind: str, module: Any, name: str, value: Any) -> Any:
    """What the global registration hooks make of a value on its way into a module."""
    for hook in list(REGISTRATION[kind].values()):
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value


# ---------------------------------------------------------------------------- around forward
def call_with_hooks(module: Any, args: tuple, kwargs: dict) -> Any:
    """forward with the global hooks and the module's own around it."""
    call = _Call(module, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.run_promised()
        raise


class _Call:
    """One call of a module that has hooks."""

    def __init__(self, module: Any, args: tuple, kwargs: dict):
        self.module, self.args, self.kwargs = module, args, kwargs
        self.own: ModuleHooks = _NONE if module._hooks is None else module._hooks
        self.result: Any = None
        self.done: set[int] = set()

    def run(self) -> Any:
        self.before()
        hooks = [*GLOBAL.backward.values(), *self.own.backward.values()]
        pre_hooks = [*GLOBAL.backward_pre.values(), *self.own.backward_pre.values()]
        boundary = _Boundary(self.module, hooks, pre_hooks) if hooks or pre_hooks else None
        if boundary is not None:
            self.args = boundary.watch_inputs(self.args)
        self.result = self.module.forward(*self.args, **self.kwargs)
        for id, hook, options in self.after():
            self.done.add(id)
            self.call(hook, options)
        if boundary is not None:
            self.result = boundary.watch_outputs(self.result)
        return self.result

    def before(self) -> None:
        """The pre-hooks; each may replace the arguments."""
        for _, hook, options in [*GLOBAL.entries("forward_pre"), *self.own.entries("forward_pre")]:
            if not options.get("with_kwargs"):
                changed = hook(self.module, self.args)
                if changed is not None:
                    self.args = changed if isinstance(changed, tuple) else (changed,)
                continue
            changed = hook(self.module, self.args, self.kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but"
                    f" got {changed}."
                )
            self.args, self.kwargs = changed

    def after(self) -> list[tuple[int, Callable, dict[str, bool]]]:
        return [*GLOBAL.entries("forward"), *self.own.entries("forward")]

    def call(self, hook: Callable, options: dict[str, bool]) -> None:
        """One forward hook; it may replace the result."""
        given = (self.args, self.kwargs) if options.get("with_kwargs") else (self.args,)
        changed = hook(self.module, *given, self.result)
        if changed is not None:
            self.result = changed

    def run_promised(self) -> None:
        """After an error: the hooks registered with always_call that have not run yet."""
        for id, hook, options in self.after():
            if not options.get("always_call") or id in self.done:
                continue
            try:
                self.call(hook, options)
            except Exception as error:  # the first error is the one to be raised
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was"
                    f" silenced as another error was raised in forward: {error}",
                    stacklevel=4,
                )


# ---------------------------------------------------------------------------- around backward
class _Identity(Function):
    """The identity, as a node on one side of a module: where its backward hooks see gradients."""

    @staticmethod
    def forward(ctx: Any, run: Callable, materialize: bool, *tensors: Tensor) -> Any:
        ctx.run_hooks = run
        ctx.set_materialize_grads(materialize)
        return tuple([t.detach() for t in tensors])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, None, *ctx.run_hooks(grads))


def _differentiable(values: tuple) -> list[int]:
    if not is_grad_enabled():
        return []
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _pass(values: tuple, places: list[int], run: Callable, materialize: bool) -> tuple:
    """The values, those at `places` sent through one identity node."""
    passed = _Identity.apply(run, materialize, *[values[i] for i in places])
    result = list(values)
    for i, t in zip(places, passed, strict=True):
        result[i] = t
    kind: Any = type(values)
    return kind(*result) if getattr(kind, "_fields", None) else tuple(result)


class _Boundary:
    """One call of a module with backward hooks: an identity node before it, one behind it.

    Backward reaches the node behind first: the pre-hooks run on grad_output. At the node before,
    all of the module's own backward is done: the full hooks run on grad_input. Without an input
    that requires a gradient there is no node before, and they run right after the pre-hooks.
    """

    def __init__(self, module: Any, hooks: list[Callable], pre_hooks: list[Callable]):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_output: Any = None
        self.inputs = 0
        self.watched = False

    def watch_inputs(self, args: tuple) -> tuple:
        self.inputs = len(args)
        places = _differentiable(args)
        if not places:
            return args
        self.watched = True
        constants = {
            i: (a.shape, a.dtype, a.device)
            for i, a in enumerate(args)
            if isinstance(a, Tensor) and i not in places
        }

        def run(grads: tuple) -> list[Any]:
            grad_input: list[Any] = [None] * len(args)
            for i, (shape, dtype, device) in constants.items():
                grad_input[i] = zeros(shape, dtype=dtype, device=device)
            for i, g in zip(places, grads, strict=True):
                grad_input[i] = g
            found = self._run_hooks(tuple(grad_input))
            return [found[i] for i in places]

        return _pass(args, places, run, True)

    def watch_outputs(self, result: Any) -> Any:
        outputs = result if isinstance(result, tuple) else (result,)
        places = _differentiable(outputs)
        if not places:
            return result

        def run(grads: tuple) -> list[Any]:
            grad_output: list[Any] = [None] * len(outputs)
            for i, g in zip(places, grads, strict=True):
                grad_output[i] = g
            self.grad_output = self._run_pre_hooks(tuple(grad_output))
            found = self.grad_output
            if not self.watched:
                self._run_without_inputs()
            return [found[i] for i in places]

        passed = _pass(outputs, places, run, False)
        return passed if isinstance(result, tuple) else passed[0]

    def _run_pre_hooks(self, grad_output: tuple) -> tuple:
        for hook in self.pre_hooks:
            changed = hook(self.module, grad_output)
            if changed is not None:
                grad_output = _checked(changed, len(grad_output), "pre hook", "grad_output")
        return grad_output

    def _run_hooks(self, grad_input: tuple) -> tuple:
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = _checked(changed, len(grad_input), "hook", "grad_input")
        self.grad_output = None  # nothing is held longer than needed
        return grad_input

    def _run_without_inputs(self) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module"
            " outputs since no inputs require gradients: its grad_input is None.",
            stacklevel=2,
        )
        grad_input = (None,) * self.inputs
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            changed = changed if isinstance(changed, tuple) else (changed,)
            if any(g is not None for g in changed):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always"
                    " return None or None for all gradients."
                )
        self.grad_output = None


def _checked(changed: Any, count: int, what: str, name: str) -> tuple:
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != count:
        raise RuntimeError(
            f"Backward {what} returned an invalid number of {name}, got {len(changed)}, but"
            f" expected {count}"
        )
    return changed


# ---------------------------------------------------------------------------- registering
class _Table:
    """The hooks of one kind as `module._forward_hooks`: programs read, clear and replace them."""

    def __init__(self, table: str):
        self.table = table

    def __get__(self, module: Any, owner: Any = None) -> Any:
        return self if module is None else getattr(module._own_hooks(), self.table)

    def __set__(self, module: Any, hooks: Any) -> None:
        setattr(module._own_hooks(), self.table, Hooks(hooks))


class Hookable:
    """The part of Module that registers hooks."""

    _hooks: ModuleHooks | None

    _forward_pre_hooks = _Table("forward_pre")
    _forward_hooks = _Table("forward")
    _backward_pre_hooks = _Table("backward_pre")
    _backward_hooks = _Table("backward")

    def _own_hooks(self) -> ModuleHooks:
        if self._hooks is None:
            self._hooks = ModuleHooks()
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """hook(module, args[, kwargs]) before forward; may return new arguments."""
        return self._own_hooks().add("forward_pre", hook, first=prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """hook(module, args[, kwargs], result) after forward; may return a new result.

        With always_call also after an error in forward or in another hook.
        """
        return self._own_hooks().add(
            "forward", hook, first=prepend, with_kwargs=with_kwargs, always_call=always_call
        )

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(module, grad_output) before the module's backward; may return a new grad_output."""
        return self._own_hooks().add("backward_pre", hook, first=prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_input, grad_output) after the module's backward; may return a new
        grad_input. One gradient (or None) for each positional argument and each output.
        """
        return self._own_hooks().add("backward", hook, first=prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, prefix, keep_vars) before state_dict collects."""
        return self._own_hooks().add("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) after state_dict has collected; changes
        it in place and returns None.
        """
        return self._own_hooks().add("state_dict_post", hook, in_place=True)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        return self._own_hooks().add("state_dict_post", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors) before
        loading.
        """
        return self._own_hooks().add("load_pre", hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        return self._own_hooks().add("load_pre", hook, with_module=with_module)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, incompatible_keys) after loading; may change the lists in place."""
        return self._own_hooks().add("load_post", hook)


@export("nn.modules.module.register_module_forward_pre_hook")
def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(module, args) before every module's forward."""
    return GLOBAL.add("forward_pre", hook)


@export("nn.modules.module.register_module_forward_hook")
def register_module_forward_hook(
    hook: Callable, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """hook(module, args[, kwargs], result) after every module's forward."""
    return GLOBAL.add("forward", hook, with_kwargs=with_kwargs, always_call=always_call)


@export("nn.modules.module.register_module_full_backward_pre_hook")
def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(module, grad_output) before every module's backward."""
    return GLOBAL.add("backward_pre", hook)


@export("nn.modules.module.register_module_full_backward_hook")
def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """hook(module, grad_input, grad_output) after every module's backward."""
    return GLOBAL.add("backward", hook)


@export("nn.modules.module.register_module_parameter_registration_hook")
def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, parameter) when any module gets a parameter; may return another."""
    return REGISTRATION["parameter"].add(hook)


@export("nn.modules.module.register_module_buffer_registration_hook")
def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, buffer) when any module gets a buffer; may return another."""
    return REGISTRATION["buffer"].add(hook)


@export("nn.modules.module.register_module_module_registration_hook")
def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, submodule) when any module gets a module inside; may return another."""
    return REGISTRATION["module"].add(hook)
