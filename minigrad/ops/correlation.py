"""Convolution as three primitives, in 1, 2 and 3 dimensions.

    conv(x, w)                  y[n, o, p] = Σ_c Σ_k w[o, c, k] · x[n, c, s·p + d·k]
    conv_input(g, w)            its adjoint in x: what a transposed convolution computes
    conv_weight(x, g)           its adjoint in w

Each is linear in both arguments and the derivatives of each are the other two, so any order of
derivative comes for free. As matrix products: the windows of x are gathered once into columns
(im2col), the rest is GEMM. A 1x1 kernel of stride 1 needs no gathering at all. The compiled kernels
(kernels/cpu/convolution.py) gather nothing either; the formulas here are what they are held to.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..kernels import cuda
from ..kernels.cpu import convolution as kernels
from .columns import columns_of, out_size, scatter_columns
from .complexes import conj
from .matmul import matrix_product
from .sums import reduce_sum


def _kernels(x: Any) -> Any:
    """What convolves arrays like x without columns, where it can."""
    return kernels if type(x) is np.ndarray else cuda.convolution


def channel_sums(g: Any) -> Any:
    """Σ over batch and places: the gradient of a bias."""
    found = kernels.channel_sums(g)
    return np.sum(g, axis=(0, *range(2, g.ndim))) if found is None else found


def _bias_gradient(g: Any) -> Any:
    return reduce_sum(g, axes=(0, *range(2, len(g.shape))), keepdim=False)


def _with_bias(y: Any, b: Any) -> Any:
    return y if b is None else np.add(y, b.reshape(-1, *[1] * (y.ndim - 2)), out=y)


@primitive(half="device")
def conv(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    out: Any = None,
) -> Any:
    """y = w ∗ x + b;  x̄ = conv_input(ȳ, w),  w̄ = conv_weight(x, ȳ),  b̄ = Σ ȳ.

    `out`: the places, where fewer are wanted than fit; b: (O,) or None.
    """
    kernel = w.shape[2:]
    if out is None:
        out = out_size(x.shape[2:], kernel, stride, padding, dilation)
    y = _kernels(x).forward(x, w, b, tuple(out), stride, padding, dilation, groups)
    if y is not None:
        return y
    columns = columns_of(x, kernel, out, stride, padding, dilation, groups)
    y = matrix_product(w.reshape(groups, w.shape[0] // groups, columns.shape[2]), columns)
    y = y.reshape(x.shape[0], w.shape[0], *out)
    return _with_bias(y, b)


@primitive(half="device")
def conv_input(
    g: Any,
    w: Any,
    b: Any = None,
    *,
    size: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """x̄ of conv, `size` being x's spatial shape, plus b: a transposed convolution.

    ḡ = conv(·, w),  w̄ = conv_weight(·, g),  b̄ = Σ ȳ.
    """
    x = _kernels(g).input_gradient(g, w, b, tuple(size), stride, padding, dilation, groups)
    if x is not None:
        return x
    n, c_out = g.shape[:2]
    kernel, out = w.shape[2:], g.shape[2:]
    flat_g = g.reshape(n, groups, c_out // groups, math.prod(g.shape[2:]))
    flat_w = w.reshape(groups, c_out // groups, math.prod(w.shape[1:]))
    columns = matrix_product(np.swapaxes(flat_w, -1, -2), flat_g)
    columns = columns.reshape(n, groups * w.shape[1], *kernel, *out)
    x = scatter_columns(columns, size, kernel, out, stride, padding, dilation)
    return _with_bias(x, b)


@primitive(half="device")
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
    found = _kernels(x).weight_gradient(x, g, tuple(kernel), stride, padding, dilation, groups)
    if found is not None:
        return found
    n, c_out = g.shape[:2]
    columns = columns_of(x, kernel, g.shape[2:], stride, padding, dilation, groups)
    flat_g = g.reshape(n, groups, c_out // groups, math.prod(g.shape[2:]))
    w = array_module(g).zeros((groups, c_out // groups, columns.shape[2]), g.dtype)
    for i in range(n):  # one GEMM a sample, summed: no (N, ...) array of products
        w += matrix_product(flat_g[i], np.swapaxes(columns[i], -1, -2))
    return w.reshape(c_out, x.shape[1] // groups, *kernel)


# the functions over arrays, for an ordinary backward
_conv, _conv_input = conv.primitive.forward, conv_input.primitive.forward
_conv_weight = conv_weight.primitive.forward
conv.vjp(
    x=lambda g, w, stride, padding, dilation, groups, x_shape: conv_input(
        g,
        conj(w),
        size=x_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    w=lambda g, x, stride, padding, dilation, groups, w_shape: conv_weight(
        conj(x),
        g,
        kernel=w_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    b=_bias_gradient,
)
conv.fast(
    x=lambda g, w, stride, padding, dilation, groups, x_shape: _conv_input(
        g,
        conj(w),
        size=x_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    w=lambda g, x, stride, padding, dilation, groups, w_shape: _conv_weight(
        conj(x),
        g,
        kernel=w_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    b=lambda g: channel_sums(g),
)
conv_input.vjp(
    # output_padding may leave room for one window more than there are
    g=lambda x, w, stride, padding, dilation, groups, g_shape: conv(
        x,
        conj(w),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        out=g_shape[2:],
    ),
    w=lambda x, g, stride, padding, dilation, groups, w_shape: conv_weight(
        x,
        conj(g),
        kernel=w_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    b=_bias_gradient,
)
conv_input.fast(
    g=lambda x, w, stride, padding, dilation, groups, g_shape: _conv(
        x,
        conj(w),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        out=g_shape[2:],
    ),
    w=lambda x, g, stride, padding, dilation, groups, w_shape: _conv_weight(
        x,
        conj(g),
        kernel=w_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    b=lambda x: channel_sums(x),
)
conv_weight.vjp(
    x=lambda w, g, stride, padding, dilation, groups, x_shape: conv_input(
        conj(g),
        w,
        size=x_shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    ),
    g=lambda w, x, stride, padding, dilation, groups, g_shape: conv(
        conj(x),
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
