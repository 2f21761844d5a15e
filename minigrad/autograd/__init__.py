"""What can be asked of the engine: `backward`, `grad`, Function, anomaly mode (all in `core`), and
from here products with Jacobians and Hessians (`functional`), and functions of functions (`func`).
"""

from __future__ import annotations

from ..core.walk import queue_callback
from . import forward_ad, func, functional, graph, variable

__all__ = ["forward_ad", "func", "functional", "graph", "queue_callback", "variable"]
