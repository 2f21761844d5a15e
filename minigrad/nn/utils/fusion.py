"""Batch norm folded into the layer before it, for inference: one layer computes both.

With the running mean m and variance s², BN(Wx + b) = W'x + b', W' = W γ/√(s² + ε) and
b' = (b − m) γ/√(s² + ε) + β.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...core.modes import no_grad
from ...export import export
from ..module import Module
from ..parameter import Parameter

M = TypeVar("M", bound=Module)


def _folded(
    w: Any, b: Any, mean: Any, var: Any, eps: float, gamma: Any, beta: Any, shape: list[int]
) -> tuple[Parameter, Parameter]:
    bias_dtype = w.dtype if b is None else b.dtype
    learned = b is not None and b.requires_grad
    with no_grad():
        scale = (var + eps).rsqrt()
        if gamma is not None:
            scale = scale * gamma
        new_w = (w * scale.reshape(shape)).to(w.dtype)
        new_b = (-mean if b is None else b - mean) * scale
        if beta is not None:
            new_b = new_b + beta
    return Parameter(new_w, w.requires_grad), Parameter(new_b.to(bias_dtype), learned)


def _check(layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


@export("nn.utils.fuse_conv_bn_weights", "nn.utils.fusion.fuse_conv_bn_weights")
def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a convolution followed by batch norm; transpose: of a transposed one."""
    rest = [1] * (conv_w.dim() - 2)
    shape = [1, -1, *rest] if transpose else [-1, 1, *rest]
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


@export("nn.utils.fuse_conv_bn_eval", "nn.utils.fusion.fuse_conv_bn_eval")
def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of the convolution that also does what the BatchNorm behind it does.

    Both must be in evaluation mode (AssertionError), and the norm have running statistics.
    """
    _check(conv, bn)
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


@export("nn.utils.fuse_linear_bn_weights", "nn.utils.fusion.fuse_linear_bn_weights")
def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a linear map followed by batch norm."""
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


@export("nn.utils.fuse_linear_bn_eval", "nn.utils.fusion.fuse_linear_bn_eval")
def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of the Linear that also does what the BatchNorm behind it does.

    AssertionError unless both are in evaluation mode, and the norm has one feature per output, or
    one for all.
    """
    _check(linear, bn)
    fused: Any = copy.deepcopy(linear)
    if bn.num_features not in (1, fused.out_features):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got"
            f" linear.out_features={fused.out_features} and bn.num_features={bn.num_features}"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
