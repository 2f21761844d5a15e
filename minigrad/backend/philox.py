"""Random bits on a GPU: numbers of a counter, so that nothing but a seed and an offset is kept.

A kernel that needs random numbers is told where in a generator's sequence it may take them: `Bits`.
Philox 4x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) makes them from the
seed, the offset and the number of the thread, by the counters of PyTorch's CUDA generator.

While a CUDA graph is noted, seed and offset are not those of now but what a few bytes of device
memory will hold when it runs: each replay is told anew, and draws other numbers (PyTorch's
philox_cuda_state).
"""

from __future__ import annotations

from typing import Any

from .devices import cuda_module
from .random import Generator, cuda_generator, cuda_generators, default_generator


class Bits:
    """A place in a generator's sequence: `seed` and `offset`, or where `base`, two words of device
    memory, says, and `offset` further on.
    """

    __slots__ = ("base", "offset", "seed")

    def __init__(self, seed: int, offset: int, base: Any = None):
        self.seed, self.offset, self.base = seed, offset, base


class Noted:
    """The numbers that one CUDA graph draws: for each generator, two words of device memory and how
    many of its numbers a replay uses up.
    """

    def __init__(self) -> None:
        self.drawn: dict[Generator, tuple[Any, int]] = {}

    def take(self, generator: Generator, count: int) -> Bits:
        known = self.drawn.get(generator)
        base, used = (cuda_module().empty(2, "uint64"), 0) if known is None else known
        self.drawn[generator] = base, used + count
        return Bits(0, used, base)

    def advance(self) -> None:
        """Before a replay: tell it where each generator is, which moves on."""
        for generator, (base, used) in self.drawn.items():
            write(base, (generator.initial_seed(), generator.offset))
            generator.offset += used


write: Any = None
"""Puts numbers into device memory: kernels/cuda puts a function there."""


_noting: list[Noted] = []
"""The graphs that are being noted, the innermost last."""


def begin(noted: Noted) -> None:
    """From now on, numbers are those of a graph."""
    _noting.append(noted)


def end(noted: Noted) -> None:
    """The graph has been noted."""
    _noting.remove(noted)


def take(generator: Generator | None, device: int, count: int) -> Bits:
    """The next `count` numbers (for each thread, a multiple of 4) of a generator on a GPU; None is
    the default one of the device.
    """
    if generator is None or generator.device.type != "cuda":
        generator = cuda_generator(device)
    if _noting:
        return _noting[-1].take(generator, count)
    bits = Bits(generator.initial_seed(), generator.offset)
    generator.offset += count
    return bits


def state() -> tuple[Any, dict[Generator, Any]]:
    """Where the default generators of the CPU and of all GPUs are, for `set_state`."""
    if _noting:
        places: dict[Generator, Any] = dict(_noting[-1].drawn)
    else:
        places = {g: (g.initial_seed(), g.offset) for g in cuda_generators()}
    return default_generator.get_state(), places


def set_state(state: tuple[Any, dict[Generator, Any]]) -> None:
    """Go (back) to where the generators were, so that the same numbers are drawn again; those that
    a first draw has made since go to their start.
    """
    before, places = state
    default_generator.set_state(before)
    if _noting:
        drawn = _noting[-1].drawn
        drawn.update({g: places.get(g, (base, 0)) for g, (base, _) in drawn.items()})
        return
    for generator in cuda_generators():
        seed, offset = places.get(generator, (default_generator.initial_seed(), 0))
        generator.manual_seed(seed).offset = offset
