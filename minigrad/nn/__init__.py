"""Layers: modules with parameters, their functions (`nn.functional`) and their first values
(`nn.init`).
"""

from __future__ import annotations

from . import containers, init, layers, parameter, utils
from .layers import activation, conv, dropout, embedding, linear, loss, norm, pooling
from .module import Module
from .utils import clip_grad, vector

__all__ = [
    "Module",
    "activation",
    "clip_grad",
    "containers",
    "conv",
    "dropout",
    "embedding",
    "init",
    "layers",
    "linear",
    "loss",
    "norm",
    "parameter",
    "pooling",
    "utils",
    "vector",
]
