"""Generators: where random numbers come from, and how to get the same ones again.

A `Generator` has torch.Generator's interface over NumPy's SFC64 (C. Doty-Humphrey's "Small Fast
Chaotic", which steps by a 64-bit counter). It was chosen by time, in microseconds on two cores of a
Zen 3 (NumPy 2.4):

                              Philox   PCG64DXSM   SFC64   MT19937   PyTorch
    uniform float32,   10^6     4800        2200    2100      2900      3900
    uniform float32,     64      2.3         1.0     1.0       1.1       2.3
    normal float32,    10^6    12500       10400    9200     11700      3900
    normal float32,      64      1.7         1.6     1.5       2.6       2.0
    seeding                       12          10      10       100         -

(`sampling.normal` turns large float32 requests into 4100 by another method.) PCG64 and Philox could
skip ahead, SFC64 cannot; nothing here needs that: separate streams get separate seeds, which
SeedSequence (O'Neill) hashes.
"""

from __future__ import annotations

import operator
import os
import struct
import threading
import weakref
from typing import Any

import numpy as np

from ..export import export, export_constant
from .devices import canonical_device, device

DEFAULT_SEED = 67280421310721  # PyTorch's for a Generator that was never seeded
_MAX = 2**64 - 1

# The state as bytes: a mark, the seed, SFC64's four words, and the half word that a float32 draw
# leaves over.
_LAYOUT = struct.Struct("<8sQ4Q2I")
_MARK = b"mgSFC64\1"
_OFFSET = struct.Struct("<Q")  # follows for a GPU: how many numbers its kernels have drawn

_creation = threading.Lock()
_alive: weakref.WeakSet[Generator] = weakref.WeakSet()


@export("Generator")
class Generator:
    """A source of random numbers with a state of its own; the same seed gives the same numbers.

    `Generator().manual_seed(0)` is passed as `generator=` to sampling functions. Safe to share
    between threads (which then take numbers from one sequence in turn); after `os.fork` parent and
    child both go on from the same state, as in PyTorch. Copies and pickles carry the state.

    `offset` counts the numbers that kernels on a GPU have drawn (backend/philox.py).
    """

    __slots__ = ("__weakref__", "_device", "_rng", "_seed", "offset")

    def __init__(self, device: Any = "cpu"):
        self._device = canonical_device(device)
        self.offset = 0
        self._seed = DEFAULT_SEED
        self._rng: np.random.Generator | None = None
        _alive.add(self)

    @property
    def device(self) -> device:
        """The device on which the numbers are wanted."""
        return self._device

    @property
    def numpy(self) -> np.random.Generator:
        """NumPy's generator behind this one: drawing from it advances this one's state."""
        rng = self._rng
        return self._create() if rng is None else rng

    def _create(self) -> np.random.Generator:
        """Made at the first draw: `import minigrad` does not load numpy.random."""
        with _creation:
            if self._rng is None:
                self._rng = np.random.Generator(np.random.SFC64(self._seed))
            return self._rng

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, in [-2^63, 2^64): a negative one stands for 2^64 + seed.

        Returns self. RuntimeError for what is no int, ValueError outside of the range.
        """
        seed = _checked_seed(seed)
        with _creation:
            self._seed, self.offset = seed, 0
            if self._rng is not None:  # keep the object: others may hold it
                bits = self._rng.bit_generator
                with bits.lock:
                    bits.state = np.random.SFC64(seed).state
        return self

    def seed(self) -> int:
        """Start again from a seed drawn from the operating system, and return it."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the present sequence started from."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """The state as an array of uint8; `set_state` continues from it to the bit."""
        bits: Any = self.numpy.bit_generator
        with bits.lock:
            state = bits.state
        words, half = state["state"]["state"], (state["has_uint32"], state["uinteger"])
        packed = _LAYOUT.pack(_MARK, self._seed, *(int(word) for word in words), *half)
        if self._device.type == "cuda":
            packed += _OFFSET.pack(self.offset)
        return np.frombuffer(packed, np.uint8).copy()

    def set_state(self, state: Any) -> None:
        """Go back to a state of `get_state`; TypeError or RuntimeError if it is none."""
        offset = _OFFSET.size if self._device.type == "cuda" else 0
        seed, new = _unpack(state, offset)
        bits: Any = self.numpy.bit_generator
        with bits.lock:
            self._seed = seed
            if offset:
                self.offset = _OFFSET.unpack(state[-offset:].tobytes())[0]
            bits.state = new

    def clone_state(self) -> Generator:
        """Another generator that goes on from the same state."""
        twin = Generator(self._device)
        twin.set_state(self.get_state())
        return twin

    def __deepcopy__(self, memo: dict) -> Generator:
        return self.clone_state()

    __copy__ = clone_state

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (str(self._device), self.get_state().tobytes())


def _restored(device: str, state: bytes) -> Generator:
    generator = Generator(device)
    generator.set_state(np.frombuffer(state, np.uint8))
    return generator


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    seed = operator.index(seed)
    if not -(2**63) <= seed <= _MAX:
        raise ValueError(
            f"Overflow when unpacking long long: a seed lies in [-2^63, 2^64 - 1], but got {seed}"
        )
    return seed & _MAX


def _unpack(state: Any, more: int) -> tuple[int, dict[str, Any]]:
    """(seed, NumPy's state) of an array made by get_state, which `more` bytes may follow."""
    if not isinstance(state, np.ndarray):
        raise TypeError(f"expected a minigrad.ByteTensor, but got {type(state).__name__}")
    if state.dtype != np.uint8:
        raise TypeError(f"RNG state must be a minigrad.ByteTensor, but its dtype is {state.dtype}")
    if state.size != _LAYOUT.size + more:
        raise RuntimeError(
            f"Expected a generator state of size {_LAYOUT.size + more} but found the input RNG "
            f"state size to be {state.size}"
        )
    mark, seed, *words, has_half, half = _LAYOUT.unpack(state[: _LAYOUT.size].tobytes())
    if mark != _MARK or has_half > 1:
        raise RuntimeError("Invalid RNG state: this version's Generator.get_state did not make it")
    bits = {
        "bit_generator": "SFC64",
        "state": {"state": np.array(words, np.uint64)},
        "has_uint32": has_half,
        "uinteger": half,
    }
    return seed, bits


def _after_fork() -> None:
    """In a forked child, no other thread is left to release its locks: all are made anew."""
    global _creation
    _creation = threading.Lock()
    for generator in list(_alive):
        rng = generator._rng
        if rng is not None:
            bits: Any = np.random.SFC64(0)
            bits.state = rng.bit_generator.state
            generator._rng = np.random.Generator(bits)


# Windows has no fork, and no such function.
_register_at_fork = getattr(os, "register_at_fork", None)
if _register_at_fork is not None:
    _register_at_fork(after_in_child=_after_fork)

default_generator = Generator()
default_generator._seed = int.from_bytes(os.urandom(8), "little")  # differs from run to run
export_constant(__name__, "default_generator", "default_generator")
export_constant(__name__, "random.default_generator", "default_generator")


_cuda_generators: dict[int, Generator] = {}


def cuda_generator(index: int) -> Generator:
    """The default generator of a GPU; it starts from the seed of the CPU's."""
    found = _cuda_generators.get(index)
    if found is None:
        made = Generator(device("cuda", index)).manual_seed(default_generator._seed)
        found = _cuda_generators.setdefault(index, made)
    return found


def cuda_generators() -> list[Generator]:
    """The default generators of the GPUs that have been used."""
    return list(_cuda_generators.values())


def rng_of(generator: Generator | None) -> np.random.Generator:
    """NumPy's generator of `generator`, or of the default one; TypeError for anything else."""
    if generator is None:
        return default_generator.numpy
    if not isinstance(generator, Generator):
        raise TypeError(
            f"argument 'generator' must be minigrad.Generator, not {type(generator).__name__}"
        )
    return generator.numpy


@export("manual_seed", "random.manual_seed")
def manual_seed(seed: Any) -> Generator:
    """Seed the default generator, and return it: the same program then draws the same numbers.

    So are those of the GPUs. ValueError outside of [-2^63, 2^64 - 1].
    """
    default_generator.manual_seed(int(seed))
    seed_cuda(int(seed))
    return default_generator


def seed_cuda(seed: int) -> None:
    """Seed the default generators of all GPUs."""
    for generator in _cuda_generators.values():
        generator.manual_seed(seed)


@export("seed", "random.seed")
def seed() -> int:
    """Seed the default generators from the operating system, and return the seed."""
    seed = default_generator.seed()
    seed_cuda(seed)
    return seed


@export("initial_seed", "random.initial_seed")
def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator.initial_seed()
