"""A value recorded as depending on something that it does not depend on."""

from __future__ import annotations

from typing import Any

from ..core.primitive import primitive
from .piecewise import zeros_as


@primitive(half="keep")
def beside(y: Any, x: Any) -> Any:
    """y, recorded as a function of x too;  ȳ passes through, x̄ = 0.

    PyTorch's gradients of pooling and padding are functions of the input in the graph, though not
    in value. A second derivative is then a tensor of zeros, where otherwise autograd would find
    nothing to differentiate.
    """
    return y


beside.vjp(y=lambda g: g, x=lambda g, x: zeros_as(x))
