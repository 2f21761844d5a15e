"""state_dict and load_state_dict: a module's tensors by name, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.modes import no_grad
from ..core.tensor import Tensor
from .hooks import ModuleHooks

EXTRA = "_extra_state"
ASSIGN = "assign_to_params_buffers"  # PyTorch's word for it in a module's metadata


class _IncompatibleKeys(NamedTuple):
    """What load_state_dict found missing and too much."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys},"
            f" unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


class Stateful:
    """The part of Module that gives and takes state dicts."""

    _hooks: ModuleHooks | None
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """An ordered dict of all parameters and persistent buffers by name, sharing their memory.

        With keep_vars the parameters themselves, otherwise detached. Its `_metadata` has the
        version of every module.
        """
        given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
        return _collect(
            self,
            given.get("destination", destination),
            given.get("prefix", prefix),
            given.get("keep_vars", keep_vars),
        )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy (or, with assign, take over) the tensors of a state dict; (missing_keys,
        unexpected_keys).

        RuntimeError naming every key that is missing, unexpected (if strict) or of another shape;
        the others have been loaded then. TypeError if it is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        keys = _IncompatibleKeys([], [])
        errors: list[str] = []
        loading = _Loading(getattr(state_dict, "_metadata", None), assign, keys, errors)
        loading.visit(self, OrderedDict(state_dict), "")
        if strict:
            if keys.unexpected_keys:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quote(keys[1])}. ")
            if keys.missing_keys:
                errors.insert(0, f"Missing key(s) in state_dict: {_quote(keys[0])}. ")
        if errors:
            text = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{text}"
            )
        return keys

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, p in self._parameters.items():
            if p is not None:
                destination[prefix + name] = p if keep_vars else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = b if keep_vars else b.detach()
        if self._has_extra_state():
            destination[prefix + EXTRA] = self.get_extra_state()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        """Copy what belongs to this module itself; problems go to the lists."""
        assign = local_metadata.get(ASSIGN, False)
        own = dict(self._parameters)
        for name, buffer in self._buffers.items():
            if name not in self._non_persistent_buffers_set:
                own[name] = buffer
        own = {name: t for name, t in own.items() if t is not None}
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                problem = _load_one(self, name, key, state_dict[key], target, assign)
                if problem is not None:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix + EXTRA, strict, missing_keys, unexpected_keys)
        if strict:
            unexpected_keys += [
                key
                for key in state_dict
                if key.startswith(prefix) and key != prefix + EXTRA
                if not self._knows(key[len(prefix) :], own)
            ]

    def _knows(self, name: str, own: dict[str, Any]) -> bool:
        first, dot, _ = name.partition(".")
        return first in self._modules if dot else first in own

    def _load_extra_state(
        self, state: Any, key: str, strict: bool, missing: list, unexpected: list
    ) -> None:
        if self._has_extra_state():
            if key in state:
                self.set_extra_state(state[key])
            elif strict:
                missing.append(key)
        elif strict and key in state:
            unexpected.append(key)

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Stateful.get_extra_state

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


def _quote(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)


def _collect(module: Any, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Fill `destination` with the tensors of `module` and all modules inside it."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    local = {"version": module._version}
    metadata = getattr(destination, "_metadata", None)
    if metadata is not None:
        metadata[prefix[:-1]] = local
    hooks = module._hooks
    if hooks is not None:
        for hook in list(hooks.state_dict_pre.values()):
            hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars
            )
    if hooks is not None:
        for _, hook, options in hooks.entries("state_dict_post"):
            replaced = hook(module, destination, prefix, local)
            if replaced is not None:
                if options.get("in_place"):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = replaced
    return destination


class _Loading:
    """One load_state_dict on its way through the modules."""

    def __init__(
        self, metadata: Any, assign: bool, keys: _IncompatibleKeys, errors: list[str]
    ) -> None:
        self.metadata, self.assign, self.keys, self.errors = metadata, assign, keys, errors

    def visit(self, module: Any, state: dict[str, Any], prefix: str) -> None:
        # a copy: the state dict must be the same after loading as before
        local = {} if self.metadata is None else dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local[ASSIGN] = True
        hooks = module._hooks
        args = (state, prefix, local, True, *self.keys, self.errors)
        if hooks is not None:
            for _, hook, options in hooks.entries("load_pre"):
                hook(module, *args) if options.get("with_module") else hook(*args)
        module._load_from_state_dict(*args)
        for name, child in module._modules.items():
            if child is not None:
                inner = prefix + name + "."
                part = {k: v for k, v in state.items() if k.startswith(inner)}
                self.visit(child, part, inner)
        if hooks is not None:
            for hook in list(hooks.load_post.values()):
                if hook(module, self.keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not"
                        " expected to return new values, if incompatible_keys need to be modified,"
                        " it should be done inplace."
                    )


def _load_one(
    module: Any, name: str, key: str, value: Any, target: Tensor, assign: bool
) -> str | None:
    """Load one tensor; what is wrong with it, if anything."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like'
            f" object from checkpoint but received {type(value)}"
        )
    # state dicts older than 0-d tensors have one element in one dimension
    if target.dim() == 0 and value.dim() == 1 and value.numel() == 1:
        value = value.reshape(())  # type: ignore[attr-defined]
    if value.shape != target.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint,"
            f" the shape in current model is {target.shape}."
        )
    try:
        with no_grad():
            if assign:
                _assign(module, name, value, target)
            else:
                target.copy_(value)  # type: ignore[attr-defined]
    except Exception as error:  # reported with all others
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are'
            f" {target.shape} and whose dimensions in the checkpoint are {value.shape}, an"
            f" exception occurred : {error.args}."
        )
    return None


def _assign(module: Any, name: str, value: Tensor, target: Tensor) -> None:
    """Make `value` itself the parameter or buffer; it requires a gradient as the old one did."""
    if name in module._parameters:
        if isinstance(value, type(target)):
            value.requires_grad_(target.requires_grad)
        else:
            value = type(target)(value, requires_grad=target.requires_grad)
    setattr(module, name, value)
