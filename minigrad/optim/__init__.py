"""Optimizers, in order of increasing complexity, and what changes their learning rates.

elementwise      the base of those that treat each number by itself:
  sgd, adagrad, rmsprop, adadelta, rprop, asgd, lion, adam, adamw, adamax, radam, nadam
sparse_adam, lamb, adafactor, muon, lbfgs      those that look at more
"""

from __future__ import annotations

from . import (
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamw,
    asgd,
    lamb,
    lbfgs,
    lion,
    lr_scheduler,
    muon,
    nadam,
    radam,
    rmsprop,
    rprop,
    sgd,
    sparse_adam,
    swa_utils,
)
from .optimizer import Optimizer

__all__ = [
    "Optimizer",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "lamb",
    "lbfgs",
    "lion",
    "lr_scheduler",
    "muon",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sparse_adam",
    "swa_utils",
]
