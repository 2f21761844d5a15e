"""The base of all optimizers: groups of parameters with their options, and a state for each
parameter.

A step is arithmetic on arrays, in place: nothing is recorded, and the parameters' version numbers
are counted up so that a graph that saved them notices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from ..core.hooks import Hooks, RemovableHandle
from ..core.modes import enable_grad
from ..core.tensor import Tensor, wrap
from ..export import export


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


@export("optim.Optimizer", "optim.optimizer.Optimizer")
class Optimizer:
    """Base class: subclasses give `defaults` to __init__ and define `_update(group)`, the step of
    one group.

    param_groups: dicts with "params" and options; state: parameter -> dict. ValueError, TypeError
    for parameters that cannot be optimized.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._hooks = {
            name: Hooks()
            for name in ("pre", "post", "save_pre", "save_post", "load_pre", "load_post")
        }
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
        """Add parameters with options of their own, e.g. layers that are unfrozen during
        training.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering"
                " of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        named = bool(params) and isinstance(params[0], tuple)
        if named:
            param_group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    + type(p).__name__
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):  # type: ignore[attr-defined]
                raise ValueError("can't optimize a non-leaf Tensor")
        param_group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter"
                    f" {name}"
                )
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            raise ValueError("optimizer contains a parameter group with duplicate parameters")
        known = {p for g in self.param_groups for p in g["params"]}
        if not known.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    if set_to_none:
                        p._grad = None
                    else:
                        p._grad = p._grad.detach()
                        p._grad._data[...] = 0
                        p._grad._bump()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every group; `closure`, if given, is called first to compute the loss, which
        is returned.
        """
        for hook in list(self._hooks["pre"].values()):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        for hook in list(self._hooks["post"].values()):
            hook(self, (closure,), {})
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError(
            f"{type(self).__name__} must define _update(group) or step(closure)"
        )

    # ---------------------------------------------------------------- state
    def state_dict(self) -> dict[str, Any]:
        """{"state": parameter number -> state, "param_groups": options, parameters by number}:
        PyTorch's layout.
        """
        for hook in list(self._hooks["save_pre"].values()):
            hook(self)
        numbers = {
            p: i for i, p in enumerate(chain.from_iterable(g["params"] for g in self.param_groups))
        }
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
        for hook in list(self._hooks["save_post"].values()):
            replaced = hook(self, packed)
            packed = packed if replaced is None else replaced
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and states; ValueError if the groups do not have the same sizes."""
        given = dict(state_dict)
        for hook in list(self._hooks["load_pre"].values()):
            replaced = hook(self, given)
            given = given if replaced is None else replaced
        groups = given["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(
            len(a["params"]) != len(b["params"])
            for a, b in zip(groups, self.param_groups, strict=True)
        ):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of"
                " optimizer's group"
            )
        numbers = chain.from_iterable(g["params"] for g in groups)
        params = dict(
            zip(numbers, chain.from_iterable(g["params"] for g in self.param_groups), strict=True)
        )
        state: defaultdict[Any, dict] = defaultdict(dict)
        for key, value in given["state"].items():
            p = params.get(key)
            state[key if p is None else p] = _adopt(value, p)
        self.state = state
        self.param_groups = [
            {**deepcopy({k: v for k, v in new.items() if k != "params"}), "params": old["params"]}
            for new, old in zip(groups, self.param_groups, strict=True)
        ]
        for hook in list(self._hooks["load_post"].values()):
            hook(self)

    # ---------------------------------------------------------------- hooks
    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) before a step."""
        return self._hooks["pre"].add(hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) after a step."""
        return self._hooks["post"].add(hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) before state_dict."""
        return self._hooks["save_pre"].add(hook, first=prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) after state_dict; may return another."""
        return self._hooks["save_post"].add(hook, first=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) before load_state_dict; may return another."""
        return self._hooks["load_pre"].add(hook, first=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) after load_state_dict."""
        return self._hooks["load_post"].add(hook, first=prepend)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self._hooks = {
            name: Hooks()
            for name in ("pre", "post", "save_pre", "save_post", "load_pre", "load_post")
        }


def _adopt(value: Any, p: Tensor | None) -> Any:
    """A copy of a loaded state; its floating tensors take the parameter's dtype, the step counter
    does not.
    """

    def adopt(v: Any, key: Any) -> Any:
        if isinstance(v, Tensor):
            data = v._data.copy()
            if p is not None and key != "step" and p.is_floating_point() and data.dtype.kind == "f":
                data = data.astype(p._data.dtype)
            return wrap(data)
        if isinstance(v, dict):
            return {k: adopt(x, k) for k, x in v.items()}
        if isinstance(v, list | tuple):
            return type(v)(adopt(x, key) for x in v)
        return deepcopy(v)

    return adopt(value, None)


def gradients(group: dict[str, Any], maximize: bool) -> list[tuple[Tensor, Any]]:
    """(parameter, gradient array) of the parameters that have one; negated to maximize."""
    found = []
    for p in group["params"]:
        if p._grad is not None:
            g = p._grad._data
            found.append((p, np.negative(g, out=np.empty_like(g)) if maximize else g))
    return found


def check_non_negative(**options: float) -> None:
    """ValueError for a negative learning rate, epsilon or weight decay."""
    for name, value in options.items():
        number = value.item() if isinstance(value, Tensor) else value
        if not number >= 0.0:
            words = {"lr": "learning rate", "eps": "epsilon value", "momentum": "momentum value"}
            raise ValueError(f"Invalid {words.get(name, name + ' value')}: {number}")


def check_betas(betas: tuple[float, float]) -> None:
    """ValueError for moment decays outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def new_step() -> Tensor:
    """A step counter, PyTorch's way: a 0-d float32 tensor."""
    return wrap(np.zeros((), np.float32))


def number(value: Any) -> float:
    """An option that may be a 0-d tensor, as a Python number."""
    return float(value.item()) if isinstance(value, Tensor) else value
