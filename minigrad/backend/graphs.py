"""CUDA graphs: GPU work that is noted once and started again as a whole, at the cost of one launch.

    g = cuda.CUDAGraph()
    with cuda.graph(g):
        y = model(x)            # noted, not computed
    x.copy_(new); g.replay()    # computed from what x holds now, into the same y

The work is what the GPU was asked to do, with the addresses that it was asked with: Python does not
run again. So inputs have to be kept, and written into the tensors that were there; results lie
where they lay, and reading a number while noting is an error. Memory that is asked for while noting
comes from a pool of the graph's own and stays there as long as the graph does: blocks that went
back to the common pool would be given to others, and overwritten by every replay. Random numbers of
kernels are others in every replay, those that would be drawn without the graph (philox.py).

Run the work once before noting it: kernels are compiled, and workspaces made, on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..export import export
from . import allocator, philox
from .devices import cuda_is_available, cuda_module, require_cuda


@export("cuda.CUDAGraph")
class CUDAGraph:
    """Work that `cuda.graph` has noted. RuntimeError without a GPU, and for a replay of nothing."""

    def __init__(self, keep_graph: bool = False):
        require_cuda("CUDAGraph")
        self._graph: Any = None
        self._pool: Any = None
        self._noted = philox.Noted()
        self.before: list[Callable[[], None]] = []
        self.kept: list[Any] = []
        self._entered: list[Any] = []

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Note what the current stream is asked to do from now on. `pool`: of another graph, whose
        memory this one may use if the two never run at once.
        """
        cuda = cuda_module().cuda
        pool = cuda.MemoryPool() if pool is None else pool
        inside = cuda.using_allocator(allocator.counted(pool.malloc, cuda_module()))
        cuda.get_current_stream().begin_capture()  # first: if it raises, all is as it was
        inside.__enter__()
        self._entered.append(inside)
        self._pool = pool
        self._noted = philox.Noted()
        self.before = [self._noted.advance]
        _noting.append(self)
        philox.begin(self._noted)

    def capture_end(self) -> None:
        """Stop noting."""
        try:
            self._graph = cuda_module().cuda.get_current_stream().end_capture()
        finally:
            philox.end(self._noted)
            _noting.remove(self)
            self._entered.pop().__exit__(None, None, None)

    def replay(self) -> None:
        """Start the work on the current stream."""
        if self._graph is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        for tell in self.before:
            tell()
        self._graph.launch()

    def pool(self) -> Any:
        """The memory of this graph, for `capture_begin` of another."""
        return self._pool

    def reset(self) -> None:
        """Forget the work, and give its memory back."""
        self._graph = self._pool = None
        self._noted, self.before, self.kept = philox.Noted(), [], []


_noting: list[CUDAGraph] = []
"""The graphs that are being noted, the innermost last."""


def before_replay(tell: Callable[[], None]) -> bool:
    """Whether work is being noted; then `tell` is called before every replay. It lets the device
    know of what has changed in main memory since: a learning rate.
    """
    if _noting:
        _noting[-1].before.append(tell)
    return bool(_noting)


def keep(what: Any) -> bool:
    """Whether work is being noted; then `what` lives as long as the graph does."""
    if _noting:
        _noting[-1].kept.append(what)
    return bool(_noting)


@export("cuda.graph")
class graph:
    """`with cuda.graph(g):` note the GPU work of the block in the CUDAGraph `g`.

    pool, capture_error_mode  as for `CUDAGraph.capture_begin`
    stream                    the cuda.Stream that is noted (default: a new one)
    """

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Any = None,
        stream: Any = None,
        capture_error_mode: str = "global",
    ):
        self.cuda_graph, self.mempool, self.mode = cuda_graph, pool, capture_error_mode
        cuda = cuda_module().cuda
        self.stream = cuda.Stream(non_blocking=True) if stream is None else stream.raw

    def __enter__(self) -> None:
        cuda_module().cuda.Device().synchronize()  # nothing that came before is noted
        self.stream.__enter__()
        try:
            self.cuda_graph.capture_begin(self.mempool, self.mode)
        except Exception:
            self.stream.__exit__(None, None, None)
            raise

    def __exit__(self, *exc: object) -> None:
        try:
            self.cuda_graph.capture_end()
        except Exception:
            if exc[0] is None:  # else CUDA says again that what failed has failed
                raise
        finally:
            self.stream.__exit__(*exc)


@export("cuda.is_current_stream_capturing")
def is_current_stream_capturing() -> bool:
    """Whether work is being noted; False without a GPU."""
    return cuda_is_available() and cuda_module().cuda.get_current_stream().is_capturing()
