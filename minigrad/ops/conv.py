"""Convolution in 1, 2 and 3 dimensions, forward and transposed, through one set of three
primitives.

    conv(x, w)                  y[n, o] = Σ_c Σ_k w[o, c, k] · x[n, c, s·p + d·k]
    conv_input(g, w)            its adjoint in x: what a transposed convolution computes
    conv_weight(x, g)           its adjoint in w

Each is linear in both arguments and the derivatives of each are the other two, so any order of
derivative comes for free. As matrix products: the windows of x are gathered once into columns
(im2col), the rest is GEMM. A 1x1 kernel of stride 1 needs no gathering at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..core.primitive import primitive
from ..export import export
from .elementwise import add
from .pad import zero_pad
from .shape import reshape, squeeze, unsqueeze

Ints = int | Sequence[int]


# ------------------------------------------------------------------------------ windows
def _padded(x: Any, padding: tuple[int, ...]) -> Any:
    if not any(padding):
        return x
    shape = x.shape[:2] + tuple([n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)])
    y = np.zeros(shape, x.dtype)
    y[
        (
            slice(None),
            slice(None),
            *[slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)],
        )
    ] = x
    return y


def _windows(x: Any, kernel: Sequence[int], out: Sequence[int], stride: Any, dilation: Any) -> Any:
    """A view (N, C, *kernel, *out) of padded x: element [n, c, k, p] is x[n, c, s·p + d·k]."""
    steps = x.strides[2:]
    return as_strided(
        x,
        (*x.shape[:2], *kernel, *out),
        (
            *x.strides[:2],
            *[d * t for d, t in zip(dilation, steps, strict=True)],
            *[s * t for s, t in zip(stride, steps, strict=True)],
        ),
        writeable=False,
    )


def _columns(
    x: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """(N, G, C/G·K, P): every output place's window as a column."""
    n, c = x.shape[:2]
    if math.prod(kernel) == 1 and not any(padding) and x.shape[2:] == tuple(out):
        return x.reshape(n, groups, c // groups, math.prod(out))
    windows = _windows(_padded(x, padding), kernel, out, stride, dilation)
    return windows.reshape(n, groups, c // groups * math.prod(kernel), math.prod(out))


def _scatter_columns(
    columns: Any, size: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The adjoint of `_columns`: add every window back in its place; columns (N, C, *kernel,
    *out).
    """
    n, c = columns.shape[:2]
    full = [s + 2 * p for s, p in zip(size, padding, strict=True)]
    x = np.zeros((n, c, *full), columns.dtype)
    for k in np.ndindex(*kernel):
        place = tuple(
            [
                slice(d * i, d * i + s * (o - 1) + 1, s)
                for d, i, s, o in zip(dilation, k, stride, out, strict=True)
            ]
        )
        x[(slice(None), slice(None), *place)] += columns[(slice(None), slice(None), *k)]
    crop = tuple([slice(p, p + s) for p, s in zip(padding, size, strict=True)])
    return x[(slice(None), slice(None), *crop)] if any(padding) else x


def _out_size(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    return tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
    )


# ------------------------------------------------------------------------------ the three
# primitives
@primitive
def conv(
    x: Any, w: Any, *, stride: Any, padding: Any, dilation: Any, groups: int, out: Any = None
) -> Any:
    """y = w ∗ x;  x̄ = conv_input(ȳ, w),  w̄ = conv_weight(x, ȳ). `out`: fewer places than fit."""
    kernel = w.shape[2:]
    if out is None:
        out = _out_size(x.shape[2:], kernel, stride, padding, dilation)
    columns = _columns(x, kernel, out, stride, padding, dilation, groups)
    y = np.matmul(w.reshape(groups, w.shape[0] // groups, columns.shape[2]), columns)
    return y.reshape(x.shape[0], w.shape[0], *out)


@primitive
def conv_input(
    g: Any, w: Any, *, size: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """x̄ of conv, `size` being x's spatial shape;  ḡ = conv(·, w),  w̄ = conv_weight(·, g)."""
    n, c_out = g.shape[:2]
    kernel, out = w.shape[2:], g.shape[2:]
    flat_g = g.reshape(n, groups, c_out // groups, math.prod(g.shape[2:]))
    flat_w = w.reshape(groups, c_out // groups, math.prod(w.shape[1:]))
    columns = np.matmul(np.swapaxes(flat_w, -1, -2), flat_g)
    columns = columns.reshape(n, groups * w.shape[1], *kernel, *out)
    return _scatter_columns(columns, size, kernel, out, stride, padding, dilation)


@primitive
def conv_weight(
    x: Any,
    g: Any,
    *,
    kernel: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """w̄ of conv;  x̄ = conv_input(g, ·),  ḡ = conv(x, ·)."""
    n, c_out = g.shape[:2]
    columns = _columns(x, kernel, g.shape[2:], stride, padding, dilation, groups)
    flat_g = g.reshape(n, groups, c_out // groups, math.prod(g.shape[2:]))
    w = np.zeros((groups, c_out // groups, columns.shape[2]), g.dtype)
    for i in range(n):  # one GEMM a sample, summed: no (N, ...) array of products
        w += np.matmul(flat_g[i], np.swapaxes(columns[i], -1, -2))
    return w.reshape(c_out, x.shape[1] // groups, *kernel)


conv.vjp(
    x=lambda g, w, stride, padding, dilation, groups, x_shape: conv_input(
        g, w, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    w=lambda g, x, stride, padding, dilation, groups, w_shape: conv_weight(
        x, g, kernel=w_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
conv_input.vjp(
    # output_padding may leave room for one window more than there are
    g=lambda x, w, stride, padding, dilation, groups, g_shape: conv(
        x,
        w,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        out=g_shape[2:],
    ),
    w=lambda x, g, stride, padding, dilation, groups, w_shape: conv_weight(
        x, g, kernel=w_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
conv_weight.vjp(
    x=lambda w, g, stride, padding, dilation, groups, x_shape: conv_input(
        g, w, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    g=lambda w, x, stride, padding, dilation, groups, g_shape: conv(
        x,
        w,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        out=g_shape[2:],
    ),
)
conv.primitive.node_class.__name__ = "ConvolutionBackward0"
conv_input.primitive.node_class.__name__ = "ConvTransposeBackward0"


# ------------------------------------------------------------------------------ public functions
def each_dim(value: Any, n: int, name: str) -> tuple[int, ...]:
    """An int, or a sequence of 1 or n ints, as n ints."""
    if isinstance(value, int | np.integer):
        return (int(value),) * n
    values = tuple([int(v) for v in value])
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values, but got"
            f" {values}"
        )
    return values


def _check(
    name: str, input: Any, weight: Any, bias: Any, n: int, groups: int, transposed: bool
) -> bool:
    """PyTorch's checks; True if the input has no batch dimension."""
    x, w = input._data, weight._data
    if w.ndim != n + 2:
        raise RuntimeError(
            "weight should have at least three dimensions"
            if w.ndim < 3
            else (
                f"Expected {n + 2}-dimensional weight for {name}, but got weight of size:"
                f" {list(w.shape)}"
            )
        )
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of"
            f" size: {list(x.shape)}"
        )
    if x.dtype != w.dtype or (bias is not None and bias._data.dtype != x.dtype):
        raise RuntimeError(
            f"Input type ({input.dtype}) and weight type ({weight.dtype}) and bias type should be"
            " the same"
        )
    if x.dtype.kind in "b":
        raise RuntimeError(f"\"{name}\" not implemented for 'Bool'")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    channels = x.shape[x.ndim - n - 1]
    expected = w.shape[0] if transposed else w.shape[1] * groups
    if channels != expected:
        raise RuntimeError(
            f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size"
            f" {list(w.shape)}, expected input{list(x.shape)} to have {expected} channels, but got"
            f" {channels} channels instead"
        )
    if w.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0,"
            f" but got weight of size {list(w.shape)} instead"
        )
    outputs = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and bias._data.shape != (outputs,):
        raise RuntimeError(
            f"Given weight of size {list(w.shape)}, expected bias to be 1-dimensional with"
            f" {outputs} elements, but got bias of size {list(bias._data.shape)} instead"
        )
    return x.ndim == n + 1


def _check_steps(stride: Any, padding: Any, dilation: Any) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")


def _with_bias(y: Any, bias: Any, n: int) -> Any:
    return y if bias is None else add(y, reshape(bias, (-1, *[1] * n)))


def _convolve(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    single = _check(name, input, weight, bias, n, groups, False)
    stride, dilation = each_dim(stride, n, "stride"), each_dim(dilation, n, "dilation")
    kernel = weight._data.shape[2:]
    x = unsqueeze(input, 0) if single else input
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        if padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            if any(t % 2 for t in totals):  # the odd element goes to the right
                sides = [s for t in reversed(totals) for s in (0, t % 2)]
                x = zero_pad(x, sides=tuple(sides))
            padding = tuple([t // 2 for t in totals])
        else:
            padding = (0,) * n
    padding = each_dim(padding, n, "padding")
    _check_steps(stride, padding, dilation)
    size = [n + 2 * p for n, p in zip(x._data.shape[2:], padding, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(n < r for n, r in zip(size, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, size))}). Kernel"
            f" size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual"
            " input size"
        )
    y = conv(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = _with_bias(y, bias, n)
    return squeeze(y, 0) if single else y


@export("nn.functional.conv1d", "conv1d")
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, L) or (C, L) with weight (O, C/groups, K): (N, O, L').

    L' = ⌊(L + 2·padding − dilation(K − 1) − 1)/stride⌋ + 1; padding may be "same" or "valid".
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@export("nn.functional.conv2d", "conv2d")
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, H, W) or (C, H, W) with weight (O, C/groups, Kh, Kw): (N,
    O, H', W').
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@export("nn.functional.conv3d", "conv3d")
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, D, H, W) or (C, D, H, W) with weight (O, C/groups, Kd, Kh,
    Kw).
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _transpose(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    single = _check(name, input, weight, bias, n, groups, True)
    stride, padding = each_dim(stride, n, "stride"), each_dim(padding, n, "padding")
    extra, dilation = (
        each_dim(output_padding, n, "output_padding"),
        each_dim(dilation, n, "dilation"),
    )
    _check_steps(stride, padding, dilation)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got"
            f" output_padding: {extra}, stride: {stride}, dilation: {dilation}"
        )
    x = unsqueeze(input, 0) if single else input
    size = tuple(
        [
            (i - 1) * s - 2 * p + d * (k - 1) + e + 1
            for i, s, p, d, k, e in zip(
                x._data.shape[2:],
                stride,
                padding,
                dilation,
                weight._data.shape[2:],
                extra,
                strict=True,
            )
        ]
    )
    if any(s <= 0 for s in size):
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, x._data.shape[2:]))}). Calculated"
            f" output size per channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    y = conv_input(
        x, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    y = _with_bias(y, bias, n)
    return squeeze(y, 0) if single else y


@export("nn.functional.conv_transpose1d", "conv_transpose1d")
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv1d: input (N, C, L), weight (C, O/groups, K) to (N, O, L').

    L' = (L − 1)·stride − 2·padding + dilation(K − 1) + output_padding + 1.
    """
    return _transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@export("nn.functional.conv_transpose2d", "conv_transpose2d")
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv2d: input (N, C, H, W), weight (C, O/groups, Kh, Kw) (Zeiler et al.
    2010).
    """
    return _transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@export("nn.functional.conv_transpose3d", "conv_transpose3d")
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv3d: input (N, C, D, H, W), weight (C, O/groups, Kd, Kh, Kw)."""
    return _transpose(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


# ------------------------------------------------------------------------------ windows as an op of
# their own
@primitive
def gather_windows(x: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """(N, C, H, W) to (N, C·K, P), a column per window;  x̄ = scatter_windows(ȳ)."""
    out = _out_size(x.shape[2:], kernel, stride, padding, dilation)
    return _columns(x, kernel, out, stride, padding, dilation, 1)[:, 0].copy()


@primitive
def scatter_windows(
    g: Any, *, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The adjoint of gather_windows: overlapping windows are added."""
    out = _out_size(size, kernel, stride, padding, dilation)
    columns = g.reshape(g.shape[0], g.shape[1] // math.prod(kernel), *kernel, *out)
    return _scatter_columns(columns, size, kernel, out, stride, padding, dilation)


gather_windows.vjp(
    x=lambda g, kernel, stride, padding, dilation, x_shape: scatter_windows(
        g, size=x_shape[2:], kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
)
scatter_windows.vjp(
    g=lambda x, kernel, stride, padding, dilation: gather_windows(
        x, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
)


def _check_windows(name: str, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    for what, values, least in (
        ("kernel_size", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if any(v < least for v in values):
            raise RuntimeError(f"{name}: {what} should be at least {least}, but got {list(values)}")


@export("nn.functional.unfold")
def unfold_windows(
    input: Any, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Any:
    """The windows of (N, C, H, W) as columns: (N, C·Kh·Kw, P) (im2col)."""
    k, d = each_dim(kernel_size, 2, "kernel_size"), each_dim(dilation, 2, "dilation")
    p, s = each_dim(padding, 2, "padding"), each_dim(stride, 2, "stride")
    _check_windows("unfold", k, s, p, d)
    x = input._data
    if x.ndim not in (3, 4) or (x.size == 0 and 0 in x.shape[-3:]):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero"
            f" dimensions for input, but got: {list(x.shape)}"
        )
    if any(o < 1 for o in _out_size(x.shape[-2:], k, s, p, d)):
        raise RuntimeError(
            f"Given input with spatial size {x.shape[-2:]}, kernel_size={k}, dilation={d},"
            f" padding={p}, calculated shape of the array of sliding blocks is too small"
            " (non-positive)."
        )
    batch = unsqueeze(input, 0) if x.ndim == 3 else input
    y = gather_windows(batch, kernel=k, stride=s, padding=p, dilation=d)
    return squeeze(y, 0) if x.ndim == 3 else y


@export("nn.functional.fold")
def fold(
    input: Any,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Any:
    """Windows (N, C·Kh·Kw, P) added back into an image (N, C, H, W): the adjoint of unfold."""
    size = each_dim(output_size, 2, "output_size")
    k, d = each_dim(kernel_size, 2, "kernel_size"), each_dim(dilation, 2, "dilation")
    p, s = each_dim(padding, 2, "padding"), each_dim(stride, 2, "stride")
    _check_windows("fold", k, s, p, d)
    x = input._data
    if x.ndim not in (2, 3) or (x.size == 0 and 0 in x.shape[-2:]):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and"
            f" non-zero dimensions for input, but got: {list(x.shape)}"
        )
    if x.shape[-2] % math.prod(k):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size,"
            f" but got input.size(1)={x.shape[-2]} and kernel_size={k}."
        )
    blocks = math.prod(_out_size(size, k, s, p, d))
    if x.shape[-1] != blocks or any(o < 1 for o in _out_size(size, k, s, p, d)):
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={k}, dilation={d}, padding={p}, stride={s},"
            " expected size of input's dimension 2 to match the calculated number of sliding"
            f" blocks {blocks}, but got {x.shape[-1]}."
        )
    batch = unsqueeze(input, 0) if x.ndim == 2 else input
    y = scatter_windows(batch, size=size, kernel=k, stride=s, padding=p, dilation=d)
    return squeeze(y, 0) if x.ndim == 2 else y
