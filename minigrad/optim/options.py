"""What the constructors of all optimizers check, and options that may be tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import dtypes
from ..core.tensor import Tensor, wrap

_WORDS = {"lr": "learning rate", "eps": "epsilon value"}
_NOT_NEGATIVE = ("lr", "lr_decay", "eps", "momentum", "weight_decay", "momentum_decay")
_NOT_NEGATIVE += ("initial_accumulator_value", "alpha")


def number(value: Any) -> float:
    """An option that may be a tensor of one element, as a Python number."""
    return float(value.item()) if isinstance(value, Tensor) else value


def counter(value: float = 0.0) -> Tensor:
    """A number in an optimizer's state, PyTorch's way: a 0-d tensor, float32 unless the default
    dtype is float64.
    """
    return wrap(np.full((), value, _counter_dtype()))


def as_counted(value: float) -> float:
    """The number that is left of `value` when a counter holds it."""
    return float(_counter_dtype()(value))


def _counter_dtype() -> Any:
    return np.float64 if dtypes.get_default_dtype() is dtypes.float64 else np.float32


def check_lr(lr: Any, message: str = "Invalid learning rate: {}") -> None:
    """ValueError for a learning rate that is negative or a tensor of several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= number(lr):
        raise ValueError(message.format(lr))


def check_options(defaults: dict[str, Any], unchecked: tuple[str, ...] = ()) -> None:
    """ValueError for a negative learning rate, epsilon, momentum or weight decay, for betas outside
    [0, 1); RuntimeError for implementations that exclude each other.
    """
    check_lr(defaults["lr"])
    for name in _NOT_NEGATIVE:
        value = defaults.get(name, 0.0)
        if name not in unchecked and not 0.0 <= value:
            raise ValueError(f"Invalid {_WORDS.get(name, name + ' value')}: {value}")
    for i, beta in enumerate(defaults.get("betas", ())):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
    if defaults.get("fused"):
        if defaults["differentiable"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        if defaults["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_tensor_options(defaults: dict[str, Any]) -> None:
    """ValueError for Adam's betas that are neither floats nor tensors of one element, and for
    tensors where PyTorch's foreach implementation wants numbers.
    """
    many = defaults["foreach"] and not defaults["capturable"]
    betas = defaults["betas"]
    if isinstance(defaults["lr"], Tensor) and many:
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    if not (all(isinstance(b, float) for b in betas) or all(isinstance(b, Tensor) for b in betas)):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor):
            if many:
                raise ValueError(
                    f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True"
                )
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")
