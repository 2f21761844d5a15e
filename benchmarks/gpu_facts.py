"""What has to be found out on the first machine with a GPU: `python -m benchmarks.gpu_facts`.

docs/gpu.md says what nobody has seen run yet. Each fact below is a function that measures or checks
one thing and returns it as text; one that fails says so and the others go on. The whole takes
minutes. Without CuPy, a driver or a device the script says what is missing and ends with 1.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend.devices import cuda_module, require_cuda
from minigrad.backend.dtypes import numpy_dtype
from minigrad.kernels.cuda import launch, rows
from minigrad.kernels.cuda.elementwise import elementwise
from minigrad.kernels.cuda.source import Source

MEGA = 1 << 20
REPEATS = 20


def milliseconds(work: Callable[[], Any]) -> float:
    """The GPU's time for one call, by events, after a warm-up."""
    cuda = cuda_module().cuda
    for _ in range(3):
        work()
    start, end = cuda.Event(), cuda.Event()
    start.record()
    for _ in range(REPEATS):
        work()
    end.record()
    end.synchronize()
    return cuda.get_elapsed_time(start, end) / REPEATS


def host_microseconds(work: Callable[[], Any], calls: int = 300) -> float:
    """The host's time for one call that does not wait for the GPU."""
    work()
    cuda_module().cuda.Device().synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    elapsed = time.perf_counter() - start
    cuda_module().cuda.Device().synchronize()
    return elapsed / calls * 1e6


def _bandwidth(bytes_moved: int, work: Callable[[], Any]) -> str:
    ms = milliseconds(work)
    return f"{ms * 1e3:.1f} us, {bytes_moved / ms / 1e6:.0f} GB/s"


# ------------------------------------------------------------------------------ facts
def versions() -> str:
    cupy = cuda_module()
    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"].decode()
    return (
        f"{name}, driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}, "
        f"CuPy {cupy.__version__}"
    )


def kernels_agree_with_formulas() -> str:
    """gelu and softmax by the generated kernels, on the GPU, against the CPU."""
    x = mg.randn(257, 1000)
    worst = 0.0
    for function in (
        mg.nn.functional.gelu,
        lambda t: mg.softmax(t, -1),
        lambda t: mg.log_softmax(t, -1),
    ):
        here, there = x.clone().requires_grad_(), x.cuda().requires_grad_()
        for t in (here, there):
            (function(t) ** 2).sum().backward()
        pairs = ((function(here), function(there)), (here.grad, there.grad))
        worst = max([worst, *[float((a - b.cpu()).abs().max().detach()) for a, b in pairs]])
    return f"largest difference {worst:.1e}"


def copy_bandwidth() -> str:
    cupy = cuda_module()
    x, y = cupy.zeros(64 * MEGA, "f4"), cupy.empty(64 * MEGA, "f4")
    return _bandwidth(2 * x.nbytes, lambda: cupy.copyto(y, x))


def elementwise_bandwidth() -> str:
    """Flat kernels in float32 and bfloat16; the share of `copy_bandwidth` is what counts."""
    cupy = cuda_module()
    found = []
    for dtype in ("float32", "bfloat16"):
        source = elementwise(_gelu, "gelu_tanh", (dtype,))
        kind = numpy_dtype(getattr(mg, dtype))
        x, y = cupy.zeros(64 * MEGA, kind), cupy.empty(64 * MEGA, kind)
        grid = (launch.blocks(x.size, 256 * 16 // x.itemsize),)
        work = functools.partial(launch.start, source, grid, [np.int64(x.size), x, y])
        found.append(f"{dtype} {_bandwidth(2 * x.nbytes, work)}")
    return "; ".join(found)


def _gelu(x: Any) -> Any:
    raise NotImplementedError  # its scalar form stands in kernels/cpu/formulas.py


def row_bandwidth() -> str:
    cupy = cuda_module()
    x = cupy.zeros((8192, 768), "f4")
    y, mean, rstd = cupy.empty_like(x), cupy.empty(8192, "f4"), cupy.empty(8192, "f4")
    weight = cupy.ones(768, "f4")
    norm: Source = rows.norm("float32", 768)
    arguments = [np.int64(8192), np.int32(768), x, weight, weight, np.float32(1e-5), y, mean, rstd]
    grid = (launch.blocks(8192, 8),)
    return "layer norm " + _bandwidth(2 * x.nbytes, lambda: launch.start(norm, grid, arguments))


def cross_entropy_bandwidth() -> str:
    cupy = cuda_module()
    x, target = cupy.zeros((8192, 50304), "f4"), cupy.zeros(8192, "i8")
    return _bandwidth(x.nbytes, lambda: launch.cross_entropy(x, target, -100, 0.0))


def adam_bandwidth() -> str:
    """28 bytes for each of GPT-2's 124 M parameters, in 148 tensors."""
    sizes = [124_439_808 // 148] * 148
    params = [mg.nn.Parameter(mg.zeros(n, device="cuda")) for n in sizes]
    optimizer = mg.optim.AdamW(params)
    for p in params:
        p.grad = mg.zeros_like(p)
    return _bandwidth(28 * sum(sizes), optimizer.step)


def host_time_of_a_launch() -> str:
    cupy = cuda_module()
    x = cupy.zeros(1024, "f4")
    t = mg.zeros(1024, device="cuda")
    raw = elementwise(_gelu, "gelu_tanh", ("float32",))
    launched = host_microseconds(lambda: launch.start(raw, (1,), [np.int64(1024), x, x]))
    return (
        f"cupy add {host_microseconds(lambda: x + x):.1f} us, RawKernel {launched:.1f}, "
        f"minigrad add {host_microseconds(lambda: t + t):.1f}"
    )


def graph_replay() -> str:
    """Microseconds for each kernel of a replayed graph."""
    cupy = cuda_module()
    x = cupy.zeros(1024, "f4")
    raw = elementwise(_gelu, "gelu_tanh", ("float32",))
    found = []
    for nodes in (10, 100, 300):
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            launch.start(raw, (1,), [np.int64(1024), x, x])
            stream.begin_capture()
            for _ in range(nodes):
                launch.start(raw, (1,), [np.int64(1024), x, x])
            graph = stream.end_capture()
            found.append(f"{nodes}: {milliseconds(graph.launch) * 1e3 / nodes:.2f}")
    return ", ".join(found)


def cublas_in_a_capture() -> str:
    """CuPy refuses it: the reason for calling cuBLASLt directly."""
    cupy = cuda_module()
    x = cupy.zeros((64, 64), "f4")
    _ = x @ x
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            _ = x @ x
        except NotImplementedError as error:
            return f"refused: {error}"
        finally:
            stream.end_capture()
    return "works"


def training_step() -> str:
    """An MLP's step as it is, and PyTorch's, if it is there."""
    found = [f"minigrad {_mlp_step(mg):.0f} us"]
    try:
        import torch
    except ImportError:
        return found[0]
    tf32 = torch.backends.cuda.matmul.allow_tf32
    found.append(f"torch {torch.__version__} {_mlp_step(torch):.0f} us (tf32 {tf32}, foreach Adam)")
    return ", ".join(found)


def _mlp_step(library: Any) -> float:
    nn = library.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).to("cuda")
    optimizer = library.optim.Adam(model.parameters())
    x = library.randn(128, 784).to("cuda")
    target = library.zeros(128, dtype=library.int64).to("cuda")

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    for _ in range(5):
        step()
    library.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(50):
        step()
    library.cuda.synchronize()
    return (time.perf_counter() - start) / 50 * 1e6


FACTS = (
    versions, kernels_agree_with_formulas, copy_bandwidth, elementwise_bandwidth, row_bandwidth,
    cross_entropy_bandwidth, adam_bandwidth, host_time_of_a_launch, graph_replay,
    cublas_in_a_capture, training_step,
)  # fmt: skip


def main() -> int:
    try:
        require_cuda("this script")
    except RuntimeError as error:
        print(error)
        return 1
    failed = 0
    for fact in FACTS:
        try:
            said = fact()
        except Exception as error:  # one fact less, the others are worth having
            failed += 1
            said = f"FAILED: {type(error).__name__}: {str(error)[:500]}"
        print(f"{fact.__name__}: {said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
