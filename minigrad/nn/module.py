"""Module: a function with state. Parameters, buffers and modules inside it are found by assignment.

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 8)         # a module inside: registered
        self.scale = nn.Parameter(mg.ones(1)) # a parameter: registered

    def forward(self, x):
        return self.scale * self.hidden(x).tanh()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..backend.devices import device
from ..core.hooks import RemovableHandle
from ..core.tensor import Tensor
from ..export import export
from ..ops.creation import empty, empty_like
from . import state
from .hooks import GLOBAL_BACKWARD, GLOBAL_FORWARD, GLOBAL_FORWARD_PRE, ModuleHooks, call_with_hooks
from .parameter import Buffer, Parameter

M = TypeVar("M", bound="Module")
_MISSING = object()
_TABLES = ("_parameters", "_buffers", "_modules")


@export("nn.Module", "nn.modules.module.Module")
class Module:
    """Base class of all layers and models; subclasses define `forward`. Calling a module calls it,
    hooks around.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _hooks: ModuleHooks | None
    _version = 1
    dump_patches = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument"
                f" '{next(iter(kwargs))}'"
                if kwargs
                else (
                    f"{type(self).__name__}.__init__() takes 1 positional argument but"
                    f" {len(args) + 1} were given"
                )
            )
        # object.__setattr__: the tables that __setattr__ looks into are not there yet
        for name, value in (
            ("training", True), ("_parameters", {}), ("_buffers", {}), ("_modules", {}),
            ("_non_persistent_buffers_set", set()), ("_hooks", None),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (
            self._hooks is None
            and not GLOBAL_FORWARD
            and not GLOBAL_FORWARD_PRE
            and not GLOBAL_BACKWARD
        ):
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, self._hooks, args, kwargs)

    # ---------------------------------------------------------------- attributes
    def __getattr__(self, name: str) -> Any:
        # only called when normal look-up fails
        for table in _TABLES:
            found = self.__dict__.get(table)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if isinstance(value, Parameter):
            self._ready("parameters")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._ready("module")
            self._forget(name, "_modules")
            self._modules[name] = value
        elif isinstance(value, Buffer):
            self._ready("buffers")
            known = name in self._buffers
            persistent = name not in self._non_persistent_buffers_set if known else value.persistent
            self._forget(name, "_buffers")
            self.register_buffer(name, value, persistent)
        elif name in tables.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}'"
                    " (minigrad.nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif name in tables.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}'"
                    " (minigrad.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in tables.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (minigrad.Tensor or"
                    " None expected)"
                )
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for table in _TABLES:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = set(super().__dir__())
        for table in _TABLES:
            names.update(self.__dict__.get(table, ()))
        return sorted(n for n in names if not n[:1].isdigit())

    def _ready(self, what: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    def _forget(self, name: str, keep: str) -> None:
        """A name means one thing: take it out of the other tables and of the plain attributes."""
        self.__dict__.pop(name, None)
        for table in _TABLES:
            if table != keep:
                self.__dict__[table].pop(name, None)
        if keep != "_buffers":
            self._non_persistent_buffers_set.discard(name)

    def _check_name(self, kind: str, name: Any, table: dict) -> None:
        self._ready(kind)
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(
                f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else "")
            )
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in table and name in dir(self):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or None) by name; it must be a leaf. KeyError or TypeError for what
        cannot be one.
        """
        self._check_name(
            "parameter", name, self._parameters if "_parameters" in self.__dict__ else {}
        )
        if param is None:
            self._parameters[name] = None
            return
        if not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}'"
                " (minigrad.nn.Parameter or None required)"
            )
        if param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be"
                f" created explicitly. To express '{name}' as a function of another Tensor, compute"
                " the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not learned; it is saved with the module if persistent."""
        self._check_name("buffer", name, self._buffers if "_buffers" in self.__dict__ else {})
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}'"
                " (minigrad.Tensor or None required)"
            )
        self._buffers[name] = tensor
        (
            self._non_persistent_buffers_set.discard
            if persistent
            else self._non_persistent_buffers_set.add
        )(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module inside this one by name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name, self._modules if "_modules" in self.__dict__ else {})
        self._modules[name] = module

    register_module = add_module

    # ---------------------------------------------------------------- walking
    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(name, module) of this module and all inside it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, table: str, prefix: str, recurse: bool, once: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=once)
            if recurse
            else [(prefix, self)]
        )
        for owner, module in owners:
            for name, value in module.__dict__[table].items():
                if value is None or value in seen:
                    continue
                if once:
                    seen.add(value)
                yield f"{owner}.{name}" if owner else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) of all parameters, each once."""
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(name, buffer) of all buffers, each once."""
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted name; AttributeError if there is none."""
        module: Any = self
        for part in target.split(".") if target else ():
            inner = getattr(module, part, _MISSING)
            if inner is _MISSING:
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
            if not isinstance(inner, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
            module = inner
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace (or, unless strict, add) the module at a dotted name."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        owner, _, name = target.rpartition(".")
        parent = self.get_submodule(owner)
        if strict and name not in parent._modules:
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if not isinstance(module, Module):
            raise ValueError(f'"module" is not an nn.Module, found {type(module)}')
        setattr(parent, name, module)

    def _member(self, target: str, kind: type, what: str) -> Any:
        owner, _, name = target.rpartition(".")
        module = self.get_submodule(owner)
        value = getattr(module, name, _MISSING)
        if value is _MISSING:
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if not isinstance(value, kind) or (what == "buffer" and name not in module._buffers):
            raise AttributeError(
                f"`{name}` is not a{'n nn.Parameter' if what == 'parameter' else ' buffer'}"
            )
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted name; AttributeError if there is none."""
        return self._member(target, Parameter, "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted name; AttributeError if there is none."""
        return self._member(target, Tensor, "buffer")

    # ---------------------------------------------------------------- changing all of it
    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call fn on every module inside, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace every parameter's and buffer's contents by fn of them; parameters stay the same
        objects.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                param.data = fn(param.detach())
                if param._grad is not None:
                    param._grad = fn(param._grad.detach())
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move to a device, cast floating parameters and buffers to a dtype, or both, in place."""
        probe = empty(0).to(*args, **kwargs)  # checks the arguments before anything is changed
        if not (probe.is_floating_point() or probe.is_complex()):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={probe.dtype}"
            )
        places = [
            a for a in (*args, *kwargs.values()) if isinstance(a, str | int | device | Tensor)
        ]
        places = [
            p.device if isinstance(p, Tensor) else p for p in places if not isinstance(p, bool)
        ]

        def move(t: Tensor) -> Any:
            if t.is_floating_point() or t.is_complex():
                return t.to(*args, **kwargs)  # type: ignore[attr-defined]
            return t.to(places[0]) if places else t  # type: ignore[attr-defined]

        return self._apply(move)

    def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
        """Move to a device without copying the contents."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def _cast(self: M, name: str) -> M:
        return self._apply(lambda t: getattr(t, name)() if t.is_floating_point() else t)

    def float(self: M) -> M:
        """Floating parameters and buffers to float32."""
        return self._cast("float")

    def double(self: M) -> M:
        """Floating parameters and buffers to float64."""
        return self._cast("double")

    def half(self: M) -> M:
        """Floating parameters and buffers to float16."""
        return self._cast("half")

    def bfloat16(self: M) -> M:
        """Floating parameters and buffers to bfloat16."""
        return self._cast("bfloat16")

    def type(self: M, dst_type: Any) -> M:
        """All parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))  # type: ignore[attr-defined]

    def cpu(self: M) -> M:
        """Everything to main memory."""
        return self._apply(lambda t: t.cpu())  # type: ignore[attr-defined]

    def cuda(self: M, device: Any = None) -> M:
        """Everything to a GPU."""
        return self._apply(lambda t: t.cuda(device))  # type: ignore[attr-defined]

    def share_memory(self: M) -> M:
        """For programs that call it: processes get copies here."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """For programs that call it: modules run eagerly here."""

    def train(self: M, mode: bool = True) -> M:
        """Training mode on or off for this module and all inside it; ValueError unless `mode` is a
        bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """Training mode off: dropout and batch statistics behave as in use."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Whether the parameters are to be learned."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or set them to zero."""
        for p in self.parameters():
            if p._grad is not None:
                if set_to_none:
                    p._grad = None
                else:
                    p._grad = p._grad.detach()
                    p._grad.zero_()  # type: ignore[attr-defined]

    # ---------------------------------------------------------------- state
    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """An ordered dict of all parameters and persistent buffers by name, sharing their
        memory.
        """
        given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
        return state.collect(
            self,
            given.get("destination", destination),
            given.get("prefix", prefix),
            given.get("keep_vars", keep_vars),
        )

    def load_state_dict(
        self, state_dict: Any, strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy (or, with assign, take over) the tensors of a state dict; (missing_keys,
        unexpected_keys).

        RuntimeError naming every key that is missing, unexpected (if strict) or of another shape.
        """
        return state.load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, p in self._parameters.items():
            if p is not None:
                destination[prefix + name] = p if keep_vars else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = b if keep_vars else b.detach()
        if self._has_extra_state():
            destination[prefix + state.EXTRA] = self.get_extra_state()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        state.load_own(
            self, state_dict, prefix, local_metadata, missing_keys, unexpected_keys, error_msgs
        )

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Module.get_extra_state

    def get_extra_state(self) -> Any:
        """State beside parameters and buffers; define it together with set_extra_state."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state gave."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called."
        )

    # ---------------------------------------------------------------- hooks
    def _own_hooks(self) -> ModuleHooks:
        if self._hooks is None:
            self._hooks = ModuleHooks()
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """hook(module, args[, kwargs]) before forward; may return new arguments."""
        return self._own_hooks().forward_pre.add((hook, with_kwargs), first=prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """hook(module, args[, kwargs], result) after forward; may return a new result."""
        return self._own_hooks().forward.add((hook, with_kwargs, always_call), first=prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(module, grad_output) before the module's backward; may return a new grad_output."""
        return self._own_hooks().backward_pre.add(hook, first=prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_input, grad_output) after the module's backward; may return a new
        grad_input.
        """
        return self._own_hooks().backward.add(hook, first=prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, prefix, keep_vars) before state_dict collects."""
        return self._own_hooks().state_dict_pre.add(hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) after state_dict has collected."""
        return self._own_hooks().state_dict_post.add(hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors) before
        loading.
        """
        return self._own_hooks().load_pre.add((hook, True))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        return self._own_hooks().load_pre.add((hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, incompatible_keys) after loading; may change the lists in place."""
        return self._own_hooks().load_post.add(hook)

    # ---------------------------------------------------------------- as an object
    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What repr shows of this module's own options."""
        return ""

    def __repr__(self) -> str:
        own = self.extra_repr()
        lines = own.split("\n") if own else []
        inside = [
            f"({name}): " + repr(m).replace("\n", "\n  ") for name, m in self._modules.items()
        ]
        if not inside and len(lines) <= 1:
            return f"{self._get_name()}({own})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + inside) + "\n)"

    def __setstate__(self, saved: dict) -> None:
        self.__dict__.update(saved)

    def __getstate__(self) -> dict:
        return self.__dict__.copy()
