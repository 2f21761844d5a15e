"""Steps of parameters on a GPU: one launch for all of a group that have one dtype and one age.

Everything that changes from step to step is in device memory: the counters ("step" in the state of
a parameter is a tensor there, as with PyTorch's capturable=True) and the options that are numbers,
the learning rate first of all, which are written when they have changed. So nothing is read, and a
step that was noted in a CUDA graph goes on counting with every replay, at the rate of the moment.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.graphs import before_replay
from ..core.tensor import Tensor
from ..kernels import cuda


class DeviceRun:
    """Parameters on one GPU, of one dtype and age; see `elementwise.Run`."""

    def __init__(
        self,
        optimizer: Any,
        group: dict[str, Any],
        params: list[Tensor],
        first: dict[str, float],
        fresh: bool,
    ):
        many = cuda.launch_many
        self.params, self.fresh = params, fresh
        names = [n for n in optimizer.counters if n in first]
        state = [optimizer.state[p] for p in params] if first else []
        like = params[0]._data
        xp = array_module(like)
        self.marks = "".join(["1" if n in first else "0" for n in optimizer.arrays])
        for kept in state:
            for name in optimizer.arrays:
                if name in first:
                    _in_one_piece(kept[name], like)
        self.counters = _counters(xp, names, state)
        self.options, self.values = xp.empty(cuda.launch.MOST_WORDS, np.float64), []
        self.ticket = xp.zeros(1, "uint32")
        columns = [[s[n]._data for s in state] for n in optimizer.arrays if n in first]
        whole = [many.flat(p._data) for p in params]
        flats = [[many.flat(x) for x in column] for column in columns]
        self.tables = many.Tables([whole, whole, *flats])

    def agrees(self) -> bool:
        """The counters are counted up together, by the kernel."""
        return True

    def step(self, optimizer: Any, group: dict[str, Any]) -> None:
        """One step of the formula for all of them."""
        many = cuda.launch_many
        source = self._source(optimizer, group)
        if not before_replay(lambda: self._tell(group)):
            self._tell(group)
        self.tables.point(1, [many.flat(p._grad._data) for p in self.params])  # type: ignore[union-attr]
        scattered = not all([p._data.flags.c_contiguous for p in self.params])
        if scattered:
            self.tables.point(0, [many.flat(p._data) for p in self.params])
        kept = np.int32(self.counters.shape[1] if self.counters.size else 0)
        counts = self.counters if self.counters.size else None
        skip = None if optimizer.found_inf is None else optimizer.found_inf._data
        self.tables.start(
            source,
            lambda last: [self.options, counts, kept, np.int32(last and counts is not None),
                          self.ticket, skip],
        )  # fmt: skip
        if scattered:
            many.write_back([p._data for p in self.params], self.tables.columns[0])
        for p in self.params:
            p._bump()
        self.fresh = False

    def _tell(self, group: dict[str, Any]) -> None:
        """Let the GPU know of options that have changed."""
        values, _ = cuda.launch_many.many.options_of(group)
        if values != self.values:
            cuda.launch.write_words(self.options, values)
            self.values = values

    def _source(self, optimizer: Any, group: dict[str, Any]) -> Any:
        many, dtype = cuda.launch_many, self.tables.columns[0][0].dtype.name
        how = {
            "states": self.marks,
            "dtype": dtype,
            "k": self.tables.k,
            "counters": [self.counters.dtype.name] * len(self.counters),
            "fresh": self.fresh,
            "maximize": group["maximize"],
        }
        fixed = many.fixed_options(group)
        key = (self.marks, dtype, self.tables.k, how["counters"][:1], self.fresh, fixed)
        key = (*key[:3], *map(str, key[3:]))
        return many.step_source(
            optimizer.formula, type(optimizer), key, numbers=optimizer._numbers, group=group, **how
        )


def _in_one_piece(t: Tensor, like: Any) -> None:
    """The tensor's memory as the kernel wants it: row-major, in the parameter's dtype."""
    x = t._data
    if not x.flags.c_contiguous or x.dtype != like.dtype:
        t._data = x.astype(like.dtype, order="C")


def _counters(xp: Any, names: list[str], state: list[dict[str, Any]]) -> Any:
    """The counters [names, parameters] in one array, which from now on is their memory."""
    if not names:
        return xp.empty((0, 0), np.float32)
    host = [[float(s[n]._data) for s in state] for n in names]
    memory = xp.asarray(np.array(host, state[0][names[0]]._data.dtype))
    for i, name in enumerate(names):
        for k, kept in enumerate(state):
            kept[name]._data = memory[i, k]
    return memory
