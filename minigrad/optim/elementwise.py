"""Optimizers that treat every number of a parameter by itself, which are most of them.

Such an optimizer is a formula: it gets arrays (parameter w, gradient g, states) and numbers, and
returns the new w and states. Augmented assignments change arrays in place; what is rebound instead
is copied back. As nothing in it depends on a shape, the formula is run on whatever is fastest:

    small parameters  of a group are gathered into one flat array, and their states live in such
                      arrays for good (`state[p]` holds views). A step of Adam is then about 12
                      NumPy calls for the group instead of 12 for each parameter, which for small
                      networks is the whole cost: a policy of two layers of 64 units takes
                      34 us, not 86 (compiled loops: 20, not 30; PyTorch's fused step: 80).
    large parameters  are updated where they are: in one pass by a compiled loop of the formula
                      (compiled.py), or without Numba in pieces that stay in the processor's cache
                      through all operations, which halves the time for a million numbers.

Parameters on a GPU are moved by kernels (on_device.py), a launch for all.

`Part.step` is the one place where a formula is executed.

A plan (which parameters are gathered where) is kept from step to step, as long as it fits, and so
are those for other parts of a group that take turns with it. Before every step it is compared,
object by object, with the parameters that have gradients, their memory and their states. Whatever a
program does in between (other parameters, missing gradients, `.data` replaced, states replaced or
loaded), it finds a plan that does not fit, and a new one is made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import chain, count
from operator import attrgetter, is_
from typing import Any

import numpy as np

from ..core.tensor import Tensor, wrap
from .compiled import enabled, loop_for, serves
from .optimizer import Optimizer
from .options import counter

CHUNK = 1 << 15
"""Numbers worked on at once: arrays of a formula together fit into a level-2 cache."""
SMALL = 1 << 14
"""Parameters of up to so many numbers are gathered; beyond, copying costs more than NumPy's calls.
Where a compiled loop serves, whose calls are few, the limit is its own, 2^12.
"""

_memory = attrgetter("_data")


class Elementwise(Optimizer):
    """Base of optimizers whose step is a formula; see `Adam` for an example.

    formula         staticmethod (w, g, *arrays, *numbers) -> (w, *arrays)
    arrays          names of the states as large as the parameter, in the formula's order; the
                    formula gets None for those that `_first` leaves out
    counters        names of the states that are single numbers
    _first(group)   the states' values before the first step, in PyTorch's order
    _numbers(...)   what the formula is given beside arrays
    newer           options which state dicts of older versions lack
    """

    formula: Callable[..., tuple[Any, ...]]
    arrays: tuple[str, ...] = ()
    counters: tuple[str, ...] = ("step",)
    newer: dict[str, Any] = {"foreach": None, "maximize": False, "differentiable": False}
    _step_supports_amp_scaling = True  # PyTorch's name for: on a GPU, `found_inf` is looked at
    found_inf: Any = None  # a tensor on the GPU; no step is made where it is not 0 (GradScaler)
    _plans: dict[int, list[Plan]] | None = None  # by group, of disjoint parameters; not pickled

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        """The numbers of this step; `counters` are changed in place. `fresh`: the first step of
        these parameters.
        """
        raise NotImplementedError

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans = None
        for group in self.param_groups:
            for name, value in self.newer.items():
                group.setdefault(name, value)
        for kept in self.state.values():
            if isinstance(kept, dict):
                for name in self.counters:  # once Python numbers
                    if name in kept and not isinstance(kept[name], Tensor):
                        kept[name] = counter(kept[name])

    def _update(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p._grad is not None]
        if not params:
            return
        if self._plans is None:
            self._plans = {}
        plans = self._plans.setdefault(id(group), [])
        first = self._first(group)
        for plan in plans:
            if plan.fits(self, params, first):
                plan.step(self, group)
                return
        if len(set(params)) < len(params):  # a parameter given twice is moved twice
            for p in params:
                Plan(self, group, [p], first).step(self, group)
            return
        plan = Plan(self, group, params, first)
        # states have moved: other plans are good for parameters that this one lacks
        rest = set(group["params"]).difference(params)
        plans[:] = [old for old in plans if rest.issuperset(old.params)]
        plan.step(self, group)
        if not plan.once:
            plans.append(plan)

    def _begin(self, p: Tensor, first: dict[str, float]) -> bool:
        """Give `p` the states that it lacks; whether it lacked any array."""
        if not first:
            return False
        state = self.state[p]
        fresh = False
        for name, value in first.items():
            kept = state.get(name)
            if name in self.counters:
                if not isinstance(kept, Tensor):
                    state[name] = counter(value if kept is None else kept)
            elif kept is None:
                fresh = True
                both = complex(value, value) if p.is_complex() else value
                state[name] = wrap(np.full_like(p._data, both, order="C"))
        return fresh


class Plan:
    """Which parameters of a group are updated together, and everything that this relies on."""

    def __init__(
        self,
        optimizer: Elementwise,
        group: dict[str, Any],
        params: list[Tensor],
        first: dict[str, float],
    ):
        self.params = params
        self.names = list(first)
        self.runs: list[Any] = []
        alike: defaultdict[Any, list[Tensor]] = defaultdict(list)
        ages = set()
        for p in params:
            _check_shape(p)
            fresh = optimizer._begin(p, first)
            ages.add(fresh)
            numbers = [optimizer.state[p][n]._data for n in optimizer.counters if n in first]
            key = (fresh, p._data.dtype, p.device, *((x.dtype, float(x)) for x in numbers))
            alike[key].append(p)
        self.once = len(ages) > 1  # from the next step on they may go together
        for key, members in alike.items():
            if members[0].is_cuda:
                from .on_device import DeviceRun  # when the first parameter is there

                self.runs.append(DeviceRun(optimizer, group, members, first, fresh=key[0]))
            else:
                self.runs.append(Run(optimizer, members, first, fresh=key[0]))
        self.arrays = [p._data for p in params]
        self.states = [optimizer.state[p] for p in params] if first else []
        self.values = list(chain.from_iterable(map(dict.values, self.states)))
        self.tensors = [state[name] for state in self.states for name in first]
        self.memory = [t._data for t in self.tensors]

    def fits(self, optimizer: Elementwise, params: list[Tensor], first: dict[str, float]) -> bool:
        """Whether nothing has been replaced since, and the counters of each run agree."""
        find = optimizer.state.get
        return (
            len(params) == len(self.params)
            and self.names == list(first)
            and all(map(is_, params, self.params))
            and all(map(is_, map(_memory, params), self.arrays))
            and all(map(is_, map(find, params), self.states))
            and sum(map(len, self.states)) == len(self.values)
            and all(map(is_, chain.from_iterable(map(dict.values, self.states)), self.values))
            and all(map(is_, map(_memory, self.tensors), self.memory))
            and all([run.agrees() for run in self.runs])
        )

    def step(self, optimizer: Elementwise, group: dict[str, Any]) -> None:
        for run in self.runs:
            run.step(optimizer, group)


class Run:
    """Parameters of one dtype and age: the formula gets the same numbers for all of them."""

    def __init__(
        self, optimizer: Elementwise, params: list[Tensor], first: dict[str, float], fresh: bool
    ):
        self.fresh = fresh
        names = [n for n in optimizer.counters if n in first]
        kept = [optimizer.state[p] for p in params] if names else []
        self.counters = [_gathered([s[n] for s in kept], kept[0][n]._data) for n in names]
        self.values = [float(flat[0]) for flat in self.counters]
        size = sum(p._data.size for p in params)
        self.compiled = serves(params[0]._data, size)
        alone = [p for p in params if _alone(p._data)]
        packs = _packs([p for p in params if not _alone(p._data)])
        self.parts = [Part(optimizer, [p], first, True, self.compiled) for p in alone]
        self.parts += [Part(optimizer, pack, first, False, self.compiled) for pack in packs]
        self.dtype = self.parts[0].w.dtype

    def agrees(self) -> bool:
        """Whether the counters are still equal; reads them."""
        for i, flat in enumerate(self.counters):
            listed = flat.tolist()
            self.values[i] = listed[0]
            if listed.count(listed[0]) != len(listed):
                return False
        return True

    def step(self, optimizer: Elementwise, group: dict[str, Any]) -> None:
        """One step of the formula for all of them."""
        numbers = optimizer._numbers(group, self.values, self.fresh)
        self.fresh = False
        for flat, value in zip(self.counters, self.values, strict=True):
            flat[...] = value
        packed = np.array(numbers, self.dtype) if self.compiled and enabled() else None
        for part in self.parts:
            part.step(optimizer.formula, numbers, packed, group["maximize"])


class Part:
    """Parameters that are updated as one flat array: one where it is, or several gathered."""

    def __init__(
        self,
        optimizer: Elementwise,
        params: list[Tensor],
        first: dict[str, float],
        alone: bool,
        compiled: bool,
    ):
        self.params = params
        like = params[0]._data
        flat = _contiguous if alone else _gathered
        self.states = [
            flat([optimizer.state[p][n] for p in params], like) if n in first else None
            for n in optimizer.arrays
        ]
        if alone:
            self.w, self.w_views = _flat(like), []
        else:
            self.w, self.w_views = _buffer(params, like)
            self.g, self.g_views = _buffer(params, like)
        self.loop = loop_for(optimizer.formula, self.w, self.states) if compiled else None
        self.given = [x for x in self.states if x is not None]

    def step(self, formula: Callable, numbers: tuple, packed: Any, maximize: bool) -> None:
        """One step; `packed` are the numbers in an array if compiled loops are to be used."""
        params, views = self.params, self.w_views
        if views:
            for p, w, g in zip(params, views, self.g_views, strict=True):
                w[...] = p._data
                g[...] = p._grad._data  # type: ignore[union-attr]
            g = self.g
            if maximize:
                np.negative(g, out=g)
        else:
            g = _flat(params[0]._grad._data)  # type: ignore[union-attr]
            if maximize:
                g = np.negative(g)
        if packed is not None and self.loop is not None:
            self.loop(self.w, g, *self.given, packed)
        else:
            apply(formula, [self.w, g, *self.states], numbers)
        if views:
            for p, w in zip(params, views, strict=True):
                p._data[...] = w
        for p in params:
            p._bump()


def apply(formula: Callable, arrays: list[Any], numbers: tuple[Any, ...]) -> None:
    """Replace w and the states, the first and the later ones of `arrays` (the second is the
    gradient), by what `formula(*arrays, *numbers)` returns.
    """
    w = arrays[0]
    if w.size <= CHUNK:
        _apply_once(formula, arrays, numbers)
        return
    for start in range(0, w.size, CHUNK):
        piece = slice(start, start + CHUNK)
        _apply_once(formula, [None if x is None else x[piece] for x in arrays], numbers)


def _apply_once(formula: Callable, arrays: list[Any], numbers: tuple[Any, ...]) -> None:
    w, *new = formula(*arrays, *numbers)
    if w is not arrays[0]:
        arrays[0][...] = w
    for x, y in zip(arrays[2:], new, strict=True):
        if x is not y:
            x[...] = y


# ---------------------------------------------------------------------------- flat memory
def _alone(x: Any) -> bool:
    """Whether a parameter is updated where it is, rather than gathered."""
    return x.flags.c_contiguous and (x.size > SMALL or serves(x, x.size))


def _flat(x: Any) -> Any:
    """An array as one row of real numbers: the same memory if it is contiguous."""
    x = x.reshape(-1)
    return x.view(x.real.dtype) if x.dtype.kind == "c" else x


def _buffer(tensors: list[Tensor], like: Any) -> tuple[Any, list[Any]]:
    """A flat array (real, of the dtype of `like`) for all tensors, and their places in it."""
    memory = np.empty(sum(t._data.size for t in tensors), like.dtype)
    views = []
    start = 0
    for t in tensors:
        size = t._data.size
        views.append(memory[start : start + size].reshape(t._data.shape))
        start += size
    return _flat(memory), views


def _gathered(tensors: list[Tensor], like: Any) -> Any:
    """The tensors' values in one flat array, which from now on is their memory."""
    flat, views = _buffer(tensors, like)
    for t, view in zip(tensors, views, strict=True):
        view[...] = t._data
        t._data = view
    return flat


def _contiguous(tensors: list[Tensor], like: Any) -> Any:
    """The one tensor's own memory as a flat array; made contiguous and of the right dtype."""
    t = tensors[0]
    if not t._data.flags.c_contiguous or t._data.dtype != like.dtype:
        t._data = t._data.astype(like.dtype, order="C")
    return _flat(t._data)


def _packs(params: list[Tensor]) -> list[list[Tensor]]:
    """The parameters in lists of at most CHUNK numbers (a single one may have more)."""
    packs: list[list[Tensor]] = []
    room = 0
    for p in params:
        size = p._data.size
        if not packs or size > room:
            packs.append([])
            room = CHUNK
        packs[-1].append(p)
        room -= size
    return packs


def _check_shape(p: Tensor) -> None:
    """RuntimeError if the gradient is that of a parameter which `.data` has replaced since."""
    a, b = p._data.shape, p._grad._data.shape  # type: ignore[union-attr]
    if a == b:
        return
    for dim, n, m in zip(count(), a, b, strict=False):
        if n != m:
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton"
                f" dimension {dim}"
            )
    raise RuntimeError(f"a parameter of shape {list(a)} has a gradient of shape {list(b)}")
