"""Helpers around modules.

clip_grad        bounding gradients
vector           parameters as one vector
parametrize      parameters computed from others; parametrizations: orthogonal, of unit length, ...
weight_hooks     weight norm and spectral norm as published models have them
prune            parameters with a mask
fusion           batch norm folded into the layer before it
construct        modules without first values
stateless        modules as functions of their parameters
rnn              sequences of different lengths
"""

from __future__ import annotations

from . import (
    clip_grad,
    construct,
    fusion,
    parametrizations,
    parametrize,
    prune,
    rnn,
    stateless,
    vector,
    weight_hooks,
)

__all__ = [
    "clip_grad",
    "construct",
    "fusion",
    "parametrizations",
    "parametrize",
    "prune",
    "rnn",
    "stateless",
    "vector",
    "weight_hooks",
]
