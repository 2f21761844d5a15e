"""Rotary positions: neighbouring pairs of features are turned by angles that grow with position.

    (x_2i, x_2i+1)  ->  (x_2i + x_2i+1 j) · exp(j p ω_i)         ω_i = θ^(−2i/d)

The pairs are (0, 1), (2, 3), ...: those of RoFormer (Su et al. 2104.09864), GPT-J and DeepSeek,
not the two halves of the LLaMA files. A table of turns is made in float64 and rounded once, so that
an angle of 100 000 radians is still exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.tensor import wrap
from ...export import export
from ...ops.reinterpret import view_as_complex, view_as_real
from .config import rope_kind


@export("models.kimi_vl.rotate")
def rotate(x: Any, turns: Any) -> Any:
    """Multiply neighbouring pairs of x (..., d) by complex numbers `turns` (..., d/2).

    Computed in float32 (float64 for such x) and returned in x's dtype.
    """
    wide = x if x._data.dtype == np.float64 else x.float()
    pairs = view_as_complex(wide.reshape(*x.shape[:-1], -1, 2).contiguous())
    turned = view_as_real(pairs * turns).reshape(x.shape)
    return turned if turned.dtype == x.dtype else turned.to(x.dtype)


def as_turns(angles: np.ndarray, scale: float, like: Any) -> Any:
    """scale · exp(j angle), complex64 (complex128 where `like` is float64)."""
    double = like._data.dtype == np.float64
    return wrap((scale * np.exp(1j * angles)).astype(np.complex128 if double else np.complex64))


@export("models.kimi_vl.frequencies")
def frequencies(
    dim: int, theta: float, scaling: Mapping[str, Any] | None = None
) -> tuple[np.ndarray, float]:
    """ω (dim/2,), and what the turned pairs are multiplied by (1, except with YaRN).

    YaRN (Peng et al. 2309.00071, section 3.2) divides by `factor` those frequencies that turn less
    than `beta_slow` times within the original context, keeps those that turn more than `beta_fast`
    times, and blends in between.
    """
    omega = theta ** (-np.arange(0, dim, 2) / dim)
    if rope_kind(scaling) == "default":
        return omega, 1.0
    assert scaling is not None
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]

    def pair(turns: float) -> float:
        """The pair that turns this often within the original context."""
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair(scaling.get("beta_fast") or 32), pair(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low or 1e-3), 0, 1)
    return omega * (1 - ramp) + omega / factor * ramp, _length_factor(scaling)


def _length_factor(scaling: Mapping[str, Any]) -> float:
    given = scaling.get("attention_factor")
    if given is not None:
        return given
    factor, one, every = scaling["factor"], scaling.get("mscale"), scaling.get("mscale_all_dim")
    if one and every:
        return yarn_mscale(factor, one) / yarn_mscale(factor, every)
    return yarn_mscale(factor, 1.0)


def yarn_mscale(factor: float, mscale: float) -> float:
    """0.1 m ln(s) + 1 for s > 1: how much sharper attention gets with the context's length."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def softmax_scale(head_dim: int, scaling: Mapping[str, Any] | None) -> float:
    """1/√head_dim, times the square of YaRN's mscale_all_dim factor where that is given."""
    scale = head_dim**-0.5
    if rope_kind(scaling) != "default" and scaling and scaling.get("mscale_all_dim"):
        scale *= yarn_mscale(scaling["factor"], scaling["mscale_all_dim"]) ** 2
    return scale


class Rotary:
    """The turns of a language model: `rotary(positions, like)` for positions (B, T) or (T,)."""

    def __init__(self, dim: int, theta: float, scaling: Mapping[str, Any] | None = None):
        self.omega, self.scale = frequencies(dim, theta, scaling)

    def __call__(self, positions: np.ndarray, like: Any) -> Any:
        return as_turns(positions[..., None] * self.omega, self.scale, like)


@functools.lru_cache(maxsize=256)
def grid_angles(height: int, width: int, dim: int, theta: float = 10000.0) -> np.ndarray:
    """Angles of patches in rows (height·width, dim/2): pair 2i turns with x, pair 2i + 1 with y.

        ω_i = θ^(−4i/dim),  i < dim/4;  x is the column, y the row

    Kimi-VL's technical report (2504.07491, section 2.1) and its checkpoints.
    """
    omega = theta ** (-np.arange(0, dim, 4) / dim)
    y, x = np.divmod(np.arange(height * width), width)
    both = np.stack([x[:, None] * omega, y[:, None] * omega], axis=-1)  # (patches, dim/4, 2)
    return both.reshape(height * width, dim // 2)
