"""Samplers: arrays of random numbers of a given shape and dtype, with PyTorch's ranges and errors.

Every sampler ends in `(..., np_dtype, gen)`: the result's NumPy dtype, and a `Generator` (None: the
default one). A sampler checks its arguments before it draws, so a failed call leaves the generator
where it was. Numbers are drawn in main memory, wherever they are wanted: a seed gives the same ones
on every device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .dtypes import F16, F32, F64, HALF, I64, from_numpy_dtype
from .random import Generator, rng_of

Shape = Any  # an int or a sequence of ints

# Bits of a number below 1 that each dtype holds exactly; also how far it counts without gaps.
_BFLOAT = HALF - {F16}  # empty without ml_dtypes (where BF16 is None, and float64 == None!)
_DIGITS = {F16: 11, F32: 24, F64: 53} | dict.fromkeys(_BFLOAT, 8)
_TITLES = {
    "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "bool": "Bool", "float16": "Half", "bfloat16": "BFloat16", "float32": "Float",
    "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip
_C_NAMES = {
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
    "int64": "long", "bool": "bool", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
    "float32": "float", "float64": "double",
}  # fmt: skip
_LONGS = (-(2**63), 2**63 - 1)


def _name(dtype: np.dtype) -> str:
    return from_numpy_dtype(dtype).name


def _no_kernel(kernel: str, dtype: np.dtype) -> NotImplementedError:
    return NotImplementedError(f"\"{kernel}\" not implemented for '{_TITLES[_name(dtype)]}'")


def _continuous(distribution: str, dtype: np.dtype) -> np.dtype:
    if dtype not in _DIGITS:
        raise RuntimeError(
            f"{distribution} distribution is a continuous probability distribution. dtype must be "
            f"a floating point but you specified {_TITLES[_name(dtype)]}"
        )
    return dtype


def _work(dtype: np.dtype) -> np.dtype:
    """The dtype in which numbers of a floating dtype are drawn."""
    return F32 if dtype in HALF else dtype


def _size(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)


# ---------------------------------------------------------------- uniform
def uniform(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    np_dtype: Any = F32,
    gen: Generator | None = None,
) -> np.ndarray:
    """Numbers of [low, high): `high` itself never occurs (unless it equals low), in no dtype.

    Complex: real and imaginary part each. RuntimeError unless low <= high and both and their
    distance are finite in the dtype.
    """
    dtype, rng = np.dtype(np_dtype), rng_of(gen)
    if dtype.kind == "c":
        return _paired(uniform((*_size(shape), 2), low, high, _part(dtype), gen), dtype)
    if dtype not in _DIGITS:
        raise _no_kernel("check_uniform_bounds", dtype)
    standard = low == 0 and high == 1
    if not standard:
        _check_uniform(low, high, dtype)
    unit = rng.random(_size(shape), _work(dtype))
    if dtype in HALF:  # rounding to few digits would give 1.0: cut off instead
        unit *= 2.0 ** _DIGITS[dtype]
        np.floor(unit, out=unit)
        unit *= 0.5 ** _DIGITS[dtype]
    if standard:
        return unit.astype(dtype, copy=False)
    unit *= high - low
    unit += low
    result = unit.astype(dtype, copy=False)
    lowest, above = dtype.type(low), dtype.type(high)
    if lowest < above:  # low + (high − low)·u may have been rounded up to high
        np.minimum(result, np.nextafter(above, lowest), out=result)
    return result


def _check_uniform(low: float, high: float, dtype: np.dtype) -> None:
    limit = float(_limits(dtype)[1])
    kind = _C_NAMES[_name(dtype)]
    for name, bound in (("from", low), ("to", high)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"{name} is out of bounds for {kind}")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= the largest {kind}, but found to={high:g} and "
            f"from={low:g}, whose difference exceeds it"
        )


def _part(dtype: np.dtype) -> np.dtype:
    return F32 if dtype.itemsize == 8 else F64


def _paired(parts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return parts.view(dtype)[..., 0]


def _limits(dtype: np.dtype) -> tuple[Any, Any]:
    """The smallest and the largest finite number of a real dtype."""
    if dtype.kind == "b":
        return 0, 1
    if dtype in _BFLOAT:
        return -3.3895313892515355e38, 3.3895313892515355e38
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    return info.min, info.max


# ---------------------------------------------------------------- normal
# From this many numbers on, Box-Muller over whole arrays beats one ziggurat step a number: 4.1
# instead of 9.2 ms for 10^6, equal at 3000. The chunk is what caches and call overhead agree on.
_BOX_MULLER_FROM, _CHUNK = 4096, 1 << 15


def normal(
    shape: Shape,
    mean: Any = 0.0,
    std: Any = 1.0,
    np_dtype: Any = F32,
    gen: Generator | None = None,
) -> np.ndarray:
    """Normal numbers; `mean` and `std` are numbers or arrays that broadcast to `shape`.

    Complex: variance std² in all, half of it in each part. RuntimeError for a negative std.
    """
    dtype, rng = np.dtype(np_dtype), rng_of(gen)
    if dtype not in _DIGITS and dtype.kind != "c":
        raise _no_kernel("normal_kernel_cpu", dtype)
    _check_std(std)
    if dtype.kind == "c":
        draw = _paired(_standard_normal((*_size(shape), 2), _part(dtype), rng), dtype)
        draw *= dtype.type(math.sqrt(0.5))
    else:
        draw = _standard_normal(_size(shape), _work(dtype), rng)
    if not (isinstance(std, (int, float)) and std == 1):
        draw *= std
    if not (isinstance(mean, (int, float)) and mean == 0):
        draw += mean
    return draw.astype(dtype, copy=False)


def _check_std(std: Any) -> None:
    if isinstance(std, (int, float)):
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    elif np.less(std, 0).any():
        raise RuntimeError("normal expects all elements of std >= 0.0")


def _standard_normal(
    shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator
) -> np.ndarray:
    if dtype == F64 or math.prod(shape) < _BOX_MULLER_FROM:
        return rng.standard_normal(shape, dtype)
    out = np.empty(math.prod(shape), F32)
    for start in range(0, out.size, _CHUNK):
        _box_muller(out[start : start + _CHUNK], rng.bit_generator)
    return out.reshape(shape)


def _box_muller(out: np.ndarray, bits: Any) -> None:
    """Fill `out` with normal float32: r cos 2πv and r sin 2πv, r = √(−2 ln u), of uniform u and v.

    (Box and Muller, A note on the generation of random normal deviates, 1958.) u has 32 bits, so
    |x| reaches 6.66.
    """
    half = (out.size + 1) // 2
    raw = bits.random_raw(half).view(np.uint32)
    radius = raw[:half].astype(np.float32)
    radius += np.float32(1)
    radius *= np.float32(2.0**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    # int32 converts to float32 in one instruction, uint32 does not
    angle = (raw[half:] >> np.uint32(8)).view(np.int32).astype(np.float32)
    angle *= np.float32(2 * math.pi * 2.0**-24)
    np.multiply(radius, np.cos(angle), out=out[:half])
    rest = out.size - half
    np.multiply(radius[:rest], np.sin(angle[:rest]), out=out[half:])


def log_normal(
    shape: Shape,
    mean: float = 1.0,
    std: float = 2.0,
    np_dtype: Any = F32,
    gen: Generator | None = None,
) -> np.ndarray:
    """exp of normal numbers. RuntimeError unless std > 0."""
    dtype = np.dtype(np_dtype)
    if dtype not in _DIGITS:
        raise _no_kernel("log_normal_cpu", dtype)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    draw = normal(shape, mean, std, _work(dtype), gen)
    return np.exp(draw, out=draw).astype(dtype, copy=False)


# ---------------------------------------------------------------- integers
def randint(
    shape: Shape, low: int, high: int, np_dtype: Any = I64, gen: Generator | None = None
) -> np.ndarray:
    """Integers of [low, high), in any integer, floating or bool dtype.

    RuntimeError if the range is empty or the dtype does not reach it, ValueError beyond 64 bits.
    """
    for bound in (low, high):
        if not _LONGS[0] <= bound <= _LONGS[1]:
            raise ValueError(f"Overflow when unpacking long long: {bound} has more than 64 bits")
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    dtype = np.dtype(np_dtype)
    if dtype.kind == "c":
        raise RuntimeError("random_ handles only integral, floating-point and boolean types")
    smallest, largest = _limits(dtype)
    kind = _C_NAMES[_name(dtype)]
    if not smallest <= low <= largest:
        raise RuntimeError(f"from is out of bounds for {kind}")
    if not smallest <= high - 1 <= largest:
        raise RuntimeError(f"to - 1 is out of bounds for {kind}")
    return _integers(_size(shape), int(low), int(high) - 1, dtype, rng_of(gen))


def random_from(
    shape: Shape, low: int | None = None, np_dtype: Any = I64, gen: Generator | None = None
) -> np.ndarray:
    """Tensor.random_() and random_(from, None): integers from `low` to the dtype's largest, that
    included.

    Without `low`, from 0; floating dtypes then end where they stop holding every integer, 2^24 for
    float32.
    """
    dtype, rng = np.dtype(np_dtype), rng_of(gen)
    if dtype.kind == "c":
        raise _no_kernel("random_kernel_cpu", dtype)
    smallest, largest = _limits(dtype)
    if dtype in _DIGITS:
        largest = 2 ** _DIGITS[dtype] if low is None else min(int(largest), _LONGS[1])
    low = 0 if low is None else low
    if not max(smallest, _LONGS[0]) <= low <= largest:
        raise RuntimeError(f"random_: from={low} is out of bounds for {_C_NAMES[_name(dtype)]}")
    return _integers(_size(shape), int(low), int(largest), dtype, rng)


def _integers(
    shape: tuple[int, ...], low: int, top: int, dtype: np.dtype, rng: np.random.Generator
) -> np.ndarray:
    """Integers low..top, both included."""
    if dtype not in _DIGITS:
        return rng.integers(low, top, shape, dtype, endpoint=True)
    result = rng.integers(low, top, shape, np.int64, endpoint=True).astype(dtype)
    if max(abs(low), abs(top)) > 2 ** _DIGITS[dtype]:  # rounded, maybe out of the range
        first, last = dtype.type(low), dtype.type(top)
        first = np.nextafter(first, dtype.type(math.inf)) if int(first) < low else first
        last = np.nextafter(last, dtype.type(-math.inf)) if int(last) > top else last
        np.minimum(np.maximum(result, first, out=result), last, out=result)
    return result


def randperm(n: int, np_dtype: Any = I64, gen: Generator | None = None) -> np.ndarray:
    """0 .. n−1 in random order. RuntimeError if n is negative or the dtype cannot hold n−1."""
    dtype, rng = np.dtype(np_dtype), rng_of(gen)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    if dtype.kind in "bc":
        raise _no_kernel("randperm", dtype)
    if dtype in _DIGITS and n > 2 ** _DIGITS[dtype] + 1:
        limit = 2 ** _DIGITS[dtype] + 1
        raise RuntimeError(f"n cannot be greater than {limit} for {_TITLES[_name(dtype)]} type.")
    if dtype.kind in "iu" and n - 1 > _limits(dtype)[1]:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
    return rng.permutation(n).astype(dtype, copy=False)


# ---------------------------------------------------------------- yes or no
_BYTES_FROM = 1024  # below, a float a number is quicker


def bernoulli(
    shape: Shape, p: Any = 0.5, np_dtype: Any = F32, gen: Generator | None = None
) -> np.ndarray:
    """1 with probability `p`, else 0, in any dtype; `p` is a number or an array that broadcasts to
    `shape`.

    With np_dtype=bool it is a mask, e.g. of what dropout keeps. RuntimeError unless 0 <= p <= 1.
    """
    rng = rng_of(gen)
    if isinstance(p, (int, float)):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        mask = _scalar_mask(_size(shape), float(p), rng)
    else:
        p = np.asarray(p)
        if p.dtype not in _DIGITS:
            raise _no_kernel("bernoulli_tensor_cpu_p_", p.dtype)
        if not ((p >= 0) & (p <= 1)).all():
            raise RuntimeError("bernoulli expects all elements of p to be in [0, 1]")
        mask = np.asarray(rng.random(_size(shape), F64 if p.dtype == F64 else F32) < p)
    return mask.astype(np_dtype, copy=False)


def _scalar_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator) -> np.ndarray:
    """True with probability p: 1.0 ms for 10^6, where comparing floats takes 3.8.

    A byte decides 255 times of 256: below ⌊256p⌋ is True, above is False. Only a byte that equals
    ⌊256p⌋ needs a real number, to be compared with the fraction of 256p; so p is met exactly, not
    to the nearest 1/256.
    """
    count = math.prod(shape)
    if count < _BYTES_FROM:
        return np.asarray(rng.random(shape) < p)
    whole, fraction = divmod(p * 256, 1)
    if whole == 256:
        return np.ones(shape, bool)
    raw: Any = rng.bit_generator.random_raw((count + 7) // 8)
    drawn = raw.view(np.uint8)[:count]
    mask = drawn < np.uint8(whole)
    if fraction:
        ties = np.flatnonzero(drawn == np.uint8(whole))
        mask[ties] = rng.random(ties.size) < fraction
    return mask.reshape(shape)


def draw_seed(gen: Generator | None = None) -> int:
    """64 bits of the generator, as the seed of `keep_mask`."""
    return int(rng_of(gen).bit_generator.random_raw())


def keep_mask(seed: int, rows: int, width: int, p: float) -> np.ndarray:
    """A mask (rows, width), False with probability p to 32 bits, that can be made again: its bits
    are a function of the seed and the element's place, as kernels/cpu/random.py defines it.
    """
    z = np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    high = (z >> np.uint64(32)).astype(np.uint32)[:, None]
    x = np.arange(width, dtype=np.uint32) ^ high
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) + z.astype(np.uint32)[:, None]
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x >= np.uint32(min(round(p * 2.0**32), 2**32 - 1))


def geometric(
    shape: Shape, p: float, np_dtype: Any = F32, gen: Generator | None = None
) -> np.ndarray:
    """Trials up to the first success of probability `p`: 1, 2, ...

    RuntimeError unless 0 < p < 1.
    """
    dtype, rng = np.dtype(np_dtype), rng_of(gen)
    if dtype.kind in "bc":
        raise _no_kernel("geometric_cpu", dtype)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return np.asarray(rng.geometric(p, _size(shape))).astype(dtype, copy=False)


# ---------------------------------------------------------------- other distributions
def _tiny(dtype: np.dtype) -> float:
    """The smallest normal number of a floating dtype (bfloat16 shares float32's)."""
    return float(np.finfo(F32 if dtype in _BFLOAT else dtype).tiny)


def exponential(
    shape: Shape, rate: float = 1.0, np_dtype: Any = F32, gen: Generator | None = None
) -> np.ndarray:
    """Density rate·exp(−rate·x). Never 0, so that its log is finite (Gumbel noise).

    RuntimeError unless rate > 0.
    """
    dtype, rng = _continuous("Exponential", np.dtype(np_dtype)), rng_of(gen)
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    draw = rng.standard_exponential(_size(shape), _work(dtype))
    if rate != 1:
        draw /= rate
    np.maximum(draw, _tiny(dtype), out=draw)
    return draw.astype(dtype, copy=False)


def cauchy(
    shape: Shape,
    median: float = 0.0,
    sigma: float = 1.0,
    np_dtype: Any = F32,
    gen: Generator | None = None,
) -> np.ndarray:
    """Density 1/(πσ(1 + ((x − median)/σ)²)). RuntimeError unless sigma > 0."""
    dtype, rng = _continuous("Cauchy", np.dtype(np_dtype)), rng_of(gen)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    draw = np.asarray(rng.standard_cauchy(_size(shape)))
    return np.asarray(median + sigma * draw).astype(dtype)


def poisson(rate: np.ndarray, gen: Generator | None = None) -> np.ndarray:
    """Poisson counts in the shape and dtype of `rate`.

    RuntimeError unless every rate is >= 0, and below 9.2e18.
    """
    rng = rng_of(gen)
    if rate.dtype not in _DIGITS:
        raise _no_kernel("poisson_cpu", rate.dtype)
    if not (rate >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    if (rate > 9.2e18).any():
        raise RuntimeError("invalid Poisson rate, expected rate below 9.2e18: a count has 64 bits")
    return np.asarray(rng.poisson(rate.astype(np.float64))).astype(rate.dtype)


def binomial(count: np.ndarray, prob: np.ndarray, gen: Generator | None = None) -> np.ndarray:
    """Successes in `count` trials of probability `prob` (broadcast together), in the dtype of
    `count`.

    As in PyTorch, probabilities are clipped to [0, 1] and counts at 0, and nan stays nan.
    """
    rng = rng_of(gen)
    for name, array in (("count", count), ("prob", prob)):
        if array.dtype not in _DIGITS:
            raise ValueError(
                f"binomial only supports floating-point dtypes for {name}, got: "
                f"{_TITLES[_name(array.dtype)]}"
            )
    if count.dtype != prob.dtype:
        raise RuntimeError(f"Found dtype {_name(prob.dtype)} but expected {_name(count.dtype)}")
    n, p = np.broadcast_arrays(count.astype(np.float64), prob.astype(np.float64))
    unknown = np.isnan(n) | np.isnan(p)
    trials = np.where(unknown, 0, np.clip(n, 0, 2.0**62)).astype(np.int64)
    chance = np.where(unknown, 0, np.clip(p, 0, 1))
    result = np.asarray(rng.binomial(trials, chance)).astype(count.dtype)
    result[unknown] = math.nan
    return result


def standard_gamma(alpha: np.ndarray, gen: Generator | None = None) -> np.ndarray:
    """Gamma numbers of shape parameter `alpha` and scale 1, in its shape and dtype; never 0."""
    rng = rng_of(gen)
    if alpha.dtype not in _DIGITS:
        raise _no_kernel("gamma_cpu", alpha.dtype)
    positive = np.where(alpha > 0, alpha, 0).astype(np.float64)
    draw = np.asarray(rng.standard_gamma(positive))
    return np.maximum(draw, _tiny(alpha.dtype), out=draw).astype(alpha.dtype)


def dirichlet(alpha: np.ndarray, gen: Generator | None = None) -> np.ndarray:
    """Points of the simplex, density ∏ xᵢ^(αᵢ−1) along the last dimension; alpha's dtype."""
    if alpha.dtype not in _DIGITS:
        raise _no_kernel("dirichlet", alpha.dtype)
    gammas = standard_gamma(alpha.astype(np.float64), gen)
    shares = gammas / gammas.sum(-1, keepdims=True)
    return np.maximum(shares, _tiny(alpha.dtype)).astype(alpha.dtype)


def multinomial(
    weights: np.ndarray, count: int, replacement: bool = False, gen: Generator | None = None
) -> np.ndarray:
    """`count` indices (int64) drawn from each row of unnormalised `weights` (K) or (rows, K).

    RuntimeError for weights that are negative, inf, nan or all zero, for other shapes, for count <=
    0, and for more draws than K without replacement.
    """
    rng = rng_of(gen)
    _check_multinomial(weights, count, replacement)
    rows = np.atleast_2d(weights).astype(np.float64)
    if not ((rows >= 0) & (rows < math.inf)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (rows.sum(1) > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement or count == 1:
        drawn = _by_inversion(rows, count, rng)
    else:
        drawn = _by_arrival(rows, count, rng)
    return drawn.reshape(*weights.shape[:-1], count).astype(np.int64, copy=False)


def _check_multinomial(weights: np.ndarray, count: int, replacement: bool) -> None:
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if weights.dtype not in _DIGITS:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{_TITLES[_name(weights.dtype)]}"
        )
    if count <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, but got {count}")
    if not replacement and count > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement, but got "
            f"{count} > {weights.shape[-1]}"
        )


def _by_inversion(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The first index whose share of the row's running sum exceeds a uniform number."""
    running = rows.cumsum(1)
    running /= running[:, -1:]  # ends at 1 exactly, above every uniform number
    points = rng.random((len(rows), count))
    if rows.size * count <= 1 << 22:
        return (running[:, None, :] <= points[:, :, None]).sum(2)
    found = [r.searchsorted(p, "right") for r, p in zip(running, points, strict=True)]
    return np.stack(found)


def _by_arrival(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The first of independent Poisson processes to arrive: a draw without replacement.

    (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.) Weights of 0 are
    last.
    """
    speed = rows / np.maximum(rng.standard_exponential(rows.shape), _tiny(F64))
    return np.argsort(-speed, axis=1, kind="stable")[:, :count]
