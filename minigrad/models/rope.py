"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), half-split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..backend.dtypes import float32
from ..core.tensor import Tensor
from ..ops.data import tensor
from ..ops.join import cat


def inverse_frequencies(dim: int, parameters: Mapping[str, Any]) -> list[float]:
    """θ^(−2i/d) for i < d/2, scaled as `rope_type` says: default, linear, or llama3 (Llama 3.1:
    long wavelengths divided by `factor`, short ones kept, a ramp between).

    ValueError for another type.
    """
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    plain = [float(parameters["rope_theta"]) ** (-2 * i / dim) for i in range(dim // 2)]
    if kind == "default":
        return plain
    if kind == "linear":
        return [f / parameters["factor"] for f in plain]
    if kind == "llama3":
        return [_llama3(f, parameters) for f in plain]
    raise ValueError(f"rope_type must be default, linear or llama3; got {kind!r}")


def _llama3(frequency: float, parameters: Mapping[str, Any]) -> float:
    factor, low, high = (
        parameters[key] for key in ("factor", "low_freq_factor", "high_freq_factor")
    )
    turns = parameters["original_max_position_embeddings"] * frequency / (2 * math.pi)
    if turns < low:
        return frequency / factor
    if turns > high:
        return frequency
    smooth = (turns - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


def rotation(positions: Tensor, frequencies: list[float]) -> tuple[Tensor, Tensor]:
    """cos and sin of position × frequency, (B, 1, T, d) each, of positions (B, T)."""
    angles = positions[:, None, :, None].to(float32) * tensor(frequencies, device=positions.device)
    angles = cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (x_i, x_{i+d/2}) turned by its angle; x (B, H, T, d)."""
    half = x.shape[-1] // 2
    turned = cat([-x[..., half:], x[..., :half]], -1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)
