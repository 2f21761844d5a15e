"""The tests of the shared-memory backend, under MPI: run by mpiexec, see test_distributed_mpi.py.

mpiexec -n 3 python -m tests.mpi_suite collectives FOLDER
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

import minigrad as mg
import minigrad.distributed as dist

from . import test_ddp as d
from . import test_distributed as t


def collectives(rank: int, size: int, folder: str) -> None:
    wrong, compared = t.every_collective(rank, size, folder)
    assert not wrong and compared > 500, wrong[:3]


def same_bits(rank: int, size: int, folder: str) -> None:
    for n in (1, 2, 1000, 400_003):
        x = mg.tensor(np.random.default_rng(rank).standard_normal(n).astype(np.float32))
        dist.all_reduce(x, dist.ReduceOp.AVG)
        every: list[bytes] = [b""] * size
        dist.all_gather_object(every, x.numpy())
        assert all(np.array_equal(one, x.numpy()) for one in every)


def calls(rank: int, size: int, folder: str) -> None:
    assert dist.get_backend() == "mpi" and (dist.get_rank(), dist.get_world_size()) == (rank, size)
    works = [t.more_calls, t.messages, t.order_of_async, t.objects, t.bad_arguments]
    if size == 4:
        works.append(t.subgroups)
    if size == 3:
        works.append(t.disagree_and_go_on)
    if size == 2:
        works += [t.wrong_message, d.unused, d.accumulation, d.construction, d.buffers]
        works += [d.throw_early, d.synchronised]
    for work in works:
        work(rank, size)


def training(rank: int, size: int, folder: str) -> None:
    expected = d.train_alone(size)
    for how, ours in d.every_way(rank, size).items():
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12, err_msg=how)
    zero, _ = d.zero(rank, size)
    assert np.isfinite(zero).all()


def silent(rank: int, size: int, folder: str) -> None:
    """Rank 1 hangs: the others name it, and the job ends."""
    dist.barrier()
    if rank == 1:
        time.sleep(60)
    begin = time.monotonic()
    try:
        dist.all_reduce(mg.ones(3))
    except dist.DistTimeoutError as error:
        with open(f"{folder}/{rank}", "w") as file:
            file.write(f"{time.monotonic() - begin:.1f} s: {error}")
        time.sleep(1.0)  # the first one to exit ends the job: let the others write, too
        raise


def cut_off(rank: int, size: int, folder: str) -> None:
    """Steps until somebody's network is taken away."""
    step = 0
    while step < 10**6:
        try:
            dist.all_reduce(mg.ones(10))
        except dist.DistTimeoutError as error:
            with open(f"{folder}/{rank}", "w") as file:
                file.write(str(error))
            time.sleep(3.0)  # the first one to exit ends the job: let the others write, too
            raise
        step += 1
        if step == 20:
            with open(f"{folder}/on{rank}", "w"):
                pass


if __name__ == "__main__":
    name, folder = sys.argv[1:3]
    dist.init_process_group("mpi", timeout=float(os.environ.get("TEST_TIMEOUT", "60")))
    globals()[name](dist.get_rank(), dist.get_world_size(), folder)
    if dist.is_initialized():
        dist.destroy_process_group()
    os.write(1, f"{name} done\n".encode())  # in one piece
