"""The base of all optimizers: groups of parameters with their options, and a state for each
parameter.

A step is arithmetic on arrays, in place: nothing is recorded, and the parameters' version numbers
are counted up so that a graph that saved them notices.
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from ..core.hooks import Hooks, RemovableHandle
from ..core.modes import enable_grad
from ..core.tensor import Tensor
from ..export import export

_HOOKS = ("pre", "post", "save_pre", "save_post", "load_pre", "load_post")
GLOBAL_PRE, GLOBAL_POST = Hooks(), Hooks()


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _with_hooks(step: Callable) -> Callable:
    """`step` with the step hooks before and after it; once, also where it calls super().step()."""

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._stepped = True
        if self._stepping or (self._hooks is None and not GLOBAL_PRE and not GLOBAL_POST):
            return step(self, *args, **kwargs)
        given: tuple[Any, ...] = (self, *args)
        for hook in [*GLOBAL_PRE.values(), *self._hooks_at("pre")]:
            changed = hook(self, given, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    f"{step} must return None or a tuple of (new_args, new_kwargs), but got"
                    f" {changed}."
                )
            given, kwargs = changed
        self._stepping = True
        try:
            result = step(*given, **kwargs)
        finally:
            self._stepping = False
        for hook in [*self._hooks_at("post"), *GLOBAL_POST.values()]:
            hook(self, given, kwargs)
        return result

    return run


@export("optim.Optimizer", "optim.optimizer.Optimizer")
class Optimizer:
    """Base class: subclasses give `defaults` to __init__ and define `_update(group)`, the step of
    one group, or `step(closure)` itself, as in PyTorch.

    param_groups: dicts with "params" and options; state: parameter -> dict. ValueError, TypeError
    for parameters that cannot be optimized.
    """

    _stepping = False
    _stepped = False  # learning-rate schedulers warn if they are stepped first
    _hooks: dict[str, Hooks] | None = None  # made when the first one is registered; not pickled

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts,"
                " but got " + type(params).__name__
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, e.g. layers that are unfrozen during training.

        "params" is a tensor, or a list of tensors or of (name, tensor) pairs.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params, names = _listed(param_group["params"])
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    + type(p).__name__
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):  # type: ignore[attr-defined]
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter"
                    f" {name}"
                )
        self._check_disjoint(params, names)
        param_group["params"] = params
        if names is not None:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)
        self.param_groups.append(param_group)

    def _check_disjoint(self, params: list[Tensor], names: list[str] | None) -> None:
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this"
                " will cause an error",
                stacklevel=4,
            )
        if self.param_groups and ("param_names" in self.param_groups[0]) != (names is not None):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group"
                f" {'without' if names is None else 'with'} names to the optimizer"
            )
        known = {p for g in self.param_groups for p in g["params"]}
        if not known.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    if p._grad.grad_fn is not None:
                        p._grad.detach_()
                    else:
                        p._grad.requires_grad_(False)
                    p._grad._data[...] = 0
                    p._grad._bump()

    @_with_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every group; `closure`, if given, is called first to compute the loss, which
        is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError(
            f"{type(self).__name__} must define _update(group) or step(closure)"
        )

    # ---------------------------------------------------------------- state
    def state_dict(self) -> dict[str, Any]:
        """{"state": parameter number -> state, "param_groups": options, parameters by number}:
        PyTorch's layout. The states themselves, not copies.
        """
        for hook in self._hooks_at("save_pre"):
            hook(self)
        params = chain.from_iterable(g["params"] for g in self.param_groups)
        numbers = {p: i for i, p in enumerate(params)}
        packed: dict[str, Any] = {
            "state": {numbers[p] if isinstance(p, Tensor) else p: s for p, s in self.state.items()},
            "param_groups": [
                {
                    **{k: v for k, v in g.items() if k != "params"},
                    "params": [numbers[p] for p in g["params"]],
                }
                for g in self.param_groups
            ],
        }
        for hook in self._hooks_at("save_post"):
            replaced = hook(self, packed)
            packed = packed if replaced is None else replaced
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and copies of states; ValueError if the groups have other sizes.

        Floating tensors take the parameter's dtype and device. The result goes through
        `__setstate__`, where subclasses add what older state dicts lack.
        """
        given = dict(state_dict)
        for hook in self._hooks_at("load_pre"):
            replaced = hook(self, given)
            given = given if replaced is None else replaced
        groups = given["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        pairs = list(zip(groups, self.param_groups, strict=True))
        if any(len(new["params"]) != len(old["params"]) for new, old in pairs):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of"
                " optimizer's group"
            )
        numbers = chain.from_iterable(g["params"] for g in groups)
        own = chain.from_iterable(g["params"] for g in self.param_groups)
        params = dict(zip(numbers, own, strict=True))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in given["state"].items():
            p = params.get(key)
            state[key if p is None else p] = _adopt(value, p)
        self.__setstate__(
            {"state": state, "param_groups": [_adopt_group(new, old) for new, old in pairs]}
        )
        for hook in self._hooks_at("load_post"):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # ---------------------------------------------------------------- hooks
    def _hooks_at(self, place: str) -> list[Callable]:
        return [] if self._hooks is None else list(self._hooks[place].values())

    def _add_hook(self, place: str, hook: Callable, first: bool = False) -> RemovableHandle:
        if self._hooks is None:
            self._hooks = {name: Hooks() for name in _HOOKS}
        return self._hooks[place].add(hook, first=first)

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) before a step; may return new (args, kwargs)."""
        return self._add_hook("pre", hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) after a step."""
        return self._add_hook("post", hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) before state_dict."""
        return self._add_hook("save_pre", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) after state_dict; may return another."""
        return self._add_hook("save_post", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) before load_state_dict; may return another."""
        return self._add_hook("load_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) after load_state_dict."""
        return self._add_hook("load_post", hook, prepend)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"


@export("optim.optimizer.register_optimizer_step_pre_hook")
def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(optimizer, args, kwargs) before the steps of all optimizers."""
    return GLOBAL_PRE.add(hook)


@export("optim.optimizer.register_optimizer_step_post_hook")
def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """hook(optimizer, args, kwargs) after the steps of all optimizers."""
    return GLOBAL_POST.add(hook)


# ---------------------------------------------------------------------------- groups and states
def _listed(params: Any) -> tuple[list[Any], list[str] | None]:
    """The parameters of a group in a list of their own, and their names if they came with them."""
    if isinstance(params, Tensor):
        return [params], None
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of"
            " tensors in sets will change between runs. Please use a list instead."
        )
    params = list(params)
    named = [isinstance(p, tuple) for p in params]
    if not any(named):
        return params, None
    if not all(named):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    return [p for _, p in params], [name for name, _ in params]


def _adopt_group(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The loaded options with the optimizer's own parameters, and names if the loaded have none."""
    group = deepcopy({k: v for k, v in new.items() if k != "params"})
    if "param_names" in old:
        group.setdefault("param_names", old["param_names"])
    group["params"] = old["params"]
    return group


def _adopt(value: Any, p: Tensor | None, key: Any = None) -> Any:
    """A copy of a loaded state; its tensors take the dtype of a floating parameter, and its device.
    The step counter stays as it is.
    """
    if isinstance(value, Tensor):
        copied: Any = value.detach().clone()  # type: ignore[attr-defined]
        if p is None or key == "step":
            return copied
        return copied.to(p.device, p.dtype) if p.is_floating_point() else copied.to(p.device)
    if isinstance(value, dict):
        return {k: _adopt(v, p, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_adopt(v, p, key) for v in value)
    return deepcopy(value)


# ---------------------------------------------------------------------------- for the optimizers
def gradients(group: dict[str, Any]) -> list[tuple[Tensor, Any]]:
    """(parameter, gradient array) of the parameters that have one; negated to maximize."""
    found = []
    for p in group["params"]:
        if p._grad is not None:
            g = p._grad._data
            found.append((p, np.negative(g, out=np.empty_like(g)) if group["maximize"] else g))
    return found
