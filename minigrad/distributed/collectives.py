"""The collectives, on tensors: PyTorch's `torch.distributed` functions.

Each turns its tensors into contiguous arrays, hands the backend's operation to the group's lane (or
runs it at once), and afterwards writes back what was not written in place. Ranks in arguments are
ranks of the world. With async_op=True the result is a Work, otherwise None; a process that is not
in the group does nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from .. import errors
from ..backend.devices import array_module
from ..core.tensor import Tensor
from .group import GroupMember, ProcessGroup, resolve
from .reduce_op import ReduceOp
from .store import seconds
from .work import Lane, Work

ndarray = np.ndarray


class _Arrays:
    """The memory behind tensors as flat contiguous host arrays; `give_back` writes to those tensors
    whose memory is not such an array itself.
    """

    def __init__(self, op: str, group: ProcessGroup) -> None:
        self.op, self.group = op, group
        self.raw = group.backend.name == "nccl"  # which works on device memory itself
        self._back: list[tuple[Tensor, Any]] = []
        self._written: list[Tensor] = []

    def of(self, t: Any, *, write: bool = True, spare: bool = False) -> Any:
        """A flat array; with `spare` a copy in any case, that may be overwritten."""
        if not isinstance(t, Tensor):
            raise errors.type_error(self.op, "tensor", "a Tensor", t)
        if write and t.requires_grad and not t.is_leaf:
            warnings.warn(
                f"{self.op}: a tensor of a graph is changed in place, and this is not recorded",
                stacklevel=5,
            )
        data = t._data
        contiguous = data.flags.c_contiguous
        host = data if self.raw or t.is_cpu else t._host()
        if write:
            self._written.append(t)
        if contiguous and host is data and not spare:
            return data.reshape(-1)
        flat = array_module(host).ascontiguousarray(host).reshape(-1)
        if spare and flat.base is not None and host is data:
            flat = flat.copy()
        if write:
            self._back.append((t, flat))
        return flat

    def give_back(self) -> None:
        for t, flat in self._back:
            array = flat.reshape(t._data.shape)
            t._data[...] = array if self.raw or t.is_cpu else array_module(t._data).asarray(array)
        for t in self._written:
            t._bump()


def _launch(arrays: _Arrays, task: Callable[[], Any], async_op: bool, result: Any) -> Work | None:
    lane = arrays.group.lane
    if async_op:
        return lane.submit(lambda: (task(), arrays.give_back())[0], result)
    lane.call(task)
    arrays.give_back()
    return None


def _outside(group: Any, op: str) -> bool:
    if group is not GroupMember.NON_GROUP_MEMBER:
        return False
    warnings.warn(
        f"Running {op} on a process group to which this process does not belong: nothing is done",
        stacklevel=3,
    )
    return True


def _same(op: str, what: str, tensors: Any, count: int, like: Tensor) -> list[Tensor]:
    """A list of `count` tensors that are like another one; ValueError, TypeError otherwise."""
    if not isinstance(tensors, (list, tuple)):
        raise errors.type_error(op, what, "a list of Tensors", tensors)
    if len(tensors) != count:
        raise errors.value_error(
            op, argument=what, expected=f"{count} tensors, one a rank", actual=len(tensors)
        )
    for t in tensors:
        if not isinstance(t, Tensor):
            raise errors.type_error(op, what, "a list of Tensors", t)
        if t.numel() != like.numel() or t.dtype != like.dtype:
            raise errors.value_error(
                op, argument=what, expected=f"{like.dtype} with {like.numel()} elements",
                actual=f"{t.dtype} of shape {tuple(t.shape)}",
            )  # fmt: skip
    return list(tensors)


def _root(pg: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    """The rank in the group that `src=` or `group_src=` means; ValueError for both or neither."""
    if (rank is None) == (group_rank is None):
        raise ValueError(f"give either {name} or group_{name}")
    if group_rank is not None:
        if not 0 <= group_rank < pg.size():
            raise ValueError(f"group_{name}: the group has no rank {group_rank}")
        return group_rank
    return pg.local(rank)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ one tensor each
def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Replace the tensor by the reduction over all ranks, the same to the last bit everywhere."""
    if _outside(group, "all_reduce"):
        return None
    arrays = _Arrays("all_reduce", pg := resolve(group))
    array = arrays.of(tensor)
    return _launch(arrays, lambda: pg.backend.all_reduce(array, op), async_op, [tensor])


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Replace the tensor of rank `dst` by the reduction over all ranks; the others keep theirs."""
    if _outside(group, "reduce"):
        return None
    arrays = _Arrays("reduce", pg := resolve(group))
    root = _root(pg, dst, group_dst, "dst")
    here = pg.rank() == root
    array = arrays.of(tensor, write=here, spare=not here)
    return _launch(arrays, lambda: pg.backend.reduce(array, root, op), async_op, [tensor])


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Replace the tensor by that of rank `src`."""
    if _outside(group, "broadcast"):
        return None
    arrays = _Arrays("broadcast", pg := resolve(group))
    root = _root(pg, src, group_src, "src")
    array = arrays.of(tensor, write=pg.rank() != root)
    return _launch(arrays, lambda: pg.backend.broadcast(array, root), async_op, [tensor])


# ------------------------------------------------------------------------------ one to many
def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """tensor_list[i] becomes the tensor of rank i."""
    if _outside(group, "all_gather"):
        return None
    arrays = _Arrays("all_gather", pg := resolve(group))
    array = arrays.of(tensor, write=False)
    outputs = [
        arrays.of(t) for t in _same("all_gather", "tensor_list", tensor_list, pg.size(), tensor)
    ]
    return _launch(arrays, lambda: pg.backend.all_gather(outputs, array), async_op, [tensor_list])


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """output_tensor becomes the tensors of all ranks, one after the other."""
    if _outside(group, "all_gather_into_tensor"):
        return None
    arrays = _Arrays("all_gather_into_tensor", pg := resolve(group))
    array = arrays.of(input_tensor, write=False)
    outputs = _chunks("all_gather_into_tensor", arrays.of(output_tensor), array, pg.size())
    return _launch(arrays, lambda: pg.backend.all_gather(outputs, array), async_op, output_tensor)


def _chunks(op: str, whole: Any, part: Any, n: int) -> list[Any]:
    """A flat array in n chunks, each like `part`."""
    if whole.size != n * part.size or whole.dtype != part.dtype:
        raise errors.value_error(
            op, "the larger tensor", expected=f"{n} times {part.size} elements of {part.dtype}",
            actual=f"{whole.size} of {whole.dtype}",
        )  # fmt: skip
    return [whole[i * part.size : (i + 1) * part.size] for i in range(n)]


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """On rank `dst` (0), gather_list[i] becomes the tensor of rank i; the others give no list."""
    if _outside(group, "gather"):
        return None
    arrays = _Arrays("gather", pg := resolve(group))
    root = _root(pg, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    array = arrays.of(tensor, write=False)
    outputs = None
    if pg.rank() == root:
        outputs = [
            arrays.of(t) for t in _same("gather", "gather_list", gather_list, pg.size(), tensor)
        ]
    elif gather_list:
        raise ValueError("gather: gather_list must not be given on ranks other than dst")
    return _launch(arrays, lambda: pg.backend.gather(outputs, array, root), async_op, [gather_list])


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """The tensor of rank i becomes scatter_list[i] of rank `src` (0); the others give no list."""
    if _outside(group, "scatter"):
        return None
    arrays = _Arrays("scatter", pg := resolve(group))
    root = _root(pg, 0 if src is None and group_src is None else src, group_src, "src")
    array = arrays.of(tensor)
    inputs = None
    if pg.rank() == root:
        given = _same("scatter", "scatter_list", scatter_list, pg.size(), tensor)
        inputs = [arrays.of(t, write=False) for t in given]
    elif scatter_list:
        raise ValueError("scatter: scatter_list must not be given on ranks other than src")
    return _launch(arrays, lambda: pg.backend.scatter(array, inputs, root), async_op, [tensor])


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """output becomes the reduction over all ranks of their input_list[this rank]."""
    if _outside(group, "reduce_scatter"):
        return None
    arrays = _Arrays("reduce_scatter", pg := resolve(group))
    array = arrays.of(output)
    given = _same("reduce_scatter", "input_list", input_list, pg.size(), output)
    inputs = [arrays.of(t, write=False, spare=True) for t in given]
    return _launch(arrays, lambda: pg.backend.reduce_scatter(array, inputs, op), async_op, [output])


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """output becomes this rank's chunk of the reduction of `input` over all ranks."""
    if _outside(group, "reduce_scatter_tensor"):
        return None
    arrays = _Arrays("reduce_scatter_tensor", pg := resolve(group))
    array = arrays.of(output)
    whole = arrays.of(input, write=False, spare=True)
    inputs = _chunks("reduce_scatter_tensor", whole, array, pg.size())
    return _launch(arrays, lambda: pg.backend.reduce_scatter(array, inputs, op), async_op, output)


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """output_tensor_list[i] becomes input_tensor_list[this rank] of rank i; sizes may differ."""
    if _outside(group, "all_to_all"):
        return None
    arrays = _Arrays("all_to_all", pg := resolve(group))
    for name, given in (("output", output_tensor_list), ("input", input_tensor_list)):
        if not isinstance(given, (list, tuple)) or len(given) != pg.size():
            raise ValueError(f"all_to_all: {name}_tensor_list needs {pg.size()} tensors")
    outputs = [arrays.of(t) for t in output_tensor_list]
    inputs = [arrays.of(t, write=False) for t in input_tensor_list]
    result = [output_tensor_list]
    return _launch(arrays, lambda: pg.backend.all_to_all(outputs, inputs), async_op, result)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """all_to_all of two tensors cut along their first dimension, equally unless sizes are given."""
    if _outside(group, "all_to_all_single"):
        return None
    arrays = _Arrays("all_to_all_single", pg := resolve(group))
    n = pg.size()
    outputs = _cut("output", arrays.of(output), output, output_split_sizes, n)
    inputs = _cut("input", arrays.of(input, write=False), input, input_split_sizes, n)
    return _launch(arrays, lambda: pg.backend.all_to_all(outputs, inputs), async_op, output)


def _cut(name: str, flat: Any, t: Tensor, sizes: Sequence[int] | None, n: int) -> list[Any]:
    rows = t.shape[0] if t.ndim else 0
    if not sizes:
        if rows % n:
            raise ValueError(f"all_to_all_single: the first dimension of {name}, {rows}, is not a"
                             f" multiple of the group's size {n}")  # fmt: skip
        sizes = [rows // n] * n
    if len(sizes) != n or sum(sizes) != rows:
        raise ValueError(
            f"all_to_all_single: {name}_split_sizes should be {n} numbers with the sum {rows}, but"
            f" are {list(sizes)}"
        )
    row = flat.size // rows if rows else 0
    ends = np.cumsum([0, *sizes]) * row
    return [flat[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


# ------------------------------------------------------------------------------ nobody's tensor
def barrier(
    group: Any = None,
    async_op: bool = False,
    device_ids: Any = None,
    timeout: timedelta | float | None = None,
) -> Work | None:
    """Wait until every rank has come to this point, at most for `timeout` (that of the group)."""
    if _outside(group, "barrier"):
        return None
    pg = resolve(group)
    links = pg.backend.links
    patience = links.timeout if timeout is None else seconds(timeout)

    def task() -> None:
        before, links.timeout = links.timeout, patience
        try:
            pg.backend.barrier()
        finally:
            links.timeout = before

    return _launch(_Arrays("barrier", pg), task, async_op, [])


def monitored_barrier(
    group: Any = None, timeout: timedelta | float | None = None, wait_all_ranks: bool = False
) -> None:
    """A barrier that names, on every rank, one that does not come within the timeout; here every
    collective does that.
    """
    if not _outside(group, "monitored_barrier"):
        barrier(group, timeout=timeout)


# ------------------------------------------------------------------------------ two ranks
def _partner(pg: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    other = _root(pg, rank, group_rank, name)
    if other == pg.rank():
        raise ValueError(f"Invalid {'destination' if name == 'dst' else 'source'} rank: {name} must"
                         " not be the rank of this process")  # fmt: skip
    return other


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """Send the tensor to rank `dst`; it must not be changed before `wait`."""
    if _outside(group, "isend"):
        return None
    arrays = _Arrays("isend", pg := resolve(group))
    to = _partner(pg, dst, group_dst, "dst")
    array = arrays.of(tensor, write=False)
    lane = pg.backend.mail.lane(to)
    return lane.submit(lambda: pg.backend.send(array.reshape(tensor.shape), to, tag), [tensor])


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send the tensor to rank `dst`; returns when it may be changed again."""
    if _outside(group, "send"):
        return
    arrays = _Arrays("send", pg := resolve(group))
    to = _partner(pg, dst, group_dst, "dst")
    array = arrays.of(tensor, write=False)
    pg.backend.mail.lane(to).call(lambda: pg.backend.send(array.reshape(tensor.shape), to, tag))


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """Receive into the tensor from rank `src` (None: from anybody; `Work.source_rank()` tells)."""
    if _outside(group, "irecv"):
        return None
    task, pg = _receiving("irecv", tensor, src, group, tag, group_src)
    return _free_lane(pg).submit(task, [tensor])


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Receive into the tensor from rank `src` (None: from anybody); the rank that sent it, or -1 if
    this process is not in the group.
    """
    if _outside(group, "recv"):
        return -1
    return _receiving("recv", tensor, src, group, tag, group_src)[0]()


def _receiving(
    op: str, tensor: Tensor, src: int | None, group: Any, tag: int, group_src: int | None
) -> tuple[Callable[[], int], ProcessGroup]:
    arrays = _Arrays(op, pg := resolve(group))
    anybody = src is None and group_src is None
    source = None if anybody else _partner(pg, src, group_src, "src")
    array = arrays.of(tensor)

    def task() -> int:
        sender = pg.backend.recv(array.reshape(tensor.shape), source, tag)
        arrays.give_back()
        return pg.ranks[sender]

    return task, pg


def _free_lane(pg: ProcessGroup) -> Lane:
    """A lane where nothing waits: receives finish in the order of the messages."""
    for lane in pg.receiving:
        if lane.idle():
            return lane
    pg.receiving.append(Lane(f"receives of {pg.name}"))
    return pg.receiving[-1]


class P2POp:
    """One of the operations of `batch_isend_irecv`: op is isend or irecv."""

    def __init__(
        self,
        op: Callable[..., Work | None],
        tensor: Tensor,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ):
        if op not in (isend, irecv):
            raise ValueError("P2POp: op must be minigrad.distributed.isend or irecv")
        self.op, self.tensor, self.group, self.tag = op, tensor, group, tag
        self.peer = _root(resolve(group), peer, group_peer, "peer")


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Start all of them; the Works in the same order. ValueError for anything but P2POps."""
    if not p2p_op_list or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise ValueError("batch_isend_irecv: expected a list of P2POp")
    works = []
    for p in p2p_op_list:
        name = "group_dst" if p.op is isend else "group_src"
        work = p.op(p.tensor, group=p.group, tag=p.tag, **{name: p.peer})
        if work is not None:
            works.append(work)
    return works
