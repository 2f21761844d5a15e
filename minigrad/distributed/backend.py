"""Backends: the collectives of one group, on arrays of this process.

A backend is called by one thread at a time, with contiguous flat arrays. This base class makes all
collectives of `links` (agree, exchange) by the algorithms of `patterns/`, and send and recv of
`mail`. The shared-memory backend is this class; others replace what their libraries do better.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import errors
from .errors import DistBackendError
from .links import Links
from .mail import Mail
from .patterns import naive, ring, tree
from .reduce_op import ReduceOp, combine_for
from .store import Store

ALL_REDUCE = {"ring": ring.all_reduce, "naive": naive.all_reduce, "tree": tree.all_reduce}


@dataclass(frozen=True)
class ShmOptions:
    """`pg_options` of the backend shm: the algorithm of all_reduce ("ring", "tree" or "naive"), and
    the shared memory for each two ranks and direction: `slots` slots of `slot_bytes`.
    """

    all_reduce: str = "ring"
    slot_bytes: int = 1 << 20
    slots: int = 2

    def __post_init__(self) -> None:
        if self.all_reduce not in ALL_REDUCE:
            raise errors.value_error(
                "ShmOptions", argument="all_reduce", expected=" or ".join(ALL_REDUCE),
                actual=repr(self.all_reduce),
            )  # fmt: skip
        if self.slot_bytes < 1 << 13 or self.slot_bytes % 64 or self.slots < 1:
            raise errors.value_error(
                "ShmOptions", expected="slots >= 1 and slot_bytes >= 8192, a multiple of 64",
                actual=f"{self.slots} and {self.slot_bytes}",
            )  # fmt: skip


class Backend:
    """Collectives by `links`, messages by `mail`."""

    name = "shm"

    def __init__(self, links: Any, mail: Any, all_reduce: str = "ring"):
        self.links, self.mail = links, mail
        self.rank, self.size = links.rank, links.size
        self._all_reduce = ALL_REDUCE[all_reduce]

    @property
    def bytes_sent(self) -> int:
        """Bytes of arrays that this rank has sent to others so far."""
        return self.links.bytes_sent + self.mail.bytes_sent

    def agree(self, op: str, *arrays: np.ndarray, **more: Any) -> None:
        """Compare with the other ranks; DistBackendError, the same on all, if they do not agree."""
        mine = {
            "op": op,
            "arrays": [[a.dtype.name, a.size] for a in arrays],
            **{key: value for key, value in more.items() if value is not None},
        }
        said = self.links.agree(json.dumps(mine, separators=(",", ":")))
        if any(text != said[self.rank] for text in said):
            raise self._disagreement(op, [json.loads(text) for text in said])

    def _disagreement(self, op: str, said: list[dict[str, Any]]) -> DistBackendError:
        lines = []
        for rank, one in enumerate(said):
            arrays = ", ".join(f"{n} x {dtype}" for dtype, n in one["arrays"])
            more = "".join(f" {k}={v}" for k, v in one.items() if k not in ("op", "arrays"))
            lines.append(f"\n  rank {rank}: {one['op']} of {arrays or 'nothing'}{more}")
        return DistBackendError(f"{op}: the ranks do not agree on what to do:{''.join(lines)}")

    # ------------------------------------------------------------ collectives
    def barrier(self) -> None:
        self.agree("barrier")

    def all_reduce(self, array: np.ndarray, op: ReduceOp) -> None:
        combine = combine_for(op, array.dtype)
        self.agree("all_reduce", array, reduce=op.name)
        self._all_reduce(self.links, array, combine, op)

    def reduce(self, array: np.ndarray, root: int, op: ReduceOp) -> None:
        combine = combine_for(op, array.dtype)
        self.agree("reduce", array, root=root, reduce=op.name)
        ring.reduce(self.links, array, root, combine, op)

    def broadcast(self, array: np.ndarray, root: int) -> None:
        self.agree("broadcast", array, root=root)
        ring.broadcast(self.links, array, root)

    def all_gather(self, outputs: Sequence[np.ndarray], array: np.ndarray) -> None:
        self.agree("all_gather", array)
        outputs[self.rank][...] = array
        ring.all_gather(self.links, outputs)

    def gather(self, outputs: Sequence[np.ndarray] | None, array: np.ndarray, root: int) -> None:
        self.agree("gather", array, root=root)
        if outputs is not None:
            outputs[self.rank][...] = array
        ring.gather(self.links, [array] if outputs is None else outputs, root)

    def scatter(self, array: np.ndarray, inputs: Sequence[np.ndarray] | None, root: int) -> None:
        self.agree("scatter", array, root=root)
        if inputs is not None:
            array[...] = inputs[self.rank]
        ring.scatter(self.links, [array] if inputs is None else inputs, root)

    def reduce_scatter(self, array: np.ndarray, inputs: Sequence[np.ndarray], op: ReduceOp) -> None:
        """The inputs are used as work space."""
        combine = combine_for(op, array.dtype)
        self.agree("reduce_scatter", *inputs, reduce=op.name)
        array[...] = ring.reduce_scatter(self.links, inputs, combine, op)

    def all_to_all(self, outputs: Sequence[np.ndarray], inputs: Sequence[np.ndarray]) -> None:
        mine = {
            "op": "all_to_all",
            "arrays": [[a.dtype.name, a.size] for a in inputs],
            "outputs": [[a.dtype.name, a.size] for a in outputs],
        }
        said = [json.loads(t) for t in self.links.agree(json.dumps(mine))]
        if any(one["op"] != "all_to_all" for one in said) or any(
            said[i]["arrays"][j] != said[j]["outputs"][i]
            for i in range(self.size)
            for j in range(self.size)
        ):
            raise self._disagreement("all_to_all", said)
        ring.all_to_all(self.links, outputs, inputs)

    # ------------------------------------------------------------ messages
    def send(self, array: np.ndarray, to: int, tag: int) -> None:
        self.mail.send(array, to, tag)

    def recv(self, array: np.ndarray, source: int | None, tag: int) -> int:
        return self.mail.receive(array, source, tag)

    def close(self) -> None:
        """Leave: later operations of the others fail at once, naming this rank."""
        self.mail.close()
        self.links.close()


def make_shm(
    store: Store, rank: int, size: int, timeout: float, options: ShmOptions | None
) -> Backend:
    """The backend of one machine."""
    options = options or ShmOptions()
    links = Links(store, rank, size, timeout, options.slot_bytes, options.slots)
    return Backend(links, Mail(store, rank, size, timeout), options.all_reduce)
