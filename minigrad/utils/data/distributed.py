"""The sampler of data-parallel training: each process visits its own share of the data set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...backend.random import Generator
from ...backend.sampling import randperm
from ...export import export
from .sampler import Sampler


@export("utils.data.DistributedSampler", "utils.data.distributed.DistributedSampler")
class DistributedSampler(Sampler[int]):
    """The share of process `rank` among `num_replicas`: every num_replicas-th index from rank on.

    All processes shuffle alike, by seed + epoch: call `set_epoch` before each epoch, or every epoch
    has the same order. So that all get equally many, the first indices are repeated at the end
    (10 samples, 3 processes, unshuffled: 0 3 6 9, 1 4 7 0, 2 5 8 1), or with `drop_last` the tail
    is left out. Number and rank are those of the default process group unless they are given;
    ValueError if there is none, and for a rank outside [0, num_replicas).
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        if num_replicas is None or rank is None:
            from ...distributed import get_rank, get_world_size  # only programs that use it

            num_replicas = get_world_size() if num_replicas is None else num_replicas
            rank = get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        n = len(dataset)
        self.num_samples = n // num_replicas if drop_last else math.ceil(n / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        indices = list(range(n))
        if self.shuffle:
            indices = randperm(n, gen=Generator().manual_seed(self.seed + self.epoch)).tolist()
        if n:
            indices *= math.ceil(self.total_size / n)
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Shuffle by another seed from the next iteration on."""
        self.epoch = epoch
