"""Models that train on several processes: `DistributedDataParallel`, and the same in fifty lines.

naive.py is the idea; distributed.py, reducer.py are what it takes to be fast.
"""

from __future__ import annotations

from typing import Any

_DISTRIBUTED = {"DistributedDataParallel": "distributed", "NaiveDistributedDataParallel": "naive"}


def __getattr__(name: str) -> Any:
    if name in _DISTRIBUTED:  # with minigrad.distributed, which is imported at the first look
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_DISTRIBUTED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
