"""Sigmoidal activations: bounded, or bounded on one side; `sigmoid` and `tanh` are with the
elementwise functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .elementwise import abs, sigmoid, tanh
from .kinks import need_floating
from .piecewise import finish
from .special import erf


@primitive
def log_sigmoid(x: Any) -> Any:
    """y = log σ(x) = min(x, 0) − log(1 + e^−|x|);  x̄ = ȳ σ(−x)."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid.vjp(x=lambda g, x: g * sigmoid(-x))


@export("nn.functional.logsigmoid")
def logsigmoid(input: Any, *, out: Any = None) -> Any:
    """The logarithm of the sigmoid, without overflow.

    y = −log(1 + e^−x),  x̄ = ȳ σ(−x)
    """
    need_floating("log_sigmoid", input)
    return finish(log_sigmoid(input), out)


@export("nn.functional.softsign")
def softsign(input: Any) -> Any:
    """A sigmoid with polynomial tails (Turian, Bergstra and Bengio 2009).

    y = x / (1 + |x|),  x̄ = ȳ / (1 + |x|)²
    """
    return input / (1 + abs(input))


@export("nn.functional.tanhshrink")
def tanhshrink(input: Any) -> Any:
    """y = x − tanh x,  x̄ = ȳ tanh² x."""
    return input - tanh(input)


@export("nn.functional.lecun_tanh")
def lecun_tanh(input: Any) -> Any:
    """1.7159 tanh(2x/3): f(±1) = ±1, and |f''| is largest there (LeCun 1989; LeCun et al. 1998).

    y = a tanh(2x/3),  x̄ = ȳ 2/3 (a − y²/a),  a = 1.7159
    """
    return tanh(input * (2.0 / 3.0)) * 1.7159


@export("nn.functional.laplace")
def laplace(input: Any, mu: float = 0.707107, sigma: float = 0.282095) -> Any:
    """The normal distribution function as an activation: approximates relu² (Ma et al. 2022, MEGA).

    y = ½(1 + erf((x − μ)/(σ√2))),  x̄ = ȳ φ((x − μ)/σ)/σ
    """
    need_floating("laplace", input)
    return (erf((input - mu) / (sigma * 2**0.5)) + 1) * 0.5
