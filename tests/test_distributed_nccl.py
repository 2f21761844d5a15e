"""The backend nccl: on one GPU alone, and on two where there are two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.distributed as dist

from .processes import run

pytestmark = pytest.mark.gpu


def devices() -> int:
    import cupy

    return cupy.cuda.runtime.getDeviceCount()


def collectives(rank: int, size: int) -> None:
    device = f"cuda:{rank}"

    def full(value: float, n: int = 5) -> Any:
        return mg.full((n,), float(value), device=device)

    for op, expected in (
        (dist.ReduceOp.SUM, size * (size + 1) / 2),
        (dist.ReduceOp.AVG, (size + 1) / 2),
        (dist.ReduceOp.MAX, size),
        (dist.ReduceOp.MIN, 1),
    ):
        t = full(rank + 1)
        work = dist.all_reduce(t, op, async_op=True)
        assert work is not None and work.wait() and t.cpu().tolist() == [expected] * 5
    t = full(rank)
    dist.broadcast(t, size - 1)
    assert t.cpu().tolist() == [size - 1.0] * 5
    outs = [full(0) for _ in range(size)]
    dist.all_gather(outs, full(rank))
    assert [o.cpu().tolist()[0] for o in outs] == list(range(size))
    part = full(0)
    dist.reduce_scatter(part, [full(r) for r in range(size)])
    assert part.cpu().tolist() == [float(size * rank)] * 5
    outs = [full(0) for _ in range(size)]
    dist.all_to_all(outs, [full(10 * rank + r) for r in range(size)])
    assert [o.cpu().tolist()[0] for o in outs] == [10.0 * r + rank for r in range(size)]
    got = [full(0) for _ in range(size)] if rank == 0 else None
    dist.gather(full(rank), got, 0)
    dist.scatter(full(0), [full(r) for r in range(size)] if rank == 0 else None, 0)
    if size > 1:
        if rank == 0:
            dist.send(full(7), 1)
        elif rank == 1:
            dist.recv(t := full(0), 0)
            assert t.cpu().tolist() == [7.0] * 5
    dist.barrier()


def test_one_gpu() -> None:
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        collectives(0, 1)
        model = mg.nn.parallel.DistributedDataParallel(mg.nn.Linear(3, 2).to("cuda"))
        model(mg.ones(4, 3, device="cuda")).sum().backward()
        grad = model.module.weight.grad.cpu().numpy()
        np.testing.assert_allclose(grad, np.full((2, 3), 4.0))
    finally:
        dist.destroy_process_group()


def on_its_own_gpu(rank: int, size: int, method: str) -> None:
    import cupy

    cupy.cuda.Device(rank).use()
    dist.init_process_group("nccl", init_method=method, rank=rank, world_size=size, timeout=60)
    collectives(rank, size)
    dist.destroy_process_group()


def test_two_gpus(tmp_path: Any) -> None:
    if devices() < 2:
        pytest.skip("needs two GPUs")
    run(on_its_own_gpu, 2, f"file://{tmp_path}/x", init=None)
