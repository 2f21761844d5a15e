"""Parametrizations: a parameter that is computed, on each use, from another one that is learned.

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

    register_parametrization(layer, "weight", Symmetric())
    layer.weight                                  # computed, symmetric
    layer.parametrizations.weight.original        # learned

The module gets a class of its own, derived from its old one, in which the name is a property.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...export import export
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter


class _Cache:
    """Computed tensors by (module, name), while some `cached()` block is open."""

    def __init__(self) -> None:
        self.depth = 0
        self.tensors: dict[tuple[int, str], Tensor] = {}


_CACHE = _Cache()


@export("nn.utils.parametrize.cached")
@contextmanager
def cached() -> Iterator[None]:
    """Inside, every parametrized tensor is computed once and then kept.

    For models that use a weight several times, such as recurrent ones. What is kept is forgotten at
    the end of the outermost block.
    """
    _CACHE.depth += 1
    try:
        yield
    finally:
        _CACHE.depth -= 1
        if not _CACHE.depth:
            _CACHE.tensors.clear()


def _own(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_same(what: str, before: Tensor, after: Any) -> None:
    """ValueError unless `after` is a tensor of the dtype and shape of `before`."""
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
    for part in ("dtype", "shape"):
        a, b = getattr(before, part), getattr(after, part)
        if a != b:
            raise ValueError(
                f"Registering a parametrization may not change the {part} of the tensor, unless "
                f"the `unsafe` flag is enabled.\n{what}\nbefore: {a}\nafter: {b}"
            )


@export("nn.utils.parametrize.ParametrizationList")
class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and what is learned in its place.

    `original`, or `original0`, `original1`, ... if the first right_inverse returns several tensors.
    Calling the list computes the tensor; `right_inverse(value)` is assignment.
    """

    original: Any

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        new = self._inverted(original)
        if not isinstance(new, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            self._keep_one(original, new)
        else:
            self._keep_several(original, new)
        if not unsafe:
            _check_same(f"parametrizations: {list(self)}", before, self())

    def _inverted(self, value: Any) -> Any:
        """The right inverses one after the other; those that there are not count as identity."""
        with no_grad():
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is not None:
                    try:
                        value = inverse(value)
                    except NotImplementedError:
                        continue
        return value

    def _keep_one(self, original: Tensor, new: Tensor) -> None:
        if original.dtype != new.dtype:
            raise ValueError(
                "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
            )
        original.data = new.detach()  # the same object: optimizers hold it already
        _own(self, "original", original)

    def _keep_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for i, part in enumerate(new):
            if not isinstance(part, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list,"
                    f" tuple...). Got element {i} of the sequence with type {type(part).__name__}."
                )
            if isinstance(original, Parameter):
                part = Parameter(part.detach(), original.requires_grad)
            _own(self, f"original{i}", part)

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Any:
        """The tensor, computed."""
        first, *others = self
        x = first(*self._originals())
        for module in others:
            x = module(x)
        return x

    def right_inverse(self, value: Any) -> None:
        """Make the computed tensor `value`, as far as the inverses allow.

        RuntimeError for a parametrization without right_inverse, ValueError if what it returns is
        not what it was at registration.
        """
        with no_grad():
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"`right_inverse` should return a tensor. Got {type(value).__name__}"
                )
            value = [value]
        elif not isinstance(value, Sequence):
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}."
            )
        originals = self._originals()
        if len(value) != len(originals):
            raise ValueError(
                "'right_inverse' must return a sequence of tensors of length "
                f"{self.ntensors}. Got a sequence of length {len(value)}."
            )
        for i, (new, old) in enumerate(zip(value, originals, strict=True)):
            if not isinstance(new, Tensor) or new.dtype != old.dtype:
                got = new.dtype if isinstance(new, Tensor) else type(new).__name__
                raise ValueError(
                    f"Tensor {i} returned by `right_inverse` has dtype {got} while the original"
                    f" has dtype {old.dtype}"
                )
        for new, old in zip(value, originals, strict=True):
            old.data = new.detach()


# ------------------------------------------------------------------------------ the module's class
def _refuse_pickle(self: Module) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict()."
    )


def _deepcopy(self: Module, memo: dict) -> Any:
    # __getstate__ refuses, so the copy must not go through it
    if id(self) not in memo:
        replica = memo[id(self)] = type(self).__new__(type(self))
        replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return memo[id(self)]


def _inject_class(module: Module) -> None:
    """Give the module a class of its own, for properties live on classes."""
    old = type(module)
    members: dict[str, Any] = {"__getstate__": _refuse_pickle, "__module__": old.__module__}
    if getattr(old, "__deepcopy__", None) is None:
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{old.__name__}", (old,), members)


def _inject_property(module: Module, name: str) -> None:
    def get(self: Any) -> Any:
        computed = self.parametrizations[name]
        if not _CACHE.depth:
            return computed()
        key = id(self), name
        if key not in _CACHE.tensors:
            _CACHE.tensors[key] = computed()
        return _CACHE.tensors[key]

    def put(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


# ------------------------------------------------------------------------------ the functions
@export("nn.utils.parametrize.is_parametrized")
def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrizations at all, or one of `tensor_name`."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return bool(len(found)) if tensor_name is None else tensor_name in found


@export("nn.utils.parametrize.register_parametrization")
def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let `module.<tensor_name>` be computed by `parametrization` from now on; the module.

    Several on one tensor are applied in the order of their registration. If the parametrization has
    a `right_inverse`, what is learned starts at right_inverse(tensor), else at the tensor itself.
    unsafe: it may change dtype and shape. ValueError for such a change without it, and for a name
    that is no parameter or buffer; then nothing has changed.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found: Any = module.parametrizations[tensor_name]
        if not unsafe:
            _check_further(getattr(module, tensor_name), parametrization)
        found.append(parametrization)
        found.unsafe |= unsafe
    elif tensor_name in module._parameters or tensor_name in module._buffers:
        original: Any = getattr(module, tensor_name)
        before = original.data
        try:
            found = ParametrizationList([parametrization], original, unsafe)
        except Exception:
            original.data = before
            raise
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _inject_class(module)
            module.parametrizations = ModuleDict()
        _inject_property(module, tensor_name)
        module.parametrizations[tensor_name] = found
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element"
            f" with name '{tensor_name}'"
        )
    return module


def _check_further(value: Tensor, parametrization: Module) -> None:
    """ValueError unless a parametrization, and its inverse, keep the dtype and shape of `value`."""
    result = parametrization(value)
    _check_same(f"parametrization: {parametrization}", value, result)
    inverse = getattr(parametrization, "right_inverse", None)
    if inverse is not None:
        try:
            back = inverse(result)
        except NotImplementedError:
            return
        _check_same(f"right_inverse of: {parametrization}", value, back)


@export("nn.utils.parametrize.remove_parametrizations")
def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make `tensor_name` an ordinary parameter or buffer again; the module.

    It keeps its computed value, or gets the learned one with leave_parametrized=False. ValueError
    if it is not parametrized, or if there are several learned tensors to choose from.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    table: Any = module.parametrizations
    found = table[tensor_name]
    if found.is_tensor:
        original = found.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized"
            " in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del table[tensor_name]
    _own(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


@export("nn.utils.parametrize.type_before_parametrizations")
def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


@export("nn.utils.parametrize.transfer_parametrizations_and_params")
def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give `to_module` the parametrizations of the other module, and what it learned; `to_module`.

    All, or that of one tensor. Tensors that `to_module` lacks are made.
    """
    if not is_parametrized(from_module):
        return to_module
    table: Any = from_module.parametrizations
    for name in list(table) if tensor_name is None else [tensor_name]:
        if getattr(to_module, name, None) is None:
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in table[name]:
            register_parametrization(to_module, name, parametrization)
        received: Any = to_module.parametrizations[name]
        for key in [k for k in table[name]._parameters if k.startswith("original")]:
            setattr(received, key, getattr(table[name], key))
    return to_module
