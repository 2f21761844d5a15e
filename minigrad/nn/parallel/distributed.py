"""DistributedDataParallel: one model in every process, one average gradient.

dist.init_process_group()
model = DistributedDataParallel(model)
optimizer = optim.SGD(model.parameters(), lr=0.1)     # after wrapping
for x, y in loader:                                   # with a DistributedSampler
    loss(model(x), y).backward()                      # gradients are averaged here
    optimizer.step()
save(model.module.state_dict(), path)                 # on rank 0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...backend.devices import array_module
from ...core.modes import MODE
from ...core.tensor import Tensor, wrap
from ...core.trees import flatten
from ...distributed import DistBackendError, all_gather_object, collectives
from ...distributed.algorithms.join import Join, Joinable, JoinHook
from ...distributed.group import resolve
from ...distributed.reduce_op import ReduceOp
from ..module import Module
from .reducer import Reducer

FIRST_BUCKET = 1 << 20


class DistributedDataParallel(Module, Joinable):
    """The module, trained by several processes: its gradients are averaged during backward.

    At construction the parameters' shapes are compared and the state of rank 0 is taken over.

    bucket_cap_mb: gradients travel in buckets of so many MiB (25), the first one of 1 MiB, last
    layers first. broadcast_buffers (unless False): before each forward the buffers become those of
    rank 0.
    find_unused_parameters: forward may leave out parameters, others in each step and on each rank.
    static_graph: it always leaves out the same. gradient_as_bucket_view: gradients share the
    buckets' memory, from step to step. process_group: the default group.

    RuntimeError if no parameter requires a gradient, or if the last backward has not reached all;
    DistBackendError, on every rank, if the parameters differ.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ):
        super().__init__()
        self.module, self.process_group = module, resolve(process_group)
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers = broadcast_buffers is None or broadcast_buffers
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = True
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter"
                " that requires a gradient."
            )
        cap = 25.0 if bucket_cap_mb is None else bucket_cap_mb
        if cap <= 0:
            raise ValueError(f"bucket_cap_mb should be more than 0, but is {bucket_cap_mb}")
        self.bucket_bytes_cap = int(cap * (1 << 20))
        if init_sync:
            self._compare_parameters(named)
            self._copy_state(0)
        self.reducer = Reducer(
            [p for _, p in named], [n for n, _ in named], self.process_group,
            cap=self.bucket_bytes_cap,
            first_cap=min(FIRST_BUCKET, self.bucket_bytes_cap)
            if bucket_cap_mb is None
            else self.bucket_bytes_cap,
            view=gradient_as_bucket_view, find_unused=find_unused_parameters,
            static_graph=static_graph,
        )  # fmt: skip
        self._divide_by_initial = True

    # ------------------------------------------------------------ construction
    def _compare_parameters(self, named: list[tuple[str, Tensor]]) -> None:
        mine = [(n, list(p.shape), p.dtype.name) for n, p in named]
        every: list[Any] = [None] * self.process_group.size()
        all_gather_object(every, mine, self.process_group)
        for rank, theirs in enumerate(every):
            if len(theirs) != len(every[0]):
                raise DistBackendError(
                    f"DistributedDataParallel: rank 0 has {len(every[0])} parameters, rank {rank}"
                    f" has {len(theirs)}"
                )
            for (n, shape, dtype), (n0, shape0, dtype0) in zip(theirs, every[0], strict=True):
                if (shape, dtype) != (shape0, dtype0):
                    raise DistBackendError(
                        f"DistributedDataParallel: parameter {n0!r} is {dtype0} of shape"
                        f" {tuple(shape0)} on rank 0, but {n!r} is {dtype} of shape {tuple(shape)}"
                        f" on rank {rank}"
                    )

    def _copy_state(self, source: int) -> None:
        tensors = [*self.module.parameters(), *self.module.buffers()]
        broadcast_together(tensors, source, self.process_group)

    # ------------------------------------------------------------ a step
    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        recording = MODE.get().grad
        joining = self._join_config["enable"]
        if recording and self.require_backward_grad_sync:
            self.reducer.check_finished()
        if recording:
            self.reducer.renew()
        if joining and recording:
            Join.notify_join_context(self)
            self._all_sync(int(self.require_backward_grad_sync))
        if self.broadcast_buffers and self._buffers_follow():
            self._sync_buffers(active=True)
        output = self.module(*inputs, **kwargs)
        if recording and self.require_backward_grad_sync:
            tensors = [t for t in flatten(output)[0] if isinstance(t, Tensor)]
            self.reducer.prepare(tensors)
        elif recording:
            self.reducer.skip()
        return output

    def _buffers_follow(self) -> bool:
        return self.require_backward_grad_sync and any(True for _ in self.module.buffers())

    def _sync_buffers(self, active: bool) -> None:
        """The buffers of rank 0 to all; under `join`, of the highest rank that is still active."""
        source = 0
        if self._join_config["enable"]:
            rank = wrap(np.full(1, self.process_group.rank() if active else -1, np.int64))
            collectives.all_reduce(rank, ReduceOp.MAX, self.process_group)
            source = int(rank._data[0])
        broadcast_together(list(self.module.buffers()), source, self.process_group)

    def _all_sync(self, mine: int) -> bool:
        """Whether the active ranks average in this step; also how many are active."""
        t = wrap(np.array([mine, 1 if mine >= 0 else 0], np.int64))
        t._data[0] = max(mine, 0)
        collectives.all_reduce(t, group=self.process_group)
        if not self._divide_by_initial:
            self.reducer.divisor = int(t._data[1])
        return bool(t._data[0])

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, backward leaves the gradients as they are on each rank; the first backward
        outside averages all that has accumulated.
        """
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    # ------------------------------------------------------------ communication hooks
    def register_comm_hook(self, state: Any, hook: Callable[[Any, Any], Any]) -> None:
        """hook(state, GradBucket) -> Future of the averaged buffer, in the place of all-reduce.

        Hooks are in `minigrad.distributed.algorithms.ddp_comm_hooks`. RuntimeError for a second
        one, TypeError for what cannot be called.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook can only be called once.")
        self.reducer.hook = lambda bucket: hook(state, bucket)

    # ------------------------------------------------------------ uneven inputs
    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Join:  # fmt: skip
        """`with model.join():` ranks may have different numbers of batches; see Join.

        Gradients are divided by the world size, or by the number of ranks still active. Afterwards
        all have the state of the rank that went on longest.
        """
        return Join(
            [self], enable, throw_on_early_termination,
            divide_by_initial_world_size=divide_by_initial_world_size,
        )  # fmt: skip

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a rank without data does."""
        self._divide_by_initial = kwargs.get("divide_by_initial_world_size", True)
        self.reducer.divisor = self.process_group.size()
        return _DDPJoinHook(self)

    @property
    def join_process_group(self) -> Any:
        """The group."""
        return self.process_group


class _DDPJoinHook(JoinHook):
    def __init__(self, model: DistributedDataParallel):
        self.model = model

    def main_hook(self) -> None:
        model = self.model
        syncing = model._all_sync(-1)
        if model.broadcast_buffers and syncing and any(True for _ in model.module.buffers()):
            model._sync_buffers(active=False)
        if syncing:
            model.reducer.mirror()

    def post_hook(self, is_last_joiner: bool) -> None:
        group = self.model.process_group
        rank = wrap(np.full(1, group.rank() if is_last_joiner else -1, np.int64))
        collectives.all_reduce(rank, ReduceOp.MAX, group)
        self.model._copy_state(int(rank._data[0]))


def broadcast_together(tensors: list[Tensor], source: int, group: Any) -> None:
    """Broadcast many tensors as one for each dtype: few large messages are faster."""
    by_dtype: dict[Any, list[Tensor]] = {}
    for t in tensors:
        by_dtype.setdefault((t.dtype, str(t.device)), []).append(t)
    for same in by_dtype.values():
        if len(same) == 1:
            collectives.broadcast(same[0].detach(), group=group, group_src=source)  # type: ignore[attr-defined]
            same[0]._bump()
            continue
        flat = array_module(same[0]._data).concatenate([t._data.reshape(-1) for t in same])
        collectives.broadcast(wrap(flat), group=group, group_src=source)
        if group.rank() != source:
            at = 0
            for t in same:
                t._data[...] = flat[at : at + t._data.size].reshape(t._data.shape)
                t._bump()
                at += t._data.size
