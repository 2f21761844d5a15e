"""The reducer: gradients to buckets, buckets to the other ranks, while backward goes on.

    backward     the hook of a parameter: its gradient is copied into its bucket, times 1/N
                 a bucket is full: its all-reduce is started, in the order of the buckets, which is
                 the same on every rank; the group's thread does it while backward computes
    at its end   wait for all buckets; the averages are the gradients

Parameters that a step does not use have no gradient to wait for. With find_unused_parameters they
are found after forward, by a walk from the outputs through the graph; what no rank has used keeps
the gradient that it had.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.node import AccumulateGrad, Node, edge_of, retire_accumulator
from ...core.tensor import Tensor, wrap
from ...core.views import fresh
from ...core.walk import queue_callback
from ...distributed import ReduceOp
from ...distributed.bucket import GradBucket
from .buckets import Bucket, assign_buckets

_UNFINISHED = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This"
    " error indicates that your module has parameters that were not used in producing loss:"
    " {names}.\n  help: pass find_unused_parameters=True to DistributedDataParallel, and make sure"
    " that all outputs of forward take part in the loss"
)


class Reducer:
    """Averages the gradients of `parameters` over the ranks of `group` during backward."""

    def __init__(
        self, parameters: list[Tensor], names: list[str], group: Any, *, cap: int, first_cap: int,
        view: bool, find_unused: bool, static_graph: bool,
    ):  # fmt: skip
        self.parameters, self.names, self.group = parameters, names, group
        self.view, self.find_unused, self.static_graph = view, find_unused, static_graph
        self.buckets = [
            Bucket(i, members, parameters)
            for i, members in enumerate(assign_buckets(parameters, [first_cap, cap]))
        ]
        self.bucket_of = {i: b for b in self.buckets for i in b.members}
        self.divisor = group.size()
        self.hook: Callable[[GradBucket], Any] | None = None
        self.expecting = self.running = self._finished = False
        self.used = np.zeros(len(parameters), np.int32)  # by this rank, since the last sync
        self.static_unused: set[int] | None = None
        self._had: list[bool] = []
        self._handles = [
            p.register_post_accumulate_grad_hook(functools.partial(self._arrived, i))  # type: ignore[attr-defined]
            for i, p in enumerate(parameters)
        ]

    # ------------------------------------------------------------ a step
    def check_finished(self) -> None:
        """RuntimeError if the last backward has not reached all parameters."""
        if self.expecting and self.running:
            missing = [self.names[i] for b in self.buckets for i in sorted(b.pending)]
            raise RuntimeError(_UNFINISHED.format(names=", ".join(missing) or "none"))

    def renew(self) -> None:
        """Before forward: let the gradients of the coming backward arrive as early as they can.

        A leaf's AccumulateGrad node lives as long as a graph that uses it, and a loop holds the
        loss of the last step until it has the new one. The walk takes nodes by age, so a node from
        the last step would come after all others, and every gradient at the very end of backward.
        After a finished step the new graph makes new ones.
        """
        if self._finished:
            self._finished = False
            for p in self.parameters:
                retire_accumulator(p)

    def prepare(self, outputs: list[Tensor]) -> None:
        """After forward: a backward is to come whose gradients are averaged."""
        self.expecting, self.running, self.next = True, False, 0
        self._had = [p._grad is not None for p in self.parameters]
        for bucket in self.buckets:
            bucket.start(fresh=not self.view)
        unused: set[int] = set()
        if self.static_graph:
            unused = self.static_unused or set()
        elif self.find_unused:
            reached = reachable(outputs)
            unused = {i for i, p in enumerate(self.parameters) if p not in reached}
        self._unused = unused
        for i in sorted(unused):
            self._fill(i, None)

    def skip(self) -> None:
        """A backward is to come whose gradients stay here (no_sync)."""
        self.expecting = self.running = False

    def _arrived(self, i: int, parameter: Tensor) -> None:
        """The hook of parameter i: its gradient is complete."""
        self.used[i] = 1
        if not self.expecting:
            return
        if not self.running:
            self.running = True
            queue_callback(self._finish)
        bucket = self.bucket_of[i]
        if i not in bucket.pending:
            hint = (
                "its use differs from that of the first step, but static_graph=True was promised"
                if self.static_graph
                else "it is used outside forward, or in several forward calls before one backward"
            )
            raise RuntimeError(
                f"Expected to mark a variable ready only once: {self.names[i]!r}: {hint}"
            )
        self._fill(i, parameter)

    def _fill(self, i: int, parameter: Tensor | None) -> None:
        """Gradient i (zeros for None) into its bucket; a full bucket, and those after it that have
        waited for it, are sent off.
        """
        bucket = self.bucket_of[i]
        place = bucket.view(i)
        factor = 1.0 if self.hook is not None else 1.0 / self.divisor  # a hook divides itself
        if parameter is None:
            place.fill(0)
        elif factor == 1.0:
            place[...] = parameter._grad._data  # type: ignore[union-attr]
        else:
            np.multiply(parameter._grad._data, place.dtype.type(factor), out=place)  # type: ignore[union-attr]
        bucket.pending.discard(i)
        if self.static_graph and self.static_unused is None:
            return  # the first step finds out who is used, and only then sends
        self._launch_ready()

    def _launch_ready(self) -> None:
        while self.next < len(self.buckets) and not self.buckets[self.next].pending:
            bucket = self.buckets[self.next]
            self.next += 1
            bucket.launched = self._launch(bucket)

    def _launch(self, bucket: Bucket) -> Any:
        """Start averaging; what can be waited for."""
        if self.hook is not None:
            last = bucket.index == len(self.buckets) - 1
            given = GradBucket(bucket.index, bucket.array, bucket.parameters, bucket.ends, last)
            return self.hook(given)
        backend, array = self.group.backend, bucket.array
        return self.group.lane.submit(lambda: backend.all_reduce(array, ReduceOp.SUM))

    def _finish(self) -> None:
        """The end of backward: all averages are there."""
        if self.static_graph and self.static_unused is None:
            self.static_unused = {i for b in self.buckets for i in b.pending}
            self._unused = self.static_unused
            for i in sorted(self.static_unused):
                self._fill(i, None)
            self._launch_ready()
        if any(b.launched is None for b in self.buckets):
            return  # check_finished tells, when the next step begins
        everywhere = self._unused_everywhere()
        for bucket in self.buckets:
            result = bucket.launched.wait()
            if isinstance(result, Tensor) and result._data is not bucket.array:
                bucket.array[...] = result._data.reshape(-1)
            bucket.launched = None
        for i, p in enumerate(self.parameters):
            if i not in everywhere:
                self._give(i, p)
        self.expecting = self.running = False
        self._finished = True
        self.used[...] = 0

    def _give(self, i: int, p: Tensor) -> None:
        """The average becomes the gradient: as a view of the bucket if nobody held the old one."""
        view = self.bucket_of[i].view(i)
        if self.view or not self._had[i] or p._grad is None:
            p._grad = wrap(view)
        else:
            p._grad._data[...] = view
            p._grad._bump()

    def _unused_everywhere(self) -> set[int]:
        """Parameters that no rank has used; only asked for where that may be."""
        if not (self.find_unused or (self.static_graph and self._unused)):
            return set()
        used, backend = self.used.copy(), self.group.backend
        self.group.lane.submit(lambda: backend.all_reduce(used, ReduceOp.SUM)).wait()
        return set(np.flatnonzero(used == 0).tolist())

    # ------------------------------------------------------------ for ranks that have joined
    def mirror(self) -> None:
        """Take part in the averages of one step with zeros."""
        for bucket in self.buckets:
            bucket.start(fresh=not self.view)
            bucket.array.fill(0)
            bucket.launched = self._launch(bucket)
        if self.find_unused:
            nothing = np.zeros(len(self.parameters), np.int32)
            self.group.lane.call(lambda: self.group.backend.all_reduce(nothing, ReduceOp.SUM))
        for bucket in self.buckets:
            bucket.launched.wait()
            bucket.launched = None


def reachable(outputs: list[Tensor]) -> set[Tensor]:
    """The leaves that the gradients of these tensors would reach."""
    found: set[Tensor] = set()
    stack: list[Node] = [edge_of(fresh(t))[0] for t in outputs if t.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if type(node) is AccumulateGrad:
            found.add(node.variable)
        for edge in node.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return found
