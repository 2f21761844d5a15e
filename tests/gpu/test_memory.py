"""Memory on the stand-in for a GPU: what is counted, and what is said when there is none left."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import minigrad as mg
from minigrad.backend import graphs, philox

from .fake_cupy import Stream
from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))

KIB = 1024


def test_what_is_in_use_and_the_most_that_was(device: Any) -> None:
    assert mg.cuda.memory_allocated() == mg.cuda.max_memory_allocated() == 0
    x = mg.zeros(256, 64, device="cuda")
    y = mg.zeros(100, device="cuda")
    assert mg.cuda.memory_allocated() == 64 * KIB + 512  # in units of 512 bytes
    del y
    assert mg.cuda.memory_allocated() == 64 * KIB
    assert mg.cuda.max_memory_allocated() == 64 * KIB + 512
    mg.cuda.reset_peak_memory_stats()
    assert mg.cuda.max_memory_allocated() == 64 * KIB
    assert mg.cuda.memory_reserved() >= mg.cuda.memory_allocated()
    del x
    stats = mg.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == stats["allocation.all.current"] == 0
    assert stats["allocated_bytes.all.peak"] == 64 * KIB
    assert stats["allocated_bytes.all.allocated"] == stats["allocated_bytes.all.freed"]
    assert stats["allocation.all.allocated"] == 2 and stats["num_ooms"] == 0
    mg.cuda.reset_accumulated_memory_stats()
    assert mg.cuda.memory_stats()["allocation.all.allocated"] == 0


def test_the_memory_of_graphs_counts(device: Any) -> None:
    x = mg.ones(1000, device="cuda")
    before = mg.cuda.memory_allocated()
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        y = x * 2
    assert mg.cuda.memory_allocated() == before + 4096
    del y
    assert mg.cuda.memory_allocated() == before


def test_a_graph_that_cannot_begin_leaves_all_as_it_was(device: Any) -> None:
    default = mg.cuda.default_stream()
    for begin in (
        mg.cuda.CUDAGraph().capture_begin,
        mg.cuda.graph(mg.cuda.CUDAGraph(), stream=default).__enter__,
    ):
        with pytest.raises(RuntimeError, match="cannot capture on the default"):
            begin()
        assert not graphs._noting and not philox._noting
        assert not MACHINE.allocators and not Stream.current


def test_out_of_memory_says_what_held_it(device: Any) -> None:
    MACHINE.pool.set_limit(1 << 21)
    weight = mg.nn.Parameter(mg.zeros(300, 400, device="cuda"))
    mg.cuda.memory._record_memory_history()
    hidden = (weight * 2).exp()
    mg.cuda.memory._record_memory_history(None)
    with pytest.raises(mg.cuda.OutOfMemoryError) as caught:
        mg.empty(500, 1000, device="cuda")
    message = str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert "Tried to allocate 1.91 MiB. GPU 0 has a total capacity of 16.00 GiB" in message
    assert "the 2 largest of 2 blocks" in message
    assert "float32 (300, 400), parameter" in message
    assert "saved for ExpBackward0" in message and "made at" in message
    stats = mg.cuda.memory_stats()
    assert stats["num_ooms"] == stats["num_alloc_retries"] == 1
    assert hidden.shape == (300, 400)
    del hidden
    mg.empty(300, 400, device="cuda")  # what has been freed can be had


def test_garbage_is_collected_before_giving_up(device: Any) -> None:
    MACHINE.pool.set_limit(1 << 20)
    cycle: list[Any] = [mg.zeros(200, 1000, device="cuda")]
    cycle.append(cycle)
    del cycle
    mg.zeros(150, 1000, device="cuda")
    assert mg.cuda.memory_stats()["num_alloc_retries"] == 1


def test_summary_and_snapshot(device: Any) -> None:
    x = mg.zeros(10, 64, device="cuda")
    text = mg.cuda.memory_summary()
    assert "Allocated memory" in text and "2.50 KiB" in text
    assert "float32 (10, 64), tensor" in text
    assert [b["size"] for b in mg.cuda.memory_snapshot()] == [2560]
    assert x.shape == (10, 64)


def test_blocks_may_be_freed_while_they_are_listed(device: Any) -> None:
    gc.disable()
    try:
        held = [mg.zeros(1, device="cuda") for _ in range(1500)]
        gc.collect()
        cycle: list[Any] = [mg.zeros(1, device="cuda")]
        cycle.append(cycle)
        del cycle
    finally:
        gc.enable()
    # the tuples of a list this long make it due to collect garbage: the cycle, with its block
    assert len(mg.cuda.memory_snapshot()) in (len(held), len(held) + 1)


def test_without_a_gpu_there_is_nothing() -> None:
    assert mg.cuda.memory_allocated() == mg.cuda.max_memory_reserved() == 0
    assert mg.cuda.memory_stats() == {}
    assert "Allocated memory" in mg.cuda.memory_summary()
