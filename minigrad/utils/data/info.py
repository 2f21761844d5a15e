"""What a worker process of a DataLoader knows about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...export import export


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """`id` in 0 .. num_workers - 1, the `seed` it started from, its own copy of the `dataset`."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_current: WorkerInfo | None = None


@export("utils.data.get_worker_info")
def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a DataLoader: its WorkerInfo; elsewhere None.

    An IterableDataset reads its share of the stream from it: every `num_workers`-th sample from
    `id` on, say.
    """
    return _current


def set_worker_info(info: WorkerInfo | None) -> None:
    """Said once, by the worker itself."""
    global _current
    _current = info
