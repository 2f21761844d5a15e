"""state_dict and load_state_dict: a module's tensors by name, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.modes import no_grad
from ..core.tensor import Tensor

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What load_state_dict found missing and too much."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys},"
            f" unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


def collect(module: Any, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Fill `destination` with the tensors of `module` and all modules inside it."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    metadata = {"version": module._version}
    if isinstance(getattr(destination, "_metadata", None), dict):
        destination._metadata[prefix[:-1]] = metadata
    hooks = module._hooks
    if hooks is not None:
        for hook in hooks.state_dict_pre.values():
            hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars
            )
    if hooks is not None:
        for hook in hooks.state_dict_post.values():
            replaced = hook(module, destination, prefix, metadata)
            if replaced is not None:
                destination = replaced
    return destination


def load(
    module: Any, state_dict: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Copy a state dict into a module and all modules inside it."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    state = OrderedDict(state_dict)
    metadata = getattr(state_dict, "_metadata", None)

    def visit(m: Any, prefix: str) -> None:
        local = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local["assign_to_params_buffers"] = assign
        hooks = m._hooks
        args = (state, prefix, local, True, missing, unexpected, errors)
        if hooks is not None:
            for hook, with_module in hooks.load_pre.values():
                hook(m, *args) if with_module else hook(*args)
        m._load_from_state_dict(*args)
        for name, child in m._modules.items():
            if child is not None:
                visit(child, prefix + name + ".")
        if hooks is not None:
            for hook in hooks.load_post.values():
                if hook(m, IncompatibleKeys(missing, unexpected)) is not None:
                    raise AssertionError(
                        "Hooks registered with register_load_state_dict_post_hook are not expected"
                        " to return new values, if incompatible_keys need to be modified, it should"
                        " be done inplace."
                    )

    visit(module, "")
    if strict:
        if unexpected:
            names = ", ".join(f'"{k}"' for k in unexpected)
            errors.insert(0, f"Unexpected key(s) in state_dict: {names}. ")
        if missing:
            names = ", ".join(f'"{k}"' for k in missing)
            errors.insert(0, f"Missing key(s) in state_dict: {names}. ")
    if errors:
        text = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{text}")
    return IncompatibleKeys(missing, unexpected)


def load_own(
    module: Any,
    state: Any,
    prefix: str,
    metadata: Any,
    missing: list,
    unexpected: list,
    errors: list,
) -> None:
    """Copy what belongs to `module` itself (not to modules inside it); problems go to the lists."""
    assign = metadata.get("assign_to_params_buffers", False)
    persistent = {
        k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set
    }
    own = {k: v for k, v in {**module._parameters, **persistent}.items() if v is not None}
    for name, target in own.items():
        key = prefix + name
        if key not in state:
            missing.append(key)
            continue
        value = state[key]
        problem = _misfit(key, value, target)
        if problem is not None:
            errors.append(problem)
        elif assign:
            _assign(module, name, value, target)
        else:
            with no_grad():
                target.copy_(value.reshape(target.shape) if value.numel() == 1 else value)
    _load_extra(module, state, prefix, missing, unexpected)
    for key in state:
        if key.startswith(prefix) and key != prefix + EXTRA:
            first = key[len(prefix) :].split(".", 1)
            if (len(first) > 1 and first[0] not in module._modules) or (
                len(first) == 1 and first[0] not in own
            ):
                unexpected.append(key)


def _misfit(key: str, value: Any, target: Tensor) -> str | None:
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like'
            f" object from checkpoint but received {type(value)}"
        )
    # 0-d and one-element tensors of old checkpoints stand for each other
    if value.shape != target.shape and not (
        value.dim() <= 1 and target.dim() == 0 and value.numel() == 1
    ):
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint,"
            f" the shape in current model is {target.shape}."
        )
    return None


def _assign(module: Any, name: str, value: Tensor, target: Tensor) -> None:
    if name in module._parameters:
        if not isinstance(value, type(target)):
            value = type(target)(value, requires_grad=target.requires_grad)
        else:
            value.requires_grad_(target.requires_grad)
    setattr(module, name, value)


def _load_extra(module: Any, state: Any, prefix: str, missing: list, unexpected: list) -> None:
    key = prefix + EXTRA
    if module._has_extra_state():
        if key in state:
            module.set_extra_state(state[key])
        else:
            missing.append(key)
    elif key in state:
        unexpected.append(key)
