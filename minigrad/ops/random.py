"""Random tensors: new ones, ones like another, and in-place sampling.

The numbers are made by `backend/sampling.py` in main memory (a seed gives the same ones on every
device); here are PyTorch's signatures. Samples have no derivative: where one is recorded (normal
of tensors, in-place sampling), it is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np

from ..backend import philox, sampling
from ..backend import random as generators
from ..backend.devices import array_module, canonical_device, cuda_device_count
from ..backend.dtypes import dtype_by_name
from ..backend.random import Generator
from ..core.inplace import check_inplace, commit, overwrite
from ..core.modes import MODE
from ..core.node import without_derivative
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, wrap
from ..export import export
from ..kernels.cuda.hosted import hosted
from .convert import nothing
from .filled import check_layout, checked_dtype, dtype_or_default, finish, on_device, shape_of
from .strides import common_shape, memory_order


# ------------------------------------------------------------ of a given size
def _new(
    name: str, draw: Callable[..., Any], size: Any, named: dict, out: Any, dtype: Any, layout: Any,
    device: Any, requires_grad: bool,
) -> Tensor:  # fmt: skip
    named = dict(named)
    shape = shape_of(name, size, named.pop("size", None))
    named.pop("names", None)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    check_layout(layout)
    array = draw(shape, dtype_or_default(dtype, out))
    return finish(on_device(device, lambda xp: xp.asarray(array)), requires_grad, out, dtype)


@export("rand")
def rand(
    *size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
    **named: Any,
) -> Tensor:  # fmt: skip
    """Uniform numbers of [0, 1): `rand(2, 3)`, `rand((2, 3))`."""

    def draw(shape: Any, kind: Any) -> Any:
        return sampling.uniform(shape, 0.0, 1.0, kind, generator)

    return _new("rand", draw, size, named, out, dtype, layout, device, requires_grad)


@export("randn")
def randn(
    *size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
    **named: Any,
) -> Tensor:  # fmt: skip
    """Normal numbers of mean 0 and variance 1: `randn(2, 3)`, `randn((2, 3))`."""

    def draw(shape: Any, kind: Any) -> Any:
        return sampling.normal(shape, 0.0, 1.0, kind, generator)

    return _new("randn", draw, size, named, out, dtype, layout, device, requires_grad)


def _bounds(name: str, values: Any) -> list[int]:
    for v in values:
        whole = isinstance(v, Tensor) and v._data.size == 1 and v._data.dtype.kind in "iu"
        if not (isinstance(v, (int, np.integer)) or whole):
            raise TypeError(f"{name}(): argument 'high' must be int, not {type(v).__name__}")
    return [index(v) for v in values]


@export("randint")
def randint(
    *args: Any, low: Any = None, high: Any = None, size: Any = None,
    generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Integers of [low, high): `randint(high, size)`, `randint(low, high, size)`; int64.

    RuntimeError if the range is empty or the dtype does not reach it.
    """
    rest = list(args)
    if size is None and rest:
        size = rest.pop()
    if high is None and rest:
        high = rest.pop()
    if low is None:
        low = rest.pop() if rest else 0
    if rest or high is None or not isinstance(size, (tuple, list)):
        raise TypeError(f"randint() received an invalid combination of arguments - got {args}")
    shape, (first, last) = shape_of("randint", (), size), _bounds("randint", (low, high))
    check_layout(layout)
    kind = np.dtype(np.int64) if dtype is None and out is None else dtype_or_default(dtype, out)
    array = sampling.randint(shape, first, last, kind, generator)
    return finish(on_device(device, lambda xp: xp.asarray(array)), requires_grad, out, dtype)


@export("randperm")
def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """0 .. n−1 in random order, int64 unless a dtype is given. RuntimeError if n is negative."""
    check_layout(layout)
    kind = np.dtype(np.int64) if dtype is None and out is None else dtype_or_default(dtype, out)
    array = sampling.randperm(_bounds("randperm", (n,))[0], kind, generator)
    return finish(on_device(device, lambda xp: xp.asarray(array)), requires_grad, out, dtype)


# ------------------------------------------------------------ like another tensor
def _like(
    draw: Callable[..., Any], input: Tensor, dtype: Any, layout: Any, device: Any,
    requires_grad: bool, memory_format: Any,
) -> Tensor:  # fmt: skip
    check_layout(layout)
    kind = input._data.dtype if dtype is None else checked_dtype(dtype)
    memory_order(input._data, memory_format)
    array = draw(input._data.shape, kind)
    place = input.device if device is None else device
    return finish(on_device(place, lambda xp: xp.asarray(array)), requires_grad)


@export("rand_like")
def rand_like(
    input: Tensor, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Uniform numbers of [0, 1) in input's shape, dtype and device."""

    def draw(shape: Any, kind: Any) -> Any:
        return sampling.uniform(shape, 0.0, 1.0, kind, generator)

    return _like(draw, input, dtype, layout, device, requires_grad, memory_format)


@export("randn_like")
def randn_like(
    input: Tensor, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Standard normal numbers in input's shape, dtype and device."""

    def draw(shape: Any, kind: Any) -> Any:
        return sampling.normal(shape, 0.0, 1.0, kind, generator)

    return _like(draw, input, dtype, layout, device, requires_grad, memory_format)


@export("randint_like")
def randint_like(
    input: Tensor, *args: Any, low: Any = None, high: Any = None,
    generator: Generator | None = None, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Integers of [low, high) in input's shape and dtype: `randint_like(x, [low,] high)`."""
    rest = list(args)
    if high is None and rest:
        high = rest.pop()
    if low is None:
        low = rest.pop() if rest else 0
    if rest or high is None:
        raise TypeError(f"randint_like() received an invalid combination of arguments - got {args}")
    first, last = _bounds("randint_like", (low, high))

    def draw(shape: Any, kind: Any) -> Any:
        return sampling.randint(shape, first, last, kind, generator)

    return _like(draw, input, dtype, layout, device, requires_grad, memory_format)


# ------------------------------------------------------------ distributions given by tensors
@primitive(half="keep")
def normal_sample(mean: Any, std: Any, *, generator: Generator | None) -> Any:
    """mean + std·z, z standard normal; zero gradients, as PyTorch (mean + std * randn has some)."""
    dtype = next(a.dtype for a in (mean, std) if isinstance(a, np.ndarray))
    shape = common_shape([np.shape(mean), np.shape(std)])
    return sampling.normal(shape, mean, std, dtype, generator)


normal_sample.vjp(mean=lambda g: nothing(g), std=lambda g: nothing(g))


@export("normal")
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    out: Tensor | None = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Normal numbers of given means and deviations: tensors that broadcast, or numbers and a size.

    The gradient is zero. RuntimeError for a negative std.
    """
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        if size is not None:
            raise TypeError("normal() takes a size only when mean and std are numbers")
        y = normal_sample(mean, std, generator=generator)
        return y if out is None else write_out(y, out)
    if size is None:
        raise TypeError(
            "normal() received an invalid combination of arguments: numbers need a size"
        )
    shape, kind = shape_of("normal", (), size), dtype_or_default(dtype, out)
    check_layout(layout)
    array = sampling.normal(shape, float(mean), float(std), kind, generator)
    return finish(on_device(device, lambda xp: xp.asarray(array)), requires_grad, out, dtype)


@primitive(half="keep")
def bernoulli_sample(p: Any, *, generator: Generator | None) -> Any:
    """1 with probability p, else 0; p̄ = 0."""
    return sampling.bernoulli(p.shape, p, p.dtype, generator)


bernoulli_sample.vjp(p=lambda g: nothing(g))


@export("bernoulli")
def bernoulli(
    input: Tensor, p: Any = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with the probability that input (or p, for all) gives, else 0; the gradient is zero.

    RuntimeError unless the probabilities lie in [0, 1].
    """
    if p is None:
        y = bernoulli_sample(input, generator=generator)
    else:
        x = input._data
        y = wrap(array_module(x).asarray(sampling.bernoulli(x.shape, p, x.dtype, generator)))
        without_derivative("aten::bernoulli", y, input)
    return y if out is None else write_out(y, out)


@primitive(half="keep")
def poisson_sample(rate: Any, *, generator: Generator | None) -> Any:
    """Poisson counts; r̄ate = 0."""
    return sampling.poisson(rate, generator)


poisson_sample.vjp(rate=lambda g: nothing(g))


@export("poisson")
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of events that happen at the given rates, in input's dtype.

    RuntimeError for a negative rate.
    """
    return poisson_sample(input, generator=generator)


@export("binomial")
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """The number of successes in `count` trials of probability `prob`, in count's dtype."""
    y = wrap(hosted(sampling.binomial)(count._data, prob._data, generator))
    return without_derivative("aten::binomial", y, count, prob)


@export("multinomial")
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *,
    generator: Generator | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Indices (int64) drawn from each row of weights (k,) or (n, k), in proportion to them.

    RuntimeError for weights that are negative, not finite or all zero, or too few of them without
    replacement.
    """
    draw = hosted(sampling.multinomial)
    y = wrap(draw(input._data, index(num_samples), bool(replacement), generator))
    return y if out is None else write_out(y, out)


# ------------------------------------------------------------ in place
@primitive(half="keep")
def overwritten(x: Any, *, sample: Any) -> Any:
    """`sample` in the place of x; x̄ = 0."""
    return sample


overwritten.vjp(x=lambda g: nothing(g))


def _fill(self: Tensor, name: str, draw: Callable[..., Any]) -> Tensor:
    """Overwrite with draw(shape, dtype); the gradient of the old contents is zero."""
    check_inplace(self, False)
    x = self._data
    sample = array_module(x).asarray(draw(x.shape, x.dtype))
    recorded = MODE.get().grad and self.requires_grad
    result = overwritten(self, sample=sample) if recorded else wrap(sample)
    overwrite(self, sample, name)
    commit(self, result)
    return self


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **named: Any
) -> Tensor:
    """Fill with uniform numbers of [from, to).

    RuntimeError unless from <= to, both finite in the dtype.
    """
    low = named.pop("from", from_)
    return _fill(self, "uniform_", lambda n, d: sampling.uniform(n, low, to, d, generator))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with normal numbers. RuntimeError for a negative std."""
    return _fill(
        self, "normal_", lambda n, d: sampling.normal(n, float(mean), float(std), d, generator)
    )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with numbers of density λ·exp(−λx). RuntimeError unless λ > 0."""
    return _fill(self, "exponential_", lambda n, d: sampling.exponential(n, lambd, d, generator))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fill with 1 at probability p (a number, or a tensor that broadcasts), else 0."""
    chance = p._data if isinstance(p, Tensor) else p
    if array_module(chance) is not np:
        chance = chance.get()
    return _fill(self, "bernoulli_", lambda n, d: sampling.bernoulli(n, chance, d, generator))


def random_(self: Tensor, *bounds: Any, generator: Any = None, **named: Any) -> Tensor:
    """Fill with integers of [0, to) or [from, to): random_(to), random_(from, to), random_()."""
    given = list(bounds)
    to = named.pop("to", None)
    low = named.pop("from", None)
    if named or len(given) > 2:
        raise TypeError(f"random_() received an invalid combination of arguments - got {bounds}")
    if len(given) == 2:
        low, to = given
    elif given and low is None and to is None:
        low, to = 0, given[0]
    elif given:
        low = given[0]
    if to is None:
        return _fill(self, "random_", lambda n, d: sampling.random_from(n, low, d, generator))
    first, last = 0 if low is None else index(low), index(to)
    return _fill(self, "random_", lambda n, d: sampling.randint(n, first, last, d, generator))


def geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Fill with the number of trials up to the first success of probability p.

    RuntimeError unless 0 < p < 1.
    """
    return _fill(self, "geometric_", lambda n, d: sampling.geometric(n, p, d, generator))


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None
) -> Tensor:
    """Fill with Cauchy numbers. RuntimeError unless sigma > 0."""
    return _fill(self, "cauchy_", lambda n, d: sampling.cauchy(n, median, sigma, d, generator))


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None
) -> Tensor:
    """Fill with exp of normal numbers. RuntimeError unless std > 0."""
    return _fill(self, "log_normal_", lambda n, d: sampling.log_normal(n, mean, std, d, generator))


# ------------------------------------------------------------ the default generator's state
@export("get_rng_state", "random.get_rng_state")
def get_rng_state() -> Tensor:
    """The state of the default generator, a tensor of bytes for set_rng_state."""
    return wrap(generators.default_generator.get_state())


@export("set_rng_state", "random.set_rng_state")
def set_rng_state(new_state: Tensor) -> None:
    """Go back to a state of get_rng_state. TypeError for a tensor of another dtype."""
    generators.default_generator.set_state(_state_bytes(new_state))


def _state_bytes(state: Any) -> np.ndarray:
    if not isinstance(state, Tensor) or state.dtype is not dtype_by_name("uint8"):
        raise TypeError("RNG state must be a minigrad.ByteTensor")
    return np.ascontiguousarray(state._data)


def _cuda_index(which: Any) -> int:
    found = canonical_device("cuda" if which is None else which)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    return found.index or 0


@export("cuda.get_rng_state", "cuda.random.get_rng_state")
def cuda_get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a GPU's default generator, a tensor of bytes; RuntimeError without the GPU."""
    return wrap(generators.cuda_generator(_cuda_index(device)).get_state())


@export("cuda.set_rng_state", "cuda.random.set_rng_state")
def cuda_set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Go back to a state of `cuda.get_rng_state`."""
    generators.cuda_generator(_cuda_index(device)).set_state(_state_bytes(new_state))


@export("cuda.get_rng_state_all", "cuda.random.get_rng_state_all")
def cuda_get_rng_state_all() -> list[Tensor]:
    """The states of all GPUs' generators; an empty list without one."""
    return [cuda_get_rng_state(i) for i in range(cuda_device_count())]


@export("cuda.set_rng_state_all", "cuda.random.set_rng_state_all")
def cuda_set_rng_state_all(new_states: Any) -> None:
    """Go back to states of `cuda.get_rng_state_all`."""
    for i, state in enumerate(new_states):
        cuda_set_rng_state(state, i)


@export("random.fork_rng")
@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Any:
    """With the block over, the default generators are back in the states in which they were before
    it.
    """
    before = philox.state()
    try:
        yield
    finally:
        if enabled:
            philox.set_state(before)
