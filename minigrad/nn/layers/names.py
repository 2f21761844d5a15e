"""Activations by name, as configuration files of published models give them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...export import export
from ..module import Module
from . import activation as A
from . import modern as M

_TANH_GELU = partial(A.GELU, approximate="tanh")

# The keys of transformers' ACT2FN first; those of one function are computed differently there.
_BY_NAME: dict[str, Callable[..., Module]] = {
    "gelu": A.GELU,
    "gelu_10": M.ClippedGELU,
    "gelu_accurate": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_new": _TANH_GELU,
    "gelu_python": A.GELU,
    "gelu_python_tanh": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "hardswish": A.Hardswish,
    "laplace": M.Laplace,
    "leaky_relu": A.LeakyReLU,
    "linear": A.Identity,
    "mish": A.Mish,
    "prelu": A.PReLU,
    "quick_gelu": M.QuickGELU,
    "relu": A.ReLU,
    "relu2": M.ReLUSquared,
    "relu6": A.ReLU6,
    "sigmoid": A.Sigmoid,
    "silu": A.SiLU,
    "sqrtsoftplus": M.SqrtSoftplus,
    "swish": A.SiLU,
    "tanh": A.Tanh,
    "xielu": M.XIELU,
    # and everything else that needs no argument
    "celu": A.CELU,
    "elu": A.ELU,
    "hardshrink": A.Hardshrink,
    "hardsigmoid": A.Hardsigmoid,
    "hardtanh": A.Hardtanh,
    "identity": A.Identity,
    "lecun_tanh": M.LeCunTanh,
    "logsigmoid": A.LogSigmoid,
    "relu_squared": M.ReLUSquared,
    "rrelu": A.RReLU,
    "selu": A.SELU,
    "serf": M.Serf,
    "sine": M.Sine,
    "smelu": M.SmeLU,
    "softplus": A.Softplus,
    "softshrink": A.Softshrink,
    "softsign": A.Softsign,
    "step": M.Step,
    "tanhshrink": A.Tanhshrink,
}


@export("nn.get_activation")
def get_activation(name: str, **options: Any) -> Module:
    """The activation of this name as a module, built with `options`.

    Names are those of transformers' configuration files ("gelu_new", "relu2", "silu", ...) and of
    `nn.functional`. KeyError, with all names, for any other.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise KeyError(f"no activation {name!r}; there are {', '.join(activation_names())}")
    return found(**options)


@export("nn.activation_names")
def activation_names() -> list[str]:
    """The names that `nn.get_activation` knows, sorted."""
    return sorted(_BY_NAME)
