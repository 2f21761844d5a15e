"""Measuring on a GPU, in the words that minigrad and PyTorch share.

Times are the GPU's, by events around as many calls as take a millisecond, after a warm-up. Inputs
of an op exist several times and are taken in turn, so that they do not stay in the cache. What a
workload could take at best is found from the bytes it has to move and the operations it has to do,
at rates that are measured in the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .measure import LEAST, MEASURED_STEPS, SAMPLE, WARM_STEPS

MOST_COPIES = 16
PEAK_BYTES, PEAK_SIZE = 1 << 28, 8192


def missing() -> str | None:
    """Why nothing can be measured on a GPU here, or None."""
    from minigrad.backend.devices import require_cuda

    try:
        require_cuda("measuring with --device cuda")
    except RuntimeError as error:
        return str(error)
    return None


def choose(lib: Any, device: str) -> None:
    """Let the library make its tensors there; RuntimeError if it has no such device."""
    if not lib.cuda.is_available():
        raise RuntimeError(f"{lib.__name__} {lib.__version__} finds no CUDA device")
    lib.set_default_device(device)


def flags(lib: Any) -> dict[str, Any]:
    """What decides how a library computes, and has to stand beside its figures."""
    matmul = lib.get_float32_matmul_precision()
    found = {"device": lib.cuda.get_device_name(), "float32 products": matmul}
    if lib.__name__ == "torch":
        cudnn = lib.backends.cudnn
        found["CUDA"] = lib.version.cuda
        found["tf32 convolutions"], found["cudnn.benchmark"] = cudnn.allow_tf32, cudnn.benchmark
        found["optimizers"] = "foreach (not fused)"
        found["images"] = "contiguous (not channels_last)"
    else:
        found["optimizers"] = "one kernel"
    return found


def in_use(lib: Any) -> int:
    """Bytes of GPU memory."""
    return lib.cuda.memory_allocated()


def copies(lib: Any, size: int) -> int:
    """How many workloads of so many bytes do not fit into the cache together."""
    cache = lib.cuda.get_device_properties(0).L2_cache_size
    return min(MOST_COPIES, max(1, math.ceil(2 * cache / max(size, 1))))


def milliseconds(lib: Any, runs: Sequence[Callable[[], Any]], calls: int) -> float:
    """The GPU's time for so many calls, of each in turn."""
    start, end = (lib.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for i in range(calls):
        runs[i % len(runs)]()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def seconds_per_call(
    lib: Any, runs: Sequence[Callable[[], Any]], budget: float
) -> tuple[float, float]:
    """The median and the least of as many samples as fit into `budget` seconds of the GPU's time;
    a sample takes a millisecond or one call. A fifth of the budget goes before, untimed.
    """
    spent, calls, size = 0.0, 0, len(runs)
    while spent < budget / 5:
        spent += milliseconds(lib, runs, size) * 1e-3
        calls += size
        size *= 2
    count = max(1, round(SAMPLE * calls / max(spent, 1e-9)))
    samples: list[float] = []
    spent = 0.0
    while len(samples) < LEAST or spent < budget:
        sample = milliseconds(lib, runs, count) * 1e-3
        spent += sample
        samples.append(sample / count)
    return float(np.median(samples)), min(samples)


def peak_of_steps(lib: Any, run: Callable[[], Any]) -> dict[str, int]:
    """The most GPU memory in use during steps that have warmed up: `peak`, and `above` what was in
    use between them.
    """
    for _ in range(WARM_STEPS):
        run()
    lib.cuda.synchronize()
    lib.cuda.reset_peak_memory_stats()
    before = in_use(lib)
    for _ in range(MEASURED_STEPS):
        run()
    lib.cuda.synchronize()
    peak = lib.cuda.max_memory_allocated()
    return {"peak": peak, "above": peak - before}


# ------------------------------------------------------------------------------ the roofline
def peaks(lib: Any, size: int = PEAK_SIZE, memory: int = PEAK_BYTES) -> dict[str, float]:
    """Bytes a second of a large copy, and operations a second of a large product in float32, as the
    library's flags have it.
    """
    with lib.no_grad():
        x, y = (lib.zeros(memory // 4, device="cuda") for _ in range(2))
        moved = seconds_per_call(lib, [lambda: y.copy_(x)], 0.1)[1]
        a, b = (lib.zeros(size, size, device="cuda") for _ in range(2))
        multiplied = seconds_per_call(lib, [lambda: a @ b], 0.1)[1]
    return {"bytes": 2 * memory / moved, "flops": 2 * size**3 / multiplied}


def flops(lib: Any, run: Callable[[], Any]) -> float:
    """Operations of products, convolutions and attention in one call, forward and backward, counted
    by PyTorch; 0 in another library.
    """
    if lib.__name__ != "torch":
        return 0.0
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def share(seconds: float, work: dict[str, float], peaks: dict[str, float]) -> float | None:
    """The least time of the work over the time that it took: 1 is as fast as the GPU can be."""
    least = max(work["bytes"] / peaks["bytes"], work["flops"] / peaks["flops"])
    return least / seconds if least else None
