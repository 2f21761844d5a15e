"""The backend nccl on the stand-in for a GPU, its ranks as threads: every collective moves what it
should. Processes, devices and NCCL itself are tests/test_distributed_nccl.py's, on a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.distributed.nccl import make_nccl
from minigrad.distributed.reduce_op import ReduceOp
from minigrad.distributed.store import HashStore

from . import fake_nccl

SIZE = 3


def _on_all_ranks(device: Any, work: Callable[[Any, int], Any]) -> list[Any]:
    """`work(backend, rank)` in a thread for each rank; what they return."""
    fake_nccl.World.known.clear()
    store, found, errors = HashStore(), [None] * SIZE, []

    def run(rank: int) -> None:
        try:
            backend = make_nccl(store, rank, SIZE, 20.0)
            found[rank] = work(backend, rank)
            backend.barrier()
            backend.close()
        except Exception as error:  # shown below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found


def _there(*values: float, dtype: Any = mg.float32) -> Any:
    return mg.tensor(values, dtype=dtype).cuda()._data


@pytest.fixture
def nccl(device: Any, monkeypatch: Any) -> Any:
    import sys

    module = fake_nccl.namespace()
    monkeypatch.setattr(device.cuda, "nccl", module, raising=False)
    monkeypatch.setitem(sys.modules, "cupy.cuda", device.cuda)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", module)
    return device


@pytest.mark.parametrize("dtype", [mg.float32, mg.bfloat16, mg.int64])
@pytest.mark.parametrize(
    ("op", "want"),
    [(ReduceOp.SUM, 6), (ReduceOp.PRODUCT, 6), (ReduceOp.MIN, 1), (ReduceOp.MAX, 3),
     (ReduceOp.AVG, 2)],
)  # fmt: skip
def test_reductions(nccl: Any, op: Any, want: float, dtype: Any) -> None:
    def work(backend: Any, rank: int) -> Any:
        x, y = _there(rank + 1, 1, dtype=dtype), _there(rank + 1, 1, dtype=dtype)
        backend.all_reduce(x, op)
        backend.reduce(y, 1, op)
        return x.get().astype(np.float64)[0], y.get().astype(np.float64)[0]

    found = _on_all_ranks(nccl, work)
    assert [a for a, _ in found] == [want] * SIZE and found[1][1] == want
    assert found[0][1] == 1 and found[2][1] == 3


def test_moving(nccl: Any) -> None:
    def work(backend: Any, rank: int) -> Any:
        x = _there(rank, 10 * rank)
        backend.broadcast(x, 2)
        outs = [_there(0) for _ in range(SIZE)]
        backend.all_gather(outs, _there(rank))
        part = _there(0)
        backend.reduce_scatter(part, [_there(r) for r in range(SIZE)], ReduceOp.SUM)
        across = [_there(0) for _ in range(SIZE)]
        backend.all_to_all(across, [_there(10 * rank + r) for r in range(SIZE)])
        got = [_there(0) for _ in range(SIZE)] if rank == 0 else None
        backend.gather(got, _there(rank + 5), 0)
        mine = _there(0)
        backend.scatter(mine, [_there(r + 7) for r in range(SIZE)] if rank == 1 else None, 1)
        if rank == 0:
            backend.send(_there(42), 2, 0)
        if rank == 2:
            backend.recv(across[0], 0, 0)
        arrays = [x, *outs, part, *across, *(got or []), mine]
        return [a.get().tolist() for a in arrays]

    for rank, found in enumerate(_on_all_ranks(nccl, work)):
        got = [[5.0], [6.0], [7.0]] if rank == 0 else []
        across = [[10.0 * r + rank] for r in range(SIZE)]
        if rank == 2:
            across[0] = [42.0]
        want = [[2.0, 20.0], [0.0], [1.0], [2.0], [3.0 * rank], *across, *got, [rank + 7.0]]
        assert found == want, rank


def test_what_nccl_has_no_operation_for(nccl: Any) -> None:
    def work(backend: Any, rank: int) -> Any:
        with pytest.raises(RuntimeError, match="no operations on complex64"):
            backend.broadcast(_there(1, dtype=mg.complex64), 0)
        with pytest.raises(RuntimeError):
            backend.all_reduce(_there(1, dtype=mg.int64), ReduceOp.BAND)

    _on_all_ranks(nccl, work)
