# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import distributed as distributed
from minigrad.utils.data.sampler import BatchSampler as BatchSampler
from minigrad.utils.data.dataset import ChainDataset as ChainDataset
from minigrad.utils.data.dataset import ConcatDataset as ConcatDataset
from minigrad.utils.data.dataloader import DataLoader as DataLoader
from minigrad.utils.data.dataset import Dataset as Dataset
from minigrad.utils.data.distributed import DistributedSampler as DistributedSampler
from minigrad.utils.data.dataset import IterableDataset as IterableDataset
from minigrad.utils.data.sampler import RandomSampler as RandomSampler
from minigrad.utils.data.sampler import Sampler as Sampler
from minigrad.utils.data.sampler import SequentialSampler as SequentialSampler
from minigrad.utils.data.dataset import StackDataset as StackDataset
from minigrad.utils.data.dataset import Subset as Subset
from minigrad.utils.data.sampler import SubsetRandomSampler as SubsetRandomSampler
from minigrad.utils.data.dataset import TensorDataset as TensorDataset
from minigrad.utils.data.sampler import WeightedRandomSampler as WeightedRandomSampler
from minigrad.utils.data.collate import default_collate as default_collate
from minigrad.utils.data.collate import default_convert as default_convert
from minigrad.utils.data.info import get_worker_info as get_worker_info
from minigrad.utils.data.dataset import random_split as random_split
