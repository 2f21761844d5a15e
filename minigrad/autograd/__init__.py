"""What can be asked of the engine: `backward`, `grad`, Function, anomaly mode (all in `core`), and
from here products with Jacobians and Hessians (`functional`), and functions of functions (`func`).
"""

from __future__ import annotations

from ..core.engine import queue_callback
from . import func, functional, variable

__all__ = ["func", "functional", "queue_callback", "variable"]
