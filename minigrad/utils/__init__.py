"""Around training: data loading (`utils.data`) and trading computation for memory
(`utils.checkpoint`).
"""

from __future__ import annotations

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
