"""Averaging as it is, and averaging in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....backend.dtypes import DType, bfloat16, float16
from ....core.tensor import Tensor, wrap
from ....futures import Future
from ...bucket import GradBucket
from ...group import resolve
from ...reduce_op import ReduceOp

Hook = Callable[[Any, GradBucket], Future]


def submit(group: Any, task: Callable[[Any], Any]) -> Future:
    """task(backend) in the group's lane; the Future of the Tensor of the array that it returns."""
    pg = resolve(group)
    results: list[Any] = []
    work = pg.lane.submit(lambda: results.append(task(pg.backend)))
    return work.get_future().then(lambda done: (done.value(), wrap(results[0]))[1])


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average over all ranks: what DistributedDataParallel does without a hook."""
    array = bucket.buffer()._data

    def task(backend: Any) -> Any:
        backend.all_reduce(array, ReduceOp.AVG)
        return array

    return submit(process_group, task)


def _compressed(process_group: Any, bucket: GradBucket, dtype: DType) -> Future:
    array = bucket.buffer()._data
    size = resolve(process_group).size()

    def task(backend: Any) -> Any:
        small = (array / array.dtype.type(size)).astype(dtype.np)  # divided first: no overflow
        backend.all_reduce(small, ReduceOp.SUM)
        array[...] = small
        return array

    return submit(process_group, task)


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average, sent as float16: half the bytes."""
    return _compressed(process_group, bucket, float16)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average, sent as bfloat16: half the bytes, float32's range."""
    return _compressed(process_group, bucket, bfloat16)


def _wrapper(hook: Hook, dtype: DType) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Future:
        array = bucket.buffer()._data
        small = GradBucket(
            bucket.index(), array.astype(dtype.np), bucket.parameters(), bucket._ends,
            bucket.is_last(),
        )  # fmt: skip

        def back(done: Future) -> Tensor:
            array[...] = np.asarray(done.value()._data)
            return wrap(array)

        return hook(state, small).then(back)

    return wrapped


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """The hook, given and giving float16."""
    return _wrapper(hook, float16)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """The hook, given and giving bfloat16."""
    return _wrapper(hook, bfloat16)
