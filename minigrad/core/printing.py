"""How a tensor is written: PyTorch's repr, character for character.

Three steps. `_edges` keeps the first and last few of every dimension of a large array; a `Column`
looks at all the numbers kept and decides on one notation and width for them; `_nest` sets the texts
in brackets, filling lines. Then come the suffixes: device, size, dtype, grad_fn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..backend.dtypes import dtype_by_name, get_default_dtype
from ..export import export


@dataclass
class PrintOptions:
    """How tensors are printed.

    precision: digits after the point. threshold: more elements than this are summarised, to
    edgeitems at both ends of each dimension. linewidth: where lines break. sci_mode: scientific
    notation always, never, or (None) when the numbers call for it.
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}
_options = PrintOptions()


@export("set_printoptions")
def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed; what is not given stays, but sci_mode, which returns to
    automatic.

    A profile ("default", "short": 2 digits and 2 edge items, "full": never summarised) comes first,
    the other arguments change it. ValueError for an unknown profile.
    """
    global _options
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    start = _options if profile is None else PROFILES[profile]
    changes = {name: value for name, value in given.items() if value is not None}
    _options = replace(start, sci_mode=sci_mode, **changes)


@export("get_printoptions")
def get_printoptions() -> dict[str, Any]:
    """The print options, as keyword arguments for `set_printoptions`."""
    return asdict(_options)


@export("printoptions")
@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Other print options inside a `with` block; arguments as of `set_printoptions`."""
    outer = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**outer)


class Column:
    """One notation for a real array, `1`, `1.`, `1.0000` or `1.0000e+00`, and its width."""

    def __init__(self, values: np.ndarray, options: PrintOptions):
        self.floating = values.dtype.kind == "f"
        self.spec = ""
        self.suffix = ""
        self.width = 1
        if self.floating:
            self._choose(values[np.isfinite(values) & (values != 0)], options)
        elif values.size:
            self.width = max(len(str(values.min())), len(str(values.max())))

    def _choose(self, numbers: np.ndarray, options: PrintOptions) -> None:
        """Look at the finite numbers other than 0. A length never falls as |x| grows, or in
        scientific notation as it moves away from 1, for either sign: so the extremes of each sign
        settle the width."""
        self.spec, self.suffix = ".0f", "."
        if not numbers.size:
            return
        sizes = np.abs(numbers)
        least, most = sizes.min(), sizes.max()
        wide = bool(most / least > 1000 or most > 1e8 or least < 1e-4)
        scientific = wide if options.sci_mode is None else options.sci_mode
        if scientific:
            self.spec, self.suffix = f".{options.precision}e", ""
        elif np.any(numbers != np.ceil(numbers)):
            self.spec, self.suffix = f".{options.precision}f", ""
        for part in (numbers[numbers > 0], numbers[numbers < 0]):
            if part.size:
                widths = [len(self.plain(float(x))) for x in (part.min(), part.max())]
                self.width = max(self.width, *widths)

    def plain(self, value: Any) -> str:
        """One number, unpadded."""
        text = format(value, self.spec) if self.floating else str(value)
        return text + self.suffix if self.suffix and math.isfinite(value) else text

    def texts(self, values: np.ndarray) -> list[str]:
        """All numbers, right-aligned."""
        return [self.plain(value).rjust(self.width) for value in values.ravel().tolist()]


def _edges(array: np.ndarray, edgeitems: int) -> np.ndarray:
    """The first and last `edgeitems` of every dimension that has more than twice as many."""
    kept = []
    for length in array.shape:
        cut = length > 2 * edgeitems
        ends = [*range(edgeitems), *range(length - edgeitems, length)] if cut else range(length)
        kept.append(ends)
    return array[np.ix_(*kept)] if kept else array


def _complex_texts(array: np.ndarray, options: PrintOptions) -> tuple[list[str], int]:
    """The texts of complex numbers, each part a column of its own, and their width."""
    values: Any = array
    real, imag = Column(values.real, options), Column(values.imag, options)
    texts = []
    for re, im in zip(real.texts(values.real), imag.texts(values.imag), strict=True):
        im = im.lstrip() + "j"
        texts.append(re + (im if im[0] in "+-" else "+" + im))
    return texts, real.width + imag.width + 1


def _contents(array: np.ndarray, indent: int, options: PrintOptions) -> str:
    """The elements in brackets; lines after the first are indented by `indent`."""
    summarize = array.size > options.threshold
    kept = _edges(array, options.edgeitems) if summarize else array
    if kept.size == 0:
        return "[...]"  # summarised without edge items
    if kept.dtype.kind == "c":
        texts, width = _complex_texts(kept.astype(np.complex128), options)
    else:
        if kept.dtype.kind not in "iub":  # bfloat16 is of NumPy's kind V
            kept = kept.astype(np.float64)
        column = Column(kept, options)
        texts, width = column.texts(kept), column.width
    if array.ndim == 0:
        return texts[0]
    cut = [summarize and length > 2 * options.edgeitems for length in array.shape]
    return _nest(texts, kept.shape, cut, indent, width + 2, options)


def _nest(
    texts: list[str],
    shape: Sequence[int],
    cut: Sequence[bool],
    indent: int,
    width: int,
    options: PrintOptions,
) -> str:
    """`texts`, the elements of an array of `shape` in row-major order, in nested brackets.

    cut: for each dimension, whether an ellipsis stands in its middle. width: of an element with its
    comma.
    """
    if len(shape) == 1:
        items = [*texts]
        if cut[0]:
            items.insert(options.edgeitems, " ...")
        per_line = max(1, (options.linewidth - indent) // width)
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    step = len(texts) // shape[0]
    blocks = [
        _nest(texts[i : i + step], shape[1:], cut[1:], indent + 1, width, options)
        for i in range(0, len(texts), step)
    ]
    if cut[0]:
        blocks.insert(options.edgeitems, "...")
    gap = "," + "\n" * (len(shape) - 1) + " " * (indent + 1)  # a blank line between matrices
    return "[" + gap.join(blocks) + "]"


def _suffixes(array: np.ndarray, dtype_name: str, default_dtype: str, device: str) -> list[str]:
    """What the digits do not tell: a device other than the CPU, the shape of nothing, the dtype."""
    found = []
    if device != "cpu":
        found.append(f"device='{device}'")
    if array.size == 0:
        if array.ndim != 1:
            found.append(f"size={array.shape}")
        usual = {default_dtype}
    else:
        if not _options.edgeitems:
            found.append(f"size={array.shape}")
        usual = {default_dtype, dtype_by_name(default_dtype).to_complex().name, "int64", "bool"}
    if dtype_name not in usual:
        found.append(f"dtype=minigrad.{dtype_name}")
    return found


def format_tensor(
    array: np.ndarray,
    *,
    dtype_name: str,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    device: str = "cpu",
    prefix: str = "tensor",
    default_dtype: str | None = None,
) -> str:
    """The repr of a tensor whose elements are `array` (in main memory), as PyTorch writes it.

    `grad_fn_name` is the bare name, "AddBackward0"; it takes the place of requires_grad=True.
    `default_dtype` (the current one if None) is the name of the dtype that goes without saying.
    `prefix` is the class: "tensor".
    """
    default_dtype = get_default_dtype().name if default_dtype is None else default_dtype
    indent = len(prefix) + 1
    contents = _contents(array, indent, _options) if array.size else "[]"
    suffixes = _suffixes(array, dtype_name, default_dtype, device)
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _joined(f"{prefix}({contents}", suffixes, indent)


def _joined(text: str, suffixes: Sequence[str], indent: int) -> str:
    """`text` and its suffixes, on a new line where one would not fit.

    Lines break where PyTorch's do, so that its outputs become ours by writing "minigrad." for
    "torch.": the dtype counts as if it had the shorter name, the first line for two columns more.
    """
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        width = len(suffix.replace("minigrad.", "torch."))
        if used + width + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + width
        else:
            text += ", " + suffix
            used += width + 2
    return text + ")"
