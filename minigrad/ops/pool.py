"""Pooling over windows of a given size, by what is taken of each: max_pool.py, mean_pool.py."""

from __future__ import annotations

from .max_pool import max_pool1d, max_pool2d, max_pool3d, pick_windows
from .mean_pool import avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d, lp_pool2d, lp_pool3d

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d"]
__all__ += ["max_pool1d", "max_pool2d", "max_pool3d", "pick_windows"]
