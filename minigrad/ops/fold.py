"""Windows as an op of their own: unfold (im2col) and its adjoint, fold."""

from __future__ import annotations

import math
from typing import Any

from ..core.primitive import primitive
from ..core.views import unlinked
from ..export import export
from .columns import Ints, columns_of, each_dim, out_size, scatter_columns
from .shape import squeeze, unsqueeze


@primitive
def gather_windows(x: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """(N, C, H, W) to (N, C·K, P), a column per window;  x̄ = scatter_windows(ȳ)."""
    out = out_size(x.shape[2:], kernel, stride, padding, dilation)
    return columns_of(x, kernel, out, stride, padding, dilation, 1)[:, 0].copy()


@primitive
def scatter_windows(
    g: Any, *, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The adjoint of gather_windows: overlapping windows are added."""
    out = out_size(size, kernel, stride, padding, dilation)
    columns = g.reshape(g.shape[0], g.shape[1] // math.prod(kernel), *kernel, *out)
    return scatter_columns(columns, size, kernel, out, stride, padding, dilation)


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
    if any(o < 1 for o in out_size(x.shape[-2:], k, s, p, d)):
        raise RuntimeError(
            f"Given input with spatial size {x.shape[-2:]}, kernel_size={k}, dilation={d},"
            f" padding={p}, calculated shape of the array of sliding blocks is too small"
            " (non-positive)."
        )
    batch = unsqueeze(input, 0) if x.ndim == 3 else input
    y = gather_windows(batch, kernel=k, stride=s, padding=p, dilation=d)
    return unlinked(squeeze(y, 0)) if x.ndim == 3 else y


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
    blocks = math.prod(out_size(size, k, s, p, d))
    if x.shape[-1] != blocks or any(o < 1 for o in out_size(size, k, s, p, d)):
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={k}, dilation={d}, padding={p}, stride={s},"
            " expected size of input's dimension 2 to match the calculated number of sliding"
            f" blocks {blocks}, but got {x.shape[-1]}."
        )
    batch = unsqueeze(input, 0) if x.ndim == 2 else input
    y = scatter_windows(batch, size=size, kernel=k, stride=s, padding=p, dilation=d)
    return unlinked(squeeze(y, 0)) if x.ndim == 2 else y
