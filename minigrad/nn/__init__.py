"""Layers: modules with parameters, their functions (`nn.functional`) and their first values
(`nn.init`).
"""

from __future__ import annotations

from . import attention as attention
from . import averaging, containers, init, layers, parameter, utils
from .layers import (
    activation,
    conv,
    data_parallel,
    deprecated,
    distance,
    dropout,
    embedding,
    fold,
    gated,
    lazy,
    learned_upsampling,
    linear,
    loss,
    margin,
    modern,
    multihead,
    names,
    norm,
    padding,
    perceptron,
    pooling,
    recurrent,
    shuffle,
    sync_norm,
    transformer,
    upsampling,
    vocabulary,
)
from .module import Module
from .utils import clip_grad, rnn, vector

from . import paths, tuples  # isort: skip  # the names of all modules above under other paths

__all__ = [
    "Module",
    "activation",
    "averaging",
    "clip_grad",
    "containers",
    "conv",
    "data_parallel",
    "deprecated",
    "distance",
    "dropout",
    "embedding",
    "fold",
    "gated",
    "init",
    "layers",
    "lazy",
    "learned_upsampling",
    "linear",
    "loss",
    "margin",
    "modern",
    "multihead",
    "names",
    "norm",
    "padding",
    "parameter",
    "paths",
    "perceptron",
    "pooling",
    "recurrent",
    "rnn",
    "shuffle",
    "sync_norm",
    "transformer",
    "tuples",
    "upsampling",
    "utils",
    "vector",
    "vocabulary",
]
