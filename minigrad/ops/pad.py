"""Padding: constant, reflected, replicated, circular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..export import export
from ..kernels.cpu import planes as kernels
from .arguments import check_fits
from .beside import beside
from .plans import planned
from .taps import Copies, Maps, apply_all, resample_vjp


def _pairs(sides: Sequence[int], ndim: int) -> list[tuple[int, int]]:
    """PyTorch's (last dim before, after, second last before, ...) as NumPy's list of pairs."""
    pairs = [(0, 0)] * ndim
    for i in range(len(sides) // 2):
        pairs[ndim - 1 - i] = (sides[2 * i], sides[2 * i + 1])
    return pairs


def _crop(x: Any, pairs: list[tuple[int, int]]) -> Any:
    """Cut what negative padding takes away."""
    return x[
        tuple([slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape, strict=True)])
    ]


@primitive(half="keep")
def pad_constant(x: Any, *, sides: tuple[int, ...], value: Any) -> Any:
    """x with `value` around it (cut where a side is negative);  x̄ = the part of ȳ that was x."""
    if len(sides) in (2, 4) and x.ndim > 1 and kernels.usable(x):
        y = kernels.frame(x, (*sides, 0, 0)[:4], value)
        if y is not None:
            return y
    pairs = _pairs(sides, x.ndim)
    inner = _crop(x, pairs)
    wide = [(max(a, 0), max(b, 0)) for a, b in pairs]
    size = [n + a + b for n, (a, b) in zip(inner.shape, wide, strict=True)]
    y = array_module(x).empty(size, x.dtype)
    y.fill(value)
    y[tuple([slice(a, a + n) for n, (a, _) in zip(inner.shape, wide, strict=True)])] = inner
    return y


pad_constant.vjp(x=lambda g, sides: pad_constant(g, sides=tuple([-s for s in sides]), value=0))
pad_constant.primitive.node_class.__name__ = "ConstantPadNdBackward0"


def zero_pad(x: Any, *, sides: tuple[int, ...]) -> Any:
    """x with zeros around it."""
    return pad_constant(x, sides=sides, value=0)


@primitive(half="keep")
def pad_copies(x: Any, *, maps: Maps) -> Any:
    """The last dimensions extended by copies of their elements;  x̄ collects what was copied."""
    return apply_all(x, maps)


pad_copies.vjp(x=lambda g, x, maps: beside(resample_vjp(g, maps=maps), x))


@export("nn.functional.pad")
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Extend the last dimensions by pad = (last before, last after, second last before, ...).

    mode: "constant" (any number of dimensions; negative sides cut), "reflect", "replicate",
    "circular" (the last 1 to 3 dimensions). RuntimeError for a padding that does not fit.
    """
    plan = _plan(input._data.shape, pad, mode)
    if mode == "constant":
        if value:
            check_fits(value, input._data.dtype)
        return _framed(input, plan, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    return pad_copies(input, maps=plan)


@planned
def _plan(shape: tuple[int, ...], pad: Sequence[int], mode: str) -> Any:
    """The sides of a constant padding, checked; for other modes a map of each dimension."""
    sides, ndim = tuple([int(s) for s in pad]), len(shape)
    if len(sides) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(sides) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got"
            f" padding length {len(sides)} and input of dimension {ndim}"
        )
    if mode == "constant":
        return _constant_sides(shape, sides)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    dims = len(sides) // 2
    if ndim not in (dims + 1, dims + 2) or not 1 <= dims <= 3:
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now"
        )
    _check_copies(shape, sides, mode)
    maps = [Copies(mode, shape[-1 - i], *sides[2 * i : 2 * i + 2]) for i in range(dims)]
    return tuple(maps[::-1])


def _check_copies(shape: tuple[int, ...], sides: tuple[int, ...], mode: str) -> None:
    """RuntimeError unless every dimension has enough elements to copy."""
    lengths = []
    for i in range(len(sides) // 2):
        dim, before, after = len(shape) - 1 - i, sides[2 * i], sides[2 * i + 1]
        n = shape[dim]
        lengths.append(n + before + after)
        if mode == "reflect" and (before >= n or after >= n):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension,"
                f" but got: padding ({before}, {after}) at dimension {dim} of input"
                f" {list(shape)}"
            )
        if mode == "circular":
            left = n - max(-before, 0) - max(-after, 0)
            if before > n or after > n or (left <= 0 and max(before, after) > 0):
                raise RuntimeError("Padding value causes wrapping around more than once.")
    # like PyTorch: one dimension of several may become empty, but not all
    if min(lengths) < 0 or (mode != "circular" and max(lengths) < 1):
        raise RuntimeError(
            f"input {list(shape)} with padding {list(sides)} gives an output that is too small"
        )
    if mode != "circular" and 0 in shape[1:]:
        raise RuntimeError(
            "Expected a non-empty tensor (but for the batch dimension) for padding, got"
            f" {list(shape)}"
        )


@export("constant_pad_nd")
def constant_pad_nd(input: Any, pad: Sequence[int], value: Any = 0) -> Any:
    """Extend the last dimensions with `value`; negative sides cut. RuntimeError if nothing would
    remain.
    """
    return _framed(input, _constant_plan(input._data.shape, pad), value)


def _framed(input: Any, sides: tuple[int, ...], value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.item()
    return pad_constant(input, sides=sides, value=value) if any(sides) else input.clone()


@planned
def _constant_plan(shape: tuple[int, ...], pad: Sequence[int]) -> tuple[int, ...]:
    return _constant_sides(shape, tuple([int(s) for s in pad]))


def _constant_sides(shape: tuple[int, ...], sides: tuple[int, ...]) -> tuple[int, ...]:
    if len(sides) % 2 or len(sides) > 2 * len(shape):
        raise RuntimeError(
            "Length of pad must be even and no more than twice the number of dimensions of the"
            f" input. Pad length is {len(sides)} while the input has {len(shape)} dimensions."
        )
    for n, (a, b) in zip(shape, _pairs(sides, len(shape)), strict=True):
        if n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {a} and {b} resulted in a negative"
                " output size, which is invalid. Check dimension of your input."
            )
    return sides
