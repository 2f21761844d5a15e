"""Gated activations: one half of the features decides how much of the other passes.

A gated function takes (gate, value), the two projections of a feed-forward layer; only `glu` has
both in one tensor, and there, as in PyTorch, the value comes first.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import normalize_dim
from ..export import export
from .elementwise import clamp, mul, sigmoid
from .kinks import need_floating
from .modern import swish_
from .rectifiers import relu
from .reduction import mean
from .slices import narrow
from .smooth import gelu, silu_
from .statistics import std


@export("nn.functional.glu")
def glu(input: Any, dim: int = -1) -> Any:
    """a σ(b), a and b being the halves of the input along `dim` (Dauphin et al. 2016).

        ā = ȳ σ(b),  b̄ = ȳ a σ(b)(1 − σ(b))

    RuntimeError for a 0-d input and if the dimension is odd.
    """
    need_floating("glu_cpu", input)
    if input._data.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalize_dim(dim, input._data.ndim)
    size = input._data.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    half = size // 2
    return mul(narrow(input, dim, 0, half), sigmoid(narrow(input, dim, half, half)))


# ------------------------------------------------------------------------------ of two projections
@export("nn.functional.reglu")
def reglu(gate: Any, value: Any) -> Any:
    """relu(g)·v (Shazeer 2020, eq. 6);  ḡ = ȳ v where g > 0, else 0;  v̄ = ȳ relu(g)."""
    return mul(relu(gate), value)


@export("nn.functional.drelu")
def drelu(gate: Any, value: Any) -> Any:
    """relu(g)·relu(v): nine of ten products are 0 in a trained model (Song et al. 2024)."""
    return mul(relu(gate), relu(value))


@export("nn.functional.geglu")
def geglu(gate: Any, value: Any, *, approximate: str = "none") -> Any:
    """gelu(g)·v (Shazeer 2020, eq. 6);  ḡ = ȳ v gelu'(g),  v̄ = ȳ gelu(g)."""
    return mul(gelu(gate, approximate=approximate), value)


@primitive(promote="type")
def swiglu_(gate: Any, value: Any) -> Any:
    """y = g σ(g) v;  ḡ = ȳ v σ(1 + g(1 − σ)),  v̄ = ȳ g σ."""
    return gate / (1 + np.exp(-gate)) * value


def _swiglu_gate(g: Any, gate: Any, value: Any) -> Any:
    s = sigmoid(gate)
    return g * (value * s * (gate * (1 - s) + 1))


swiglu_.vjp(gate=_swiglu_gate, value=lambda g, gate: g * silu_(gate))


@export("nn.functional.swiglu")
def swiglu(gate: Any, value: Any) -> Any:
    """silu(g)·v (Shazeer 2020, eq. 6), of most language models since LLaMA.

    y = g σ(g) v,  ḡ = ȳ v σ(g)(1 + g(1 − σ(g))),  v̄ = ȳ g σ(g)
    """
    need_floating("swiglu", gate)
    need_floating("swiglu", value)
    return swiglu_(gate, value)


@export("nn.functional.clamped_swiglu")
def clamped_swiglu(gate: Any, value: Any, alpha: float = 1.702, limit: float = 7.0) -> Any:
    """g σ(αg)·(v + 1) of clamped g ≤ limit and |v| ≤ limit: the gate of gpt-oss.

    The 1 lets a gradient reach the gate where the value is 0. Nothing passes back beyond a limit.
    """
    need_floating("clamped_swiglu", gate)
    need_floating("clamped_swiglu", value)
    gate, value = clamp(gate, max=limit), clamp(value, min=-limit, max=limit)
    return mul(swish_(gate, alpha), value + 1)


# ------------------------------------------------------------------------------ sparse on purpose
@functools.cache
def _normal_quantile(p: float) -> float:
    """Φ⁻¹(p)."""
    from statistics import NormalDist  # here: 10 ms that `import minigrad` need not wait for

    return NormalDist().inv_cdf(p)


@export("nn.functional.gaussian_topk")
def gaussian_topk(input: Any, sparsity: float, dim: int = -1) -> Any:
    """relu(x − (μ + σ Φ⁻¹(sparsity))): about a share `sparsity` of the features becomes 0.

    μ and σ are those of the features along `dim` (σ² the mean square deviation), which are taken to
    be normal: a top-k without sorting, as in Gemma 3n. ValueError unless 0 < sparsity < 1.
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"gaussian_topk: sparsity must be between 0 and 1, but got {sparsity}")
    need_floating("gaussian_topk", input)
    spread: Any = std(input, dim, correction=0, keepdim=True)
    cutoff = mean(input, dim, keepdim=True) + spread * _normal_quantile(sparsity)
    return relu(input - cutoff)
