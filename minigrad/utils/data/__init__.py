"""Data loading: data sets, samplers, and the DataLoader that makes batches of them.

Files in reading order:

    dataset      map-style and iterable-style data sets; joining and splitting them
    sampler      the order in which samples are visited (distributed: one process' share of them)
    collate      a batch from a list of samples
    fetch        from indices to a batch
    dataloader   DataLoader; iterator: one pass over it in this process
    parallel     one pass over it by worker processes
    worker       what runs in such a process (info: what it knows about itself)
    channel      how a batch comes back (memory: without being copied)
"""

from __future__ import annotations

from .collate import default_collate, default_convert
from .dataloader import DataLoader
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .distributed import DistributedSampler
from .info import get_worker_info
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
