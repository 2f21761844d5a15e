"""Pinned memory, copies that are not waited for, and batches that arrive in it."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.utils import data

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))


def test_pinned_tensors(device: Any) -> None:
    x = mg.arange(6.0).reshape(2, 3)
    y = x.pin_memory()
    assert not x.is_pinned() and y.is_pinned() and y.tolist() == x.tolist()
    assert y.pin_memory() is y and y[1:].is_pinned() and not y.clone().is_pinned()
    assert mg.zeros(0, 3).pin_memory().shape == (0, 3)
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        x.cuda().pin_memory()


def test_without_a_gpu_nothing_is_pinned() -> None:
    x = mg.ones(2)
    assert x.pin_memory() is x and not x.is_pinned()


def test_copies_to_the_gpu_that_are_not_waited_for(device: Any) -> None:
    x = mg.arange(6.0).reshape(2, 3)
    pinned, writes = x.pin_memory(), MACHINE.writes
    there = [pinned.to("cuda", non_blocking=True), pinned.cuda(non_blocking=True)]
    there.append(mg.zeros(2, 3, device="cuda").copy_(pinned, non_blocking=True))
    assert MACHINE.writes == writes
    assert all(t.tolist() == x.tolist() for t in there)
    x.to("cuda", non_blocking=True)  # pageable memory: CUDA waits
    pinned.to("cuda")
    assert MACHINE.writes == writes + 2


def test_copies_to_main_memory_that_are_not_waited_for(device: Any) -> None:
    x, reads = mg.arange(4.0).cuda() * 2, MACHINE.reads
    y = x.to("cpu", non_blocking=True)
    assert MACHINE.reads == reads and y.is_pinned()
    assert np.isnan(y.numpy()).all()  # what is read now is not there yet
    mg.cuda.synchronize()
    assert y.tolist() == [0.0, 2.0, 4.0, 6.0]
    into = mg.zeros(4)
    into.copy_(x, non_blocking=True)
    assert into.tolist() == y.tolist()


def test_gradients_cross_such_a_copy(device: Any) -> None:
    x = mg.ones(3).pin_memory().requires_grad_()
    (x.to("cuda", non_blocking=True) * 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0] * 3


def test_a_graph_reads_pinned_memory_anew(device: Any) -> None:
    host = mg.ones(3).pin_memory()
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        y = host.to("cuda", non_blocking=True) * 2
    for value in (3.0, 5.0):
        host.fill_(value)
        graph.replay()
        assert y.tolist() == [2 * value] * 3


# ------------------------------------------------------------------------------ batches
Pair = namedtuple("Pair", "x y")


class Rows(data.Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        return {"row": mg.full((2,), float(i)), "pair": Pair(i, 2 * i), "name": str(i)}


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_pinned(device: Any, workers: int) -> None:
    options = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
    loader = data.DataLoader(Rows(), 2, pin_memory=True, num_workers=workers, **options)
    for _ in range(2):
        seen = []
        for batch in loader:
            assert batch["row"].is_pinned() and batch["pair"].y.is_pinned()
            assert type(batch["pair"]) is Pair and isinstance(batch["name"][0], str)
            there = batch["row"].to("cuda", non_blocking=True)
            seen += there[:, 0].tolist()
        assert seen == [float(i) for i in range(8)]
    next(iter(loader))  # one that is left half-way does not disturb the next
    assert len(list(loader)) == 4
    if loader._pinning is not None:
        loader._pinning.close()


def test_errors_of_a_data_set_reach_the_reader(device: Any) -> None:
    class Broken(Rows):
        def __getitem__(self, i: int) -> Any:
            raise KeyError("row")

    with pytest.raises(KeyError):
        next(iter(data.DataLoader(Broken(), 2, pin_memory=True)))


def test_a_batch_with_a_method_of_its_own(device: Any) -> None:
    class Batch:
        pinned = False

        def pin_memory(self) -> Any:
            self.pinned = True
            return self

    loader = data.DataLoader(Rows(), 2, pin_memory=True, collate_fn=lambda rows: Batch())
    assert next(iter(loader)).pinned
