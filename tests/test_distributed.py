"""Process groups and collectives: beside gloo's, and what must hold whatever gloo does."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.distributed as dist
from minigrad.backend.dtypes import numpy_dtype

from .processes import Failed, Group, run

DTYPES = "float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64 bool".split()
SHAPES = [(7,), (), (0,), (3, 0, 2), (2, 3), (5000,)]
OPS = "SUM PRODUCT MIN MAX".split()
SIZES = [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow), 5]


def values(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Small whole numbers: sums and products of five ranks are exact in every dtype."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, shape).astype(numpy_dtype(getattr(mg, dtype)))


class Both:
    """The same call in minigrad and in gloo, and what both give."""

    def __init__(self, rank: int, size: int, folder: str):
        import torch

        self.rank, self.size, self.torch, self.gloo = rank, size, torch, torch.distributed
        # PyTorch wants its own file
        self.gloo.init_process_group(
            "gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=size
        )
        self.wrong: list[str] = []
        self.compared = self.alone = 0

    def tensors(self, array: np.ndarray, dtype: str) -> tuple[Any, Any]:
        as_float = array.astype(np.float32) if dtype == "bfloat16" else array
        return mg.tensor(array.copy()), self.torch.tensor(as_float).to(getattr(self.torch, dtype))

    def check(self, what: str, ours: Any, theirs: Any) -> None:
        self.compared += 1
        a = [t.float().numpy() if t.dtype is mg.bfloat16 else t.numpy() for t in ours]
        b = [t.float().numpy() if t.dtype is self.torch.bfloat16 else t.numpy() for t in theirs]
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            if x.shape != y.shape or x.dtype != y.dtype or not np.array_equal(x, y):
                self.wrong.append(f"{what}[{i}] on rank {self.rank}: {x} instead of {y}")


def every_collective(rank: int, size: int, folder: str) -> tuple[list[str], int]:
    both = Both(rank, size, folder)
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        _compare(both, dtype, shape)
    both.gloo.destroy_process_group()
    return both.wrong, both.compared


def _compare(both: Both, dtype: str, shape: tuple[int, ...]) -> None:
    rank, size, gloo = both.rank, both.size, both.gloo
    mine = values(shape, dtype, seed=rank)
    what = f"{dtype}{shape}"
    if dtype not in ("int16", "bool"):  # gloo reduces neither
        for op in OPS:
            a, b = both.tensors(mine, dtype)
            work = dist.all_reduce(a, getattr(dist.ReduceOp, op), async_op=op == "SUM")
            gloo.all_reduce(b, getattr(gloo.ReduceOp, op))
            if op == "SUM":
                assert isinstance(work, dist.Work) and work.wait() and work.is_success()
            both.check(f"all_reduce {op} {what}", [a], [b])
        a, b = both.tensors(mine, dtype)
        dist.reduce(a, size - 1)
        gloo.reduce(b, size - 1)
        if rank == size - 1:
            both.check(f"reduce {what}", [a], [b])
        else:
            both.check(f"reduce keeps {what}", [a], [both.tensors(mine, dtype)[1]])
        a, b = both.tensors(np.zeros_like(mine), dtype)
        given = [both.tensors(values(shape, dtype, 10 * rank + i), dtype) for i in range(size)]
        dist.reduce_scatter(a, [x for x, _ in given])
        gloo.reduce_scatter(b, [y for _, y in given])
        both.check(f"reduce_scatter {what}", [a], [b])
    if dtype == "int16":
        return  # gloo has none
    a, b = both.tensors(mine, dtype)
    dist.broadcast(a, 1)
    gloo.broadcast(b, 1)
    both.check(f"broadcast {what}", [a], [b])
    pairs = [both.tensors(np.zeros_like(mine), dtype) for _ in range(size)]
    a, b = both.tensors(mine, dtype)
    dist.all_gather([x for x, _ in pairs], a)
    gloo.all_gather([y for _, y in pairs], b)
    both.check(f"all_gather {what}", [x for x, _ in pairs], [y for _, y in pairs])
    here = rank == 1
    pairs = [both.tensors(np.zeros_like(mine), dtype) for _ in range(size)]
    dist.gather(a, [x for x, _ in pairs] if here else None, dst=1)
    gloo.gather(b, [y for _, y in pairs] if here else None, dst=1)
    both.check(f"gather {what}", [x for x, _ in pairs], [y for _, y in pairs])
    given = [both.tensors(values(shape, dtype, 5 + i), dtype) for i in range(size)]
    a, b = both.tensors(np.zeros_like(mine), dtype)
    dist.scatter(a, [x for x, _ in given] if here else None, src=1)
    gloo.scatter(b, [y for _, y in given] if here else None, src=1)
    both.check(f"scatter {what}", [a], [b])
    pairs = [both.tensors(np.zeros_like(mine), dtype) for _ in range(size)]
    given = [both.tensors(values(shape, dtype, 10 * rank + i), dtype) for i in range(size)]
    dist.all_to_all([x for x, _ in pairs], [x for x, _ in given])
    gloo.all_to_all([y for _, y in pairs], [y for _, y in given])
    both.check(f"all_to_all {what}", [x for x, _ in pairs], [y for _, y in pairs])
    a, b = both.tensors(mine, dtype)
    other = rank ^ 1
    if other < size:
        x, y = both.tensors(np.zeros_like(mine), dtype)
        if rank < other:
            dist.send(a, other), gloo.send(b, other)
            dist.recv(x, other, tag=0), gloo.recv(y, other)
        else:
            assert dist.recv(x, other) == gloo.recv(y, other) == other
            dist.send(a, other), gloo.send(b, other)
        both.check(f"send and recv {what}", [x], [y])


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_every_collective_gives_what_gloo_gives(size: int, tmp_path: Any) -> None:
    for wrong, compared in run(every_collective, size, str(tmp_path)):
        assert not wrong
        assert compared > 500  # in vain otherwise


# ------------------------------------------------------------------------------ what always holds
def reductions(rank: int, size: int, algorithm: str) -> list[tuple[bytes, int]]:
    found = []
    for n in (0, 1, 2, size, 1000, 400_003):
        array = np.random.default_rng(rank).standard_normal(n).astype(np.float32)
        before = dist.group.WORLD.bytes_sent
        t = mg.tensor(array)
        dist.all_reduce(t, dist.ReduceOp.AVG)
        exact = np.mean(
            [np.random.default_rng(r).standard_normal(n).astype(np.float32) for r in range(size)], 0
        )
        assert np.allclose(t.numpy(), exact, atol=1e-6), algorithm
        found.append((t.numpy().tobytes(), dist.group.WORLD.bytes_sent - before))
    return found


@pytest.mark.parametrize("algorithm", ["ring", "naive", "tree"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_reduce_is_the_same_to_the_last_bit_on_every_rank(algorithm: str, size: int) -> None:
    options = dist.ShmOptions(all_reduce=algorithm, slot_bytes=1 << 16)
    found = run(reductions, size, algorithm, pg_options=options)
    for one in found[1:]:
        assert [data for data, _ in one] == [data for data, _ in found[0]]
    sent = [sum(one[i][1] for one in found) for i in range(len(found[0]))]
    sizes = [len(data) for data, _ in found[0]]
    # all ranks together: 2(N-1) times the bytes, in the ring and in the tree; N(N-1) in the naive
    factor = size * (size - 1) if algorithm == "naive" else 2 * (size - 1)
    assert sent == [factor * n for n in sizes]


def ring_traffic(rank: int, size: int) -> tuple[int, int]:
    t = mg.ones(size * 1000)
    dist.all_reduce(t)
    return dist.group.WORLD.bytes_sent, dist.group.WORLD.backend.links.pieces_sent


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_ring_sends_two_n_minus_one_nths_in_as_many_steps(size: int) -> None:
    for sent, steps in run(ring_traffic, size):
        assert sent == 2 * (size - 1) * size * 1000 * 4 // size
        assert steps == 2 * (size - 1)


def more_calls(rank: int, size: int) -> None:
    # whole tensors instead of lists
    out = mg.zeros(size, 2)
    dist.all_gather_into_tensor(out, mg.full((2,), float(rank)))
    assert out.tolist() == [[float(r)] * 2 for r in range(size)]
    part = mg.zeros(2)
    dist.reduce_scatter_tensor(part, mg.arange(2.0 * size))
    assert part.tolist() == [2.0 * rank * size, (2.0 * rank + 1) * size]
    rows = mg.full((size, 3), rank)
    got = mg.zeros(size, 3, dtype=mg.int64)
    dist.all_to_all_single(got, rows)
    assert got[:, 0].tolist() == list(range(size))
    # sizes that differ: rank r sends i + 1 rows to rank i
    given = mg.full((sum(range(1, size + 1)),), rank)
    got = mg.zeros(size * (rank + 1), dtype=mg.int64)
    dist.all_to_all_single(got, given, [rank + 1] * size, list(range(1, size + 1)))
    assert got.tolist() == [r for r in range(size) for _ in range(rank + 1)]
    # memory that is not contiguous is written to, and complex numbers are summed
    wide = mg.zeros(4, 6)
    dist.all_reduce(view := wide[:, ::2])
    view.fill_(1)
    dist.all_reduce(wide[:, ::2])
    assert wide.sum().item() == 12 * size and wide[:, 1].sum().item() == 0
    z = mg.tensor([1 + 2j])
    dist.all_reduce(z)
    assert z.item() == size * (1 + 2j)
    # bits
    bits = mg.tensor([1 << rank])
    dist.all_reduce(bits, dist.ReduceOp.BOR)
    assert bits.item() == (1 << size) - 1
    # an in-place change is counted
    version = bits._version
    dist.all_reduce(bits, dist.ReduceOp.MAX)
    assert bits._version > version


def messages(rank: int, size: int) -> None:
    right, left = (rank + 1) % size, (rank - 1) % size
    # all send first: nobody waits for the other's receive, however large
    for n in (1, 300_000):
        work = dist.isend(mg.full((n,), float(rank)), right)
        got = mg.zeros(n)
        dist.recv(got, left)
        assert work.wait() and got[-1].item() == left
    # tags, not the order
    if rank == 0:
        dist.send(mg.tensor(1), 1, tag=1)
        dist.send(mg.tensor(2), 1, tag=2)
    if rank == 1:
        a, b = mg.tensor(0), mg.tensor(0)
        second = dist.irecv(b, 0, tag=2)
        first = dist.irecv(a, 0, tag=1)
        assert first.wait() and second.wait() and (a.item(), b.item()) == (1, 2)
    # from anybody
    if rank == 0:
        senders = set()
        for _ in range(size - 1):
            t = mg.tensor(0)
            sender = dist.recv(t)
            assert t.item() == sender
            senders.add(sender)
        assert senders == set(range(1, size))
    else:
        dist.send(mg.tensor(rank), 0)
    dist.barrier()
    got = mg.tensor(0)
    ops = [dist.P2POp(dist.isend, mg.tensor(rank), right), dist.P2POp(dist.irecv, got, left)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    assert got.item() == left


def order_of_async(rank: int, size: int) -> None:
    tensors = [mg.full((1000,), float(i)) for i in range(20)]
    works = [dist.all_reduce(t, async_op=True) for t in tensors]
    dist.barrier()  # comes after all of them
    assert all(work.is_completed() for work in works)
    futures = [w.get_future().then(lambda f: f.value()[0][0].item()) for w in works]
    assert mg.futures.wait_all(futures) == [float(size * i) for i in range(20)]


def subgroups(rank: int, size: int) -> None:
    assert size == 4
    odd = dist.new_group([3, 1])
    if rank % 2:
        t = mg.tensor(rank)
        dist.all_reduce(t, group=odd)
        assert t.item() == 4
        assert dist.get_rank(odd) == rank // 2 and dist.get_world_size(odd) == 2
        dist.broadcast(t.fill_(rank), 3, odd)
        assert t.item() == 3
        assert dist.get_global_rank(odd, 1) == 3 and dist.get_group_rank(odd, 3) == 1
        assert dist.get_process_group_ranks(odd) == [1, 3]
        with pytest.raises(ValueError, match="not part of group"):
            dist.broadcast(t, 0, odd)
        dist.destroy_process_group(odd)
        with pytest.raises(ValueError, match="destroyed"):
            dist.barrier(odd)
    else:
        assert odd is dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(odd) == -1
        with pytest.warns(UserWarning, match="does not belong"):
            dist.all_reduce(mg.ones(1), group=odd)
    mine, every = dist.new_subgroups(2)
    t = mg.tensor(rank)
    dist.all_reduce(t, group=mine)
    assert t.item() == (1 if rank < 2 else 5) and len(every) == 2
    with pytest.raises(ValueError, match="new_group"):
        dist.new_group([0, 0])
    with pytest.raises(dist.DistBackendError, match="do not agree"):
        dist.new_group([0] if rank == 0 else [0, 1])


def objects(rank: int, size: int) -> None:
    thing = {"rank": rank, 3: (1.5, None, {"x"}), "tensor": mg.ones(rank), "text": "é" * rank}
    every: list[Any] = [None] * size
    dist.all_gather_object(every, thing)
    assert [one["rank"] for one in every] == list(range(size))
    assert every[1][3] == (1.5, None, {"x"}) and every[1]["tensor"].tolist() == [1.0]
    got: Any = [None] * size if rank == 1 else None
    dist.gather_object(thing["text"], got, dst=1)
    assert rank != 1 or got == ["é" * r for r in range(size)]
    pair = [1, "b"] if rank == 0 else [None, None]
    dist.broadcast_object_list(pair, 0)
    assert pair == [1, "b"]
    out: list[Any] = [None]
    dist.scatter_object_list(out, [[r] for r in range(size)] if rank == 0 else None, 0)
    assert out == [[rank]]
    if rank == 0:
        dist.send_object_list([{"a": 1}], 1)
    elif rank == 1:
        dist.recv_object_list(out, 0)
        assert out == [{"a": 1}]
    with pytest.raises(TypeError):  # nothing is executed on the other side: so no objects
        dist.all_gather_object(every, Both)


@pytest.mark.parametrize(
    "work, size",
    [(more_calls, 3), (messages, 3), (order_of_async, 2), (subgroups, 4), (objects, 3)],
    ids=lambda x: x.__name__ if callable(x) else str(x),
)  # fmt: skip
def test_in_processes(work: Any, size: int) -> None:
    run(work, size)


def test_one_process_alone() -> None:
    store = dist.HashStore()
    dist.init_process_group(store=store, rank=0, world_size=1)
    try:
        t = mg.tensor([1.0, 2.0])
        dist.all_reduce(t, dist.ReduceOp.AVG)
        dist.barrier()
        out = [mg.zeros(2)]
        dist.all_gather(out, t)
        assert out[0].tolist() == t.tolist() == [1.0, 2.0]
        assert dist.get_backend() == "shm" and dist.is_initialized()
        with pytest.raises(ValueError, match="twice"):
            dist.init_process_group(store=store, rank=0, world_size=1)
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="has not been initialized"):
        dist.get_rank()


# ------------------------------------------------------------------------------ disagreement
def disagree(rank: int, size: int, how: str) -> None:
    if how == "shape":
        dist.all_reduce(mg.ones(2 + (rank == 1)))
    elif how == "dtype":
        dist.broadcast(mg.ones(2, dtype=mg.float64 if rank == 2 else mg.float32), 0)
    elif how == "op":
        dist.all_reduce(mg.ones(2), dist.ReduceOp.MAX if rank else dist.ReduceOp.SUM)
    elif how == "call":
        dist.barrier() if rank else dist.all_reduce(mg.ones(2))
    elif how == "root":
        dist.broadcast(mg.ones(2), rank)
    elif how == "all_to_all":
        sizes = [1] * size if rank else [2] * size
        dist.all_to_all([mg.zeros(1)] * size, [mg.ones(n) for n in sizes])


def disagree_and_go_on(rank: int, size: int) -> list[str]:
    texts = []
    for how in ("shape", "dtype", "op", "call", "root", "all_to_all"):
        with pytest.raises(dist.DistBackendError, match="do not agree") as caught:
            disagree(rank, size, how)
        texts.append(str(caught.value))
    t = mg.ones(1)
    dist.all_reduce(t)  # nobody was left behind
    assert t.item() == size
    return texts


def test_ranks_that_disagree_all_hear_it_and_can_go_on() -> None:
    found = run(disagree_and_go_on, 3)
    for texts in zip(*found, strict=True):
        # the same lines about the three ranks; only the first may name the caller's own operation
        assert len({text.split("\n", 1)[1] for text in texts}) == 1
    assert "rank 1: all_reduce of 3 x float32" in found[0][0]


def bad_arguments(rank: int, size: int) -> None:
    t = mg.ones(2)
    with pytest.raises(TypeError, match="tensor.*ndarray"):
        dist.all_reduce(np.ones(2))
    with pytest.raises(TypeError, match="ReduceOp"):
        dist.all_reduce(t, "sum")
    with pytest.raises(RuntimeError, match="bits"):
        dist.all_reduce(t, dist.ReduceOp.BAND)
    with pytest.raises(RuntimeError, match="complex"):
        dist.all_reduce(mg.tensor([1j]), dist.ReduceOp.MAX)
    with pytest.raises(ValueError, match=f"tensor_list.*{size} tensors"):
        dist.all_gather([t], t)
    with pytest.raises(ValueError, match="not part of group"):
        dist.broadcast(t, 7)
    with pytest.raises(ValueError, match="must not be the rank of this process"):
        dist.send(t, rank)
    with pytest.raises(ValueError, match="P2POp"):
        dist.batch_isend_irecv([1])
    with pytest.raises(ValueError, match="split_sizes"):
        dist.all_to_all_single(t, t, [3] * size, [1] * size)
    with pytest.raises(TypeError, match="ProcessGroup"):
        dist.barrier("world")
    dist.barrier()


def test_bad_arguments_are_refused_before_anything_is_sent() -> None:
    run(bad_arguments, 2)


def late(rank: int, size: int) -> None:
    dist.barrier(timeout=20)
    if rank == 1:
        with pytest.raises(dist.DistTimeoutError, match="rank 0 did not answer.*2 s"):
            dist.monitored_barrier(timeout=2)
    else:
        time.sleep(4)


def test_a_barrier_with_a_timeout_of_its_own() -> None:
    run(late, 2)


def wrong_message(rank: int, size: int) -> None:
    if rank == 0:
        dist.send(mg.ones(3), 1)
    else:
        with pytest.raises(dist.DistBackendError, match=r"rank 0 has sent float32 of shape \(3,\)"):
            dist.recv(mg.ones(2), 0)


def test_a_message_of_another_shape_is_refused() -> None:
    run(wrong_message, 2)


# ------------------------------------------------------------------------------ meeting
def meet(rank: int, size: int, method: str, world: list[int]) -> int:
    dist.init_process_group(init_method=method, rank=rank, world_size=world[rank], timeout=2)
    n = dist.get_world_size()
    dist.destroy_process_group()
    return n


def slow_to_connect(rank: int, size: int, method: str) -> int:
    """Ranks 1 and 2 are connecting still, by the store of rank 0, when that one is done."""
    if rank == 2:
        from minigrad.distributed import mail

        call = mail.call

        def late_call(store: Any, other: int, *args: Any) -> Any:
            time.sleep(2.0 * other)
            return call(store, other, *args)

        mail.call = late_call
    dist.init_process_group(init_method=method, rank=rank, world_size=size, timeout=60)
    dist.destroy_process_group()
    return rank


def test_the_store_stays_until_all_are_connected() -> None:
    assert run(slow_to_connect, 3, f"tcp://127.0.0.1:{free_port()}", init=None) == [0, 1, 2]


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("scheme", ["tcp", "file"])
def test_wrong_world_sizes_and_missing_ranks_are_told_to_all(scheme: str, tmp_path: Any) -> None:
    def method(n: int) -> str:
        return f"tcp://127.0.0.1:{free_port()}" if scheme == "tcp" else f"file://{tmp_path}/{n}"

    assert run(meet, 3, method(0), [3, 3, 3], init=None) == [3, 3, 3]
    for one in Group(meet, 2, method(1), [2, 3], init=None).outcomes():
        assert isinstance(one, Failed) and "world_size: 2 on rank 0, 3 on rank 1" in one.text
    for one in Group(meet, 2, method(2), [3, 3], init=None).outcomes():
        assert isinstance(one, Failed) and "rank 2 of 3 did not come within 2 s" in one.text


def twice(rank: int, size: int, method: str) -> None:
    dist.init_process_group(init_method=method, rank=0 if rank == 0 else 1, world_size=2, timeout=2)


def test_two_processes_with_one_rank(tmp_path: Any) -> None:
    found = Group(twice, 3, f"file://{tmp_path}/x", init=None).outcomes()
    assert any(isinstance(one, Failed) and "call themselves rank 1" in one.text for one in found)


def test_a_port_in_use_and_a_stranger_on_it() -> None:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        for one in Group(meet, 2, f"tcp://127.0.0.1:{port}", [2, 2], init=None).outcomes():
            assert isinstance(one, Failed) and one.kind == "DistNetworkError"
            assert "in use" in one.text or "not the store of this job" in one.text


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="environment variable RANK expected"):
        dist.init_process_group()
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(ValueError, match="RANK should be a number, but is 'x'"):
        dist.init_process_group()
    with pytest.raises(ValueError, match="init_method"):
        dist.init_process_group(init_method="http://x")
    with pytest.raises(ValueError, match="needs the rank"):
        dist.init_process_group(init_method="tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="backend"):
        dist.init_process_group("carrier pigeon")
    with pytest.raises(ValueError, match="rank 3 of world_size 2"):
        dist.init_process_group(store=dist.HashStore(), rank=3, world_size=2)
    with pytest.raises(ValueError, match="timeout"):
        dist.init_process_group(timeout=-1)
