"""Module: a function with state. Parameters, buffers and modules inside it are found by assignment.

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 8)         # a module inside: registered
        self.scale = nn.Parameter(mg.ones(1)) # a parameter: registered

    def forward(self, x):
        return self.scale * self.hidden(x).tanh()

Here is what a module has and how it is called and walked. Hooks are in hooks.py, state dicts in
state.py, casts and moves in conversion.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from ..core.tensor import Tensor
from ..export import export
from .conversion import Convertible
from .hooks import ANY_GLOBAL, Hookable, ModuleHooks, call_with_hooks, registered
from .parameter import Buffer, Parameter
from .state import Stateful

M = TypeVar("M", bound="Module")
_MISSING = object()
_TABLES = ("_parameters", "_buffers", "_modules")


@export("nn.Module", "nn.modules.module.Module")
class Module(Hookable, Stateful, Convertible):
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
    call_super_init = False  # for classes with other bases: pass __init__'s arguments on to them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            name = f"{type(self).__name__}.__init__()"
            if kwargs:
                unknown = next(iter(kwargs))
                raise TypeError(f"{name} got an unexpected keyword argument '{unknown}'")
            raise TypeError(f"{name} takes 1 positional argument but {len(args) + 1} were given")
        # not by assignment: the tables that __setattr__ looks into are not there yet
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers_set=set(),
            _hooks=None,
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None and not ANY_GLOBAL:
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, args, kwargs)

    # ---------------------------------------------------------------- attributes
    def __getattr__(self, name: str) -> Any:
        # only called when normal look-up fails; unrolled, for layers ask at every call
        own = self.__dict__
        if "_modules" in own:
            found = own["_parameters"]
            if name in found:
                return found[name]
            found = own["_modules"]
            if name in found:
                return found[name]
            found = own["_buffers"]
            if name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _weight_and_bias(self) -> tuple[Any, Any]:
        """`self.weight, self.bias`, without looking for them everywhere else first."""
        own = self._parameters
        try:
            return own["weight"], own["bias"]
        except KeyError:  # computed: nn.utils.parametrize
            return self.weight, self.bias

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._ready("parameters")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif "_modules" not in own:
            if isinstance(value, Module | Buffer):
                self._ready("module" if isinstance(value, Module) else "buffer")
            object.__setattr__(self, name, value)
        elif name in own["_parameters"]:
            if value is not None:
                raise _unfit(value, "as parameter", name, "minigrad.nn.Parameter or None expected")
            own["_parameters"][name] = None
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            own["_modules"][name] = registered("module", self, name, value)
        elif name in own["_modules"]:
            if value is not None:
                raise _unfit(value, "as child module", name, "minigrad.nn.Module or None expected")
            own["_modules"][name] = registered("module", self, name, None)
        elif isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                expected = "minigrad.nn.Buffer, minigrad.Tensor or None expected"
                raise _unfit(value, "as buffer", name, expected)
            own["_buffers"][name] = registered("buffer", self, name, value)
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
        if "_modules" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    def _forget(self, name: str, keep: str) -> None:
        """A name means one thing: take it out of the other tables and of the plain attributes."""
        own = self.__dict__
        own.pop(name, None)
        for table in _TABLES:
            if table != keep:
                own[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _check_name(self, kind: str, name: Any, table: str) -> None:
        self._ready(kind)
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if name not in self.__dict__[table] and getattr(self, name, _MISSING) is not _MISSING:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or None) by name; it must be a leaf. KeyError, TypeError or ValueError
        for what cannot be one.
        """
        self._check_name("parameter", name, "_parameters")
        if param is None:
            self._parameters[name] = None
            return
        if not isinstance(param, Parameter):
            expected = "minigrad.nn.Parameter or None required"
            raise _unfit(param, "object to parameter", name, expected)
        if param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be"
                f" created explicitly. To express '{name}' as a function of another Tensor, compute"
                " the value in the forward() method."
            )
        self._parameters[name] = registered("parameter", self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not learned; it is saved with the module if persistent."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise _unfit(tensor, "object to buffer", name, "minigrad.Tensor or None required")
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module inside this one by name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = registered("module", self, name, module)

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

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all inside it, each once (unless told to keep duplicates)."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
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
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        owner, _, name = target.rpartition(".")
        parent = self.get_submodule(owner)
        old = getattr(parent, name, _MISSING)
        if strict and old is _MISSING:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if old is not _MISSING and not isinstance(old, Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted name; AttributeError if there is none."""
        _, name, value = self._member(target)
        if not isinstance(value, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return value

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted name; AttributeError if there is none."""
        owner, name, value = self._member(target)
        if name not in owner._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return value

    def _member(self, target: str) -> tuple[Module, str, Any]:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        value = getattr(owner, name, _MISSING)
        if value is _MISSING:
            raise AttributeError(f"{owner._get_name()} has no attribute `{name}`")
        return owner, name, value

    # ---------------------------------------------------------------- training
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
            forget_gradient(p, set_to_none)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """For programs that call it: modules run eagerly here."""

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

    def __getstate__(self) -> dict:
        return self.__dict__.copy()

    def __setstate__(self, saved: dict) -> None:
        self.__dict__.update(saved)


def _unfit(value: Any, what: str, name: str, expected: str) -> TypeError:
    kind = type(value).__name__
    return TypeError(f"cannot assign '{kind}' {what} '{name}' ({expected})")


def forget_gradient(p: Tensor, set_to_none: bool) -> None:
    """Drop a gradient, or write zeros into it: it stays the same tensor, outside any graph."""
    grad = p._grad
    if grad is None or set_to_none:
        p._grad = None
        return
    if grad.grad_fn is not None:
        grad.detach_()
    else:
        grad.requires_grad_(False)
    grad.zero_()  # type: ignore[attr-defined]
